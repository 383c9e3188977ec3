//! Made-up documents: texts from sentences of the starter corpus, vectors from
//! the embedding model or drawn around those ([`Base`]).

use std::collections::HashSet;

use anyhow::ensure;
use genie_core::{
    BlockKind, Chunk, ChunkId, ContentHash, Date, DocumentId, DocumentRecord, Language, Lexical,
    MediaType, Point, Span, TextRole, TokenCodes,
};
use genie_ingest::{Limits, Source, parse, readable};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::base::Base;
use crate::starter;

/// Documents have dates from the first of these years to the last.
pub(super) const FIRST_YEAR: i16 = 2010;
pub(super) const LAST_YEAR: i16 = 2025;

/// Bytes of a passage's text, at least and at most; 1.4 kB in the middle.
const TEXT: std::ops::Range<usize> = 800..2000;
/// Draws of a sentence for one passage.
const TRIES: usize = 200;
/// How often a sentence comes from the document's article and not from another
/// one in its language.
const OWN: f64 = 0.7;
/// Chunks of a document are 2 to this power: 4 to 256, 61 in the mean.
const DOCUMENT: std::ops::Range<f64> = 2.0..8.0;

/// An article of the starter corpus in sentences.
pub(super) struct Article {
    pub(super) title: String,
    pub(super) language: Language,
    labels: Vec<String>,
    sentences: Vec<String>,
}

impl Article {
    /// The highest label of the article, which others share.
    pub(super) fn area(&self) -> Option<&str> {
        let label = self.labels.first()?;
        Some(label.split('/').next().unwrap_or(label))
    }
}

/// What texts are made of.
pub(super) struct Corpus {
    pub(super) articles: Vec<Article>,
    seed: u64,
}

/// A passage before it has a place in a document.
pub(super) struct Passage {
    pub(super) article: usize,
    pub(super) text: String,
}

impl Corpus {
    /// The articles that come with the program.
    pub(super) fn read(seed: u64) -> anyhow::Result<Self> {
        let mut articles = Vec::new();
        for (uri, bytes) in starter::articles() {
            let source = Source {
                bytes,
                uri: &uri,
                media_type: None,
            };
            let document = parse(&source, &Limits::default())?;
            let mut sentences = Vec::new();
            for block in &document.blocks {
                if let (BlockKind::Paragraph | BlockKind::ListItem, Some(text)) =
                    (block.kind, block.span.slice(&document.text))
                {
                    split(&readable(document.media_type, text), &mut sentences);
                }
            }
            if let (Some(language), false) = (document.language, sentences.is_empty()) {
                articles.push(Article {
                    title: document.title,
                    language,
                    labels: document.labels,
                    sentences,
                });
            }
        }
        ensure!(!articles.is_empty(), "the program comes without articles");
        Ok(Self { articles, seed })
    }

    /// Chance for one purpose, the same in every run of this seed.
    pub(super) fn random(&self, purpose: &str) -> StdRng {
        let name = format!("{purpose} {}", self.seed);
        StdRng::from_seed(*ContentHash::of(name.as_bytes()).as_bytes())
    }

    pub(super) fn any_article(&self, random: &mut impl Rng) -> &Article {
        &self.articles[random.random_range(0..self.articles.len())]
    }

