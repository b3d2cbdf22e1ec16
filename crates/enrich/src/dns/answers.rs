// SPDX-License-Identifier: Apache-2.0
//! Names from answers that were overheard.
//!
//! An address is called what was asked for, at the beginning of a chain of aliases; the last answer wins. An answer is
//! believed for its own TTL, but at least [`MIN_TTL`], because it is needed when the flow is reported, which is later
//! than when it began; each use counts as a new beginning, so that a long connection keeps its name.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use vor_health::{Board, Counter};
use vor_model::{DnsLookup, ProcessKey, Workload};
use vor_pipeline::{Directory, now};

use super::STAGE;
use super::config::ReverseDnsConfig;
use super::memory::host;
use super::memory::{Memory, after};

/// How long an answer is believed at least.
const MIN_TTL: Duration = Duration::from_secs(60);

/// What was overheard.
#[derive(Debug)]
pub struct Answers {
    memory: Mutex<Memory>,
    max_ttl: Duration,
    heard: Counter,
}

impl Answers {
    /// Remembers as much as `config` says.
    #[must_use]
    pub fn new(config: &ReverseDnsConfig, board: &Board) -> Arc<Self> {
        let memory = Memory::new(config.cache_len, host, board.counter(STAGE, "addresses"));
        let heard = board.counter(STAGE, "heard");
        Arc::new(Self { memory: Mutex::new(memory), max_ttl: config.cache_expiry.get(), heard })
    }

    /// Takes the addresses of `answer`.
    pub fn learn(&self, answer: &DnsLookup) {
        if answer.name.is_empty() {
            return;
        }
        let ttl = answer.ttl.max(MIN_TTL).min(self.max_ttl);
        let (now, mut memory) = (now(), self.memory.lock().unwrap_or_else(PoisonError::into_inner));
        for ip in &answer.addresses {
            memory.put(*ip, Some(&answer.name), now, ttl);
            self.heard.inc();
        }
    }
}

impl Directory for Answers {
    fn at(&self, ip: IpAddr) -> Option<Arc<Workload>> {
        let (now, mut memory) = (now(), self.memory.lock().unwrap_or_else(PoisonError::into_inner));
        let known = memory.get(ip)?;
        if known.until < now {
            memory.forget(ip);
            return None;
        }
        known.until = after(now, known.ttl);
        known.host.clone()
    }

    fn of(&self, _process: ProcessKey) -> Option<Arc<Workload>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use confique::Config;
    use vor_model::{FlowEnd, Mono};

    use super::*;

    fn answer(name: &str, addresses: &[&str], ttl: u64) -> DnsLookup {
        let end = |port| FlowEnd { ip: "192.0.2.1".parse().unwrap(), port };
        DnsLookup {
            name: name.to_owned(),
            kind: 1,
            code: Some(0),
            addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
            ttl: Duration::from_secs(ttl),
            client: end(4000),
            server: end(53),
            asked: None,
            at: Mono(1),
            process: None,
        }
    }

    fn answers(len: usize, expiry: Duration) -> Arc<Answers> {
        let mut config = ReverseDnsConfig::builder().load().unwrap();
        (config.cache_len, config.cache_expiry) = (len, expiry.into());
        Answers::new(&config, &Board::new())
    }

    fn name(answers: &Answers, ip: &str) -> Option<String> {
        answers.at(ip.parse().unwrap()).map(|host| host.name.to_string())
    }

    #[test]
    fn an_address_is_called_what_was_asked_for_last() {
        let answers = answers(2, Duration::from_secs(3600));
        answers.learn(&answer("one.test", &["10.0.0.1", "fd00::1"], 5));
        assert_eq!(name(&answers, "fd00::1").as_deref(), Some("one.test"));
        answers.learn(&answer("two.test", &["10.0.0.1"], 5));
        assert_eq!(name(&answers, "10.0.0.1").as_deref(), Some("two.test"));
        answers.learn(&answer("three.test", &["10.0.0.3"], 5));
        assert_eq!(name(&answers, "fd00::1"), None, "there is room for two");
        answers.learn(&answer("", &["10.0.0.3"], 5));
        assert_eq!(name(&answers, "10.0.0.3").as_deref(), Some("three.test"));
    }

    #[test]
    fn an_answer_is_believed_for_a_while_only() {
        let answers = answers(2, Duration::ZERO);
        answers.learn(&answer("one.test", &["10.0.0.1"], 5));
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(name(&answers, "10.0.0.1"), None);
    }
}
