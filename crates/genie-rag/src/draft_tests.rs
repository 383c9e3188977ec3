//! What is let through of a draft, on fakes: whether a sentence is near its
//! quote depends on common words, and the language model says what it is told.

use std::ops::ControlFlow;
use std::sync::Arc;

use genie_core::{
    Answer, AnswerConfig, Fusion, FusionWeights, HandOverConfig, Language, RerankConfig,
    RetrievalConfig, Style,
};
use genie_ingest::{ChunkOptions, Limits, Source};
use genie_testkit::{FakeEmbed, FakeGenerate, FakeLexical, MemoryStore};

use super::repeats;
use crate::{AnswerEvent, Engine, EngineParts, Indexer, Question, RagError};

const TEXT: &str = "Submarine cables carry nearly all traffic between continents. \
    A ship repairs a damaged submarine cable within about ten days. \
    Anchors and fishing cause most of the damage.\n";
const QUESTION: &str = "How long does a ship take to repair a submarine cable?";
/// Near the second sentence of the text, not in it.
const CLAIM: &str = "A ship repairs a damaged submarine cable within ten days or so";
const YES: &[f32] = &[-0.01, -5.0];
const NO: &[f32] = &[-5.0, -0.01];

fn answer(generate: FakeGenerate) -> Answer {
    answer_from(TEXT, QUESTION, generate)
}

fn answer_from(text: &str, question: &str, generate: FakeGenerate) -> Answer {
    answer_in(Style::Usual, text, question, generate)
}

fn answer_in(style: Style, text: &str, question: &str, generate: FakeGenerate) -> Answer {
    engine_in(style, text, generate)
        .answer(Question::new(question), &mut |_| ControlFlow::Continue(()))
        .expect("answered")
}

fn engine_in(style: Style, text: &str, generate: FakeGenerate) -> Engine {
    let (embed, lexical) = (Arc::new(FakeEmbed::new()), Arc::new(FakeLexical::new()));
    let store = Arc::new(MemoryStore::new());
    let indexer = Indexer {
        embed: embed.clone(),
        lexical: lexical.clone(),
        tokens: Some(embed.clone()),
        store: store.clone(),
        limits: Limits::default(),
        options: ChunkOptions::default(),
    };
    let source = Source {
        uri: "cables.txt",
        bytes: text.as_bytes(),
        media_type: None,
    };
    indexer.index(&source, &mut |_| true).expect("indexed");
    Engine::new(EngineParts {
        tokens: Some(embed.clone()),
        embed,
        lexical,
        store,
        generate: Some(Arc::new(generate)),
        retrieval: RetrievalConfig {
            top_k: 3,
            candidates: 10,
            fusion: Fusion::default(),
            weights: FusionWeights {
                dense: 1.0,
                lexical: 1.0,
            },
            min_similarity: 0.0,
            rerank: RerankConfig::default(),
        },
        answer: AnswerConfig {
            context_tokens: 500,
            sentences: 3,
            max_tokens: 100,
            style,
            languages: Vec::new(),
            hand_over: HandOverConfig::default(),
        },
    })
}

fn says(text: &str) -> FakeGenerate {
    FakeGenerate::new().answering(text)
}

#[test]
fn what_its_quote_says_is_shown_with_the_quote() {
    let answer = answer(says(&format!("{CLAIM} [1].")).choosing(YES).choosing(YES));
    assert!(answer.answered);
    assert_eq!(answer.text, format!("{CLAIM} [1]."));
    assert_eq!(
        answer.citations[0].quote,
        "A ship repairs a damaged submarine cable within about ten days."
    );
}

#[test]
fn confidence_is_that_of_the_least_supported_sentence() {
    let odds = |logit: f32| [-0.01, -0.01 - logit];
    let two = format!("{CLAIM} [1]. Anchors and fishing cause most of all the damage [1].");
    let confidence = |first: f32, second: f32| {
        let generate = says(&two).choosing(YES);
        let generate = generate.choosing(&odds(first)).choosing(&odds(second));
        let answer = answer(generate);
        assert_eq!(answer.citations.len(), 2, "{}", answer.text);
        answer.confidence.expect("it is answered")
    };
    assert!(confidence(2.0, 2.0) < confidence(8.0, 8.0));
    assert_eq!(confidence(8.0, 2.0), confidence(2.0, 8.0));
    assert_eq!(confidence(8.0, 2.0), confidence(2.0, 2.0));
}

#[test]
fn whoever_leaves_does_not_wait_for_the_models_choice() {
    let engine = engine_in(Style::Usual, TEXT, says(CLAIM));
    let mut sources = 0;
    let left = engine.answer(Question::new(QUESTION), &mut |event| match event {
        AnswerEvent::Sources(_) => {
            sources += 1;
            ControlFlow::Continue(())
        }
        AnswerEvent::Delta(_) => ControlFlow::Break(()),
    });
    assert!(matches!(left, Err(RagError::Cancelled)), "{left:?}");
    assert_eq!(sources, 1);
}

