// SPDX-License-Identifier: Apache-2.0
//! What is said at the socket of a JVM: one request, one answer (`attachListener_linux.cpp` of the JDK).
//!
//! The other end may be anybody and say anything: it is asked only if it is the JVM, and its answer is read up to a
//! bound of bytes and of time.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::event::PollFlags;
use rustix::io::{Errno, read, write};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with,
    sockopt::socket_peercred,
};

use super::{Refusal, Time};

/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 4096;
/// Characters of an answer that are shown.
const MAX_SHOWN: usize = 200;
/// What stands before the agent's own result, since JDK 9.
const RESULT: &str = "return code:";

/// Has the JVM `pid`, whose `socket` this is, load the agent at `path`.
pub(super) fn load(
    socket: &OwnedFd,
    pid: u32,
    path: &Path,
    time: &Time<'_>,
) -> Result<(), Refusal> {
    let talk = reach(socket, time)?;
    let peer = socket_peercred(&talk).map_err(Refusal::Socket)?;
    if u32::try_from(peer.pid.as_raw_nonzero().get()) != Ok(pid) {
        return Err(Refusal::Stranger);
    }
    ask(&talk, &request(path), time)?;
    understand(&hear(&talk, time)?)
}

/// The version, the command, and three arguments: the file, that its path is absolute, and no options.
fn request(path: &Path) -> Vec<u8> {
    let mut request = b"1\0load\0".to_vec();
    request.extend(path.as_os_str().as_bytes());
    request.extend(b"\0true\0\0");
    request
}

/// Connects to a socket by its file, wherever that may be moved to meanwhile.
fn reach(socket: &OwnedFd, time: &Time<'_>) -> Result<OwnedFd, Refusal> {
    let path = format!("/proc/self/fd/{}", socket.as_raw_fd());
    let address = SocketAddrUnix::new(path).map_err(Refusal::Socket)?;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let talk = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
    let talk = talk.map_err(Refusal::Socket)?;
    loop {
        match connect(&talk, &address) {
            Ok(()) => return Ok(talk),
            // Others wait before us.
            Err(Errno::AGAIN | Errno::INTR) => time.pause()?,
            Err(error) => return Err(Refusal::Socket(error)),
        }
    }
}

fn ask(talk: &OwnedFd, mut request: &[u8], time: &Time<'_>) -> Result<(), Refusal> {
    while !request.is_empty() {
        match write(talk, request) {
            Ok(written) => request = request.get(written..).unwrap_or_default(),
            Err(Errno::AGAIN | Errno::INTR) => {
                time.wait(talk, PollFlags::OUT)?;
            }
            Err(error) => return Err(Refusal::Socket(error)),
        }
    }
    Ok(())
}

fn hear(talk: &OwnedFd, time: &Time<'_>) -> Result<Vec<u8>, Refusal> {
    let mut answer = Vec::new();
    let mut bytes = [0; 512];
    while answer.len() < MAX_ANSWER {
        match read(talk, &mut bytes) {
            Ok(0) => break,
            Ok(count) => answer.extend(bytes.get(..count).unwrap_or_default()),
            Err(Errno::AGAIN | Errno::INTR) => {
                time.wait(talk, PollFlags::IN)?;
            }
            Err(error) => return Err(Refusal::Socket(error)),
        }
    }
    Ok(answer)
}

/// A line with 0 if the JVM did what it was asked for, then its own words: the agent's result, or why there is none.
fn understand(answer: &[u8]) -> Result<(), Refusal> {
    let answer = String::from_utf8_lossy(answer);
    let (code, words) = answer.split_once('\n').unwrap_or((&answer, ""));
    let result = words.trim().trim_start_matches(RESULT).trim();
    match (code, result.parse()) {
        ("0", Ok(0)) => Ok(()),
        ("0", Ok(result)) => Err(Refusal::Agent(result)),
        _ => Err(Refusal::Said(shown(&answer))),
    }
}

fn shown(answer: &str) -> String {
    let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
    answer.trim().chars().take(MAX_SHOWN).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_five_strings() {
        assert_eq!(request(Path::new("/tmp/a.so")), b"1\0load\0/tmp/a.so\0true\0\0");
    }

    #[test]
    fn an_answer_is_understood_whatever_the_jdk() {
        let said = |answer: &[u8]| understand(answer).map_err(|refusal| refusal.to_string());
        assert_eq!(said(b"0\n0\n"), Ok(()));
        assert_eq!(said(b"0\nreturn code: 0\n"), Ok(()));
        assert_eq!(understand(b"0\nreturn code: 17\n"), Err(Refusal::Agent(17)));
        assert_eq!(
            said(b"0\n/tmp/x.so was not loaded.\n/tmp/x.so: cannot open\n"),
            Err("the JVM says: 0 /tmp/x.so was not loaded. /tmp/x.so: cannot open".into())
        );
        assert_eq!(said(b"101\n"), Err("the JVM says: 101".into()));
        assert_eq!(said(b"\x1b[2J\xff"), Err("the JVM says:  [2J\u{fffd}".into()));
        assert!(said(&[b'x'; 9999]).unwrap_err().len() < 300);
        assert!(said(b"").is_err());
    }
}
