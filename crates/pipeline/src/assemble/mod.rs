// SPDX-License-Identifier: Apache-2.0
//! Captured → spans. Owns open conversations, asks protocols, names and identifies what they found.
//!
//! In: batches of [`Captured`] in the order of each connection. Out: [`Span`]s, and verdicts about connections
//! for the kernel side. Counted as stage `assemble`: `records` come in, each is `continued` (it finished no
//! operation, and rightly so) or counts into `in`, once per operation or once as `lost.unclaimed` or
//! `lost.unreadable`; operations become `out`, `lost.unknown_process`, `lost.too_many_conversations`, or are
//! `waiting` for the name of their process.
//!
//! Limits: conversations and waiting operations are bounded by [`SpansConfig`]; a connection that fails
//! [`MAX_FAILURES`] times in a row is left alone. An unreadable record ends its own conversation only.

mod places;
mod services;
mod talk;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use vor_health::{Board, Counter, count};
use vor_model::semconv::{CLIENT_ADDRESS, PARENT_METHOD, SERVER_ADDRESS, SERVER_PORT};
use vor_model::{
    Captured, ConnId, Done, Exchange, Message, Mono, Origin, Sampling, Service, Side, Span,
    TracePlace,
};
use vor_protocol::{Next, Protocol};

use crate::SpansConfig;
use places::Ids;
pub use services::Services;
use talk::{State, Talk, halves};

/// Records in a row that may be unreadable on a connection whose beginning was not seen.
const MAX_FAILURES: u8 = 8;

/// How often ended processes are looked for among the names: there may be many thousands.
const SERVICES_INTERVAL: Duration = Duration::from_secs(1);

/// Tells the kernel side how to treat a connection from now on. Must not block.
pub type Judge = Box<dyn FnMut(ConnId, Next) + Send>;

/// Makes spans.
pub struct Assemble {
    protocols: Vec<&'static dyn Protocol>,
    services: Arc<Services>,
    judge: Judge,
    talks: LruCache<ConnId, Talk>,
    waiting: VecDeque<Waiting>,
    name_wait: Duration,
    max_waiting: usize,
    /// Kept only for its memory; empty between records.
    done: Vec<Done>,
    ids: Ids,
    /// When names were last looked through.
    swept: Mono,
    counters: Counters,
}

/// An operation of a process that has no name yet.
struct Waiting {
    since: Mono,
    origin: Origin,
    done: Done,
}

struct Counters {
    records: Counter,
    continued: Counter,
    taken: Counter,
    given: Counter,
    unclaimed: Counter,
    unreadable: Counter,
    unknown: Counter,
    crowded: Counter,
    waiting: Counter,
    conversations: Counter,
    evicted: Counter,
}

impl Counters {
    fn new(board: &Board) -> Self {
        let count = |what| board.counter("assemble", what);
        Self {
            records: count("records"),
            continued: count("continued"),
            taken: count("in"),
            given: count("out"),
            unclaimed: count("lost.unclaimed"),
            unreadable: count("lost.unreadable"),
            unknown: count("lost.unknown_process"),
            crowded: count("lost.too_many_conversations"),
            waiting: count("waiting"),
            conversations: count("conversations"),
            evicted: count("evicted"),
        }
    }
}

