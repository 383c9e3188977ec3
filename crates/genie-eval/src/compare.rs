//! Two runs against each other, item by item.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use serde::Serialize;
use serde_json::Value;

use crate::record::SavedRun;
use crate::run::{Clusters, Estimates, ItemRecord};
use crate::statistics::{Clustered, estimate, interval_p, permutation_p};

/// Two runs compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The first run.
    pub a: String,
    /// The second run.
    pub b: String,
    /// Items that both have; 0 where the items of one are not known.
    pub common: usize,
    /// Items that only the first has.
    pub only_a: usize,
    /// Items that only the second has.
    pub only_b: usize,
    /// Whether differences are between the same items. Otherwise only the
    /// figures of one run are known, and p is computed from intervals, as if
    /// the runs had asked different questions.
    pub paired: bool,
    /// What the runs were made with, where it differs.
    pub differs: Vec<Differing>,
    /// The differences.
    pub metrics: Differences,
}

/// A setting that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Differing {
    /// Its path in the record of the run.
    pub setting: String,
    /// In the first run.
    pub a: Value,
    /// In the second run.
    pub b: Value,
}

/// Differences by name.
pub type ByName = BTreeMap<String, Difference>;

/// Differences, overall and of groups.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Differences {
    /// Over all common items.
    pub overall: ByName,
    /// By the language of the question.
    pub by_language: BTreeMap<String, ByName>,
    /// By kind of question.
    pub by_kind: BTreeMap<String, ByName>,
}

/// A metric of two runs on the same items.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    /// The first run's value.
    pub a: f64,
    /// The second run's value.
    pub b: f64,
    /// `b - a`.
    pub difference: f64,
    /// The lower end of its 95 % interval; `None` where items are not known.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
    /// Two-sided: how often chance alone differs as much.
    pub p: f64,
    /// Items compared.
    pub n: usize,
}

/// Compares two runs.
///
/// # Errors
///
/// Fails where they have nothing in common.
pub fn compare(a: &SavedRun, b: &SavedRun) -> anyhow::Result<Comparison> {
    let mut comparison = Comparison {
        a: a.run.run.id.clone(),
        b: b.run.run.id.clone(),
        common: 0,
        only_a: 0,
        only_b: 0,
        paired: false,
        differs: differing(a, b)?,
        metrics: Differences::default(),
    };
    let seed = b.run.run.configuration.seed;
    match (&a.items, &b.items) {
        (Some(first), Some(second)) => {
            let known: BTreeMap<&str, &ItemRecord> =
                first.iter().map(|item| (item.id.as_str(), item)).collect();
            let pairs: Vec<(&ItemRecord, &ItemRecord)> = second
                .iter()
                .filter_map(|item| Some((*known.get(item.id.as_str())?, item)))
                .collect();
            comparison.paired = true;
            comparison.common = pairs.len();
            comparison.only_a = first.len() - pairs.len();
            comparison.only_b = second.len() - pairs.len();
            comparison.metrics = paired(&pairs, seed);
        }
        _ => {
            let (a, b) = (&a.run.metrics, &b.run.metrics);
            comparison.metrics = Differences {
                overall: unpaired(&a.overall, &b.overall),
                by_language: groups(&a.by_language, &b.by_language),
                by_kind: groups(&a.by_kind, &b.by_kind),
            };
        }
    }
    if comparison.metrics.overall.is_empty() {
        bail!(
            "the runs {} and {} have no judged item in common",
            comparison.a,
            comparison.b
        );
    }
    Ok(comparison)
}

type Pair<'a> = (&'a ItemRecord, &'a ItemRecord);

