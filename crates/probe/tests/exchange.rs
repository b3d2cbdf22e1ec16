// SPDX-License-Identifier: Apache-2.0
//! From a process's sockets to the pipeline's queue, and the commands that go the other way.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Receiver;
use vor_config::Propagation;
use vor_health::Board;
use vor_model::{Captured, Ending, Exchange, Origin, ProcessKey, Sampling, Side};
use vor_probe::kernel::Report;
use vor_probe::tracers::{Door, Mode};
use vor_probe::{Descend, Handle, Probe, ProbeConfig};

mod settings;

const REQUEST: &[u8] = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A probe that observes this process.
struct Observed {
    probe: Probe,
    handle: Handle,
    process: ProcessKey,
    captures: Receiver<Vec<Captured>>,
    board: Arc<Board>,
}

fn observe(door: Door) -> Observed {
    let board = Board::new();
    let (batches, captures) = tokio::sync::mpsc::channel(1024);
    let (events, _) = sync_channel(1);
    let config = ProbeConfig { door: door.into(), ..settings::defaults() };
    let probe = Probe::start(
        &config,
        None,
        Sampling::DEFAULT,
        Propagation::DISABLED,
        Arc::clone(&board),
        batches,
        events,
    )
    .unwrap();
    let handle = probe.handle();
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let ticks: u64 = stat.rsplit(") ").next().unwrap().split(' ').nth(19).unwrap().parse().unwrap();
    let process = ProcessKey::new(std::process::id(), ticks * 10_000_000);
    assert!(handle.admit(process, Descend::No, Propagation::DISABLED));
    let observed = Observed { probe, handle, process, captures, board };
    let end = Instant::now() + Duration::from_secs(5);
    while observed.handle.exchanges(process).is_none() {
        assert!(Instant::now() < end, "not admitted");
        std::thread::sleep(Duration::from_millis(1));
    }
    observed
}

impl Observed {
    /// The next exchange of a server on `port`.
    fn served(&mut self, port: u16) -> (Origin, Exchange) {
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            assert!(Instant::now() < end, "no exchange came");
            let Ok(batch) = self.captures.try_recv() else {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            };
            for captured in batch {
                if let Captured::Exchange(origin, exchange) = captured
                    && origin.side == Side::Server
                    && origin.conn.local.port() == Some(port)
                {
                    return (origin, exchange);
                }
            }
        }
    }
}

/// Both ends of a connection, client's first.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    (client, server)
}

fn say(from: &mut TcpStream, to: &mut TcpStream, what: &[u8]) {
    from.write_all(what).unwrap();
    to.read_exact(&mut vec![0; what.len()]).unwrap();
}

// One test: the tests of a file run at once in one process, which is either observed or not.
#[test]
#[ignore = "needs root"]
fn root_an_observed_process_is_heard_until_it_is_retired() {
    for found in Report::gather(&settings::defaults()).doors {
        if found.opens.is_there() {
            eprintln!("through {}", found.door);
            hear(observe(found.door));
        }
    }
}

fn hear(mut observed: Observed) {
    let (mut client, mut server) = pair();
    let port = server.local_addr().unwrap().port();

    let began = Instant::now();
    say(&mut client, &mut server, REQUEST);
    say(&mut server, &mut client, ANSWER);
    let (origin, exchange) = observed.served(port);
    assert!(began.elapsed() < Duration::from_millis(300), "{:?}", began.elapsed());
    assert_eq!((origin.process, origin.from_start), (observed.process, true));
    assert_eq!(&exchange.request[..], REQUEST);
    // Nobody reads the body, so it is not sent.
    assert_eq!(&exchange.response[..], ANSWER.strip_suffix(b"ok").unwrap());
    assert_eq!((exchange.response_len, exchange.ending), (40, Ending::Answered));
    assert_eq!(observed.handle.exchanges(observed.process), Some(2));

    // An answer that says nothing of its end is over when it has been silent: the sweep finds out.
    say(&mut client, &mut server, REQUEST);
    say(&mut server, &mut client, b"HTTP/1.1 200 OK\r\nX: half a head\r\n");
    assert_eq!(observed.served(port).1.ending, Ending::Answered);

    // A connection that is to be ignored is silent; another is not.
    observed.handle.judge(origin.conn.id, Mode::Ignored);
    let (mut other, mut peer) = pair();
    std::thread::sleep(Duration::from_millis(100));
    say(&mut client, &mut server, REQUEST);
    say(&mut server, &mut client, ANSWER);
    say(&mut other, &mut peer, REQUEST);
    say(&mut peer, &mut other, ANSWER);
    observed.served(peer.local_addr().unwrap().port());

    // What was asked when the process is retired ends with it.
    let (mut last, mut asked) = pair();
    say(&mut last, &mut asked, REQUEST);
    observed.handle.retire(observed.process);
    let (_, exchange) = observed.served(asked.local_addr().unwrap().port());
    assert_eq!((exchange.response_len, exchange.ending), (0, Ending::Closed));
    assert_eq!(observed.handle.exchanges(observed.process), None);

    observed.probe.stop();
    let count = |what| observed.board.counter("socket", what).get();
    assert_eq!(count("in"), count("out"));
    // Two for each pair of a request and an answer, but for the end that was to be ignored.
    assert_eq!((count("exchanges.opened"), count("exchanges.ended")), (9, 9));
}
