// SPDX-License-Identifier: Apache-2.0

use std::sync::Mutex;

use bytes::Bytes;
use confique::Config;
use vor_model::{Attrs, Ending, Interval, Key, SpanId, TraceContext, TraceId, Value};
use vor_protocol::{Claim, Conversation, Info, Opening, Unreadable};

use super::*;
use crate::sample::{operation, origin, service};

const SECOND: u64 = 1_000_000_000;

/// A protocol for tests: `Q` asks, `A` answers, `!` breaks it, `T` carries a context, `U` ends what can be
/// understood. Each answer finishes the oldest open question.
struct Quiz;

struct Round {
    open: usize,
    traced: bool,
}

static INFO: Info = Info { name: "quiz", ports: &[], families: &[] };

impl Protocol for Quiz {
    fn info(&self) -> &'static Info {
        &INFO
    }
    fn claim(&self, first: &Exchange) -> Claim {
        match (first.request.first(), first.response.first()) {
            (Some(b'Q'), Some(b'A')) => Claim::Sure,
            (Some(b'Q'), _) => Claim::Maybe,
            _ => Claim::No,
        }
    }
    fn open(&self, _about: &Opening<'_>) -> Box<dyn Conversation> {
        Box::new(Round { open: 0, traced: false })
    }
}

impl Conversation for Round {
    fn read(
        &mut self,
        exchange: &Exchange,
        time: Interval,
        out: &mut Vec<Done>,
    ) -> Result<Next, Unreadable> {
        let mut next = Next::Same;
        for byte in exchange.request.iter().chain(&exchange.response) {
            match byte {
                b'Q' => self.open += 1,
                b'T' => self.traced = true,
                b'U' => next = Next::Ignore,
                b'A' => {
                    self.open = self.open.saturating_sub(1);
                    let mut operation = operation(Attrs::new());
                    operation.context = self.traced.then_some(CONTEXT);
                    out.push(Done { time, operation });
                }
                _ => return Err(Unreadable::Malformed("quiz")),
            }
        }
        Ok(next)
    }
    fn hear(
        &mut self,
        _message: &Message,
        _time: Interval,
        _out: &mut Vec<Done>,
    ) -> Result<Next, Unreadable> {
        Err(Unreadable::Malformed("message"))
    }
    fn close(&mut self, out: &mut Vec<Done>) {
        let time = Interval::default();
        out.extend((0..self.open).map(|_| Done { time, operation: operation(Attrs::new()) }));
    }
}

const CONTEXT: TraceContext =
    TraceContext { trace: TraceId([7; 16]), parent: Some(SpanId([8; 8])), flags: 0 };

type Verdicts = Arc<Mutex<Vec<(u64, Next)>>>;

struct Bench {
    assemble: Assemble,
    services: Arc<Services>,
    board: Arc<Board>,
    verdicts: Verdicts,
    spans: Vec<Span>,
}

impl Bench {
    /// Process 1 is known as `cart`; two conversations fit.
    fn new() -> Self {
        let config = SpansConfig {
            max_conversations: 2,
            max_waiting: 2,
            ..SpansConfig::builder().load().unwrap()
        };
        let services = Services::new(config.name_kept.get());
        services.insert(origin(1, 1, Side::Server).process, service("cart"));
        let (board, verdicts) = (Board::new(), Verdicts::default());
        let told = Arc::clone(&verdicts);
        let judge: Judge =
            Box::new(move |conn, next| told.lock().unwrap().push((conn.serial, next)));
        let assemble = Assemble::new(
            &config,
            Sampling::DEFAULT,
            &[&Quiz],
            Arc::clone(&services),
            judge,
            &board,
        );
        Self { assemble, services, board, verdicts, spans: Vec::new() }
    }

    fn take(&mut self, origin: Origin, request: &'static str, response: &'static str, now: u64) {
        let captured = Captured::Exchange(origin, exchange(request, response));
        self.assemble.take([captured], Mono(now), &mut self.spans);
        self.balance();
    }

    fn count(&self, what: &'static str) -> u64 {
        self.board.counter("assemble", what).get()
    }

    /// The law: what came in went out, is waiting, or was lost for a reason.
    fn balance(&self) {
        let readings = self.board.readings();
        let lost: u64 =
            readings.iter().filter(|r| r.what.starts_with("lost.")).map(|r| r.value).sum();
        assert_eq!(self.count("in"), self.count("out") + self.count("waiting") + lost);
        assert_eq!(self.count("out"), count(self.spans.len()));
    }

    fn verdicts(&self) -> Vec<(u64, Next)> {
        self.verdicts.lock().unwrap().clone()
    }
}

fn exchange(request: &'static str, response: &'static str) -> Exchange {
    Exchange {
        request: Bytes::from_static(request.as_bytes()),
        request_len: count(request.len()),
        response: Bytes::from_static(response.as_bytes()),
        response_len: count(response.len()),
        request_end: Mono(1_500),
        response_start: Mono(2_500),
        ending: Ending::Answered,
    }
}

