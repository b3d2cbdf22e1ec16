// SPDX-License-Identifier: Apache-2.0
//! Lists: whole or in pages, as they are or as they were.

use std::ops::Bound;

use bytes::Bytes;
use serde_json::json;

use crate::ask::Ask;
use crate::cluster::Cluster;
use crate::refusal::Refusal;
use crate::shape::Shape;
use crate::store::{Key, State};

pub(crate) fn list(cluster: &Cluster, ask: &Ask, shape: Shape) -> Result<Bytes, Refusal> {
    let selector = ask.query.selector()?;
    let (state, after) = state(cluster, ask)?;
    // A list from the cache of the server comes whole.
    let limit =
        if ask.query.text("resourceVersion") == "0" { None } else { ask.query.number("limit")? };
    let limit = limit.filter(|limit| *limit > 0).and_then(|limit| usize::try_from(limit).ok());

    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let objects = state.objects.range((from, Bound::Unbounded)).map(|(_, object)| object);
    let mut wanted: Vec<_> = objects
        .filter(|object| {
            let namespace = &object.fields["metadata"]["namespace"];
            (ask.namespace.is_empty() || *namespace == ask.namespace.as_str())
                && selector.wants(&object.fields)
        })
        .collect();
    let mut meta = json!({"resourceVersion": state.version.to_string()});
    if let Some(limit) = limit.filter(|limit| *limit < wanted.len()) {
        let remaining = wanted.len() - limit;
        wanted.truncate(limit);
        let last = wanted.last().map(|object| object.key());
        meta["continue"] = json!(last.map(|key| token(state.version, &key)));
        if selector == crate::selector::Selector::default() {
            meta["remainingItemCount"] = json!(remaining);
        }
    }
    Ok(shape.list(ask.kind, wanted.iter().map(|object| &***object), &meta))
}

/// The state to list, and after which object.
fn state(cluster: &Cluster, ask: &Ask) -> Result<(State, Option<Key>), Refusal> {
    let store = cluster.store();
    let asked = ask.query.number("resourceVersion")?.unwrap_or(0);
    let exact = ask.query.text("resourceVersionMatch");
    let given = !ask.query.text("resourceVersion").is_empty();
    match ask.query.text("continue") {
        "" => {}
        _ if asked > 0 => {
            let message = "specifying resource version is not allowed when using continue";
            return Err(Refusal::bad_request(message));
        }
        text => {
            let bad = || Refusal::bad_request("continue key is not valid: incorrect encoding");
            let (version, after) = parsed(text).ok_or_else(bad)?;
            let state = store.at(ask.kind, version).map_err(|_| Refusal::continue_expired())?;
            return Ok((state, Some(after)));
        }
    }
    match exact {
        "" | "NotOlderThan" | "Exact" => {}
        other => {
            let message = format!("resourceVersionMatch: Unsupported value: \"{other}\"");
            return Err(Refusal::invalid(message));
        }
    }
    if !exact.is_empty() && !given {
        let message = "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless \
                       resourceVersion is provided";
        return Err(Refusal::invalid(message));
    }
    if asked > store.version() {
        return Err(Refusal::too_new(asked, store.version()));
    }
    let state = if exact == "Exact" { store.at(ask.kind, asked)? } else { store.now(ask.kind) };
    Ok((state, None))
}

fn token(version: u64, last: &Key) -> String {
    format!("{version}/{}/{}", last.namespace, last.name)
}

fn parsed(token: &str) -> Option<(u64, Key)> {
    let mut parts = token.splitn(3, '/');
    let version = parts.next()?.parse().ok()?;
    let namespace = parts.next()?.to_owned();
    Some((version, Key { namespace, name: parts.next()?.to_owned() }))
}
