// SPDX-License-Identifier: Apache-2.0
//! Rate, errors, duration: printed spans as one row per service.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use crate::printed::Line;

/// What a service did.
#[derive(Debug, Default)]
struct Row {
    language: String,
    times: Vec<Duration>,
    errors: usize,
    calls: usize,
}

/// The table.
#[derive(Debug, Default)]
pub struct Red {
    rows: BTreeMap<String, Row>,
}

impl Red {
    /// Counts one span.
    pub fn add(&mut self, line: &Line) {
        let row = self.rows.entry(line.service.clone()).or_default();
        row.language.clone_from(&line.language);
        if !line.is_server() {
            row.calls += 1;
            return;
        }
        row.times.push(line.time);
        row.errors += usize::from(failed(line));
    }

    /// How many spans were counted.
    #[must_use]
    pub fn spans(&self) -> usize {
        self.rows.values().map(|row| row.times.len() + row.calls).sum()
    }

    /// The table after `run`, a line per service.
    #[must_use]
    pub fn table(&self, run: Duration) -> String {
        let mut table = format!(
            "{:<12} {:<9} {:>8} {:>7} {:>6} {:>8} {:>9} {:>9} {:>9}\n",
            "SERVICE", "LANGUAGE", "REQUESTS", "PER S", "ERRORS", "CALLS", "P50", "P95", "P99"
        );
        for (name, row) in &self.rows {
            let mut times = row.times.clone();
            times.sort_unstable();
            let count = u32::try_from(times.len()).unwrap_or(u32::MAX);
            let [p50, p95, p99] = [50, 95, 99].map(|percent| shown(percentile(&times, percent)));
            // Writing to a String cannot fail.
            let _ = writeln!(
                table,
                "{name:<12} {:<9} {count:>8} {:>7.1} {:>6} {:>8} {p50:>9} {p95:>9} {p99:>9}",
                row.language,
                f64::from(count) / run.as_secs_f64(),
                row.errors,
                row.calls,
            );
        }
        table
    }
}

/// Whether the server is to blame, by the semantic conventions of OpenTelemetry.
fn failed(line: &Line) -> bool {
    match line.label.as_str() {
        // UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS
        "GRPC" => matches!(line.code, 2 | 4 | 12..=15),
        // Without a status it was never answered.
        _ => line.code == 0 || line.code >= 500,
    }
}

/// The smallest time that is not exceeded by `percent` of all; `times` are sorted.
fn percentile(times: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (times.len() * percent).div_ceil(100);
    times.get(rank.checked_sub(1)?).copied()
}

fn shown(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{:.2}ms", time.as_secs_f64() * 1e3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(code: u16, millis: u64) -> Line {
        Line {
            label: "HTTP".into(),
            code,
            verb: "GET".into(),
            object: "/".into(),
            time: Duration::from_millis(millis),
            service: "cart".into(),
            language: "go".into(),
            context: String::new(),
        }
    }

    #[test]
    fn a_service_is_one_row() {
        let mut red = Red::default();
        (1..=100).for_each(|n| red.add(&line(if n == 1 { 500 } else { 200 }, n)));
        red.add(&Line { label: "HTTPClient".into(), ..line(200, 1) });
        let table = red.table(Duration::from_secs(10));
        let row: Vec<_> = table.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["cart", "go", "100", "10.0", "1", "1", "50.00ms", "95.00ms", "99.00ms"]);
        assert_eq!(red.spans(), 101);
    }

    #[test]
    fn a_call_of_grpc_that_is_answered_is_no_error() {
        let rpc = |code| Line { label: "GRPC".into(), ..line(code, 1) };
        assert_eq!([0, 5, 13].map(|code| failed(&rpc(code))), [false, false, true]);
    }

    #[test]
    fn percentiles_of_few_values_exist() {
        let one = [Duration::from_secs(1)];
        assert_eq!(percentile(&one, 50), Some(one[0]));
        assert_eq!(percentile(&[], 99), None);
    }
}
