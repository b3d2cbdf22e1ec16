// SPDX-License-Identifier: Apache-2.0

use std::net::SocketAddr;
use std::time::Instant;

use confique::Config;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::PTR;
use hickory_resolver::proto::rr::{Name, Record};
use hickory_resolver::proto::serialize::binary::{BinDecodable, BinEncodable};
use tokio::net::UdpSocket;

use super::*;

/// How a name server of the test answers.
#[derive(Clone, Copy)]
enum Manner {
    /// With a name for 192.0.2.x, and that there is none for anything else.
    Answers,
    /// Not at all.
    Hangs,
}

async fn server(manner: Manner) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut bytes = [0; 512];
        loop {
            let (len, from) = socket.recv_from(&mut bytes).await.unwrap();
            if let Manner::Hangs = manner {
                continue;
            }
            let answer = answered(&Message::from_bytes(&bytes[..len]).unwrap());
            socket.send_to(&answer.to_bytes().unwrap(), from).await.unwrap();
        }
    });
    at
}

fn answered(asked: &Message) -> Message {
    let mut answer = asked.clone();
    answer.metadata.message_type = MessageType::Response;
    let name = asked.queries[0].name().clone();
    if name.to_utf8().contains(".2.0.192.") {
        let host = Name::from_ascii("Web.Example.Test.").unwrap();
        answer.add_answer(Record::from_rdata(name, 60, RData::PTR(PTR(host))));
    } else {
        answer.metadata.response_code = ResponseCode::NXDomain;
    }
    answer
}

struct Asking {
    resolver: Arc<Resolver>,
    board: Arc<Board>,
}

async fn asking(manner: Manner) -> Asking {
    let at = server(manner).await;
    let mut connection = ConnectionConfig::udp();
    connection.port = at.port();
    let servers = vec![NameServerConfig::new(at.ip(), true, vec![connection])];
    let config = ResolverConfig::from_parts(None, vec![], servers);
    let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let board = Board::new();
    let settings = ReverseDnsConfig::builder().load().unwrap();
    let memory = Memory::new(settings.cache_len, host, board.counter(STAGE, "addresses"));
    let expiry = settings.cache_expiry.get();
    Asking { resolver: Resolver::asking(Ok(builder), STAGE, memory, expiry, &board), board }
}

impl Asking {
    fn at(&self, ip: &str) -> Option<String> {
        self.resolver.at(ip.parse().unwrap()).map(|host| host.name.to_string())
    }

    fn count(&self, what: &'static str) -> u64 {
        self.board.counter(STAGE, what).get()
    }

    /// Waits until every question has been answered or given up.
    async fn settled(&self) {
        for _ in 0..2_000 {
            if self.count("in") == self.count("out") + self.count("lost.failed") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{:?}", self.board.readings());
    }
}

#[tokio::test]
async fn the_first_question_finds_nothing_and_the_next_one_the_name() {
    let asking = asking(Manner::Answers).await;
    assert_eq!(asking.at("192.0.2.1"), None);
    asking.settled().await;
    assert_eq!(asking.at("192.0.2.1").as_deref(), Some("web.example.test"));
    assert_eq!(asking.at("198.51.100.1"), None);
    asking.settled().await;
    for _ in 0..10 {
        assert_eq!(asking.at("198.51.100.1"), None);
    }
    let counts = (asking.count("in"), asking.count("out"), asking.count("addresses"));
    assert_eq!(counts, (2, 2, 2), "that there is no name is remembered");
}

#[tokio::test]
async fn a_name_server_that_hangs_holds_nobody_up() {
    let asking = asking(Manner::Hangs).await;
    let start = Instant::now();
    for host in 0..200_u32 {
        assert_eq!(asking.at(&format!("192.0.2.{host}")), None);
        assert_eq!(asking.at(&format!("192.0.2.{host}")), None, "asked already");
    }
    assert!(start.elapsed() < PATIENCE, "nobody waited");
    assert_eq!((asking.count("in"), asking.count("lost.full")), (200, 0));
    for host in 0..1_000_u32 {
        asking.at(&format!("198.51.{}.{}", host / 256, host % 256));
    }
    assert!(asking.count("lost.full") > 0, "the queue has a bound");
    while asking.count("lost.failed") == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_hosts_file_counts_too() {
    let asking = asking(Manner::Hangs).await;
    asking.at("127.0.0.1");
    asking.settled().await;
    assert!(asking.at("127.0.0.1").is_some(), "every host has a name for itself");
}
