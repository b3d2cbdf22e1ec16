// SPDX-License-Identifier: Apache-2.0
//! Counts values in base-2 exponential buckets of bounded number.
//!
//! Begins at the finest scale and halves the resolution whenever the values would need more than
//! [`MAX_BUCKETS`] buckets (OpenTelemetry metrics data model, "Exponential Histogram"). Merging
//! two neighbours into one loses no count.

use vor_model::Exponential;

/// The most buckets a histogram has.
pub(super) const MAX_BUCKETS: i32 = 160;
/// The scale that a histogram begins with.
pub(super) const MAX_SCALE: i8 = 20;

/// Bits of the fraction of an `f64`.
const FRACTION_BITS: u32 = f64::MANTISSA_DIGITS - 1;
/// What an `f64` adds to its exponent.
const EXPONENT_BIAS: i32 = f64::MAX_EXP - 1;

/// An empty histogram.
pub(super) fn empty() -> Exponential {
    Exponential { scale: MAX_SCALE, ..Exponential::default() }
}

/// Counts `value`, which is finite and not negative.
pub(super) fn count(into: &mut Exponential, value: f64) {
    if value <= 0.0 {
        into.zeros += 1;
        return;
    }
    let mut index = index(value, into.scale);
    if into.counts.is_empty() {
        into.offset = index;
        into.counts.push(1);
        return;
    }
    let last = into.offset + width(&into.counts) - 1;
    let (mut low, mut high) = (into.offset.min(index), last.max(index));
    let mut halvings = 0;
    while high - low >= MAX_BUCKETS {
        (low, high) = (low >> 1, high >> 1);
        halvings += 1;
    }
    if halvings > 0 {
        coarsen(into, halvings);
        index >>= halvings;
    }
    make_room(into, index);
    let at = usize::try_from(index - into.offset).unwrap_or_default();
    if let Some(bucket) = into.counts.get_mut(at) {
        *bucket += 1;
    }
}

/// Extends the buckets so that `index` is one of them.
fn make_room(into: &mut Exponential, index: i32) {
    let before = usize::try_from(into.offset - index).unwrap_or_default();
    if before > 0 {
        into.counts.splice(..0, std::iter::repeat_n(0, before));
        into.offset = index;
    }
    let needed = usize::try_from(index - into.offset + 1).unwrap_or_default();
    if needed > into.counts.len() {
        into.counts.resize(needed, 0);
    }
}

/// Lowers the scale by `halvings`, each of which joins pairs of buckets.
fn coarsen(into: &mut Exponential, halvings: i8) {
    let offset = into.offset >> halvings;
    let last = (into.offset + width(&into.counts) - 1) >> halvings;
    let mut joined = vec![0; usize::try_from(last - offset + 1).unwrap_or_default()];
    for (index, count) in (into.offset..).zip(&into.counts) {
        let at = usize::try_from((index >> halvings) - offset).unwrap_or_default();
        if let Some(bucket) = joined.get_mut(at) {
            *bucket += count;
        }
    }
    into.counts = joined;
    into.offset = offset;
    into.scale -= halvings;
}

fn width(counts: &[u64]) -> i32 {
    i32::try_from(counts.len()).unwrap_or(MAX_BUCKETS)
}

/// The bucket of `value` at `scale`: the `i` with `base^i < value <= base^(i+1)`.
#[allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "the exponent has 11 bits, and a fraction below 1 times 2^scale is below 2^20"
)]
pub(super) fn index(value: f64, scale: i8) -> i32 {
    let bits = value.max(f64::MIN_POSITIVE).to_bits();
    let exponent = (bits >> FRACTION_BITS) as i32 - EXPONENT_BIAS;
    let fraction = bits & ((1 << FRACTION_BITS) - 1);
    // A power of two is the upper bound of the bucket below it, and the only value that a
    // logarithm could put on the wrong side.
    let exact = i32::from(fraction == 0);
    if scale <= 0 {
        return (exponent - exact) >> -scale;
    }
    let within_octave = if exact == 1 {
        -1
    } else {
        let mantissa = f64::from_bits(fraction | 1.0_f64.to_bits());
        (mantissa.log2() * f64::from(1_u32 << scale)) as i32
    };
    (exponent << scale) + within_octave
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_are_upper_bounds_at_every_scale() {
        for exponent in [-1022_i32, -3, 0, 1, 2, 10, 1023] {
            let value = 2_f64.powi(exponent);
            for scale in 1..=MAX_SCALE {
                assert_eq!(index(value, scale), (exponent << scale) - 1, "{value} at {scale}");
            }
            for scale in -10..=0_i8 {
                assert_eq!(index(value, scale), (exponent - 1) >> -scale, "{value} at {scale}");
            }
        }
    }

    #[test]
    fn the_extremes_of_f64_share_one_histogram() {
        let mut histogram = empty();
        for value in [0.0, f64::from_bits(1), f64::MIN_POSITIVE, 1.0, f64::MAX] {
            count(&mut histogram, value);
        }
        assert_eq!(histogram.zeros, 1);
        assert_eq!(histogram.counts.iter().sum::<u64>(), 4);
        assert!(width(&histogram.counts) <= MAX_BUCKETS);
    }
}
