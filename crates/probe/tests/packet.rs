// SPDX-License-Identifier: Apache-2.0
//! `bpf/pure/packet.h` built for the host: every kind of header, cut at every byte, and noise.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const WHOLE: i64 = 0;
const CUT: i64 = 1;
const OTHER: i64 = 2;
const BROKEN: i64 = 3;
const ETHERNET: u16 = 0x6558;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// What the C code made of one packet, in the order in which it prints it.
#[derive(Debug, PartialEq, Clone)]
struct Seen {
    verdict: i64,
    read: i64,
    protocol: i64,
    ports: (i64, i64),
    fragment: i64,
    vlan: i64,
    flags: i64,
    end: i64,
    tunnel: i64,
    inside: (i64, i64, i64),
}

fn run(cases: &[(u16, Vec<u8>)]) -> Vec<Seen> {
    let dir = tempfile::tempdir().unwrap();
    let (root, program) = (Path::new(env!("CARGO_MANIFEST_DIR")), dir.path().join("packet"));
    let built = Command::new("cc")
        .args(["-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined"])
        .args(["-fno-sanitize=alignment", "-I"])
        .arg(root.join("bpf"))
        .arg(root.join("tests/pure/packet.c"))
        .arg("-o")
        .arg(&program)
        .status()
        .unwrap();
    assert!(built.success());
    let mut child =
        Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = Vec::new();
    for (kind, bytes) in cases {
        input.extend(kind.to_ne_bytes());
        input.extend(u16::try_from(bytes.len()).unwrap().to_ne_bytes());
        input.extend(bytes);
    }
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "a sanitizer stopped it");
    let line = |line: &str| {
        let n: Vec<i64> = line.split(' ').map(|n| n.parse().unwrap()).collect();
        Seen {
            verdict: n[0],
            read: n[1],
            protocol: n[2],
            ports: (n[3], n[4]),
            fragment: n[5],
            vlan: n[6],
            flags: n[7],
            end: n[8],
            tunnel: n[9],
            inside: (n[10], n[11], n[12]),
        }
    };
    let seen: Vec<_> = String::from_utf8(output.stdout).unwrap().lines().map(line).collect();
    assert_eq!(seen.len(), cases.len());
    seen
}

fn ipv4(protocol: u8, fragment: u16, options: usize, rest: &[u8]) -> Vec<u8> {
    let words = u8::try_from(5 + options / 4).unwrap();
    let mut packet = vec![0x40 | words, 0, 0, 0, 0, 9];
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    packet.extend(vec![1; options]);
    [packet, rest.to_vec()].concat()
}

fn ipv6(next: u8, rest: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, next, 64];
    packet.extend([0xfd; 32]);
    [packet, rest.to_vec()].concat()
}

fn tcp(options: usize) -> Vec<u8> {
    let words = u8::try_from(5 + options / 4).unwrap();
    let head = [0x10, 1, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, words << 4, 0x12, 1, 0, 0, 0, 0, 0];
    [head.to_vec(), vec![1; options]].concat()
}

fn udp(dst: u16, payload: &[u8]) -> Vec<u8> {
    [&[0x10, 1][..], &dst.to_be_bytes(), &[0; 4], payload].concat()
}

fn ethernet(tags: &[u16], kind: u16, rest: &[u8]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    for tag in tags {
        frame.extend([0x81, 0]);
        frame.extend(tag.to_be_bytes());
    }
    frame.extend(kind.to_be_bytes());
    [frame, rest.to_vec()].concat()
}

/// Packets, and what is read of them: protocol, ports, fragment, tag, bytes of headers, tunnel, ports inside.
type Case = (u16, Vec<u8>, i64, (i64, i64), i64, i64, usize, u16, Option<(i64, i64)>);