impl Assemble {
    /// Reads with `protocols` (usually [`vor_protocol::ALL`]), names processes by `services`.
    #[must_use]
    pub fn new(
        config: &SpansConfig,
        sampling: Sampling,
        protocols: &[&'static dyn Protocol],
        services: Arc<Services>,
        judge: Judge,
        board: &Board,
    ) -> Self {
        let bound = NonZeroUsize::new(config.max_conversations).unwrap_or(NonZeroUsize::MIN);
        Self {
            protocols: protocols.to_vec(),
            services,
            judge,
            talks: LruCache::new(bound),
            waiting: VecDeque::new(),
            name_wait: config.name_wait.get(),
            max_waiting: config.max_waiting,
            done: Vec::new(),
            ids: Ids::new(sampling),
            swept: Mono::default(),
            counters: Counters::new(board),
        }
    }

    /// Takes `batch`, read at `now`; finished spans go to `out`.
    pub fn take(
        &mut self,
        batch: impl IntoIterator<Item = Captured>,
        now: Mono,
        out: &mut Vec<Span>,
    ) {
        self.sweep(now, out);
        for captured in batch {
            match captured {
                Captured::Exchange(origin, exchange) => self.exchange(origin, &exchange, now, out),
                Captured::Message(origin, message) => self.message(origin, &message, now, out),
                Captured::Operation(origin, done) => self.operation(origin, *done, now, out),
                Captured::Closed(origin) => self.close(origin, now, out),
                // The life of processes is discovery's business.
                Captured::Life(_) => {}
            }
        }
        self.gauge();
    }

    /// What time alone brings about; also called when nothing comes in, about once a second.
    pub fn sweep(&mut self, now: Mono, out: &mut Vec<Span>) {
        if now.since(self.swept) >= SERVICES_INTERVAL {
            self.swept = now;
            self.services.sweep(now);
        }
        for _ in 0..self.waiting.len() {
            let Some(waiting) = self.waiting.pop_front() else { break };
            let over = now.since(waiting.since) >= self.name_wait;
            match self.services.get(waiting.origin.process, now) {
                Some(named) if over || !named.awaited => {
                    self.publish(waiting.origin, waiting.done, named.service, out);
                }
                None if over => self.counters.unknown.inc(),
                Some(_) | None => self.waiting.push_back(waiting),
            }
        }
        self.gauge();
    }

    /// Waits no longer for better names: the pipeline ends. What has no name at all is given up.
    pub fn finish(&mut self, now: Mono, out: &mut Vec<Span>) {
        for waiting in std::mem::take(&mut self.waiting) {
            match self.services.get(waiting.origin.process, now) {
                Some(named) => self.publish(waiting.origin, waiting.done, named.service, out),
                None => self.counters.unknown.inc(),
            }
        }
        self.gauge();
    }

    fn exchange(&mut self, origin: Origin, exchange: &Exchange, now: Mono, out: &mut Vec<Span>) {
        self.counters.records.inc();
        let Self { talks, protocols, counters, judge, done, .. } = self;
        let talk = follow(talks, &origin, counters);
        if matches!(talk.state, State::Unclaimed) && !talk.claim(protocols, &origin, exchange) {
            if exchange.request.is_empty() && exchange.response.is_empty() {
                return counters.continued.inc();
            }
            counters.taken.inc();
            counters.unclaimed.inc();
            talk.failures += 1;
            if origin.from_start || talk.failures >= MAX_FAILURES {
                talk.ignore(&origin, judge);
            }
            return;
        }
        let State::Open(conversation) = &mut talk.state else { return counters.continued.inc() };
        // Taken the wrong way round, the kernel side gave its places to answers.
        if let Some(place) = origin.place
            && !talk.swapped
        {
            talk.places.put(origin.time.start, place);
        }
        let heard = if talk.swapped {
            let mut parts = halves(exchange, origin.time).into_iter().flatten();
            parts.try_fold(Next::Same, |next, (half, time)| {
                Ok(strongest(next, conversation.read(&half, time, done)?))
            })
        } else {
            conversation.read(exchange, origin.time, done)
        };
        let side = talk.heard(heard, &origin, judge, counters, done.len());
        self.publish_done(origin, side, now, out);
    }

    fn message(&mut self, origin: Origin, message: &Message, now: Mono, out: &mut Vec<Span>) {
        self.counters.records.inc();
        let Self { talks, counters, judge, done, .. } = self;
        let talk = follow(talks, &origin, counters);
        match &mut talk.state {
            // Its conversation was given up; messages alone cannot begin another.
            State::Unclaimed => {
                counters.taken.inc();
                counters.unclaimed.inc();
                talk.ignore(&origin, judge);
            }
            State::Ignored => counters.continued.inc(),
            State::Open(conversation) => {
                if let Some(place) = origin.place {
                    talk.places.put(origin.time.start, place);
                }
                let heard = conversation.hear(message, origin.time, done);
                let side = talk.heard(heard, &origin, judge, counters, done.len());
                self.publish_done(origin, side, now, out);
            }
        }
    }

    /// What a library was seen to do: nobody has to read anything.
    fn operation(&mut self, origin: Origin, mut done: Done, now: Mono, out: &mut Vec<Span>) {
        self.counters.records.inc();
        self.counters.taken.inc();
        Talk::new(&origin.conn, origin.side).complete(&origin, &mut done);
        self.name(origin, done, now, out);
    }

    fn close(&mut self, origin: Origin, now: Mono, out: &mut Vec<Span>) {
        let id = origin.conn.id;
        let Some(talk) = self.talks.get_mut(&id) else { return };
        if let State::Open(conversation) = &mut talk.state {
            conversation.close(&mut self.done);
            self.counters.taken.add(count(self.done.len()));
            let side = talk.side;
            self.publish_done(origin, side, now, out);
        }
        self.talks.pop(&id);
    }

    /// Turns what a conversation has just finished into spans.
    fn publish_done(&mut self, mut origin: Origin, side: Side, now: Mono, out: &mut Vec<Span>) {
        if self.done.is_empty() {
            return;
        }
        origin.side = side;
        let mut all = std::mem::take(&mut self.done);
        for mut done in all.drain(..) {
            let mut origin = Origin { place: None, ..origin.clone() };
            if let Some(talk) = self.talks.peek_mut(&origin.conn.id) {
                talk.complete(&origin, &mut done);
                origin.place = talk.places.take(done.time.start);
            }
            self.name(origin, done, now, out);
        }
        self.done = all;
    }

    /// Publishes an operation, or lets it wait for the name of its process.
    fn name(&mut self, origin: Origin, done: Done, now: Mono, out: &mut Vec<Span>) {
        let room = self.waiting.len() < self.max_waiting;
        match self.services.get(origin.process, now) {
            // A name that is not the best is better than none.
            Some(named) if !(named.awaited && room) => {
                self.publish(origin, done, named.service, out);
            }
            Some(_) | None if room => {
                self.waiting.push_back(Waiting { since: now, origin, done });
            }
            Some(_) | None => self.counters.unknown.inc(),
        }
    }

    fn publish(&mut self, origin: Origin, done: Done, service: Arc<Service>, out: &mut Vec<Span>) {
        let Done { time, mut operation } = done;
        let place = self.ids.settle(origin.place, operation.context);
        if let Some(method) = place.method {
            operation.attrs.set(PARENT_METHOD, method.as_str());
        }
        self.counters.given.inc();
        let TracePlace { trace, span: id, parent, flags, .. } = place;
        out.push(Span { trace, id, parent, flags, time, origin, operation, service });
    }

    fn gauge(&self) {
        self.counters.waiting.set(count(self.waiting.len()));
        self.counters.conversations.set(count(self.talks.len()));
    }
}

/// The connection of `origin`; makes room for it when it is new.
fn follow<'a>(
    talks: &'a mut LruCache<ConnId, Talk>,
    origin: &Origin,
    counters: &Counters,
) -> &'a mut Talk {
    let id = origin.conn.id;
    if talks.len() == talks.cap().get() && !talks.contains(&id) {
        if let Some((_, Talk { state: State::Open(mut conversation), .. })) = talks.pop_lru() {
            let mut unfinished = Vec::new();
            conversation.close(&mut unfinished);
            counters.taken.add(count(unfinished.len()));
            counters.crowded.add(count(unfinished.len()));
        }
        counters.evicted.inc();
    }
    talks.get_or_insert_mut(id, || Talk::new(&origin.conn, origin.side))
}

