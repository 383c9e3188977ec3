//! Whether a run is worse than a baseline.

use anyhow::bail;
use serde::Serialize;

use crate::compare::{ByName, Comparison, Difference};
use crate::run::{in_order, more_is_better};

/// What a gate looks at.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// These metrics; where none is named, those that are the same whatever
    /// the depth (at 1, 5 and 10) and those of answers.
    pub metrics: Vec<String>,
    /// Each language and each kind of question by itself, too.
    pub groups: bool,
    /// The level of significance of all that is looked at together.
    pub alpha: f64,
    /// A part of the baseline's questions, or other questions or documents, may
    /// be judged as well.
    pub partial: bool,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            metrics: Vec::new(),
            groups: false,
            alpha: 0.05,
            partial: false,
        }
    }
}

/// The verdict of a gate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Whether nothing was lost.
    pub passed: bool,
    /// The level of significance.
    pub alpha: f64,
    /// What was looked at, in order.
    pub checked: Vec<Checked>,
}

/// A metric that a gate looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checked {
    /// Its name.
    pub metric: String,
    /// The language or the kind of question; `None` is all of them.
    pub group: Option<String>,
    /// Whether it is significantly worse than in the baseline.
    pub lost: bool,
    /// p, raised for the number of metrics that were looked at (Holm's
    /// method).
    pub p_adjusted: f64,
    /// The difference to the baseline.
    #[serde(flatten)]
    pub difference: Difference,
}

impl Gate {
    /// Looks for significant losses of the second run of a comparison.
    ///
    /// # Errors
    ///
    /// Fails where a named metric is not in both runs, and where the second
    /// run has not all that the first has, unless that is allowed.
    pub fn judge(&self, comparison: &Comparison) -> anyhow::Result<Verdict> {
        if !self.partial {
            comparable(comparison)?;
        }
        let metrics = &comparison.metrics;
        let known = &metrics.overall;
        if let Some(unknown) = self.metrics.iter().find(|name| !known.contains_key(*name)) {
            bail!(
                "there is no {unknown} in both runs; there is {}",
                in_order(known.keys()).join(", ")
            );
        }
        let mut checked = self.of(None, known);
        if self.groups {
            for (name, group) in metrics.by_language.iter().chain(&metrics.by_kind) {
                checked.extend(self.of(Some(name), group));
            }
        }
        adjust(&mut checked);
        for checked in &mut checked {
            let gain = if more_is_better(&checked.metric) {
                checked.difference.difference
            } else {
                -checked.difference.difference
            };
            checked.lost = gain < 0.0 && checked.p_adjusted < self.alpha;
        }
        Ok(Verdict {
            passed: checked.iter().all(|checked| !checked.lost),
            alpha: self.alpha,
            checked,
        })
    }

    /// What is looked at of a group.
    fn of(&self, group: Option<&String>, known: &ByName) -> Vec<Checked> {
        let wanted = |name: &str| {
            if self.metrics.is_empty() {
                is_usual(name)
            } else {
                self.metrics.iter().any(|wanted| wanted == name)
            }
        };
        in_order(known.keys())
            .into_iter()
            .filter(|name| wanted(name))
            .filter_map(|name| Some((name, *known.get(name)?)))
            .map(|(name, difference)| Checked {
                metric: name.to_owned(),
                group: group.cloned(),
                lost: false,
                p_adjusted: difference.p,
                difference,
            })
            .collect()
    }
}

/// How sure answers are is neither good nor bad by itself.
fn is_usual(name: &str) -> bool {
    match name.split_once('@') {
        Some((_, rank)) => matches!(rank, "1" | "5" | "10"),
        None => name != "confidence",
    }
}

/// Whether the second run was asked all that the first was.
fn comparable(comparison: &Comparison) -> anyhow::Result<()> {
    let differs = |setting: &str| {
        let mut differing = comparison.differs.iter();
        differing.any(|differing| differing.setting.ends_with(setting))
    };
    let what = if differs("suite_hash") {
        "other questions".to_owned()
    } else if differs("documents_hash") {
        "other documents".to_owned()
    } else if comparison.paired && comparison.only_a > 0 {
        format!("{} questions less", comparison.only_a)
    } else {
        return Ok(());
    };
    bail!(
        "{} has {what} than the baseline {}; judge it all the same with --partial",
        comparison.b,
        comparison.a
    )
}

/// Holm's method: the smallest p is multiplied by the number of all, the next
/// by one less, and none becomes smaller than the one before it.
fn adjust(checked: &mut [Checked]) {
    let mut order: Vec<usize> = (0..checked.len()).collect();
    order.sort_by(|&left, &right| {
        let p = |at: usize| checked[at].difference.p;
        p(left).total_cmp(&p(right))
    });
    let mut least: f64 = 0.0;
    for (place, &at) in order.iter().enumerate() {
        let raised = checked[at].difference.p * (checked.len() - place) as f64;
        least = least.max(raised).min(1.0);
        checked[at].p_adjusted = least;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::compare;
    use crate::fixtures::{item, saved};
    use crate::record::SavedRun;

    fn run(id: &str, count: usize, found: fn(usize) -> bool) -> SavedRun {
        let items = (0..count).map(|at| {
            let value = f64::from(u8::from(found(at)));
            let mut item = item(&format!("q{at}"), &[("recall@5", value)]);
            item.language = if at % 10 == 0 { "ru" } else { "en" }.to_owned();
            item
        });
        saved(id, items.collect())
    }

    #[test]
    fn what_one_language_loses_the_others_do_not_hide() {
        let before = run("before", 200, |at| at % 7 != 0);
        // Russian is lost, and English gains as much.
        let after = run("after", 200, |at| at % 10 != 0);
        let comparison = compare(&before, &after).unwrap();
        assert!(Gate::default().judge(&comparison).unwrap().passed);
        let groups = Gate {
            groups: true,
            ..Gate::default()
        };
        let verdict = groups.judge(&comparison).unwrap();
        let lost = verdict.checked.iter().filter(|checked| checked.lost);
        let lost: Vec<_> = lost.map(|checked| checked.group.as_deref()).collect();
        assert_eq!(lost, [Some("ru")]);
    }

    #[test]
    fn of_many_metrics_each_has_to_be_surer() {
        let checked = |p| Checked {
            metric: "recall@5".to_owned(),
            group: None,
            lost: false,
            p_adjusted: p,
            difference: Difference {
                a: 1.0,
                b: 0.9,
                difference: -0.1,
                low: None,
                high: None,
                p,
                n: 10,
            },
        };
        let mut all = [0.04, 0.01, 0.02, 0.9].map(checked);
        adjust(&mut all);
        let adjusted = all.map(|checked| (checked.p_adjusted * 1000.0).round() / 1000.0);
        assert_eq!(adjusted, [0.08, 0.04, 0.06, 0.9]);
    }

    #[test]
    fn part_of_a_baseline_is_judged_only_where_that_is_wanted() {
        let before = run("before", 60, |_| true);
        let part = run("part", 40, |_| true);
        let comparison = compare(&before, &part).unwrap();
        let error = Gate::default().judge(&comparison).unwrap_err();
        assert!(error.to_string().contains("20 questions less"), "{error}");
        let partial = Gate {
            partial: true,
            ..Gate::default()
        };
        assert!(partial.judge(&comparison).unwrap().passed);
        let unknown = Gate {
            metrics: vec!["recall@9".to_owned()],
            ..partial
        };
        let error = unknown.judge(&comparison).unwrap_err();
        assert!(error.to_string().contains("recall@5"), "{error}");
    }
}