fn here(serial: u64) -> Origin {
    origin(serial, 1, Side::Server)
}

#[test]
fn an_exchange_becomes_a_named_span_with_both_addresses() {
    let mut bench = Bench::new();
    bench.take(here(1), "Q", "A", SECOND);
    let span = &bench.spans[0];
    let attr = |key: &Key| span.operation.attrs.get(key).map(ToString::to_string).unwrap();
    assert_eq!(&*span.service.name, "cart");
    assert_eq!(attr(&SERVER_ADDRESS), "10.0.0.2");
    assert_eq!(span.operation.attrs.get(&SERVER_PORT), Some(&Value::Int(8080)));
    assert_eq!(attr(&CLIENT_ADDRESS), "10.0.0.1");
    assert_eq!((span.parent, span.flags), (None, 1));
    assert_ne!(span.trace, TraceId([0; 16]));
}

#[test]
fn ends_without_an_address_get_none() {
    let mut bench = Bench::new();
    let mut unix = here(1);
    unix.conn.local = vor_model::Endpoint::Unix("/run/cart.sock".into());
    unix.conn.remote = vor_model::Endpoint::Unix("".into());
    bench.take(unix, "Q", "A", SECOND);
    let attrs = &bench.spans[0].operation.attrs;
    assert_eq!(attrs.get(&SERVER_ADDRESS).and_then(Value::as_str), Some("/run/cart.sock"));
    assert_eq!((attrs.get(&SERVER_PORT), attrs.get(&CLIENT_ADDRESS)), (None, None));
}

#[test]
fn a_context_that_arrived_is_continued_with_its_flags() {
    let mut bench = Bench::new();
    bench.take(here(1), "QT", "A", SECOND);
    let span = &bench.spans[0];
    assert_eq!((span.trace, span.parent, span.flags), (CONTEXT.trace, CONTEXT.parent, 0));
    assert_ne!(Some(span.id), CONTEXT.parent);
}

#[test]
fn a_connection_that_nobody_understands_is_judged_once() {
    let mut bench = Bench::new();
    bench.take(here(1), "x", "y", SECOND);
    bench.take(here(1), "x", "y", SECOND);
    assert_eq!(bench.verdicts(), [(1, Next::Ignore)]);
    assert_eq!((bench.count("lost.unclaimed"), bench.count("continued")), (1, 1));
}

#[test]
fn one_entered_in_the_middle_gets_several_chances() {
    let mut bench = Bench::new();
    let middle = || Origin { from_start: false, ..here(1) };
    bench.take(middle(), "x", "y", SECOND);
    bench.take(middle(), "Q", "A", SECOND);
    assert_eq!((bench.spans.len(), bench.verdicts().len()), (1, 0));
    for _ in 0..20 {
        bench.take(Origin { from_start: false, ..here(2) }, "x", "y", SECOND);
    }
    assert_eq!(bench.verdicts(), [(2, Next::Ignore)]);
    assert_eq!(bench.count("lost.unclaimed"), 1 + u64::from(MAX_FAILURES));
}

#[test]
fn taken_the_wrong_way_round_answers_meet_their_questions_in_the_next_record() {
    let mut bench = Bench::new();
    let wrong = || origin(1, 1, Side::Client);
    bench.take(wrong(), "A", "Q", SECOND);
    bench.take(wrong(), "A", "Q", SECOND);
    assert_eq!(bench.spans.len(), 2);
    assert_eq!(bench.spans[1].origin.side, Side::Server);
    assert_eq!(bench.spans[1].time, Interval { start: Mono(1_000), end: Mono(1_500) });
    let client = bench.spans[1].operation.attrs.get(&CLIENT_ADDRESS).unwrap();
    assert_eq!(client.as_str(), Some("10.0.0.2"));
}

#[test]
fn an_unreadable_record_ends_its_conversation_and_the_next_begins_another() {
    let mut bench = Bench::new();
    bench.take(here(1), "Q", "A", SECOND);
    bench.take(here(1), "Q", "!", SECOND);
    bench.take(here(2), "Q", "A", SECOND);
    bench.take(here(1), "Q", "A", SECOND);
    assert_eq!((bench.spans.len(), bench.count("lost.unreadable")), (3, 1));
    for _ in 0..20 {
        bench.take(here(1), "Q", "!", SECOND);
    }
    assert_eq!(bench.verdicts(), [(1, Next::Ignore)]);
}

#[test]
fn one_record_may_hold_many_operations_or_none() {
    let mut bench = Bench::new();
    bench.take(here(1), "QQQ", "A", SECOND);
    bench.take(here(1), "", "AA", SECOND);
    bench.take(here(1), "Q", "", SECOND);
    assert_eq!((bench.count("records"), bench.count("continued"), bench.count("in")), (3, 1, 3));
    let closed = Captured::Closed(here(1));
    bench.assemble.take([closed], Mono(SECOND), &mut bench.spans);
    bench.balance();
    assert_eq!((bench.spans.len(), bench.count("conversations")), (4, 0));
}

