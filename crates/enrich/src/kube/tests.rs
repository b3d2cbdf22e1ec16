// SPDX-License-Identifier: Apache-2.0

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use confique::Config;
use serde_json::{Value, json};
use vor_health::Board;
use vor_model::{Key, Workload};

use super::seen::{Keep, SeenJob, SeenNode, SeenPod, SeenService};
use super::*;

fn config() -> KubernetesConfig {
    KubernetesConfig::builder().load().unwrap()
}

fn store() -> Arc<Store> {
    let config = KubernetesConfig { cluster_name: Some("test".into()), ..config() };
    Store::new(100, Rules::new(&config), &Board::new())
}

/// The object as the store keeps it.
fn kept(store: &Store, object: Value) -> Object {
    let read = match object["kind"].as_str().unwrap() {
        "Pod" => serde_json::from_value::<SeenPod>(object).unwrap().keep(store),
        "Service" => serde_json::from_value::<SeenService>(object).unwrap().keep(store),
        "Node" => serde_json::from_value::<SeenNode>(object).unwrap().keep(store),
        _ => serde_json::from_value::<SeenJob>(object).unwrap().keep(store),
    };
    read.unwrap()
}

fn put(store: &Store, object: Value) -> ObjectId {
    let object = kept(store, object);
    let id = object.id();
    store.put(object);
    id
}

/// A pod of a deployment, on `node-1`.
fn pod(name: &str, ip: &str, container: &str) -> Value {
    json!({
        "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("uid-{name}"), "resourceVersion": "1",
            "labels": {"app": "cart", "pod-template-hash": "6d5f"},
            "annotations": {"other": "x".repeat(5000), "note": "y"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cart-6d5f",
                                 "uid": "rs", "controller": true}],
            "managedFields": [{"fieldsV1": {"f:spec": {}}}],
        },
        "spec": {"nodeName": "node-1", "containers": [{"name": "main", "image": "shop/cart:1.2"}]},
        "status": {
            "phase": "Running", "hostIP": "192.168.0.1", "podIP": ip, "podIPs": [{"ip": ip}],
            "startTime": "2026-11-25T01:02:03Z",
            "containerStatuses": [{"name": "main", "image": "sha256:00",
                                   "containerID": format!("containerd://{container}")}],
        },
    })
}

fn node(name: &str, ip: &str, zone: &str) -> Value {
    json!({
        "kind": "Node",
        "metadata": {"name": name, "uid": format!("uid-{name}"),
                     "labels": {"topology.kubernetes.io/zone": zone}},
        "spec": {"providerID": "kind://docker/test/node"},
        "status": {"addresses": [{"type": "InternalIP", "address": ip},
                                 {"type": "Hostname", "address": name}],
                   "nodeInfo": {"machineID": "m1"}},
    })
}

fn at(store: &Store, ip: &str) -> Option<Arc<Workload>> {
    store.at(ip.parse().unwrap())
}

fn name_at(store: &Store, ip: &str) -> String {
    at(store, ip).map_or_else(|| "-".to_owned(), |found| found.name.to_string())
}

/// `key=value` of all attributes, sorted.
fn told(workload: &Workload) -> Vec<String> {
    let pairs = workload.attrs.iter().map(|(key, value)| format!("{key}={value}"));
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort();
    pairs
}

fn text(workload: &Workload, key: &'static str) -> Option<String> {
    workload.attrs.get(&Key::new(key)).map(ToString::to_string)
}

#[test]
fn a_container_is_told_with_its_pod_its_owners_and_its_image() {
    let store = store();
    put(&store, node("node-1", "192.168.0.1", "eu-1a"));
    put(&store, pod("cart-6d5f-x", "10.0.0.7", "c1"));
    let found = store.of("c1").unwrap();
    assert_eq!((&*found.name, &*found.namespace, found.named_by), ("cart", "shop", "deployment"));
    assert_eq!(
        told(&found),
        [
            "container.id=c1",
            "container.image.name=shop/cart",
            "container.image.tags=[\"1.2\"]",
            "host.id=m1",
            "k8s.cluster.name=test",
            "k8s.container.name=main",
            "k8s.deployment.name=cart",
            "k8s.kind=Deployment",
            "k8s.namespace.name=shop",
            "k8s.node.name=node-1",
            "k8s.owner.name=cart",
            "k8s.pod.name=cart-6d5f-x",
            "k8s.pod.start_time=2026-11-25T01:02:03Z",
            "k8s.pod.uid=uid-cart-6d5f-x",
            "k8s.replicaset.name=cart-6d5f",
            "service.instance.id=shop.cart-6d5f-x.main",
            "service.version=1.2",
        ]
    );
    assert_eq!(found.labels.get("app").map(|label| &**label), Some("cart"));
    assert!(found.annotations.get("other").is_none(), "a document is no annotation for us");
    let place = at(&store, "10.0.0.7").unwrap().place.clone().unwrap();
    assert_eq!((place.kind, &*place.name, &*place.zone), ("Pod", "cart-6d5f-x", "eu-1a"));
    assert_eq!((&*place.owner_kind, &*place.owner_name), ("Deployment", "cart"));
    assert_eq!(place.node_ip, Some("192.168.0.1".parse().unwrap()));
}

