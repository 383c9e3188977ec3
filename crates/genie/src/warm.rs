//! The first searches of a process, done before anybody waits for them.

use genie_core::{Filter, Lexical as _, TextRole};
use genie_embed::LexicalAnalyzer;
use genie_rag::{Engine, SearchRequest};

/// A question in each language that texts are analysed in: what is made ready
/// for a language is made ready when it first comes. The lengths differ, for
/// memory is first taken for each.
const QUESTIONS: [&str; 6] = [
    "What is an Internet exchange point?",
    "Comment une station d'atterrissement relie-t-elle un câble sous-marin au réseau terrestre du \
     pays, et qui en est responsable ?",
    "¿Quién concede licencias de espectro?",
    "ما هي نقطة تبادل الإنترنت وكيف تعمل؟",
    "Как корабль поднимает повреждённый подводный кабель и сращивает его снова?",
    "互联网交换中心是什么？",
];

/// Lets the analysers of texts read what they know words by, which they keep
/// for the process. That needs neither a model nor the index.
pub(crate) fn read_dictionaries() {
    let analyzer = LexicalAnalyzer::new();
    for query in QUESTIONS {
        analyzer.lexical(TextRole::Query, query, None);
    }
}

/// Searches a few times, so that models, analysers and the index have been
/// read and have taken their memory. A failure here is told to whoever asks
/// first.
pub(crate) fn warm_up(engine: &Engine) {
    let begin = std::time::Instant::now();
    for query in QUESTIONS {
        let request = SearchRequest {
            query: query.to_owned(),
            language: None,
            filter: Filter::default(),
            limit: None,
        };
        if let Err(error) = engine.search(request) {
            tracing::debug!(%error, "warming up failed");
        }
    }
    tracing::debug!(took = ?begin.elapsed(), "warmed up");
}
