//! The final order, on hits made by hand.

use genie_core::{
    Boosts, Cut, Date, EmbedError, Embedding, Fusion, Generate, Hit, Language, LateInteraction,
    Passage, RerankConfig, Shares, TokenCodes, TokenVectors, Tongues,
};
use genie_testkit::{FakeEmbed, FakeGenerate};

use super::Ranking;
use crate::fixtures::hit;
use crate::left_out::{ChunkPlace, LeftOutReason, Sifted};

const BRIDGE: &str = "The bridge over the river was closed for repairs in winter";
const CABLE: &str = "The cable to the island was cut by an anchor last spring";
const TOWER: &str = "A tower on the hill serves the whole valley with radio";

/// Hits in this order, with codes of their words.
fn hits(texts: &[&str]) -> Vec<Hit> {
    let owned: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    let coded = FakeEmbed::new().passages(&owned).expect("never fails");
    texts
        .iter()
        .zip(coded)
        .enumerate()
        .map(|(index, (text, (embedding, tokens)))| Hit {
            score: 1.0 / (61 + index) as f32,
            similarity: 0.9 - index as f32 / 100.0,
            vector: embedding.vector,
            tokens,
            ..hit(&format!("{index}.txt"), text)
        })
        .collect()
}

fn config() -> RerankConfig {
    RerankConfig {
        budget_ms: 60_000,
        ..RerankConfig::default()
    }
}

fn order(hits: Vec<Hit>, query: &str, config: &RerankConfig, limit: usize) -> Vec<Passage> {
    sifted(hits, query, config, limit).kept
}

fn sifted(hits: Vec<Hit>, query: &str, config: &RerankConfig, limit: usize) -> Sifted {
    let model = FakeEmbed::new();
    let (_, tokens): (_, TokenVectors) = model.query(query).expect("never fails");
    Ranking {
        comparison: Some((&model, &tokens)),
        ..ranking(query, config, limit)
    }
    .of(hits)
}

/// Without anything to compare tokens with.
fn ranking<'a>(query: &'a str, config: &'a RerankConfig, limit: usize) -> Ranking<'a> {
    Ranking {
        query,
        language: Language::English,
        asked_in: Some(Language::English),
        today: Date::new(2026, 1, 31),
        fusion: Fusion::Rrf,
        comparison: None,
        generate: None,
        config,
        limit,
    }
}

fn uris(passages: &[Passage]) -> Vec<&str> {
    let uris = passages
        .iter()
        .map(|passage| passage.hit.document.uri.as_str());
    uris.collect()
}

#[test]
fn tokens_decide_and_every_stage_is_told() {
    let found = order(
        hits(&[BRIDGE, TOWER, CABLE]),
        "cut by an anchor",
        &config(),
        3,
    );
    assert_eq!(uris(&found), ["2.txt", "0.txt", "1.txt"]);
    let stages = found[0].stages;
    assert_eq!((stages.fused.rank, stages.dense.rank), (3, 3));
    let tokens = stages.tokens.expect("compared");
    assert_eq!((tokens.rank, tokens.score), (1, 1.0));
    assert_eq!(stages.lexical, None);
    assert_eq!(found[0].hit.score, 1.0);
}

#[test]
fn words_decide_between_equals() {
    let mut hits = hits(&[BRIDGE, TOWER, CABLE]);
    hits[1].lexical = Some(2.0);
    hits[2].lexical = Some(4.0);
    let found = order(hits, "something else entirely", &config(), 3);
    assert_eq!(uris(&found), ["2.txt", "1.txt", "0.txt"]);
    let lexical = found[1].stages.lexical.expect("it has words");
    assert_eq!((lexical.rank, lexical.score), (2, 2.0));
    // Half of what the best match of words adds, on top of the tokens: twice
    // the configured bonus, since everything is in one language.
    let stages = found[1].stages;
    let bonus = stages.bonus.expect("it was compared");
    assert!((bonus - 0.015).abs() < 1e-6, "{bonus}");
    let tokens = stages.tokens.expect("it was compared").score;
    assert_eq!(
        (stages.scored.rank, stages.scored.score),
        (2, tokens + bonus)
    );
    assert_eq!(found[2].stages.bonus, Some(0.0));
}

/// Says in its scores how it was asked.
struct Asked(FakeEmbed);

impl LateInteraction for Asked {
    fn version(&self) -> &str {
        self.0.version()
    }

    fn passages(&self, texts: &[String]) -> Result<Vec<(Embedding, TokenCodes)>, EmbedError> {
        self.0.passages(texts)
    }

    fn query(&self, text: &str) -> Result<(Embedding, TokenVectors), EmbedError> {
        self.0.query(text)
    }