#[test]
fn annotations_are_stronger_than_labels_and_labels_than_owners() {
    let store = store();
    let mut object = pod("a", "10.0.0.1", "c1");
    object["metadata"]["labels"] = json!({
        "pod-template-hash": "6d5f", "app.kubernetes.io/name": "by-name",
        "app.kubernetes.io/part-of": "product", "app.kubernetes.io/version": "7",
    });
    put(&store, object.clone());
    let found = store.of("c1").unwrap();
    assert_eq!((&*found.name, &*found.namespace, found.named_by), ("by-name", "product", "label"));
    assert_eq!(text(&found, "service.version").as_deref(), Some("7"));
    object["metadata"]["labels"]["app.kubernetes.io/instance"] = json!("by-instance");
    put(&store, object.clone());
    assert_eq!(&*store.of("c1").unwrap().name, "by-instance");
    object["metadata"]["annotations"] = json!({
        "resource.opentelemetry.io/service.name": "by-annotation",
        "resource.opentelemetry.io/service.namespace": "space",
        "resource.opentelemetry.io/service.instance.id": "one",
        "resource.opentelemetry.io/service.version": "8",
        "resource.opentelemetry.io/team": "blue",
        "resource.opentelemetry.io/": "nothing",
    });
    put(&store, object);
    let found = store.of("c1").unwrap();
    assert_eq!((&*found.name, &*found.namespace), ("by-annotation", "space"));
    assert_eq!(found.named_by, "annotation");
    assert_eq!(text(&found, "service.version").as_deref(), Some("8"));
    assert_eq!(text(&found, "service.instance.id").as_deref(), Some("one"));
    assert_eq!(text(&found, "team").as_deref(), Some("blue"));
    assert_eq!(text(&found, "service.name"), None);
}

#[test]
fn a_template_names_what_no_annotation_names() {
    let template =
        r#"{{ index .Meta.Labels "tier" }}{{ if .ContainerName }}/{{ .ContainerName }}{{ end }}"#;
    let config = KubernetesConfig {
        service_name_template: Some(template.to_owned().try_into().unwrap()),
        ..config()
    };
    let store = Store::new(1_000, Rules::new(&config), &Board::new());
    // What the template needs is kept of pods elsewhere, too.
    store.keep_in_full("another-node");
    let mut object = pod("p", "10.0.0.1", "c1");
    object["metadata"]["labels"] = json!({"app.kubernetes.io/name": "by-label", "tier": "back"});
    put(&store, object.clone());
    assert_eq!(name_at(&store, "10.0.0.1"), "back");
    store.keep_in_full("node-1");
    object["metadata"]["generation"] = json!(2);
    object["metadata"]["labels"]["more"] = json!("x");
    put(&store, object.clone());
    let found = store.of("c1").unwrap();
    assert_eq!((&*found.name, found.named_by), ("back/main", "template"));
    object["metadata"]["annotations"] = json!({"resource.opentelemetry.io/service.name": "noted"});
    put(&store, object.clone());
    assert_eq!(&*store.of("c1").unwrap().name, "noted");
    object["metadata"]["annotations"] = json!({});
    object["metadata"]["labels"] = json!({"app.kubernetes.io/name": "by-label"});
    put(&store, object);
    assert_eq!(name_at(&store, "10.0.0.1"), "by-label", "a template that gives nothing");
}

