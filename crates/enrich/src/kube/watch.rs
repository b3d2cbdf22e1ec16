// SPDX-License-Identifier: Apache-2.0
//! One kind of objects, listed and watched: a list in pages, then changes from its version on. A connection that ends is
//! resumed where it was; a version that the server has forgotten (410 Gone) means to list anew.

use std::collections::HashSet;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use kube::api::{ListParams, Request, WatchEvent, WatchParams};
use kube::{Client, Error, Resource};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep, timeout};

use super::condition::Condition;
use super::object::Kind;
use super::seen::Keep;
use super::store::Store;

/// Objects of one page of a list.
const PAGE: u32 = 500;
/// How long the server is asked to keep a watch open, in seconds.
const WATCH_SECONDS: u32 = 290;
/// A watch that says nothing for so long, not even its end, has lost its connection.
const DEAD: Duration = Duration::from_secs(300);
/// How long a list may take.
const LIST: Duration = Duration::from_secs(60);
/// A watch that lived so long worked.
const LASTING: Duration = Duration::from_secs(5);
/// The longest wait between two tries.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Waits that grow from try to try.
#[derive(Debug, Clone)]
pub(super) struct Pause {
    first: Duration,
    next: Duration,
}

impl Pause {
    pub(super) const fn new(first: Duration) -> Self {
        Self { first, next: first }
    }

    pub(super) const fn reset(&mut self) {
        self.next = self.first;
    }

    /// Between half and one and a half times the wait, so that many agents do not come back at one moment.
    pub(super) async fn wait(&mut self) {
        sleep(self.next.mul_f64(0.5 + fastrand::f64())).await;
        self.next = self.next.saturating_mul(2).min(MAX_PAUSE.max(self.first));
    }
}

/// Follows the objects of one kind.
pub(super) struct Watch<K> {
    pub(super) client: Client,
    pub(super) kind: Kind,
    /// As what objects are read.
    pub(super) seen: PhantomData<fn() -> K>,
    /// Selects by fields, empty for all.
    pub(super) fields: String,
    /// How often everything is listed anew without need; zero: never.
    pub(super) resync: Duration,
    pub(super) store: Arc<Store>,
    pub(super) condition: Arc<Condition>,
}

/// A page of a list. Its objects are read one by one, so that one that cannot be read is lost alone, and no more than
/// one is held as it was told.
#[derive(Deserialize)]
struct Page<'a> {
    metadata: ListMeta,
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

/// Why a list or a watch ended.
enum End {
    /// As it should, or the connection was lost: go on from the last version.
    Over,
    /// The version is not known to the server any more.
    Expired,
    /// It did not work.
    Failed(String),
}

