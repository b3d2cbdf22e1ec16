// SPDX-License-Identifier: Apache-2.0
//! Copied messages of name servers → [`DnsAnswer`]: which name has which addresses, and how long it took to say so.
//!
//! A message that passes several interfaces is told once. Questions that wait for an answer are bounded.

use std::collections::HashMap;
use std::mem;
use std::net::IpAddr;
use std::time::Duration;

use simple_dns::rdata::RData;
use simple_dns::{Packet, PacketFlag};
use tokio::sync::mpsc::Sender;
use vor_health::{Board, Counter, count};
use vor_model::{DnsAnswer, FlowEnd, Mono};
use zerocopy::FromBytes;

use super::STAGE;
use super::decode::address;
use crate::tracers::wire::FlowDnsHead;

/// Answers per batch.
const BATCH: usize = 256;
/// Aliases that are followed (RFC 1034, 3.6.2, allows any number; resolvers stop at about this).
const MOST_ALIASES: usize = 16;
/// A client asks again, or gives up, before so long.
const PATIENCE: Duration = Duration::from_secs(15);
/// Questions that are remembered at once.
const MOST_QUESTIONS: usize = 8192;

/// One question: who asks whom, by which number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Question {
    client: FlowEnd,
    server: FlowEnd,
    id: u16,
}

/// What is known of a question.
#[derive(Debug, Clone, Copy)]
struct Asked {
    at: Mono,
    answered: bool,
}

/// Reads messages.
#[derive(Debug)]
pub(super) struct Dns {
    answers: Sender<Vec<DnsAnswer>>,
    batch: Vec<DnsAnswer>,
    questions: HashMap<Question, Asked>,
    taken: Counter,
    given: Counter,
    full: Counter,
    unread: Counter,
    waiting: Counter,
}

impl Dns {
    pub(super) fn new(answers: Sender<Vec<DnsAnswer>>, board: &Board) -> Self {
        let count = |what| board.counter(STAGE, what);
        Self {
            answers,
            batch: Vec::new(),
            questions: HashMap::new(),
            taken: count("dns.answers"),
            given: count("dns.out"),
            full: count("dns.full"),
            unread: count("dns.unread"),
            waiting: count("dns.questions"),
        }
    }

    /// Reads one record of the ring: an answer, and the namespace where it was seen.
    pub(super) fn read(&mut self, record: &[u8]) -> Option<(u32, DnsAnswer)> {
        let Ok((head, rest)) = FlowDnsHead::read_from_prefix(record) else {
            self.unread.inc();
            return None;
        };
        let message = rest.get(..head.len.into()).unwrap_or_default();
        match Packet::parse(message) {
            Ok(packet) if packet.has_flags(PacketFlag::RESPONSE) => {
                Some((head.netns, self.answer(&head, &packet, message)?))
            }
            Ok(packet) => {
                self.question(&head, packet.id());
                None
            }
            Err(error) => {
                tracing::trace!(%error, "message of a name server not read");
                self.unread.inc();
                None
            }
        }
    }

    fn question(&mut self, head: &FlowDnsHead, id: u16) {
        let [client, server] = ends(head);
        let question = Question { client, server, id };
        let new = Asked { at: Mono(head.at_ns), answered: false };
        if let Some(known) = self.questions.get_mut(&question) {
            // The same on its way through another interface, or asked again; else the number is used anew.
            if known.answered || new.at.since(known.at) > PATIENCE {
                *known = new;
            }
        } else if self.questions.len() < MOST_QUESTIONS {
            self.questions.insert(question, new);
        }
    }