fn paired(pairs: &[Pair<'_>], seed: u64) -> Differences {
    let mut differences = Differences {
        overall: of_pairs(pairs.iter(), seed),
        ..Differences::default()
    };
    let languages: BTreeSet<&String> = pairs.iter().map(|(_, item)| &item.language).collect();
    for language in languages {
        let of_it = pairs.iter().filter(|(_, item)| &item.language == language);
        differences
            .by_language
            .insert(language.clone(), of_pairs(of_it, seed));
    }
    let kinds: BTreeSet<&String> = pairs.iter().flat_map(|(_, item)| &item.kinds).collect();
    for kind in kinds {
        let of_it = pairs.iter().filter(|(_, item)| item.kinds.contains(kind));
        differences
            .by_kind
            .insert(kind.clone(), of_pairs(of_it, seed));
    }
    differences
}

fn of_pairs<'a>(pairs: impl Iterator<Item = &'a Pair<'a>>, seed: u64) -> ByName {
    let mut values: BTreeMap<&String, Values> = BTreeMap::new();
    let mut clusters = Clusters::default();
    for (a, b) in pairs {
        let cluster = clusters.number(b);
        for (name, before) in &a.values {
            if let Some(after) = b.values.get(name) {
                let values = values.entry(name).or_default();
                values.push((*before, *after, cluster));
            }
        }
    }
    values
        .into_iter()
        .filter_map(|(name, values)| Some((name.clone(), difference(&values, seed)?)))
        .collect()
}

/// Of each question its value before and after, and its cluster.
type Values = Vec<(f64, f64, usize)>;

fn difference(values: &Values, seed: u64) -> Option<Difference> {
    let mean = |of: fn(&(f64, f64, usize)) -> f64| {
        values.iter().map(of).sum::<f64>() / values.len() as f64
    };
    let clustered: Vec<Clustered> = values
        .iter()
        .map(|(a, b, cluster)| (b - a, *cluster))
        .collect();
    let differences: Vec<f64> = clustered
        .iter()
        .map(|(difference, _)| *difference)
        .collect();
    let interval = estimate(&clustered, seed)?;
    Some(Difference {
        a: mean(|(a, _, _)| *a),
        b: mean(|(_, b, _)| *b),
        difference: interval.value,
        low: Some(interval.low),
        high: Some(interval.high),
        p: permutation_p(&differences, seed),
        n: differences.len(),
    })
}

fn groups(
    a: &BTreeMap<String, Estimates>,
    b: &BTreeMap<String, Estimates>,
) -> BTreeMap<String, ByName> {
    a.iter()
        .filter_map(|(name, a)| Some((name.clone(), unpaired(a, b.get(name)?))))
        .collect()
}

fn unpaired(a: &Estimates, b: &Estimates) -> ByName {
    a.iter()
        .filter_map(|(name, a)| {
            let b = b.get(name)?;
            let difference = Difference {
                a: a.value,
                b: b.value,
                difference: b.value - a.value,
                low: None,
                high: None,
                p: interval_p(*a, *b),
                n: a.n.min(b.n),
            };
            Some((name.clone(), difference))
        })
        .collect()
}

/// The settings that differ, and of the suites whether they do.
fn differing(a: &SavedRun, b: &SavedRun) -> anyhow::Result<Vec<Differing>> {
    let of = |run: &SavedRun| serde_json::to_value(&run.run.run.configuration);
    let mut found = Vec::new();
    walk("", &of(a)?, &of(b)?, &mut found);
    Ok(found)
}

