// SPDX-License-Identifier: Apache-2.0
//! `bpf/pure/head.h` built for the host: what is a request by its strict reading, where its head ends, what it says.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

mod host;

const MORE: u64 = 0;
const OVER: u64 = 1;
const OTHER: u64 = 2;

const TRACEPARENT: u64 = 1;
const TUNNEL: u64 = 2;

/// End, bytes that were read, what was found.
fn read(heads: &[&[u8]]) -> Vec<[u64; 3]> {
    let mut input = Vec::new();
    for head in heads {
        input.extend(u16::try_from(head.len()).unwrap().to_le_bytes());
        input.extend(*head);
    }
    let numbers =
        |line: &str| -> Vec<u64> { line.split(' ').map(|n| n.parse().unwrap()).collect() };
    host::say("head", input).lines().map(|line| numbers(line).try_into().unwrap()).collect()
}

#[test]
fn a_head_ends_where_it_ends_and_says_what_it_says() {
    let cases: &[(&str, u64)] = &[
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0),
        ("GET / HTTP/1.0\r\n\r\n", 0),
        ("POST /x HTTP/1.1\r\nContent-Length: 12\r\nHost: a\r\n\r\n", 0),
        ("POST /x HTTP/1.1\r\ncontent-length:\t7 \r\n\r\n", 0),
        ("PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 0),
        ("GET / HTTP/1.1\r\ntraceparent: 1\r\n\r\n", TRACEPARENT),
        ("GET / HTTP/1.1\r\nX: y\r\nTraceParent:1\r\nZ: z\r\n\r\n", TRACEPARENT),
        ("GET / HTTP/1.1\r\nX: traceparent: 1\r\nxtraceparent: 1\r\n\r\n", 0),
        ("GET /?traceparent: HTTP/1.1\r\nTraceparents: 1\r\ntraceparen: 1\r\n\r\n", 0),
        ("GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", 0),
        ("CONNECT a:443 HTTP/1.1\r\n\r\n", TUNNEL),
        ("GET / HTTP/1.1\r\nX: a\r\n traceparent: folded\r\n\r\n", 0),
    ];
    for (text, found) in cases {
        let seen = read(&[[text.as_bytes(), b"GET"].concat().as_slice()])[0];
        assert_eq!(seen, [OVER, u64::try_from(text.len()).unwrap(), *found], "{text:?}");
        let cuts: Vec<_> = (0..text.len()).map(|cut| &text.as_bytes()[..cut]).collect();
        assert!(read(&cuts).iter().all(|seen| seen[0] == MORE), "{text:?}");
    }
}

#[test]
fn what_is_not_exactly_a_request_is_none() {
    for text in [
        "get / HTTP/1.1\r\n\r\n",
        " GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / RTSP/1.0\r\n\r\n",
        "INVITE sip:a SIP/2.0\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / HTTP/1.1 \r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "GE\0 / HTTP/1.1\r\n\r\n",
        "*1\r\n$4\r\nPING\r\n",
        "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03",
    ] {
        assert_eq!(read(&[text.as_bytes()])[0][0], OTHER, "{text:?}");
    }
}

#[test]
fn noise_is_no_request() {
    let mut random = 1_u64;
    let mut noise = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        random.to_be_bytes()[0]
    };
    let heads: Vec<Vec<u8>> = (0..500).map(|_| (0..300).map(|_| noise()).collect()).collect();
    let heads: Vec<_> = heads.iter().map(Vec::as_slice).collect();
    for seen in read(&heads) {
        assert_ne!(seen[0], OVER);
    }
}
