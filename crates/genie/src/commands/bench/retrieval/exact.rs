//! The nearest chunks of each query, found by comparing every chunk.

use std::collections::HashSet;

use genie_core::{ChunkId, DocumentRecord, Hit, Point};

use super::queries::{FilterKind, HITS, Queries};

/// The nearest chunks so far, for every query and kind of filter.
pub(super) struct Exact<'a> {
    queries: &'a Queries,
    /// By query and, within it, by kind of filter.
    nearest: Vec<Nearest>,
}

#[derive(Debug, Clone, Default)]
struct Nearest {
    /// Best first, at most [`HITS`].
    best: Vec<(f32, ChunkId)>,
}

impl<'a> Exact<'a> {
    pub(super) fn of(queries: &'a Queries) -> Self {
        Self {
            queries,
            nearest: vec![Nearest::default(); queries.len() * FilterKind::ALL.len()],
        }
    }

    /// Compares the chunks of one document with all queries.
    pub(super) fn observe(&mut self, record: &DocumentRecord, points: &[Point]) {
        let kinds = FilterKind::ALL.len();
        for number in 0..self.queries.len() {
            let covered: Vec<bool> = FilterKind::ALL
                .iter()
                .map(|kind| self.queries.covers(number, *kind, record))
                .collect();
            let query = self.queries.vector(number);
            let places = &mut self.nearest[number * kinds..(number + 1) * kinds];
            for point in points {
                let score = dot(query, &point.dense);
                for (place, covered) in places.iter_mut().zip(&covered) {
                    if *covered {
                        place.offer(score, point.chunk.id);
                    }
                }
            }
        }
    }

    pub(super) fn nearest(&self, number: usize, kind: FilterKind) -> HashSet<ChunkId> {
        let at = number * FilterKind::ALL.len() + kind as usize;
        self.nearest[at].best.iter().map(|(_, id)| *id).collect()
    }
}

impl Nearest {
    fn offer(&mut self, score: f32, id: ChunkId) {
        if self.best.len() == HITS && self.best.last().is_some_and(|(worst, _)| score <= *worst) {
            return;
        }
        let at = self.best.partition_point(|(better, _)| *better >= score);
        self.best.insert(at, (score, id));
        self.best.truncate(HITS);
    }
}

/// Eight sums, so that the compiler can keep them in one register.
fn dot(left: &[f32], right: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    for (left, right) in left.chunks_exact(8).zip(right.chunks_exact(8)) {
        for ((sum, left), right) in sums.iter_mut().zip(left).zip(right) {
            *sum += left * right;
        }
    }
    let rest = left.len() - left.len() % 8;
    let tail: f32 = left[rest..]
        .iter()
        .zip(&right[rest..])
        .map(|(left, right)| left * right)
        .sum();
    sums.iter().sum::<f32>() + tail
}

/// The share of the nearest chunks that an index finds.
#[derive(Debug, Default)]
pub(super) struct Recall {
    wanted: usize,
    found: usize,
}

impl Recall {
    pub(super) fn add(&mut self, wanted: HashSet<ChunkId>, hits: &[Hit]) {
        self.wanted += wanted.len();
        self.found += hits
            .iter()
            .filter(|hit| wanted.contains(&hit.chunk.id))
            .count();
    }

    /// `None` where nothing was to be found.
    pub(super) fn value(&self) -> Option<f64> {
        (self.wanted > 0).then(|| self.found as f64 / self.wanted as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_are_kept_in_order() {
        let id = |number: u8| ChunkId::from_bytes([number; 16]);
        let mut nearest = Nearest::default();
        for number in (0..60_u8).step_by(2).chain((1..60).step_by(2).rev()) {
            nearest.offer(f32::from(number), id(number));
        }
        let expected: Vec<_> = (60 - HITS as u8..60)
            .rev()
            .map(|number| (f32::from(number), id(number)))
            .collect();
        assert_eq!(nearest.best, expected);
    }

    #[test]
    fn a_dot_product_takes_all_components() {
        let ones = vec![1.0; 19];
        let numbers: Vec<f32> = (1..=19_u8).map(f32::from).collect();
        assert!((dot(&ones, &numbers) - 190.0).abs() < 1e-4);
    }
}
