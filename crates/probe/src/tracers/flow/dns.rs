// SPDX-License-Identifier: Apache-2.0
//! Copied messages of name servers → [`DnsLookup`]: which name has which addresses, how long it took to say so, and
//! what nobody has answered.
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
use vor_model::{DnsLookup, FlowEnd, Mono};
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

/// Length of a message's header.
const HEAD: usize = 12;

/// One question: who asks whom, by which number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Question {
    client: FlowEnd,
    server: FlowEnd,
    id: u16,
}

/// What is known of a question.
#[derive(Debug)]
struct Asked {
    at: Mono,
    /// What was asked for; `None`: it has been answered.
    open: Option<Open>,
}

/// What a question without an answer asks for.
#[derive(Debug)]
struct Open {
    name: String,
    kind: u16,
    netns: u32,
}

/// Reads messages.
#[derive(Debug)]
pub(super) struct Dns {
    answers: Sender<Vec<DnsLookup>>,
    batch: Vec<DnsLookup>,
    questions: HashMap<Question, Asked>,
    taken: Counter,
    given: Counter,
    full: Counter,
    unread: Counter,
    waiting: Counter,
    unremembered: Counter,
}

impl Dns {
    pub(super) fn new(answers: Sender<Vec<DnsLookup>>, board: &Board) -> Self {
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
            unremembered: count("dns.unremembered"),
        }
    }

    /// Reads one record of the ring: a lookup that is over, and the namespace where it was seen.
    pub(super) fn read(&mut self, record: &[u8]) -> Option<(u32, DnsLookup)> {
        let Ok((head, rest)) = FlowDnsHead::read_from_prefix(record) else {
            self.unread.inc();
            return None;
        };
        let message = rest.get(..head.len.into()).unwrap_or_default();
        let mut cut = Vec::new();
        match Packet::parse(message).or_else(|_| as_far_as_it_goes(message, &mut cut)) {
            Ok(packet) if packet.has_flags(PacketFlag::RESPONSE) => {
                Some((head.netns, self.answer(&head, &packet, message)?))
            }
            Ok(packet) => {
                self.question(&head, &packet);
                None
            }
            Err(error) => {
                tracing::trace!(%error, "message of a name server not read");
                self.unread.inc();
                None
            }
        }
    }

    fn question(&mut self, head: &FlowDnsHead, packet: &Packet<'_>) {
        let [client, server] = ends(head);
        let question = Question { client, server, id: packet.id() };
        let known = self.questions.get(&question);
        // The same on its way through another interface, or asked again; else the number is used anew.
        if known.is_some_and(|known| known.open.is_some()) {
            return;
        }
        let Some(asks) = packet.questions.first() else { return };
        if known.is_none() && self.questions.len() >= MOST_QUESTIONS {
            self.unremembered.inc();
            return;
        }
        let open = Open { name: plain(&asks.qname), kind: asks.qtype.into(), netns: head.netns };
        self.questions.insert(question, Asked { at: Mono(head.at_ns), open: Some(open) });
    }

    fn answer(
        &mut self,
        head: &FlowDnsHead,
        packet: &Packet<'_>,
        message: &[u8],
    ) -> Option<DnsLookup> {
        let [server, client] = ends(head);
        let question = Question { client, server, id: packet.id() };
        let at = Mono(head.at_ns);
        let asked = self.questions.get(&question);
        if asked.is_some_and(|asked| asked.open.is_none()) {
            return None;
        }
        let told = packet.questions.first()?;
        let asked_at = asked.map(|asked| asked.at);
        if asked.is_some() || self.questions.len() < MOST_QUESTIONS {
            let at = asked_at.unwrap_or(at);
            self.questions.insert(question, Asked { at, open: None });
        }
        let name = plain(&told.qname);
        let (addresses, ttl) = addresses(packet, &name);
        Some(DnsLookup {
            kind: told.qtype.into(),
            name,
            // RFC 1035, 4.1.1.
            code: Some(message.get(3).map_or(0, |flags| flags & 0xf)),
            addresses,
            ttl,
            client,
            server,
            asked: asked_at,
            at,
            process: None,
        })
    }

    pub(super) fn put(&mut self, answer: DnsLookup) {
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

    /// Forgets old questions. Gives those that nobody has answered, and the namespace where each was seen.
    pub(super) fn tick(&mut self, now: Mono) -> Vec<(u32, DnsLookup)> {
        let old = |asked: &mut Asked| now.since(asked.at) > PATIENCE;
        let given_up = self.questions.extract_if(|_, asked| old(asked));
        let unanswered = given_up.filter_map(|(question, asked)| {
            let open = asked.open?;
            let lookup = DnsLookup {
                name: open.name,
                kind: open.kind,
                code: None,
                addresses: Vec::new(),
                ttl: Duration::ZERO,
                client: question.client,
                server: question.server,
                asked: Some(asked.at),
                at: now,
                process: None,
            };
            Some((open.netns, lookup))
        });
        let unanswered = unanswered.collect();
        self.waiting.set(count(self.questions.len()));
        unanswered
    }
}

