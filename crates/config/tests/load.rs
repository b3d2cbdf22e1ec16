// SPDX-License-Identifier: Apache-2.0
//! What the loader promises: layers, origins, names, suggestions, and no way to hurt it with a file.

#![allow(clippy::unwrap_used, reason = "the helpers of these tests are tests too")]

use std::{
    collections::HashMap, fmt::Write as _, io::Write as _, path::PathBuf, sync::atomic::AtomicU32,
};

use confique::Config;
use serde::Deserialize;
use vor_config::{ConfigError, Duration, Flag, Foreign, Loaded, PortSet, Secret, Sources, load};

/// A root like the real one, with every kind of value.
#[derive(Debug, Config)]
struct Root {
    /// Ports.
    #[config(env = "OPEN_PORT", default = "")]
    open_port: PortSet,
    /// A name.
    #[config(env = "SERVICE_NAME|OTEL_SERVICE_NAME")]
    service_name: Option<String>,
    /// A section.
    #[config(nested)]
    ebpf: Ebpf,
    /// Another.
    #[config(nested)]
    otel_traces_export: Traces,
}

#[derive(Debug, Config)]
struct Ebpf {
    #[config(env = "BATCH_LENGTH", default = 100)]
    batch_length: u16,
    #[config(env = "BATCH_TIMEOUT|OTEL_BATCH_TIMEOUT", default = "1s")]
    batch_timeout: Duration,
    #[config(env = "HIGH_REQUEST_VOLUME", default = false)]
    high_request_volume: bool,
    #[config(env = "DOOR", default = "auto")]
    door: Door,
    #[config(default = [])]
    services: Vec<Service>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Door {
    Auto,
    Fentry,
    Kprobe,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Service {
    name: String,
    open_ports: Option<PortSet>,
}

#[derive(Debug, Config)]
struct Traces {
    #[config(env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT|OTEL_EXPORTER_OTLP_ENDPOINT")]
    endpoint: Option<String>,
    #[config(env = "OTEL_EXPORTER_OTLP_HEADERS", default = {})]
    headers: HashMap<String, Secret>,
    #[config(env = "TRACES_INSTRUMENTATIONS", default = ["*"])]
    instrumentations: Vec<String>,
    #[config(env = "SAMPLER_ARG", default = 1.0)]
    arg: f64,
}

const FOREIGN: [Foreign; 3] = [
    Foreign { path: "profile_port", env: "PROFILE_PORT" },
    Foreign { path: "network.enable", env: "NETWORK_METRICS" },
    Foreign { path: "routes.*", env: "" },
];

struct File(PathBuf);

impl File {
    fn new(content: &[u8]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("vor-{}-{number}.yml", std::process::id()));
        std::fs::File::create(&path).unwrap().write_all(content).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn load_bytes(
    yaml: &[u8],
    env: &[(&str, &str)],
    flags: Vec<Flag>,
) -> Result<Loaded<Root>, ConfigError> {
    let file = File::new(yaml);
    load(Sources {
        file: Some(&file.0),
        env: env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        flags,
        foreign: &FOREIGN,
        reserved: &["VOR_CONFIG_PATH"],
    })
    .map_err(|error| match error {
        ConfigError::Malformed { line, why, .. } => {
            ConfigError::Malformed { file: "vor.yml".into(), line, why }
        }
        other => other,
    })
}

fn loaded(yaml: &str, env: &[(&str, &str)]) -> Loaded<Root> {
    load_bytes(yaml.as_bytes(), env, Vec::new()).unwrap()
}

/// The message for a bad file or environment, without the file's temporary name.
fn refused(yaml: &str, env: &[(&str, &str)]) -> String {
    let error = load_bytes(yaml.as_bytes(), env, Vec::new()).unwrap_err().to_string();
    let dir = std::env::temp_dir().display().to_string();
    error
        .lines()
        .map(|line| match line.strip_prefix(&dir).and_then(|rest| rest.split_once(".yml")) {
            Some((_, rest)) => format!("vor.yml{rest}"),
            None => line.to_owned(),
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_strongest_layer_that_says_something_wins() {
    let flag =
        |value: &str| Flag { name: "--open-port", path: "open_port", value: value.to_owned() };
    let yaml = "open_port: 2";
    let file = "open_port: 2  # /";
    for (yaml, env, flags, expected) in [
        ("", &[][..], vec![], "open_port: \"\"  # default"),
        (yaml, &[], vec![], file),
        (yaml, &[("BEYLA_OPEN_PORT", "3")], vec![], "open_port: 3  # environment BEYLA_OPEN_PORT"),
        (
            yaml,
            &[("BEYLA_OPEN_PORT", "3"), ("OTEL_EBPF_OPEN_PORT", "4"), ("VOR_OPEN_PORT", "5")],
            vec![],
            "open_port: 5  # environment VOR_OPEN_PORT",
        ),
        (
            yaml,
            &[("BEYLA_OPEN_PORT", "3"), ("OTEL_EBPF_OPEN_PORT", "4")],
            vec![],
            "open_port: 4  # environment OTEL_EBPF_OPEN_PORT",
        ),
        (yaml, &[("VOR_OPEN_PORT", "")], vec![], file),
        (
            yaml,
            &[("VOR_OPEN_PORT", "5")],
            vec![flag("6"), flag("7")],
            "open_port: 7  # flag --open-port",
        ),
        ("open_port: ~", &[], vec![], "open_port: \"\"  # default"),
        ("open_port:", &[], vec![], "open_port: \"\"  # default"),
        ("{}", &[], vec![], "open_port: \"\"  # default"),
        ("# nothing\n---\n", &[], vec![], "open_port: \"\"  # default"),
    ] {
        let effective = load_bytes(yaml.as_bytes(), env, flags).unwrap().effective.to_string();
        assert!(effective.starts_with(expected), "{expected} in\n{effective}");
    }
}

#[test]
fn every_kind_of_value_is_read_from_a_file() {
    let yaml = r"
open_port: 80,8000-8999
service_name: 1.10
ebpf:
  batch_length: 7
  batch_timeout: 1m30s
  high_request_volume: yes
  door: kprobe
  services:
    - name: a
      open_ports: 443
    - { name: b }
otel_traces_export:
  endpoint: http://${HOST:-localhost}:4318
  headers: { authorization: Bearer x }
  instrumentations: [http, grpc]
  arg: 0.25
";
    let root = loaded(yaml, &[]).settings;
    assert!(root.open_port.contains(8500));
    assert_eq!(root.service_name.as_deref(), Some("1.10"));
    assert_eq!(root.ebpf.batch_length, 7);
    assert_eq!(root.ebpf.batch_timeout.to_string(), "1m30s");
    assert!(root.ebpf.high_request_volume);
    assert_eq!(root.ebpf.door, Door::Kprobe);
    let names: Vec<_> = root.ebpf.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(root.ebpf.services[0].open_ports.as_ref().unwrap().contains(443));
    let traces = root.otel_traces_export;
    assert_eq!(traces.endpoint.as_deref(), Some("http://localhost:4318"));
    assert_eq!(traces.headers["authorization"].reveal(), "Bearer x");
    assert_eq!(traces.instrumentations, ["http", "grpc"]);
    assert!((traces.arg - 0.25).abs() < f64::EPSILON);
}

#[test]
fn every_kind_of_value_is_read_from_the_environment() {
    let root = loaded(
        "",
        &[
            ("BEYLA_SERVICE_NAME", "~"),
            ("BEYLA_BATCH_LENGTH", "9"),
            ("BEYLA_HIGH_REQUEST_VOLUME", "T"),
            ("VOR_DOOR", "fentry"),
            ("BEYLA_TRACES_INSTRUMENTATIONS", "http, grpc"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=b=c, d = e"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://common"),
            ("VOR_SAMPLER_ARG", ".5"),
        ],
    )
    .settings;
    assert_eq!(root.service_name.as_deref(), Some("~"));
    assert_eq!(root.ebpf.batch_length, 9);
    assert!(root.ebpf.high_request_volume);
    assert_eq!(root.ebpf.door, Door::Fentry);
    let traces = root.otel_traces_export;
    assert_eq!(traces.instrumentations, ["http", "grpc"]);
    assert_eq!(traces.headers["a"].reveal(), "b=c");
    assert_eq!(traces.headers["d"].reveal(), "e");
    assert_eq!(traces.endpoint.as_deref(), Some("http://common"));
}

#[test]
fn only_opentelemetrys_own_variables_count_in_milliseconds() {
    let loaded = loaded("", &[("OTEL_BATCH_TIMEOUT", "1500")]);
    assert_eq!(loaded.settings.ebpf.batch_timeout.to_string(), "1s500ms");
    assert!(loaded.effective.to_string().contains("batch_timeout: 1500ms  # environment OTEL_"));
    assert!(refused("", &[("BEYLA_BATCH_TIMEOUT", "1500")]).contains("has no unit"));
    assert!(refused("", &[("OTEL_EBPF_BATCH_TIMEOUT", "1500")]).contains("has no unit"));
}

/// A file, a variable, and the beginning of what is said of them.
const WRONG: &[(&str, &str, &str)] = &[
    (
        "open_port: x",
        "",
        "vor.yml:1: open_port: \"x\" is not a port from 1 to 65535, write ports such as 80,443,8000-8999",
    ),
    (
        "",
        "VOR_OPEN_PORT=9-8",
        "environment VOR_OPEN_PORT: open_port: the range 9-8 ends before it begins",
    ),
    (
        "open_port: [80]",
        "",
        "vor.yml:1: open_port: expected ports such as 80,443,8000-8999, found a list",
    ),
    (
        "\nebpf:\n  batch_length: many",
        "",
        "vor.yml:3: ebpf.batch_length: expected a whole number from 0 to 65535, found \"many\"",
    ),
    (
        "ebpf: { batch_length: 65536 }",
        "",
        "vor.yml:1: ebpf.batch_length: expected a whole number from 0 to 65535, found \"65536\"",
    ),
    (
        "ebpf:\n  batch_timeout: 30",
        "",
        "vor.yml:2: ebpf.batch_timeout: 30 has no unit, write for example 30s or 30ms",
    ),
    (
        "",
        "BEYLA_HIGH_REQUEST_VOLUME=maybe",
        "environment BEYLA_HIGH_REQUEST_VOLUME: ebpf.high_request_volume: expected true or false, found \"maybe\"",
    ),
    (
        "ebpf: { door: kprob }",
        "",
        "vor.yml:1: ebpf.door: expected one of auto, fentry, kprobe; did you mean kprobe?, found \"kprob\"",
    ),
    ("ebpf: 5", "", "vor.yml:1: ebpf: expected a section with keys, found \"5\""),
    ("[a]", "", "vor.yml:1: settings: expected a section with keys, found a list"),
    (
        "ebpf:\n  services:\n  - name: a\n    open_prots: 1",
        "",
        "vor.yml:4: ebpf.services[0]: unknown key \"open_prots\"; did you mean open_ports?",
    ),
    (
        "ebpf:\n  services:\n  - open_ports: 1",
        "",
        "vor.yml:3: ebpf.services[0]: the key name is missing, found a section",
    ),
    (
        "ebpf:\n  services:\n  - name: a\n    open_ports: 0",
        "",
        "vor.yml:4: ebpf.services[0].open_ports: \"0\" is not a port",
    ),
    (
        "ebpf: { services: 5 }",
        "",
        "vor.yml:1: ebpf.services[0]: expected a section with keys, found \"5\"",
    ),
    (
        "otel_traces_export: { arg: half }",
        "",
        "vor.yml:1: otel_traces_export.arg: expected a number, found \"half\"",
    ),
];

#[test]
fn a_wrong_value_is_named_with_its_path_its_origin_and_what_is_expected() {
    for (yaml, env, expected) in WRONG {
        let env: Vec<_> = env.split_once('=').into_iter().collect();
        let message = refused(yaml, &env);
        assert!(message.starts_with(expected), "{message}\ninstead of\n{expected}");
    }
}

#[test]
fn all_wrong_keys_and_values_are_reported_together() {
    let message =
        refused("open_prot: 1\nebpf:\n  batch_length: x\n  door: y", &[("VOR_OPEN_PORT", "z")]);
    let lines: Vec<_> = message.lines().map(|line| line.split_once(": ").unwrap().0).collect();
    assert_eq!(lines, ["vor.yml:1", "environment VOR_OPEN_PORT", "vor.yml:3", "vor.yml:4"]);
}

#[test]
fn an_unknown_key_is_an_error_with_its_line_and_the_nearest_known_key() {
    for (yaml, expected) in [
        ("open_prot: 1", "vor.yml:1: open_prot: unknown key; did you mean open_port?"),
        ("\n\nepbf:\n  door: auto", "vor.yml:3: epbf: unknown key; did you mean ebpf?"),
        (
            "ebpf:\n  batchLength: 1",
            "vor.yml:2: ebpf.batchLength: unknown key; did you mean ebpf.batch_length?",
        ),
        (
            "batch_length: 1",
            "vor.yml:1: batch_length: unknown key; did you mean ebpf.batch_length?",
        ),
        ("network: { enabel: true }", "vor.yml:1: network.enabel: unknown key"),
        ("bananas: 1", "vor.yml:1: bananas: unknown key; `vor config --docs` lists all keys"),
    ] {
        let message = refused(yaml, &[]);
        assert!(message.starts_with(expected), "{message}\ninstead of\n{expected}");
    }
}

#[test]
fn keys_of_other_agents_are_warned_of_and_passed_over() {
    let yaml = "profile_port: 6060\nnetwork:\n  enable: true\nroutes:\n  unmatched: path";
    let warnings = loaded(yaml, &[("BEYLA_NETWORK_METRICS", "true")]).warnings;
    let ends: Vec<_> = warnings.iter().map(|w| w.rsplit("yml").next().unwrap()).collect();
    assert_eq!(
        ends,
        [
            ":1: profile_port is not supported, passed over",
            ":3: network.enable is not supported, passed over",
            ":4: routes is not supported, passed over",
            "BEYLA_NETWORK_METRICS (network.enable) is not supported, passed over",
        ]
    );
}

#[test]
fn variables_that_set_nothing_are_warned_of() {
    for (name, expected) in [
        ("VOR_OPEN_PROT", Some("VOR_OPEN_PROT sets nothing; did you mean VOR_OPEN_PORT?")),
        ("BEYLA_BANANAS", Some("BEYLA_BANANAS sets nothing")),
        ("OTEL_EBPF_DOR", Some("OTEL_EBPF_DOR sets nothing; did you mean OTEL_EBPF_DOOR?")),
        ("OTEL_BANANAS", None),
        ("VOR_CONFIG_PATH", None),
        ("BEYLA_SERVICE_HOST", None),
        ("BEYLA_PORT_8080_TCP", None),
    ] {
        let warnings = loaded("", &[(name, "1")]).warnings;
        assert_eq!(warnings.first().map(String::as_str), expected);
    }
}

#[test]
fn a_variable_that_loses_to_another_is_named() {
    let warnings = loaded("", &[("VOR_OPEN_PORT", "1"), ("BEYLA_OPEN_PORT", "2")]).warnings;
    assert_eq!(warnings, ["BEYLA_OPEN_PORT is passed over, VOR_OPEN_PORT is set too"]);
}

#[test]
fn secrets_are_shown_neither_in_settings_nor_in_errors() {
    let yaml = "otel_traces_export: { headers: { authorization: hunter2 } }";
    let shown = format!("{:?}", loaded(yaml, &[]));
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("# headers: hidden"), "{shown}");
    let error = refused("", &[("OTEL_EXPORTER_OTLP_HEADERS", "hunter2")]);
    assert!(!error.contains("hunter2") && error.contains("key=value"), "{error}");
}

#[test]
fn effective_settings_read_back_to_the_same_settings() {
    let yaml = r#"
open_port: 80-90
service_name: "null"
ebpf:
  services: [{ name: "- a: #\"\n\t\u2028é$${X}" }, { name: "8080", open_ports: 1 }]
otel_traces_export:
  instrumentations: []
"#;
    let env = [("BEYLA_BATCH_TIMEOUT", "90s"), ("VOR_TRACES_INSTRUMENTATIONS", "a, b")];
    let first = loaded(yaml, &env);
    let again = loaded(&first.effective.to_string(), &[]);
    assert_eq!(format!("{:?}", first.settings), format!("{:?}", again.settings));
    assert_eq!(again.settings.service_name.as_deref(), Some("null"));
    let values = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split("  #").next().unwrap_or_default().to_owned()).collect()
    };
    let (first, again) = (first.effective.to_string(), again.effective.to_string());
    assert_eq!(values(&first), values(&again));
}

#[test]
fn anchors_and_merge_keys_work() {
    let yaml = r"
ebpf:
  services:
    - &web { name: web, open_ports: 80 }
    - *web
    - { <<: *web, name: other }
    - { name: last, <<: [*web] }
";
    let services = loaded(yaml, &[]).settings.ebpf.services;
    let names: Vec<_> = services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["web", "web", "other", "last"]);
    assert!(services.iter().all(|s| s.open_ports.as_ref().is_some_and(|p| p.contains(80))));
}

#[test]
fn hostile_files_are_errors() {
    let bomb = |levels: usize| {
        let mut text = String::from("a0: &a0 [x]\n");
        for level in 1..levels {
            let copies = vec![format!("*a{}", level - 1); 9].join(", ");
            writeln!(text, "a{level}: &a{level} [{copies}]").unwrap();
        }
        text
    };
    let chain: Vec<_> = (1..500).map(|i| format!("a{i}: &a{i} [*a{}]", i - 1)).collect();
    let chain = chain.join("\n");
    let block: String = (0..500).map(|depth| " ".repeat(depth) + "a:\n").collect();
    for (name, bytes, expected) in [
        ("deep flow", "[".repeat(100_000).into_bytes(), "vor.yml:1"),
        ("deep block", block.into_bytes(), "nested deeper than 64 levels"),
        ("dashes", "- ".repeat(10_000).into_bytes(), "nested deeper than 64 levels"),
        ("alias bomb", bomb(12).into_bytes(), "more values than a settings file can hold"),
        ("alias chain", format!("a0: &a0 x\n{chain}").into_bytes(), "vor.yml"),
        ("own alias", b"a: &a [*a]".to_vec(), "vor.yml:1"),
        ("no anchor", b"a: *a".to_vec(), "vor.yml:1"),
        ("huge scalar", "x".repeat(2 << 20).into_bytes(), "larger than 1048576 bytes"),
        ("huge key", format!("{}: 1", "k".repeat(1000)).into_bytes(), "unknown key"),
        ("many", "- a\n".repeat(100_000).into_bytes(), "more values than a settings file"),
        ("not utf-8", b"a: b\nc: \xff\xfe".to_vec(), "vor.yml:2: not a settings file: not UTF-8"),
        ("utf-16", b"\xff\xfea\0:\0 \0b\0".to_vec(), "not UTF-8"),
        ("two documents", b"a: b\n---\nc: d".to_vec(), "a second document begins"),
        ("twice", b"open_port: 1\nopen_port: 2".to_vec(), "\"open_port\" is set twice"),
        ("list as key", b"[a]: b".to_vec(), "a key must be text"),
        ("tag", b"open_port: !Ref x".to_vec(), "has no meaning here"),
        ("tab", b"ebpf:\n\tdoor: x".to_vec(), "vor.yml"),
        ("open quote", b"a: \"b".to_vec(), "vor.yml"),
        ("nul", b"\0\0\0".to_vec(), "vor.yml"),
    ] {
        let error = load_bytes(&bytes, &[], Vec::new()).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
        assert!(error.len() < 4096, "{name}: a message of {} bytes", error.len());
    }
}

#[test]
fn a_file_cannot_grow_without_bound_through_variables() {
    let yaml = "${BIG}".repeat(1000);
    let big = "x".repeat(100_000);
    let error = refused(&format!("service_name: {yaml}"), &[("BIG", &big)]);
    assert!(error.contains("expand to too much text"), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let path = PathBuf::from("/nonexistent/vor.yml");
    let error = load::<Root>(Sources { file: Some(&path), ..Sources::default() }).unwrap_err();
    let message = error.to_string();
    assert!(message.starts_with("cannot read the settings file /nonexistent/vor.yml: No such"));
}

proptest::proptest! {
    // A case found once goes into a table above, not into a file of its own.
    #![proptest_config(proptest::prelude::ProptestConfig {
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn no_text_makes_the_loader_panic(text in "[-a-c:,\\[\\]{}&*!|>'\"%@#?<$ \n\t~0-1]{0,60}") {
        let _ = load_bytes(text.as_bytes(), &[("a", "b")], Vec::new());
    }

    #[test]
    fn any_text_survives_being_written_and_read(text in "\\PC{1,40}|[ -~\n\t]{1,20}") {
        let env = [("VOR_SERVICE_NAME", text.as_str())];
        let first = loaded("", &env);
        let again = loaded(&first.effective.to_string(), &[]);
        proptest::prop_assert_eq!(first.settings.service_name, again.settings.service_name);
    }
}
