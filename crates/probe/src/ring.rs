// SPDX-License-Identifier: Apache-2.0
//! One thread drains all rings: those that are there at the start, and those of units that are loaded later.
//!
//! In: records of every loaded unit. Out: batches of captures for the pipeline, process events for discovery;
//! neither is waited for: what finds no room for long is dropped and counted.
//! The kernel side does not wake the reader, because that would cost the observed program; the thread looks by
//! itself, often while records come and rarely while none do. A ring past its high-water mark does wake it.

use std::cell::RefCell;
use std::io;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use libbpf_rs::{MapHandle, RingBuffer, RingBufferBuilder};
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use vor_health::{Board, Counter, count};
use vor_model::{Captured, Life};

use crate::tracers::{DecodeError, Unit};

/// Time between two looks while records come.
const BUSY: Duration = Duration::from_millis(5);
/// Longest time between two looks. A wake-up costs about 5,000 instructions.
const IDLE: Duration = Duration::from_millis(50);
/// Batches' worth of captures that wait here for room in the queue.
const KEPT: usize = 8;
/// Rings that may wait to be read; there are fewer units.
const RINGS: usize = 64;
/// What a wake-up is about.
const RING: epoll::EventData = epoll::EventData::new_u64(0);
const STOP: epoll::EventData = epoll::EventData::new_u64(1);

/// A ring and how to read it.
pub(crate) struct Ring {
    pub(crate) unit: &'static Unit,
    pub(crate) map: MapHandle,
}

/// Where captures go.
pub(crate) struct Outlets {
    pub(crate) captures: Sender<Vec<Captured>>,
    pub(crate) life: SyncSender<Life>,
    pub(crate) batch_length: usize,
}

/// The running thread.
#[derive(Debug)]
pub(crate) struct Drain {
    thread: JoinHandle<()>,
    stop: OwnedFd,
    rings: SyncSender<(Ring, Counts)>,
}

impl Drain {
    pub(crate) fn start(outlets: Outlets) -> io::Result<Self> {
        let stop = eventfd(0, EventfdFlags::CLOEXEC)?;
        let stopped = stop.try_clone()?;
        let (rings, added) = sync_channel(RINGS);
        let thread = thread::Builder::new().name("vor-ring".into()).spawn(move || {
            if let Err(error) = drain(&added, outlets, &stopped) {
                tracing::error!(%error, "rings are no longer read");
            }
        })?;
        Ok(Self { thread, stop, rings })
    }

    /// Reads one more ring from the next look on.
    pub(crate) fn add(&self, ring: Ring, board: &Board) {
        let counts = Counts::new(board, ring.unit.name);
        // Fails only when the thread has ended, which is in the log.
        let _ = self.rings.send((ring, counts));
    }

    /// Drains the rings a last time and ends. Programs should be detached before.
    pub(crate) fn stop(self) {
        // Cannot block or fail: the counter of a fresh eventfd has room.
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        if self.thread.join().is_err() {
            tracing::error!("the thread that reads rings has panicked");
        }
    }
}

/// Counters of one unit: in = out + all lost.
#[derive(Debug, Clone)]
struct Counts {
    taken: Counter,
    given: Counter,
    full: Counter,
    decode: Counter,
}

impl Counts {
    fn new(board: &Board, stage: &'static str) -> Self {
        Self {
            taken: board.counter(stage, "in"),
            given: board.counter(stage, "out"),
            full: board.counter(stage, "lost.full"),
            decode: board.counter(stage, "lost.decode"),
        }
    }
}

fn drain(added: &Receiver<(Ring, Counts)>, outlets: Outlets, stopped: &OwnedFd) -> io::Result<()> {
    let wakes = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&wakes, stopped, STOP, epoll::EventFlags::IN)?;
    let outlets = Rc::new(outlets);
    let mut readers = Vec::new();
    let mut pause = BUSY;
    loop {
        for (ring, counts) in added.try_iter() {
            readers.push(Reader::new(ring, counts, &outlets, &wakes)?);
        }
        let stop = wait(&wakes, pause)?;
        let mut taken = false;
        for reader in &readers {
            taken |= reader.look()?;
        }
        if stop {
            for reader in &readers {
                reader.sink.borrow_mut().finish();
            }
            return Ok(());
        }
        pause = if taken { BUSY } else { (pause * 2).min(IDLE) };
    }
}

