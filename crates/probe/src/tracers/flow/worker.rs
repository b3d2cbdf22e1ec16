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
use vor_health::{Board, Verdict};

use super::config::FlowConfig;
use super::decode::Reading;
use super::dns::Dns;
use super::outbox::Outbox;
use super::sink::Sink;
use super::sockets::Sockets;
use super::table::Tables;
use super::totals::Totals;
use super::watch::Watch;
use super::{FlowError, FlowOutlets, STAGE};
use crate::object::ObjectError;
use crate::tracers::tcpstat::{self, Tcpstat};

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
    /// First packets, messages of name servers, events of sockets.
    rings: Vec<MapHandle>,
    totals: Totals,
    /// `None`: the kernel does not let it in, and flows have no owners.
    tcpstat: Option<Tcpstat>,
    sink: Rc<RefCell<Sink>>,
    board: Arc<Board>,
    stopped: OwnedFd,
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
        let mut rings = vec![map("flow_events")?, map("flow_dns")?];
        let tcpstat = open_tcpstat(board);
        if let Some(tcpstat) = &tcpstat {
            rings.push(tcpstat.ring().map_err(object)?);
        }
        let most = usize::try_from(config.max_flows.get()).unwrap_or(usize::MAX);
        let sink = Sink {
            reading: Reading { guess: config.guess_ports, scale },
            outbox: Outbox::new(outlets.flows, most.saturating_mul(2), board),
            names: watch.names(),
            sockets: Sockets::new(most.saturating_mul(2), board),
            dns: Dns::new(outlets.dns, board),
            taken: board.counter(STAGE, "in"),
            decode: board.counter(STAGE, "lost.decode"),
        };
        let sink = Rc::new(RefCell::new(sink));
        let board = Arc::clone(board);
        let mut worker =
            Self { config, watch, tables, rings, totals, tcpstat, sink, board, stopped };
        worker.list_sockets();
        // Not before the tables count.
        worker.watch.begin(&worker.config)?;
        worker.know_addresses();
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
        for ring in &self.rings {
            epoll::add(&wakes, ring.as_fd(), epoll::EventData::new_u64(RING), edges)?;
        }
        self.watch.wake_by(&wakes)?;
        let handles = self.handles()?;
        let rings = self.read(&handles)?;
        let period = self.config.period.max(SHORTEST);
        let mut report = Every::new(period);
        let mut sockets = Every::new(period.max(TICK));
        let mut look = Every::new(self.config.poll_period.max(TICK));
        let mut tick = Every::new(TICK);
        let mut pause = BUSY;
        loop {
            let woken = wait(&wakes, pause.min(report.left()))?;
            if woken.contains(&STOP) {
                return Ok(());
            }
            self.hear(&woken);
            let taken = consume(&rings)?;
            if sockets.is_due() {
                self.list_sockets();
            }
            if report.is_due() {
                self.report()?;
            }
            if look.is_due() {
                self.watch.look(&self.config, &wakes);
                self.know_addresses();
            }
            if tick.is_due() {
                self.watch.tick();
                self.count();
            }
            let sink = &mut *self.sink.borrow_mut();
            sink.dns.flush();
            sink.outbox.flush();
            pause = if taken { BUSY } else { (pause * 2).min(IDLE) };
        }
    }

    /// Takes in what namespaces have told.
    fn hear(&mut self, woken: &[u64]) {
        let namespaces: Vec<_> =
            woken.iter().filter_map(|woken| u32::try_from(*woken).ok()).collect();
        if namespaces.is_empty() {
            return;
        }
        for netns in namespaces {
            self.watch.hear(netns, &self.config);
        }
        self.know_addresses();
    }

    fn know_addresses(&self) {
        self.sink.borrow_mut().sockets.set_addresses(self.watch.addresses());
    }

    fn list_sockets(&self) {
        let Some(tcpstat) = &self.tcpstat else { return };
        if let Err(error) = self.sink.borrow_mut().list(tcpstat) {
            tracing::warn!(%error, "sockets could not be listed: flows may have no owners");
        }
    }

    fn count(&mut self) {
        self.totals.copy();
        self.sink.borrow_mut().give_up();
        if let Some(tcpstat) = &self.tcpstat {
            self.board.counter(tcpstat::UNIT, "ring_full").set(tcpstat.lost());
        }
    }

    fn handles(&self) -> io::Result<Vec<MapHandle>> {
        let handle = |map| MapHandle::try_from(map).map_err(io::Error::other);
        self.rings.iter().map(handle).collect()
    }

    /// Sockets first: who owns a packet is to be known before it is read.
    fn read<'a>(&self, rings: &'a [MapHandle]) -> io::Result<RingBuffer<'a>> {
        let mut builder = RingBufferBuilder::new();
        for (ring, take) in rings.iter().zip(TAKES).rev() {
            let sink = Rc::clone(&self.sink);
            let take = move |record: &[u8]| {
                take(&mut sink.borrow_mut(), record);
                0
            };
            builder.add(ring, take).map_err(io::Error::other)?;
        }
        builder.build().map_err(io::Error::other)
    }

    /// Takes what the tables have counted.
    fn report(&mut self) -> io::Result<()> {
        let sink = &mut *self.sink.borrow_mut();
        let flows = self.tables.drain(|key, count| sink.counted(key, count))?;
        sink.settle();
        self.board.counter(STAGE, "flows").set(flows);
        self.watch.forget();
        Ok(())
    }

    /// Takes what is left when no program counts any more.
    fn last(&mut self) -> io::Result<()> {
        if let Some(tcpstat) = &mut self.tcpstat {
            tcpstat.detach();
        }
        let handles = self.handles()?;
        consume(&self.read(&handles)?)?;
        self.report()?;
        self.sink.borrow_mut().dns.flush();
        self.count();
        Ok(())
    }
}

/// How records are read, in the order of [`Worker::rings`].
const TAKES: [fn(&mut Sink, &[u8]); 3] = [Sink::record, Sink::message, Sink::socket];

/// It fails alone.
fn open_tcpstat(board: &Board) -> Option<Tcpstat> {
    match Tcpstat::open() {
        Ok(tcpstat) => {
            board.judge(tcpstat::UNIT, Verdict::Active);
            Some(tcpstat)
        }
        Err(error) => {
            if board.judge(tcpstat::UNIT, Verdict::Failed(error.to_string())) {
                tracing::warn!(unit = tcpstat::UNIT, %error, "not loaded: flows have no owners");
            }
            None
        }
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
