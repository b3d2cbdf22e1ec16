// SPDX-License-Identifier: Apache-2.0
//! Chooses the protocol of a conversation by what was said first.
//!
//! In: the protocols that are on, an exchange. Out: the surest of them, and whether requests were taken for answers.

use vor_model::Exchange;

use crate::{Claim, Protocol};

/// Who reads a conversation, and how.
#[derive(Clone, Copy)]
pub struct Claimed {
    /// The protocol.
    pub protocol: &'static dyn Protocol,
    /// Whether the exchange's requests are answers and the other way round: it was joined midway.
    pub swapped: bool,
}

/// The surest of `protocols` for `exchange`, which goes to the server's `port`. The sides as captured win over
/// swapped ones; among equally sure protocols, one for which the port is usual wins, then the first.
#[must_use]
pub fn claim(
    protocols: &[&'static dyn Protocol],
    exchange: &Exchange,
    port: Option<u16>,
) -> Option<Claimed> {
    let straight = surest(protocols, exchange, port);
    let sure = |found: &Option<(Claim, _)>| found.as_ref().map_or(Claim::No, |(claim, _)| *claim);
    if sure(&straight) < Claim::Sure {
        let turned = surest(protocols, &turn(exchange), port);
        if sure(&turned) > sure(&straight) {
            return turned.map(|(_, protocol)| Claimed { protocol, swapped: true });
        }
    }
    straight.map(|(_, protocol)| Claimed { protocol, swapped: false })
}

fn surest(
    protocols: &[&'static dyn Protocol],
    exchange: &Exchange,
    port: Option<u16>,
) -> Option<(Claim, &'static dyn Protocol)> {
    let mut best = None;
    for protocol in protocols {
        let usual = port.is_some_and(|port| protocol.info().ports.contains(&port));
        let rank = (protocol.claim(exchange), usual);
        if rank.0 > Claim::No && best.is_none_or(|(known, _)| rank > known) {
            best = Some((rank, *protocol));
        }
    }
    best.map(|((claim, _), protocol)| (claim, protocol))
}

/// The exchange as it looks when answers were taken for requests.
fn turn(exchange: &Exchange) -> Exchange {
    Exchange {
        request: exchange.response.clone(),
        request_len: exchange.response_len,
        response: exchange.request.clone(),
        response_len: exchange.request_len,
        ..exchange.clone()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use vor_model::{Ending, Mono};

    use super::*;
    use crate::{Conversation, Info, Opening};

    /// Sure of its own letter, able to live with `?`.
    struct Letter(u8, &'static Info);

    impl Protocol for Letter {
        fn info(&self) -> &'static Info {
            self.1
        }
        fn claim(&self, first: &Exchange) -> Claim {
            match first.request.first() {
                Some(letter) if *letter == self.0 => Claim::Sure,
                Some(b'?') => Claim::Maybe,
                Some(_) | None => Claim::No,
            }
        }
        fn open(&self, _about: &Opening<'_>) -> Box<dyn Conversation> {
            unreachable!("nobody opens it")
        }
    }

    static A: Letter = Letter(b'a', &Info { name: "a", ports: &[1], families: &[] });
    static B: Letter = Letter(b'b', &Info { name: "b", ports: &[2], families: &[] });

    fn chosen(
        request: &'static str,
        response: &'static str,
        port: u16,
    ) -> Option<(&'static str, bool)> {
        let exchange = Exchange {
            request: Bytes::from_static(request.as_bytes()),
            request_len: 1,
            response: Bytes::from_static(response.as_bytes()),
            response_len: 1,
            request_end: Mono(1),
            response_start: Mono(2),
            ending: Ending::Answered,
        };
        claim(&[&A, &B], &exchange, Some(port)).map(|it| (it.protocol.info().name, it.swapped))
    }

    #[test]
    fn the_surest_wins_then_the_port_then_the_first() {
        assert_eq!(chosen("a", "", 2), Some(("a", false)));
        assert_eq!(chosen("b", "", 1), Some(("b", false)));
        assert_eq!(chosen("?", "", 2), Some(("b", false)));
        assert_eq!(chosen("?", "", 3), Some(("a", false)));
        assert_eq!(chosen("x", "y", 1), None);
    }

    #[test]
    fn the_other_way_round_must_be_surer() {
        assert_eq!(chosen("x", "b", 1), Some(("b", true)));
        assert_eq!(chosen("?", "b", 1), Some(("b", true)));
        assert_eq!(chosen("?", "?", 1), Some(("a", false)));
        assert_eq!(chosen("a", "b", 1), Some(("a", false)));
    }
}
