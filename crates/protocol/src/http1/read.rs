// SPDX-License-Identifier: Apache-2.0
//! Bytes of one connection → operations. Owns the two streams and the requests that wait for their answers.

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::Bytes;
use vor_model::{Done, Ending, Exchange, Interval, Message, Mono, Side};

use super::body::{Body, Run};
use super::head::{self, Head};
use crate::http::{Outcome, Request};
use crate::{Claim, Conversation, Next, Opening, Unreadable};

/// Requests of one connection that may wait for their answers.
pub(super) const MAX_WAITING: usize = 128;
/// Bytes of a head in pieces that are kept until the rest comes.
const MAX_KEPT: usize = 16 * 1024;
/// Exchanges in a row after which a request still waits, before it is taken for one whose answer was missed.
const MAX_UNDRAINED: u8 = 32;

/// One connection.
pub(super) struct Dialogue {
    side: Side,
    /// The scheme of requests that name none.
    scheme: &'static str,
    asking: At,
    answering: At,
    waiting: VecDeque<Asked>,
    undrained: u8,
    /// The last moment of which was heard.
    last: Mono,
}

/// Where one direction stands between two exchanges.
enum At {
    /// Before a message.
    Start,
    /// Inside a head that began at this time with these bytes.
    Head(Mono, Bytes),
    /// Inside a body.
    Body(Body),
}

/// A request that waits for its answer.
struct Asked {
    start: Mono,
    request: Request,
    /// Whether the length of its body is what is seen of it.
    growing: bool,
}

impl At {
    fn after(body: Option<Body>) -> Self {
        body.map_or(Self::Start, Self::Body)
    }

    /// The bytes of a run together with those that were kept of a head, and when they began to come.
    fn join<'a>(
        &self,
        run: &'a Bytes,
        start: Mono,
        begins: fn(&[u8]) -> Claim,
    ) -> (Cow<'a, [u8]>, Mono) {
        match self {
            // What was kept was given up if another head begins here.
            Self::Head(since, kept) if begins(run) < Claim::Sure => {
                ([&**kept, run].concat().into(), *since)
            }
            Self::Start | Self::Head(..) | Self::Body(_) => (Cow::Borrowed(run), start),
        }
    }

    /// The body that goes on at the start of `run`. One that was given up, or whose rest was not captured, does
    /// not: another head begins there.
    fn body(&self, run: &[u8], begins: fn(&[u8]) -> Claim) -> Option<Body> {
        match self {
            Self::Start | Self::Head(..) => None,
            Self::Body(Body::Unknown) if begins(run) >= Claim::Maybe => None,
            Self::Body(_) if begins(run) == Claim::Sure => None,
            Self::Body(body) => Some(*body),
        }
    }
}

/// Bytes of the body of an answer, of which `passed` were in its run; none when its beginning is not known.
fn body_size(head: &Head<u16>, passed: u64) -> Option<u64> {
    match head.body {
        Body::Length(length) => Some(length),
        Body::Chunked(_) => Some(passed),
        Body::Unknown => head.whole.then_some(passed),
    }
}

impl Dialogue {
    pub(super) fn new(about: &Opening<'_>) -> Self {
        // Joined midway, the first bytes may be the rest of anything.
        let at = || if about.from_start { At::Start } else { At::Body(Body::Unknown) };
        Self {
            side: about.side,
            scheme: if about.conn.tls { "https" } else { "http" },
            asking: at(),
            answering: at(),
            waiting: VecDeque::new(),
            undrained: 0,
            last: Mono::default(),
        }
    }

    /// Takes the requests of `exchange`, which began at `start`.
    fn ask(&mut self, exchange: &Exchange, start: Mono) -> Result<(), Unreadable> {
        let at = std::mem::replace(&mut self.asking, At::Start);
        let (joined, mut since) = at.join(&exchange.request, start, head::begins_request);
        let mut run = Run::new(&joined, exchange.request.len(), exchange.request_len);
        if let Some(body) = at.body(&joined, head::begins_request) {
            self.asking = self.pass_request(body, &mut run);
        }
        let mut first = true;
        while matches!(self.asking, At::Start) {
            if head::skip_blank_lines(run.cursor.rest()).is_empty() {
                // What passed unseen behind a whole message are further ones.
                return if run.unseen > 0 { Err(Unreadable::Cut("request")) } else { Ok(()) };
            }
            let read = head::request(run.cursor.rest(), self.scheme);
            let part = matches!(&read, Ok(Head { whole: false, .. }) | Err(Unreadable::Cut(_)));
            if part && self.more_may_come(exchange, &run) {
                self.asking = At::Head(since, Bytes::copy_from_slice(run.cursor.rest()));
                return Ok(());
            }
            let head = match read {
                Ok(head) => head,
                Err(error) if first => return Err(error),
                // Something behind a whole request that is none.
                Err(_) => {
                    self.asking = At::Body(Body::Unknown);
                    return Ok(());
                }
            };
            if self.waiting.len() == MAX_WAITING {
                return Err(Unreadable::TooMany("requests without an answer"));
            }
            run.cursor.skip(head.len);
            let growing = matches!(head.body, Body::Chunked(_));
            self.waiting.push_back(Asked { start: since, request: head.says, growing });
            self.asking = self.pass_request(head.body, &mut run);
            (first, since) = (false, start);
        }
        Ok(())
    }

