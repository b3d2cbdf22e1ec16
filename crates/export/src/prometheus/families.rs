// SPDX-License-Identifier: Apache-2.0
//! What Prometheus is shown, before it is written down in one of its formats.
//!
//! In: a snapshot of the meter. Out: families with Prometheus names, Beyla's labels, and their metrics.

use std::collections::BTreeSet;
use std::sync::Arc;

use vor_model::{
    self as model, Attrs, Exemplar, Histogram, Instrument, Key, Mono, Point, Service, Value,
};
use vor_pipeline::FamilyPoints;

/// Metrics that share a name.
#[derive(Debug)]
pub(super) struct Family {
    /// Without the suffixes that formats add to single samples, such as `_total` and `_info`.
    pub(super) name: String,
    pub(super) help: String,
    pub(super) kind: Kind,
    /// Names of the labels of every metric.
    pub(super) labels: Vec<String>,
    pub(super) metrics: Vec<Metric>,
}

/// What kind of numbers they are.
#[derive(Debug)]
pub(super) enum Kind {
    /// A rising total.
    Counter,
    /// A number.
    Gauge,
    /// Always 1; the labels are what matters.
    Info,
    /// A distribution with these upper bounds, in this unit.
    Histogram { bounds: Arc<[f64]>, unit: &'static str },
}

/// One of them.
#[derive(Debug)]
pub(super) struct Metric {
    /// Values of the family's labels, in their order.
    pub(super) labels: Vec<String>,
    /// A label that only this metric has.
    pub(super) mark: Option<(&'static str, &'static str)>,
    pub(super) number: Number,
}

/// What was counted.
#[derive(Debug)]
pub(super) enum Number {
    Single(f64),
    Distribution { histogram: Histogram, since: Mono, exemplars: Vec<Exemplar> },
}

/// Label of the series that takes what others have no room for.
const OVERFLOW: (&str, &str) = ("otel_metric_overflow", "true");

/// Labels of every metric of a service.
const SERVICE_LABELS: [&str; 4] = ["service_name", "service_namespace", "instance", "job"];

/// A family of the meter as a family of Prometheus.
pub(super) fn measured(from: FamilyPoints) -> Family {
    let FamilyPoints { family, name, labels: keys, resource, bounds, points } = from;
    let (suffix, unit) = match family.unit {
        "s" => ("_seconds", "seconds"),
        "By" => ("_bytes", "bytes"),
        _ => ("", ""),
    };
    let of_services = family.group.is_of_services();
    // No metric has a label twice.
    let is_told = |word: &String| {
        SERVICE_LABELS.contains(&word.as_str())
            || keys.iter().any(|key| self::word(key.as_str()) == *word)
    };
    let beside = resource.iter().map(|key| (key, word(key.as_str())));
    let beside: Vec<_> = beside.filter(|(_, word)| !is_told(word)).collect();
    let labels = SERVICE_LABELS.iter().filter(|_| of_services).map(|name| (*name).to_owned());
    Family {
        name: word(&name) + suffix,
        help: family.help.to_owned(),
        kind: match family.instrument {
            Instrument::Sum => Kind::Counter,
            Instrument::Histogram(_) => Kind::Histogram { bounds, unit },
        },
        labels: labels
            .chain(beside.iter().map(|(_, word)| word.clone()))
            .chain(keys.iter().map(|key| word(key.as_str())))
            .collect(),
        metrics: points
            .into_iter()
            .map(|point| {
                let Point { service, labels, since, number, exemplars } = point;
                let of_service = of_services.then(|| service_labels(&service));
                let of_service = of_service.into_iter().flatten();
                let resource = beside.iter().map(|(key, _)| value(&service.attrs, key));
                let own = keys.iter().map(|key| value(&labels, key));
                // The overflow series has one label, which is none of the family's.
                let overflows = labels.iter().any(|(key, _)| word(key.as_str()) == OVERFLOW.0);
                Metric {
                    labels: of_service.chain(resource).chain(own).collect(),
                    mark: overflows.then_some(OVERFLOW),
                    number: match number {
                        model::Number::Sum(sum) => Number::Single(exact(sum)),
                        model::Number::Histogram(histogram) => {
                            Number::Distribution { histogram, since, exemplars }
                        }
                    },
                }
            })
            .collect(),
    }
}

/// `target_info`: one metric per service of `points`, with its resource attributes.
pub(super) fn targets(points: &[FamilyPoints], prefix: &str, extra: &[String]) -> Family {
    let mut seen = BTreeSet::new();
    let families = points.iter().filter(|family| family.family.group.is_of_services());
    let services = families.flat_map(|family| &family.points).map(|point| &point.service);
    let services = services.filter(|service| {
        seen.insert((service.namespace.clone(), service.name.clone(), service.instance.clone()))
    });
    let metrics = services.map(|service| {
        let attribute = |name: &str| {
            let mut attrs = service.attrs.iter();
            let found = attrs.find(|(key, _)| word(key.as_str()) == word(name));
            found.map_or_else(String::new, |(_, value)| text(value))
        };
        let [name, namespace, instance, job] = service_labels(service);
        let mut labels =
            vec![attribute("host_id"), attribute("host_name"), name.clone(), namespace];
        labels.extend([instance, job, service.language.as_str().to_owned()]);
        labels.extend([prefix.to_owned(), prefix.to_owned()]);
        labels.extend(extra.iter().map(|name| attribute(name)));
        Metric { labels, mark: None, number: Number::Single(1.0) }
    });
    let metrics: Vec<_> = metrics.collect();
    let mut labels: Vec<_> = [
        "host_id",
        "host_name",
        "service",
        "service_namespace",
        "instance",
        "job",
        "telemetry_sdk_language",
        "telemetry_sdk_name",
        "source",
    ]
    .map(str::to_owned)
    .into();
    labels.extend(extra.iter().map(|name| word(name)));
    Family {
        name: "target".to_owned(),
        help: "Resource attributes of a service instance".to_owned(),
        kind: Kind::Info,
        labels,
        metrics,
    }
}

/// The newest of `exemplars` that lies above `below` and not above `bound`.
pub(super) fn newest_in(exemplars: &[Exemplar], below: f64, bound: f64) -> Option<&Exemplar> {
    exemplars.iter().rfind(|exemplar| exemplar.value > below && exemplar.value <= bound)
}

fn service_labels(service: &Service) -> [String; 4] {
    let text = |text: &Arc<str>| text.to_string();
    let job = service.qualified_name();
    [text(&service.name), text(&service.namespace), text(&service.instance), job]
}

#[allow(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "Prometheus counts in floating point; it is exact below 2^53"
)]
pub(super) fn exact(count: u64) -> f64 {
    count as f64
}

/// What `attrs` say of `key`; empty when that is nothing.
fn value(attrs: &Attrs, key: &Key) -> String {
    attrs.get(key).map_or_else(String::new, text)
}

fn text(value: &Value) -> String {
    value.to_string()
}

/// A name as Prometheus writes it: everything but letters, digits and `_` becomes `_`.
pub(super) fn word(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let mut word: String = name.chars().map(plain).collect();
    if word.starts_with(|c: char| c.is_ascii_digit()) {
        word.insert(0, '_');
    }
    word
}
