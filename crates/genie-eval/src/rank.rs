//! What one ranking is worth.

use std::collections::BTreeMap;

/// Ranks up to which is looked, of which those within the depth are reported.
const CUTOFFS: [usize; 9] = [1, 5, 10, 20, 50, 100, 200, 500, 1000];

/// The cutoff of the metrics that weigh ranks.
const WEIGHED: usize = 10;

/// How what should be found was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Ranking {
    /// Of each thing to find its rank, from 1, and its grade.
    pub(crate) found: Vec<(Option<usize>, f64)>,
    /// All of it is needed: a part is nothing.
    pub(crate) whole: bool,
}

impl Ranking {
    /// The metrics of this ranking, looked at down to `depth`.
    pub(crate) fn values(&self, depth: usize) -> BTreeMap<String, f64> {
        let mut values = BTreeMap::new();
        if self.found.is_empty() {
            return values;
        }
        for k in CUTOFFS.into_iter().filter(|&k| k <= depth) {
            let share = self.share(k);
            if self.whole {
                values.insert(format!("evidence@{k}"), share);
            }
            let recall = if self.whole { share.floor() } else { share };
            values.insert(format!("recall@{k}"), recall);
        }
        values.insert(format!("mrr@{WEIGHED}"), self.reciprocal());
        values.insert(format!("ndcg@{WEIGHED}"), self.gain());
        values
    }

    /// The share of things found in the first `k`.
    fn share(&self, k: usize) -> f64 {
        let found = self.ranks().filter(|&(rank, _)| rank <= k).count();
        found as f64 / self.found.len() as f64
    }

    /// One over the rank of the first thing found.
    fn reciprocal(&self) -> f64 {
        self.ranks()
            .map(|(rank, _)| rank)
            .filter(|&rank| rank <= WEIGHED)
            .min()
            .map_or(0.0, |rank| 1.0 / rank as f64)
    }

    /// Normalised discounted cumulative gain. One chunk may complete several
    /// quotes, which the ideal of one a rank does not foresee: hence the cut
    /// at 1.
    fn gain(&self) -> f64 {
        let discounted = |(rank, grade): (usize, f64)| grade / ((rank + 1) as f64).log2();
        let gain: f64 = self
            .ranks()
            .filter(|&(rank, _)| rank <= WEIGHED)
            .map(discounted)
            .sum();
        let mut grades: Vec<f64> = self.found.iter().map(|&(_, grade)| grade).collect();
        grades.sort_by(|a, b| b.total_cmp(a));
        let ideal: f64 = (1..).zip(grades).take(WEIGHED).map(discounted).sum();
        if ideal > 0.0 {
            (gain / ideal).min(1.0)
        } else {
            0.0
        }
    }

    fn ranks(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.found
            .iter()
            .filter_map(|&(rank, grade)| Some((rank?, grade)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ranking: &Ranking, expected: &[(&str, f64)]) {
        let values = ranking.values(10);
        for (name, value) in expected {
            let found = values[*name];
            assert!((found - value).abs() < 1e-9, "{name}: {found}, not {value}");
        }
    }

    #[test]
    fn graded_judgements_by_hand() {
        // Grade 1 at rank 1, grade 3 at rank 3, grade 2 nowhere.
        let ranking = Ranking {
            found: vec![(Some(3), 3.0), (None, 2.0), (Some(1), 1.0)],
            whole: false,
        };
        let log3 = 3_f64.log2();
        let ideal = 3.0 + 2.0 / log3 + 1.0 / 2.0;
        check(
            &ranking,
            &[
                ("recall@1", 1.0 / 3.0),
                ("recall@5", 2.0 / 3.0),
                ("mrr@10", 1.0),
                ("ndcg@10", (1.0 + 3.0 / 2.0) / ideal),
            ],
        );
        assert!(!ranking.values(10).contains_key("evidence@5"));
        assert!(!ranking.values(10).contains_key("recall@20"));
        assert!(ranking.values(20).contains_key("recall@20"));
    }

    #[test]
    fn all_of_the_evidence_is_needed() {
        let ranking = Ranking {
            found: vec![(Some(2), 1.0), (Some(7), 1.0)],
            whole: true,
        };
        let log3 = 3_f64.log2();
        check(
            &ranking,
            &[
                ("recall@1", 0.0),
                ("recall@5", 0.0),
                ("evidence@5", 0.5),
                ("recall@10", 1.0),
                ("evidence@10", 1.0),
                ("mrr@10", 0.5),
                ("ndcg@10", (1.0 / log3 + 1.0 / 3.0) / (1.0 + 1.0 / log3)),
            ],
        );
    }

    #[test]
    fn two_quotes_in_one_chunk_are_no_more_than_perfect() {
        let ranking = Ranking {
            found: vec![(Some(1), 1.0), (Some(1), 1.0)],
            whole: true,
        };
        check(&ranking, &[("ndcg@10", 1.0), ("recall@1", 1.0)]);
    }

    #[test]
    fn what_is_not_found_is_worth_nothing() {
        let ranking = Ranking {
            found: vec![(None, 1.0), (Some(11), 1.0)],
            whole: false,
        };
        check(
            &ranking,
            &[("recall@10", 0.0), ("mrr@10", 0.0), ("ndcg@10", 0.0)],
        );
        assert!(Ranking::default().values(10).is_empty());
    }
}
