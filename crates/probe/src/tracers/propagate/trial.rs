// SPDX-License-Identifier: Apache-2.0
//! Before any program's socket gets into the socket map: what this kernel does to those of vor's own.
//!
//! Socket maps change the sockets in them, and kernels differ in what they break by that. What a program could notice is
//! tried on loopback connections of vor's own; one failure, and nothing is written into heads on this machine.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::time::Duration;

use libbpf_rs::{MapCore, MapFlags, MapHandle};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionread;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use rustix::pipe::{SpliceFlags, pipe, splice};
use zerocopy::{FromZeros, IntoBytes};

use crate::tracers::wire::WireSocket;

/// How long bytes may take from one end to the other. They take microseconds, unless a wake-up is lost.
const LIMIT: Duration = Duration::from_secs(5);
/// What waits to be read when it is counted and spliced.
const WAITING: usize = 1000;
/// Of a stream that is not to be touched.
const STREAM: usize = 1 << 20;
const BODY: usize = 100_000;
/// What the programs write for a connection that is only a trial.
const LINE: &str = "traceparent: 00-5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a-5a5a5a5a5a5a5a5a-01\r\n";

/// Tries it; an error says what is wrong.
pub(super) fn trial(known: &MapHandle) -> Result<(), String> {
    greeted(known)?;
    stream(known)?;
    requests(known)
}

/// A connection, at whose near end the programs write.
struct Pair {
    near: TcpStream,
    far: TcpStream,
}

