//! Weighted reciprocal rank fusion.

use std::collections::HashMap;

use uuid::Uuid;

/// Dampens the lead of the first ranks; the value of the paper (Cormack,
/// Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and
/// individual Rank Learning Methods", SIGIR 2009).
const K: f32 = 60.0;

/// Joins ranked lists: a point scores `weight / (K + rank)` on each list that
/// names it, ranks counted from 1. Best first, ties by id.
pub(crate) fn fuse(lists: &[(f32, Vec<Uuid>)]) -> Vec<(Uuid, f32)> {
    let mut scores: HashMap<Uuid, f32> = HashMap::new();
    for (weight, list) in lists {
        let mut rank = K;
        for id in list {
            rank += 1.0;
            *scores.entry(*id).or_default() += weight / rank;
        }
    }
    let mut fused: Vec<(Uuid, f32)> = scores.into_iter().collect();
    fused.sort_by(|(left_id, left), (right_id, right)| {
        right.total_cmp(left).then_with(|| left_id.cmp(right_id))
    });
    fused
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

    fn order(lists: &[(f32, Vec<Uuid>)]) -> Vec<Uuid> {
        fuse(lists).into_iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn a_point_on_both_lists_beats_the_first_of_one() {
        let lists = [(1.0, vec![id(1), id(2)]), (1.0, vec![id(3), id(2)])];
        assert_eq!(order(&lists), [id(2), id(1), id(3)]);
    }

    #[test]
    fn weights_decide_between_the_sides() {
        let lists = |dense, lexical| [(dense, vec![id(9)]), (lexical, vec![id(1)])];
        assert_eq!(order(&lists(1.0, 0.5)), [id(9), id(1)]);
        assert_eq!(order(&lists(0.5, 1.0)), [id(1), id(9)]);
    }

    #[test]
    fn ties_come_out_by_id() {
        let lists = [(1.0, vec![id(5)]), (1.0, vec![id(2)])];
        assert_eq!(order(&lists), [id(2), id(5)]);
    }

    #[test]
    fn cosine_ignores_length_and_survives_zero() {
        assert!((cosine(&[2.0, 0.0], &[5.0, 0.0]) - 1.0).abs() < 1e-6);
        assert!(cosine(&[1.0, 0.0], &[0.0, 3.0]).abs() < 1e-6);
        assert!(cosine(&[0.0, 0.0], &[0.0, 3.0]).abs() < 1e-6);
    }
}
