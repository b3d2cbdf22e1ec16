// SPDX-License-Identifier: Apache-2.0
//! HTTP/1.1 by hand: a client that can do what is rude, load that counts, and a server nobody observes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

const PATIENCE: Duration = Duration::from_secs(60);

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Length of the body.
    pub len: usize,
}

/// A connection to a port of this host.
pub struct Talk {
    conn: BufReader<TcpStream>,
}

impl Talk {
    /// Connects to an IPv4 port.
    pub fn to(port: u16) -> Result<Self> {
        Self::at(&format!("127.0.0.1:{port}"))
    }

    /// Connects to an address with a port.
    pub fn at(address: &str) -> Result<Self> {
        let conn =
            TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
        conn.set_nodelay(true)?;
        conn.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { conn: BufReader::new(conn) })
    }

    /// Sends bytes as they are.
    pub fn say(&mut self, bytes: &[u8]) -> Result<()> {
        self.conn.get_mut().write_all(bytes).context("sending")
    }

    /// Ends the sending half.
    pub fn hush(&mut self) -> Result<()> {
        self.conn.get_mut().shutdown(Shutdown::Write).context("ending the sending half")
    }

    /// Asks for `path` and waits for the answer.
    pub fn get(&mut self, path: &str) -> Result<Answer> {
        self.ask("GET", path)
    }

    /// Sends a request without a body and waits for the answer.
    pub fn ask(&mut self, method: &str, path: &str) -> Result<Answer> {
        self.say(request(method, path, "").as_bytes())?;
        self.hear(method == "HEAD")
    }

    /// Reads one answer; one without a body when it answers HEAD.
    pub fn hear(&mut self, bare: bool) -> Result<Answer> {
        let (status, length) = self.head()?;
        let no_body = bare || status < 200 || status == 204 || status == 304;
        let len = match length {
            _ if no_body => 0,
            Length::Known(len) => self.skip(len)?,
            Length::Chunked => self.chunks()?,
        };
        Ok(Answer { status, len })
    }

    /// Reads exactly `len` bytes.
    pub fn read(&mut self, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.conn.read_exact(&mut bytes).context("reading")?;
        Ok(bytes)
    }

    fn head(&mut self) -> Result<(u16, Length)> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.with_context(|| format!("no status in {first:?}"))?;
        let mut length = Length::Known(0);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                return Ok((status, length));
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = Length::Known(value.trim().parse()?);
            } else if line.starts_with("transfer-encoding:") {
                length = Length::Chunked;
            }
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.conn.read_line(&mut line)? > 0, "the connection was closed");
        Ok(line.trim_end().to_owned())
    }

    fn chunks(&mut self) -> Result<usize> {
        let mut sum = 0;
        loop {
            let len = usize::from_str_radix(&self.line()?, 16).context("length of a chunk")?;
            sum += self.skip(len)?;
            self.line()?;
            if len == 0 {
                return Ok(sum);
            }
        }
    }

    fn skip(&mut self, len: usize) -> Result<usize> {
        let take = u64::try_from(len)?;
        let got = std::io::copy(&mut self.conn.by_ref().take(take), &mut std::io::sink())?;
        ensure!(got == take, "the answer ended {got} bytes into {len}");
        Ok(len)
    }
}

enum Length {
    Known(usize),
    Chunked,
}

/// A request's head; `more` are further header lines, each with its end.
#[must_use]
pub fn request(method: &str, path: &str, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: shop.example\r\n{more}\r\n")
}

/// Asks for `path` on a connection of its own.
pub fn get(port: u16, path: &str) -> Result<Answer> {
    Talk::to(port)?.get(path)
}

/// Asks `total` times over `connections`, as fast as it goes, and returns how many answers were good.
/// The n-th request asks for `/load/n`.
pub fn load(port: u16, connections: usize, total: usize) -> Result<usize> {
    let next = Arc::new(AtomicUsize::new(0));
    let worker = |next: Arc<AtomicUsize>| {
        move || -> Result<usize> {
            let mut talk = Talk::to(port)?;
            let mut good = 0;
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= total {
                    return Ok(good);
                }
                let answer = talk.get(&format!("/load/{n}"))?;
                good += usize::from(answer.status == 200);
            }
        }
    };
    let crew: Vec<_> = (0..connections).map(|_| thread::spawn(worker(Arc::clone(&next)))).collect();
    let mut sum = 0;
    for member in crew {
        sum += member.join().ok().context("a client thread panicked")??;
    }
    Ok(sum)
}

/// A server inside the test, so never observed: 200 to everything, or the number in `/status/N`.
pub struct Origin {
    /// Its port.
    pub port: u16,
    answered: Arc<AtomicUsize>,
}

impl Origin {
    /// Listens on a free port until the test ends.
    pub fn start() -> Result<Self> {
        Self::slow(|_| Duration::ZERO)
    }

    /// The same, but answers a path only after a while.
    pub fn slow(delay: fn(&str) -> Duration) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let answered = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&answered);
        thread::spawn(move || {
            for conn in listener.incoming().flatten() {
                let count = Arc::clone(&count);
                // A client that hangs up ends its own thread, nothing else.
                thread::spawn(move || attend(conn, delay, &count).ok());
            }
        });
        Ok(Self { port, answered })
    }

    /// How many requests it answered.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }
}

fn attend(conn: TcpStream, delay: fn(&str) -> Duration, answered: &AtomicUsize) -> Result<()> {
    conn.set_nodelay(true)?;
    let mut talk = Talk { conn: BufReader::new(conn) };
    loop {
        let first = talk.line()?;
        let mut body = 0;
        loop {
            let line = talk.line()?.to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                body = value.trim().parse()?;
            }
            if line.is_empty() {
                break;
            }
        }
        talk.skip(body)?;
        thread::sleep(delay(first.split(' ').nth(1).unwrap_or_default()));
        let status = first.split_once("/status/").and_then(|(_, rest)| rest.get(..3));
        let status = status.unwrap_or("200");
        talk.say(
            format!("HTTP/1.1 {status} Said\r\nContent-Length: 7\r\n\r\norigin\n").as_bytes(),
        )?;
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_asks_exactly_as_often_as_told() {
        let origin = Origin::start().unwrap();
        assert_eq!(load(origin.port, 8, 500).unwrap(), 500);
        assert_eq!(origin.answered(), 500);
        let answer = get(origin.port, "/status/503").unwrap();
        assert_eq!(answer, Answer { status: 503, len: 7 });
    }
}
