// SPDX-License-Identifier: Apache-2.0
//! What the protocol demands, asked by curl. `cargo xtask kube-apiserver` asks the real server the same.
//!
//! `VOR_TEST_APISERVER` names another server's URL; it must take the token `admin` for everything.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of these tests are tests too"
)]

use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde_json::{Value, json};
use vor_apiserver::{ApiServer, Options};

/// Whom to ask: the server that was named, or one of our own.
struct Server {
    url: String,
    own: Option<ApiServer>,
}

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    #[allow(clippy::disallowed_methods, reason = "no setting of vor: it chooses what is tested")]
    let named = std::env::var("VOR_TEST_APISERVER");
    named.map_or_else(
        |_| {
            let own = ApiServer::start(&Options::default()).unwrap();
            Server { url: own.https_url(), own: Some(own) }
        },
        |url| Server { url, own: None },
    )
});

struct Answer {
    code: u16,
    content_type: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn events(&self) -> Vec<(String, Value)> {
        let event = |line| -> (String, Value) {
            let event: Value = serde_json::from_str(line).unwrap();
            (event["type"].as_str().unwrap().to_owned(), event["object"].clone())
        };
        self.body.lines().map(event).collect()
    }
}

fn curl(method: &str, path: &str, headers: &[&str], body: Option<&Value>) -> Answer {
    let mut curl = Command::new("curl");
    curl.args(["-sk", "--max-time", "20", "-X", method, "-w", "\n%{http_code} %{content_type}"]);
    for header in headers {
        curl.args(["-H", header]);
    }
    if let Some(body) = body {
        curl.args(["-H", "Content-Type: application/json", "-d", &body.to_string()]);
    }
    let out = curl.arg(format!("{}{path}", SERVER.url)).stderr(Stdio::inherit()).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let (body, last) = text.rsplit_once('\n').unwrap();
    let (code, content_type) = last.split_once(' ').unwrap();
    let (content_type, body) = (content_type.to_owned(), body.to_owned());
    Answer { code: code.parse().unwrap(), content_type, body }
}

const TOKEN: &str = "Authorization: Bearer admin";

fn get(path: &str) -> Answer {
    curl("GET", path, &[TOKEN], None)
}

fn get_as(path: &str, accept: &str) -> Answer {
    curl("GET", path, &[TOKEN, &format!("Accept: {accept}")], None)
}

/// A namespace for one test.
struct Namespace(&'static str);

impl Namespace {
    /// With these pods, each with a label `app` of its own name.
    fn with(name: &'static str, pods: &[&str]) -> Self {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let made = curl("POST", "/api/v1/namespaces", &[TOKEN], Some(&body));
        assert!(matches!(made.code, 201 | 409), "{}", made.body);
        let namespace = Self(name);
        for pod in pods {
            assert_eq!(namespace.create(pod).code, 201);
        }
        namespace
    }

    fn pods(&self) -> String {
        format!("/api/v1/namespaces/{}/pods", self.0)
    }

    fn pod(name: &str, app: &str) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": app}},
            "spec": {"containers": [{"name": "c", "image": "example"}]},
        })
    }

    fn create(&self, pod: &str) -> Answer {
        curl("POST", &self.pods(), &[TOKEN], Some(&Self::pod(pod, pod)))
    }

    fn delete(&self, pod: &str) {
        let path = format!("{}/{pod}?gracePeriodSeconds=0", self.pods());
        assert_eq!(curl("DELETE", &path, &[TOKEN], None).code, 200);
    }

    /// Gives a pod another label.
    fn label(&self, pod: &str, app: &str) {
        let path = format!("{}/{pod}", self.pods());
        let mut object = get(&path).json();
        object["metadata"]["labels"]["app"] = json!(app);
        let put = curl("PUT", &path, &[TOKEN], Some(&object));
        assert_eq!(put.code, 200, "{}", put.body);
    }

    fn version(&self) -> String {
        version(&get(&self.pods()).json())
    }

    /// The events of a watch that lasts a second.
    fn watch(&self, query: &str) -> Vec<(String, Value)> {
        let answer = get(&format!("{}?watch=true&timeoutSeconds=1&{query}", self.pods()));
        assert_eq!((answer.code, answer.content_type.as_str()), (200, "application/json"));
        answer.events()
    }
}

fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn told(events: &[(String, Value)]) -> Vec<(&str, &str)> {
    events.iter().map(|(word, object)| (word.as_str(), name(object))).collect()
}