#[expect(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<Case> {
    let ports = |dst| (0x1001, dst);
    let inner = ethernet(&[], IPV4, &ipv4(6, 0, 0, &tcp(0)));
    let frag6 = |offset: u16| [&[17, 0][..], &offset.to_be_bytes(), &[0, 0, 0, 9]].concat();
    let hop = [&[43, 1][..], &[0; 14]].concat();
    let routing = [17, 0, 0, 0, 0, 0, 0, 0];
    let ah = [&[6, 4][..], &[0; 22]].concat();
    vec![
        (IPV4, ipv4(6, 0, 0, &tcp(0)), 6, ports(80), 0, 0, 40, 0, None),
        (IPV4, ipv4(6, 0, 40, &tcp(40)), 6, ports(80), 0, 0, 120, 0, None),
        (
            ETHERNET,
            ethernet(&[], IPV4, &ipv4(17, 0, 0, &udp(53, &[]))),
            17,
            ports(53),
            0,
            0,
            42,
            0,
            None,
        ),
        (
            ETHERNET,
            ethernet(&[7], IPV6, &ipv6(17, &udp(53, &[]))),
            17,
            ports(53),
            0,
            7,
            66,
            0,
            None,
        ),
        (ETHERNET, ethernet(&[9, 7], IPV4, &ipv4(1, 0, 0, &[8; 8])), 1, (0, 0), 0, 9, 42, 0, None),
        (IPV4, ipv4(17, 0x2000, 0, &udp(53, &[])), 17, ports(53), 1, 0, 28, 0, None),
        (IPV4, ipv4(17, 0x2007, 0, &udp(53, &[])), 17, (0, 0), 2, 0, 20, 0, None),
        (IPV4, ipv4(17, 0x4000, 0, &udp(53, &[])), 17, ports(53), 0, 0, 28, 0, None),
        (
            IPV6,
            ipv6(0, &[hop, routing.to_vec(), udp(53, &[])].concat()),
            17,
            ports(53),
            0,
            0,
            72,
            0,
            None,
        ),
        (IPV6, ipv6(51, &[ah, tcp(0)].concat()), 6, ports(80), 0, 0, 84, 0, None),
        (IPV6, ipv6(44, &[frag6(1), udp(53, &[])].concat()), 17, ports(53), 1, 0, 56, 0, None),
        (IPV6, ipv6(44, &[frag6(8), udp(53, &[])].concat()), 17, (0, 0), 2, 0, 48, 0, None),
        (IPV6, ipv6(59, &[]), 59, (0, 0), 0, 0, 40, 0, None),
        (
            IPV4,
            ipv4(132, 0, 0, &[&[0x10, 1, 0, 80][..], &[0; 8]].concat()),
            132,
            ports(80),
            0,
            0,
            32,
            0,
            None,
        ),
        (
            IPV4,
            ipv4(17, 0, 0, &udp(4789, &[vec![0; 8], inner.clone()].concat())),
            17,
            ports(4789),
            0,
            0,
            36,
            ETHERNET,
            Some(ports(80)),
        ),
        (
            IPV4,
            ipv4(
                17,
                0,
                0,
                &udp(
                    6081,
                    &[vec![2, 0, 0x65, 0x58, 0, 0, 0, 0], vec![0; 8], inner.clone()].concat(),
                ),
            ),
            17,
            ports(6081),
            0,
            0,
            44,
            ETHERNET,
            Some(ports(80)),
        ),
        (
            IPV4,
            ipv4(47, 0, 0, &[vec![0xb0, 0, 0x65, 0x58], vec![0; 12], inner].concat()),
            47,
            (0, 0),
            0,
            0,
            36,
            ETHERNET,
            Some(ports(80)),
        ),
        (IPV4, ipv4(4, 0, 0, &ipv4(6, 0, 0, &tcp(0))), 4, (0, 0), 0, 0, 20, IPV4, Some(ports(80))),
        (IPV4, ipv4(41, 0, 0, &ipv6(6, &tcp(0))), 41, (0, 0), 0, 0, 20, IPV6, Some(ports(80))),
        (IPV4, ipv4(50, 0, 0, &[5; 30]), 50, (0, 0), 0, 0, 20, 0, None),
    ]
}

#[test]
fn every_kind_of_header_is_read_to_its_end() {
    let cases = cases();
    let seen = run(&cases.iter().map(|case| (case.0, case.1.clone())).collect::<Vec<_>>());
    for (case, seen) in cases.iter().zip(&seen) {
        let (_, _, protocol, ports, fragment, vlan, end, tunnel, inside) = case;
        assert_eq!((seen.verdict, seen.read), (WHOLE, 2), "{case:?}");
        assert_eq!((seen.protocol, seen.ports), (*protocol, *ports), "{case:?} {seen:?}");
        assert_eq!((seen.fragment, seen.vlan), (*fragment, *vlan), "{case:?} {seen:?}");
        assert_eq!(seen.end, i64::try_from(*end).unwrap(), "{case:?} {seen:?}");
        assert_eq!(seen.tunnel, i64::from(*tunnel), "{case:?} {seen:?}");
        let expected = inside.map_or((-1, 0, 0), |(src, dst)| (WHOLE, src, dst));
        assert_eq!(seen.inside, expected, "{case:?} {seen:?}");
    }
}

#[test]
fn a_packet_that_is_cut_anywhere_says_so_or_says_the_same() {
    let mut cut = Vec::new();
    let mut whole = Vec::new();
    for case in cases() {
        for len in 0..=case.1.len() {
            cut.push((case.0, case.1[..len].to_vec()));
            whole.push((case.0, case.1.clone()));
        }
    }
    for ((cut, seen), whole) in cut.iter().zip(run(&cut)).zip(run(&whole)) {
        match seen.verdict {
            CUT => assert!(seen.read < 2),
            WHOLE => {
                assert_eq!((seen.protocol, seen.ports), (whole.protocol, whole.ports), "{cut:?}");
            }
            _ => panic!("{cut:?} {seen:?}"),
        }
    }
}

#[test]
fn what_is_no_packet_is_refused_and_noise_is_survived() {
    let kinds = [
        (ETHERNET, ethernet(&[], 0x0806, &[0; 28]), OTHER),
        (ETHERNET, ethernet(&[1, 2, 3, 4], IPV4, &ipv4(17, 0, 0, &udp(1, &[]))), OTHER),
        (0x88cc, vec![0; 60], OTHER),
        (IPV4, ipv6(17, &udp(1, &[])), BROKEN),
        (IPV6, ipv4(17, 0, 0, &[0; 40]), BROKEN),
        (IPV4, vec![0x44; 40], BROKEN),
    ];
    let seen = run(&kinds.iter().map(|kind| (kind.0, kind.1.clone())).collect::<Vec<_>>());
    for (kind, seen) in kinds.iter().zip(seen) {
        assert_eq!(seen.verdict, kind.2, "{kind:?} {seen:?}");
    }
    // xorshift64: the same noise each time.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let noise: Vec<_> = (0..50_000)
        .map(|n| {
            let kind = [ETHERNET, IPV4, IPV6][n % 3];
            let len = usize::try_from(next() % 257).unwrap();
            let mut bytes: Vec<u8> = (0..len).map(|_| next().to_le_bytes()[3]).collect();
            // Half of it gets past the first look.
            if n % 2 == 0
                && let Some(first) = bytes.first_mut()
            {
                *first = if kind == IPV6 { 0x60 } else { 0x40 | *first & 0xf };
            }
            (kind, bytes)
        })
        .collect();
    for seen in run(&noise) {
        assert!((WHOLE..=BROKEN).contains(&seen.verdict), "{seen:?}");
    }
}
