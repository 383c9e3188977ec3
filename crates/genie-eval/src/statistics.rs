//! Means with intervals, differences with p-values, percentiles.

use std::collections::HashMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// Resamples of a bootstrap.
const RESAMPLES: usize = 1000;
/// Random signs tried by a permutation test.
const PERMUTATIONS: usize = 10_000;
/// The share of resamples outside an interval, on each side.
const TAIL: f64 = 0.025;

/// A mean with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean.
    pub value: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// How many items it is the mean of.
    pub n: usize,
    /// How many clusters of them, such as documents, there are; 0 in records
    /// whose interval is that of a bootstrap over items.
    #[serde(default)]
    pub clusters: usize,
}

/// A value and the number of its cluster. What is in one cluster, such as the
/// questions about one document, is not independent of each other: what reads
/// the document well finds all of it.
pub type Clustered = (f64, usize);

/// The mean of these values with the percentile interval of a bootstrap in two
/// stages: a resample takes whole clusters, as many as there are, and of each
/// as many of its values as it has, both with replacement. Where every value
/// is a cluster of its own that is the bootstrap over values, and so it is
/// where all are in one. `None` without values.
#[must_use]
pub fn estimate(values: &[Clustered], seed: u64) -> Option<Estimate> {
    let clusters = by_cluster(values);
    let count = u32::try_from(clusters.len()).ok().filter(|&n| n > 0)?;
    let mut random = StdRng::seed_from_u64(seed);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let (mut sum, mut drawn) = (0.0, 0);
            for _ in 0..count {
                let cluster = &clusters[random.random_range(0..count) as usize];
                drawn += cluster.len();
                sum += match cluster.as_slice() {
                    [one] => *one,
                    several => (0..several.len())
                        .map(|_| several[random.random_range(0..several.len())])
                        .sum(),
                };
            }
            sum / drawn as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    Some(Estimate {
        value: values.iter().map(|(value, _)| value).sum::<f64>() / values.len() as f64,
        low: percentile(&means, TAIL),
        high: percentile(&means, 1.0 - TAIL),
        n: values.len(),
        clusters: clusters.len(),
    })
}

/// The values of each cluster, by their first ones.
fn by_cluster(values: &[Clustered]) -> Vec<Vec<f64>> {
    let mut places: HashMap<usize, usize> = HashMap::new();
    let mut clusters: Vec<Vec<f64>> = Vec::new();
    for (value, cluster) in values {
        let place = *places.entry(*cluster).or_insert(clusters.len());
        match clusters.get_mut(place) {
            Some(known) => known.push(*value),
            None => clusters.push(vec![*value]),
        }
    }
    clusters
}

/// The two-sided p-value of paired differences under the hypothesis that
/// their signs are chance: a permutation test with 10,000 random signs.
///
/// Each difference has a sign of its own, whatever it is about: the p-value is
/// about these documents, and says less of others than it seems to.
#[must_use]
pub fn permutation_p(differences: &[f64], seed: u64) -> f64 {
    // Items without a difference have no sign to change.
    let differing: Vec<f64> = differences
        .iter()
        .copied()
        .filter(|difference| *difference != 0.0)
        .collect();
    if differing.is_empty() {
        return 1.0;
    }
    let observed = differing.iter().sum::<f64>().abs();
    // Sums of the same numbers in another order differ in their last bits.
    let least = observed - 1e-9 * differing.iter().map(|x| x.abs()).sum::<f64>();
    let mut random = StdRng::seed_from_u64(seed);
    let extreme = (0..PERMUTATIONS)
        .filter(|_| {
            let mut bits = 0_u64;
            let sum: f64 = differing
                .iter()
                .enumerate()
                .map(|(at, difference)| {
                    if at % 64 == 0 {
                        bits = random.random();
                    }
                    let sign = bits & 1;
                    bits >>= 1;
                    if sign == 0 { *difference } else { -*difference }
                })
                .sum();
            sum.abs() >= least
        })
        .count();
    // The observed signs are one of the permutations.
    (extreme + 1) as f64 / (PERMUTATIONS + 1) as f64
}

/// The two-sided p-value of two means that are only known with their
/// intervals, taken for normal and independent.
#[must_use]
pub fn interval_p(a: Estimate, b: Estimate) -> f64 {
    let error = |estimate: Estimate| (estimate.high - estimate.low) / (2.0 * 1.96);
    let difference = (b.value - a.value).abs();
    if difference == 0.0 {
        return 1.0;
    }
    let spread = error(a).hypot(error(b));
    if spread == 0.0 {
        return 0.0;
    }
    2.0 * upper_tail(difference / spread)
}