#[test]
fn pages_show_the_state_of_the_first_one() {
    let namespace = Namespace::with("pages", &["a", "b", "c", "d", "e"]);
    let first = get(&format!("{}?limit=2", namespace.pods())).json();
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    namespace.delete("c");
    namespace.create("b2");
    let mut names: Vec<_> =
        first["items"].as_array().unwrap().iter().map(|pod| name(pod).to_owned()).collect();
    let mut page = first.clone();
    while let Some(token) = page["metadata"]["continue"].as_str().filter(|token| !token.is_empty())
    {
        page = get(&format!("{}?limit=2&continue={token}", namespace.pods())).json();
        assert_eq!(version(&page), version(&first));
        names.extend(page["items"].as_array().unwrap().iter().map(|pod| name(pod).to_owned()));
    }
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
}

#[test]
fn objects_say_their_kind_when_they_stand_alone_only() {
    let namespace = Namespace::with("kinds", &["a"]);
    let list = get(&namespace.pods()).json();
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("PodList"), &json!("v1")));
    assert_eq!(list["items"][0]["kind"], Value::Null);
    let alone = get(&format!("{}/a", namespace.pods())).json();
    assert_eq!((&alone["kind"], &alone["apiVersion"]), (&json!("Pod"), &json!("v1")));
}

#[test]
fn a_watch_from_a_list_tells_what_happened_since() {
    let namespace = Namespace::with("since", &["a", "b"]);
    let from = namespace.version();
    namespace.create("c");
    namespace.label("a", "z");
    namespace.delete("b");
    let events = namespace.watch(&format!("resourceVersion={from}"));
    let ended = [("MODIFIED", "b"), ("DELETED", "b")];
    assert_eq!(told(&events), [&[("ADDED", "c"), ("MODIFIED", "a")], ended.as_slice()].concat());
    assert!(events[2].1["metadata"]["deletionTimestamp"].is_string());
    let versions: Vec<u64> = events.iter().map(|(_, o)| version(o).parse().unwrap()).collect();
    assert!(versions.is_sorted(), "{versions:?}");
    assert_eq!(events[0].1["kind"], "Pod");
}

#[test]
fn a_watch_without_a_version_begins_with_what_there_is() {
    let namespace = Namespace::with("begin", &["a", "b"]);
    assert_eq!(told(&namespace.watch("")), [("ADDED", "a"), ("ADDED", "b")]);
    assert_eq!(told(&namespace.watch("resourceVersion=0")), [("ADDED", "a"), ("ADDED", "b")]);
}

#[test]
fn who_selects_is_told_when_an_object_begins_and_ceases_to_match() {
    let namespace = Namespace::with("select", &["a", "b"]);
    let from = namespace.version();
    namespace.label("b", "a");
    namespace.label("a", "b");
    let events = namespace.watch(&format!("resourceVersion={from}&labelSelector=app%3Da"));
    assert_eq!(told(&events), [("ADDED", "b"), ("DELETED", "a")]);
    let list = get(&format!("{}?fieldSelector=metadata.name%3Da", namespace.pods())).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}

#[test]
fn metadata_alone_can_be_had() {
    let namespace = Namespace::with("partial", &["a"]);
    let accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let list = get_as(&namespace.pods(), accept).json();
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["items"][0]["kind"], "PartialObjectMetadata");
    assert_eq!(list["items"][0]["spec"], Value::Null);
    let accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let path = format!("{}?watch=true&timeoutSeconds=1", namespace.pods());
    let events = get_as(&path, accept).events();
    assert_eq!(told(&events), [("ADDED", "a")]);
    assert_eq!(events[0].1["kind"], "PartialObjectMetadata");
}

#[test]
fn initial_events_end_with_a_mark() {
    let namespace = Namespace::with("initial", &["a", "b"]);
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let path = format!("{}?watch=true&timeoutSeconds=3&{query}", namespace.pods());
    let events = get(&path).events();
    let mut words = told(&events);
    words.truncate(3);
    words[..2].sort_unstable();
    assert_eq!(words, [("ADDED", "a"), ("ADDED", "b"), ("BOOKMARK", "")]);
    let mark = &events[2].1["metadata"]["annotations"]["k8s.io/initial-events-end"];
    assert_eq!(*mark, "true");
    assert_eq!(events[2].1["kind"], "Pod");
}

