// SPDX-License-Identifier: Apache-2.0
//! Packets of interfaces, counted by flow.
//!
//! In: packets, where a [`Source`] shows them to the kernel programs of this folder. Out: batches of
//! [`Flow`] and [`DnsLookup`]. One thread, `vor-flow`, owns everything here; nothing of the other tracers is
//! needed, and what fails here fails alone.

mod attach;
mod config;
mod decode;
mod dns;
mod instance;
mod interfaces;
mod links;
mod outbox;
mod sink;
mod sockets;
mod spaces;
mod table;
mod totals;
mod watch;
mod worker;

#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};

use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::mpsc::Sender;
use vor_health::Board;
use vor_model::{DnsLookup, Flow};

use crate::ProbeError;
use crate::kernel::require_privileges;
use crate::object::ObjectError;
use crate::tracers::tcpstat::{self, Tcpstat};

pub use config::{
    Backend, Direction, FlowConfig, GuessPorts, Interfaces, Listen, MaxFlows, Source, Tunnels,
};

pub use totals::TOLD;

/// The stage under which packets are counted.
pub(crate) const STAGE: &str = "flow";

/// Why flows cannot be observed.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// Capabilities are missing, or no thread can be had.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The kernel refuses the programs.
    #[error("cannot count packets by {}: {error}", .origin.as_str())]
    Object {
        /// Where packets were to be seen.
        origin: Source,
        /// What the kernel says.
        error: ObjectError,
    },
    /// No interface can be watched.
    #[error(
        "cannot watch any interface by {}, {name} for example: {error}; it needs CAP_NET_RAW (socket_filter) or \
         CAP_NET_ADMIN (tc), and CAP_SYS_ADMIN for other network namespaces",
        .origin.as_str()
    )]
    Interface {
        /// Where packets were to be seen.
        origin: Source,
        /// The interface.
        name: String,
        /// Why not.
        error: io::Error,
    },
    /// The kernel does not tell its interfaces.
    #[error("cannot list network interfaces: {0}")]
    Links(io::Error),
}

/// Where what is seen goes.
#[derive(Debug)]
pub struct FlowOutlets {
    /// Flows; what finds it full for long is dropped and counted.
    pub flows: Sender<Vec<Flow>>,
    /// Answers of name servers, where [`FlowConfig::dns`] asks for them.
    pub dns: Sender<Vec<DnsLookup>>,
}

/// The flow tracer at work, until it is stopped or dropped.
#[derive(Debug)]
pub struct Flows {
    stop: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Flows {
    /// Begins to count. When it returns, all interfaces that are there now are watched.
    pub fn start(
        config: &FlowConfig,
        board: Arc<Board>,
        outlets: FlowOutlets,
    ) -> Result<Self, FlowError> {
        require_privileges()?;
        if let Listen::Unknown(word) = &config.listen {
            tracing::warn!(listen_interfaces = word, "not known, taken for watch");
        }
        let config = config.clone();
        let stop =
            eventfd(0, EventfdFlags::CLOEXEC).map_err(|error| ProbeError::Thread(error.into()))?;
        let stopped = stop.try_clone().map_err(ProbeError::Thread)?;
        let (ready, opened) = sync_channel(1);
        let work = move || match worker::Worker::open(config, &board, outlets, stopped) {
            Ok(worker) => {
                // The other end waits for exactly one word.
                let _ = ready.send(Ok(()));
                worker.run();
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        };
        let thread = thread::Builder::new()
            .name("vor-flow".into())
            .spawn(work)
            .map_err(ProbeError::Thread)?;
        opened.recv().map_err(|_| {
            ProbeError::Thread(io::Error::other("it ended while it loaded kernel programs"))
        })??;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Takes all programs out of the kernel, hands over what was counted, and ends its thread. Waits until what
    /// is left has gone into the channels.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        // Cannot block or fail: the counter of a fresh eventfd has room.
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        if thread.join().is_err() {
            tracing::error!("the thread that counts flows has panicked");
        }
    }
}

impl Drop for Flows {
    fn drop(&mut self) {
        self.end();
    }
}

/// Whether packets can be counted here, for each source: loads its programs, with all they can do, for a moment.
pub(crate) fn check() -> Vec<(&'static str, Result<(), ObjectError>)> {
    let all =
        instance::Constants { netns: 0, sampling: 2, passages: u8::MAX, inner: 1, dns: 1, _pad: 0 };
    let tried = |origin: Source| {
        (origin.unit(), instance::Instance::load(origin, all, &[], None).map(drop))
    };
    let sockets = (tcpstat::UNIT, Tcpstat::open().map(drop));
    vec![tried(Source::SocketFilter), tried(Source::Tc), sockets]
}
