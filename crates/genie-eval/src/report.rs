//! Runs as one page of HTML that needs nothing from elsewhere.

mod chart;
mod figures;
mod html;

use std::collections::BTreeSet;

use anyhow::bail;

use self::figures::{differences, grouped, header, overall, times};
use self::html::{Table, escape};
use crate::compare::compare;
use crate::record::SavedRun;
use crate::run::{ItemRecord, Run};

const STYLE: &str = include_str!("report/style.css");

/// Questions of a run that are listed as missed.
const MISSED: usize = 200;

/// The page. With several runs the others are compared with the first.
///
/// # Errors
///
/// Fails without runs, and where runs have nothing in common.
pub fn report(runs: &[SavedRun]) -> anyhow::Result<String> {
    let Some(first) = runs.first() else {
        bail!("a report needs a run");
    };
    let suites: BTreeSet<&str> = runs.iter().map(|run| run.run.suite.as_str()).collect();
    let title = format!(
        "Evaluation: {}",
        suites.into_iter().collect::<Vec<_>>().join(", ")
    );
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n",
        title = escape(&title)
    );
    page.push_str(&made_with(runs));
    page.push_str(&overall(runs));
    page.push_str(&grouped("By kind of question", runs, |run| {
        &run.metrics.by_kind
    }));
    page.push_str(&grouped("By language of the question", runs, |run| {
        &run.metrics.by_language
    }));
    page.push_str(&times(runs));
    for other in runs.iter().skip(1) {
        page.push_str(&against(first, other)?);
    }
    for run in runs {
        page.push_str(&missed(run));
        page.push_str(&wrong(run));
    }
    page.push_str("</main>\n</body>\n</html>\n");
    Ok(page)
}

fn made_with(runs: &[SavedRun]) -> String {
    let mut table = Table::new("What the runs were made with", &header("", runs));
    let mut row = |name: &str, of: &dyn Fn(&Run) -> String| {
        table.row(
            name,
            &runs.iter().map(|run| of(&run.run)).collect::<Vec<_>>(),
        );
    };
    row("suite", &|run| run.suite.clone());
    row("items", &|run| run.items.to_string());
    row("documents", &|run| run.run.configuration.documents.clone());
    row("embedding model", &|run| {
        let model = &run.run.configuration.models.embedding;
        format!("{} ({})", model.name, short(&model.hash))
    });
    row("language model", &|run| {
        run.run.configuration.models.chat.as_ref().map_or_else(
            || "none".to_owned(),
            |model| format!("{} ({})", model.name, short(&model.hash)),
        )
    });
    row("index", &|run| {
        let index = &run.run.configuration.index;
        format!(
            "{} components, lexical {}, chunker {}",
            index.dimension, index.lexical_version, index.chunker_version
        )
    });
    row("retrieval", &|run| {
        run.run.configuration.retrieval.to_string()
    });
    row("passages given", &|run| match run.run.configuration.top_k {
        0 => "not recorded".to_owned(),
        top_k => top_k.to_string(),
    });
    row("passages looked at", &|run| {
        run.run.configuration.depth.to_string()
    });
    row("seed", &|run| run.run.configuration.seed.to_string());
    row("version", &|run| {
        let configuration = &run.run.configuration;
        format!(
            "{} ({})",
            configuration.version,
            short(&configuration.program)
        )
    });
    row("started", &|run| run.run.started.clone());
    row("machine", &|run| {
        format!(
            "{} threads, {}",
            run.run.machine.threads, run.run.machine.device
        )
    });
    table.finish()
}

fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}

fn against(first: &SavedRun, other: &SavedRun) -> anyhow::Result<String> {
    let comparison = compare(first, other)?;
    let mut text = format!(
        "<h2>{} against {}</h2>\n<p>{}</p>\n",
        escape(&comparison.b),
        escape(&comparison.a),
        if comparison.paired {
            format!(
                "{} common questions, paired permutation test.",
                comparison.common
            )
        } else {
            "The questions of one of them are not known; p is from intervals.".to_owned()
        }
    );
    if !comparison.differs.is_empty() {
        let mut table = Table::new(
            "Settings that differ",
            &["setting", &comparison.a, &comparison.b].map(str::to_owned),
        );
        for differing in &comparison.differs {
            table.row(
                &differing.setting,
                &[differing.a.to_string(), differing.b.to_string()],
            );
        }
        text.push_str(&table.finish());
    }
    text.push_str(&differences("Overall", &comparison.metrics.overall));
    for (kind, by_name) in &comparison.metrics.by_kind {
        text.push_str(&differences(&format!("Kind: {kind}"), by_name));
    }
    for (language, by_name) in &comparison.metrics.by_language {
        text.push_str(&differences(&format!("Language: {language}"), by_name));
    }
    Ok(text)
}