/// A ring that is read.
struct Reader {
    buffer: RingBuffer<'static>,
    sink: Rc<RefCell<Sink>>,
    /// Wakes the thread as long as it is open.
    _map: MapHandle,
}

impl Reader {
    fn new(ring: Ring, counts: Counts, outlets: &Rc<Outlets>, wakes: &OwnedFd) -> io::Result<Self> {
        // Edges: a ring that is seldom empty would otherwise be reported at each look.
        let edges = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(wakes, ring.map.as_fd(), RING, edges)?;
        let decode = ring.unit.decode;
        let outlets = Rc::clone(outlets);
        let sink = Rc::new(RefCell::new(Sink { decode, counts, batch: Vec::new(), outlets }));
        let takes = Rc::clone(&sink);
        let take = move |record: &[u8]| {
            takes.borrow_mut().take(record);
            0
        };
        let mut builder = RingBufferBuilder::new();
        builder.add(&ring.map, take).map_err(io::Error::other)?;
        let buffer = builder.build().map_err(io::Error::other)?;
        Ok(Self { buffer, sink, _map: ring.map })
    }

    /// Takes all there is; true when that was something.
    fn look(&self) -> io::Result<bool> {
        let taken = self.buffer.consume_raw();
        self.sink.borrow_mut().flush();
        if taken < 0 {
            return Err(io::Error::from_raw_os_error(-taken));
        }
        Ok(taken > 0)
    }
}

/// Waits for the next look; true when the thread is to end.
fn wait(wakes: &OwnedFd, pause: Duration) -> io::Result<bool> {
    let pause = Timespec { tv_sec: 0, tv_nsec: pause.subsec_nanos().into() };
    let mut events = [epoll::Event { flags: epoll::EventFlags::empty(), data: RING }; 8];
    match epoll::wait(wakes, &mut events, Some(&pause)) {
        Ok(woken) => Ok(events.iter().take(woken).any(|event| event.data.u64() == STOP.u64())),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// One unit's captures on their way.
struct Sink {
    decode: fn(&[u8]) -> Result<Captured, DecodeError>,
    counts: Counts,
    batch: Vec<Captured>,
    outlets: Rc<Outlets>,
}

impl Sink {
    fn take(&mut self, record: &[u8]) {
        self.counts.taken.inc();
        match (self.decode)(record) {
            Ok(Captured::Life(life)) => self.give_life(life),
            Ok(captured) => {
                self.batch.push(captured);
                if self.batch.len() >= self.outlets.batch_length {
                    self.flush();
                }
            }
            Err(error) => {
                tracing::debug!(%error, "record not read");
                self.counts.decode.inc();
            }
        }
    }

    fn give_life(&self, life: Life) {
        match self.outlets.life.try_send(life) {
            Ok(()) => self.counts.given.inc(),
            Err(_full_or_gone) => self.counts.full.inc(),
        }
    }

    fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let n = count(self.batch.len());
        match self.outlets.captures.try_send(mem::take(&mut self.batch)) {
            Ok(()) => self.counts.given.add(n),
            // Small batches fill the queue too: what is here goes with what comes next.
            Err(TrySendError::Full(batch)) if batch.len() < KEPT * self.outlets.batch_length => {
                self.batch = batch;
            }
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => self.counts.full.add(n),
        }
    }

    /// Hands on what is left. Waits for room: the pipeline takes captures until this thread has ended.
    fn finish(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let n = count(self.batch.len());
        match self.outlets.captures.blocking_send(mem::take(&mut self.batch)) {
            Ok(()) => self.counts.given.add(n),
            Err(_gone) => self.counts.full.add(n),
        }
    }
}