    pub(super) fn any_sentence<'a>(&self, article: &'a Article, random: &mut impl Rng) -> &'a str {
        article.sentences.choose(random).map_or("", String::as_str)
    }

    /// Sentences of one article, and some of others in its language.
    pub(super) fn passage(&self, article: usize, random: &mut impl Rng) -> Passage {
        let of = &self.articles[article];
        let wanted = random.random_range(TEXT);
        let mut text = String::with_capacity(wanted + 300);
        let mut used = HashSet::new();
        // A short article in a language with few others may have too little.
        for _ in 0..TRIES {
            if text.len() >= wanted {
                break;
            }
            let mut from = article;
            if !random.random_bool(OWN) {
                let other = random.random_range(0..self.articles.len());
                if self.articles[other].language == of.language {
                    from = other;
                }
            }
            let sentences = &self.articles[from].sentences;
            let sentence = random.random_range(0..sentences.len());
            // Saying it twice would make texts smaller than real ones.
            if !used.insert((from, sentence)) {
                continue;
            }
            if !text.is_empty() && of.language != Language::Chinese {
                text.push(' ');
            }
            text.push_str(&sentences[sentence]);
        }
        Passage { article, text }
    }

    /// Makes up documents with so many chunks in all.
    pub(super) fn documents<'a>(&'a self, base: &'a Base, chunks: usize) -> Documents<'a> {
        let mut unused = vec![Vec::new(); self.articles.len()];
        for (number, passage) in base.passages.iter().enumerate().take(chunks) {
            unused[passage.article].push(number);
        }
        Documents {
            corpus: self,
            base,
            random: self.random("documents"),
            unused,
            made: 0,
            left: chunks,
        }
    }
}

/// The documents of one index, one after the other.
pub(super) struct Documents<'a> {
    corpus: &'a Corpus,
    base: &'a Base,
    random: StdRng,
    /// Encoded passages of each article that are in no document yet.
    unused: Vec<Vec<usize>>,
    made: usize,
    left: usize,
}

/// The document of this number, the same in every index.
pub(super) fn document_id(number: usize) -> DocumentId {
    DocumentId::of(format!("made-up document {number}").as_bytes())
}

impl Documents<'_> {
    /// The next document with its chunks.
    pub(super) fn next(&mut self, lexical: &dyn Lexical) -> Option<(DocumentRecord, Vec<Point>)> {
        if self.left == 0 {
            return None;
        }
        let id = document_id(self.made);
        let size = self.random.random_range(DOCUMENT).exp2() as usize;
        let number = self.article();
        // No longer than there are passages for, until all have been used.
        let open = match self.unused[number].len() {
            0 => usize::MAX,
            open => open,
        };
        let size = size.min(open).min(self.left);
        let article = &self.corpus.articles[number];
        let record = DocumentRecord {
            id,
            uri: format!("made-up/{}/{:06}.md", article.language, self.made),
            title: format!("{} {}", article.title, self.made),
            media_type: MediaType::Markdown,
            bytes: 0,
            language: Some(article.language),
            labels: article.labels.clone(),
            date: Date::new(
                self.random.random_range(FIRST_YEAR..=LAST_YEAR),
                self.random.random_range(1..=12),
                self.random.random_range(1..=28),
            ),
            chunks: u32::try_from(size).unwrap_or(u32::MAX),
        };
        let mut start = 0;
        let points = (0..record.chunks)
            .map(|ordinal| {
                let (passage, dense, tokens) = self.passage(number);
                // As in reports, something is named that hardly another does.
                let text = format!("{} (REF/{}/{ordinal})", passage, self.made);
                let end = start + text.chars().count();
                let span = Span::new(start, end)?;
                start = end + 2;
                let language = Some(article.language);
                Some(Point {
                    lexical: lexical.lexical(
                        TextRole::Passage,
                        &format!("{}\n{text}", record.title),
                        language,
                    ),
                    dense,
                    tokens,
                    chunk: Chunk {
                        id: ChunkId::new(&id, "made up", span),
                        document: id,
                        ordinal,
                        span,
                        text,
                        section: vec![article.title.clone()],
                        page: Some(1 + ordinal / 3),
                        language,
                    },
                })
            })
            .collect::<Option<Vec<_>>>()?;
        self.made += 1;
        self.left -= size;
        Some((record, points))
    }

    /// The article of the next document: one with passages that nothing has
    /// used, as long as there is one.
    fn article(&mut self) -> usize {
        let open: Vec<usize> = (0..self.unused.len())
            .filter(|article| !self.unused[*article].is_empty())
            .collect();
        match open.choose(&mut self.random) {
            Some(article) => *article,
            None => loop {
                let article = self.random.random_range(0..self.unused.len());
                if !self.base.by_article[article].is_empty() {
                    break article;
                }
            },
        }
    }

    /// An encoded passage of the article, or one that is made up around one.
    fn passage(&mut self, article: usize) -> (String, Vec<f32>, TokenCodes) {
        if let Some(number) = self.unused[article].pop() {
            let text = self.base.passages[number].text.clone();
            let vector = self.base.vector(number).to_vec();
            return (text, vector, self.base.codes(number));
        }
        let near = self.base.by_article[article].choose(&mut self.random);
        let near = near.copied().unwrap_or_default();
        let vector = self.base.near(near, &mut self.random);
        let passage = self.corpus.passage(article, &mut self.random);
        // Those of another text: what is read and compared is as much.
        (passage.text, vector, self.base.codes(near))
    }
}

