// SPDX-License-Identifier: Apache-2.0

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, channel};
use tonic::Status;
use vor_health::Board;
use vor_model::Labels;

use super::digest::{Digests, hash};
use super::ledger::{Ledger, View};
use super::proto::{Held, Told};
use super::teller::{Counters, End, Teller};
use super::wire::{decode, encode, kind_told};
use crate::kube::object::{Container, Kind, Meta, Object, ObjectId, Owner, Pod};
use crate::kube::rules::Rules;
use crate::kube::store::Store;

const PATIENCE: Duration = Duration::from_secs(10);

fn texts(pairs: &[(&str, &str)]) -> Labels {
    Labels::new(pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect())
}

fn pod(name: &str, node: &str) -> Object {
    let ips: [IpAddr; 2] = ["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
    Object::Pod(Pod {
        meta: Meta {
            uid: format!("uid-{name}").into(),
            name: name.into(),
            namespace: "shop".into(),
            owner: Some(Owner { kind: "ReplicaSet".into(), name: "r".into(), uid: "u".into() }),
            labels: texts(&[("app", "web"), ("pod-template-hash", "abc")]),
            annotations: texts(&[("resource.opentelemetry.io/x", "1"), ("other", "2")]),
        },
        node: node.into(),
        ips: ips.into(),
        host_ip: Some(ips[0]),
        host_network: false,
        ended: false,
        started: "2026-01-01T00:00:00Z".into(),
        containers: [Container { name: "c".into(), id: "abc".into(), image: "i:1".into() }].into(),
    })
}

fn store(board: &Board) -> Arc<Store> {
    Store::new(10_000, Rules::default(), board)
}

fn value(board: &Board, what: &str) -> u64 {
    let readings = board.readings();
    readings.iter().find(|r| (r.stage, r.what) == ("kube_cache", what)).map_or(0, |r| r.value)
}

fn assert_law(board: &Board) {
    let lost = value(board, "lost.slow") + value(board, "lost.left");
    assert_eq!(value(board, "in"), value(board, "out") + lost);
}

fn holding(digests: Vec<u64>) -> Vec<Held> {
    vec![Held { kind: kind_told(Kind::Pod).into(), digests }]
}

struct Rig {
    board: Arc<Board>,
    store: Arc<Store>,
    ledger: Arc<Ledger>,
}

impl Rig {
    fn with(pods: &[(&str, &str)]) -> Self {
        let board = Board::new();
        let store = store(&board);
        for (name, node) in pods {
            store.put(pod(name, node));
        }
        let (ledger, changes) = Ledger::of(&store);
        let (kept, from) = (Arc::clone(&ledger), Arc::clone(&store));
        tokio::spawn(async move { kept.keep(&from, changes).await });
        Self { board, store, ledger }
    }

    fn teller(
        &self,
        view: View,
        room: usize,
        patience: Duration,
    ) -> (Teller, Receiver<Result<Told, Status>>) {
        let (out, told) = channel(room);
        let counters = Counters::new(&self.board);
        (Teller::new(Arc::clone(&self.ledger), view, out, patience, counters), told)
    }
}

#[tokio::test]
async fn an_object_is_the_same_after_it_was_told() {
    let board = Board::new();
    let store = store(&board);
    let object = pod("a", "n");
    assert_eq!(decode(&encode(&object), &store).unwrap(), object);
}

#[tokio::test]
async fn bytes_that_are_no_object_are_refused_at_every_length() {
    let board = Board::new();
    let store = store(&board);
    let whole = encode(&pod("a", "n"));
    for length in 0..whole.len() {
        // Cut between fields, it may still be an object; it never panics.
        let _ = decode(&whole[..length], &store);
    }
    assert!(decode(b"", &store).is_err());
    assert!(decode(b"\xff\xff\xff\xff", &store).is_err());
    assert!(decode("<html>no cache here</html>".as_bytes(), &store).is_err());
}

#[tokio::test]
async fn other_nodes_are_told_less_or_nothing() {
    let rig = Rig::with(&[("mine", "n1"), ("theirs", "n2")]);
    let told_to = async |view: View| {
        let (teller, mut told) = rig.teller(view, 16, PATIENCE);
        let running = tokio::spawn(teller.run(holding(vec![0])));
        let first = told.recv().await.unwrap().unwrap();
        running.abort();
        assert!(first.synced);
        let objects = first.put.iter().map(|bytes| decode(bytes, &rig.store).unwrap());
        let mut names: Vec<_> = objects
            .map(|object| {
                let Object::Pod(pod) = object else { panic!("a pod") };
                (
                    pod.meta.name.to_string(),
                    pod.containers.len(),
                    pod.meta.annotations.iter().count(),
                )
            })
            .collect();
        names.sort();
        names
    };
    let node = "n1".to_owned();
    let full = |name: &str| (name.to_owned(), 1, 2);
    let all = told_to(View::default()).await;
    assert_eq!(all, [full("mine"), full("theirs")]);
    let mine = told_to(View { node: node.clone(), this_node_only: false }).await;
    assert_eq!(mine, [full("mine"), ("theirs".to_owned(), 0, 1)]);
    assert_eq!(told_to(View { node, this_node_only: true }).await, [full("mine")]);
}

#[tokio::test]
async fn a_change_is_told_to_those_whom_it_concerns() {
    let rig = Rig::with(&[("theirs", "n2")]);
    let view = View { node: "n1".to_owned(), this_node_only: false };
    let (teller, mut told) = rig.teller(view, 16, PATIENCE);
    let running = tokio::spawn(teller.run(holding(vec![0])));
    assert!(told.recv().await.unwrap().unwrap().synced);
    let change = |what: &dyn Fn(&mut Pod)| {
        let Object::Pod(mut pod) = pod("theirs", "n2") else { panic!("a pod") };
        what(&mut pod);
        rig.store.put(Object::Pod(pod));
    };
    change(&|pod| pod.containers = Box::default());
    change(&|pod| pod.meta.labels = texts(&[("app", "other")]));
    let next = told.recv().await.unwrap().unwrap();
    assert_eq!(next.put.len(), 1);
    let Object::Pod(heard) = decode(&next.put[0], &rig.store).unwrap() else { panic!("a pod") };
    assert_eq!(heard.meta.labels, texts(&[("app", "other")]));
    running.abort();
}

#[tokio::test]
async fn who_holds_the_same_is_told_only_the_mark_and_then_changes() {
    let rig = Rig::with(&[("a", "n"), ("b", "n")]);
    let mut digests = Digests::sized(2);
    for name in ["a", "b"] {
        digests.add(&format!("uid-{name}"), hash(&encode(&pod(name, "n"))));
    }
    let (teller, mut told) = rig.teller(View::default(), 16, PATIENCE);
    let running = tokio::spawn(teller.run(holding(digests.into_inner())));
    let first = told.recv().await.unwrap().unwrap();
    assert!(first.synced && first.put.is_empty() && first.stale.is_empty());
    rig.store.put(pod("c", "n"));
    assert_eq!(told.recv().await.unwrap().unwrap().put.len(), 1);
    rig.store.remove(&ObjectId { kind: Kind::Pod, uid: "uid-a".into() });
    assert_eq!(told.recv().await.unwrap().unwrap().gone, ["uid-a"]);
    drop(told);
    assert_eq!(running.await.unwrap(), End::Left);
    assert_law(&rig.board);
}

#[tokio::test]
async fn who_takes_nothing_is_dropped_and_counted() {
    let rig = Rig::with(&[("a", "n")]);
    let (teller, told) = rig.teller(View::default(), 1, Duration::from_millis(20));
    let running = tokio::spawn(teller.run(holding(vec![0])));
    for n in 0..50 {
        rig.store.put(pod(&format!("p{n}"), "n"));
        tokio::task::yield_now().await;
    }
    assert_eq!(running.await.unwrap(), End::Slow);
    drop(told);
    assert_eq!(value(&rig.board, "clients_dropped"), 1);
    assert!(value(&rig.board, "lost.slow") > 0);
    assert_law(&rig.board);
}

#[tokio::test]
async fn who_lags_too_far_behind_is_dropped_and_counted() {
    let rig = Rig::with(&[("a", "n")]);
    let (teller, told) = rig.teller(View::default(), 1, PATIENCE);
    let running = tokio::spawn(teller.run(holding(vec![0])));
    for n in 0..9_000 {
        rig.store.put(pod(&format!("p{n}"), "n"));
        if n % 1_000 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let mut told = told;
    while told.recv().await.is_some() {}
    assert_eq!(running.await.unwrap(), End::Slow);
    assert_law(&rig.board);
}

#[tokio::test]
async fn a_wrong_number_of_digests_is_refused() {
    let rig = Rig::with(&[]);
    let (teller, mut told) = rig.teller(View::default(), 1, PATIENCE);
    assert_eq!(teller.run(holding(vec![0; 3])).await, End::Wrong);
    let status = told.recv().await.unwrap().unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
}