#[test]
fn owners_are_followed_to_the_top() {
    let owner = |kind: &str, name: &str| json!([{"apiVersion": "v1", "kind": kind, "name": name, "uid": "o", "controller": true}]);
    for (kind, name, label, expected) in [
        ("ReplicaSet", "cart-6d5f", "pod-template-hash", ("cart", "deployment")),
        ("ReplicaSet", "cart-6d5f", "rollouts-pod-template-hash", ("cart", "owner")),
        ("ReplicaSet", "cart", "pod-template-hash", ("cart", "replicaset")),
        ("StatefulSet", "db", "x", ("db", "statefulset")),
        ("DaemonSet", "agent", "x", ("agent", "daemonset")),
        ("Job", "import", "x", ("import", "job")),
        ("Job", "report-29000001", "x", ("report", "cronjob")),
        ("SparkApplication", "sums", "x", ("sums", "owner")),
        ("Node", "node-1", "x", ("p", "pod")),
    ] {
        let store = store();
        let mut object = pod("p", "10.0.0.1", "c1");
        object["metadata"]["labels"] = json!({label: "6d5f"});
        object["metadata"]["ownerReferences"] = owner(kind, name);
        put(&store, object);
        let found = store.of("c1").unwrap();
        assert_eq!((&*found.name, found.named_by), expected, "{kind} {name} {label}");
    }
}

