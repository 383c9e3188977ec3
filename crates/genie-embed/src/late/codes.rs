//! The vectors of a passage's tokens in four bits a component.
//!
//! All token vectors of an encoder point much the same way. Their mean is
//! subtracted, and the rest is rounded to sixteen levels with one scale a
//! token. A comparison adds a quarter of the mean back: tokens of different
//! languages are then nearer to each other than with all of it, and how far a
//! token is from the mean, which says how telling it is, still counts. Where
//! query and passages are in one language it adds all of it. With
//! 384 components a token takes 200 bytes instead of 1,536, and ranks passages
//! as its vector does (`docs/benchmarks/retrieval.md`).

use genie_core::{TokenVectors, Tongues};

/// Levels on each side of zero.
const LEVELS: f32 = 8.0;
/// How much of the largest component the levels cover: the few beyond are
/// cut, all others are rounded more finely.
const COVERED: f32 = 0.6;
/// How much of the mean a comparison adds back across languages; the inverse
/// norms in the codes are of vectors with so much.
const KEPT: f32 = 0.25;
/// How much farther scores lie apart with that than with all of the mean,
/// measured over passages of one language (`docs/benchmarks/retrieval.md`).
const SPREAD: f32 = 2.1;
/// Bytes of a token before its levels: scale and inverse norm.
const HEAD: usize = 8;

/// Makes codes and reads them.
#[derive(Debug)]
pub(crate) struct Codec {
    mean: Vec<f32>,
    /// What of the mean stays in every vector.
    kept: Vec<f32>,
}

impl Codec {
    /// Codes around the mean of `vectors`, `[tokens, dimension]`.
    pub(crate) fn around(vectors: &[f32], dimension: usize) -> Self {
        let mut mean = vec![0.0_f32; dimension];
        let count = (vectors.len() / dimension.max(1)).max(1) as f32;
        for vector in vectors.chunks_exact(dimension.max(1)) {
            for (mean, x) in mean.iter_mut().zip(vector) {
                *mean += x / count;
            }
        }
        let kept = mean.iter().map(|x| KEPT * x).collect();
        Self { mean, kept }
    }

    /// A vector less what of the mean is not added back, of length one.
    fn lessened(&self, vector: &[f32], added: f32) -> Vec<f32> {
        let mut lessened: Vec<f32> = vector
            .iter()
            .zip(&self.mean)
            .map(|(x, mean)| x - mean + added * mean)
            .collect();
        let norm = lessened.iter().map(|x| x * x).sum::<f32>().sqrt();
        let scale = 1.0 / norm.max(f32::MIN_POSITIVE);
        lessened.iter_mut().for_each(|x| *x *= scale);
        lessened
    }

    const fn token_bytes(&self) -> usize {
        HEAD + self.mean.len().div_ceil(2)
    }

    /// `[tokens, dimension]`, each of length one, to bytes. A token is its
    /// scale and the inverse norm of what is read back, both as little-endian
    /// single precision, and then two levels a byte: component `i` in the low
    /// half of byte `i`, component `i + dimension / 2` in its high half.
    pub(crate) fn encode(&self, vectors: &[f32]) -> Vec<u8> {
        let dimension = self.mean.len();
        let half = dimension.div_ceil(2);
        let mut codes = Vec::with_capacity(vectors.len() / dimension * self.token_bytes());
        let mut levels = vec![0_u8; 2 * half];
        for vector in vectors.chunks_exact(dimension) {
            let apart = || vector.iter().zip(&self.mean).map(|(x, mean)| x - mean);
            let most = apart().fold(0.0_f32, |most, x| most.max(x.abs()));
            let scale = (most * COVERED / (LEVELS - 1.0)).max(f32::MIN_POSITIVE);
            let mut square = 0.0_f32;
            for ((level, x), kept) in levels.iter_mut().zip(apart()).zip(&self.kept) {
                let whole = (x / scale).floor().clamp(-LEVELS, LEVELS - 1.0);
                *level = (whole + LEVELS) as u8;
                let back = kept + scale * (whole + 0.5);
                square += back * back;
            }
            codes.extend(scale.to_le_bytes());
            codes.extend((1.0 / square.sqrt().max(f32::MIN_POSITIVE)).to_le_bytes());
            codes.extend((0..half).map(|i| levels[i] | levels[i + half] << 4));
        }
        codes
    }