/// Questions that did not find all they should at a mark, those that missed
/// most first.
fn missed(run: &SavedRun) -> String {
    let mut items: Vec<(usize, &ItemRecord)> = run
        .items
        .iter()
        .flatten()
        .map(|item| (item.missed().count(), item))
        .filter(|(marks, _)| *marks > 0)
        .collect();
    // Stable: those of one kind keep their order.
    items.sort_by_key(|(marks, _)| std::cmp::Reverse(*marks));
    let columns = [
        "item",
        "missed",
        "language",
        "question",
        "stands in",
        "best rank",
        "all ranks",
        "found first",
    ];
    let mut table = Table::new(
        "What should have been found and was not at these marks",
        &columns.map(str::to_owned),
    );
    for (_, item) in items.iter().take(MISSED) {
        let shown = |rank: &Option<usize>| rank.map_or_else(|| "–".to_owned(), |r| r.to_string());
        let best = item.ranks.iter().copied().flatten().min();
        table.row(
            &item.id,
            &[
                item.missed().collect::<Vec<_>>().join(", "),
                item.language.clone(),
                item.question.clone(),
                item.wanted.join(", "),
                shown(&best),
                item.ranks.iter().map(shown).collect::<Vec<_>>().join(", "),
                item.found.first().cloned().unwrap_or_default(),
            ],
        );
    }
    folded(&format!("Missed by {}", run.run.run.id), items.len(), table)
}

/// Questions that were answered wrongly or not at all.
fn wrong(run: &SavedRun) -> String {
    let is = |item: &ItemRecord, name: &str, value: f64| item.values.get(name) == Some(&value);
    let items: Vec<&ItemRecord> = run
        .items
        .iter()
        .flatten()
        .filter(|item| is(item, "right", 0.0) || is(item, "wrongly_answered", 1.0))
        .collect();
    let mut table = Table::new(
        "Not answered rightly",
        &["item", "language", "question", "all ranks", "answer"].map(str::to_owned),
    );
    for item in items.iter().take(MISSED) {
        let ranks = item.ranks.iter();
        let ranks = ranks.map(|rank| rank.map_or_else(|| "–".to_owned(), |rank| rank.to_string()));
        table.row(
            &item.id,
            &[
                item.language.clone(),
                item.question.clone(),
                ranks.collect::<Vec<_>>().join(", "),
                item.answer.clone().unwrap_or_default(),
            ],
        );
    }
    let name = format!("Not answered rightly by {}", run.run.run.id);
    folded(&name, items.len(), table)
}

/// A table that opens; nothing where there is nothing in it.
fn folded(name: &str, count: usize, table: Table) -> String {
    if count == 0 {
        return String::new();
    }
    let note = match count.saturating_sub(MISSED) {
        0 => String::new(),
        more => format!("<p>{more} more are in items.jsonl of the run.</p>\n"),
    };
    format!(
        "<details>\n<summary>{}: {count}</summary>\n{}{note}</details>\n",
        escape(name),
        table.finish()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{item, saved};

    fn runs() -> [SavedRun; 2] {
        let found = |value| [("recall@1", value), ("recall@5", value), ("mrr@10", value)];
        let mut bad = item("a<b>", &found(0.0));
        bad.question = "Is </table><script>alert(1)</script> a & \"question\"?".to_owned();
        bad.found = vec!["docs/a.md#0-9".to_owned()];
        bad.ranks = vec![None, Some(7)];
        bad.wanted = vec!["docs/b.md".to_owned()];
        [
            saved("first", vec![bad, item("b", &found(1.0))]),
            saved(
                "second <i>",
                vec![item("a<b>", &found(1.0)), item("b", &found(1.0))],
            ),
        ]
    }

    #[test]
    fn the_page_stands_alone_and_escapes_everything() {
        let page = report(&runs()).unwrap();
        for forbidden in [
            "<script", "<i>", "a<b>", "http://", "https://", "<link", "@import",
        ] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        assert!(
            page.contains("&lt;script&gt;alert(1)&lt;/script&gt; a &amp; &quot;question&quot;")
        );
        // Every element that is opened is closed.
        for name in [
            "table", "svg", "details", "h2", "tr", "td", "th", "main", "html",
        ] {
            assert_eq!(
                page.matches(&format!("<{name}")).count()
                    - page.matches(&format!("<{name}ead")).count(),
                page.matches(&format!("</{name}>")).count(),
                "{name}"
            );
        }
    }

    #[test]
    fn the_page_has_figures_charts_with_texts_and_a_comparison() {
        let page = report(&runs()).unwrap();
        for part in [
            "0.500 (",
            "recall@5",
            "Missed by first: 1",
            "<td dir=\"auto\">recall@1, recall@5</td>",
            "<td dir=\"auto\">docs/b.md</td>",
            "<td dir=\"auto\">7</td>",
            "<td dir=\"auto\">–, 7</td>",
            "<td dir=\"auto\">docs/a.md#0-9</td>",
            "second &lt;i&gt; against first",
            "+0.500",
            "12.5",
        ] {
            assert!(page.contains(part), "{part}");
        }
        let charts = page.matches("<svg").count();
        assert!(charts >= 4, "{charts}");
        assert_eq!(charts, page.matches("role=\"img\"").count());
        assert_eq!(charts, page.matches("<desc").count());
        assert!(report(&[]).is_err());
    }
}
