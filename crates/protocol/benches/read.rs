// SPDX-License-Identifier: Apache-2.0
//! What it costs to understand the goldens: nanoseconds per exchange and bytes per second of one core.
//!
//! `cargo bench -p vor-protocol`. The second figure of a line is the cost of claiming, which happens once per
//! connection.

#![allow(clippy::unwrap_used, clippy::panic, reason = "without its goldens it cannot measure")]

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use vor_model::Side;
use vor_protocol::claim::claim;
use vor_protocol::{ALL, Next, Opening, Protocol};

#[allow(dead_code, reason = "shared with tests, which use the rest")]
#[path = "../tests/talk/mod.rs"]
mod talk;

use talk::{Talk, connection, goldens, load, time};

const ROUNDS: u32 = 20_000;

fn main() {
    let mut all = Vec::new();
    for (_, path) in goldens() {
        let talks: Vec<Talk> = load(&path);
        measure(&path, &talks);
        all.extend(talks);
    }
    measure(Path::new("all"), &all);
}

fn measure(path: &Path, talks: &[Talk]) {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let readable: Vec<_> = talks.iter().filter_map(|talk| Some((talk, protocol(talk)?))).collect();
    let exchanges: usize = readable.iter().map(|(talk, _)| talk.exchanges.len()).sum();
    let Some(count) = u32::try_from(exchanges).ok().filter(|count| *count > 0) else { return };
    let captured = |talk: &Talk| {
        talk.exchanges.iter().map(|it| it.request.len() + it.response.len()).sum::<usize>()
    };
    let bytes: usize = readable.iter().map(|(talk, _)| captured(talk)).sum();
    let rounds = (ROUNDS / count).max(1);

    let start = Instant::now();
    for _ in 0..rounds {
        for (talk, protocol) in &readable {
            read(*protocol, talk);
        }
    }
    let each = start.elapsed().as_secs_f64() / f64::from(rounds * count);

    let start = Instant::now();
    for _ in 0..rounds {
        for exchange in talks.iter().filter_map(|talk| talk.exchanges.first()) {
            black_box(claim(ALL, black_box(exchange), None));
        }
    }
    let claims = f64::from(rounds) * f64::from(u32::try_from(talks.len()).unwrap_or(u32::MAX));
    let claimed = start.elapsed().as_secs_f64() / claims;
    let size = f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / f64::from(count);
    eprintln!(
        "{name:24} read {:5.0} ns per exchange of {size:4.0} bytes, {:6.0} MB/s; claim {:4.0} ns",
        each * 1e9,
        size / each / 1e6,
        claimed * 1e9
    );
}

fn protocol(talk: &Talk) -> Option<&'static dyn Protocol> {
    let claimed = claim(ALL, talk.exchanges.first()?, None)?;
    (!claimed.swapped).then_some(claimed.protocol)
}

/// Reads `talk` as the server does, with a conversation of its own.
fn read(protocol: &dyn Protocol, talk: &Talk) {
    let conn = connection(Side::Server);
    let about = Opening { side: Side::Server, conn: &conn, from_start: !talk.midway };
    let mut conversation = protocol.open(&about);
    let mut done = Vec::new();
    for (number, exchange) in talk.exchanges.iter().enumerate() {
        let read = conversation.read(black_box(exchange), time(number), &mut done);
        black_box(&done);
        done.clear();
        if matches!(read, Err(_) | Ok(Next::Ignore)) {
            return;
        }
    }
}
