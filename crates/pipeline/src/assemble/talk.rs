// SPDX-License-Identifier: Apache-2.0
//! What is known of one connection, and how its protocol is chosen.

use super::places::Places;
use bytes::Bytes;
use vor_model::{Connection, Ending, Exchange, Interval, Mono, Origin, Side, Value};
use vor_protocol::claim::{Claimed, claim};
use vor_protocol::{Conversation, Opening, Protocol};

/// A connection that is followed.
pub(super) struct Talk {
    pub(super) state: State,
    /// Part of the observed process; the other one than captured when the capture began in the middle.
    pub(super) side: Side,
    /// Whether captured requests are answers and the other way round.
    pub(super) swapped: bool,
    /// Records in a row that nobody could read.
    pub(super) failures: u8,
    /// Places in traces that the kernel side gave to what is not finished.
    pub(super) places: Places,
    /// Addresses of the asking and the answering end; unix sockets may have none.
    pub(super) client: Option<Value>,
    pub(super) server: Option<Value>,
}

/// Who reads a connection.
pub(super) enum State {
    /// Nobody yet.
    Unclaimed,
    /// This.
    Open(Box<dyn Conversation>),
    /// Nobody, for good.
    Ignored,
}

impl Talk {
    pub(super) fn new(conn: &Connection, side: Side) -> Self {
        let address = |end: &vor_model::Endpoint| {
            Some(end.address()).filter(|_| end.is_known()).map(Value::from)
        };
        let (client, server) = (address(conn.client(side)), address(conn.server(side)));
        Self {
            state: State::Unclaimed,
            side,
            swapped: false,
            failures: 0,
            places: Places::default(),
            client,
            server,
        }
    }

    /// Lets the surest of `protocols` have the connection; the sides as captured win over swapped ones.
    pub(super) fn claim(
        &mut self,
        protocols: &[&'static dyn Protocol],
        origin: &Origin,
        exchange: &Exchange,
    ) -> bool {
        let port = origin.conn.server(origin.side).port();
        let Some(Claimed { protocol, swapped }) = claim(protocols, exchange, port) else {
            return false;
        };
        if swapped != self.swapped {
            self.side = self.side.other();
            self.swapped = swapped;
            std::mem::swap(&mut self.client, &mut self.server);
        }
        let about = Opening { side: self.side, conn: &origin.conn, from_start: origin.from_start };
        self.state = State::Open(protocol.open(&about));
        true
    }
}

/// What really happened when the sides were taken the wrong way round: the answer to an earlier request,
/// then a request whose answer is in the next record.
pub(super) fn halves(exchange: &Exchange, time: Interval) -> [Option<(Exchange, Interval)>; 2] {
    let answer = (!exchange.request.is_empty()).then(|| {
        let half = Exchange {
            request: Bytes::new(),
            request_len: 0,
            response: exchange.request.clone(),
            response_len: exchange.request_len,
            request_end: time.start,
            response_start: time.start,
            ending: Ending::Answered,
        };
        (half, Interval { start: time.start, end: exchange.request_end })
    });
    let question = (!exchange.response.is_empty()).then(|| {
        let half = Exchange {
            request: exchange.response.clone(),
            request_len: exchange.response_len,
            response: Bytes::new(),
            response_len: 0,
            request_end: time.end,
            response_start: Mono::default(),
            ending: exchange.ending,
        };
        (half, Interval { start: exchange.response_start, end: time.end })
    });
    [answer, question]
}
