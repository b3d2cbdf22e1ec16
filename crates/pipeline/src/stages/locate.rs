// SPDX-License-Identifier: Apache-2.0
//! Puts names in the place of addresses: who asked, who answered.
//!
//! An attribute that is an address of somebody known becomes that one's name, with its namespace behind it
//! (`cart.shop`) when that is not the service's own. The other end's address stays as `network.peer.address`. What is a
//! name already stays as it is.

use std::net::IpAddr;
use std::sync::Arc;

use vor_model::semconv::{CLIENT_ADDRESS, SERVER_ADDRESS};
use vor_model::{Attrs, Endpoint, Key, Side, Span, Value};

use crate::{Directory, Stage};

const PEER_ADDRESS: Key = Key::new("network.peer.address");

/// Names the ends of spans.
pub struct Locate {
    names: Arc<dyn Directory>,
}

impl Locate {
    /// Takes names from `names`.
    #[must_use]
    pub fn new(names: Arc<dyn Directory>) -> Self {
        Self { names }
    }

    /// Names the address in `key`; whether there was a name for it.
    fn name(&self, attrs: &mut Attrs, key: &Key, namespace: &str) -> bool {
        let Some(ip) = attrs.get(key).and_then(address) else { return false };
        let Some(workload) = self.names.at(ip) else { return false };
        let name = if workload.namespace.is_empty() || *workload.namespace == *namespace {
            Value::from(Arc::clone(&workload.name))
        } else {
            Value::from(format!("{}.{}", workload.name, workload.namespace))
        };
        attrs.set(key.clone(), name);
        true
    }
}

impl Stage<Span> for Locate {
    fn name(&self) -> &'static str {
        "locate"
    }

    fn apply(&mut self, batch: &mut Vec<Span>) {
        for span in batch {
            let namespace = Arc::clone(&span.service.namespace);
            let attrs = &mut span.operation.attrs;
            let server = self.name(attrs, &SERVER_ADDRESS, &namespace);
            let client = self.name(attrs, &CLIENT_ADDRESS, &namespace);
            let peer = match span.origin.side {
                Side::Client => server,
                Side::Server => client,
            };
            if peer && let Endpoint::Inet(remote) = &span.origin.conn.remote {
                attrs.set(PEER_ADDRESS, remote.ip().to_string());
            }
        }
    }
}

/// The address that a value is; one of this host is nobody's in particular.
fn address(value: &Value) -> Option<IpAddr> {
    let text = value.as_str()?;
    // Names are the usual case and begin otherwise.
    if !text.starts_with(|first: char| first.is_ascii_hexdigit() || first == ':') {
        return None;
    }
    let ip: IpAddr = text.parse().ok()?;
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

#[cfg(test)]
mod tests {
    use vor_model::{ProcessKey, Workload};

    use super::*;
    use crate::sample;

    struct One(IpAddr, Arc<Workload>);

    impl Directory for One {
        fn at(&self, ip: IpAddr) -> Option<Arc<Workload>> {
            (ip == self.0).then(|| Arc::clone(&self.1))
        }
        fn of(&self, _: ProcessKey) -> Option<Arc<Workload>> {
            None
        }
    }

    /// What a span that says this is told to say, when `cart` of this namespace has 10.0.0.7.
    fn located(side: Side, namespace: &str, attrs: Attrs) -> Attrs {
        let cart =
            Workload { name: "cart".into(), namespace: namespace.into(), ..Workload::default() };
        let names = Arc::new(One("10.0.0.7".parse().unwrap(), Arc::new(cart)));
        let mut span = sample::span(&sample::service("pay"), 1.0, attrs);
        span.origin.side = side;
        span.origin.conn.remote = Endpoint::Inet("10.0.0.7:40000".parse().unwrap());
        let mut batch = vec![span];
        Locate::new(names).apply(&mut batch);
        batch.remove(0).operation.attrs
    }

    fn text(attrs: &Attrs, key: &Key) -> Option<String> {
        attrs.get(key).map(ToString::to_string)
    }

    #[test]
    fn the_peer_has_its_name_and_its_address() {
        let asks = Attrs::new().with(SERVER_ADDRESS, "10.0.0.7");
        let attrs = located(Side::Client, "shop", asks.clone());
        assert_eq!(text(&attrs, &SERVER_ADDRESS).as_deref(), Some("cart"));
        assert_eq!(text(&attrs, &PEER_ADDRESS).as_deref(), Some("10.0.0.7"));
        let attrs = located(Side::Client, "back", asks);
        assert_eq!(text(&attrs, &SERVER_ADDRESS).as_deref(), Some("cart.back"));
        let attrs = located(
            Side::Server,
            "shop",
            Attrs::new().with(SERVER_ADDRESS, "10.0.0.8").with(CLIENT_ADDRESS, "10.0.0.7"),
        );
        assert_eq!(text(&attrs, &CLIENT_ADDRESS).as_deref(), Some("cart"));
        assert_eq!(text(&attrs, &SERVER_ADDRESS).as_deref(), Some("10.0.0.8"));
    }

    #[test]
    fn names_and_unknown_addresses_stay() {
        for stays in ["cart.example", "10.0.0.9", "127.0.0.1", "::1", "dead", "/run/x.sock"] {
            let attrs = located(Side::Client, "shop", Attrs::new().with(SERVER_ADDRESS, stays));
            assert_eq!(text(&attrs, &SERVER_ADDRESS).as_deref(), Some(stays));
            assert_eq!(text(&attrs, &PEER_ADDRESS), None);
        }
    }
}
