// SPDX-License-Identifier: Apache-2.0
//! Calls of gRPC, unary and streaming, and how much is said in them.

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};

use super::{CALLS, Cell, SHARED, below, expect, said, sides};
use crate::scenario::Expected;
use crate::scene::Scene;

/// Calls of a client that is asked for sizes.
const SIZED: usize = 7;

/// A client calls a server, each time with one message, or with some.
pub(super) fn calls(cell: &Cell, scene: &mut Scene<'_>, kind: &str, port: u16) -> Result<Expected> {
    let method = match kind {
        "unary" => "Count",
        "stream" => "Watch",
        other => bail!("no kind {other}"),
    };
    let (text, calls) = (port.to_string(), CALLS.to_string());
    let server = scene.serve(cell.command(&["serve", &text]), port)?;
    let client = scene.start(cell.command(&["call", &text, kind, &calls]))?;
    cell.ask(scene, client, &[server])?;
    let spans = scene.spans(2 * CALLS)?;
    let (servers, clients) = sides(&spans);
    said(&servers)?;
    below(&servers, &clients, true)?;
    for side in [servers, clients] {
        ensure!(side.len() == CALLS, "{} spans of one side", side.len());
        let missing = side.iter().filter(|span| span.attr("rpc.grpc.status_code") == "5");
        ensure!(missing.count() == 1, "not one NOT_FOUND");
        for span in side {
            expect(span, "rpc.system", "grpc")?;
            expect(span, "rpc.service", "shop.Stock")?;
            expect(span, "rpc.method", method)?;
        }
    }
    Ok(Expected::both(CALLS, CALLS).losing(&SHARED))
}

/// Both ends tell of each call as many bytes as the programs say by themselves.
pub(super) fn sizes(cell: &Cell, scene: &mut Scene<'_>, port: u16) -> Result<Expected> {
    let text = port.to_string();
    let server = scene.serve(cell.command(&["serve", &text, "sizes"]), port)?;
    let client = scene.start(cell.command(&["call", &text, "sizes"]))?;
    cell.ask(scene, client, &[server])?;
    let spans = scene.spans(2 * SIZED)?;
    let told = spans.iter().map(|span| {
        let sizes = [span.attr("rpc.request.size"), span.attr("rpc.response.size")];
        let (end, [sent, received]) =
            if span.server { ("serve", [sizes[1], sizes[0]]) } else { ("call", sizes) };
        format!("{end} /shop.Stock/{} {sent} {received}", span.attr("rpc.method"))
    });
    let told: BTreeSet<String> = told.collect();
    let mut counted = BTreeSet::new();
    for actor in [server, client] {
        counted.extend(scene.program(actor)?.stdout()?.lines().map(str::to_owned));
    }
    ensure!(counted.len() == 2 * SIZED, "the programs said {counted:?}");
    ensure!(told == counted, "told {told:?}, not {counted:?}");
    Ok(Expected::both(SIZED, SIZED).losing(&SHARED))
}
