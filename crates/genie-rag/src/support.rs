//! Whether a passage supports a sentence, and by which of its own sentences.
//!
//! Three checks, from hard to soft: every figure of the sentence stands in the
//! quote (or the passage's heading or the question); names that the passage's
//! language would write alike stand in the passage; and some sentence of the passage is near to it,
//! measured by the embedding model, which also works across languages. Being
//! near is not saying the same: what is found here, the language model is
//! asked about (`draft`), unless the quote has it word for word.

use genie_core::{Chunk, Citation, Embed, EmbedError, Language, Passage, Span, TextRole};
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

use crate::index::passage_text;
use crate::neighbours::part_at;
use crate::numbers::{Figure, Figures, figures};
use crate::phrases;
use crate::sentences::sentences;

/// Cosine of two sentences below which they are not about the same, for
/// multilingual-e5; see `docs/benchmarks/answers.md`.
const SAME_SUBJECT: f32 = 0.82;
/// Sentences of a passage that a quote may join.
const LONGEST_QUOTE: usize = 3;
/// Letters of a word that its endings leave alone.
const STEM: usize = 4;
/// Words from which on a claim that stands in a passage can't do so by chance.
const TELLING: usize = 5;

/// A passage prepared for being compared with sentences.
pub(crate) struct Evidence<'a> {
    passage: &'a Passage,
    sentences: Vec<PlacedSentence>,
    figures: Figures,
    words: String,
    /// One vector a sentence, made when first needed.
    vectors: Option<Vec<Vec<f32>>>,
}

/// The part of a passage that supports a sentence.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Support {
    /// In characters of the document's text.
    pub(crate) span: Span,
    pub(crate) quote: String,
    /// Cosine of the sentence and the quote's best sentence.
    pub(crate) similarity: f32,
    /// The quote among its neighbours, under the passage's heading: what one
    /// has to know to understand it.
    pub(crate) context: String,
    /// The claim stands in the quote word for word.
    pub(crate) verbatim: bool,
}

impl Support {
    /// The citation of this part of a passage.
    pub(crate) fn citation(self, number: usize, passage: &Passage) -> Citation {
        let document = &passage.hit.document;
        let chunk = part_at(passage, self.span.start());
        Citation {
            number,
            document: document.uri.clone(),
            title: document.title.clone(),
            page: chunk.page,
            section: chunk.section_path(),
            span: self.span,
            quote: self.quote,
        }
    }
}

/// A sentence to be supported.
pub(crate) struct Claim<'a> {
    text: &'a str,
    language: Language,
    vector: Vec<f32>,
}

impl<'a> Claim<'a> {
    pub(crate) fn new(
        text: &'a str,
        language: Language,
        embed: &dyn Embed,
    ) -> Result<Self, EmbedError> {
        let mut vectors = embed.embed(TextRole::Query, &[text.to_owned()])?;
        Ok(Self {
            text,
            language,
            vector: vectors
                .pop()
                .map(|embedding| embedding.vector)
                .unwrap_or_default(),
        })
    }
}

impl<'a> Evidence<'a> {
    pub(crate) fn new(passage: &'a Passage) -> Self {
        let chunk = &passage.hit.chunk;
        let context = chunk.contextual_text(&passage.hit.document.title);
        Self {
            passage,
            sentences: placed_sentences(passage),
            figures: Figures::of(&context),
            words: folded(&context),
            vectors: None,
        }
    }

