//! Tables and charts of figures.

use std::collections::{BTreeMap, BTreeSet};

use super::chart::{Bar, Row, Scale, bars};
use super::html::{Table, escape};
use crate::compare::ByName;
use crate::record::SavedRun;
use crate::run::{Estimates, Run, in_order};
use crate::statistics::Estimate;

/// Metrics that tables of groups show, as far as a run has them.
const SHORT: [&str; 8] = [
    "recall@1",
    "recall@5",
    "recall@10",
    "mrr@10",
    "ndcg@10",
    "right",
    "refused_rightly",
    "citation_accuracy",
];

/// All metrics over all questions.
pub(super) fn overall(runs: &[SavedRun]) -> String {
    let overall: Vec<&Estimates> = runs.iter().map(|run| &run.run.metrics.overall).collect();
    let names = in_order(overall.iter().flat_map(|estimates| estimates.keys()));
    let rows: Vec<(String, Vec<Option<Estimate>>)> = names
        .iter()
        .map(|name| {
            let cells = overall.iter().map(|e| e.get(*name).copied()).collect();
            ((*name).to_owned(), cells)
        })
        .collect();
    format!(
        "<h2>Overall</h2>\n{}{}",
        estimates_table("metric", runs, &rows),
        estimates_chart("Metrics over all questions", runs, &rows)
    )
}

type Rows = [(String, Vec<Option<Estimate>>)];

fn estimates_table(what: &str, runs: &[SavedRun], rows: &Rows) -> String {
    let mut table = Table::new(
        "Means with 95 % intervals by bootstrap over clusters of questions, those of one document",
        &header(what, runs),
    );
    for (name, cells) in rows {
        let cells: Vec<String> = cells
            .iter()
            .map(|cell| cell.map_or_else(|| "–".to_owned(), shown))
            .collect();
        table.row(name, &cells);
    }
    table.finish()
}

fn shown(estimate: Estimate) -> String {
    format!(
        "{:.3} ({:.3}–{:.3}), n = {}",
        estimate.value, estimate.low, estimate.high, estimate.n
    )
}

fn estimates_chart(title: &str, runs: &[SavedRun], rows: &Rows) -> String {
    let rows: Vec<Row> = rows
        .iter()
        .map(|(name, cells)| Row {
            label: name.clone(),
            bars: cells
                .iter()
                .map(|cell| {
                    cell.map(|cell| Bar {
                        value: cell.value,
                        interval: Some((cell.low, cell.high)),
                    })
                })
                .collect(),
        })
        .collect();
    let series: Vec<String> = runs.iter().map(|run| run.run.run.id.clone()).collect();
    bars(title, &series, &rows, Scale::Share)
}

type GroupsOf = fn(&Run) -> &BTreeMap<String, Estimates>;

/// A table and a chart for each metric that matters, one row a group.
pub(super) fn grouped(heading: &str, runs: &[SavedRun], groups: GroupsOf) -> String {
    let names: BTreeSet<&String> = runs
        .iter()
        .flat_map(|run| groups(&run.run).keys())
        .collect();
    if names.is_empty() {
        return String::new();
    }
    let mut text = format!("<h2>{}</h2>\n", escape(heading));
    for metric in SHORT {
        let rows: Vec<(String, Vec<Option<Estimate>>)> = names
            .iter()
            .map(|name| {
                let cells = runs
                    .iter()
                    .map(|run| groups(&run.run).get(*name)?.get(metric).copied())
                    .collect::<Vec<_>>();
                ((*name).clone(), cells)
            })
            .filter(|(_, cells)| cells.iter().any(Option::is_some))
            .collect();
        if rows.is_empty() {
            continue;
        }
        text.push_str(&format!("<h3>{}</h3>\n", escape(metric)));
        text.push_str(&estimates_table("", runs, &rows));
        text.push_str(&estimates_chart(
            &format!("{metric}, {}", heading.to_lowercase()),
            runs,
            &rows,
        ));
    }
    text
}

/// How long it took.
pub(super) fn times(runs: &[SavedRun]) -> String {
    let names: BTreeSet<&String> = runs
        .iter()
        .flat_map(|run| run.run.latency_ms.keys())
        .collect();
    if names.is_empty() {
        return String::new();
    }
    let mut table = Table::new("Milliseconds: p50, p95, p99", &header("", runs));
    let mut rows = Vec::new();
    for name in names {
        let of = |run: &SavedRun| run.run.latency_ms.get(name).copied();
        let cells: Vec<String> = runs
            .iter()
            .map(|run| {
                of(run).map_or_else(
                    || "–".to_owned(),
                    |p| format!("{:.1}, {:.1}, {:.1} (n = {})", p.p50, p.p95, p.p99, p.n),
                )
            })
            .collect();
        table.row(name, &cells);
        rows.push(Row {
            label: name.clone(),
            bars: runs
                .iter()
                .map(|run| {
                    of(run).map(|p| Bar {
                        value: p.p50,
                        interval: Some((p.p50, p.p95)),
                    })
                })
                .collect(),
        });
    }
    let series: Vec<String> = runs.iter().map(|run| run.run.run.id.clone()).collect();
    format!(
        "<h2>Times</h2>\n{}{}",
        table.finish(),
        bars(
            "Medians in milliseconds, whiskers up to the 95th percentile",
            &series,
            &rows,
            Scale::Milliseconds
        )
    )
}

/// A table of differences.
pub(super) fn differences(caption: &str, by_name: &ByName) -> String {
    let mut table = Table::new(
        caption,
        &["metric", "before", "after", "difference", "p", "n"].map(str::to_owned),
    );
    for name in in_order(by_name.keys()) {
        let Some(difference) = by_name.get(name) else {
            continue;
        };
        let interval = match (difference.low, difference.high) {
            (Some(low), Some(high)) => format!(" ({low:+.3} to {high:+.3})"),
            _ => String::new(),
        };
        table.row(
            name,
            &[
                format!("{:.3}", difference.a),
                format!("{:.3}", difference.b),
                format!("{:+.3}{interval}", difference.difference),
                format!("{:.4}", difference.p),
                difference.n.to_string(),
            ],
        );
    }
    table.finish()
}

/// The first row: one column a run.
pub(super) fn header(first: &str, runs: &[SavedRun]) -> Vec<String> {
    std::iter::once(first.to_owned())
        .chain(runs.iter().map(|run| run.run.run.id.clone()))
        .collect()
}
