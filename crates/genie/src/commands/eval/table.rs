//! Runs and comparisons for people.

use std::collections::{BTreeMap, BTreeSet};

use genie_eval::{
    ByName, Checked, Comparison, Estimates, Lesson, Run, State, Tuning, Verdict, in_order,
};

/// Questions that are named where they missed a mark; the JSON and the report
/// have all.
const NAMED: usize = 8;

/// Metrics at other ranks are in the JSON.
fn is_usual(name: &str) -> bool {
    name.split_once('@')
        .is_none_or(|(_, rank)| matches!(rank, "1" | "5" | "10"))
}

/// A run's figures.
pub(super) fn run(run: &Run) -> String {
    let mut text = format!("{}: {} items of {}\n\n", run.run.id, run.items, run.suite);
    let mut rows = vec![words(&["", "value", "95 % interval", "items"])];
    for name in in_order(run.metrics.overall.keys()) {
        if let Some(estimate) = run.metrics.overall.get(name) {
            rows.push(vec![
                name.to_owned(),
                format!("{:.3}", estimate.value),
                format!("{:.3} to {:.3}", estimate.low, estimate.high),
                estimate.n.to_string(),
            ]);
        }
    }
    text.push_str(&columns(&rows));
    text.push_str(&missed(run));
    text.push_str(&groups("by kind", &run.metrics.by_kind));
    text.push_str(&groups("by language", &run.metrics.by_language));
    if !run.latency_ms.is_empty() {
        let mut rows = vec![words(&["milliseconds", "p50", "p95", "p99", "times"])];
        for (name, time) in &run.latency_ms {
            rows.push(vec![
                name.clone(),
                format!("{:.1}", time.p50),
                format!("{:.1}", time.p95),
                format!("{:.1}", time.p99),
                time.n.to_string(),
            ]);
        }
        text.push('\n');
        text.push_str(&columns(&rows));
    }
    text
}

