// SPDX-License-Identifier: Apache-2.0
//! Goldens: each `*.talk` gives, on either side, exactly what its `*.spans` says. `VOR_BLESS=1` rewrites those.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

#[allow(dead_code, reason = "shared with other tests, which use the rest")]
mod talk;

use std::fmt::Write;

use talk::{Step, goldens, hear, load};
use vor_model::{Done, Side, Status};
use vor_protocol::Next;

#[test]
fn every_talk_gives_its_spans() {
    let mut stale = Vec::new();
    for (_, path) in goldens() {
        let mut text = String::new();
        for (name, side) in [("server", Side::Server), ("client", Side::Client)] {
            writeln!(text, "== as {name}").unwrap();
            for talk in load(&path) {
                writeln!(text, "-- connection").unwrap();
                let heard = hear(&talk, side);
                if heard.protocol.is_none() {
                    writeln!(text, "unclaimed").unwrap();
                }
                heard.steps.iter().for_each(|step| show(step, &mut text));
            }
        }
        let spans = path.with_extension("spans");
        if std::env::var_os("VOR_BLESS").is_some() {
            std::fs::write(&spans, &text).unwrap();
        }
        if std::fs::read_to_string(&spans).unwrap_or_default() != text {
            stale.push(format!("{}:\n{text}", spans.display()));
        }
    }
    assert!(stale.is_empty(), "VOR_BLESS=1 rewrites:\n{}", stale.join("\n"));
}

/// One line per operation, attributes sorted, then what else is to be said.
fn show(step: &Step, text: &mut String) {
    step.done.iter().for_each(|done| line(done, text));
    match step.result {
        Ok(Next::Same) => {}
        Ok(next) => writeln!(text, "{next:?}").unwrap(),
        Err(error) => writeln!(text, "{error}").unwrap(),
    }
}

fn line(done: &Done, text: &mut String) {
    let operation = &done.operation;
    let headline = &operation.headline;
    let status = match &operation.status {
        Status::Unset => "unset".to_owned(),
        Status::Ok => "ok".to_owned(),
        Status::Error(why) => format!("error({why})"),
    };
    let ms = |nanos: u64| format!("{}.{:02}", nanos / 1_000_000, nanos / 10_000 % 100);
    let (start, end) = (ms(done.time.start.0), ms(done.time.end.0));
    write!(text, "{} {} {} ", headline.label, headline.code, headline.verb).unwrap();
    write!(text, "{} size:{}B ", headline.object.escape_default(), headline.size).unwrap();
    write!(text, "{start}-{end} {:?} \"{}\" {status}", operation.kind, operation.name).unwrap();
    if let Some(context) = operation.context {
        let parent = context.parent.unwrap_or_default();
        write!(text, " traceparent=00-{}-{parent}-{:02x}", context.trace, context.flags).unwrap();
    }
    let mut attrs: Vec<_> = operation
        .attrs
        .iter()
        .map(|(key, value)| format!(" {key}={}", value.to_string().escape_default()))
        .collect();
    attrs.sort();
    writeln!(text, "{}", attrs.concat()).unwrap();
}
