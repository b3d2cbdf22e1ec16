// SPDX-License-Identifier: Apache-2.0
//! Who works for whom, as the kernel side says it of this very process: calls get the place of the request that
//! the calling thread serves, and the other end of a call finds it, through each door.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may fail"
)]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Receiver;
use vor_config::Propagation;
use vor_health::Board;
use vor_model::{Captured, ParentMethod, ProcessKey, Sampling, Side, TracePlace};
use vor_probe::kernel::Report;
use vor_probe::tracers::Door;
use vor_probe::{Descend, Probe, ProbeConfig};

mod settings;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// One exchange: its side, the path that was asked for, and its place.
type Seen = (Side, String, TracePlace);

struct Observed {
    captures: Receiver<Vec<Captured>>,
    seen: Vec<Seen>,
    board: Arc<Board>,
    _probe: Probe,
}

fn observe(door: Door) -> Observed {
    let (batches, captures) = tokio::sync::mpsc::channel(1024);
    let (events, _) = sync_channel(1);
    let config = ProbeConfig { door: door.into(), ..settings::defaults() };
    let board = Board::new();
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
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let ticks: u64 = stat.rsplit(") ").next().unwrap().split(' ').nth(19).unwrap().parse().unwrap();
    let process = ProcessKey::new(std::process::id(), ticks * 10_000_000);
    assert!(probe.handle().admit(process, Descend::No, Propagation::DISABLED));
    Observed { captures, seen: Vec::new(), board, _probe: probe }
}

impl Observed {
    /// The place of the exchange on `side` that asked for `path`.
    fn place(&mut self, side: Side, path: &str) -> TracePlace {
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            if let Some((_, _, place)) = self.seen.iter().find(|s| s.0 == side && s.1 == path) {
                return *place;
            }
            assert!(Instant::now() < end, "no {side:?} {path}: {:#?}", self.seen);
            let Ok(batch) = self.captures.try_recv() else {
                thread::sleep(Duration::from_millis(1));
                continue;
            };
            for captured in batch {
                if let Captured::Exchange(origin, exchange) = captured {
                    let head = String::from_utf8_lossy(&exchange.request).into_owned();
                    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                    self.seen.push((origin.side, path, origin.place.expect("a place")));
                }
            }
        }
    }
}

fn get(path: &str, extra: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n{extra}\r\n").into_bytes()
}

fn ask(stream: &mut (impl Read + Write), request: &[u8]) {
    stream.write_all(request).unwrap();
    stream.read_exact(&mut vec![0; ANSWER.len()]).unwrap();
}

/// A server that answers each request after `work` has been done for it, in the thread that read it.
fn serve(work: impl Fn(&str) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let work = Arc::new(work);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, work) = (stream.unwrap(), Arc::clone(&work));
            thread::spawn(move || answer_all(&mut stream, &*work));
        }
    });
    at
}

fn answer_all(stream: &mut (impl Read + Write), work: &dyn Fn(&str)) {
    let mut head = Vec::new();
    let mut bytes = [0; 4096];
    while let Ok(n @ 1..) = stream.read(&mut bytes) {
        head.extend_from_slice(&bytes[..n]);
        if head.ends_with(b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&std::mem::take(&mut head)).into_owned();
            work(text.split(' ').nth(1).unwrap());
            stream.write_all(ANSWER).unwrap();
        }
    }
}

fn call(at: SocketAddr, path: &str, extra: &str) {
    ask(&mut TcpStream::connect(at).unwrap(), &get(path, extra));
}

// One test: the tests of a file run at once in one process, which is either observed or not.
#[test]
#[ignore = "needs root"]
fn root_calls_belong_to_the_request_they_are_made_for() {
    for found in Report::gather(&settings::defaults()).doors {
        if found.opens.is_there() {
            eprintln!("through {}", found.door);
            let mut observed = observe(found.door);
            one_thread(&mut observed);
            nested_threads(&mut observed);
            headers(&mut observed);
            unix(&mut observed);
            several_at_once(&mut observed);
            loose_threads(&mut observed);
            kept_threads(&mut observed);
            tables(&observed);
        }
    }
}