/// The questions that missed a mark, a few of them by their ids.
fn missed(run: &Run) -> String {
    let mut text = String::new();
    for (mark, ids) in &run.missed {
        let named: Vec<&str> = ids.iter().take(NAMED).map(String::as_str).collect();
        let more = match ids.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let (count, named) = (ids.len(), named.join(", "));
        text.push_str(&format!("\nmissed {mark}: {count}: {named}{more}"));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

fn groups(what: &str, groups: &BTreeMap<String, Estimates>) -> String {
    let names: BTreeSet<&String> = groups.values().flat_map(BTreeMap::keys).collect();
    let names: Vec<&str> = in_order(names)
        .into_iter()
        .filter(|name| is_usual(name))
        .collect();
    if names.is_empty() {
        return String::new();
    }
    let mut rows = vec![words(&[what])];
    rows[0].extend(names.iter().map(|name| (*name).to_owned()));
    rows[0].push("items".to_owned());
    for (group, estimates) in groups {
        let mut row = vec![group.clone()];
        row.extend(names.iter().map(|name| {
            estimates
                .get(*name)
                .map_or_else(|| "–".to_owned(), |e| format!("{:.3}", e.value))
        }));
        let items = estimates.values().map(|estimate| estimate.n).max();
        row.push(items.unwrap_or(0).to_string());
        rows.push(row);
    }
    format!("\n{}", columns(&rows))
}

/// What differs between two runs.
pub(super) fn comparison(comparison: &Comparison) -> String {
    let mut text = heading(comparison);
    for differing in &comparison.differs {
        text.push_str(&format!(
            "  {}: {} → {}\n",
            differing.setting, differing.a, differing.b
        ));
    }
    text.push_str(&differences("overall", &comparison.metrics.overall));
    let groups = [
        ("kind", &comparison.metrics.by_kind),
        ("language", &comparison.metrics.by_language),
    ];
    for (what, groups) in groups {
        for (name, by_name) in groups {
            text.push_str(&differences(&format!("{what} {name}"), by_name));
        }
    }
    text
}

fn heading(comparison: &Comparison) -> String {
    let how = if comparison.paired {
        format!(
            "{} common items, {} and {} others, paired permutation test",
            comparison.common, comparison.only_a, comparison.only_b
        )
    } else {
        "the items of one are not known: p is from intervals".to_owned()
    };
    format!("{} → {}\n{how}\n", comparison.a, comparison.b)
}

fn differences(what: &str, by_name: &ByName) -> String {
    let mut rows = vec![words(&[
        what,
        "before",
        "after",
        "difference",
        "95 % interval",
        "p",
        "items",
    ])];
    for name in in_order(by_name.keys()).into_iter().filter(|n| is_usual(n)) {
        let Some(difference) = by_name.get(name) else {
            continue;
        };
        let interval = match (difference.low, difference.high) {
            (Some(low), Some(high)) => format!("{low:+.3} to {high:+.3}"),
            _ => "–".to_owned(),
        };
        rows.push(vec![
            name.to_owned(),
            format!("{:.3}", difference.a),
            format!("{:.3}", difference.b),
            format!("{:+.3}", difference.difference),
            interval,
            format!("{:.4}", difference.p),
            difference.n.to_string(),
        ]);
    }
    format!("\n{}", columns(&rows))
}

/// What a gate found.
pub(super) fn verdict(comparison: &Comparison, verdict: &Verdict) -> String {
    let mut text = heading(comparison);
    let mut rows = vec![words(&["", "before", "after", "difference", "p", ""])];
    for checked in &verdict.checked {
        rows.push(vec![
            named(checked),
            format!("{:.3}", checked.difference.a),
            format!("{:.3}", checked.difference.b),
            format!("{:+.3}", checked.difference.difference),
            format!("{:.4}", checked.p_adjusted),
            if checked.lost { "LOST" } else { "ok" }.to_owned(),
        ]);
    }
    text.push('\n');
    text.push_str(&columns(&rows));
    let lost = verdict.checked.iter().filter(|checked| checked.lost);
    let lost: Vec<String> = lost.map(named).collect();
    text.push_str(&if lost.is_empty() {
        format!("\nno significant loss (alpha {})\n", verdict.alpha)
    } else {
        format!(
            "\nsignificant loss (alpha {}): {}\n",
            verdict.alpha,
            lost.join(", ")
        )
    });
    text
}

/// The metric, and of whom.
fn named(checked: &Checked) -> String {
    match &checked.group {
        Some(group) => format!("{} ({group})", checked.metric),
        None => checked.metric.clone(),
    }
}

/// What was learnt.
pub(super) fn lesson(lesson: &Lesson) -> String {
    let described = |tuning: &Tuning| {
        format!(
            "{}, dense {}, lexical {}, lexical bonus {}",
            tuning.fusion.as_str(),
            tuning.weights.dense,
            tuning.weights.lexical,
            tuning.lexical_bonus
        )
    };
    let gain = lesson.gain;
    let mut text = format!(
        "{} combinations on {} questions, {}\n\n",
        lesson.tried, gain.n, lesson.metric
    );
    text.push_str(&columns(&[
        vec![
            "configured".to_owned(),
            format!("{:.3}", lesson.before),
            described(&lesson.configured),
        ],
        vec![
            "best on all".to_owned(),
            format!("{:.3}", lesson.fitted),
            described(&lesson.best),
        ],
    ]));
    for (number, tuning) in lesson.by_fold.iter().enumerate() {
        text.push_str(&format!(
            "without fold {}: {}\n",
            number + 1,
            described(tuning)
        ));
    }
    text.push_str(&format!(
        "\ngain on questions left out: {:+.3}, 95 % interval {:+.3} to {:+.3}, p {:.4}\n",
        gain.value, gain.low, gain.high, lesson.p
    ));
    if gain.low <= 0.0 {
        text.push_str(
            "that may be chance: the configured weights are as good as far as this tells\n",
        );
    }
    text
}

/// Recorded runs, oldest first.
pub(super) fn runs(runs: &[Run]) -> String {
    let mut rows = vec![words(&[
        "run", "state", "items", "recall@1", "recall@5", "right", "suite",
    ])];
    for run in runs {
        let shown = |name: &str| {
            run.metrics
                .overall
                .get(name)
                .map_or_else(|| "–".to_owned(), |e| format!("{:.3}", e.value))
        };
        rows.push(vec![
            run.run.id.clone(),
            match run.run.state {
                State::Finished => "finished",
                State::Unfinished => "unfinished",
            }
            .to_owned(),
            run.items.to_string(),
            shown("recall@1"),
            shown("recall@5"),
            shown("right"),
            run.suite.clone(),
        ]);
    }
    columns(&rows)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Rows under each other; all columns but the first to the right.
fn columns(rows: &[Vec<String>]) -> String {
    let width = |text: &String| text.chars().count();
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (known, cell) in widths.iter_mut().zip(row) {
            *known = (*known).max(width(cell));
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if at == 0 {
                line.push_str(&format!("{cell:<width$}"));
            } else {
                line.push_str(&format!("  {cell:>width$}"));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = vec![words(&["", "value"]), words(&["recall@1", ".9"])];
        assert_eq!(columns(&rows), "          value\nrecall@1     .9\n");
    }

    #[test]
    fn usual_metrics_are_those_at_small_ranks_and_of_answers() {
        let shown: Vec<_> = ["recall@1", "recall@20", "right", "mrr@10"]
            .into_iter()
            .filter(|name| is_usual(name))
            .collect();
        assert_eq!(shown, ["recall@1", "right", "mrr@10"]);
    }
}