#[test]
fn an_upgrade_is_left_alone_and_what_still_comes_is_no_loss() {
    let mut bench = Bench::new();
    bench.take(here(1), "Q", "AU", SECOND);
    bench.take(here(1), "x", "y", SECOND);
    assert_eq!(bench.verdicts(), [(1, Next::Ignore)]);
    assert_eq!((bench.count("in"), bench.count("continued")), (1, 1));
}

#[test]
fn beyond_the_limit_the_longest_silent_conversation_is_given_up_and_its_questions_counted() {
    let mut bench = Bench::new();
    bench.take(here(1), "QQ", "", SECOND);
    bench.take(here(2), "Q", "A", SECOND);
    bench.take(here(3), "Q", "A", SECOND);
    assert_eq!((bench.count("evicted"), bench.count("conversations")), (1, 2));
    assert_eq!(bench.count("lost.too_many_conversations"), 2);
}

#[test]
fn an_operation_waits_for_the_name_of_its_process_but_not_for_long() {
    let mut bench = Bench::new();
    let stranger = |serial| origin(serial, 2, Side::Server);
    bench.take(stranger(1), "Q", "A", SECOND);
    assert_eq!((bench.spans.len(), bench.count("waiting")), (0, 1));
    bench.services.insert(stranger(1).process, service("pay"));
    bench.assemble.sweep(Mono(2 * SECOND), &mut bench.spans);
    bench.balance();
    assert_eq!(&*bench.spans[0].service.name, "pay");

    let unknown = || origin(2, 3, Side::Server);
    bench.take(unknown(), "QQQ", "AAA", 3 * SECOND);
    assert_eq!((bench.count("waiting"), bench.count("lost.unknown_process")), (2, 1));
    bench.assemble.sweep(Mono(5 * SECOND), &mut bench.spans);
    bench.balance();
    assert_eq!((bench.count("waiting"), bench.count("lost.unknown_process")), (0, 3));
}

#[test]
fn an_operation_waits_for_a_better_name_as_long_as_one_may_come() {
    let mut bench = Bench::new();
    let process = |serial| origin(serial, 2, Side::Server);
    let key = process(1).process;
    bench.services.expect(key, service("java"), Mono(3 * SECOND));
    bench.take(process(1), "Q", "A", SECOND);
    assert_eq!((bench.spans.len(), bench.count("waiting")), (0, 1));
    bench.services.insert(key, service("pay"));
    bench.take(process(1), "Q", "A", 2 * SECOND);
    let names: Vec<_> = bench.spans.iter().map(|span| &*span.service.name).collect();
    assert_eq!(names, ["pay", "pay"]);
    // What was settled once is not waited for again.
    bench.services.expect(key, service("java"), Mono(9 * SECOND));
    bench.take(process(1), "Q", "A", 2 * SECOND);
    assert_eq!(bench.spans.len(), 3);
}

#[test]
fn a_name_that_may_improve_is_taken_when_the_time_is_over_or_nothing_more_can_wait() {
    let mut bench = Bench::new();
    let process = |serial| origin(serial, 2, Side::Server);
    bench.services.expect(process(1).process, service("java"), Mono(3 * SECOND));
    bench.take(process(1), "QQQ", "AAA", SECOND);
    assert_eq!((bench.spans.len(), bench.count("waiting")), (1, 2));
    bench.services.expect(process(1).process, service("java"), Mono(9 * SECOND));
    bench.assemble.sweep(Mono(3 * SECOND), &mut bench.spans);
    bench.balance();
    assert_eq!((bench.spans.len(), bench.count("lost.unknown_process")), (3, 0));
}

#[test]
fn a_name_outlives_its_process_for_operations_on_their_way() {
    let mut bench = Bench::new();
    bench.services.remove(here(1).process, Mono(SECOND));
    bench.take(here(1), "Q", "A", 5 * SECOND);
    assert_eq!(bench.spans.len(), 1);
    bench.take(here(1), "Q", "A", 6 * SECOND);
    assert_eq!((bench.spans.len(), bench.services.len()), (1, 0));
}

#[test]
fn ids_are_never_zero_and_never_the_same() {
    let mut bench = Bench::new();
    for _ in 0..1_000 {
        bench.take(here(1), "Q", "A", SECOND);
    }
    let ids: std::collections::HashSet<_> = bench.spans.iter().map(|span| span.id).collect();
    let traces: std::collections::HashSet<_> = bench.spans.iter().map(|span| span.trace).collect();
    assert_eq!((ids.len(), traces.len()), (1_000, 1_000));
    assert!(!ids.contains(&SpanId([0; 8])));
}
