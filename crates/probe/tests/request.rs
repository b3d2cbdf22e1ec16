// SPDX-License-Identifier: Apache-2.0
//! `bpf/pure` built for the host: the trace that a request names is the one that user space reads, however the
//! request arrives.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use vor_model::{SpanId, TraceContext, TraceId};

mod host;

const LENGTH: u32 = 2;
const CHUNKED: u32 = 3;
const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What the C code made of one request.
#[derive(Debug, PartialEq, Clone)]
struct Seen {
    end: u32,
    head: usize,
    body: u64,
    context: Option<TraceContext>,
}

fn run(cases: &[(u8, String)]) -> Vec<Seen> {
    let mut input = Vec::new();
    for (step, request) in cases {
        input.push(*step);
        input.extend(u16::try_from(request.len()).unwrap().to_ne_bytes());
        input.extend(request.as_bytes());
    }
    let said = host::say("request", input);
    let seen: Vec<_> = said.lines().map(read).collect();
    assert_eq!(seen.len(), cases.len());
    seen
}

fn read(line: &str) -> Seen {
    let words: Vec<_> = line.split(' ').collect();
    let bytes = |digits: &str| -> Vec<u8> {
        (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
            .collect()
    };
    let trace = TraceId(bytes(words[3]).try_into().unwrap());
    let parent = SpanId(bytes(words[4]).try_into().unwrap());
    let context = TraceContext { trace, parent: Some(parent), flags: words[5].parse().unwrap() };
    assert_eq!(words[6], format!("00-{}-{}-0{}", words[3], words[4], context.flags & 1));
    Seen {
        end: words[0].parse().unwrap(),
        head: words[1].parse().unwrap(),
        body: words[2].parse().unwrap(),
        context: (trace != TraceId::default()).then_some(context),
    }
}

#[test]
fn a_value_is_taken_exactly_when_user_space_takes_it() {
    let mut values = vec![
        GOOD.to_owned(),
        format!("  \t {GOOD}"),
        format!("{GOOD} "),
        GOOD.replacen("00", "01", 1) + "-more",
        GOOD.replacen("00", "ff", 1),
        GOOD.to_owned() + "-more",
        GOOD.to_uppercase(),
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01".to_owned(),
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01".to_owned(),
        GOOD.replace("-01", "-00"),
        GOOD.replace("-01", "-ff"),
        String::new(),
    ];
    // Each byte spoilt, and each length.
    for at in 0..GOOD.len() {
        for spoilt in ["g", "/", ":", "`", "A", "-", " ", "0"] {
            values.push(format!("{}{spoilt}{}", &GOOD[..at], &GOOD[at + 1..]));
        }
        values.push(GOOD[..at].to_owned());
    }
    let cases: Vec<_> = values
        .iter()
        .map(|value| (255, format!("GET / HTTP/1.1\r\ntraceparent:{value}\r\nHost: a\r\n\r\n")))
        .collect();
    for (value, seen) in values.iter().zip(run(&cases)) {
        assert_eq!(seen.context, TraceContext::from_traceparent(value.as_bytes()), "{value:?}");
        assert_eq!(seen.end, LENGTH, "{value:?}");
    }
}

#[test]
fn the_header_is_found_anywhere_in_any_case_and_in_pieces() {
    let context = TraceContext::from_traceparent(GOOD.as_bytes());
    let long = format!("Cookie: {}\r\n", "x".repeat(1200));
    let requests = [
        (format!("GET / HTTP/1.1\r\nTRACEPARENT: {GOOD}\r\nHost: a\r\n\r\n"), LENGTH, 0, true),
        (format!("GET / HTTP/1.1\nHost: a\nTraceparent:{GOOD}\n\n"), LENGTH, 0, true),
        (format!("GET / HTTP/1.1\r\n{long}traceparent: {GOOD}\r\n\r\n"), LENGTH, 0, true),
        (
            format!("POST / HTTP/1.1\r\nContent-Length: 3\r\nTraceParent: {GOOD}\r\n\r\nabc"),
            LENGTH,
            3,
            true,
        ),
        (
            format!("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\ntraceparent: {GOOD}\r\n\r\n"),
            CHUNKED,
            0,
            true,
        ),
        (format!("GET / HTTP/1.1\r\nX-Traceparent: {GOOD}\r\n\r\n"), LENGTH, 0, false),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n\r\ntraceparent: {GOOD}\r\n\r\n"), LENGTH, 0, false),
        (format!("GET /?traceparent:{GOOD} HTTP/1.1\r\n\r\n"), LENGTH, 0, false),
    ];
    let steps = [1, 2, 7, 8, 9, 13, 64, 255];
    let cases: Vec<_> = requests
        .iter()
        .flat_map(|(request, ..)| steps.iter().map(move |step| (*step, request.clone())))
        .collect();
    for (at, seen) in run(&cases).into_iter().enumerate() {
        let (request, end, body, has) = &requests[at / steps.len()];
        let head =
            request.find("\r\n\r\n").map(|at| at + 4).or(request.find("\n\n").map(|at| at + 2));
        assert_eq!((seen.end, seen.body), (*end, *body), "{request:?}");
        assert_eq!(Some(seen.head), head, "{request:?}");
        assert_eq!(seen.context, context.filter(|_| *has), "{request:?}");
    }
}
