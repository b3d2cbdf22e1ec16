// SPDX-License-Identifier: Apache-2.0

use std::time::Duration;

use proptest::prelude::*;
use vor_model::semconv::{HTTP_REQUEST_METHOD, HTTP_ROUTE};
use vor_model::{Attrs, Key, Value};

use super::exponential::{MAX_BUCKETS, MAX_SCALE, index};
use super::*;
use crate::sample::{DURATION, SIZE, SIZES, service, span};

const SECOND: u64 = 1_000_000_000;

fn meter(config: MeterConfig) -> (Arc<Meter>, Arc<Board>) {
    let board = Board::new();
    (Meter::new(config, &board), board)
}

fn counter(board: &Board, what: &'static str) -> u64 {
    board.counter("meter", what).get()
}

fn histogram(point: &Point) -> &vor_model::Histogram {
    point.number.histogram().unwrap()
}

fn sized(value: f64) -> Attrs {
    let size = (SIZE, Value::Float(value));
    [(HTTP_REQUEST_METHOD, "GET".into()), size].into_iter().collect()
}

/// Zeros, powers of two, sizes and anything else.
fn values() -> impl Strategy<Value = Vec<f64>> {
    let any = prop_oneof![
        Just(0.0),
        (-30..40_i32).prop_map(|exponent| 2_f64.powi(exponent)),
        0.0..20_000.0,
        (0_u32..10_000).prop_map(f64::from),
        proptest::num::f64::POSITIVE | proptest::num::f64::SUBNORMAL,
    ];
    let narrow = 0.9..1.1;
    prop_oneof![proptest::collection::vec(any, 1..200), proptest::collection::vec(narrow, 1..200),]
}

