// SPDX-License-Identifier: Apache-2.0
//! Writes `docs/reference/metrics.md` from what protocols declare and what really stands on a board.

use std::fmt::Write;
use std::net::IpAddr;

use confique::Config;
use vor_model::{self as model, Flow, ProcessKey, Workload};
use vor_pipeline::stages::{
    CidrList, Cidrs, Dedup, DedupConfig, Filter, Owners, ProtocolList, Protocols, ReverseDns,
    Workloads,
};
use vor_pipeline::{
    Assemble, Chain, Directory, Meter, MeterConfig, Outlet, Services, SpansConfig, flow,
};

use super::*;
use crate::otlp::{Otlp, OtlpConfig, OtlpMetricsConfig, OtlpTracesConfig};
use crate::print::{Output, Print, PrintFlows, TracePrinter};
use crate::sample::{answered, golden};

const INTRODUCTION: &str = "\
# Metrics

Written by a test from the definitions of the metrics (`VOR_BLESS=1 cargo test -p vor-export reference`); do not edit.

## Metrics of services

Metrics of the feature `application`. Each is a histogram. Prometheus gets explicit buckets, and native ones when it asks for protobuf; OTLP gets explicit or
exponential ones (`otel_metrics_export.histogram_aggregation`), cumulative or delta. Sampled operations are exemplars
in OpenMetrics, protobuf and OTLP.

";

const LABELS: &str = "
In Prometheus every series also has the labels `service_name`, `service_namespace`, `instance` and `job`; in OTLP these
are the attributes `service.*` of the resource. Where Kubernetes is followed, Prometheus has these beside them, empty
where they do not apply: `k8s_namespace_name`, `k8s_pod_name`, `k8s_container_name`, `k8s_deployment_name`,
`k8s_replicaset_name`, `k8s_daemonset_name`, `k8s_statefulset_name`, `k8s_cronjob_name`, `k8s_job_name`, `k8s_node_name`,
`k8s_pod_uid`, `k8s_pod_start_time`, `k8s_cluster_name`, `k8s_owner_name`, `k8s_kind`; `attributes.select` leaves out those
that nobody needs. A series beyond `metrics.max_series` is counted in one with the label
`otel_metric_overflow=\"true\"` (OTLP: `otel.metric.overflow`) per service.

Beside them Prometheus gets, for the services it has series of:

| Prometheus | Labels | Help |
|---|---|---|
";

const NETWORK: &str = "
## Metrics of the network

Of flows and of what TCP and DNS say of themselves, for the whole host: in Prometheus without labels of a service, in OTLP under
a resource that is called `beyla-network-flows`. `iface` and `iface.direction` are labels too when `network.deduper` is
`none`, `src.cidr` and `dst.cidr` when `network.cidrs` names networks. Sums are counters, and whole numbers.

| OpenTelemetry | Prometheus | Feature | Labels | Help |
|---|---|---|---|---|
";

const OPTIONAL: &str = "
Further attributes become labels when `attributes.select` asks for them. For flows and TCP: ";

const OWN: &str = "
The words `beyla` above and below follow `metrics.prefix`.

## Metrics of vor itself

Served under `internal_metrics.prometheus` when `internal_metrics.exporter` is `prometheus`.

| Prometheus | Kind | Labels | Help |
|---|---|---|---|
";

const STAGES: &str = "
## Stages

What a stage takes in it hands on or loses, and says why: `vor_stage_in_total` = `vor_stage_out_total` + the sum of
`vor_stage_lost_total`, once nothing waits any more. Everything else that a stage counts is a `vor_stage_reading`. Discovery
and each tracer have stages of their own, named after them, and `reverse_dns` counts addresses that name servers are asked about.
An exporter has one when it is on. The stages of flows are there when they have something to do.

| Stage | What | Meaning |
|---|---|---|
";