    /// A query ready to meet many passages.
    pub(crate) fn prepare(&self, query: &TokenVectors, tongues: Tongues) -> Prepared {
        let dimension = self.mean.len();
        let total: f32 = query.weights.iter().sum();
        let fits = query.dimension == dimension && total > 0.0;
        let added = match tongues {
            Tongues::One => 1.0,
            Tongues::Several => KEPT,
        };
        let tokens = query
            .vectors
            .chunks_exact(dimension.max(1))
            .zip(&query.weights)
            .filter(|_| fits)
            .map(|(vector, weight)| {
                let vector = self.lessened(vector, added);
                let with_mean: f32 = vector
                    .iter()
                    .zip(&self.mean)
                    .map(|(x, mean)| x * mean)
                    .sum();
                QueryToken {
                    weight: weight / total,
                    with_mean: added * with_mean,
                    components: Components::of(&vector),
                }
            })
            .collect();
        let square: f32 = self.mean.iter().map(|x| x * x).sum();
        Prepared {
            tokens,
            token_bytes: self.token_bytes(),
            renorm: (tongues == Tongues::One).then(|| Renorm {
                rest: (1.0 - KEPT * KEPT) * square,
                mean: Components::of(&self.mean),
            }),
        }
    }
}

/// A vector in eight bits a component, kept in sixteen for the products.
struct Components {
    numbers: Vec<i16>,
    scale: f32,
    /// What its product with levels is larger than with what they stand for.
    offset: f32,
}

impl Components {
    fn of(vector: &[f32]) -> Self {
        let most = vector
            .iter()
            .fold(f32::MIN_POSITIVE, |most, x| most.max(x.abs()));
        let scale = most / 127.0;
        let mut numbers = vec![0_i16; 2 * vector.len().div_ceil(2)];
        for (number, x) in numbers.iter_mut().zip(vector) {
            *number = (x / scale).round() as i16;
        }
        let sum: i32 = numbers.iter().map(|&number| i32::from(number)).sum();
        Self {
            numbers,
            scale,
            offset: (LEVELS - 0.5) * sum as f32,
        }
    }

    /// The product with what levels stand for, in units of their scale.
    fn product(&self, levels: &[i16]) -> f32 {
        self.scale * (dot(&self.numbers, levels) as f32 - self.offset)
    }
}

struct QueryToken {
    weight: f32,
    with_mean: f32,
    components: Components,
}

/// What makes the inverse norm with a part of the mean that with all of it.
struct Renorm {
    /// The square of the mean that the part lacks.
    rest: f32,
    mean: Components,
}

impl Renorm {
    fn inverse(&self, inverse: f32, scale: f32, levels: &[i16]) -> f32 {
        // |m + x|² - |k m + x|² = (1 - k²) |m|² + 2 (1 - k) m x
        let more = self.rest + 2.0 * (1.0 - KEPT) * scale * self.mean.product(levels);
        let square = 1.0 / (inverse * inverse) + more;
        // Damaged codes may give anything, and are near nothing then.
        if square > 0.0 {
            square.sqrt().recip()
        } else {
            0.0
        }
    }
}

/// A query in whole numbers.
pub(crate) struct Prepared {
    tokens: Vec<QueryToken>,
    token_bytes: usize,
    /// Where all of the mean is added back.
    renorm: Option<Renorm>,
}

impl Prepared {
    /// The weighted mean of the best cosine that each token of the query
    /// finds, spread as across languages; `None` where there is nothing to
    /// compare, or the bytes are not codes of this dimension.
    pub(crate) fn score(&self, codes: &[u8]) -> Option<f32> {
        if self.tokens.is_empty()
            || codes.is_empty()
            || !codes.len().is_multiple_of(self.token_bytes)
        {
            return None;
        }
        let half = self.token_bytes - HEAD;
        let mut best = vec![f32::MIN; self.tokens.len()];
        let mut levels = vec![0_i16; 2 * half];
        for token in codes.chunks_exact(self.token_bytes) {
            let (scale, token) = token.split_first_chunk::<4>()?;
            let (inverse, packed) = token.split_first_chunk::<4>()?;
            let (scale, inverse) = (f32::from_le_bytes(*scale), f32::from_le_bytes(*inverse));
            let (low, high) = levels.split_at_mut(half);
            for ((low, high), byte) in low.iter_mut().zip(high).zip(packed) {
                *low = i16::from(byte & 15);
                *high = i16::from(byte >> 4);
            }
            let inverse = match &self.renorm {
                Some(renorm) => renorm.inverse(inverse, scale, &levels),
                None => inverse,
            };
            for (best, query) in best.iter_mut().zip(&self.tokens) {
                let product = scale * query.components.product(&levels);
                *best = best.max((query.with_mean + product) * inverse);
            }
        }
        let score: f32 = best
            .iter()
            .zip(&self.tokens)
            .map(|(best, query)| best * query.weight)
            .sum();
        let score = match self.renorm {
            Some(_) => 1.0 - SPREAD * (1.0 - score),
            None => score,
        };
        // Codes that were damaged may hold anything.
        score.is_finite().then_some(score)
    }
}

