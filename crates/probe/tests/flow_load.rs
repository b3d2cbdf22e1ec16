// SPDX-License-Identifier: Apache-2.0
//! More packets and flows than there is room for: what is not told is counted, and the sum is the truth.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

mod net;

use std::collections::HashSet;
use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use net::{Space, config, join};
use vor_health::Board;
use vor_model::{DnsLookup, Flow, FlowKey};
use vor_probe::flows::{FlowConfig, FlowOutlets, Flows, MaxFlows, Source};

/// Flows at once, and packets of each.
const FLOWS: usize = 100_000;
const ROUNDS: usize = 3;
/// Datagrams that one call sends.
const SENT: usize = 500;
/// What counting so many flows may take in user space, beside the test itself.
const MEMORY_KIB: u64 = 60 * 1024;

/// What arrived.
#[derive(Default)]
struct Told {
    packets: u64,
    bytes: u64,
    flows: HashSet<FlowKey>,
}

/// Runs `act` in `space` while flows are counted; gives what was told of them. Only their number is kept.
fn count(space: &Space, config: FlowConfig, act: impl FnOnce()) -> (Told, Arc<Board>, u64) {
    let (flows, mut batches) = tokio::sync::mpsc::channel::<Vec<Flow>>(8);
    let (dns, _) = tokio::sync::mpsc::channel::<Vec<DnsLookup>>(1);
    let board = Board::new();
    let health = Arc::clone(&board);
    let told = thread::spawn(move || {
        let mut told = Told::default();
        // Before the tracer starts, so that it does not count as the tracer's memory.
        told.flows.reserve(2 * FLOWS);
        while let Some(batch) = batches.blocking_recv() {
            for flow in batch {
                told.packets += flow.packets;
                told.bytes += flow.bytes;
                told.flows.insert(flow.key);
            }
        }
        told
    });
    thread::sleep(Duration::from_millis(100));
    let before = memory();
    let outlets = FlowOutlets { flows, dns };
    let flows = space.within(move || Flows::start(&config, health, outlets).unwrap());
    act();
    flows.stop();
    let grown = memory().saturating_sub(before);
    (told.join().unwrap(), board, grown)
}

/// One datagram of each flow, `ROUNDS` times over, as fast as the kernel takes them: headers of UDP on a raw socket,
/// so that no port is ever bound.
fn blast() {
    let socket = Socket::raw("10.9.0.2");
    let head = |flow: usize| {
        let (src, dst) = (flow % 50_000 + 1, flow / 50_000 + 9);
        [src, dst, 8, 0].map(|field| u16::try_from(field).unwrap().to_be_bytes()).concat()
    };
    let mut heads: Vec<_> = (0..FLOWS).map(head).collect();
    for _ in 0..ROUNDS {
        for heads in heads.chunks_mut(SENT) {
            socket.send(heads);
        }
    }
}

struct Socket(OwnedFd);

impl Socket {
    fn raw(host: &str) -> Self {
        let [a, b, c, d] = host.parse::<std::net::Ipv4Addr>().unwrap().octets();
        // SAFETY: system calls; `address` outlives them, and its length is right.
        unsafe {
            let fd = libc::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_UDP);
            assert!(fd >= 0);
            let mut address: libc::sockaddr_in = std::mem::zeroed();
            address.sin_family = u16::try_from(libc::AF_INET).unwrap();
            address.sin_addr.s_addr = u32::from_ne_bytes([a, b, c, d]);
            let len = u32::try_from(size_of_val(&address)).unwrap();
            assert_eq!(libc::connect(fd, (&raw const address).cast(), len), 0);
            Self(OwnedFd::from_raw_fd(fd))
        }
    }

    fn send(&self, heads: &mut [Vec<u8>]) {
        let part = |head: &mut Vec<u8>| libc::iovec {
            iov_base: head.as_mut_ptr().cast(),
            iov_len: head.len(),
        };
        let mut parts: Vec<_> = heads.iter_mut().map(part).collect();
        let message = |part: &mut libc::iovec| {
            // SAFETY: all zero is a valid value of this struct of numbers and pointers.
            let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
            message.msg_hdr.msg_iov = part;
            message.msg_hdr.msg_iovlen = 1;
            message
        };
        let mut messages: Vec<_> = parts.iter_mut().map(message).collect();
        let mut sent = 0;
        while sent < messages.len() {
            let rest = &mut messages[sent..];
            let n = u32::try_from(rest.len()).unwrap();
            // SAFETY: the messages point at `parts`, which point at `heads`; all of them outlive the call.
            let done = unsafe { libc::sendmmsg(self.0.as_raw_fd(), rest.as_mut_ptr(), n, 0) };
            // ENOBUFS: the interface's queue is full for a moment.
            sent += usize::try_from(done).unwrap_or(0);
        }
    }
}

fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
#[ignore = "needs root"]
fn root_a_hundred_thousand_flows_are_told_or_counted_as_lost() {
    for source in [Source::SocketFilter, Source::Tc] {
        for max_flows in [200_000, 5_000] {
            let (a, b) = (Space::new(), Space::new());
            join(&a, &b);
            // Nothing is to pass before and after the tracer is there.
            for space in [&a, &b] {
                space.run(&["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"]);
            }
            a.ip("link set va arp off");
            thread::sleep(Duration::from_millis(500));
            let traffic = ["tx_packets", "rx_packets", "tx_bytes", "rx_bytes"];
            let read = || traffic.map(|name| a.counter("va", name));
            let before = read();
            let max_flows = MaxFlows::try_from(max_flows).unwrap();
            let settings =
                FlowConfig { max_flows, period: Duration::from_secs(3), ..config(source) };
            let (told, board, memory) = count(&a, settings, || {
                a.within(blast);
            });
            let after = read();
            let passed: Vec<u64> = after.iter().zip(before).map(|(now, then)| now - then).collect();
            let said = |what| board.counter("flow", what).get();
            let lost = said("lost.full") + said("lost.no_room");
            eprintln!(
                "{source:?} {max_flows:?}: {} packets of {FLOWS} flows, {} told of, {lost} lost, {} overflowed, \
                 {memory} KiB grown",
                told.packets,
                told.flows.len(),
                said("overflow"),
            );
            assert_eq!(passed[0] + passed[1], told.packets + lost, "{:?}", board.readings());
            assert_eq!(passed[2] + passed[3], told.bytes + said("bytes.lost"));
            assert_eq!(passed[0], u64::try_from(ROUNDS * FLOWS).unwrap());
            assert_eq!(said("in"), said("out") + lost);
            if max_flows.get() > 5_000 {
                assert_eq!(lost, 0, "{:?}", board.readings());
                assert!(told.flows.len() >= FLOWS);
            }
            assert!(memory < MEMORY_KIB, "{memory} KiB");
        }
    }
}
