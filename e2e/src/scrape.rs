// SPDX-License-Identifier: Apache-2.0
//! Prometheus text (0.0.4) as samples, and the plain GET that fetches it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// One line of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Sample {
    /// The value of a label; empty when there is none of that name.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// Fetches `path` of a port on this host as text.
pub fn get(port: u16, path: &str) -> Result<String> {
    let mut conn = TcpStream::connect(("127.0.0.1", port)).context("connecting to the endpoint")?;
    conn.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(conn, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    conn.read_to_string(&mut answer).context("reading the page")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no end of head")?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{path} answered {head}");
    // Pages have a length; a chunked one would not parse below.
    Ok(body.to_owned())
}

/// Reads a page, strictly: whatever is not a comment must be a sample.
pub fn parse(page: &str) -> Result<Vec<Sample>> {
    let lines = page.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| sample(line).with_context(|| format!("in line {line:?}"))).collect()
}

fn sample(line: &str) -> Result<Sample> {
    let name_len = line.find(['{', ' ']).context("no value")?;
    let (name, mut rest) = line.split_at(name_len);
    ensure!(!name.is_empty(), "no name");
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (key, after) = rest.split_once("=\"").context("a label without a value")?;
            let (value, after) = quoted(after)?;
            labels.insert(key.to_owned(), value);
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = rest.strip_prefix('}').context("no end of labels")?;
    }
    let value = rest.trim().parse().with_context(|| format!("{rest:?} is not a number"))?;
    Ok(Sample { name: name.to_owned(), labels, value })
}

/// A label's value up to its closing quote, and what follows.
fn quoted(text: &str) -> Result<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, text.get(at + 1..).unwrap_or_default())),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('\\' | '"'))) => value.push(c),
                other => bail!("unknown escape {other:?}"),
            },
            c => value.push(c),
        }
    }
    bail!("a label's value has no end")
}

/// The sum of all samples called `name`.
#[must_use]
pub fn sum(samples: &[Sample], name: &str) -> f64 {
    samples.iter().filter(|sample| sample.name == name).map(|sample| sample.value).sum()
}

/// The sum of the samples called `name` of these places, given as `stage` or `stage/reason`.
#[must_use]
pub fn sum_of(samples: &[Sample], name: &str, places: &[&str]) -> f64 {
    let of_place = |sample: &&Sample| {
        let stage = sample.label("stage");
        let reason = format!("{stage}/{}", sample.label("reason"));
        sample.name == name && places.iter().any(|place| *place == stage || *place == reason)
    };
    samples.iter().filter(of_place).map(|sample| sample.value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_unescaped_and_values_read() {
        let page = "# HELP a b\na{x=\"1\",y=\"q\\\"\\n\\\\\"} 2.5\n\nb 7\n";
        let samples = parse(page).unwrap();
        assert_eq!((samples[0].label("y"), samples[0].value), ("q\"\n\\", 2.5));
        assert_eq!((samples[1].name.as_str(), sum(&samples, "b")), ("b", 7.0));
    }

    #[test]
    fn what_is_no_sample_is_refused() {
        for line in ["a", "a{x=\"1\" 2", "a{x} 1", "a{x=\"1\"} one", " 1"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
