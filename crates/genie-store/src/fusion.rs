//! Two ranked lists into one.

use std::collections::HashMap;

use genie_core::{Fusion, Shares};
use uuid::Uuid;

/// Dampens the lead of the first ranks; the value of the paper (Cormack,
/// Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and
/// individual Rank Learning Methods", SIGIR 2009).
const K: f32 = 60.0;
/// Standard deviations below the mean that count nothing.
const SPREAD: f64 = 3.0;
/// What a score counts where all of a side are the same.
const MIDDLE: f32 = 0.5;

/// What one side found, best first, and how much it counts.
#[derive(Debug, Default)]
pub(crate) struct Side {
    pub(crate) weight: f32,
    pub(crate) found: Vec<(Uuid, f32)>,
}

/// A point of the joined list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fused {
    pub(crate) id: Uuid,
    pub(crate) score: f32,
    pub(crate) shares: Shares,
}

/// Joins what two sides found. Best first, ties by id.
pub(crate) fn fuse(fusion: Fusion, dense: &Side, lexical: &Side) -> Vec<Fused> {
    let mut shares: HashMap<Uuid, Shares> = HashMap::new();
    for ((id, _), share) in dense.found.iter().zip(counted(fusion, dense)) {
        shares.entry(*id).or_default().dense = share;
    }
    for ((id, _), share) in lexical.found.iter().zip(counted(fusion, lexical)) {
        shares.entry(*id).or_default().lexical = share;
    }
    let mut fused: Vec<Fused> = shares
        .into_iter()
        .map(|(id, shares)| Fused {
            id,
            score: shares.dense + shares.lexical,
            shares,
        })
        .collect();
    fused.sort_by(|left, right| {
        right
            .score
            .total_cmp(&left.score)
            .then_with(|| left.id.cmp(&right.id))
    });
    fused
}

/// What each point of a side adds to its score, in their order.
fn counted(fusion: Fusion, side: &Side) -> Vec<f32> {
    match fusion {
        Fusion::Rrf => {
            let mut rank = K;
            let share = |_: &(Uuid, f32)| {
                rank += 1.0;
                side.weight / rank
            };
            side.found.iter().map(share).collect()
        }
        Fusion::Dbsf => {
            let (low, width) = scale(&side.found);
            let share = |(_, score): &(Uuid, f32)| {
                let place = if width > 0.0 {
                    // Narrowing a value of a few units. What is far below the
                    // mean was found all the same, and is no worse than what
                    // was not.
                    ((f64::from(*score) - low) / width).max(0.0) as f32
                } else {
                    MIDDLE
                };
                side.weight * place
            };
            side.found.iter().map(share).collect()
        }
    }
}

/// Where the scale of a side begins and how long it is: three standard
/// deviations to both sides of the mean.
fn scale(found: &[(Uuid, f32)]) -> (f64, f64) {
    let count = found.len() as f64;
    if found.len() < 2 {
        return (0.0, 0.0);
    }
    let mean = found
        .iter()
        .map(|(_, score)| f64::from(*score))
        .sum::<f64>()
        / count;
    let squares: f64 = found
        .iter()
        .map(|(_, score)| (f64::from(*score) - mean).powi(2))
        .sum();
    let deviation = (squares / (count - 1.0)).sqrt();
    (mean - SPREAD * deviation, 2.0 * SPREAD * deviation)
}