#[test]
fn a_style_is_asked_for() {
    let last = |style| super::phrases::instruction(Language::French, style);
    assert!(last(Style::Usual).contains("in French, in one or two complete sentences"));
    assert!(last(Style::Brief).contains("one short sentence"));
    assert!(last(Style::List).contains("End each point with the number"));
}

#[test]
fn points_are_shown_with_a_citation_each() {
    let text = "The benefits are these.\n- A ship repairs a damaged cable within ten days\n\
                - Anchors and fishing cause most of the damage to cables\n";
    let said = "- A ship repairs a damaged cable within ten days - Anchors and fishing cause most \
                of the damage to cables [1]";
    let answer = answer_from(text, QUESTION, says(said).choosing(YES));
    assert_eq!(
        answer.text,
        "- A ship repairs a damaged cable within ten days [1]\n\
         - Anchors and fishing cause most of the damage to cables [2]"
    );
    assert_ne!(answer.citations[0].span, answer.citations[1].span);
}

#[test]
fn sentences_of_a_list_are_points() {
    let said = "A ship repairs a damaged submarine cable within about ten days [1]. Anchors and \
                fishing cause most of the damage [1].";
    let answer = answer_in(Style::List, TEXT, QUESTION, says(said).choosing(YES));
    assert_eq!(
        answer.text,
        "- A ship repairs a damaged submarine cable within about ten days [1].\n\
         - Anchors and fishing cause most of the damage [2]."
    );
}

#[test]
fn what_is_only_near_its_quote_is_dropped() {
    let answer = answer(says(&format!("{CLAIM} [1].")).choosing(YES).choosing(NO));
    assert_is_quoted(&answer, CLAIM);
}

#[test]
fn what_does_not_hold_is_replaced_by_the_documents_words() {
    let answer = answer(says(&format!("{CLAIM} [1].")).choosing(YES).choosing(NO));
    assert!(answer.answered);
    assert!(answer.text.contains("within about ten days.” [1]"));
    let quote = &answer.citations[0].quote;
    assert!(TEXT.contains(quote.as_str()), "{quote}");
    assert!(!answer.degraded);
}

#[test]
fn nothing_is_quoted_where_the_model_doubts_that_the_passages_answer() {
    // A little more than even.
    let unsure = &[-0.6, -0.8];
    let answer = answer(says(&format!("{CLAIM} [1].")).choosing(unsure).choosing(NO));
    assert!(!answer.answered, "{}", answer.text);
    assert!(answer.citations.is_empty());
}

const ASKED: &str = "¿Cuánto tarda un buque en reparar un cable submarino dañado?";
const MEANT: &str = "Un buque repara un cable submarino dañado en unos diez días más";

#[test]
fn a_quote_in_another_language_is_translated() {
    // To fakes only the same words are near, so the English text has the
    // sentence in Spanish.
    let text =
        format!("{TEXT}{TEXT}Un buque repara un cable submarino dañado en unos diez días.\n");
    // The draft does not hold, the translation of the quote does.
    let model = says(&format!("{MEANT} [1]."))
        .answering(&format!("{MEANT}."))
        .choosing(YES)
        .choosing(NO)
        .choosing(YES);
    let answer = answer_from(&text, ASKED, model);
    assert_eq!(answer.language, Language::Spanish);
    assert_eq!(answer.text, format!("{MEANT} [1]."));
    assert!(answer.citations[0].quote.contains("en unos diez días."));
}

#[test]
fn a_translation_that_does_not_hold_is_not_shown_and_neither_is_the_quote() {
    let model = says(&format!("{MEANT} [1]."))
        .answering(&format!("{MEANT}."))
        .choosing(YES);
    let answer = answer_from(TEXT, ASKED, model);
    assert!(!answer.answered, "{}", answer.text);
    assert!(answer.citations.is_empty());
    // It was written, beside the draft.
    let words = MEANT.split(' ').count();
    assert!(
        answer.usage.completion_tokens >= 2 * words,
        "{:?}",
        answer.usage
    );
}

/// The claim is not there, the document's own words are.
#[track_caller]
fn assert_is_quoted(answer: &Answer, claim: &str) {
    assert!(!answer.text.contains(claim), "{}", answer.text);
    assert!(answer.text.starts_with("The document says: “"));
    for citation in &answer.citations {
        assert!(answer.text.contains(&citation.quote), "{}", answer.text);
    }
}

#[test]
fn a_doubtful_sentence_needs_passages_that_surely_answer() {
    // Odds of 4 to 1 that the quote says it, and of 150 to 1 or a little more
    // than even that the passages answer.
    let doubtful = &[-0.22, -1.61];
    let sure = answer(
        says(&format!("{CLAIM} [1]."))
            .choosing(YES)
            .choosing(doubtful),
    );
    assert!(sure.answered);
    let unsure = &[-0.6, -0.8];
    let neither = answer(
        says(&format!("{CLAIM} [1]."))
            .choosing(unsure)
            .choosing(doubtful),
    );
    assert!(!neither.answered, "{}", neither.text);
}

