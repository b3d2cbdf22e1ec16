// SPDX-License-Identifier: Apache-2.0
//! `struct go_db_record` → [`Captured::Operation`].

use vor_model::{Captured, Done};
use vor_protocol::db::{self, Query};
use vor_protocol::http::Authority;
use zerocopy::FromBytes;

use super::super::call::{origin, text};
use crate::tracers::DecodeError;
use crate::tracers::wire::{GO_DB_REDIS, GO_DB_SQL, GoDbRecord};

pub(super) fn decode(bytes: &[u8]) -> Result<Captured, DecodeError> {
    let (record, _) = GoDbRecord::read_from_prefix(bytes)
        .map_err(|_| DecodeError::Short { len: bytes.len(), expected: "go_db_record" })?;
    let origin = origin(&record.call)?;
    let said = String::from_utf8_lossy(text(&record.text, record.text_len));
    let word = String::from_utf8_lossy(text(&record.word, record.word_len)).to_ascii_uppercase();
    let query = match u32::from(record.library) {
        GO_DB_SQL => db::sql(&said),
        GO_DB_REDIS if record.commands > 0 => Query {
            system: "redis",
            verb: "PIPELINE".into(),
            object: word.into(),
            ..Query::default()
        },
        GO_DB_REDIS => {
            Query { system: "redis", verb: word.into(), object: said.into(), ..Query::default() }
        }
        library => {
            return Err(DecodeError::Value {
                field: "go_db_record.library",
                value: library.into(),
            });
        }
    };
    let query = Query {
        failed: record.failed != 0,
        server: Authority::read(text(&record.address, record.address_len)),
        ..query
    };
    let done = Done { time: origin.time, operation: query.operation() };
    Ok(Captured::Operation(origin, Box::new(done)))
}