impl Talk {
    /// Draws the consequences of what the conversation made of a record, which finished `operations`.
    fn heard(
        &mut self,
        heard: Result<Next, vor_protocol::Unreadable>,
        origin: &Origin,
        judge: &mut Judge,
        counters: &Counters,
        operations: usize,
    ) -> Side {
        counters.taken.add(count(operations));
        match heard {
            Ok(next) => {
                if operations == 0 {
                    counters.continued.inc();
                }
                self.failures = 0;
                match next {
                    Next::Same => {}
                    Next::Messages => judge(origin.conn.id, next),
                    Next::Ignore => self.ignore(origin, judge),
                }
            }
            Err(error) => {
                tracing::trace!(conn = ?origin.conn.id, %error, "unreadable");
                counters.taken.inc();
                counters.unreadable.inc();
                self.failures += 1;
                self.state = State::Unclaimed;
                if self.failures >= MAX_FAILURES {
                    self.ignore(origin, judge);
                }
            }
        }
        self.side
    }

    /// Nothing on the connection will be understood: says so, once.
    fn ignore(&mut self, origin: &Origin, judge: &mut Judge) {
        self.state = State::Ignored;
        judge(origin.conn.id, Next::Ignore);
    }

    /// Adds what the connection knows and the protocol did not say.
    fn complete(&self, origin: &Origin, done: &mut Done) {
        let attrs = &mut done.operation.attrs;
        if attrs.get(&SERVER_ADDRESS).is_none()
            && let Some(server) = &self.server
        {
            attrs.set(SERVER_ADDRESS, server.clone());
        }
        if attrs.get(&SERVER_PORT).is_none()
            && let Some(port) = origin.conn.server(self.side).port()
        {
            attrs.set(SERVER_PORT, port);
        }
        if self.side == Side::Server
            && attrs.get(&CLIENT_ADDRESS).is_none()
            && let Some(client) = &self.client
        {
            attrs.set(CLIENT_ADDRESS, client.clone());
        }
    }
}

/// A connection once left alone stays so; messages, once asked for, are sent.
fn strongest(a: Next, b: Next) -> Next {
    match (a, b) {
        (Next::Ignore, _) | (_, Next::Ignore) => Next::Ignore,
        (Next::Messages, _) | (_, Next::Messages) => Next::Messages,
        (Next::Same, Next::Same) => Next::Same,
    }
}
