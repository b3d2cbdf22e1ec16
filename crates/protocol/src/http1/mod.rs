// SPDX-License-Identifier: Apache-2.0
//! HTTP/1.0 and 1.1 (RFC 9110, RFC 9112): requests one way, answers in the same order the other way.
//!
//! Bodies are not read, only passed: by length, by chunks, or as what comes until the next head. Both directions are
//! streams that go on from exchange to exchange, because a request may be answered early, pipelined or split.
//!
//! Limits: a head that was cut is read as far as it goes; [`read::MAX_WAITING`] requests wait for their answers.

mod body;
mod head;
mod read;

use vor_model::Exchange;

use crate::http::FAMILIES;
use crate::{Claim, Conversation, Info, Opening, Protocol};

static INFO: Info = Info { name: "http", ports: &[80, 8080, 8000], families: FAMILIES };

/// HTTP/1.0 and 1.1.
pub(crate) struct Http1;

impl Protocol for Http1 {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn claim(&self, first: &Exchange) -> Claim {
        let asked = head::begins_request(&first.request);
        let answered = head::begins_answer(&first.response);
        match (asked, answered) {
            // Answered in another protocol.
            (_, Claim::No) if !first.response.is_empty() => Claim::No,
            (Claim::Sure, _) | (Claim::Maybe, Claim::Sure) => Claim::Sure,
            (Claim::No, Claim::Sure) if first.request.is_empty() => Claim::Sure,
            // Before a certain answer, what is no request may be the rest of a body.
            (Claim::Maybe, _) | (Claim::No, Claim::Sure) => Claim::Maybe,
            (Claim::No, Claim::Maybe | Claim::No) => Claim::No,
        }
    }

    fn open(&self, about: &Opening<'_>) -> Box<dyn Conversation> {
        Box::new(read::Dialogue::new(about))
    }
}
