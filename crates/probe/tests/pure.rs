// SPDX-License-Identifier: Apache-2.0
//! `bpf/pure` built for the host: every answer, arriving in pieces of every size, must end where it ends.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

mod host;

const CUT: u32 = 0;
const UNKNOWN: u32 = 1;
const LENGTH: u32 = 2;
const CHUNKED: u32 = 3;
const CLOSE: u32 = 4;
const INTERIM: u32 = 5;
const UPGRADE: u32 = 6;

const OTHER: u32 = 0;
const REQUEST: u32 = 1;
const RESPONSE: u32 = 2;

/// What the C code made of one case.
#[derive(Debug, PartialEq, Clone, Copy)]
struct Seen {
    start: u32,
    end: u32,
    head: u32,
    body: u64,
}

struct Case<'a> {
    step: u8,
    request: &'a str,
    answer: &'a [u8],
}

fn run(cases: &[Case<'_>]) -> Vec<Seen> {
    let mut input = Vec::new();
    for case in cases {
        input.push(case.step);
        let mut word = [0; 8];
        let len = case.request.len().min(8);
        word[..len].copy_from_slice(&case.request.as_bytes()[..len]);
        input.extend(word);
        input.extend(u16::try_from(case.answer.len()).unwrap().to_ne_bytes());
        input.extend(case.answer);
    }
    host::say("http1", input)
        .lines()
        .map(|line| {
            let n: Vec<u64> = line.split(' ').map(|n| n.parse().unwrap()).collect();
            let small = |at: usize| u32::try_from(n[at]).unwrap();
            Seen { start: small(0), end: small(1), head: small(2), body: n[3] }
        })
        .collect()
}

#[test]
fn the_end_of_an_answer_is_found_however_it_arrives() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(2000));
    let answers: &[(&str, &str, u32, u64)] = &[
        ("GET / HT", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", LENGTH, 5),
        (
            "GET / HT",
            "HTTP/1.1 200 OK\r\ncontent-LENGTH:\t 12345678901 \r\n\r\n",
            LENGTH,
            12_345_678_901,
        ),
        ("GET / HT", "HTTP/1.1 200 OK\nContent-Length: 7\n\n", LENGTH, 7),
        ("GET / HT", "HTTP/1.0 200 OK\r\nServer: x\r\n\r\n", CLOSE, 0),
        ("GET / HT", "HTTP/1.1 200 OK\r\nX-Content-Length: 9\r\n\r\n", CLOSE, 0),
        ("HEAD / H", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", LENGTH, 0),
        ("GET / HT", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", LENGTH, 0),
        ("GET / HT", "HTTP/1.1 204 No Content\r\n\r\n", LENGTH, 0),
        ("GET / HT", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", CHUNKED, 0),
        ("GET / HT", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n", CHUNKED, 0),
        ("GET / HT", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", CLOSE, 0),
        ("POST / H", "HTTP/1.1 100 Continue\r\n\r\n", INTERIM, 0),
        ("GET / HT", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", UPGRADE, 0),
        ("CONNECT ", "HTTP/1.1 200 Connection established\r\n\r\n", UPGRADE, 0),
        ("GET / HT", "HTTP/1.1 200 OK\r\nContent-Le", CUT, 0),
        ("GET / HT", &long[..1024], UNKNOWN, 0),
    ];
    let mut cases = Vec::new();
    for (request, answer, ..) in answers {
        for step in [1, 2, 7, 8, 9, 13, 255] {
            cases.push(Case { step, request, answer: answer.as_bytes() });
        }
    }
    let seen = run(&cases);
    assert_eq!(seen.len(), cases.len());
    for ((case, seen), at) in cases.iter().zip(&seen).zip(0..) {
        let (_, answer, end, body) = answers[at / 7];
        assert_eq!(seen.end, end, "{answer:?} in steps of {}", case.step);
        assert_eq!(seen.start, RESPONSE);
        let whole =
            answer.find("\r\n\r\n").map(|n| n + 4).or_else(|| answer.find("\n\n").map(|n| n + 2));
        if let (Some(head), false) = (whole, end == UNKNOWN) {
            assert_eq!(usize::try_from(seen.head).unwrap(), head, "{answer:?}");
        }
        if end == LENGTH {
            assert_eq!(seen.body, body, "{answer:?} in steps of {}", case.step);
        }
    }
}

#[test]
fn what_a_message_starts_as() {
    let starts: &[(&[u8], u32)] = &[
        (b"GET / HTTP/1.1\r\n", REQUEST),
        (b"OPTIONS * HTTP/1.1\r\n", REQUEST),
        (b"M-SEARCH * HTTP/1.1\r\n", REQUEST),
        (b"VERSION-CONTROL /x HTTP/1.1", REQUEST),
        (b"CONNECT [::1]:443 HTTP/1.1", REQUEST),
        (b"GET http://h/ HTTP/1.1", REQUEST),
        (b"HTTP/1.1 200 OK\r\n", RESPONSE),
        (b"HTTP/2 200 OK\r\nxx", OTHER),
        (b"*3\r\n$3\r\nSET\r\n", OTHER),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", OTHER),
        (b"GET /", OTHER),
        (b"get / http/1.1\r\n", OTHER),
        (b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA /", OTHER),
    ];
    let cases: Vec<_> =
        starts.iter().map(|(answer, _)| Case { step: 255, request: "", answer }).collect();
    for ((bytes, start), seen) in starts.iter().zip(run(&cases)) {
        assert_eq!(seen.start, *start, "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn noise_neither_hangs_nor_reads_out_of_bounds() {
    let mut random = 1_u64;
    let mut noise = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        random.to_be_bytes()[0]
    };
    let answers: Vec<Vec<u8>> = (0..500)
        .map(|at| {
            let mut answer = b"HTTP/1.1 200 OK\r\ncontent-length:".to_vec();
            answer.truncate(at % 33);
            while answer.len() < 1024 {
                let byte = noise();
                answer.push(if byte < 16 { b'\n' } else { byte });
            }
            answer
        })
        .collect();
    let cases: Vec<_> = answers
        .iter()
        .zip((1..=255).cycle())
        .map(|(answer, step)| Case { step, request: "GET / HT", answer })
        .collect();
    assert_eq!(run(&cases).len(), cases.len());
}
