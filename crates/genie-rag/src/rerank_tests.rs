use std::sync::Arc;

use genie_core::{
    AnswerConfig, Fusion, FusionWeights, HandOverConfig, RerankConfig, RetrievalConfig, Style,
};
use genie_testkit::{FakeEmbed, FakeLexical, MemoryStore};

use super::*;
use crate::engine::EngineParts;

fn engine() -> Engine {
    with(RerankConfig::default())
}

fn with(rerank: RerankConfig) -> Engine {
    Engine::new(EngineParts {
        embed: Arc::new(FakeEmbed::new()),
        lexical: Arc::new(FakeLexical::new()),
        tokens: Some(Arc::new(FakeEmbed::new())),
        store: Arc::new(MemoryStore::new()),
        generate: None,
        retrieval: RetrievalConfig {
            top_k: 5,
            candidates: 20,
            fusion: Fusion::default(),
            weights: FusionWeights {
                dense: 1.0,
                lexical: 1.0,
            },
            min_similarity: 0.2,
            rerank,
        },
        answer: AnswerConfig {
            context_tokens: 1000,
            sentences: 3,
            max_tokens: 100,
            style: Style::default(),
            languages: Vec::new(),
            hand_over: HandOverConfig::default(),
        },
    })
}

/// Of seventy texts, three rounds, the last is the query.
fn texts() -> Vec<String> {
    let mut texts: Vec<String> = (0..70).map(|at| format!("text number {at}")).collect();
    texts[69] = "cable repair".to_owned();
    texts
}

const AMPLE: Duration = Duration::from_secs(600);

#[test]
fn texts_in_another_language_make_up_for_their_distance() {
    let texts = [
        "The ministry will report on the new networks of the country next year.",
        "Le ministère fera rapport sur les nouveaux réseaux du pays l'année prochaine.",
    ]
    .map(str::to_owned);
    let scores = |foreign_bonus| {
        let config = RerankConfig {
            foreign_bonus,
            ..RerankConfig::default()
        };
        let ranked = with(config).rerank(
            "What will the ministry say about networks next year?",
            &texts,
            AMPLE,
            &mut || ControlFlow::Continue(()),
        );
        let mut order = ranked.expect("it is ranked").order;
        order.sort_by_key(|(at, _)| *at);
        [order[0].1, order[1].1]
    };
    let (before, after) = (scores(0.0), scores(0.25));
    assert_eq!(after[0], before[0]);
    assert_eq!(after[1], before[1] + 0.25);
}

#[test]
fn all_are_read_where_time_allows() {
    let mut asked = 0;
    let ranked = engine()
        .rerank("cable repair", &texts(), AMPLE, &mut || {
            asked += 1;
            ControlFlow::Continue(())
        })
        .expect("it is ranked");
    assert_eq!((ranked.order.len(), asked), (70, 3));
    assert_eq!(ranked.order[0].0, 69);
    assert!(ranked.unread.is_empty());
    assert_eq!(ranked.tokens, 69 * 3 + 2);
}

#[test]
fn out_of_time_the_rest_is_told() {
    let ranked = engine()
        .rerank("cable repair", &texts(), Duration::ZERO, &mut || {
            ControlFlow::Continue(())
        })
        .expect("it is ranked");
    assert_eq!(ranked.order.len(), 32);
    assert_eq!(ranked.unread, (32..70).collect::<Vec<_>>());
}

#[test]
fn nobody_reads_for_a_caller_who_left() {
    let mut rounds = 0;
    let ended = engine().rerank("cable repair", &texts(), AMPLE, &mut || {
        rounds += 1;
        match rounds {
            1 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    });
    assert!(matches!(ended, Err(RagError::Cancelled)), "{ended:?}");
    assert_eq!(rounds, 2);
}