/// The thread that reads the request makes the call; both connections are kept and used again.
fn one_thread(observed: &mut Observed) {
    let down = serve(|_| ());
    let front = serve(move |path| call(down, &format!("{path}/down"), ""));
    let mut client = TcpStream::connect(front).unwrap();
    for path in ["/one/1", "/one/2"] {
        ask(&mut client, &get(path, ""));
    }
    let mut traces = Vec::new();
    for path in ["/one/1", "/one/2"] {
        let asked = observed.place(Side::Client, path);
        let served = observed.place(Side::Server, path);
        let called = observed.place(Side::Client, &format!("{path}/down"));
        let down = observed.place(Side::Server, &format!("{path}/down"));
        assert_eq!((asked.parent, asked.method, asked.flags), (None, None, 1));
        for (child, parent, method) in [
            (served, asked, ParentMethod::SocketPair),
            (called, served, ParentMethod::Task),
            (down, called, ParentMethod::SocketPair),
        ] {
            assert_eq!((child.trace, child.parent), (parent.trace, Some(parent.span)), "{path}");
            assert_eq!((child.method, child.flags), (Some(method), 1));
        }
        traces.push(asked.trace);
    }
    assert_ne!(traces[0], traces[1]);
}

/// The call is made five threads below the one that read the request, and once more after the answer.
fn nested_threads(observed: &mut Observed) {
    fn below(depth: u32, work: impl FnOnce() + Send + 'static) {
        if depth == 0 {
            work();
        } else {
            thread::spawn(move || below(depth - 1, work)).join().unwrap();
        }
    }
    let down = serve(|_| ());
    let (late, go) = sync_channel::<()>(0);
    let go = std::sync::Mutex::new(Some(go));
    let front = serve(move |_| {
        below(5, move || call(down, "/nested/down", ""));
        let Some(go) = go.lock().unwrap().take() else { return };
        thread::spawn(move || {
            // Ends when the sender is dropped: after the answer.
            let _ = go.recv();
            call(down, "/nested/late", "");
        });
    });
    call(front, "/nested", "");
    thread::sleep(Duration::from_millis(50));
    drop(late);
    let served = observed.place(Side::Server, "/nested");
    let called = observed.place(Side::Client, "/nested/down");
    assert_eq!((called.trace, called.parent), (served.trace, Some(served.span)));
    assert_eq!(called.method, Some(ParentMethod::Ancestor));
    let late = observed.place(Side::Client, "/nested/late");
    assert_eq!((late.parent, late.method), (None, None));
    assert_ne!(late.trace, served.trace);
}

/// What a message says itself stands above all else; split, in any case, anywhere in the head.
fn headers(observed: &mut Observed) {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";
    let line = format!("TraceParent: 00-{TRACE}-{SPAN}-00\r\n");
    let down = serve(|_| ());
    let passed_on = line.clone();
    let front = serve(move |path| call(down, &format!("{path}/down"), &passed_on));

    let filler = format!("X-Filler: {}\r\n", "x".repeat(900));
    call(front, "/header", &format!("{filler}{line}"));
    let asked = observed.place(Side::Client, "/header");
    assert_eq!((asked.trace.to_string(), asked.flags), (TRACE.to_owned(), 0));
    assert_eq!(asked.parent.unwrap().to_string(), SPAN);
    assert_eq!(asked.method, Some(ParentMethod::Header));
    let served = observed.place(Side::Server, "/header");
    assert_eq!((served.trace, served.parent), (asked.trace, Some(asked.span)));
    // The header is passed on as it came: the call still belongs to the request.
    let called = observed.place(Side::Client, "/header/down");
    assert_eq!((called.trace, called.parent), (asked.trace, Some(served.span)));
    assert_eq!((called.method, called.flags), (Some(ParentMethod::Task), 0));
    let answered = observed.place(Side::Server, "/header/down");
    assert_eq!((answered.trace, answered.parent), (asked.trace, Some(called.span)));

    let split = serve(|_| ());
    let request = get("/split", &line);
    let at = request.len() / 2;
    let mut client = TcpStream::connect(split).unwrap();
    client.write_all(&request[..at]).unwrap();
    thread::sleep(Duration::from_millis(20));
    ask(&mut client, &request[at..]);
    assert_eq!(observed.place(Side::Server, "/split").trace.to_string(), TRACE);
}

/// Both ends of a unix connection find each other.
fn unix(observed: &mut Observed) {
    let (mut near, mut far) = UnixStream::pair().unwrap();
    thread::spawn(move || answer_all(&mut far, &|_| ()));
    for path in ["/unix/1", "/unix/2"] {
        ask(&mut near, &get(path, ""));
        let asked = observed.place(Side::Client, path);
        let served = observed.place(Side::Server, path);
        assert_eq!((served.trace, served.parent), (asked.trace, Some(asked.span)));
        assert_eq!(served.method, Some(ParentMethod::SocketPair));
    }
}