/// Cosine of two vectors, 0 where one of them has no length.
pub(crate) fn cosine(left: &[f32], right: &[f32]) -> f32 {
    let (mut dot, mut left_square, mut right_square) = (0.0_f64, 0.0_f64, 0.0_f64);
    for (left, right) in left.iter().zip(right) {
        let (left, right) = (f64::from(*left), f64::from(*right));
        dot += left * right;
        left_square += left * left;
        right_square += right * right;
    }
    let length = (left_square * right_square).sqrt();
    if length > 0.0 && length.is_finite() {
        // Narrowing a value between -1 and 1.
        (dot / length) as f32
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn side(weight: f32, found: &[(u128, f32)]) -> Side {
        Side {
            weight,
            found: found
                .iter()
                .map(|(number, score)| (id(*number), *score))
                .collect(),
        }
    }

    fn order(fusion: Fusion, dense: &Side, lexical: &Side) -> Vec<Uuid> {
        fuse(fusion, dense, lexical)
            .into_iter()
            .map(|fused| fused.id)
            .collect()
    }

    #[test]
    fn a_point_on_both_lists_beats_the_first_of_one() {
        let dense = side(1.0, &[(1, 0.9), (2, 0.8)]);
        let lexical = side(1.0, &[(3, 7.0), (2, 6.0)]);
        assert_eq!(order(Fusion::Rrf, &dense, &lexical), [id(2), id(1), id(3)]);
        let fused = fuse(Fusion::Rrf, &dense, &lexical);
        assert_eq!(
            (fused[0].shares.dense, fused[0].shares.lexical),
            (1.0 / 62.0, 1.0 / 62.0)
        );
        assert_eq!(fused[1].shares.lexical, 0.0);
    }

    #[test]
    fn weights_decide_between_the_sides() {
        for fusion in [Fusion::Rrf, Fusion::Dbsf] {
            let sides = |dense, lexical| {
                let found = (side(dense, &[(9, 0.9)]), side(lexical, &[(1, 5.0)]));
                order(fusion, &found.0, &found.1)
            };
            assert_eq!(sides(1.0, 0.5), [id(9), id(1)]);
            assert_eq!(sides(0.5, 1.0), [id(1), id(9)]);
        }
    }

    #[test]
    fn ties_come_out_by_id() {
        let (dense, lexical) = (side(1.0, &[(5, 0.9)]), side(1.0, &[(2, 3.0)]));
        assert_eq!(order(Fusion::Rrf, &dense, &lexical), [id(2), id(5)]);
    }

    #[test]
    fn scores_count_by_how_far_they_stand_out() {
        // By ranks the second of each side are equals; by scores one of them
        // is nearly as good as the first of its side.
        let dense = side(1.0, &[(1, 0.90), (2, 0.89), (3, 0.70)]);
        let lexical = side(1.0, &[(4, 20.0), (5, 8.0), (6, 7.0)]);
        let fused = fuse(Fusion::Dbsf, &dense, &lexical);
        let place = |number| fused.iter().position(|fused| fused.id == id(number));
        assert!(place(2) < place(5), "{fused:?}");
        // Mean 35/3, sample deviation the root of 157/3.
        let expected =
            (20.0 - 35.0 / 3.0 + 3.0 * (157.0_f32 / 3.0).sqrt()) / (6.0 * (157.0_f32 / 3.0).sqrt());
        let share = fused[place(4).expect("found")].shares;
        assert!((share.lexical - expected).abs() < 1e-5, "{share:?}");
        assert_eq!(share.dense, 0.0);
    }

    #[test]
    fn scores_on_another_scale_fuse_alike() {
        let dense = side(1.0, &[(1, 0.9), (2, 0.8), (3, 0.75)]);
        let lexical = side(0.5, &[(2, 9.0), (4, 5.0), (1, 1.0)]);
        let larger = side(0.5, &[(2, 900.0), (4, 500.0), (1, 100.0)]);
        let (one, other) = (
            fuse(Fusion::Dbsf, &dense, &lexical),
            fuse(Fusion::Dbsf, &dense, &larger),
        );
        for (one, other) in one.iter().zip(&other) {
            assert_eq!(one.id, other.id);
            assert!((one.score - other.score).abs() < 1e-5);
        }
    }

    #[test]
    fn nothing_found_fuses_to_nothing() {
        for fusion in [Fusion::Rrf, Fusion::Dbsf] {
            assert!(fuse(fusion, &Side::default(), &Side::default()).is_empty());
        }
    }

    #[test]
    fn cosine_ignores_length_and_survives_zero() {
        assert!((cosine(&[2.0, 0.0], &[5.0, 0.0]) - 1.0).abs() < 1e-6);
        assert!(cosine(&[1.0, 0.0], &[0.0, 3.0]).abs() < 1e-6);
        assert!(cosine(&[0.0, 0.0], &[0.0, 3.0]).abs() < 1e-6);
    }
}
