// SPDX-License-Identifier: Apache-2.0
//! The lines that `trace_printer: text` and `trace_printer: tree` print, read back.

use std::time::Duration;

use anyhow::{Context, Result};

/// One printed span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// `HTTP` or `GRPC` for a server span, `HTTPClient` or `GRPCClient` for a client span.
    pub label: String,
    /// Status.
    pub code: u16,
    /// Method.
    pub verb: String,
    /// Path.
    pub object: String,
    /// First to last byte.
    pub time: Duration,
    /// Name of the service.
    pub service: String,
    /// Its language.
    pub language: String,
    /// `00-trace-span[parent]-flags`; empty for one of a tree.
    pub context: String,
}

impl Line {
    /// Whether it is a server span.
    #[must_use]
    pub fn is_server(&self) -> bool {
        !self.label.ends_with("Client")
    }
}

/// Reads one line.
pub fn parse(line: &str) -> Result<Line> {
    read(line).with_context(|| format!("no printed span: {line:?}"))
}

fn read(line: &str) -> Option<Line> {
    let mut words = line.split(' ');
    // Date and time of day.
    let (_, _) = (words.next()?, words.next()?);
    let (_, time) = words.next()?.strip_suffix("])")?.split_once('[')?;
    let (_, rest) = line.split_once("] traceparent=[")?;
    span(time, words, line, rest.strip_suffix(']')?)
}

/// The span that a line of a tree is: `9.5ms HTTP 200 GET /cart svc=[shop/cart python] parent by task`.
#[must_use]
pub fn leaf(line: &str) -> Option<Line> {
    let mut words = line.trim_start().split(' ');
    span(words.next()?, words, line, "")
}

/// The words after the time: what, status, verb, object; in the whole line stands the service.
fn span<'a>(
    time: &str,
    mut words: impl Iterator<Item = &'a str>,
    line: &str,
    context: &str,
) -> Option<Line> {
    let [label, code, verb, object] =
        [words.next()?, words.next()?, words.next()?, words.next()?].map(str::to_owned);
    let (_, rest) = line.split_once(" svc=[")?;
    let (service, _) = rest.split_once(']')?;
    let (service, language) = service.rsplit_once(' ')?;
    Some(Line {
        label,
        code: code.parse().ok()?,
        verb,
        object,
        time: duration(time)?,
        service: service.to_owned(),
        language: language.to_owned(),
        context: context.to_owned(),
    })
}

/// A duration as Go prints it: `1m2.5s`, `2.87ms`, `432µs`, `0s`.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let mut sum = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit_len = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "µs" | "us" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * seconds;
        rest = tail;
    }
    Duration::try_from_secs_f64(sum).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "2025-06-01 12:00:01.000234 (2.87ms[2.5ms]) HTTP 200 GET /items/7 \
        [10.0.0.1 as 10.0.0.1:40000]->[10.0.0.2 as 10.0.0.2:8080] size:12B svc=[shop/cart python] \
        traceparent=[00-abababababababababababababababab-cdcdcdcdcdcdcdcd[0000000000000000]-01]";

    #[test]
    fn a_line_is_read_back() {
        let line = parse(LINE).unwrap();
        assert!(line.is_server());
        assert_eq!((line.code, line.verb.as_str(), line.object.as_str()), (200, "GET", "/items/7"));
        assert_eq!((line.service.as_str(), line.language.as_str()), ("shop/cart", "python"));
        assert_eq!(line.time, Duration::from_micros(2500));
        assert!(line.context.ends_with("[0000000000000000]-01"));
        assert!(parse("hello").is_err());
    }

    #[test]
    fn a_line_of_a_tree_is_read_back() {
        let line = leaf("    2.5ms HTTP 200 GET /items/7 svc=[shop/cart python] parent by task");
        let line = line.unwrap();
        assert_eq!((line.code, line.object.as_str()), (200, "/items/7"));
        assert_eq!((line.service.as_str(), line.language.as_str()), ("shop/cart", "python"));
        assert_eq!(line.time, Duration::from_micros(2500));
        assert_eq!(leaf("trace 8f3c1d4be1b54cf0a0f5f2f5a3f9be71"), None);
    }

    #[test]
    fn durations_have_units() {
        for (text, micros) in
            [("432µs", Some(432)), ("1m2.5s", Some(62_500_000)), ("0s", Some(0)), ("5", None)]
        {
            assert_eq!(duration(text), micros.map(Duration::from_micros), "{text}");
        }
    }
}