/// A thread that has read two requests serves neither; when one is answered, it serves the other.
fn several_at_once(observed: &mut Observed) {
    let down = serve(|_| ());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let looping = thread::spawn(move || {
        let mut both: Vec<_> = (0..2).map(|_| listener.accept().unwrap().0).collect();
        for stream in &mut both {
            let mut bytes = [0; 4096];
            assert!(stream.read(&mut bytes).unwrap() > 0);
        }
        call(down, "/several/two", "");
        both[0].write_all(ANSWER).unwrap();
        call(down, "/several/one", "");
        both[1].write_all(ANSWER).unwrap();
    });
    let mut clients: Vec<_> = (0..2).map(|_| TcpStream::connect(at).unwrap()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.write_all(&get(&format!("/several/{n}"), "")).unwrap();
    }
    looping.join().unwrap();
    let two = observed.place(Side::Client, "/several/two");
    assert_eq!((two.parent, two.method), (None, None));
    let left = observed.place(Side::Server, "/several/1");
    let one = observed.place(Side::Client, "/several/one");
    assert_eq!((one.trace, one.parent), (left.trace, Some(left.span)));
    assert_eq!(one.method, Some(ParentMethod::OnlyCandidate));
}

/// Reads one request from a socket that does not wait.
fn read_loosely(listener: &TcpListener) -> TcpStream {
    let mut stream = listener.accept().unwrap().0;
    stream.set_nonblocking(true).unwrap();
    let mut bytes = [0; 4096];
    while !matches!(stream.read(&mut bytes), Ok(1..)) {
        thread::sleep(Duration::from_millis(1));
    }
    stream.set_nonblocking(false).unwrap();
    stream
}

/// Threads that do not wait may work for each other: while two of them have a request, neither has its own.
fn loose_threads(observed: &mut Observed) {
    let down = serve(|_| ());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut clients: Vec<_> =
        (0..2).map(|_| TcpStream::connect(listener.local_addr().unwrap()).unwrap()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.write_all(&get(&format!("/loose/{n}"), "")).unwrap();
    }
    let mut first = read_loosely(&listener);
    thread::spawn(move || {
        let mut second = read_loosely(&listener);
        call(down, "/loose/two", "");
        second.write_all(ANSWER).unwrap();
    })
    .join()
    .unwrap();
    call(down, "/loose/one", "");
    first.write_all(ANSWER).unwrap();
    let two = observed.place(Side::Client, "/loose/two");
    assert_eq!((two.parent, two.method), (None, None));
    let left = observed.place(Side::Server, "/loose/0");
    let one = observed.place(Side::Client, "/loose/one");
    assert_eq!((one.parent, one.method), (Some(left.span), Some(ParentMethod::OnlyCandidate)));
}

/// A thread that was created for a request calls once for it; whether it does so again, only its end would show.
fn kept_threads(observed: &mut Observed) {
    let down = serve(|_| ());
    let front = serve(move |path| {
        let path = path.to_owned();
        let twice = move || ["1", "2"].map(|n| call(down, &format!("{path}/{n}"), ""));
        thread::spawn(twice).join().unwrap();
    });
    // Some have ended in the tests before, some have outlived their request.
    call(front, "/kept", "");
    let served = observed.place(Side::Server, "/kept");
    let first = observed.place(Side::Client, "/kept/1");
    assert_eq!((first.parent, first.method), (Some(served.span), Some(ParentMethod::Ancestor)));
    let second = observed.place(Side::Client, "/kept/2");
    assert_eq!((second.parent, second.method), (None, None));
}

/// Gauges tell how full the tables are: while a request is served, it, its task and its connection have rows.
fn tables(observed: &Observed) {
    let (answer, wait) = sync_channel::<()>(0);
    let wait = std::sync::Mutex::new(wait);
    // Ends when the sender is dropped.
    let front = serve(move |_| assert!(wait.lock().unwrap().recv().is_err()));
    let client = thread::spawn(move || call(front, "/tables", ""));
    let end = Instant::now() + Duration::from_secs(20);
    for what in ["rows.connections", "rows.tasks", "rows.requests"] {
        let rows = || observed.board.readings().iter().any(|r| r.what == what && r.value > 0);
        while !rows() {
            assert!(Instant::now() < end, "no {what}: {:?}", observed.board.readings());
            thread::sleep(Duration::from_millis(10));
        }
    }
    drop(answer);
    client.join().unwrap();
}