fn dot(a: &[i16], b: &[i16]) -> i32 {
    a.iter()
        .zip(b)
        .map(|(a, b)| i32::from(*a) * i32::from(*b))
        .sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unit(vector: &[f32]) -> Vec<f32> {
        let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        vector.iter().map(|x| x / norm).collect()
    }

    /// By the definition, in single precision.
    fn wanted(query: &TokenVectors, passage: &[f32], mean: &[f32], taken: f32) -> f32 {
        let dimension = query.dimension;
        let total: f32 = query.weights.iter().sum();
        let tokens = query.vectors.chunks_exact(dimension).zip(&query.weights);
        let less = |vector: &[f32]| {
            let pairs = vector.iter().zip(mean);
            unit(&pairs.map(|(x, mean)| x - taken * mean).collect::<Vec<_>>())
        };
        tokens
            .map(|(query, weight)| {
                let query = less(query);
                let cosines = passage.chunks_exact(dimension).map(|token| {
                    let token = less(token);
                    token.iter().zip(&query).map(|(x, y)| x * y).sum::<f32>()
                });
                weight / total * cosines.fold(f32::MIN, f32::max)
            })
            .sum()
    }

    fn vectors(seed: &[f32], tokens: usize, dimension: usize, shift: usize) -> Vec<f32> {
        (0..tokens)
            .flat_map(|token| {
                let vector: Vec<f32> = (0..dimension)
                    .map(|i| {
                        let x = seed[(token * 31 + i * 7 + shift) % seed.len()];
                        // As those of an encoder: much in common.
                        x + if i % 5 == 0 { 2.0 } else { 0.1 }
                    })
                    .collect();
                unit(&vector)
            })
            .collect()
    }

    proptest! {
        #[test]
        fn codes_score_as_vectors_do(
            seed in prop::collection::vec(-1.0_f32..1.0, 97),
            dimension in 16_usize..80,
            tokens in 1_usize..12,
            asked in 1_usize..6,
        ) {
            let passage = vectors(&seed, tokens, dimension, 0);
            let query = TokenVectors {
                dimension,
                weights: (1..=asked).map(|i| i as f32).collect(),
                vectors: vectors(&seed, asked, dimension, 13),
            };
            let codec = Codec::around(&passage, dimension);
            let codes = codec.encode(&passage);
            prop_assert_eq!(codes.len(), tokens * (8 + dimension.div_ceil(2)));
            let found = |tongues| {
                let prepared = codec.prepare(&query, tongues);
                prepared.score(&codes).expect("there is something")
            };
            let several = wanted(&query, &passage, &codec.mean, 0.75);
            let found_several = found(Tongues::Several);
            prop_assert!((found_several - several).abs() < 0.1, "{} {}", found_several, several);
            let one = 1.0 - SPREAD * (1.0 - wanted(&query, &passage, &codec.mean, 0.0));
            let found_one = found(Tongues::One);
            prop_assert!((found_one - one).abs() < 0.1, "{} {}", found_one, one);
        }

        #[test]
        fn bytes_from_elsewhere_are_no_trouble(codes in prop::collection::vec(any::<u8>(), 0..100)) {
            let query = TokenVectors {
                dimension: 4,
                weights: vec![1.0],
                vectors: vec![0.5; 4],
            };
            let codec = Codec::around(&[0.5; 4], 4);
            for tongues in [Tongues::One, Tongues::Several] {
                let score = codec.prepare(&query, tongues).score(&codes);
                if !codes.len().is_multiple_of(10) || codes.is_empty() {
                    prop_assert_eq!(score, None);
                }
            }
        }
    }

    #[test]
    fn the_passage_that_has_the_tokens_is_nearest() {
        let dimension = 32;
        let axis = |i: usize| -> Vec<f32> {
            let mut vector = vec![0.3; dimension];
            vector[i] = 3.0;
            unit(&vector)
        };
        let codec = Codec::around(&[axis(0), axis(1), axis(2), axis(3)].concat(), dimension);
        let query = TokenVectors {
            dimension,
            weights: vec![3.0, 1.0],
            vectors: [axis(1), axis(2)].concat(),
        };
        let prepared = codec.prepare(&query, Tongues::Several);
        let score = |tokens: &[usize]| {
            let vectors: Vec<f32> = tokens.iter().flat_map(|&i| axis(i)).collect();
            prepared.score(&codec.encode(&vectors)).expect("a score")
        };
        let (both, first, second, none) =
            (score(&[0, 2, 1]), score(&[1, 3]), score(&[2]), score(&[3]));
        assert!(
            both > first && first > second && second > none,
            "{both} {first} {second} {none}"
        );
        assert_eq!(prepared.score(&[]), None);
    }

    #[test]
    fn a_query_of_another_model_compares_with_nothing() {
        let codec = Codec::around(&[0.5; 4], 4);
        let query = TokenVectors {
            dimension: 8,
            weights: vec![1.0],
            vectors: vec![0.3; 8],
        };
        let prepared = codec.prepare(&query, Tongues::Several);
        assert_eq!(prepared.score(&codec.encode(&[0.5; 4])), None);
    }
}