    /// The support for a claim, or `None` where the passage does not support
    /// it.
    pub(crate) fn support(
        &mut self,
        claim: &Claim<'_>,
        question: &str,
        embed: &dyn Embed,
    ) -> Result<Option<Support>, EmbedError> {
        let wanted = figures(without_list_mark(claim.text));
        if !wanted.iter().all(|figure| self.figures.contain(figure)) {
            return Ok(None);
        }
        if !self.has_names(claim, question) {
            return Ok(None);
        }
        let similarities = self.similarities(claim, embed)?;
        let Some(best) = similarities
            .iter()
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(b.1))
            .map(|(position, _)| position)
        else {
            return Ok(None);
        };
        if similarities[best] < SAME_SUBJECT {
            return Ok(None);
        }
        let window = self.window(best, &wanted);
        if !self.quotes_figures(window, &wanted, question) {
            return Ok(None);
        }
        let support = self.quote(window, similarities[best]);
        Ok(support.map(|support| Support {
            verbatim: holds_verbatim(&support.quote, claim.text),
            ..support
        }))
    }

    /// Every figure of the claim stands in what will be quoted, but for those
    /// of the question and of the passage's heading: two figures of a passage
    /// may belong to different things.
    fn quotes_figures(
        &self,
        (from, to): (usize, usize),
        wanted: &[Figure],
        question: &str,
    ) -> bool {
        let hit = &self.passage.hit;
        let mut known = Figures::of(question);
        known.extend(&Figures::of(&hit.document.title));
        known.extend(&Figures::of(&hit.chunk.section_path()));
        for sentence in &self.sentences[from..=to] {
            known.extend(&Figures::of(&sentence.text));
        }
        wanted.iter().all(|figure| known.contain(figure))
    }

    /// The sentence of this passage that is closest to a text, as a quote.
    pub(crate) fn closest(
        &mut self,
        claim: &Claim<'_>,
        embed: &dyn Embed,
    ) -> Result<Option<Support>, EmbedError> {
        let similarities = self.similarities(claim, embed)?;
        let best = similarities
            .iter()
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(b.1));
        Ok(best.and_then(|(position, similarity)| self.quote((position, position), *similarity)))
    }

    /// These sentences of this passage, from the first to the last of them, as
    /// a quote.
    pub(crate) fn quoted(&self, from: usize, to: usize) -> Option<Support> {
        let known = from <= to && to < self.sentences.len() && self.together(from, to);
        known.then(|| self.quote((from, to), 1.0)).flatten()
    }

    fn similarities(
        &mut self,
        claim: &Claim<'_>,
        embed: &dyn Embed,
    ) -> Result<Vec<f32>, EmbedError> {
        let vectors = match self.vectors.take() {
            Some(vectors) => vectors,
            None => {
                let texts: Vec<String> = self
                    .sentences
                    .iter()
                    .map(|sentence| sentence.text.clone())
                    .collect();
                embed
                    .embed(TextRole::Query, &texts)?
                    .into_iter()
                    .map(|embedding| embedding.vector)
                    .collect()
            }
        };
        let similarities = vectors
            .iter()
            .map(|vector| dot(vector, &claim.vector))
            .collect();
        self.vectors = Some(vectors);
        Ok(similarities)
    }

    /// Names are compared only within a language: across languages they are
    /// translated (ITU, UIT; Germany, Allemagne), and meaning has to decide.
    fn has_names(&self, claim: &Claim<'_>, question: &str) -> bool {
        if self.passage.hit.chunk.language != Some(claim.language) {
            return true;
        }
        let question = folded(question);
        names(claim.text).all(|name| self.words.contains(&name) || question.contains(&name))
    }

    /// Widens a quote around its best sentence until it holds the figures, as
    /// far as neighbours do.
    fn window(&self, best: usize, wanted: &[Figure]) -> (usize, usize) {
        let holds = |from: usize, to: usize| {
            let mut figures = Figures::default();
            for sentence in &self.sentences[from..=to] {
                figures.extend(&Figures::of(&sentence.text));
            }
            wanted
                .iter()
                .filter(|figure| figures.contain(figure))
                .count()
        };
        let last = self.sentences.len() - 1;
        let mut window = (best, best);
        let mut held = holds(best, best);
        for width in 2..=LONGEST_QUOTE {
            if held == wanted.len() {
                break;
            }
            for from in best.saturating_sub(width - 1)..=best {
                let to = from + width - 1;
                if to <= last && to >= best && self.together(from, to) && holds(from, to) > held {
                    held = holds(from, to);
                    window = (from, to);
                }
            }
        }
        window
    }

    fn quote(&self, (from, to): (usize, usize), similarity: f32) -> Option<Support> {
        let hit = &self.passage.hit;
        let chunk = &hit.chunk;
        let inside = self.joined(from, to)?;
        let last = self.sentences.len() - 1;
        let before = from.saturating_sub(1);
        let before = if self.together(before, from) {
            before
        } else {
            from
        };
        let after = (to + 1).min(last);
        let after = if self.together(to, after) { after } else { to };
        let around = self.joined(before, after)?;
        let around = Chunk {
            text: around.slice(&chunk.text)?.to_owned(),
            ..chunk.clone()
        };
        Some(Support {
            span: inside.shift(chunk.span.start()),
            quote: inside.slice(&chunk.text)?.to_owned(),
            similarity,
            context: passage_text(&around, &hit.document.title, hit.document.media_type),
            verbatim: false,
        })
    }

    /// Whether two sentences stand in one chunk.
    fn together(&self, from: usize, to: usize) -> bool {
        let part = |at: usize| self.sentences.get(at).map(|placed| placed.part);
        part(from) == part(to)
    }

    /// From the first of two sentences to the end of the second.
    fn joined(&self, from: usize, to: usize) -> Option<Span> {
        Span::new(
            self.sentences[from].span.start(),
            self.sentences[to].span.end(),
        )
    }
}

