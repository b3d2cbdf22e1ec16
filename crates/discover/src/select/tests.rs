// SPDX-License-Identifier: Apache-2.0

use std::io::Write;

use confique::Config;
use vor_config::{ConfigError, Sources};
use vor_model::Attrs;

use super::*;

/// A root as vor has it, as far as it concerns discovery.
#[derive(Config)]
struct Root {
    #[config(env = "OPEN_PORT", default = "")]
    open_port: PortSet,
    #[config(env = "EXECUTABLE_NAME")]
    executable_name: Option<Regexp>,
    #[config(env = "AUTO_TARGET_EXE|OTEL_GO_AUTO_TARGET_EXE")]
    auto_target_exe: Option<Glob>,
    #[config(env = "OTEL_SERVICE_NAME|SERVICE_NAME")]
    service_name: Option<String>,
    #[config(env = "SERVICE_NAMESPACE")]
    service_namespace: Option<String>,
    #[config(env = "OTEL_RESOURCE_ATTRIBUTES", default = "")]
    resource_attributes: ResourceAttributes,
    #[config(nested)]
    discovery: DiscoveryConfig,
}

fn load(yaml: &str, env: &[(&str, &str)]) -> Result<Criteria, ConfigError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(yaml.as_bytes()).unwrap();
    let loaded = vor_config::load::<Root>(Sources {
        file: Some(file.path()),
        env: env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        flags: Vec::new(),
        foreign: &[],
        reserved: &[],
    })?;
    let root = loaded.settings;
    let top = RootSettings {
        open_port: root.open_port,
        executable_name: root.executable_name,
        auto_target_exe: root.auto_target_exe,
        service_name: root.service_name,
        service_namespace: root.service_namespace,
        resource_attributes: root.resource_attributes,
        hostname: None,
    };
    Ok(Criteria::new(top, &root.discovery))
}

fn criteria(yaml: &str) -> Criteria {
    load(yaml, &[]).unwrap()
}

/// The name under which a process is chosen, `-` when its entry gives none.
fn chosen<'a>(criteria: &'a Criteria, exe: &str, ports: &[u16]) -> Option<&'a str> {
    chosen_in(criteria, exe, ports, None)
}

/// The same, in a container of which this is known.
fn chosen_in<'a>(
    criteria: &'a Criteria,
    exe: &str,
    ports: &[u16],
    workload: Option<&Workload>,
) -> Option<&'a str> {
    let facts = Facts { exe: Path::new(exe), ports, in_container: workload.is_some(), workload };
    let label = criteria.judge(&facts)?;
    Some(label.name.as_deref().unwrap_or("-"))
}

#[test]
fn nothing_is_wanted_by_default() {
    let criteria = criteria("{}");
    assert!(criteria.is_empty() && !criteria.wants_ports());
    assert_eq!(chosen(&criteria, "/usr/bin/nginx", &[80]), None);
    assert!(!criteria.descendants_of(1).is_empty());
}

#[test]
fn ports_of_the_root_choose_who_listens_on_one_of_them() {
    let criteria = load("{}", &[("BEYLA_OPEN_PORT", "80,8000-8999")]).unwrap();
    assert!(!criteria.is_empty());
    assert!(criteria.wants_port(8500) && !criteria.wants_port(9000));
    assert_eq!(chosen(&criteria, "/usr/bin/nginx", &[22, 8001]), Some("-"));
    assert_eq!(chosen(&criteria, "/usr/bin/nginx", &[22]), None);
    assert_eq!(chosen(&criteria, "/usr/bin/nginx", &[]), None);
}

#[test]
fn an_expression_matches_anywhere_and_a_glob_the_whole_path() {
    let regexp = load("{}", &[("BEYLA_EXECUTABLE_NAME", "ngi[mn]x")]).unwrap();
    assert_eq!(chosen(&regexp, "/usr/sbin/nginx-debug", &[]), Some("-"));
    let glob = load("{}", &[("OTEL_EBPF_AUTO_TARGET_EXE", "*/{nginx,caddy}")]).unwrap();
    assert_eq!(chosen(&glob, "/usr/sbin/nginx", &[]), Some("-"));
    assert_eq!(chosen(&glob, "/usr/sbin/nginx-debug", &[]), None);
    let both = criteria("executable_name: nginx\nopen_port: 80");
    assert_eq!(chosen(&both, "/usr/sbin/nginx", &[]), None, "all conditions of an entry count");
    assert_eq!(chosen(&both, "/usr/sbin/nginx", &[80]), Some("-"));
}

