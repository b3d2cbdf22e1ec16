// SPDX-License-Identifier: Apache-2.0
//! Names from the system's name servers and hosts file, asked for beside the pipeline.
//!
//! In: addresses that nobody has asked about yet. Out: names, at the next question. Whoever asks gets what is remembered:
//! nothing at first, the old name while a new one is looked up. Bounded: [`MAX_ASKED`] addresses wait, [`MAX_AT_ONCE`]
//! are looked up; what does not fit is asked again with the next flow or span. On the board questions are
//! `in`, answers (a name, or that there is none) `out`.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::config::ResolveHosts;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::{ResolverBuilder, TokioResolver};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;
use vor_health::{Board, Counter, Verdict};
use vor_model::{ProcessKey, Workload};
use vor_pipeline::{Directory, now};

use super::STAGE;
use super::config::ReverseDnsConfig;
use super::memory::{Memory, host};

/// Addresses that may wait to be looked up.
const MAX_ASKED: usize = 1_024;
/// Addresses that are looked up at once.
const MAX_AT_ONCE: usize = 16;
/// How long a name server may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it is believed that an address has no name.
const NAMELESS: Duration = Duration::from_secs(300);
/// How long a question that found no answer is not asked again.
const UNANSWERED: Duration = Duration::from_secs(60);

/// What the system's name servers said.
#[derive(Debug)]
pub struct Resolver {
    memory: Mutex<Memory>,
    questions: Sender<IpAddr>,
    expiry: Duration,
    stage: &'static str,
    counters: Counters,
}

#[derive(Debug)]
struct Counters {
    asked: Counter,
    answered: Counter,
    failed: Counter,
    full: Counter,
}

impl Resolver {
    /// Names hosts, as `config` says; needs a runtime around it. Ends when it is dropped.
    #[must_use]
    pub fn hosts(config: &ReverseDnsConfig, board: &Board) -> Arc<Self> {
        Self::start(STAGE, config.cache_len, config.cache_expiry.get(), host, board)
    }

    /// Is `stage` on the board, remembers `cache_len` addresses for `expiry`, and makes of a name who it is by `named`.
    pub(crate) fn start(
        stage: &'static str,
        cache_len: usize,
        expiry: Duration,
        named: fn(&str) -> Workload,
        board: &Board,
    ) -> Arc<Self> {
        let memory = Memory::new(cache_len, named, board.counter(stage, "addresses"));
        Self::asking(TokioResolver::builder_tokio(), stage, memory, expiry, board)
    }

    fn asking(
        servers: Result<Builder, NetError>,
        stage: &'static str,
        memory: Memory,
        expiry: Duration,
        board: &Board,
    ) -> Arc<Self> {
        let count = |what| board.counter(stage, what);
        let counters = Counters {
            asked: count("in"),
            answered: count("out"),
            failed: count("lost.failed"),
            full: count("lost.full"),
        };
        let (questions, asked) = channel(MAX_ASKED);
        let memory = Mutex::new(memory);
        let this = Arc::new(Self { memory, questions, expiry, stage, counters });
        match servers.and_then(resolver) {
            Ok(resolver) => {
                board.judge(stage, Verdict::Active);
                tokio::spawn(answer(asked, resolver, Arc::downgrade(&this)));
            }
            Err(error) => {
                tracing::warn!(unit = stage, %error, "addresses have no names from DNS");
                board.judge(stage, Verdict::Failed(error.to_string()));
            }
        }
        this
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `ip` looked up; whether that is going to happen.
    fn ask(&self, ip: IpAddr) -> bool {
        if self.questions.is_closed() {
            return false;
        }
        self.counters.asked.inc();
        let asked = self.questions.try_send(ip).is_ok();
        if !asked {
            self.counters.full.inc();
        }
        asked
    }

    fn hear(&self, ip: IpAddr, answer: &Answer) {
        let (counter, name, ttl) = match answer {
            Answer::Name(name) => (&self.counters.answered, Some(name.as_str()), self.expiry),
            Answer::Nameless => (&self.counters.answered, None, NAMELESS.min(self.expiry)),
            Answer::Unanswered => (&self.counters.failed, None, UNANSWERED.min(self.expiry)),
        };
        counter.inc();
        self.memory().put(ip, name, now(), ttl);
    }
}

impl Directory for Resolver {
    fn at(&self, ip: IpAddr) -> Option<Arc<Workload>> {
        let (now, mut memory) = (now(), self.memory());
        let remembered = match memory.get(ip) {
            Some(known) if known.until >= now => return known.host.clone(),
            Some(known) => known.host.clone(),
            None => None,
        };
        if self.ask(ip) {
            let name = remembered.as_ref().map(|host| &*host.name);
            // Until there is an answer nobody needs to ask again.
            memory.put(ip, name, now, UNANSWERED);
        }
        remembered
    }

    fn of(&self, _process: ProcessKey) -> Option<Arc<Workload>> {
        None
    }
}

type Builder = ResolverBuilder<TokioRuntimeProvider>;

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Name(String),
    Nameless,
    Unanswered,
}

fn resolver(mut builder: Builder) -> Result<TokioResolver, NetError> {
    let options = builder.options_mut();
    // Names are remembered here.
    options.cache_size = 0;
    options.timeout = PATIENCE;
    options.attempts = 1;
    options.use_hosts_file = ResolveHosts::Always;
    builder.build()
}

/// Looks up what is asked until nobody can ask any more.
async fn answer(
    mut asked: Receiver<IpAddr>,
    resolver: TokioResolver,
    of: std::sync::Weak<Resolver>,
) {
    let mut lookups = JoinSet::new();
    loop {
        tokio::select! {
            ip = asked.recv(), if lookups.len() < MAX_AT_ONCE => {
                let Some(ip) = ip else { return };
                let resolver = resolver.clone();
                let stage = of.upgrade().map_or(STAGE, |of| of.stage);
                lookups.spawn(async move { (ip, look_up(stage, &resolver, ip).await) });
            }
            Some(Ok((ip, answer))) = lookups.join_next(), if !lookups.is_empty() => {
                let Some(of) = of.upgrade() else { return };
                of.hear(ip, &answer);
            }
        }
    }
}

async fn look_up(stage: &str, resolver: &TokioResolver, ip: IpAddr) -> Answer {
    match resolver.reverse_lookup(ip).await {
        Ok(found) => {
            let mut names = found.answers().iter().filter_map(|record| match &record.data {
                RData::PTR(name) => Some(name.to_utf8()),
                _ => None,
            });
            let name = names.next().map(|name| name.trim_end_matches('.').to_lowercase());
            name.filter(|name| !name.is_empty()).map_or(Answer::Nameless, Answer::Name)
        }
        Err(error) if error.is_no_records_found() => Answer::Nameless,
        Err(error) => {
            tracing::debug!(unit = stage, %ip, %error, "no answer");
            Answer::Unanswered
        }
    }
}

#[cfg(test)]
mod tests;