/// What each counter says, by stage and name; `""` stands for every stage.
const MEANINGS: &[(&str, &str, &str)] = &[
    ("assemble", "in", "operations that were found, and records that nobody understood"),
    ("assemble", "out", "spans"),
    ("assemble", "records", "records of the kernel side"),
    ("assemble", "continued", "records that finished no operation, and rightly so"),
    ("assemble", "waiting", "operations that wait for the name of their process"),
    ("assemble", "conversations", "connections that are followed"),
    ("assemble", "evicted", "connections that were given up for others"),
    ("assemble", "lost.unclaimed", "records of a connection that no protocol knows"),
    ("assemble", "lost.unreadable", "records that the protocol of their connection cannot read"),
    ("assemble", "lost.unknown_process", "operations of a process that did not get a name in time"),
    (
        "assemble",
        "lost.too_many_conversations",
        "operations that were unfinished when their connection was given up",
    ),
    ("chain", "in", "spans"),
    ("chain", "out", "spans"),
    ("chain", "lost.stage", "spans that a stage took away as it was told to"),
    ("flows", "in", "flows"),
    ("flows", "out", "flows"),
    ("flows", "lost.stage", "flows that a stage took away as it was told to"),
    ("flow_dedup", "owners", "pairs of ends of which it is known where their packets are counted"),
    ("flow_dedup", "evicted", "of these, those that were forgotten to make room"),
    ("print_flows", "in", "flows for this exporter"),
    ("print_flows", "out", "flows that were printed"),
    ("print_flows", "waiting", "flows in its inbox"),
    ("print_flows", "lost.full", "flows that found its inbox full: it is too slow"),
    ("print_flows", "lost.gone", "flows that it left in its inbox, or that came after its end"),
    ("print_flows", "lost.write", "flows whose lines could not be written"),
    ("meter", "in", "values: one operation or flow in one metric"),
    ("meter", "out", "values that are in a series"),
    ("meter", "overflow", "of these, values that are in the overflow series of their service"),
    ("meter", "series", "series"),
    ("meter", "lost.too_many_series", "values that found no room even there"),
    ("print", "lost.write", "spans whose lines could not be written"),
    ("otlp_traces", "lost.unselected", "spans of protocols that are not in `instrumentations`"),
    ("otlp_traces", "lost.unsampled", "spans that the sampler left out"),
    ("otlp_metrics", "in", "points: one series at one time"),
    ("otlp_metrics", "out", "points that the collector took"),
    ("", "ns", "time spent, in nanoseconds"),
    ("", "dropped", "what this stage of a chain took away as it was told to"),
    ("", "in", "spans for this exporter"),
    ("", "out", "spans that left"),
    ("", "waiting", "spans in its inbox"),
    ("", "requests", "requests to the collector"),
    ("", "errors", "of these, requests that failed"),
    ("", "lost.full", "spans that found its inbox full: it is too slow"),
    ("", "lost.gone", "spans that it left in its inbox, or that came after its end"),
    ("", "lost.rejected", "items that the collector rejected one by one"),
    ("", "lost.refused", "items of requests that the collector refused for good"),
    ("", "lost.unreachable", "items that were given up after too many attempts"),
    ("", "lost.too_large", "items too large for a request of their own"),
    ("", "lost.shutdown", "items that were still here when vor ended"),
];

fn meaning(stage: &str, what: &str) -> &'static str {
    let fits = |(of, name, _): &&(&str, &str, &str)| *name == what && [stage, ""].contains(of);
    let found = MEANINGS.iter().find(fits);
    found.unwrap_or_else(|| panic!("{stage} {what} needs a meaning")).2
}

/// A board with every stage of the pipeline and the exporters on it.
async fn everything() -> Arc<Board> {
    let board = Board::new();
    let spans = SpansConfig::builder().load().unwrap();
    let services = Services::new(spans.name_kept.get());
    let _ = Assemble::new(
        &spans,
        vor_model::Sampling::DEFAULT,
        vor_protocol::ALL,
        services,
        Box::new(|_, _| {}),
        &board,
    );
    let meter = Meter::new(MeterConfig::default(), &board);
    drop(Chain::<vor_model::Span>::new("chain", Arc::clone(&board)).stage(meter.tap()));
    drop(flow_stages(&board));
    let mut spans = Outlet::new(1, Arc::clone(&board));
    let mut flows = Outlet::new(1, Arc::clone(&board));
    let mut shared = OtlpConfig::builder().load().unwrap();
    shared.endpoint = Some("http://127.0.0.1:9".to_owned().try_into().unwrap());
    let otlp = Otlp::new(
        shared,
        OtlpTracesConfig::builder().load().unwrap(),
        OtlpMetricsConfig::builder().load().unwrap(),
        Prefix::Beyla,
        Build { version: "", revision: "" },
    );
    let print = Print::new(TracePrinter::Text, PrintFlows::Yes, Output::plain(std::io::sink()));
    let mut source = Source::new(&mut spans, &mut flows, Arc::clone(&meter), Arc::clone(&board));
    let exporters: [Box<dyn Exporter>; 2] = [Box::new(print), Box::new(otlp)];
    let mut tasks = JoinSet::new();
    for exporter in exporters {
        tasks.spawn(exporter.start(&mut source).unwrap().unwrap());
    }
    tokio::task::yield_now().await;
    drop((spans, flows));
    tasks.join_all().await;
    board
}

struct Nobody;

impl Directory for Nobody {
    fn at(&self, _ip: IpAddr) -> Option<Arc<Workload>> {
        None
    }