#[test]
fn the_first_entry_that_matches_gives_the_name_and_the_roots_comes_last() {
    let criteria = criteria(
        "
service_name: rest
service_namespace: all
open_port: 80
discovery:
  services:
    - { name: web, exe_path: nginx, open_ports: 80-90 }
    - { name: any, namespace: front, exe_path_regexp: nginx }
    - { exe_path: caddy }
",
    );
    assert_eq!(chosen(&criteria, "/bin/nginx", &[80]), Some("web"));
    assert_eq!(chosen(&criteria, "/bin/nginx", &[70]), Some("any"));
    assert_eq!(chosen(&criteria, "/bin/caddy", &[80]), Some("-"));
    assert_eq!(chosen(&criteria, "/bin/other", &[80]), Some("rest"));
    let exe = Path::new("/bin/other");
    let facts = Facts { exe, ports: &[80], in_container: false, workload: None };
    let label = criteria.judge(&facts).unwrap();
    assert_eq!(label.namespace.as_deref(), Some("all"));
}

#[test]
fn what_is_excluded_is_not_wanted_and_agents_are_excluded_by_default() {
    let yaml = "
open_port: 80
discovery:
  exclude_services: [{ exe_path: secret }, { open_ports: 81 }]
";
    let ours = criteria(yaml);
    assert_eq!(chosen(&ours, "/bin/secret-server", &[80]), None);
    assert_eq!(chosen(&ours, "/bin/server", &[80, 81]), None);
    assert_eq!(chosen(&ours, "/bin/server", &[80]), Some("-"));
    for agent in ["/vor", "/bin/beyla", "/usr/bin/alloy", "/otelcol-contrib", "otelcol"] {
        assert_eq!(chosen(&ours, agent, &[80]), None, "{agent}");
    }
    assert_eq!(chosen(&ours, "/bin/alloy-shop", &[80]), Some("-"));
    let open = criteria("{open_port: 80, discovery: {default_exclude_services: []}}");
    assert_eq!(chosen(&open, "/usr/bin/alloy", &[80]), Some("-"));
}

#[test]
fn globs_of_instrument_replace_services() {
    let criteria = criteria(
        "
discovery:
  instrument: [{ exe_path: '*', open_ports: 80, name: glob }]
  services: [{ exe_path: '.', name: regexp }]
",
    );
    assert_eq!(chosen(&criteria, "/bin/server", &[80]), Some("glob"));
    assert_eq!(chosen(&criteria, "/bin/server", &[]), None);
    assert_eq!(chosen(&criteria, "/usr/bin/alloy", &[80]), None);
}

#[test]
fn the_whole_system_is_everything_that_is_not_excluded() {
    let criteria = load("{}", &[("BEYLA_SYSTEM_WIDE", "true")]).unwrap();
    assert_eq!(chosen(&criteria, "/bin/anything", &[]), Some("-"));
    assert_eq!(chosen(&criteria, "/bin/beyla", &[]), None);
}

#[test]
fn an_entry_that_cannot_be_judged_matches_nothing() {
    let criteria = criteria(
        "
discovery:
  services:
    - { exe_path: '.', languages: [go] }
    - { exe_path: other, exports: [traces] }
",
    );
    assert_eq!(chosen(&criteria, "/bin/server", &[]), None);
    assert_eq!(chosen(&criteria, "/bin/other", &[]), Some("-"));
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::new(pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect())
}