#[test]
fn the_model_is_not_asked_about_what_stands_in_the_passage() {
    let sentence = "A ship repairs a damaged submarine cable within about ten days";
    let answer = answer(says(&format!("{sentence} [1].")).choosing(YES).choosing(NO));
    assert_eq!(answer.text, format!("{sentence} [1]."));
}

#[test]
fn nothing_is_written_where_the_model_finds_no_answer() {
    let generate = says(&format!("{CLAIM} [1].")).choosing(NO);
    let answer = answer(generate);
    assert!(!answer.answered);
    assert_eq!(answer.usage.completion_tokens, 0);
}

#[test]
fn a_figure_that_no_passage_has_is_dropped_whatever_the_model_holds() {
    let claim = "A ship repairs a damaged submarine cable within 14 days";
    assert_is_quoted(&answer(says(&format!("{claim} [1]."))), claim);
}

#[test]
fn a_wrong_number_is_repaired_to_the_passage_that_says_it() {
    let answer = answer(says(&format!("{CLAIM} [7].")));
    assert_eq!(answer.text, format!("{CLAIM} [1]."));
}

#[test]
fn a_figure_of_another_sentence_is_not_taken_for_the_quotes() {
    // 40 stands in the passage and counts something else.
    let far = "They are old. They are spread over all oceans. The fleet has 40 ships.";
    let text = format!("{TEXT}\n{far}\n");
    let claim = "A ship repairs a damaged submarine cable within 40 days";
    let answer = answer_from(&text, QUESTION, says(&format!("{claim} [1].")));
    assert_is_quoted(&answer, claim);
}

#[test]
fn a_sentence_in_which_a_marker_stands_for_a_word_is_no_answer() {
    for said in [
        "A ship that repairs a damaged submarine cable within ten days is [1].",
        "A ship repairs a damaged submarine cable at [1] to be on time in ten days.",
    ] {
        let claim = said.split(" [1]").next().unwrap_or(said);
        assert_is_quoted(&answer(says(said)), claim);
    }
    // Here nothing is missing without it.
    let whole = answer(says(&CLAIM.replace(" damaged", " [1] damaged")));
    assert!(whole.text.starts_with(CLAIM), "{}", whole.text);
    let named = answer(says(&format!("{CLAIM} with plan A [1].")));
    assert!(named.text.starts_with(CLAIM), "{}", named.text);
}

#[test]
fn the_question_said_again_is_no_answer() {
    let claim = "The ship takes long to repair a submarine cable";
    assert_is_quoted(&answer(says(&format!("{claim} [1]."))), claim);
    // But it is one to a question that asks for yes or no.
    let question = "Do submarine cables carry nearly all traffic between continents?";
    let said = "Submarine cables carry nearly all traffic between continents [1].";
    assert!(answer_from(TEXT, question, says(said)).answered);
}

#[test]
fn a_short_name_is_more_than_the_question() {
    let question = "Which agency coordinates the early warning initiative?";
    let repeats = |claim| repeats(claim, question, Language::English);
    assert!(repeats(
        "The agency coordinates the early warning initiative."
    ));
    assert!(!repeats("ITU coordinates the early warning initiative."));
    assert!(!repeats(
        "3 agencies coordinate the early warning initiative."
    ));
    let question = "ما البلد الذي يستضيف القمة؟";
    let repeats = |claim| super::repeats(claim, question, Language::Arabic);
    assert!(repeats("البلد الذي يستضيف القمة"));
    assert!(!repeats("البلد الذي يستضيف القمة هو مصر"));
}

#[test]
fn a_question_for_yes_or_no_may_be_said_again() {
    for (question, claim, language) in [
        (
            "Est-ce que GENIE.AI est ouvert ?",
            "GENIE.AI est ouvert.",
            Language::French,
        ),
        (
            "هل المشروع من الأمم المتحدة؟",
            "المشروع من الأمم المتحدة",
            Language::Arabic,
        ),
        (
            "Правда, что проект открыт?",
            "Проект открыт.",
            Language::Russian,
        ),
    ] {
        assert!(!repeats(claim, question, language), "{question}");
    }
}

#[test]
fn a_draft_that_goes_in_circles_is_stopped_and_its_beginning_kept() {
    let answer = answer(says(&format!(
        "{CLAIM} [1]. {CLAIM} [1]. {CLAIM} [1]. End."
    )));
    assert_eq!(answer.text, format!("{CLAIM} [1]."));
    assert!(
        answer.usage.completion_tokens < 3 * 14,
        "{:?}",
        answer.usage
    );
}