#[test]
fn a_job_that_comes_later_tells_its_cron_job_and_one_without_says_there_is_none() {
    let store = store();
    let mut object = pod("p", "10.0.0.1", "c1");
    object["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "odd-29000001", "uid": "job-1"}]);
    put(&store, object);
    assert_eq!(name_at(&store, "10.0.0.1"), "odd");
    let before = store.revision();
    put(
        &store,
        json!({"kind": "Job", "metadata": {"name": "odd-29000001", "namespace": "shop",
                                                   "uid": "job-1"}}),
    );
    assert_eq!(name_at(&store, "10.0.0.1"), "odd-29000001");
    assert!(store.revision() > before);
    put(
        &store,
        json!({"kind": "Job", "metadata": {
            "name": "odd-29000001", "namespace": "shop", "uid": "job-1",
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly", "uid": "c"}],
        }}),
    );
    assert_eq!(name_at(&store, "10.0.0.1"), "nightly");
}

#[test]
fn an_address_that_is_used_again_belongs_to_who_has_it_now() {
    let store = store();
    let old = put(&store, pod("old", "10.0.0.7", "c1"));
    let mut new = pod("new", "10.0.0.7", "c2");
    new["metadata"]["ownerReferences"] = json!([]);
    new["status"]["startTime"] = json!("2026-11-25T02:00:00Z");
    put(&store, new.clone());
    assert_eq!(name_at(&store, "10.0.0.7"), "new", "the one that began later");
    store.remove(&old);
    assert_eq!(name_at(&store, "10.0.0.7"), "new");
    // One that ran to its end keeps its address in its status.
    new["status"]["phase"] = json!("Succeeded");
    put(&store, new);
    put(&store, pod("third", "10.0.0.7", "c3"));
    assert_eq!(name_at(&store, "10.0.0.7"), "cart");
}

#[test]
fn what_is_gone_is_found_a_while_for_what_is_on_its_way() {
    let store = store();
    let id = put(&store, pod("p", "10.0.0.7", "c1"));
    store.remove(&id);
    store.sweep(Instant::now());
    assert_eq!((name_at(&store, "10.0.0.7").as_str(), store.len()), ("cart", 0));
    assert!(store.of("c1").is_some());
    store.sweep(Instant::now() + Duration::from_secs(60));
    assert_eq!(name_at(&store, "10.0.0.7"), "-");
    assert!(store.of("c1").is_none());
}

#[test]
fn a_pod_on_the_nodes_network_is_known_by_its_container_and_the_address_is_the_nodes() {
    let store = store();
    put(&store, node("node-1", "192.168.0.1", "z"));
    let mut object = pod("agent", "192.168.0.1", "c1");
    object["spec"]["hostNetwork"] = json!(true);
    put(&store, object);
    assert_eq!(name_at(&store, "192.168.0.1"), "node-1");
    assert_eq!(at(&store, "192.168.0.1").unwrap().place.as_ref().unwrap().kind, "Node");
    assert_eq!(&*store.of("c1").unwrap().name, "cart");
}

#[test]
fn a_service_is_at_all_its_addresses_but_not_at_none_and_not_at_its_nodes() {
    let store = store();
    put(&store, node("node-1", "192.168.0.1", "z"));
    put(
        &store,
        json!({
            "kind": "Service", "metadata": {"name": "cart", "namespace": "shop", "uid": "s1"},
            "spec": {"clusterIP": "172.20.0.1", "clusterIPs": ["172.20.0.1", "fd00::1"],
                     "externalIPs": ["203.0.113.7"]},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.168.0.1"}, {"hostname": "x.example"}]}},
        }),
    );
    put(
        &store,
        json!({
            "kind": "Service", "metadata": {"name": "headless", "namespace": "shop", "uid": "s2"},
            "spec": {"clusterIP": "None", "clusterIPs": ["None"]},
        }),
    );
    for ip in ["172.20.0.1", "fd00::1", "203.0.113.7"] {
        assert_eq!(name_at(&store, ip), "cart");
        assert_eq!(at(&store, ip).unwrap().place.as_ref().unwrap().kind, "Service");
    }
    assert_eq!(name_at(&store, "192.168.0.1"), "node-1");
    assert_eq!(store.len(), 3);
}

#[test]
fn of_pods_elsewhere_only_what_names_their_addresses_is_kept() {
    let store = store();
    store.keep_in_full("node-2");
    let mut object = pod("p", "10.0.0.7", "c1");
    object["metadata"]["labels"]["app.kubernetes.io/name"] = json!("shown");
    put(&store, object);
    assert!(store.of("c1").is_none());
    let found = at(&store, "10.0.0.7").unwrap();
    assert_eq!(&*found.name, "shown");
    assert_eq!(text(&found, "k8s.deployment.name").as_deref(), Some("cart"));
    assert!(found.labels.get("app").is_none() && found.annotations.get("note").is_none());
}

#[test]
fn a_zone_that_is_told_later_is_told_of_its_pods() {
    let store = store();
    put(&store, pod("p", "10.0.0.7", "c1"));
    let zone = || at(&store, "10.0.0.7").unwrap().place.as_ref().unwrap().zone.to_string();
    assert_eq!(zone(), "");
    put(&store, node("node-1", "192.168.0.1", "eu-1b"));
    assert_eq!(zone(), "eu-1b");
}

#[test]
fn beyond_the_bound_nothing_is_remembered_and_each_is_counted() {
    let board = Board::new();
    let store = Store::new(2, Rules::new(&config()), &board);
    for n in 0..4 {
        put(&store, pod(&format!("p{n}"), &format!("10.0.0.{n}"), &format!("c{n}")));
    }
    let count = |what| board.counter("kube", what).get();
    assert_eq!((store.len(), count("in"), count("out"), count("lost.full")), (2, 4, 2, 2));
    assert_eq!((count("pods"), count("addresses"), count("containers")), (2, 2, 2));
}

#[test]
fn who_subscribes_has_everything_and_then_the_changes() {
    let store = store();
    let first = put(&store, pod("p", "10.0.0.1", "c1"));
    let (snapshot, mut changes) = store.subscribe();
    assert_eq!(snapshot.len(), 1);
    put(&store, pod("p", "10.0.0.1", "c1"));
    put(&store, pod("q", "10.0.0.2", "c2"));
    store.keep_only(Kind::Pod, &HashSet::from([Arc::from("uid-q")]));
    assert!(matches!(changes.try_recv(), Ok(Change::Put(object)) if &*object.meta().name == "q"));
    assert!(matches!(changes.try_recv(), Ok(Change::Gone(id)) if id == first));
    assert!(matches!(changes.try_recv(), Ok(Change::Synced(Kind::Pod))));
    assert!(changes.try_recv().is_err(), "what did not change is not told");
    assert!(store.is_synced(Kind::Pod) && !store.is_synced(Kind::Node));
}

#[test]
fn what_has_no_identity_or_is_far_too_long_is_not_kept() {
    let store = store();
    let keep = |object: Value| serde_json::from_value::<SeenPod>(object).unwrap().keep(&store);
    assert!(keep(json!({})).is_none());
    assert!(keep(json!({"metadata": {"name": "a"}})).is_none());
    assert!(keep(json!({"metadata": {"name": "n".repeat(1 << 20), "uid": "u"}})).is_none());
    let mut object = pod("p", "no address", "c1");
    let many = (0..1000).map(|n| (format!("k{n}"), json!("v"))).collect();
    object["metadata"]["labels"] = Value::Object(many);
    let Some(Object::Pod(kept)) = keep(object) else { panic!() };
    assert_eq!((kept.ips.len(), kept.meta.labels.iter().count()), (0, 128));
}

#[test]
fn gateways_of_ovn_belong_to_their_node() {
    let store = store();
    let mut object = node("node-1", "192.168.0.1", "z");
    object["metadata"]["annotations"] = json!({
        "k8s.ovn.org/node-gateway-router-lrp-ifaddr": "{\"ipv4\":\"100.64.0.2/16\",\"ipv6\":\"fd98::2/64\"}"
    });
    put(&store, object);
    assert_eq!(name_at(&store, "100.64.0.2"), "node-1");
    assert_eq!(name_at(&store, "fd98::2"), "node-1");
}
