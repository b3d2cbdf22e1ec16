// SPDX-License-Identifier: Apache-2.0
//! The thread `vor-flow`: watches interfaces, and takes what the kernel has counted.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libbpf_rs::{MapHandle, RingBuffer, RingBufferBuilder};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use vor_health::{Board, Counter, Verdict};
use vor_model::Mono;
use zerocopy::FromBytes;

use super::config::FlowConfig;
use super::decode::Reading;
use super::dns::Dns;
use super::outbox::Outbox;
use super::table::Tables;
use super::totals::Totals;
use super::watch::{Names, Watch};
use super::{FlowError, FlowOutlets, STAGE};
use crate::object::ObjectError;
use crate::tracers::wire::{FlowCount, FlowKey, FlowRecord};

/// Shortest and longest time between two looks at the rings. A wake-up costs about 5,000 instructions.
const BUSY: Duration = Duration::from_millis(5);
const IDLE: Duration = Duration::from_millis(50);
/// Shortest time between two reports: each makes the kernel wait for all processors.
const SHORTEST: Duration = Duration::from_millis(100);
/// Time between two looks at what ends by itself.
const TICK: Duration = Duration::from_secs(1);
/// What a wake-up is about; else the number of a namespace.
const RING: u64 = 1 << 32;
const STOP: u64 = 1 << 33;

/// Everything of the flow tracer.
pub(super) struct Worker {
    config: FlowConfig,
    watch: Watch,
    tables: Tables,
    events: MapHandle,
    messages: MapHandle,
    totals: Totals,
    sink: Rc<RefCell<Sink>>,
    dns: Rc<RefCell<Dns>>,
    board: Arc<Board>,
    stopped: OwnedFd,
}

/// Where flows go, whether from the ring or from the tables.
struct Sink {
    reading: Reading,
    outbox: Outbox,
    names: Rc<RefCell<Names>>,
    taken: Counter,
    decode: Counter,
}

impl Sink {
    fn record(&mut self, record: &[u8]) {
        let Ok((record, _)) = FlowRecord::read_from_prefix(record) else {
            tracing::debug!(len = record.len(), "record not read");
            self.taken.inc();
            self.decode.inc();
            return;
        };
        self.put(&record.key, &record.count);
    }

    fn put(&mut self, key: &FlowKey, count: &FlowCount) {
        let mut flow = self.reading.flow(key, count);
        flow.iface_name = self.names.borrow().get(key.netns, key.ifindex);
        self.outbox.put(flow);
    }
}

impl Worker {
    pub(super) fn open(
        config: FlowConfig,
        board: &Arc<Board>,
        outlets: FlowOutlets,
        stopped: OwnedFd,
    ) -> Result<Self, FlowError> {
        let watch = Watch::open(&config, board)?;
        let object = |error: ObjectError| FlowError::Object { origin: config.source, error };
        let map = |name| watch.map(name).map_err(object);
        let maps = [map("flow_even")?, map("flow_odd")?];
        let tables = Tables::new(maps, map("flow_now")?).map_err(|error| {
            object(ObjectError::Map { map: "flow_now".into(), error: error.to_string() })
        })?;
        let scale = u64::from(config.sampling.max(1));
        let totals = Totals::new(map("flow_totals")?, board, scale);
        let (events, messages) = (map("flow_events")?, map("flow_dns")?);
        let most = usize::try_from(config.max_flows.get()).unwrap_or(usize::MAX);
        let sink = Sink {
            reading: Reading { guess: config.guess_ports, scale },
            outbox: Outbox::new(outlets.flows, most.saturating_mul(2), board),
            names: watch.names(),
            taken: board.counter(STAGE, "in"),
            decode: board.counter(STAGE, "lost.decode"),
        };
        let sink = Rc::new(RefCell::new(sink));
        let dns = Rc::new(RefCell::new(Dns::new(outlets.dns, board)));
        let board = Arc::clone(board);
        let mut worker =
            Self { config, watch, tables, events, messages, totals, sink, dns, board, stopped };
        // Not before the tables count.
        worker.watch.begin(&worker.config)?;
        worker.board.judge(STAGE, Verdict::Active);
        Ok(worker)
    }

    /// Works until it is told to stop.
    pub(super) fn run(mut self) {
        if let Err(error) = self.work() {
            tracing::error!(%error, "flows are no longer counted");
            self.board.judge(STAGE, Verdict::Failed(error.to_string()));
        }
        self.watch.close(&self.config);
        if let Err(error) = self.last() {
            tracing::warn!(%error, "the last flows could not be read");
        }
        self.sink.borrow_mut().outbox.finish();
    }