/// A sentence of a passage, placed in its whole text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlacedSentence {
    /// In characters of the passage's text.
    pub(crate) span: Span,
    pub(crate) text: String,
    /// The chunk of the passage that it is in. What is between chunks is not
    /// the document's own text, so nothing that is quoted goes over it.
    pub(crate) part: usize,
}

/// The sentences of a passage, in their order.
pub(crate) fn placed_sentences(passage: &Passage) -> Vec<PlacedSentence> {
    let whole = &passage.hit.chunk;
    let chunks = if passage.parts.is_empty() {
        std::slice::from_ref(whole)
    } else {
        &passage.parts[..]
    };
    let mut placed = Vec::new();
    for (part, chunk) in chunks.iter().enumerate() {
        let offset = chunk.span.start().saturating_sub(whole.span.start());
        placed.extend(
            sentences(&chunk.text)
                .into_iter()
                .map(|sentence| PlacedSentence {
                    span: sentence.span.shift(offset),
                    text: sentence.text,
                    part,
                }),
        );
    }
    placed
}

/// Words that are written with a capital inside a sentence, and acronyms.
fn names(text: &str) -> impl Iterator<Item = String> {
    text.unicode_words()
        .enumerate()
        .filter(|(position, word)| {
            let mut letters = word.chars().filter(|c| c.is_alphabetic());
            let capital = letters.next().is_some_and(char::is_uppercase);
            let more = letters.clone().any(char::is_uppercase);
            // The first word has its capital from its place.
            capital && (*position > 0 || more) && word.chars().count() > 1
        })
        .map(|(_, word)| folded(word))
}

/// The words of a text, folded, each between blanks.
pub(crate) fn words_of(text: &str) -> String {
    let mut words = String::from(" ");
    for word in folded(text).unicode_words() {
        words.push_str(word);
        words.push(' ');
    }
    words
}

fn holds_verbatim(quote: &str, claim: &str) -> bool {
    let words = words_of(claim);
    words.split_whitespace().count() >= TELLING && words_of(quote).contains(&words)
}

/// Whether a claim only says the question again: no word of it, particles and
/// endings apart, is missing from the question. A question that asks for a yes
/// or a no is answered by just that, so only those that ask for more count.
pub(crate) fn repeats(claim: &str, question: &str, language: Language) -> bool {
    let asked = words_of(question);
    let asked: Vec<&str> = asked.split_whitespace().collect();
    phrases::asks_for_more(question, language)
        && claim.unicode_words().enumerate().all(|(position, word)| {
            let stem: String = folded(word).chars().take(STEM).collect();
            is_particle(word, position == 0) || asked.iter().any(|asked| asked.starts_with(&stem))
        })
}

/// A short word that is no name: without a capital, or with one only from its
/// place; where letters have no case, of at most two.
fn is_particle(word: &str, first: bool) -> bool {
    let length = word.chars().count();
    let mut letters = word.chars();
    match letters.next() {
        Some(letter) if letter.is_numeric() => false,
        Some(letter) if letter.is_lowercase() => length < STEM,
        Some(letter) if letter.is_uppercase() => {
            first && length < STEM && !letters.any(char::is_uppercase)
        }
        _ => length <= 2,
    }
}

/// Lower case without diacritics, for comparing names.
fn folded(text: &str) -> String {
    text.nfkd()
        .filter(|c| !unicode_normalization::char::is_combining_mark(*c))
        .flat_map(char::to_lowercase)
        .collect()
}

/// An item's own number ("2. Spectrum …") is not a figure of the text.
fn without_list_mark(text: &str) -> &str {
    let text = text.trim_start_matches(['-', '*', '•', ' ', '#']);
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let marked = text.len() - rest.len();
    match rest.strip_prefix(['.', ')', '、']) {
        Some(item) if (1..=2).contains(&marked) && item.starts_with([' ', '*', '\u{a0}']) => item,
        _ => text,
    }
}

pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
