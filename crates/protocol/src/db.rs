// SPDX-License-Identifier: Apache-2.0
//! What a call of a database is, whoever saw it: statement and outcome → [`Operation`], by the OpenTelemetry
//! semantic conventions for databases.
//!
//! A statement's text may hold what people wrote, so only its verb and its first table are told.

use std::borrow::Cow;
use std::sync::Arc;

use vor_model::semconv::{DURATION_BUCKETS, ERROR_TYPE, SERVER_ADDRESS, SERVER_PORT};
use vor_model::{
    Attrs, Family, Group, Headline, Instrument, Key, Kind, Measure, Operation, Status,
};

use crate::http::Authority;

const SYSTEM: Key = Key::new("db.system.name");
const OPERATION: Key = Key::new("db.operation.name");
const COLLECTION: Key = Key::new("db.collection.name");

static DURATION: Family = Family {
    name: "db.client.operation.duration",
    standard: true,
    group: Group::Application,
    unit: "s",
    help: "Duration of database calls",
    instrument: Instrument::Histogram(DURATION_BUCKETS),
    measure: Measure::Duration,
    labels: &[SYSTEM, OPERATION, COLLECTION, ERROR_TYPE, SERVER_ADDRESS, SERVER_PORT],
    optional: &[],
};

/// Every family that databases feed.
pub static FAMILIES: &[&Family] = &[&DURATION];

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// The kind of database, as `db.system.name` names it.
    pub system: &'static str,
    /// What was asked for (`SELECT`, `GET`); empty when that is not known.
    pub verb: Arc<str>,
    /// Of what: a table, a key. Shown to people only, unless it is a collection.
    pub object: Arc<str>,
    /// Whether `object` is a table or the like, whose names are few.
    pub collection: bool,
    /// Whether it failed.
    pub failed: bool,
    /// The server, when it is named.
    pub server: Option<Authority>,
}

/// What a statement of SQL asks for.
#[must_use]
pub fn sql(statement: &str) -> Query {
    let words = || statement.split(|c: char| c.is_ascii_whitespace() || "(),;".contains(c));
    let mut words = words().filter(|word| !word.is_empty());
    let verb = words.next().unwrap_or_default().to_ascii_uppercase();
    let leads = |word: &str| {
        let word = word.to_ascii_uppercase();
        match verb.as_str() {
            "UPDATE" => false,
            "CREATE" | "DROP" | "ALTER" | "TRUNCATE" => word == "TABLE",
            _ => word == "FROM" || word == "INTO",
        }
    };
    let table = if verb == "UPDATE" {
        words.next()
    } else {
        words.find(|word| leads(word)).and_then(|_| words.next())
    };
    let plain = |c: char| c.is_alphanumeric() || "_.$".contains(c);
    let table = table.map(|table| table.trim_matches(['"', '`', '[', ']']));
    let table = table.filter(|table| !table.is_empty() && table.chars().all(plain));
    let known = verb.chars().all(|c| c.is_ascii_alphabetic());
    Query {
        system: "other_sql",
        verb: if known { verb.as_str().into() } else { "".into() },
        object: table.unwrap_or_default().into(),
        collection: table.is_some(),
        ..Query::default()
    }
}

impl Query {
    /// The operation that it was for the one who asked.
    #[must_use]
    pub fn operation(self) -> Operation {
        let Self { system, verb, object, collection, failed, server } = self;
        let mut attrs = Attrs::new().with(SYSTEM, system);
        if !verb.is_empty() {
            attrs.set(OPERATION, Arc::clone(&verb));
        }
        if collection {
            attrs.set(COLLECTION, Arc::clone(&object));
        }
        if failed {
            attrs.set(ERROR_TYPE, "_OTHER");
        }
        if let Some(Authority { host, port }) = server {
            attrs.set(SERVER_ADDRESS, host);
            if let Some(port) = port {
                attrs.set(SERVER_PORT, port);
            }
        }
        let name: Cow<'static, str> = match (verb.is_empty(), collection) {
            (true, _) => system.into(),
            (false, true) => format!("{verb} {object}").into(),
            (false, false) => verb.to_string().into(),
        };
        let label = if system == "redis" { "RedisClient" } else { "SQLClient" };
        Operation {
            protocol: if system == "redis" { "redis" } else { "sql" },
            kind: Kind::Client,
            name,
            status: if failed { Status::Error("".into()) } else { Status::Unset },
            headline: Headline {
                label,
                code: failed.into(),
                verb: verb.to_string().into(),
                object,
                size: 0,
            },
            families: FAMILIES,
            context: None,
            handled: None,
            attrs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verb_and_table_are_found_and_nothing_else_is_told() {
        for (statement, verb, table) in [
            ("SELECT a, b FROM items WHERE name = 'ann'", "SELECT", "items"),
            ("insert into \"orders\"(id) values ($1)", "INSERT", "orders"),
            ("update shop.stock set n = n - 1", "UPDATE", "shop.stock"),
            ("DELETE FROM `cart`;", "DELETE", "cart"),
            ("CREATE TABLE IF NOT EXISTS x (a int)", "CREATE", "IF"),
            ("begin", "BEGIN", ""),
            ("SELECT 'secret'", "SELECT", ""),
            ("SELECT * FROM (SELECT 1) t", "SELECT", "SELECT"),
            ("", "", ""),
            ("/* hi */ SELECT 1", "", ""),
        ] {
            let query = sql(statement);
            assert_eq!((&*query.verb, &*query.object), (verb, table), "{statement}");
        }
    }
}
