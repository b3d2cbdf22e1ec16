// SPDX-License-Identifier: Apache-2.0
//! `struct go_grpc_record` → [`Captured::Operation`].

use vor_model::{Captured, Done};
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
    let Some(call) = Call::new(&method, record.status) else {
        return Err(DecodeError::Value {
            field: "go_grpc_record.method_len",
            value: record.method_len.into(),
        });
    };
    let done = Done { time: origin.time, operation: call.operation(origin.side) };
    Ok(Captured::Operation(origin, Box::new(done)))
}