#[test]
fn a_bookmark_comes_before_the_end_and_can_be_continued_from() {
    let namespace = Namespace::with("bookmark", &["a"]);
    let path = format!(
        "{}?watch=true&timeoutSeconds=6&allowWatchBookmarks=true&resourceVersion={}",
        namespace.pods(),
        namespace.version()
    );
    let events = get(&path).events();
    let (word, bookmark) = events.last().expect("a bookmark");
    assert_eq!(word, "BOOKMARK");
    namespace.create("b");
    let events = namespace.watch(&format!("resourceVersion={}", version(bookmark)));
    assert_eq!(told(&events), [("ADDED", "b")]);
}

#[test]
fn the_status_is_said_in_a_request_of_its_own() {
    let namespace = Namespace::with("status", &[]);
    let mut pod = Namespace::pod("a", "a");
    pod["status"] = json!({"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]});
    assert_eq!(curl("POST", &namespace.pods(), &[TOKEN], Some(&pod)).code, 201);
    let path = format!("{}/a", namespace.pods());
    let mut created = get(&path).json();
    assert_eq!(created["status"]["podIP"], Value::Null);
    created["status"]["podIP"] = json!("10.0.0.1");
    created["status"]["podIPs"] = json!([{"ip": "10.0.0.1"}]);
    let put = curl("PUT", &format!("{path}/status"), &[TOKEN], Some(&created));
    assert_eq!(put.code, 200, "{}", put.body);
    assert_eq!(get(&path).json()["status"]["podIP"], "10.0.0.1");
}

#[test]
fn what_cannot_be_done_is_refused_by_code_and_reason() {
    let namespace = Namespace::with("refuse", &["a"]);
    let pods = namespace.pods();
    let stale = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "a", "resourceVersion": "1"},
        "spec": {"containers": [{"name": "c", "image": "example"}]},
    });
    let watch = "watch=true&sendInitialEvents=true";
    for (answer, code, reason) in [
        (get(&format!("{pods}?resourceVersion=999999999")), 504, "Timeout"),
        (get(&format!("{pods}?resourceVersion=abc")), 400, "BadRequest"),
        (get(&format!("{pods}?limit=x")), 400, "BadRequest"),
        (get(&format!("{pods}?continue=xyz")), 400, "BadRequest"),
        (get(&format!("{pods}?fieldSelector=spec.colour=red")), 400, "BadRequest"),
        (get(&format!("{pods}?labelSelector=a+b+c")), 400, "BadRequest"),
        (get(&format!("{pods}?resourceVersionMatch=Exact")), 422, "Invalid"),
        (get(&format!("{pods}?{watch}")), 422, "Invalid"),
        (get(&format!("{pods}/b")), 404, "NotFound"),
        (get("/api/v1/nothings"), 404, "NotFound"),
        (get_as(&pods, "application/cbor"), 406, "NotAcceptable"),
        (namespace.create("a"), 409, "AlreadyExists"),
        (curl("PUT", &format!("{pods}/a"), &[TOKEN], Some(&stale)), 409, "Conflict"),
        (curl("GET", &pods, &["Authorization: Bearer wrong"], None), 401, "Unauthorized"),
    ] {
        let status = answer.json();
        assert_eq!((answer.code, &status["reason"]), (code, &json!(reason)), "{}", answer.body);
        assert_eq!((&status["kind"], &status["code"]), (&json!("Status"), &json!(code)));
    }
}

#[test]
fn what_is_forgotten_is_gone_for_lists_and_for_watches() {
    // The real server forgets once in five minutes.
    let Some(own) = &SERVER.own else { return };
    let own =
        ApiServer::start(&Options { token: own.token().to_owned(), ..Options::default() }).unwrap();
    own.cluster().put(json!({"kind": "Pod", "metadata": {"name": "a"}})).unwrap();
    own.cluster().put(json!({"kind": "Pod", "metadata": {"name": "b"}})).unwrap();
    own.cluster().compact();
    let ask = |query: &str| {
        let url = format!("{}/api/v1/pods?{query}", own.url());
        let out = Command::new("curl").args(["-s", "-H", TOKEN, &url]).output().unwrap();
        serde_json::from_slice::<Value>(&out.stdout).unwrap()
    };
    let event = ask("watch=true&resourceVersion=2");
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert_eq!(ask("continue=2/default/a")["code"], 410);
    assert_eq!(ask("resourceVersion=2&resourceVersionMatch=Exact")["code"], 410);
    assert_eq!(ask("")["items"].as_array().unwrap().len(), 2);
}
