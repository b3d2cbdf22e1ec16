// SPDX-License-Identifier: Apache-2.0
//! From cumulative points to what was counted since the receiver last took them.
//!
//! In: points that count from the beginning of their series. Out: points that count from the last one that
//! was taken; what could not be sent is in the next one. Holds one number per series of the last snapshot.

use std::collections::HashMap;
use std::fmt::Write;

use vor_model::{Exponential, Histogram, Mono, Number, Point};

use super::encode::Series;

/// What was taken last, by series.
#[derive(Debug, Default)]
pub(super) struct Deltas {
    last: HashMap<String, Last>,
}

#[derive(Debug, Clone)]
struct Last {
    since: Mono,
    at: Mono,
    number: Number,
}

impl Deltas {
    /// `series` as they were counted since they were last taken; `None` where there is nothing new. Series that
    /// are not among them any more are forgotten.
    pub(super) fn of(&mut self, series: &[Series]) -> Vec<Option<Series>> {
        let keys: Vec<_> = series.iter().map(key).collect();
        let mut known = HashMap::with_capacity(keys.len());
        let deltas = keys.into_iter().zip(series).map(|(key, series)| {
            let last = self.last.remove(&key);
            // A series that began anew counts from its new beginning.
            let last = last.filter(|last| last.since == series.point.since);
            let Some(last) = last else { return Some(series.clone()) };
            let delta = since(&series.point, &last);
            known.insert(key, last);
            delta.map(|point| Series { point, ..series.clone() })
        });
        let deltas = deltas.collect();
        self.last = known;
        deltas
    }

    /// `series` were taken as they stood at `at`.
    pub(super) fn taken<'a>(&mut self, series: impl Iterator<Item = &'a Series>, at: Mono) {
        for series in series {
            let Point { since, number, .. } = &series.point;
            let last = Last { since: *since, at, number: number.clone() };
            self.last.insert(key(series), last);
        }
    }
}

/// What makes a series that one.
fn key(series: &Series) -> String {
    let Point { service, labels, .. } = &series.point;
    let mut key =
        format!("{}\0{}\0{}\0{}", series.name, service.namespace, service.name, service.instance);
    for (label, value) in labels.iter() {
        // Writing to a String cannot fail.
        let _ = write!(key, "\0{label}\0{value}");
    }
    key
}

fn since(point: &Point, last: &Last) -> Option<Point> {
    let number = match (&point.number, &last.number) {
        (Number::Sum(now), Number::Sum(then)) => {
            Number::Sum(now.checked_sub(*then).filter(|sum| *sum > 0)?)
        }
        (Number::Histogram(now), Number::Histogram(then)) => Number::Histogram(added(now, then)?),
        (Number::Sum(_), Number::Histogram(_)) | (Number::Histogram(_), Number::Sum(_)) => {
            return None;
        }
    };
    let exemplars = point.exemplars.iter().filter(|exemplar| exemplar.at > last.at);
    let exemplars = exemplars.copied().collect();
    Some(Point { since: last.at, number, exemplars, ..point.clone() })
}

/// What came to `then`; `None` when that is nothing.
fn added(now: &Histogram, then: &Histogram) -> Option<Histogram> {
    let count = now.count.checked_sub(then.count).filter(|count| *count > 0)?;
    let buckets = now.buckets.iter().zip(&then.buckets);
    Some(Histogram {
        count,
        sum: now.sum - then.sum,
        buckets: buckets.map(|(now, then)| now.saturating_sub(*then)).collect(),
        exponential: less(&now.exponential, &then.exponential),
    })
}

/// `now` less `then`, whose buckets are at least as fine.
fn less(now: &Exponential, then: &Exponential) -> Exponential {
    let mut counts = now.counts.clone();
    let coarser = then.scale.saturating_sub(now.scale).max(0);
    for (index, count) in (then.offset..).zip(&then.counts) {
        let at = (index >> coarser) - now.offset;
        let bucket = usize::try_from(at).ok().and_then(|at| counts.get_mut(at));
        if let Some(bucket) = bucket {
            *bucket = bucket.saturating_sub(*count);
        }
    }
    let first = counts.iter().position(|count| *count > 0).unwrap_or(counts.len());
    let end = counts.iter().rposition(|count| *count > 0).map_or(first, |last| last + 1);
    let offset = now.offset.saturating_add(i32::try_from(first).unwrap_or_default());
    Exponential {
        scale: now.scale,
        zeros: now.zeros.saturating_sub(then.zeros),
        offset: if first == end { 0 } else { offset },
        counts: counts.get(first..end).unwrap_or_default().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vor_health::Board;
    use vor_pipeline::{Meter, MeterConfig};

    use super::*;
    use crate::sample::answered;

    const SECOND: u64 = 1_000_000_000;

    fn of(point: &Point) -> &Histogram {
        point.number.histogram().unwrap()
    }

    fn counted(meter: &Meter, millis: &[u64], at: Mono) -> Vec<Series> {
        let spans: Vec<_> =
            millis.iter().map(|ms| answered(Duration::from_millis(*ms), 10)).collect();
        meter.record(&spans, at);
        let families = meter.snapshot(at, &|_, _| true);
        let series = families.into_iter().flat_map(Series::of);
        series.filter(|series| series.family.unit == "s").collect()
    }

    #[test]
    fn deltas_are_what_a_fresh_meter_would_have_counted() {
        let config = MeterConfig::default();
        let (all, board) = (Meter::new(config.clone(), &Board::new()), Board::new());
        let fresh = Meter::new(config, &board);
        let mut deltas = Deltas::default();
        let first = counted(&all, &[3, 40, 90], Mono(SECOND));
        let sent: Vec<_> = deltas.of(&first).into_iter().flatten().collect();
        assert_eq!(sent[0].point, first[0].point, "the first time everything is new");
        deltas.taken(first.iter(), Mono(SECOND));

        // Wider than before, so that the exponential buckets become coarser.
        let second = counted(&all, &[1, 9_000], Mono(2 * SECOND));
        let delta = deltas.of(&second).remove(0).unwrap().point;
        let expected = counted(&fresh, &[1, 9_000], Mono(2 * SECOND)).remove(0).point;
        assert_eq!(delta.since, Mono(SECOND));
        assert_eq!(of(&delta).count, 2);
        assert_eq!(of(&delta).buckets, of(&expected).buckets);
        assert!((of(&delta).sum - of(&expected).sum).abs() < 1e-9);
        assert_eq!(of(&delta).exponential.counts.iter().sum::<u64>(), 2);

        let unsent = deltas.of(&counted(&all, &[5], Mono(3 * SECOND))).remove(0).unwrap();
        assert_eq!(of(&unsent.point).count, 3, "what was not taken is in the next one");
        deltas.taken(counted(&all, &[], Mono(3 * SECOND)).iter(), Mono(3 * SECOND));
        assert!(deltas.of(&counted(&all, &[], Mono(4 * SECOND)))[0].is_none(), "nothing new");
    }
}