impl Pair {
    fn new(known: &MapHandle) -> Result<Self, String> {
        let said = |error: io::Error| format!("a connection to try it on: {error}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(said)?;
        let near = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(|error| said(error.into()))?;
        let mut mark = WireSocket::new_zeroed();
        mark.trial = 1;
        known
            .update(&near.as_raw_fd().to_ne_bytes(), mark.as_bytes(), MapFlags::ANY)
            .map_err(|error| format!("the kernel keeps nothing in a socket: {error:#}"))?;
        let there = listener.local_addr().map_err(said)?;
        connect(&near, &there).map_err(|error| said(error.into()))?;
        let (far, _) = listener.accept().map_err(said)?;
        let near = TcpStream::from(near);
        for end in [&near, &far] {
            end.set_read_timeout(Some(LIMIT)).map_err(said)?;
            end.set_write_timeout(Some(LIMIT)).map_err(said)?;
        }
        Ok(Self { near, far })
    }

    /// Sends `pieces`, each by one call, and demands that exactly `expected` arrives.
    fn passes(&mut self, what: &str, pieces: &[&[u8]], expected: &[u8]) -> Result<(), String> {
        let Self { near, far } = self;
        let mut arrived = vec![0; expected.len()];
        let (sent, read) = thread::scope(|scope| {
            let sending = scope.spawn(|| pieces.iter().try_for_each(|piece| near.write_all(piece)));
            let read = far.read_exact(&mut arrived);
            (sending.join(), read)
        });
        let sent = sent.unwrap_or_else(|_| Err(io::Error::other("a thread panicked")));
        sent.and(read).map_err(|error| format!("{what} does not arrive: {error}"))?;
        if arrived == expected { Ok(()) } else { Err(format!("{what} arrives changed")) }
    }
}

/// Bytes that arrive at `near` wake who waits for them, are counted, and can be spliced.
fn arrives(pair: &mut Pair) -> Result<(), String> {
    let said = |error: io::Error| format!("bytes for a socket that was in a map: {error}");
    let bytes = noise(WAITING);
    pair.far.write_all(&bytes).map_err(said)?;
    let limit = Timespec { tv_sec: i64::try_from(LIMIT.as_secs()).unwrap_or(1), tv_nsec: 0 };
    let mut waits = [PollFd::new(&pair.near, PollFlags::IN)];
    if poll(&mut waits, Some(&limit)).map_err(|error| said(error.into()))? == 0 {
        return Err("poll does not tell of bytes that have arrived".into());
    }
    let counted = ioctl_fionread(&pair.near).map_err(|error| said(error.into()))?;
    if usize::try_from(counted) != Ok(WAITING) {
        return Err(format!(
            "FIONREAD counts {counted} of {WAITING} bytes that wait: a defect of sockets in maps that Linux has since \
             6.6.128, 6.12.75, 6.18.14 and 6.19, by which programs hang; and they do not leave the map here"
        ));
    }
    let (out, inside) = pipe().map_err(|error| said(error.into()))?;
    let spliced =
        splice(pair.near.as_fd(), None, inside.as_fd(), None, WAITING, SpliceFlags::NONBLOCK);
    let mut arrived = vec![0; spliced.unwrap_or(0)];
    File::from(out).read_exact(&mut arrived).map_err(said)?;
    if arrived == bytes { Ok(()) } else { Err("splice does not get what has arrived".into()) }
}

/// The other end speaks first.
fn greeted(known: &MapHandle) -> Result<(), String> {
    arrives(&mut Pair::new(known)?)
}

/// What is no HTTP arrives as it was sent, whichever call sends it.
fn stream(known: &MapHandle) -> Result<(), String> {
    let bytes = noise(STREAM);
    let mut pair = Pair::new(known)?;
    let pieces: Vec<_> = bytes.chunks(60_001).collect();
    pair.passes("a stream", &pieces, &bytes)?;
    arrives(&mut pair)?;
    let said = |error: io::Error| format!("a spliced stream does not arrive: {error}");
    let mut pair = Pair::new(known)?;
    let (out, inside) = pipe().map_err(|error| said(error.into()))?;
    let first = bytes.get(..WAITING).unwrap_or_default();
    File::from(inside).write_all(first).map_err(said)?;
    let into = splice(out.as_fd(), None, pair.near.as_fd(), None, WAITING, SpliceFlags::empty());
    let mut arrived = vec![0; into.map_err(|error| said(error.into()))?];
    pair.far.read_exact(&mut arrived).map_err(said)?;
    if arrived == first { Ok(()) } else { Err("a spliced stream arrives changed".into()) }
}

/// First requests get one line, where they have none, and are otherwise what they were.
fn requests(known: &MapHandle) -> Result<(), String> {
    let plain = "GET /1 HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
    let own = "GET /2 HTTP/1.1\r\nTRACEparent: 1\r\nHost: a\r\n\r\n";
    let line = |text: &str| text.replace("\r\n\r\n", &format!("\r\n{LINE}\r\n"));
    let body = noise(BODY);
    let post = format!("POST /3 HTTP/1.1\r\nContent-Length: {BODY}\r\n\r\n");
    let posted = [line(&post).as_bytes(), &body].concat();
    let whole = [post.as_bytes(), &body].concat();
    let pieces = |text: &'static str, size| text.as_bytes().chunks(size).collect::<Vec<_>>();
    for (what, sent, expected) in [
        ("a request", vec![plain.as_bytes()], line(plain).as_bytes()),
        ("a request in pieces", pieces(plain, 13), line(plain).as_bytes()),
        ("a request with its own header", vec![own.as_bytes()], own.as_bytes()),
        ("one in pieces with its own header", pieces(own, 10), own.as_bytes()),
        ("a request with a body", vec![whole.as_slice()], posted.as_slice()),
    ] {
        let mut pair = Pair::new(known)?;
        pair.passes(what, &sent, expected)?;
        arrives(&mut pair)?;
        pair.passes("the next request", &[plain.as_bytes()], plain.as_bytes())?;
    }
    Ok(())
}

/// Bytes without a pattern, always the same.
fn noise(len: usize) -> Vec<u8> {
    let mut word = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        word.to_le_bytes()
    };
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend(next());
    }
    bytes.truncate(len);
    bytes
}
