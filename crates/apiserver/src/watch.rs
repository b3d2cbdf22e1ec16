// SPDX-License-Identifier: Apache-2.0
//! Watches: one line of JSON per change, for as long as the client listens.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, interval_at, sleep_until};

use crate::ask::Ask;
use crate::cluster::Cluster;
use crate::refusal::Refusal;
use crate::selector::Selector;
use crate::shape::Shape;
use crate::store::{Change, Happened, Object};

/// How long a watch lasts when nobody says how long.
const LASTS: Duration = Duration::from_secs(30 * 60);
/// Lines that may wait for a slow client; then the log of changes waits, and at last forgets.
const LINES: usize = 64;

/// A watch that was understood.
pub(crate) struct Watch {
    ask: Ask,
    selector: Selector,
    shape: Shape,
    /// `None`: begin with what there is.
    from: Option<u64>,
    /// Say when everything that there is has been told.
    mark_initial: bool,
    ends: Instant,
}

/// The lines of a watch as the body of an answer.
pub(crate) struct Lines(Receiver<Bytes>);

impl Body for Lines {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}

impl Watch {
    pub(crate) fn new(ask: Ask, shape: Shape) -> Result<Self, Refusal> {
        let selector = ask.query.selector()?;
        let version = ask.query.number("resourceVersion")?;
        let initial = ask.query.truth("sendInitialEvents");
        if initial
            && (ask.query.text("resourceVersionMatch") != "NotOlderThan"
                || !ask.query.truth("allowWatchBookmarks"))
        {
            let message = "sendInitialEvents: Forbidden: needs resourceVersionMatch=NotOlderThan and \
                           allowWatchBookmarks=true";
            return Err(Refusal::invalid(message));
        }
        let lasts = ask.query.number("timeoutSeconds")?.map_or(LASTS, Duration::from_secs);
        let from = version.filter(|version| *version > 0 && !initial);
        let ends = Instant::now() + lasts;
        Ok(Self { ask, selector, shape, from, mark_initial: initial, ends })
    }

    /// Begins to tell.
    pub(crate) fn start(self, cluster: Arc<Cluster>) -> Lines {
        let (lines, body) = channel(LINES);
        tokio::spawn(async move {
            let _counted = cluster.watching();
            // The client went away: nothing is left to do.
            let _ = self.tell(&cluster, &lines).await;
        });
        Lines(body)
    }

    async fn tell(self, cluster: &Cluster, lines: &Sender<Bytes>) -> Option<()> {
        let mut news = cluster.news();
        let mut hangups = cluster.hangups();
        let every = cluster.bookmarks();
        let mut bookmarks = interval_at(Instant::now() + every, every);
        let mut from = match self.from {
            Some(version) => version,
            None => self.initial(cluster, lines).await?,
        };
        loop {
            news.borrow_and_update();
            let (changes, version) = {
                let store = cluster.store();
                (store.since(self.ask.kind, from), store.version())
            };
            let changes = match changes {
                Ok(changes) => changes,
                Err(refusal) => return lines.send(error_line(&refusal)).await.ok(),
            };
            for line in changes.iter().filter_map(|change| self.line_of(change)) {
                lines.send(line).await.ok()?;
            }
            from = from.max(version);
            tokio::select! {
                _ = news.changed() => {}
                () = lines.closed() => return None,
                _ = hangups.changed() => return Some(()),
                _ = bookmarks.tick() => self.bookmark(lines, from, false).await?,
                () = sleep_until(self.ends) => return self.bookmark(lines, from, false).await,
            }
        }
    }

    /// Tells everything that there is; gives its version.
    async fn initial(&self, cluster: &Cluster, lines: &Sender<Bytes>) -> Option<u64> {
        let state = cluster.store().now(self.ask.kind);
        for object in state.objects.values().filter(|object| self.wants(object)) {
            lines.send(self.line("ADDED", object)).await.ok()?;
        }
        if self.mark_initial {
            self.bookmark(lines, state.version, true).await?;
        }
        Some(state.version)
    }

    async fn bookmark(&self, lines: &Sender<Bytes>, version: u64, first: bool) -> Option<()> {
        if !self.ask.query.truth("allowWatchBookmarks") {
            return Some(());
        }
        let object = self.shape.bookmark(self.ask.kind, version, first);
        let line = format!("{{\"type\":\"BOOKMARK\",\"object\":{object}}}\n");
        lines.send(line.into()).await.ok()
    }

    fn wants(&self, object: &Object) -> bool {
        let namespace = &object.fields["metadata"]["namespace"];
        (self.ask.namespace.is_empty() || *namespace == self.ask.namespace.as_str())
            && self.selector.wants(&object.fields)
    }

    /// For who selects, an object that begins to match is added, and one that ceases to match is deleted.
    fn line_of(&self, change: &Change) -> Option<Bytes> {
        let was = change.before.as_ref().is_some_and(|before| self.wants(before));
        let is = change.happened != Happened::Deleted && self.wants(&change.object);
        let word = match (was, is) {
            (false, false) => return None,
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        Some(self.line(word, &change.object))
    }

    fn line(&self, word: &str, object: &Object) -> Bytes {
        let mut line = format!("{{\"type\":\"{word}\",\"object\":").into_bytes();
        line.extend_from_slice(&self.shape.one(self.ask.kind, object));
        line.extend_from_slice(b"}\n");
        line.into()
    }
}

pub(crate) fn error_line(refusal: &Refusal) -> Bytes {
    format!("{{\"type\":\"ERROR\",\"object\":{}}}\n", refusal.status()).into()
}
