// SPDX-License-Identifier: Apache-2.0
//! The two text formats: Prometheus 0.0.4 and OpenMetrics 1.0, which has units, exemplars and an end.

use std::fmt::{self, Write};

use vor_model::{Clock, Exemplar, Histogram};

use super::families::{Family, Kind, Metric, Number, newest_in};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Prometheus,
    OpenMetrics,
}

/// Writes `families` down.
pub(super) fn encode(families: &[Family], dialect: Dialect, clock: &Clock) -> String {
    let mut page = String::new();
    // Writing to a String cannot fail.
    let _ = families.iter().try_for_each(|family| write_family(family, dialect, clock, &mut page));
    if dialect == Dialect::OpenMetrics {
        page.push_str("# EOF\n");
    }
    page
}

fn write_family(family: &Family, dialect: Dialect, clock: &Clock, to: &mut String) -> fmt::Result {
    let open = dialect == Dialect::OpenMetrics;
    let (kind, suffix) = match family.kind {
        Kind::Counter => ("counter", "_total"),
        Kind::Gauge => ("gauge", ""),
        Kind::Info => (if open { "info" } else { "gauge" }, "_info"),
        Kind::Histogram { .. } => ("histogram", ""),
    };
    // OpenMetrics speaks of the family, Prometheus of the samples.
    let name = &family.name;
    let title = if open { name.clone() } else { format!("{name}{suffix}") };
    writeln!(to, "# HELP {title} {}", Escaped { text: &family.help, quotes: open })?;
    writeln!(to, "# TYPE {title} {kind}")?;
    if let Kind::Histogram { unit, .. } = family.kind
        && open
        && !unit.is_empty()
    {
        writeln!(to, "# UNIT {title} {unit}")?;
    }
    for metric in &family.metrics {
        match (&metric.number, &family.kind) {
            (Number::Distribution { histogram, exemplars, .. }, Kind::Histogram { bounds, .. }) => {
                let exemplars = if open { exemplars.as_slice() } else { &[] };
                let one = Distribution { family, metric, histogram, bounds, exemplars, open };
                one.write(clock, to)?;
            }
            (Number::Single(value), _) => {
                write!(to, "{name}{suffix}")?;
                labels(family, metric, None, to)?;
                writeln!(to, " {value}")?;
            }
            (Number::Distribution { .. }, _) => {}
        }
    }
    Ok(())
}

struct Distribution<'a> {
    family: &'a Family,
    metric: &'a Metric,
    histogram: &'a Histogram,
    bounds: &'a [f64],
    exemplars: &'a [Exemplar],
    open: bool,
}

impl Distribution<'_> {
    fn write(&self, clock: &Clock, to: &mut String) -> fmt::Result {
        let name = &self.family.name;
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let (mut below, mut total) = (f64::NEG_INFINITY, 0);
        for (bound, count) in bounds.zip(&self.histogram.buckets) {
            total += count;
            write!(to, "{name}_bucket")?;
            labels(self.family, self.metric, Some(&self.bound(bound)), to)?;
            write!(to, " {total}")?;
            let newest = newest_in(self.exemplars, below, bound);
            if let Some(Exemplar { value, at, trace, span }) = newest {
                write!(to, " # {{trace_id=\"{trace}\",span_id=\"{span}\"}} {value} ")?;
                let nanos = clock.unix_nanos(*at);
                write!(to, "{}.{:03}", nanos / 1_000_000_000, nanos / 1_000_000 % 1_000)?;
            }
            to.push('\n');
            below = bound;
        }
        write!(to, "{name}_sum")?;
        labels(self.family, self.metric, None, to)?;
        writeln!(to, " {}", self.histogram.sum)?;
        write!(to, "{name}_count")?;
        labels(self.family, self.metric, None, to)?;
        writeln!(to, " {}", self.histogram.count)
    }

    /// OpenMetrics wants bounds to look like floating-point numbers.
    fn bound(&self, bound: f64) -> String {
        if bound.is_infinite() {
            "+Inf".to_owned()
        } else if self.open && bound.fract() == 0.0 {
            format!("{bound:.1}")
        } else {
            bound.to_string()
        }
    }
}

fn labels(family: &Family, metric: &Metric, bound: Option<&str>, to: &mut String) -> fmt::Result {
    let own = family.labels.iter().map(String::as_str);
    let own = own.zip(metric.labels.iter().map(String::as_str));
    let all = own.chain(metric.mark).chain(bound.map(|bound| ("le", bound)));
    let mut separator = '{';
    for (name, value) in all {
        write!(to, "{separator}{name}=\"{}\"", Escaped { text: value, quotes: true })?;
        separator = ',';
    }
    if separator == ',' {
        to.push('}');
    }
    Ok(())
}

struct Escaped<'a> {
    text: &'a str,
    quotes: bool,
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '\n' => f.write_str("\\n"),
            '"' if self.quotes => f.write_str("\\\""),
            _ => f.write_char(c),
        })
    }
}