    fn of(&self, _process: ProcessKey) -> Option<Arc<Workload>> {
        None
    }
}

/// Every stage that flows may pass.
fn flow_stages(board: &Arc<Board>) -> Chain<Flow> {
    let protocols = serde_json::from_str::<ProtocolList>(r#"["TCP"]"#).unwrap();
    let cidrs = serde_json::from_str::<CidrList>(r#"["10.0.0.0/8"]"#).unwrap();
    let rules = serde_json::from_str(r#"{"src.name": {"match": "*"}}"#).unwrap();
    let dedup = DedupConfig { ttl: std::time::Duration::ZERO, max_flows: 1 };
    Chain::new("flows", Arc::clone(board))
        .maybe(Protocols::new(&protocols, &protocols))
        .stage(Dedup::new(dedup, board))
        .stage(Owners::new(Services::new(std::time::Duration::ZERO), None))
        .maybe(Cidrs::new(&cidrs))
        .stage(Workloads::new(Arc::new(Nobody), false))
        .stage(ReverseDns::new(Arc::new(Nobody)))
        .maybe(Filter::of_flows(&rules).unwrap())
}

/// A row about `family` in a table; `feature` is a column of its own.
fn row(of: &'static model::Family, feature: Option<&str>) -> String {
    let name = if of.standard { of.name.to_owned() } else { format!("beyla.{}", of.name) };
    let shown = families::measured(vor_pipeline::FamilyPoints {
        family: of,
        name: name.as_str().into(),
        labels: of.labels.into(),
        resource: Arc::default(),
        bounds: Arc::default(),
        points: Vec::new(),
    });
    let suffix = if of.instrument == model::Instrument::Sum { "_total" } else { "" };
    let feature = feature.map(|feature| format!(" `{feature}` |")).unwrap_or_default();
    let (labels, help) = (keys(of.labels.iter()), of.help);
    format!("| `{name}` | `{}{suffix}` |{feature} {labels} | {help} |\n", shown.name)
}

fn keys<'a>(keys: impl Iterator<Item = &'a model::Key>) -> String {
    keys.map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
}

const fn feature(group: model::Group) -> &'static str {
    match group {
        model::Group::Application => "application",
        model::Group::Network => "network",
        model::Group::NetworkPackets => "network`, `network_flow_packets",
        model::Group::InterZone => "network_inter_zone",
        model::Group::Stats => "stats",
    }
}

fn labels(family: &Family) -> String {
    let names = family.labels.iter().map(|label| format!("`{label}`"));
    names.collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn the_reference_names_every_metric_and_every_counter() {
    let mut page = INTRODUCTION.to_owned();
    page += "| OpenTelemetry | Prometheus | Labels | Help |\n|---|---|---|---|\n";
    let protocols = vor_protocol::ALL.iter().map(|protocol| protocol.info().families);
    for family in protocols.chain(vor_protocol::LIBRARIES).flatten() {
        page += &row(family, None);
    }
    page += LABELS;
    let board = everything().await;
    let meter = Meter::new(MeterConfig::default(), &Board::new());
    meter.record(&[answered(std::time::Duration::from_millis(1), 1)], now());
    let points = meter.snapshot(now(), &|_, _| true);
    let build = Build { version: "", revision: "" };
    for family in
        [families::targets(&points, "beyla", &[]), own::build_info(&build, "beyla", &["go"])]
    {
        let (name, labels, help) = (&family.name, labels(&family), &family.help);
        writeln!(page, "| `{name}_info` | {labels} | {help} |").unwrap();
    }
    page += NETWORK;
    for family in flow::FAMILIES {
        page += &row(family, Some(feature(family.group)));
    }
    page += OPTIONAL;
    writeln!(page, "{}.", keys(flow::FAMILIES[0].optional.iter())).unwrap();
    page += OWN;
    let (requests, prefix) = (vec![(0, String::new(), Arc::default())], Prefix::Beyla);
    for family in super::own(requests, prefix, build, Arc::clone(&board))() {
        let (kind, suffix) = match family.kind {
            Kind::Counter => ("counter", "_total"),
            Kind::Gauge => ("gauge", ""),
            Kind::Info => ("info", "_info"),
            Kind::Histogram { .. } => ("histogram", ""),
        };
        let (name, labels, help) = (&family.name, labels(&family), &family.help);
        writeln!(page, "| `{name}{suffix}` | {kind} | {labels} | {help} |").unwrap();
    }
    page += STAGES;
    for reading in board.readings() {
        let (stage, what) = (reading.stage, reading.what);
        writeln!(page, "| `{stage}` | `{what}` | {} |", meaning(stage, what)).unwrap();
    }
    golden("../../../docs/reference/metrics.md", &page);
}