    fn answer(
        &mut self,
        head: &FlowDnsHead,
        packet: &Packet<'_>,
        message: &[u8],
    ) -> Option<DnsAnswer> {
        let [server, client] = ends(head);
        let question = Question { client, server, id: packet.id() };
        let at = Mono(head.at_ns);
        let asked = self.questions.get(&question).filter(|asked| at.since(asked.at) <= PATIENCE);
        if asked.is_some_and(|asked| asked.answered) {
            return None;
        }
        let asked_at = asked.map(|asked| asked.at);
        if asked.is_some() || self.questions.len() < MOST_QUESTIONS {
            let at = asked_at.unwrap_or(at);
            self.questions.insert(question, Asked { at, answered: true });
        }
        let told = packet.questions.first()?;
        let name = plain(&told.qname);
        let (addresses, ttl) = addresses(packet, &name);
        Some(DnsAnswer {
            kind: told.qtype.into(),
            name,
            // RFC 1035, 4.1.1.
            code: message.get(3).map_or(0, |flags| flags & 0xf),
            addresses,
            ttl,
            client,
            server,
            asked: asked_at,
            at,
            process: None,
        })
    }

    pub(super) fn put(&mut self, answer: DnsAnswer) {
        self.taken.inc();
        self.batch.push(answer);
        if self.batch.len() >= BATCH {
            self.flush();
        }
    }

    /// Gives what has been read.
    pub(super) fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let n = count(self.batch.len());
        match self.answers.try_send(mem::take(&mut self.batch)) {
            Ok(()) => self.given.add(n),
            Err(_full_or_gone) => self.full.add(n),
        }
    }

    /// Forgets questions that nobody answers any more.
    pub(super) fn tick(&mut self, now: Mono) {
        self.questions.retain(|_, asked| now.since(asked.at) <= PATIENCE);
        self.waiting.set(count(self.questions.len()));
    }
}

/// Where a message comes from and where it goes.
fn ends(head: &FlowDnsHead) -> [FlowEnd; 2] {
    [
        FlowEnd { ip: address(head.src), port: head.src_port },
        FlowEnd { ip: address(head.dst), port: head.dst_port },
    ]
}

fn plain(name: &simple_dns::Name<'_>) -> String {
    name.to_string().trim_end_matches('.').to_ascii_lowercase()
}

