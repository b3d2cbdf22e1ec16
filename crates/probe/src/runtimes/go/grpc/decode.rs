// SPDX-License-Identifier: Apache-2.0
//! `struct go_grpc_record` → [`Captured::Operation`].

use vor_model::{Captured, Done, Side};
use vor_protocol::grpc::Call;
use zerocopy::FromBytes;

use super::super::call::{origin, text};
use crate::tracers::DecodeError;
use crate::tracers::wire::GoGrpcRecord;

pub(super) fn decode(bytes: &[u8]) -> Result<Captured, DecodeError> {
    let (record, _) = GoGrpcRecord::read_from_prefix(bytes)
        .map_err(|_| DecodeError::Short { len: bytes.len(), expected: "go_grpc_record" })?;
    let origin = origin(&record.call)?;
    let method = String::from_utf8_lossy(text(&record.method, record.method_len));
    let Some(mut call) = Call::new(&method, record.status) else {
        return Err(DecodeError::Value {
            field: "go_grpc_record.method_len",
            value: record.method_len.into(),
        });
    };
    if record.counted != 0 {
        let (sent, received) = (record.sent, record.received);
        call = match origin.side {
            Side::Server => call.with_sizes(received, sent),
            Side::Client => call.with_sizes(sent, received),
        };
    }
    let done = Done { time: origin.time, operation: call.operation(origin.side) };
    Ok(Captured::Operation(origin, Box::new(done)))
}
