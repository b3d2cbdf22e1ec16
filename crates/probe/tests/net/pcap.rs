// SPDX-License-Identifier: Apache-2.0
//! tcpdump, and what it saw: read here by other code than the kernel program's, so that one checks the other.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::{Child, Command, Stdio};

use super::{Space, Sums};

/// A running tcpdump.
pub(crate) struct Capture {
    child: Child,
    file: tempfile::NamedTempFile,
}

impl Capture {
    pub(crate) fn start(space: &Space, iface: &str) -> Self {
        Self::of(space, iface, "")
    }

    /// Only of packets that `filter` (of tcpdump) lets pass.
    pub(crate) fn of(space: &Space, iface: &str, filter: &str) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let words = [
            "-i",
            iface,
            "-w",
            &path,
            "-U",
            "--immediate-mode",
            "-s",
            "200",
            "-B",
            "65536",
            "-Z",
            "root",
        ];
        let mut child = Command::new("ip")
            .args(["netns", "exec", &space.0, "tcpdump"])
            .args(words)
            .args(filter.split_whitespace())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "tcpdump ended");
        }
        child.stderr = Some(said.into_inner());
        Self { child, file }
    }

    /// What passed, by flow. Frames that carry no IP are returned as a count and their bytes.
    pub(crate) fn stop(mut self) -> (Sums, (u64, u64)) {
        // It was started above; it ends when what it has seen is written.
        let pid = self.child.id().to_string();
        std::thread::sleep(std::time::Duration::from_millis(300));
        Command::new("kill").args(["-INT", &pid]).status().unwrap();
        self.child.wait().unwrap();
        read(&fs::read(self.file.path()).unwrap())
    }
}

fn u16_be(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn read(file: &[u8]) -> (Sums, (u64, u64)) {
    let word = |at: usize| u32::from_ne_bytes(file[at..at + 4].try_into().unwrap());
    assert_eq!(word(0), 0xa1b2_c3d4, "a file of this machine's byte order");
    let link = Link::of(word(20));
    let (mut sums, mut others, mut ports) = (Sums::new(), (0, 0), BTreeMap::new());
    let mut at = 24;
    while at < file.len() {
        let (kept, len) = (usize::try_from(word(at + 8)).unwrap(), u64::from(word(at + 12)));
        let made_up = link.made_up();
        let frame = &file[at + 16 + made_up..at + 16 + kept];
        let len = len - u64::try_from(made_up).unwrap();
        at += 16 + kept;
        match flow(frame, link == Link::Ethernet, &mut ports) {
            Some(key) => {
                let sum = sums.entry(key).or_default();
                *sum = (sum.0 + 1, sum.1 + len);
            }
            None => others = (others.0 + 1, others.1 + len),
        }
    }
    (sums, others)
}

/// What packets begin with in a file (<https://www.tcpdump.org/linktypes.html>).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    Ethernet,
    Ip,
    /// A header that tcpdump has made up.
    Cooked,
}

impl Link {
    fn of(number: u32) -> Self {
        match number {
            1 => Self::Ethernet,
            12 | 101 => Self::Ip,
            other => {
                assert_eq!(other, 113, "a kind of packets that is not read here");
                Self::Cooked
            }
        }
    }

    const fn made_up(self) -> usize {
        match self {
            Self::Ethernet | Self::Ip => 0,
            Self::Cooked => 16,
        }
    }
}

type Ports = BTreeMap<(String, String, u32), (u16, u16)>;

fn flow(frame: &[u8], ethernet: bool, known: &mut Ports) -> Option<(u8, String, String)> {
    let mut ip = frame;
    if ethernet {
        let mut kind = 12;
        while matches!(u16_be(frame, kind), 0x8100 | 0x88a8) {
            kind += 4;
        }
        if !matches!(u16_be(frame, kind), 0x0800 | 0x86dd) {
            return None;
        }
        ip = &frame[kind + 2..];
    }
    if ip.len() < 20 {
        return None;
    }
    let (protocol, src, dst, rest, fragment) = if ip[0] >> 4 == 4 { ipv4(ip) } else { ipv6(ip) };
    let has_ports = matches!(protocol, 6 | 17 | 33 | 132 | 136);
    let later = fragment.is_some_and(|(offset, _)| offset > 0);
    let mut ports = (0, 0);
    if has_ports && !later {
        ports = (u16_be(rest, 0), u16_be(rest, 2));
    }
    if let Some((_, id)) = fragment {
        let key = (src.clone(), dst.clone(), id);
        if later {
            ports = known.get(&key).copied().unwrap_or_default();
        } else {
            known.insert(key, ports);
        }
    }
    Some((protocol, format!("{src}:{}", ports.0), format!("{dst}:{}", ports.1)))
}

type Network<'a> = (u8, String, String, &'a [u8], Option<(u16, u32)>);

fn ipv4(ip: &[u8]) -> Network<'_> {
    let address = |at: usize| Ipv4Addr::new(ip[at], ip[at + 1], ip[at + 2], ip[at + 3]).to_string();
    let field = u16_be(ip, 6);
    let fragment = (field & 0x3fff != 0).then(|| (field & 0x1fff, u32::from(u16_be(ip, 4))));
    (ip[9], address(12), address(16), &ip[usize::from(ip[0] & 15) * 4..], fragment)
}

fn ipv6(ip: &[u8]) -> Network<'_> {
    let address = |at: usize| {
        let bytes: [u8; 16] = ip[at..at + 16].try_into().unwrap();
        Ipv6Addr::from(bytes).to_string()
    };
    let (mut next, mut at, mut fragment) = (ip[6], 40, None);
    while matches!(next, 0 | 43 | 44 | 60) {
        let len = if next == 44 {
            let id = u32::from_be_bytes(ip[at + 4..at + 8].try_into().unwrap());
            fragment = Some((u16_be(ip, at + 2) >> 3, id));
            8
        } else {
            (usize::from(ip[at + 1]) + 1) * 8
        };
        next = ip[at];
        at += len;
        if fragment.is_some_and(|(offset, _)| offset > 0) {
            break;
        }
    }
    (next, address(8), address(24), &ip[at..], fragment)
}
