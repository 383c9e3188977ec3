//! Passages with vectors of the embedding model, and vectors around those.

use std::path::Path;

use anyhow::Context;
use genie_core::{ContentHash, EmbedError, LateInteraction, TextRole, TokenCodes};
use rand::Rng;

use super::corpus::{Corpus, Passage};
use super::in_folder;
use super::place::Folder;
use crate::wiring::Vectors;
use crate::{interrupt, progress};

/// Passages encoded at a time.
const BATCH: usize = 8;
/// How far a drawn vector goes along the difference of two real ones, and how
/// long the noise is that is added: cosines with the real one are about 0.97.
const ALONG: f32 = 0.35;
const NOISE: f32 = 0.1;

/// Passages with vectors of the embedding model.
pub(super) struct Base {
    pub(super) passages: Vec<Passage>,
    /// One after the other.
    vectors: Vec<f32>,
    /// The codes of their tokens, where these are asked for.
    codes: Vec<TokenCodes>,
    dimension: usize,
    /// The passages of each article.
    pub(super) by_article: Vec<Vec<usize>>,
}

impl Base {
    /// Encodes so many passages, unless an earlier run has kept their vectors
    /// and `tokens` does not ask for codes, which are not kept.
    pub(super) fn encode(
        corpus: &Corpus,
        count: usize,
        encoders: &Vectors,
        tokens: Option<&dyn LateInteraction>,
        folder: &Folder,
    ) -> anyhow::Result<Self> {
        let passages = Self::passages(corpus, count);
        if let Some(tokens) = tokens {
            let mut codes = Vec::with_capacity(count);
            let vectors = encode(corpus, &passages, |texts| {
                let read = tokens.passages(texts)?;
                Ok(read
                    .into_iter()
                    .map(|(embedding, of_tokens)| {
                        codes.push(of_tokens);
                        embedding.vector
                    })
                    .collect())
            })?;
            return Ok(Self {
                codes,
                ..Self::of(corpus, passages, vectors)
            });
        }
        let identity = encoders.embed.identity();
        let mut what = format!("{} {}", identity.hash, identity.passage_prefix);
        for passage in &passages {
            what.push_str(&passage.text);
        }
        let name = format!("vectors-{}.f32", ContentHash::of(what.as_bytes()));
        let kept = folder.vectors(&name);
        let dimension = identity.dimension;
        let vectors = match kept.as_deref().map(read_vectors).transpose()?.flatten() {
            Some(vectors) if vectors.len() == count * dimension => vectors,
            _ => {
                let vectors = encode(corpus, &passages, |texts| {
                    let read = encoders.embed.embed(TextRole::Passage, texts)?;
                    Ok(read.into_iter().map(|embedding| embedding.vector).collect())
                })?;
                if let Some(path) = &kept {
                    let bytes: Vec<u8> = vectors.iter().flat_map(|x| x.to_le_bytes()).collect();
                    in_folder(std::fs::write(path, bytes), path)?;
                }
                vectors
            }
        };
        Ok(Self::of(corpus, passages, vectors))
    }

    /// So many passages, about all articles in turn.
    pub(super) fn passages(corpus: &Corpus, count: usize) -> Vec<Passage> {
        let mut random = corpus.random("passages");
        (0..count)
            .map(|number| corpus.passage(number % corpus.articles.len(), &mut random))
            .collect()
    }

    /// Passages with their vectors, which stand one after the other.
    pub(super) fn of(corpus: &Corpus, passages: Vec<Passage>, vectors: Vec<f32>) -> Self {
        let mut by_article = vec![Vec::new(); corpus.articles.len()];
        for (number, passage) in passages.iter().enumerate() {
            by_article[passage.article].push(number);
        }
        Self {
            dimension: vectors.len() / passages.len().max(1),
            passages,
            vectors,
            codes: Vec::new(),
            by_article,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.passages.len()
    }

    pub(super) fn vector(&self, number: usize) -> &[f32] {
        &self.vectors[number * self.dimension..(number + 1) * self.dimension]
    }

    /// The codes of a passage's tokens; empty where none were asked for.
    pub(super) fn codes(&self, number: usize) -> TokenCodes {
        self.codes.get(number).cloned().unwrap_or_default()
    }

    /// A vector near that of one passage, off by what lies between two others.
    pub(super) fn near(&self, number: usize, random: &mut impl Rng) -> Vec<f32> {
        let one = self.vector(random.random_range(0..self.len()));
        let other = self.vector(random.random_range(0..self.len()));
        let spread = NOISE / (self.dimension as f32).sqrt();
        let mut vector: Vec<f32> = self
            .vector(number)
            .iter()
            .zip(one.iter().zip(other))
            .map(|(real, (one, other))| {
                // Uniform numbers from -√3 to √3 have a variance of 1.
                let noise: f32 = random.random_range(-1.732..1.732);
                real + ALONG * (one - other) + spread * noise
            })
            .collect();
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        for component in &mut vector {
            *component /= length;
        }
        vector
    }
}

/// The vectors of all passages, one after the other, by what encodes some.
fn encode(
    corpus: &Corpus,
    passages: &[Passage],
    mut some: impl FnMut(&[String]) -> Result<Vec<Vec<f32>>, EmbedError>,
) -> anyhow::Result<Vec<f32>> {
    let bar = progress::counted("encoding passages", passages.len() as u64, "passages");
    let mut vectors = Vec::new();
    for batch in passages.chunks(BATCH) {
        interrupt::check()?;
        let texts: Vec<String> = batch
            .iter()
            .map(|passage| {
                let title = &corpus.articles[passage.article].title;
                format!("{title}\n{}", passage.text)
            })
            .collect();
        let encoded = some(&texts).context("a passage can't be encoded")?;
        vectors.extend(encoded.into_iter().flatten());
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    Ok(vectors)
}

fn read_vectors(path: &Path) -> anyhow::Result<Option<Vec<f32>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(
            bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect(),
        )),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => in_folder(Err(error), path),
    }
}