#[test]
fn what_is_known_of_a_container_selects() {
    let ours = criteria(
        "
discovery:
  services:
    - { name: deployed, k8s_namespace: ^shop$, k8s_deployment_name: cart }
    - { name: labelled, k8s_pod_labels: { app.kubernetes.io/team: '^a' }, k8s_pod_annotations: { see: . } }
    - { name: boxed, containers_only: true, exe_path: nginx }
",
    );
    assert!(ours.wants_containers() && !criteria("open_port: 80").wants_containers());
    let mut pod = Workload::default();
    assert_eq!(chosen_in(&ours, "/bin/server", &[], Some(&pod)), None);
    assert_eq!(chosen_in(&ours, "/bin/nginx", &[], Some(&pod)), Some("boxed"));
    assert_eq!(chosen(&ours, "/bin/nginx", &[]), None, "it is in no container");
    pod.attrs.set(Key::new("k8s.namespace.name"), "shop");
    assert_eq!(chosen_in(&ours, "/bin/server", &[], Some(&pod)), None, "all conditions count");
    pod.attrs.set(Key::new("k8s.deployment.name"), "cart-api");
    assert_eq!(chosen_in(&ours, "/bin/server", &[], Some(&pod)), Some("deployed"));
    let pod = Workload {
        labels: labels(&[("app.kubernetes.io/team", "alpha")]),
        annotations: labels(&[("see", "it")]),
        ..Workload::default()
    };
    assert_eq!(chosen_in(&ours, "/bin/server", &[], Some(&pod)), Some("labelled"));
    let pod = Workload { annotations: Labels::default(), ..pod };
    assert_eq!(chosen_in(&ours, "/bin/server", &[], Some(&pod)), None);
}

#[test]
fn globs_match_metadata_as_a_whole_and_exclude_it() {
    let criteria = criteria(
        "
discovery:
  instrument: [{ k8s_namespace: 'shop*' }]
  exclude_instrument: [{ k8s_pod_labels: { track: canary } }]
",
    );
    let mut pod = Workload {
        attrs: Attrs::new().with(Key::new("k8s.namespace.name"), "shop-a"),
        ..Workload::default()
    };
    assert_eq!(chosen_in(&criteria, "/bin/server", &[], Some(&pod)), Some("-"));
    pod.labels = labels(&[("track", "canary")]);
    assert_eq!(chosen_in(&criteria, "/bin/server", &[], Some(&pod)), None);
    pod.attrs.set(Key::new("k8s.namespace.name"), "a-shop");
    assert_eq!(chosen_in(&criteria, "/bin/server", &[], Some(&pod)), None);
}

#[test]
fn slips_of_the_hand_are_named() {
    for (yaml, said) in [
        ("discovery: {services: [{name: x}]}", "selects nothing"),
        ("discovery: {services: [{exepath: x}]}", "exepath"),
        ("discovery: {services: [{exe_path: '('}]}", "regular expression"),
        ("discovery: {services: [{exe_path: ''}]}", "empty pattern"),
        ("discovery: {instrument: [{exe_path: '{a'}]}", "glob"),
        ("discovery: {services: [{open_ports: 0}]}", "port"),
    ] {
        let error = load(yaml, &[]).unwrap_err().to_string();
        assert!(error.contains(said), "{yaml}: {error}");
    }
}

#[test]
fn an_entry_says_how_its_services_write_trace_context_and_the_others_do_as_usual() {
    let yaml = "discovery:\n  services:\n    - { open_ports: 80, context_propagation: tcp }\n    \
                - { open_ports: 81, context_propagation: disabled }\n    - open_ports: 82\n";
    let criteria = criteria(yaml);
    let of = |port: u16| {
        let facts =
            Facts { exe: Path::new("/x"), ports: &[port], in_container: false, workload: None };
        criteria.judge(&facts).unwrap().propagation
    };
    let tcp = Propagation { headers: false, tcp: true };
    assert_eq!([of(80), of(81), of(82)], [Some(tcp), Some(Propagation::DISABLED), None]);
    assert_eq!(criteria.propagation(Propagation::DISABLED), tcp);
    assert_eq!(criteria.propagation(Propagation::ALL), Propagation::ALL);
    let wrong = load("discovery: { services: [{ open_ports: 80, context_propagation: no }] }", &[]);
    assert!(wrong.is_err());
}