    fn scores(
        &self,
        _: &TokenVectors,
        passages: &[&TokenCodes],
        tongues: Tongues,
    ) -> Vec<Option<f32>> {
        let score = match tongues {
            Tongues::One => 0.25,
            Tongues::Several => 0.75,
        };
        vec![Some(score); passages.len()]
    }
}

#[test]
fn one_passage_in_another_language_makes_several_of_all() {
    let english = Some(Language::English);
    for (languages, score, bonus) in [
        ([english, english], 0.25, 0.03),
        ([english, None], 0.25, 0.03),
        ([english, Some(Language::French)], 0.75, 0.015),
        ([Some(Language::French); 2], 0.75, 0.015),
        ([None, None], 0.75, 0.015),
    ] {
        let mut hits = hits(&[BRIDGE, CABLE]);
        for (hit, language) in hits.iter_mut().zip(languages) {
            hit.chunk.language = language;
        }
        hits[0].lexical = Some(3.0);
        let model = Asked(FakeEmbed::new());
        let (_, tokens) = model.query(CABLE).expect("never fails");
        let config = RerankConfig {
            foreign_bonus: 0.0,
            ..config()
        };
        let ranking = Ranking {
            comparison: Some((&model, &tokens)),
            ..ranking(CABLE, &config, 2)
        };
        let found = ranking.of(hits).kept;
        for passage in &found {
            let tokens = passage.stages.tokens.expect("it was compared");
            assert_eq!(tokens.score, score, "{languages:?}");
        }
        assert_eq!(found[0].stages.bonus, Some(bonus), "{languages:?}");
    }
}

#[test]
fn a_passage_in_another_language_makes_up_for_its_distance() {
    let ranked = |asked_in, languages: [Option<Language>; 3]| {
        let mut hits = hits(&[BRIDGE, TOWER, CABLE]);
        for (hit, language) in hits.iter_mut().zip(languages) {
            hit.chunk.language = language;
        }
        let model = Asked(FakeEmbed::new());
        let (_, tokens) = model.query(CABLE).expect("never fails");
        let config = config();
        let ranking = Ranking {
            comparison: Some((&model, &tokens)),
            asked_in,
            ..ranking(CABLE, &config, 3)
        };
        ranking.of(hits).kept
    };
    let (english, french) = (Some(Language::English), Some(Language::French));
    // All have the same score of tokens, and the order of the hybrid query.
    let found = ranked(english, [english, None, french]);
    assert_eq!(uris(&found), ["2.txt", "0.txt", "1.txt"]);
    let stages = found[0].stages;
    let tokens = stages.tokens.expect("it was compared").score;
    assert_eq!(stages.foreign, Some(0.08));
    assert_eq!(stages.scored.score, tokens + 0.08);
    assert_eq!(found[1].stages.foreign, None);
    assert_eq!(found[2].stages.foreign, None, "nobody knows its language");
    let found = ranked(None, [english, None, french]);
    assert_eq!(uris(&found), ["0.txt", "1.txt", "2.txt"]);
}

#[test]
fn what_has_no_codes_stays_behind_in_its_order() {
    let mut hits = hits(&[BRIDGE, TOWER, CABLE]);
    hits[0].tokens.0.clear();
    hits[1].tokens.0.clear();
    let found = order(hits.clone(), "cable", &config(), 3);
    assert_eq!(uris(&found), ["2.txt", "0.txt", "1.txt"]);
    assert_eq!(found[1].stages.tokens, None);
    let found = ranking("cable", &config(), 2).of(hits).kept;
    assert_eq!(uris(&found), ["0.txt", "1.txt"]);
}

#[test]
fn a_repetition_is_left_out() {
    let again = format!("{BRIDGE}.");
    let found = order(hits(&[BRIDGE, &again, TOWER]), "bridge", &config(), 3);
    assert_eq!(uris(&found), ["0.txt", "2.txt"]);
}

#[test]
fn what_is_left_out_comes_by_its_place_and_says_why() {
    let again = format!("{BRIDGE}.");
    let found = sifted(
        hits(&[BRIDGE, &again, TOWER, CABLE]),
        "the bridge over the river",
        &config(),
        1,
    );
    assert_eq!(uris(&found.kept), ["0.txt"]);
    let ranks: Vec<_> = found
        .left_out
        .iter()
        .map(|left_out| left_out.passage.stages.scored.rank)
        .collect();
    assert_eq!(ranks, [2, 3, 4]);
    let reasons = found.left_out.iter().map(|left_out| &left_out.reason);
    assert!(reasons.eq([&LeftOutReason::TopK; 3]));
    let passages = found.left_out.iter().map(|left_out| &left_out.passage);
    for passage in found.kept.iter().chain(passages) {
        assert!(passage.hit.vector.is_empty() && passage.hit.tokens.0.is_empty());
    }
    let found = sifted(hits(&[BRIDGE, &again, TOWER]), "bridge", &config(), 3);
    let place = ChunkPlace::of(&found.kept[0]);
    assert_eq!(found.left_out[0].reason, LeftOutReason::Repeats(place));
}