    /// Whether the head at the end of `run` may go on in the next exchange.
    fn more_may_come(&self, exchange: &Exchange, run: &Run<'_>) -> bool {
        run.unseen == 0
            && exchange.ending == Ending::Answered
            && (exchange.response.is_empty() || !self.waiting.is_empty())
            && run.cursor.rest().len() < MAX_KEPT
    }

    /// Passes over the body of the latest request.
    fn pass_request(&mut self, body: Body, run: &mut Run<'_>) -> At {
        let (passed, rest) = body.pass(run);
        if let Some(Asked { request, growing: true, .. }) = self.waiting.back_mut() {
            request.body = request.body.map(|size| size.saturating_add(passed));
        }
        At::after(rest)
    }

    /// Takes the answers of `exchange`, which lasted `time`.
    fn answer(
        &mut self,
        exchange: &Exchange,
        time: Interval,
        out: &mut Vec<Done>,
    ) -> Result<Next, Unreadable> {
        let at = std::mem::replace(&mut self.answering, At::Start);
        let (joined, _) = at.join(&exchange.response, time.start, head::begins_answer);
        let mut run = Run::new(&joined, exchange.response.len(), exchange.response_len);
        let (mut first, cut) = (true, run.unseen > 0);
        if let Some(body) = at.body(&joined, head::begins_answer) {
            self.answering = At::after(body.pass(&mut run).1);
        }
        while matches!(self.answering, At::Start) && !run.cursor.is_empty() {
            let asked = self.waiting.front().map(|asked| &*asked.request.method);
            let head = match head::answer(run.cursor.rest(), asked) {
                Ok(head) => head,
                Err(Unreadable::Cut(_))
                    if run.unseen == 0 && exchange.ending == Ending::Answered =>
                {
                    let kept = Bytes::copy_from_slice(run.cursor.rest());
                    self.answering = At::Head(time.start, kept);
                    return Ok(Next::Same);
                }
                Err(error) if first => return Err(error),
                // Something behind a whole answer that is none.
                Err(_) => {
                    self.answering = At::Body(Body::Unknown);
                    return Ok(Next::Same);
                }
            };
            first = false;
            let tunnel = head.says == 101 || (asked == Some("CONNECT") && head.says / 100 == 2);
            run.cursor.skip(head.len);
            let (passed, rest) = head.body.pass(&mut run);
            self.answering = At::after(rest);
            if head.says < 200 && !tunnel {
                continue;
            }
            // An answer to a request that was not seen tells nothing.
            if let Some(asked) = self.waiting.pop_front() {
                let size = if tunnel { None } else { body_size(&head, passed) };
                self.finish(asked, time.end, Outcome::Answered(head.says, size), out);
            }
            if tunnel {
                return Ok(Next::Ignore);
            }
        }
        // Where the end of an answer was not captured, neither were those behind it.
        let lost = run.unseen > 0 || (cut && matches!(self.answering, At::Body(Body::Unknown)));
        if lost && !self.waiting.is_empty() {
            return Err(Unreadable::Cut("status line"));
        }
        Ok(Next::Same)
    }

    fn finish(&self, asked: Asked, end: Mono, outcome: Outcome, out: &mut Vec<Done>) {
        let time = Interval { start: asked.start, end: end.max(asked.start) };
        out.push(Done { time, operation: asked.request.operation(self.side, outcome) });
    }

    /// No request that waits will be answered.
    fn give_up(&mut self, end: Mono, outcome: Outcome, out: &mut Vec<Done>) {
        while let Some(asked) = self.waiting.pop_front() {
            self.finish(asked, end, outcome, out);
        }
    }

    /// Answers come in the order of their requests, so one that was missed would shift all that follow.
    fn in_step(&mut self) -> Result<(), Unreadable> {
        self.undrained = if self.waiting.is_empty() { 0 } else { self.undrained + 1 };
        if self.undrained < MAX_UNDRAINED {
            return Ok(());
        }
        Err(Unreadable::Malformed("answers out of step with requests"))
    }
}

impl Conversation for Dialogue {
    fn read(
        &mut self,
        exchange: &Exchange,
        time: Interval,
        out: &mut Vec<Done>,
    ) -> Result<Next, Unreadable> {
        self.last = time.end;
        let asked = self.ask(exchange, time.start);
        let answered = self.answer(exchange, time, out);
        match exchange.ending {
            Ending::Answered => {}
            Ending::TimedOut => self.give_up(time.end, Outcome::TimedOut, out),
            Ending::Closed => self.give_up(time.end, Outcome::Closed, out),
        }
        asked?;
        let next = answered?;
        self.in_step()?;
        Ok(next)
    }