/// Cuts running text behind its full stops.
fn split(text: &str, sentences: &mut Vec<String>) {
    let mut start = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let end = at + character.len_utf8();
        let next = characters.peek().map(|(_, next)| *next);
        let over = match character {
            '。' | '！' | '？' => true,
            '.' | '!' | '?' | '؟' => next.is_none_or(char::is_whitespace),
            _ => next.is_none(),
        };
        if over {
            let sentence = text[start..end].trim();
            // What is shorter is an abbreviation or a number.
            if sentence.chars().count() > 8 {
                sentences.push(sentence.to_owned());
            }
            start = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct NoWords;

    impl Lexical for NoWords {
        fn version(&self) -> &str {
            "none"
        }

        fn lexical(&self, _: TextRole, _: &str, _: Option<Language>) -> genie_core::SparseVector {
            genie_core::SparseVector::default()
        }
    }

    fn base(corpus: &Corpus, count: usize) -> Base {
        let passages = Base::passages(corpus, count);
        let mut random = corpus.random("vectors");
        let mut vectors = Vec::new();
        for _ in 0..count {
            let vector: Vec<f32> = (0..8).map(|_| random.random_range(-1.0..1.0)).collect();
            let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
            vectors.extend(vector.iter().map(|x| x / length));
        }
        Base::of(corpus, passages, vectors)
    }

    #[test]
    fn sentences_end_where_they_do() {
        let mut sentences = Vec::new();
        split(
            "A cable of 3.5 km was laid. Is that long enough? 电缆铺设在海底很多年。下一句也很长很长很长的。 no full stop here",
            &mut sentences,
        );
        assert_eq!(
            sentences,
            [
                "A cable of 3.5 km was laid.",
                "Is that long enough?",
                "电缆铺设在海底很多年。",
                "下一句也很长很长很长的。",
                "no full stop here"
            ]
        );
    }

    #[test]
    fn documents_have_as_many_chunks_as_asked_for_and_are_the_same_each_time() {
        let corpus = Corpus::read(3).expect("articles");
        let base = base(&corpus, 100);
        let made = |chunks| {
            let mut documents = corpus.documents(&base, chunks);
            std::iter::from_fn(|| documents.next(&NoWords)).collect::<Vec<_>>()
        };
        let documents = made(700);
        let chunks: usize = documents.iter().map(|(_, points)| points.len()).sum();
        assert_eq!(chunks, 700);
        assert_eq!(documents, made(700));
        for (record, points) in &documents {
            assert_eq!(record.chunks as usize, points.len());
            for point in points {
                let length: f32 = point.dense.iter().map(|x| x * x).sum();
                assert!((length - 1.0).abs() < 1e-3, "{length}");
                assert!(point.chunk.text.len() > TEXT.start / 2);
                assert_eq!(point.chunk.document, record.id);
            }
        }
        let used = documents
            .iter()
            .flat_map(|(_, points)| points)
            .filter(|point| (0..base.len()).any(|number| base.vector(number) == &*point.dense))
            .count();
        assert_eq!(used, 100, "every encoded passage is used once");
    }
}