#[test]
fn cuts_keep_what_is_near_the_best() {
    let texts = [CABLE, "The cable was cut by an anchor", "a radio", TOWER];
    let query = "The cable to the island was cut by an anchor";
    for (cut, kept) in [(Cut::Fixed, 4), (Cut::Gap, 2), (Cut::Threshold, 1)] {
        let found = order(hits(&texts), query, &RerankConfig { cut, ..config() }, 4);
        assert_eq!(found.len(), kept, "{cut:?}");
        assert_eq!(found[0].hit.document.uri, "0.txt");
    }
    let best = order(hits(&texts), query, &config(), 1)[0].hit.score;
    let told = |cut, cut_margin| {
        let config = RerankConfig {
            cut,
            cut_margin,
            ..config()
        };
        sifted(hits(&texts), query, &config, 4)
    };
    let close = told(Cut::Threshold, 0.075);
    let least = LeftOutReason::Threshold(best - 0.075);
    assert!(close.left_out.iter().all(|one| one.reason == least));
    assert_eq!(close.left_out.len(), 3);
    // No cosine is further from another than two.
    assert_eq!(told(Cut::Threshold, 2.0).kept.len(), 4);
    let gap = told(Cut::Gap, 0.075);
    let before = LeftOutReason::Gap(gap.kept[1].hit.score);
    assert!(gap.left_out.iter().all(|one| one.reason == before));
    // Reciprocal ranks are left alone.
    let gap = RerankConfig {
        cut: Cut::Gap,
        ..config()
    };
    let found = ranking(query, &gap, 4).of(hits(&texts)).kept;
    assert_eq!(found.len(), 4);
}

#[test]
fn nothing_found_is_nothing_kept() {
    assert!(order(Vec::new(), "cable", &config(), 5).is_empty());
}

#[test]
fn a_preference_is_told_and_decides_between_near_equals() {
    let mut hits = hits(&[CABLE, BRIDGE, TOWER]);
    hits[0].document.labels = vec!["news".to_owned()];
    hits[1].document.labels = vec!["law/act".to_owned()];
    hits[1].document.date = Date::new(2026, 1, 31);
    let mut preferring = config();
    let plain = ranking("which", &preferring, 3).of(hits.clone()).kept;
    assert_eq!(uris(&plain), ["0.txt", "1.txt", "2.txt"]);
    assert!(plain.iter().all(|passage| passage.stages.boost.is_none()));
    preferring.boosts = Boosts {
        recency_half_life_days: Some(30.0),
        authority: [("law".to_owned(), 1.0)].into(),
    };
    let found = ranking("which", &preferring, 3).of(hits.clone()).kept;
    assert_eq!(uris(&found), ["1.txt", "0.txt", "2.txt"]);
    let boost = found[0].stages.boost.expect("something is preferred");
    assert!(boost.recency > 0.0 && boost.authority > boost.recency);
    let without = found[0].hit.score - boost.recency - boost.authority;
    assert!((without - found[0].stages.fused.score).abs() < 1e-6);
    // Far better is better all the same.
    let found = order(hits, "cut by an anchor", &preferring, 3);
    assert_eq!(found[0].hit.document.uri, "0.txt");
}

#[test]
fn the_model_is_asked_only_where_that_is_wanted() {
    let model = FakeGenerate::new()
        .choosing(&[-5.0, -0.01])
        .choosing(&[-0.01, -5.0]);
    let judging = RerankConfig {
        judged: 2,
        judge_budget_ms: 60_000,
        ..config()
    };
    for (config, first) in [(config(), "0.txt"), (judging, "1.txt")] {
        let ranking = Ranking {
            generate: Some(&model as &dyn Generate),
            ..ranking("cable", &config, 1)
        };
        let found = ranking.of(hits(&[CABLE, BRIDGE, TOWER])).kept;
        assert_eq!(uris(&found), [first]);
    }
}

#[test]
fn shares_and_the_way_of_fusing_are_told() {
    let mut hits = hits(&[CABLE, BRIDGE]);
    hits[0].shares = Shares {
        dense: 0.75,
        lexical: 0.25,
    };
    let config = config();
    let ranking = Ranking {
        fusion: Fusion::Dbsf,
        ..ranking("cable", &config, 2)
    };
    let stages = ranking.of(hits).kept[0].stages;
    assert_eq!(stages.fusion, Fusion::Dbsf);
    assert_eq!((stages.shares.dense, stages.shares.lexical), (0.75, 0.25));
}