fn histogram_of(values: &[f64]) -> (Arc<[f64]>, vor_model::Histogram) {
    let (meter, _) = meter(MeterConfig::default());
    let service = service("cart");
    let spans: Vec<_> = values.iter().map(|value| span(&service, 0.0, sized(*value))).collect();
    meter.record(&spans, Mono(SECOND));
    let families = meter.snapshot(Mono(SECOND), &|_, _| true);
    let sizes = families.iter().find(|family| *family.family == SIZES).unwrap();
    assert_eq!(sizes.points.len(), 1);
    (Arc::clone(&sizes.bounds), histogram(&sizes.points[0]).clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn explicit_buckets_are_what_counting_by_hand_gives(values in values()) {
        let (bounds, histogram) = histogram_of(&values);
        let mut by_hand = vec![0_u64; bounds.len() + 1];
        for value in &values {
            let bucket = bounds.iter().position(|bound| value <= bound).unwrap_or(bounds.len());
            by_hand[bucket] += 1;
        }
        prop_assert_eq!(&*histogram.buckets, &*by_hand);
        prop_assert_eq!(histogram.count, u64::try_from(values.len()).unwrap());
        let sum: f64 = values.iter().sum();
        prop_assert!(sum.is_infinite() || (histogram.sum - sum).abs() <= sum * 1e-9);
    }

    #[test]
    fn exponential_buckets_lose_nothing_and_are_as_fine_as_fits(values in values()) {
        let (_, histogram) = histogram_of(&values);
        let found = histogram.exponential;
        let positive: Vec<_> = values.iter().copied().filter(|value| *value > 0.0).collect();
        let zeros = values.len() - positive.len();
        prop_assert_eq!(found.zeros, u64::try_from(zeros).unwrap());

        let mut by_hand = std::collections::BTreeMap::new();
        for value in &positive {
            *by_hand.entry(index(*value, found.scale)).or_insert(0_u64) += 1;
        }
        let counted = (found.offset..).zip(&found.counts).filter(|(_, count)| **count > 0);
        let counted: std::collections::BTreeMap<_, _> = counted.map(|(at, n)| (at, *n)).collect();
        prop_assert_eq!(counted, by_hand);

        let width = |scale| {
            let all = positive.iter().map(|value| index(*value, scale));
            all.clone().max().unwrap_or_default() - all.min().unwrap_or_default() + 1
        };
        prop_assert!(i32::try_from(found.counts.len()).unwrap() <= MAX_BUCKETS);
        if found.scale < MAX_SCALE {
            prop_assert!(width(found.scale + 1) > MAX_BUCKETS, "could be finer");
        }
    }

    #[test]
    fn a_value_lies_between_the_bounds_of_its_bucket(value in 1e-9..1e12_f64, scale in -10..=20_i8) {
        let width = 2_f64.powi(-i32::from(scale));
        let lower = f64::from(index(value, scale)) * width;
        let log = value.log2();
        prop_assert!(log > lower - 1e-9 && log <= lower + width + 1e-9, "{lower} {log} {width}");
    }
}

#[test]
fn an_operation_without_the_measured_attribute_feeds_only_the_other_family() {
    let (meter, board) = meter(MeterConfig::default());
    meter.record(&[span(&service("cart"), 0.25, Attrs::new())], Mono(SECOND));
    let families = meter.snapshot(Mono(SECOND), &|_, _| true);
    assert_eq!(families.len(), 1);
    assert_eq!(families[0].family, &DURATION);
    let point = &families[0].points[0];
    assert!((histogram(point).sum - 0.25).abs() < 1e-12);
    assert_eq!(point.exemplars.len(), 1);
    assert_eq!(counter(&board, "in"), 1);
}

#[test]
fn the_same_words_are_the_same_series_however_they_are_held() {
    let (meter, _) = meter(MeterConfig::default());
    let constant = Attrs::new().with(HTTP_REQUEST_METHOD, "GET");
    let owned = Attrs::new().with(HTTP_REQUEST_METHOD, "GET".to_owned());
    let (before, mut after) = (service("cart"), (*service("cart")).clone());
    after.attrs.set(Key::new("host.name"), "one");
    let after = Arc::new(after);
    let spans = [span(&before, 1.0, constant), span(&after, 1.0, owned)];
    meter.record(&spans, Mono(SECOND));
    let families = meter.snapshot(Mono(SECOND), &|_, _| true);
    assert_eq!(families[0].points.len(), 1);
    assert_eq!(histogram(&families[0].points[0]).count, 2);
    assert_eq!(families[0].points[0].service, after, "the newest description counts");
}

#[test]
fn a_series_without_news_is_forgotten_and_begins_anew() {
    let config = MeterConfig { ttl: Duration::from_secs(60), ..MeterConfig::default() };
    let (meter, _) = meter(config);
    let (cart, pay) = (service("cart"), service("pay"));
    meter.record(&[span(&cart, 1.0, Attrs::new()), span(&pay, 1.0, Attrs::new())], Mono(SECOND));
    meter.record(&[span(&pay, 1.0, Attrs::new())], Mono(50 * SECOND));
    let counts = |at: u64| -> Vec<_> {
        let families = meter.snapshot(Mono(at * SECOND), &|_, _| true);
        let points = families.into_iter().flat_map(|family| family.points);
        let mut counts: Vec<_> = points
            .map(|point| (point.service.name.to_string(), histogram(&point).count, point.since))
            .collect();
        counts.sort();
        counts
    };
    let pay_counts = ("pay".to_owned(), 2, Mono(SECOND));
    assert_eq!(counts(61), [("cart".to_owned(), 1, Mono(SECOND)), pay_counts.clone()]);
    assert_eq!(counts(62), [pay_counts]);
    assert_eq!(counts(120), []);
    meter.record(&[span(&cart, 1.0, Attrs::new())], Mono(130 * SECOND));
    assert_eq!(counts(130), [("cart".to_owned(), 1, Mono(130 * SECOND))]);
}

#[test]
fn beyond_the_limit_values_go_into_one_overflow_series_per_service() {
    let config = MeterConfig { max_series: 3, ..MeterConfig::default() };
    let (meter, board) = meter(config);
    let (cart, pay) = (service("cart"), service("pay"));
    let routed = |service: &Arc<vor_model::Service>, route: u32| {
        span(service, 1.0, Attrs::new().with(HTTP_ROUTE, format!("/{route}")))
    };
    let spans: Vec<_> =
        (0..10).map(|route| routed(&cart, route)).chain([routed(&pay, 1)]).collect();
    meter.record(&spans, Mono(SECOND));
    meter.record(&spans, Mono(SECOND));
    let families = meter.snapshot(Mono(SECOND), &|_, _| true);
    let points = &families[0].points;
    let overflow = Key::new("otel.metric.overflow");
    let overflowing: Vec<_> = points
        .iter()
        .filter(|point| point.labels.get(&overflow) == Some(&Value::Bool(true)))
        .collect();
    assert_eq!((points.len(), overflowing.len()), (5, 2));
    assert_eq!(points.iter().map(|point| histogram(point).count).sum::<u64>(), 22);
    assert_eq!((counter(&board, "in"), counter(&board, "out")), (22, 22));
    assert_eq!(counter(&board, "overflow"), 16);

    let crowd: Vec<_> = (0..5).map(|n| routed(&service(&format!("s{n}")), 1)).collect();
    meter.record(&crowd, Mono(SECOND));
    let (taken, given) = (counter(&board, "in"), counter(&board, "out"));
    assert_eq!((taken, given, counter(&board, "lost.too_many_series")), (27, 23, 4));
}

#[test]
fn exemplars_are_the_newest_sampled_operations() {
    let (meter, _) = meter(MeterConfig::default());
    let cart = service("cart");
    let mut spans: Vec<_> = (1..=9_u8)
        .map(|number| {
            let mut span = span(&cart, 1.0, Attrs::new());
            span.id = vor_model::SpanId([number; 8]);
            span
        })
        .collect();
    spans[8].flags = 0;
    meter.record(&spans, Mono(SECOND));
    let families = meter.snapshot(Mono(SECOND), &|_, _| true);
    let ids: Vec<_> = families[0].points[0].exemplars.iter().map(|e| e.span.0[0]).collect();
    assert_eq!(ids, [5, 6, 7, 8]);
}

#[test]
fn a_snapshot_shows_only_wanted_protocols() {
    let (meter, _) = meter(MeterConfig::default());
    meter.record(&[span(&service("cart"), 1.0, Attrs::new())], Mono(SECOND));
    assert!(meter.snapshot(Mono(SECOND), &|_, protocol| protocol == "other").is_empty());
    assert_eq!(meter.snapshot(Mono(SECOND), &|_, protocol| protocol == "test").len(), 1);
}
