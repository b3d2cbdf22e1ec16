// SPDX-License-Identifier: Apache-2.0
//! HTTP/1.1 in TLS by several libraries, in one chain of calls.

use anyhow::{Result, ensure};

use super::{CALLS, Cell, SAID, below, expect, sides};
use crate::collector::Span;
use crate::ports;
use crate::scenario::Expected;
use crate::scene::Scene;

/// A client by hand asks a server of fasthttp, whose handler asks another server by `library`.
pub(super) fn run(
    cell: &Cell,
    scene: &mut Scene<'_>,
    library: &str,
    port: u16,
) -> Result<Expected> {
    let behind = ports::free()?;
    let (front, back, calls) = (port.to_string(), behind.to_string(), CALLS.to_string());
    let last = scene.serve(cell.command(&["serve", &back, library]), behind)?;
    let words = ["serve", &front, "fasthttp", &back, library];
    let first = scene.serve(cell.command(&words), port)?;
    let client = scene.start(cell.command(&["call", &front, "hand", &calls]))?;
    cell.ask(scene, client, &[first, last])?;
    // A call of Read that was under way before the probes came is not seen.
    let unseen = usize::from(library == "early");
    // Servers of net/http tell how long a request waits, too.
    let parts = if library == "net" { 2 * CALLS } else { 0 };
    let spans = scene.spans(4 * CALLS - unseen + parts)?;
    let (servers, clients) = sides(&spans);
    for (side, unseen) in [(&servers, unseen), (&clients, 0)] {
        ensure!(side.len() == 2 * CALLS - unseen, "{} spans of one side", side.len());
        for span in side {
            expect(span, "http.request.method", "GET")?;
            expect(span, "url.scheme", "https")?;
            let missing = [span.attr("url.path"), span.attr("url.full")].concat();
            let status = if missing.ends_with("/nowhere") { "404" } else { "200" };
            expect(span, "http.response.status_code", status)?;
        }
    }
    below(&servers, &clients, false)?;
    let (begin, inner): (Vec<&Span>, Vec<&Span>) =
        clients.iter().partition(|span| span.attr("server.port") == front);
    for client in inner {
        let is_parent = |span: &&&Span| span.id == client.parent && span.trace == client.trace;
        ensure!(servers.iter().filter(is_parent).count() == 1, "no server's call above {client:?}");
    }
    let said = begin.iter().filter(|span| span.trace == SAID.0 && span.parent == SAID.1);
    ensure!(said.count() == 1, "not one in the trace that was said");
    let first = begin.iter().filter(|span| span.parent.is_empty());
    ensure!(first.count() == CALLS - 1, "not all others begin a trace");
    Ok(Expected::both(2 * CALLS - unseen, 2 * CALLS))
}
