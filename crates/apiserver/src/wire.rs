// SPDX-License-Identifier: Apache-2.0
//! A connection that can be cut, stalled or slowed at any byte of what it sends.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How often a slow connection says something.
const TICK: Duration = Duration::from_millis(10);

/// What limits the answer that is sent now. Shared with whoever answers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limit(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    end: Option<End>,
    bytes_per_tick: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
struct End {
    left: u64,
    cut: bool,
}

impl Limit {
    /// A new answer begins: nothing limits it.
    pub(crate) fn lift(&self) {
        self.set(|state| *state = State::default());
    }

    /// Cut after so many bytes from now.
    pub(crate) fn cut(&self, after: u64) {
        self.set(|state| state.end = Some(End { left: after, cut: true }));
    }

    /// Silent after so many bytes from now.
    pub(crate) fn stall(&self, after: u64) {
        self.set(|state| state.end = Some(End { left: after, cut: false }));
    }

    pub(crate) fn slow(&self, bytes_per_second: u32) {
        let per_tick = usize::try_from(bytes_per_second / 100).unwrap_or(1).max(1);
        self.set(|state| state.bytes_per_tick = Some(per_tick));
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// How many of `wanted` bytes may be sent.
    fn allows(&self, wanted: usize) -> Allowed {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let paced = state.bytes_per_tick.map_or(wanted, |most| most.min(wanted));
        match state.end {
            Some(End { left: 0, cut: true }) => Allowed::Cut,
            Some(End { left: 0, cut: false }) => Allowed::Nothing,
            Some(End { left, .. }) => {
                Allowed::Bytes(paced.min(usize::try_from(left).unwrap_or(usize::MAX)))
            }
            None => Allowed::Bytes(paced),
        }
    }

    fn sent(&self, bytes: usize) {
        self.set(|state| {
            if let Some(end) = &mut state.end {
                end.left = end.left.saturating_sub(u64::try_from(bytes).unwrap_or(u64::MAX));
            }
        });
    }

    fn is_slow(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).bytes_per_tick.is_some()
    }
}

enum Allowed {
    Bytes(usize),
    Nothing,
    Cut,
}

/// The connection.
pub(crate) struct Wire<T> {
    inner: T,
    limit: Limit,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<T> Wire<T> {
    pub(crate) fn new(inner: T, limit: Limit) -> Self {
        Self { inner, limit, pause: None }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Wire<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        let allowed = match self.limit.allows(buf.len()) {
            Allowed::Bytes(bytes) => bytes,
            // Nobody wakes it: it ends with the connection.
            Allowed::Nothing => return Poll::Pending,
            Allowed::Cut => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        };
        let part = buf.get(..allowed).unwrap_or(buf);
        let sent = ready!(Pin::new(&mut self.inner).poll_write(cx, part))?;
        self.limit.sent(sent);
        if self.limit.is_slow() {
            self.pause = Some(Box::pin(sleep(TICK)));
        }
        Poll::Ready(Ok(sent))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        // What was allowed has left; the cut comes with the last byte, not with the next one.
        match self.limit.allows(1) {
            Allowed::Cut => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Allowed::Bytes(_) | Allowed::Nothing => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
