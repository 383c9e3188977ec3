use genie_core::RerankConfig;
use rand::Rng;

use super::*;

fn configured() -> RetrievalConfig {
    RetrievalConfig {
        top_k: 5,
        candidates: 20,
        fusion: Fusion::Rrf,
        weights: FusionWeights {
            dense: 1.0,
            lexical: 0.15,
        },
        min_similarity: 0.2,
        rerank: RerankConfig::default(),
    }
}

fn one_each(rows: usize) -> Split {
    Split::of((0..rows).collect(), 3)
}

#[test]
fn the_configured_one_is_tried_first_and_kept_among_equals() {
    let tried = combinations(&configured());
    assert_eq!(tried[0], Tuning::of(&configured()));
    assert_eq!(tried.len(), 62);
    let table = vec![vec![0.5; tried.len()]; 20];
    let lesson = lesson(&tried, &table, &one_each(20), 1).unwrap();
    assert_eq!(lesson.best, tried[0]);
    assert_eq!((lesson.gain.value, lesson.p), (0.0, 1.0));
    let mut without = configured();
    without.rerank.tokens = false;
    assert_eq!(combinations(&without).len(), 12);
}

#[test]
fn a_gain_that_others_have_too_is_found() {
    let tried = combinations(&configured());
    let mut table = vec![vec![0.4; tried.len()]; 50];
    for row in &mut table {
        row[7] = 0.6;
    }
    let lesson = lesson(&tried, &table, &one_each(50), 1).unwrap();
    assert_eq!(lesson.best, tried[7]);
    assert!((lesson.gain.value - 0.2).abs() < 1e-9, "{lesson:?}");
    assert!(lesson.p < 0.001);
    assert_eq!(lesson.by_fold, [tried[7]; FOLDS]);
}

#[test]
fn what_is_learnt_by_heart_is_no_gain() {
    // Each combination is right on one question that no other is right on.
    let tried = combinations(&configured());
    let table: Vec<Vec<f64>> = (0..tried.len())
        .map(|row| {
            (0..tried.len())
                .map(|column| f64::from(u8::from(row == column || column == 0 && row % 2 == 1)))
                .collect()
        })
        .collect();
    let lesson = lesson(&tried, &table, &one_each(tried.len()), 1).unwrap();
    assert!(lesson.gain.value <= 0.0, "{lesson:?}");
    // Chosen by what it is judged by, the best of random columns gains.
    let mut random = StdRng::seed_from_u64(5);
    let noise: Vec<Vec<f64>> = (0..40)
        .map(|_| tried.iter().map(|_| random.random::<f64>()).collect())
        .collect();
    let lesson = super::lesson(&tried, &noise, &one_each(40), 1).unwrap();
    assert!(
        lesson.fitted - lesson.before > lesson.gain.value,
        "{lesson:?}"
    );
}

#[test]
fn questions_about_one_text_stay_together() {
    let groups = [0, 0, 0, 3, 3, 5, 6, 7, 8, 9, 9, 9];
    let folds = folds(&groups, 1);
    assert_eq!(folds.len(), FOLDS);
    let mut all: Vec<usize> = folds.iter().flatten().copied().collect();
    all.sort_unstable();
    assert_eq!(all, (0..groups.len()).collect::<Vec<_>>());
    for fold in &folds {
        for (other, group) in groups.iter().enumerate() {
            if fold.iter().any(|&at| groups[at] == *group) {
                assert!(fold.contains(&other));
            }
        }
    }
    assert_eq!(super::folds(&[0, 0, 2], 1).len(), 2);
}
