// SPDX-License-Identifier: Apache-2.0
//! Talks: what was said on connections, as text.
//!
//! ```text
//! # a comment
//! > GET / HTTP/1.1\r\n\r\n      the request; more such lines go on with it
//! < HTTP/1.1 200 OK\r\n...500   its answer, of which 500 bytes more passed without being captured
//! --- next                      ends an exchange that lacks an answer; otherwise the next `>` does
//! --- timed out                 the same, because no answer came in time
//! --- closed                    the same, because the connection was closed
//! --- new connection            what follows is said on another connection
//! --- joined midway             the same, and its beginning was not seen
//! ```
//!
//! `\r`, `\n`, `\t`, `\\`, `\.` and `\xNN` stand for bytes, every other character for itself.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use vor_model::{
    ConnId, Connection, Done, Ending, Endpoint, Exchange, Interval, Mono, Side, Transport,
};
use vor_protocol::claim::claim;
use vor_protocol::{ALL, Next, Opening, Protocol, Unreadable};

/// What was said on one connection.
#[derive(Debug, Default, Clone)]
pub(crate) struct Talk {
    /// Whether its beginning was not seen.
    pub(crate) midway: bool,
    /// In order.
    pub(crate) exchanges: Vec<Exchange>,
}

/// Reads a text; `None` when it is not one of talks.
pub(crate) fn parse(text: &str) -> Option<Vec<Talk>> {
    let mut talks = vec![Talk::default()];
    let mut open = Open::default();
    for line in text.lines() {
        let talk = talks.last_mut()?;
        if let Some(said) = line.strip_prefix("> ") {
            if open.answering {
                open.end(Ending::Answered, talk);
            }
            said_by(said, &mut open.request)?;
        } else if let Some(said) = line.strip_prefix("< ") {
            open.answering = true;
            said_by(said, &mut open.response)?;
        } else {
            match line {
                "--- next" => open.end(Ending::Answered, talk),
                "--- timed out" => open.end(Ending::TimedOut, talk),
                "--- closed" => open.end(Ending::Closed, talk),
                "--- new connection" | "--- joined midway" => {
                    open.end(Ending::Answered, talk);
                    let midway = line.ends_with("midway");
                    if talk.exchanges.is_empty() {
                        talk.midway = midway;
                    } else {
                        talks.push(Talk { midway, exchanges: Vec::new() });
                    }
                }
                other if other.is_empty() || other.starts_with('#') => {}
                _ => return None,
            }
        }
    }
    open.end(Ending::Answered, talks.last_mut()?);
    Some(talks)
}

#[derive(Default)]
struct Open {
    request: Run,
    response: Run,
    answering: bool,
}

#[derive(Default)]
struct Run {
    bytes: Vec<u8>,
    unseen: u64,
}

impl Run {
    fn len(&self) -> u64 {
        u64::try_from(self.bytes.len()).unwrap() + self.unseen
    }
}

impl Open {
    /// Exchanges begin every millisecond and last a quarter of one.
    fn end(&mut self, ending: Ending, talk: &mut Talk) {
        let Self { request, response, .. } = std::mem::take(self);
        if request.len() + response.len() == 0 {
            return;
        }
        let time = time(talk.exchanges.len());
        talk.exchanges.push(Exchange {
            request_len: request.len(),
            response_len: response.len(),
            request: request.bytes.into(),
            response: response.bytes.into(),
            request_end: time.start,
            response_start: time.end,
            ending,
        });
    }
}

/// When the exchange with this number was.
pub(crate) fn time(number: usize) -> Interval {
    let start = 1_000_000 * (1 + u64::try_from(number).unwrap());
    Interval { start: Mono(start), end: Mono(start + 250_000) }
}

fn said_by(mut text: &str, run: &mut Run) -> Option<()> {
    while let Some(c) = text.chars().next() {
        if let Some(count) = text.strip_prefix("...") {
            run.unseen = count.parse().ok().filter(|unseen| *unseen < 1 << 40)?;
            return Some(());
        }
        if c != '\\' {
            run.bytes.extend_from_slice(text.get(..c.len_utf8())?.as_bytes());
            text = text.get(c.len_utf8()..)?;
            continue;
        }
        let (byte, len) = match text.as_bytes().get(1)? {
            b'r' => (b'\r', 2),
            b'n' => (b'\n', 2),
            b't' => (b'\t', 2),
            b'\\' => (b'\\', 2),
            b'.' => (b'.', 2),
            b'x' => (u8::from_str_radix(text.get(2..4)?, 16).ok()?, 4),
            _ => return None,
        };
        run.bytes.push(byte);
        text = text.get(len..)?;
    }
    Some(())
}