/// Where a message comes from and where it goes.
fn ends(head: &FlowDnsHead) -> [FlowEnd; 2] {
    [
        FlowEnd { ip: address(head.src), port: head.src_port },
        FlowEnd { ip: address(head.dst), port: head.dst_port },
    ]
}

/// What can be read of a message whose end is missing: as many of its answers as are whole. `cut` is room for it.
fn as_far_as_it_goes<'a>(message: &[u8], cut: &'a mut Vec<u8>) -> simple_dns::Result<Packet<'a>> {
    cut.clear();
    cut.extend_from_slice(message);
    let mut set = |answers: u16| {
        // Counts of answers, name servers and further records (RFC 1035, 4.1.1).
        if let Some(counts) = cut.get_mut(6..HEAD) {
            counts.fill(0);
            for (to, from) in counts.iter_mut().zip(answers.to_be_bytes()) {
                *to = from;
            }
        }
        Packet::parse(cut).is_ok()
    };
    // No answer is shorter than a pointer to its name, type, class, time and length.
    let most = u16::try_from(message.len() / 12).unwrap_or(u16::MAX);
    let (mut whole, mut beyond) = (0, most + 1);
    while beyond - whole > 1 {
        let middle = whole + (beyond - whole) / 2;
        if set(middle) {
            whole = middle;
        } else {
            beyond = middle;
        }
    }
    set(whole);
    Packet::parse(cut)
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

    fn dns() -> (Dns, Receiver<Vec<DnsLookup>>) {
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
        assert_eq!((answer.kind, answer.code, answer.server.port), (1, Some(0), 53));
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
        assert!(dns.tick(Mono(u64::MAX)).is_empty(), "it was answered");
        assert!(dns.questions.is_empty());
    }

    #[test]
    fn what_nobody_answers_is_given_up_once() {
        let (mut dns, _told) = dns();
        let mut question = Packet::new_query(9);
        asks(&mut question, "Nobody.example", TYPE::AAAA);
        let question = question.build_bytes_vec().unwrap();
        dns.take(&record(1_000, false, &question));
        // Asked again.
        dns.take(&record(5_000, false, &question));
        assert!(dns.tick(Mono(15_000_001_000)).is_empty(), "there is still time");
        let late = Mono(15_000_002_000);
        let given_up = dns.tick(late);
        let [(netns, lookup)] = &given_up[..] else { panic!("{given_up:?}") };
        assert_eq!((*netns, lookup.code, lookup.kind), (1, None, 28));
        assert_eq!((&*lookup.name, lookup.server.port), ("nobody.example", 53));
        assert_eq!((lookup.asked, lookup.at), (Some(Mono(1_000)), late));
        assert!(dns.tick(late).is_empty());
    }

    #[test]
    fn a_long_answer_that_is_cut_tells_what_came() {
        let mut packet = Packet::new_reply(10);
        asks(&mut packet, "many.example", TYPE::A);
        for address in 1..=100 {
            packet.answers.push(says("many.example", 60, RData::A(A { address })));
        }
        let bytes = packet.build_bytes_vec_compressed().unwrap();
        let (question, each) = (12 + 18, 16);
        assert_eq!(bytes.len(), question + 100 * each);
        for came in [0, 1, 57, 99] {
            let (mut dns, mut told) = dns();
            dns.take(&record(1, true, &bytes[..question + came * each + each / 2]));
            dns.flush();
            let batch = told.try_recv().unwrap();
            assert_eq!((batch[0].addresses.len(), batch[0].code), (came, Some(0)));
        }
    }
}