/// The addresses of `name` or of what it is an alias of, and how long all of it holds.
fn addresses(packet: &Packet<'_>, name: &str) -> (Vec<IpAddr>, Duration) {
    let mut canonical = name.to_owned();
    let mut ttl = u32::MAX;
    for _ in 0..MOST_ALIASES {
        let alias = packet.answers.iter().find_map(|record| match &record.rdata {
            RData::CNAME(to) if plain(&record.name) == canonical => {
                Some((plain(&to.0), record.ttl))
            }
            _ => None,
        });
        let Some((to, holds)) = alias else { break };
        canonical = to;
        ttl = ttl.min(holds);
    }
    let mut addresses = Vec::new();
    for record in packet.answers.iter().filter(|record| plain(&record.name) == canonical) {
        match &record.rdata {
            RData::A(a) => addresses.push(IpAddr::from(a.address.to_be_bytes())),
            RData::AAAA(a) => addresses.push(IpAddr::from(a.address.to_be_bytes())),
            _ => continue,
        }
        ttl = ttl.min(record.ttl);
    }
    if addresses.is_empty() {
        ttl = 0;
    }
    (addresses, Duration::from_secs(ttl.into()))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use simple_dns::rdata::{A, AAAA, CNAME};
    use simple_dns::{CLASS, Name, Question as Asks, ResourceRecord, TYPE};
    use tokio::sync::mpsc::{Receiver, channel};
    use zerocopy::IntoBytes;

    use super::*;

    fn dns() -> (Dns, Receiver<Vec<DnsAnswer>>) {
        let (answers, told) = channel(4);
        (Dns::new(answers, &Board::new()), told)
    }

    impl Dns {
        fn take(&mut self, record: &[u8]) {
            if let Some((_, answer)) = self.read(record) {
                self.put(answer);
            }
        }
    }

    fn record(at_ns: u64, from_server: bool, message: &[u8]) -> Vec<u8> {
        let (client, server) =
            ((Ipv4Addr::new(10, 0, 0, 1), 4000), (Ipv4Addr::new(10, 0, 0, 53), 53));
        let (src, dst) = if from_server { (server, client) } else { (client, server) };
        let head = FlowDnsHead {
            at_ns,
            src: src.0.to_ipv6_mapped().octets(),
            dst: dst.0.to_ipv6_mapped().octets(),
            netns: 1,
            src_port: src.1,
            dst_port: dst.1,
            len: u16::try_from(message.len()).unwrap(),
            sent: u16::try_from(message.len()).unwrap(),
            _pad: [0; 4],
        };
        [head.as_bytes(), message, &[0; 100]].concat()
    }

    fn asks(packet: &mut Packet<'_>, name: &'static str, kind: TYPE) {
        let name = Name::new_unchecked(name);
        packet.questions.push(Asks::new(name, kind.into(), CLASS::IN.into(), false));
    }

    fn says(name: &'static str, ttl: u32, rdata: RData<'static>) -> ResourceRecord<'static> {
        ResourceRecord::new(Name::new_unchecked(name), CLASS::IN, ttl, rdata)
    }

    fn answer() -> Vec<u8> {
        let mut packet = Packet::new_reply(7);
        asks(&mut packet, "WWW.Example.org", TYPE::A);
        let to = |name| RData::CNAME(CNAME(Name::new_unchecked(name)));
        packet.answers = vec![
            says("b.example.net", 30, RData::A(A { address: 0x0102_0304 })),
            says("www.example.org", 300, to("a.example.net")),
            says("a.example.net", 20, to("b.example.net")),
            says("b.example.net", 60, RData::AAAA(AAAA { address: 1 })),
            says("other.example.net", 1, RData::A(A { address: 9 })),
        ];
        packet.build_bytes_vec_compressed().unwrap()
    }

    #[test]
    fn the_end_of_a_chain_of_aliases_has_the_name_that_was_asked_for() {
        let (mut dns, mut told) = dns();
        let mut question = Packet::new_query(7);
        asks(&mut question, "www.example.org", TYPE::A);
        dns.take(&record(1_000, false, &question.build_bytes_vec().unwrap()));
        // As it passes two interfaces.
        dns.take(&record(6_000, true, &answer()));
        dns.take(&record(6_500, true, &answer()));
        dns.flush();
        let batch = told.try_recv().unwrap();
        let [answer] = &batch[..] else { panic!("{batch:?}") };
        assert_eq!(answer.name, "www.example.org");
        let addresses: Vec<_> = answer.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["1.2.3.4", "::1"]);
        assert_eq!(answer.ttl, Duration::from_secs(20));
        assert_eq!((answer.asked, answer.at), (Some(Mono(1_000)), Mono(6_000)));
        assert_eq!((answer.kind, answer.code, answer.server.port), (1, 0, 53));
    }

    #[test]
    fn a_loop_of_aliases_and_a_cut_message_end() {
        let (mut dns, mut told) = dns();
        let mut packet = Packet::new_reply(8);
        asks(&mut packet, "a", TYPE::A);
        let to = |name| RData::CNAME(CNAME(Name::new_unchecked(name)));
        packet.answers = vec![says("a", 5, to("b")), says("b", 5, to("a"))];
        let bytes = packet.build_bytes_vec().unwrap();
        dns.take(&record(1, true, &bytes));
        for cut in 0..bytes.len() {
            dns.take(&record(2, true, &bytes[..cut]));
        }
        dns.flush();
        let batch = told.try_recv().unwrap();
        assert!(batch[0].addresses.is_empty() && batch[0].asked.is_none(), "{batch:?}");
        assert!(dns.unread.get() > 0);
        dns.tick(Mono(u64::MAX));
        assert!(dns.questions.is_empty());
    }
}