    fn hear(
        &mut self,
        _message: &Message,
        _time: Interval,
        _out: &mut Vec<Done>,
    ) -> Result<Next, Unreadable> {
        // Never asked for.
        Err(Unreadable::Malformed("message instead of an exchange"))
    }

    fn close(&mut self, out: &mut Vec<Done>) {
        self.give_up(self.last, Outcome::Closed, out);
    }
}

#[cfg(test)]
mod tests {
    use vor_model::semconv::URL_SCHEME;
    use vor_model::{ConnId, Connection, Endpoint, Transport};

    use super::*;

    const ASKED: &[u8] = b"POST /a?b HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\nhello";
    const ANSWERED: &[u8] = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok";

    fn dialogue() -> Dialogue {
        dialogue_by(false)
    }

    fn dialogue_by(tls: bool) -> Dialogue {
        let end = |port| Endpoint::Inet(([10, 0, 0, 1], port).into());
        let conn = Connection {
            id: ConnId { socket: 1, serial: 1 },
            transport: Transport::Tcp,
            tls,
            local: end(80),
            remote: end(40_000),
        };
        Dialogue::new(&Opening { side: Side::Server, conn: &conn, from_start: true })
    }

    fn exchange(request: &[u8], response: &[u8]) -> Exchange {
        let len = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap();
        Exchange {
            request: Bytes::copy_from_slice(request),
            request_len: len(request),
            response: Bytes::copy_from_slice(response),
            response_len: len(response),
            request_end: Mono(1),
            response_start: Mono(2),
            ending: Ending::Answered,
        }
    }

    fn time(at: u64) -> Interval {
        Interval { start: Mono(at), end: Mono(at + 5) }
    }

    #[test]
    fn what_is_read_in_tls_came_by_https() {
        for (tls, scheme) in [(false, "http"), (true, "https")] {
            let mut done = Vec::new();
            dialogue_by(tls).read(&exchange(ASKED, ANSWERED), time(10), &mut done).unwrap();
            let [done] = &*done else { panic!("{done:?}") };
            assert_eq!(done.operation.attrs.get(&URL_SCHEME), Some(&scheme.into()));
        }
    }

    #[test]
    fn a_request_that_comes_in_two_exchanges_is_one_operation_from_its_first_byte() {
        for at in 1..ASKED.len() {
            let (first, second) = ASKED.split_at(at);
            let (mut dialogue, mut done) = (dialogue(), Vec::new());
            dialogue.read(&exchange(first, b""), time(10), &mut done).unwrap();
            assert!(done.is_empty(), "split at {at}");
            dialogue.read(&exchange(second, ANSWERED), time(20), &mut done).unwrap();
            let [done] = &*done else { panic!("split at {at}: {done:?}") };
            assert_eq!(done.time, Interval { start: Mono(10), end: Mono(25) }, "split at {at}");
            assert_eq!((&*done.operation.headline.object, done.operation.headline.size), ("/a", 5));
        }
    }

    #[test]
    fn an_answer_that_comes_in_two_exchanges_is_read_once() {
        for at in 1..ANSWERED.len() {
            let (first, second) = ANSWERED.split_at(at);
            let (mut dialogue, mut done) = (dialogue(), Vec::new());
            dialogue.read(&exchange(ASKED, first), time(10), &mut done).unwrap();
            dialogue.read(&exchange(b"", second), time(20), &mut done).unwrap();
            dialogue.read(&exchange(ASKED, ANSWERED), time(30), &mut done).unwrap();
            let codes: Vec<_> = done.iter().map(|done| done.operation.headline.code).collect();
            assert_eq!(codes, [201, 201], "split at {at}");
        }
    }

    #[test]
    fn an_answer_that_was_missed_does_not_shift_the_others_for_long() {
        let (mut dialogue, mut done) = (dialogue(), Vec::new());
        let glued = [ASKED, ASKED].concat();
        dialogue.read(&exchange(&glued, ANSWERED), time(10), &mut done).unwrap();
        let refused = (0..MAX_UNDRAINED)
            .find_map(|_| dialogue.read(&exchange(ASKED, ANSWERED), time(20), &mut done).err());
        assert!(matches!(refused, Some(Unreadable::Malformed(_))));
    }

    #[test]
    fn requests_without_answers_are_bounded_and_end_with_the_connection() {
        let (mut dialogue, mut done) = (dialogue(), Vec::new());
        let glued = ASKED.repeat(MAX_WAITING + 1);
        let refused = dialogue.read(&exchange(&glued, b""), time(10), &mut done).err();
        assert_eq!(refused, Some(Unreadable::TooMany("requests without an answer")));
        dialogue.close(&mut done);
        assert_eq!(done.len(), MAX_WAITING);
    }
}