fn walk(path: &str, a: &Value, b: &Value, found: &mut Vec<Differing>) {
    if a == b {
        return;
    }
    if let (Value::Object(first), Value::Object(second)) = (a, b) {
        let names: BTreeSet<&String> = first.keys().chain(second.keys()).collect();
        for name in names {
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            let (a, b) = (first.get(name), second.get(name));
            walk(
                &path,
                a.unwrap_or(&Value::Null),
                b.unwrap_or(&Value::Null),
                found,
            );
        }
        return;
    }
    found.push(Differing {
        setting: path.to_owned(),
        a: a.clone(),
        b: b.clone(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{item, saved};
    use crate::gate::{Gate, Verdict};

    fn judged(comparison: &Comparison) -> Verdict {
        Gate::default().judge(comparison).unwrap()
    }

    /// A run that finds what `found` says.
    fn run(id: &str, found: &[bool]) -> SavedRun {
        let items = found
            .iter()
            .enumerate()
            .map(|(at, found)| {
                item(
                    &format!("q{at}"),
                    &[("recall@5", f64::from(u8::from(*found)))],
                )
            })
            .collect();
        saved(id, items)
    }

    fn pattern(length: usize, found: impl Fn(usize) -> bool) -> Vec<bool> {
        (0..length).map(found).collect()
    }

    #[test]
    fn a_loss_on_many_items_is_significant_and_on_few_is_not() {
        let before = run("before", &pattern(100, |at| at % 10 != 0));
        let worse = run("worse", &pattern(100, |at| at % 10 > 2));
        let comparison = compare(&before, &worse).unwrap();
        let lost = comparison.metrics.overall["recall@5"];
        assert!(comparison.paired && comparison.common == 100);
        assert!((lost.a - 0.9).abs() < 1e-9 && (lost.b - 0.7).abs() < 1e-9);
        assert!(lost.p < 0.001, "{lost:?}");
        assert!(lost.high.unwrap() < 0.0, "{lost:?}");
        assert_eq!(
            comparison.metrics.by_kind["fact"]["recall@5"].p,
            comparison.metrics.by_language["en"]["recall@5"].p
        );
        let verdict = judged(&comparison);
        assert!(!verdict.passed && verdict.checked[0].lost);

        let alike = run("alike", &pattern(100, |at| at % 10 != 0 && at != 5));
        let comparison = compare(&before, &alike).unwrap();
        assert!(judged(&comparison).passed);
        // A gain is no loss, however significant.
        let comparison = compare(&worse, &before).unwrap();
        assert!(comparison.metrics.overall["recall@5"].p < 0.001);
        assert!(judged(&comparison).passed);
    }

    #[test]
    fn only_common_items_are_compared() {
        let mut a = run("a", &pattern(6, |_| true));
        let b = run("b", &pattern(4, |_| false));
        let comparison = compare(&a, &b).unwrap();
        assert_eq!(
            (comparison.common, comparison.only_a, comparison.only_b),
            (4, 2, 0)
        );
        assert_eq!(comparison.metrics.overall["recall@5"].a, 1.0);
        for item in a.items.iter_mut().flatten() {
            item.id.push('x');
        }
        let error = compare(&a, &b).unwrap_err().to_string();
        assert!(error.contains("in common"), "{error}");
    }

    #[test]
    fn figures_alone_are_compared_by_their_intervals() {
        let mut before = run("before", &pattern(400, |at| at % 10 != 0));
        before.items = None;
        let worse = run("worse", &pattern(400, |at| at % 10 > 2));
        let comparison = compare(&before, &worse).unwrap();
        assert!(!comparison.paired);
        assert!(!judged(&comparison).passed);
        let alike = run("alike", &pattern(400, |at| at % 10 != 1));
        let comparison = compare(&before, &alike).unwrap();
        assert!(judged(&comparison).passed);
    }

    #[test]
    fn of_wrong_answers_more_is_a_loss() {
        let with = |id: &str, wrong: f64| {
            saved(
                id,
                (0..40)
                    .map(|at| item(&format!("q{at}"), &[("wrongly_answered", wrong)]))
                    .collect(),
            )
        };
        let comparison = compare(&with("a", 0.0), &with("b", 1.0)).unwrap();
        assert!(!judged(&comparison).passed);
        let comparison = compare(&with("a", 1.0), &with("b", 0.0)).unwrap();
        assert!(judged(&comparison).passed);
    }

    #[test]
    fn what_differs_is_told() {
        let a = run("a", &[true]);
        let mut b = run("b", &[true]);
        b.run.run.configuration.retrieval =
            serde_json::json!({ "top_k": 6, "weights": { "dense": 0.5 } });
        let comparison = compare(&a, &b).unwrap();
        let told: Vec<_> = comparison
            .differs
            .iter()
            .map(|differing| differing.setting.as_str())
            .collect();
        assert_eq!(told, ["retrieval.weights.dense"]);
    }
}