    fn work(&mut self) -> io::Result<()> {
        let wakes = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&wakes, &self.stopped, epoll::EventData::new_u64(STOP), epoll::EventFlags::IN)?;
        // Edges: a ring that is seldom empty would otherwise be reported at each look.
        let edges = epoll::EventFlags::IN | epoll::EventFlags::ET;
        for ring in [&self.events, &self.messages] {
            epoll::add(&wakes, ring.as_fd(), epoll::EventData::new_u64(RING), edges)?;
        }
        self.watch.wake_by(&wakes)?;
        let rings = [handle(&self.events)?, handle(&self.messages)?];
        let ring = self.read(&rings)?;
        let mut report = Every::new(self.config.period.max(SHORTEST));
        let mut look = Every::new(self.config.poll_period.max(TICK));
        let mut tick = Every::new(TICK);
        let mut pause = BUSY;
        loop {
            let woken = wait(&wakes, pause.min(report.left()))?;
            if woken.contains(&STOP) {
                return Ok(());
            }
            for netns in woken.iter().filter_map(|woken| u32::try_from(*woken).ok()) {
                self.watch.hear(netns, &self.config);
            }
            let taken = consume(&ring)?;
            if report.is_due() {
                self.report()?;
            }
            if look.is_due() {
                self.watch.look(&self.config, &wakes);
            }
            if tick.is_due() {
                self.watch.tick();
                self.totals.copy();
                self.dns.borrow_mut().tick(now());
            }
            self.dns.borrow_mut().flush();
            self.sink.borrow_mut().outbox.flush();
            pause = if taken { BUSY } else { (pause * 2).min(IDLE) };
        }
    }

    /// Reads first packets and messages of name servers.
    fn read<'a>(&self, [events, messages]: &'a [MapHandle; 2]) -> io::Result<RingBuffer<'a>> {
        let (sink, dns) = (Rc::clone(&self.sink), Rc::clone(&self.dns));
        let take_event = move |record: &[u8]| {
            sink.borrow_mut().record(record);
            0
        };
        let take_message = move |record: &[u8]| {
            dns.borrow_mut().take(record);
            0
        };
        let mut builder = RingBufferBuilder::new();
        builder.add(events, take_event).map_err(io::Error::other)?;
        builder.add(messages, take_message).map_err(io::Error::other)?;
        builder.build().map_err(io::Error::other)
    }

    /// Takes what the tables have counted.
    fn report(&mut self) -> io::Result<()> {
        let sink = &mut *self.sink.borrow_mut();
        let flows = self.tables.drain(|key, count| {
            // Without packets it was only announced: its one packet has come through the ring.
            if count.packets > 0 {
                sink.put(key, count);
            }
        })?;
        self.board.counter(STAGE, "flows").set(flows);
        self.watch.forget();
        Ok(())
    }

    /// Takes what is left when no program counts any more.
    fn last(&mut self) -> io::Result<()> {
        let rings = [handle(&self.events)?, handle(&self.messages)?];
        consume(&self.read(&rings)?)?;
        self.dns.borrow_mut().flush();
        self.report()?;
        self.totals.copy();
        Ok(())
    }
}

/// Something that is to be done again and again.
struct Every {
    period: Duration,
    next: Instant,
}

impl Every {
    fn new(period: Duration) -> Self {
        Self { period, next: Instant::now() + period }
    }

    fn left(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// Whether it is time; if so, for the next one.
    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        if now < self.next {
            return false;
        }
        self.next = now + self.period;
        true
    }
}

/// Waits for the next look; what it was woken for.
fn wait(wakes: &OwnedFd, pause: Duration) -> io::Result<Vec<u64>> {
    let pause = Timespec { tv_sec: 0, tv_nsec: pause.subsec_nanos().into() };
    let mut events =
        [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(RING) };
            16];
    match epoll::wait(wakes, &mut events, Some(&pause)) {
        Ok(woken) => Ok(events.iter().take(woken).map(|event| event.data.u64()).collect()),
        Err(Errno::INTR) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Takes all there is; true when that was something.
fn consume(ring: &RingBuffer<'_>) -> io::Result<bool> {
    let taken = ring.consume_raw();
    if taken < 0 {
        return Err(io::Error::from_raw_os_error(-taken));
    }
    Ok(taken > 0)
}

/// The kernel's steady clock, as its programs read it.
fn now() -> Mono {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(now.tv_nsec).unwrap_or_default();
    Mono(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

fn handle(map: &MapHandle) -> io::Result<MapHandle> {
    MapHandle::try_from(map).map_err(io::Error::other)
}
