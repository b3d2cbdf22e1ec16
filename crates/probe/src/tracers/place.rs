// SPDX-License-Identifier: Apache-2.0
//! `trace_context` (`bpf/lib/trace.h`) → [`TracePlace`].

use vor_model::{ParentMethod, SpanId, TraceId, TracePlace};
use zerocopy::IntoBytes;

use crate::tracers::DecodeError;
use crate::tracers::wire::{
    PARENT_ANCESTOR, PARENT_HEADER, PARENT_ITEM, PARENT_NONE, PARENT_ONLY_CANDIDATE,
    PARENT_SOCKET_PAIR, PARENT_TASK, PARENT_TCP_OPTION, TraceContext,
};

/// The place of a span in its trace; `None` when the kernel side gave it none.
pub(crate) fn place(context: &TraceContext) -> Result<Option<TracePlace>, DecodeError> {
    if context.span == 0 {
        return Ok(None);
    }
    let mut trace = TraceId::default();
    trace.0.copy_from_slice(context.trace.as_bytes());
    Ok(Some(TracePlace {
        trace,
        span: SpanId(context.span.to_ne_bytes()),
        parent: (context.parent != 0).then(|| SpanId(context.parent.to_ne_bytes())),
        flags: context.flags,
        method: method(context.method)?,
    }))
}

fn method(method: u8) -> Result<Option<ParentMethod>, DecodeError> {
    Ok(Some(match u32::from(method) {
        PARENT_NONE => return Ok(None),
        PARENT_HEADER => ParentMethod::Header,
        PARENT_TCP_OPTION => ParentMethod::TcpOption,
        PARENT_SOCKET_PAIR => ParentMethod::SocketPair,
        PARENT_TASK => ParentMethod::Task,
        PARENT_ITEM => ParentMethod::Item,
        PARENT_ANCESTOR => ParentMethod::Ancestor,
        PARENT_ONLY_CANDIDATE => ParentMethod::OnlyCandidate,
        _ => {
            let value = method.into();
            return Err(DecodeError::Value { field: "trace_context.method", value });
        }
    }))
}