impl<K> Watch<K>
where
    K: Resource<DynamicType = ()> + Keep + Clone + DeserializeOwned + Debug + Send + 'static,
{
    /// Never ends.
    pub(super) async fn run(self, mut pause: Pause) {
        loop {
            let mut version = match timeout(LIST, self.list()).await {
                Ok(Ok(version)) => version,
                Ok(Err(error)) => {
                    self.condition.ill(self.kind, &reason(&error));
                    pause.wait().await;
                    continue;
                }
                Err(_) => {
                    self.condition.ill(self.kind, "the list took longer than a minute");
                    pause.wait().await;
                    continue;
                }
            };
            self.condition.well(self.kind);
            let follow = self.follow(&mut version, &mut pause);
            if self.resync.is_zero() {
                follow.await;
            } else {
                // Over or not, everything is listed next.
                let _ = timeout(self.resync, follow).await;
            }
        }
    }

    /// Lists all objects; gives the version of the list.
    async fn list(&self) -> Result<String, Error> {
        let mut params = ListParams::default().fields(&self.fields).limit(PAGE);
        let mut alive = HashSet::new();
        loop {
            let ask = Self::ask();
            let asked =
                if K::METADATA_ONLY { ask.list_metadata(&params) } else { ask.list(&params) };
            let text = self.client.request_text(asked.map_err(Error::BuildRequest)?).await?;
            let page: Page<'_> = serde_json::from_str(&text).map_err(Error::SerdeError)?;
            for item in page.items.into_iter().flatten() {
                match serde_json::from_str::<K>(item.get()) {
                    Ok(seen) => alive.extend(self.put(&seen)),
                    Err(error) => self.condition.unreadable(self.kind, &error),
                }
            }
            params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            if params.continue_token.is_none() {
                self.store.keep_only(self.kind, &alive);
                return Ok(page.metadata.resource_version.unwrap_or_default());
            }
        }
    }

    fn ask() -> Request {
        Request::new(K::url_path(&(), None))
    }

    /// Takes changes until the server has forgotten the version.
    async fn follow(&self, version: &mut String, pause: &mut Pause) {
        loop {
            let begun = Instant::now();
            let before = version.clone();
            let end = self.watch(version).await;
            let worked = begun.elapsed() >= LASTING || *version != before;
            if worked {
                pause.reset();
            }
            match end {
                End::Expired => {
                    tracing::debug!(kind = self.kind.as_str(), "version expired, listing anew");
                    if !worked {
                        pause.wait().await;
                    }
                    return;
                }
                End::Over if worked => {}
                End::Over => pause.wait().await,
                End::Failed(why) => {
                    self.condition.ill(self.kind, &why);
                    pause.wait().await;
                }
            }
        }
    }

    async fn watch(&self, version: &mut String) -> End {
        let params = WatchParams::default().fields(&self.fields).timeout(WATCH_SECONDS);
        let ask = Self::ask();
        let asked = if K::METADATA_ONLY {
            ask.watch_metadata(&params, version)
        } else {
            ask.watch(&params, version)
        };
        let asked = match asked {
            Ok(asked) => asked,
            Err(error) => return End::Failed(error.to_string()),
        };
        let stream = match timeout(LIST, self.client.request_events::<K>(asked)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(Error::Api(status))) if status.code == 410 => return End::Expired,
            Ok(Err(error)) => return End::Failed(reason(&error)),
            Err(_) => return End::Failed("the server does not answer".to_owned()),
        };
        self.condition.well(self.kind);
        let mut stream = pin!(stream);
        while let Ok(Some(event)) = timeout(DEAD, stream.next()).await {
            match event {
                Ok(WatchEvent::Added(seen) | WatchEvent::Modified(seen)) => {
                    self.put(&seen);
                    advance(version, seen.meta().resource_version.as_deref());
                }
                Ok(WatchEvent::Deleted(seen)) => {
                    if let Some(object) = seen.keep(&self.store) {
                        self.store.remove(&object.id());
                    }
                    advance(version, seen.meta().resource_version.as_deref());
                }
                Ok(WatchEvent::Bookmark(mark)) => {
                    advance(version, Some(&mark.metadata.resource_version));
                }
                Ok(WatchEvent::Error(status)) if status.code == 410 => return End::Expired,
                Ok(WatchEvent::Error(status)) => return End::Failed(status.message),
                Err(Error::SerdeError(error)) => self.condition.unreadable(self.kind, &error),
                Err(error) => {
                    tracing::debug!(kind = self.kind.as_str(), %error, "watch interrupted");
                    return End::Over;
                }
            }
        }
        End::Over
    }

    fn put(&self, seen: &K) -> Option<Arc<str>> {
        let Some(object) = seen.keep(&self.store) else {
            self.condition.unreadable(self.kind, &"an object without name or uid");
            return None;
        };
        let uid = Arc::clone(&object.meta().uid);
        self.store.put(object);
        Some(uid)
    }
}

fn advance(version: &mut String, to: Option<&str>) {
    if let Some(to) = to.filter(|to| !to.is_empty()) {
        to.clone_into(version);
    }
}

/// What went wrong, in words that say what to do.
fn reason(error: &Error) -> String {
    match error {
        Error::Api(status) if status.code == 401 => {
            format!("the API server does not accept vor's token: {}", status.message)
        }
        Error::Api(status) if status.code == 403 => {
            format!("vor's service account needs the verbs list and watch: {}", status.message)
        }
        Error::Api(status) => format!("the API server refuses: {}", status.message),
        error => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(cause) = source {
                let cause_text = cause.to_string();
                if !text.contains(&cause_text) {
                    text = format!("{text}: {cause_text}");
                }
                source = cause.source();
            }
            text
        }
    }
}