/// The probability that a standard normal variable is above `z`, for `z` of
/// at least 0 (Abramowitz and Stegun, formula 26.2.17; error below 1e-7).
fn upper_tail(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let polynomial = t
        * (0.319_381_530
            + t * (-0.356_563_782
                + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * polynomial
}

/// Percentiles of a latency.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// 95 of 100 are at most this.
    pub p95: f64,
    /// 99 of 100 are at most this.
    pub p99: f64,
    /// How many were measured.
    pub n: usize,
}

/// The percentiles of these values. `None` without values.
#[must_use]
pub fn percentiles(values: &[f64]) -> Option<Percentiles> {
    if values.is_empty() {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some(Percentiles {
        p50: percentile(&sorted, 0.50),
        p95: percentile(&sorted, 0.95),
        p99: percentile(&sorted, 0.99),
        n: sorted.len(),
    })
}

/// By nearest rank: the least value that is not below this share of them.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    // A share such as .95 of 20 must not become 19.000001.
    let rank = (share * sorted.len() as f64 - 1e-9).ceil() as usize;
    sorted
        .get(rank.clamp(1, sorted.len().max(1)) - 1)
        .copied()
        .unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        let found = percentiles(&values).unwrap();
        assert_eq!((found.p50, found.p95, found.p99), (100.0, 190.0, 198.0));
        assert_eq!(percentiles(&[7.0]).unwrap().p99, 7.0);
        assert_eq!(percentiles(&[]), None);
    }

    #[test]
    fn a_bootstrap_is_repeatable_and_near_the_theory() {
        let values = singles(400, |at| f64::from(u8::from(at % 4 != 0)));
        let one = estimate(&values, 7).unwrap();
        assert_eq!(Some(one), estimate(&values, 7));
        assert_ne!(Some(one), estimate(&values, 8));
        assert_eq!((one.value, one.n, one.clusters), (0.75, 400, 400));
        // The standard error of a share of .75 of 400 is .0217.
        assert!((one.low - (0.75 - 1.96 * 0.0217)).abs() < 0.008, "{one:?}");
        assert!((one.high - (0.75 + 1.96 * 0.0217)).abs() < 0.008, "{one:?}");
        assert_eq!(estimate(&[], 7), None);
    }

    #[test]
    fn questions_of_one_text_say_less_than_as_many_of_others() {
        // Forty texts with ten questions each, found all or not at all.
        let found = |at: usize| f64::from(u8::from(!(at / 10).is_multiple_of(4)));
        let together: Vec<_> = (0..400).map(|at| (found(at), at / 10)).collect();
        let (alone, together) = (singles(400, found), estimate(&together, 7).unwrap());
        let alone = estimate(&alone, 7).unwrap();
        assert_eq!(
            (together.value, together.n, together.clusters),
            (0.75, 400, 40)
        );
        // The standard error is that of a share of .75 of 40: the root of ten
        // times as large.
        let wider = (together.high - together.low) / (alone.high - alone.low);
        assert!((wider - 10_f64.sqrt()).abs() < 0.5, "{wider}");

        // Of one text the questions are all there is to draw.
        let one: Vec<_> = (0..400).map(|at| (found(at), 0)).collect();
        let one = estimate(&one, 7).unwrap();
        assert_eq!(one.clusters, 1);
        let ratio = (one.high - one.low) / (alone.high - alone.low);
        assert!((ratio - 1.0).abs() < 0.1, "{ratio}");
    }

    /// Values each in a cluster of its own.
    fn singles(count: usize, value: impl Fn(usize) -> f64) -> Vec<Clustered> {
        (0..count).map(|at| (value(at), at)).collect()
    }

    #[test]
    fn permutations_know_chance_from_loss() {
        assert_eq!(permutation_p(&[0.0, 0.0], 1), 1.0);
        // Of six equal signs two of 64 permutations are as extreme.
        let p = permutation_p(&[1.0; 6], 1);
        assert!((p - 2.0 / 64.0).abs() < 0.008, "{p}");
        let p = permutation_p(&[1.0, -1.0, 1.0, -1.0], 1);
        assert!(p > 0.9, "{p}");
        let p = permutation_p(&[-1.0; 30], 1);
        assert!(p < 0.001, "{p}");
        assert_eq!(p, permutation_p(&[-1.0; 30], 1));
    }

    #[test]
    fn intervals_alone_give_a_p_value() {
        let at = |value: f64| Estimate {
            value,
            low: value - 0.0196,
            high: value + 0.0196,
            n: 100,
            clusters: 100,
        };
        // A difference of 1.96 standard errors of a difference.
        let p = interval_p(at(0.5), at(0.5 - 1.96 * 0.01 * 2_f64.sqrt()));
        assert!((p - 0.05).abs() < 1e-3, "{p}");
        assert_eq!(interval_p(at(0.5), at(0.5)), 1.0);
    }
}