/// Every file of talks, with the name of the folder it is in.
pub(crate) fn goldens() -> Vec<(String, PathBuf)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for unit in std::fs::read_dir(src).unwrap().map(|entry| entry.unwrap().path()) {
        let Ok(files) = std::fs::read_dir(unit.join("golden")) else { continue };
        let name = unit.file_name().unwrap().to_string_lossy().into_owned();
        for file in files.map(|entry| entry.unwrap().path()) {
            if file.extension().is_some_and(|end| end == "talk") {
                found.push((name.clone(), file));
            }
        }
    }
    found.sort();
    found
}

/// The talks of a file.
pub(crate) fn load(path: &Path) -> Vec<Talk> {
    let text = std::fs::read_to_string(path).unwrap();
    parse(&text).unwrap_or_else(|| panic!("{} is not a talk", path.display()))
}

/// Between 10.0.0.1:40000, which asks, and 10.0.0.2:8080, as seen from `side`.
pub(crate) fn connection(side: Side) -> Connection {
    let end = |at: &str| Endpoint::Inet(at.parse::<SocketAddr>().unwrap());
    let (client, server) = (end("10.0.0.1:40000"), end("10.0.0.2:8080"));
    let (local, remote) = match side {
        Side::Client => (client, server),
        Side::Server => (server, client),
    };
    let id = ConnId { socket: 1, serial: 1 };
    Connection { id, transport: Transport::Tcp, tls: false, local, remote }
}

/// What became of a talk.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Who read it.
    pub(crate) protocol: Option<&'static str>,
    /// What each exchange, and after them the end of the connection, gave.
    pub(crate) steps: Vec<Step>,
}

/// What one exchange gave.
#[derive(Debug)]
pub(crate) struct Step {
    /// Operations.
    pub(crate) done: Vec<Done>,
    /// And what else.
    pub(crate) result: Result<Next, Unreadable>,
}

/// Reads `talk` as a process on `side` would be heard: the first who claims it reads on, until told otherwise.
pub(crate) fn hear(talk: &Talk, side: Side) -> Heard {
    let mut heard = Heard::default();
    let Some(first) = talk.exchanges.first() else { return heard };
    let Some(claimed) = claim(ALL, first, None) else { return heard };
    if !claimed.swapped {
        heard.protocol = Some(claimed.protocol.info().name);
        heard.steps = read(claimed.protocol, talk, side);
    }
    heard
}

/// Reads `talk` with `protocol`, whether it claims it or not.
pub(crate) fn read(protocol: &dyn Protocol, talk: &Talk, side: Side) -> Vec<Step> {
    let conn = connection(side);
    let about = Opening { side, conn: &conn, from_start: !talk.midway };
    let mut conversation = protocol.open(&about);
    let mut steps = Vec::new();
    for (number, exchange) in talk.exchanges.iter().enumerate() {
        let mut done = Vec::new();
        let result = conversation.read(exchange, time(number), &mut done);
        steps.push(Step { done, result });
        if matches!(result, Err(_) | Ok(Next::Ignore)) {
            return steps;
        }
    }
    let mut done = Vec::new();
    conversation.close(&mut done);
    steps.push(Step { done, result: Ok(Next::Same) });
    steps
}

/// A talk of one exchange, fully captured.
pub(crate) fn single(request: Bytes, response: Bytes) -> Talk {
    let len = |bytes: &Bytes| u64::try_from(bytes.len()).unwrap();
    let time = time(0);
    let exchange = Exchange {
        request_len: len(&request),
        response_len: len(&response),
        request,
        response,
        request_end: time.start,
        response_start: time.end,
        ending: Ending::Answered,
    };
    Talk { midway: false, exchanges: vec![exchange] }
}
