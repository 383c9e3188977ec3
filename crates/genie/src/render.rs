//! Answers and passages for people.

use genie_server::{
    AnswerBody, CitationBody, HandOverBody, LeftOutBody, PassageBody, StageBody, StagesBody,
};

/// Characters of a passage shown in a list.
const EXCERPT: usize = 240;

/// The numbered sources of an answer, or the nearest passages where it has
/// none.
pub(crate) fn sources(answer: &AnswerBody) -> String {
    let mut text = String::new();
    if answer.citations.is_empty() {
        for passage in answer.passages.iter().take(3) {
            text.push_str(&format!("  - {}\n", passage_line(passage)));
        }
        return text;
    }
    for citation in &answer.citations {
        text.push_str(&format!(
            "  [{}] {}\n      « {} »\n",
            citation.number,
            place(citation),
            one_line(&citation.quote, 400),
        ));
    }
    text
}

/// Whom to ask instead or besides; nothing where nobody is named.
pub(crate) fn hand_over(answer: &AnswerBody) -> String {
    match &answer.hand_over {
        Some(HandOverBody { contact, .. }) => format!("A person can help: {contact}\n"),
        None => String::new(),
    }
}

/// A passage in two lines.
pub(crate) fn passage(number: usize, passage: &PassageBody) -> String {
    format!(
        "{number:>2}. {}\n    {}",
        passage_line(passage),
        one_line(&passage.text, EXCERPT)
    )
}

/// How a passage came to its place, on a line of its own.
pub(crate) fn stages(stages: &StagesBody) -> String {
    let stage = |name: &str, stage: Option<StageBody>| match stage {
        Some(StageBody { rank, score }) => format!("{name} {rank} ({score:.4})"),
        None => format!("{name} –"),
    };
    let fusion = stages.fusion;
    let mut text = format!(
        "\n    {}, {}, {} as {} {:.4} + {:.4}, {}",
        stage("meaning", Some(stages.dense)),
        stage("words", stages.lexical),
        stage("both", Some(stages.fused)),
        fusion.method.as_str(),
        fusion.dense,
        fusion.lexical,
        stage("tokens", stages.tokens),
    );
    if let Some(bonus) = stages.bonus {
        text.push_str(&format!(" {bonus:+.4} for words"));
    }
    if let Some(foreign) = stages.foreign {
        text.push_str(&format!(" {foreign:+.4} for another language"));
    }
    if let Some(boost) = stages.boost {
        text.push_str(&format!(
            ", recency {:+.4}, authority {:+.4}",
            boost.recency, boost.authority
        ));
    }
    if stages.scored.is_some() {
        text.push_str(&format!(", {}", stage("after all", stages.scored)));
    }
    if let Some(judged) = stages.judged {
        text.push_str(&format!(", {}", stage("model", Some(judged))));
    }
    text
}

/// Candidates that were left out, with the reasons and how far they came.
pub(crate) fn left_out(all: &[LeftOutBody]) -> String {
    if all.is_empty() {
        return "No candidate was left out.\n".to_owned();
    }
    let mut text = format!("Left out: {}\n", all.len());
    for one in all {
        let of = one.of.as_ref().map_or_else(String::new, |of| {
            format!("{}, characters {} to {}", of.document, of.start, of.end)
        });
        let least = one.least.unwrap_or_default();
        let why = match one.reason.as_str() {
            "repeats" => format!("repeats {of}"),
            "translates" => format!("says in another language what {of} says"),
            "joined" => format!("joined to {of}"),
            "threshold" => format!("scores under {least:.4}"),
            "gap" => format!("behind the widest gap, after {least:.4}"),
            _ => "behind as many as were asked for".to_owned(),
        };
        text.push_str(&format!("  - {}: {why}", passage_line(&one.passage)));
        if let Some(of) = &one.passage.stages {
            text.push_str(&stages(of));
        }
        text.push('\n');
    }
    text
}

/// One closing line: how long it took and with what.
pub(crate) fn timings(answer: &AnswerBody) -> String {
    let seconds = |milliseconds: f64| milliseconds / 1000.0;
    let model = answer.model.as_deref().unwrap_or("no language model");
    let mut text = format!("{:.1} s, {model}", seconds(answer.timings_ms.total));
    if let Some(first) = answer.timings_ms.first_token {
        text.push_str(&format!(", first word after {:.1} s", seconds(first)));
    }
    if let Some(confidence) = answer.confidence {
        text.push_str(&format!(", confidence {:.0} %", confidence * 100.0));
    }
    text
}

fn place(citation: &CitationBody) -> String {
    let mut text = citation.title.clone();
    if !citation.section.is_empty() && citation.section != citation.title {
        text.push_str(&format!(" › {}", citation.section));
    }
    if let Some(page) = citation.page {
        text.push_str(&format!(", p. {page}"));
    }
    format!(
        "{text} ({}, characters {}–{})",
        citation.document, citation.start, citation.end
    )
}

fn passage_line(passage: &PassageBody) -> String {
    let mut text = passage.title.clone();
    if !passage.section.is_empty() && passage.section != passage.title {
        text.push_str(&format!(" › {}", passage.section));
    }
    if let Some(page) = passage.page {
        text.push_str(&format!(", p. {page}"));
    }
    format!(
        "{text} ({}; similarity {:.3})",
        passage.document, passage.similarity
    )
}

fn one_line(text: &str, longest: usize) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > longest {
        line = line.chars().take(longest).collect();
        line.push('…');
    }
    line
}

/// Text from outside, safe for a terminal: control characters could move the
/// cursor or change the window.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}
