//! What the model reads: whole passages, or of each the sentences that come
//! closest to the question.

use std::collections::{BTreeMap, BTreeSet};

use genie_core::{
    Chunk, Embed, EmbedError, Generate, LateInteraction, Passage, TextRole, TokenCodes, Tongues,
};

use crate::index::passage_text;
use crate::sentences::is_point;
use crate::support::{PlacedSentence, dot, placed_sentences};

/// Sentences before and behind a close one that are read with it.
const NEIGHBOURS: usize = 1;
/// Characters of a document's title before its sentences. A title may be
/// longer than they are.
const LONGEST_TITLE: usize = 80;
/// The score of a text that has no token to compare: no cosine is below it.
pub(crate) const FARTHEST: f32 = -1.0;

/// The passages that the model reads, best first; the model knows them by
/// their position, counted from 1.
pub(crate) struct Packed<'a> {
    pub(crate) passages: Vec<&'a Passage>,
    pub(crate) text: String,
    /// What was taken of them, to be quoted if need be.
    pub(crate) sentences: Vec<ReadSentence>,
}

/// A sentence of a packed passage, read by the embedding model.
pub(crate) struct ReadSentence {
    /// The packed passage, counted from 0.
    pub(crate) passage: usize,
    /// The sentence of that passage, counted from 0.
    pub(crate) sentence: usize,
    reading: Reading,
}

/// What the embedding model made of a text.
struct Reading {
    vector: Vec<f32>,
    codes: TokenCodes,
}

/// How texts are compared: token by token, or by the cosine of their vectors.
#[derive(Clone, Copy)]
pub(crate) struct Comparison<'a> {
    pub(crate) late: Option<&'a dyn LateInteraction>,
    pub(crate) embed: &'a dyn Embed,
}

impl Comparison<'_> {
    fn read(self, texts: &[String]) -> Result<Vec<Reading>, EmbedError> {
        Ok(match self.late {
            Some(late) => late
                .passages(texts)?
                .into_iter()
                .map(|(embedding, codes)| Reading {
                    vector: embedding.vector,
                    codes,
                })
                .collect(),
            None => self
                .embed
                .embed(TextRole::Passage, texts)?
                .into_iter()
                .map(|embedding| Reading {
                    vector: embedding.vector,
                    codes: TokenCodes::default(),
                })
                .collect(),
        })
    }

    /// How near a text is to each of those that were read.
    fn scores(self, text: &str, read: &[&Reading]) -> Result<Vec<f32>, EmbedError> {
        if let Some(late) = self.late {
            let (_, tokens) = late.query(text)?;
            let codes: Vec<&TokenCodes> = read.iter().map(|reading| &reading.codes).collect();
            let scores = late.scores(&tokens, &codes, Tongues::Several).into_iter();
            return Ok(scores.map(|score| score.unwrap_or(FARTHEST)).collect());
        }
        let mut query = self.embed.embed(TextRole::Query, &[text.to_owned()])?;
        let query = query.pop().map(|query| query.vector).unwrap_or_default();
        Ok(read
            .iter()
            .map(|reading| dot(&reading.vector, &query))
            .collect())
    }

    /// The same for sentences that were taken, nearest first.
    pub(crate) fn nearest<'s>(
        self,
        text: &str,
        sentences: &'s [ReadSentence],
    ) -> Result<Vec<&'s ReadSentence>, EmbedError> {
        let read: Vec<&Reading> = sentences.iter().map(|taken| &taken.reading).collect();
        let scores = self.scores(text, &read)?;
        let mut order: Vec<(&ReadSentence, f32)> = sentences.iter().zip(scores).collect();
        order.sort_by(|left, right| right.1.total_cmp(&left.1));
        Ok(order.into_iter().map(|(sentence, _)| sentence).collect())
    }
}

/// Takes whole passages in their order while they fit into so many tokens. The
/// first one is always taken: chunks are far smaller than any sensible budget.
pub(crate) fn pack<'a>(
    passages: &'a [Passage],
    budget: usize,
    generate: &dyn Generate,
    comparison: Comparison<'_>,
) -> Result<Packed<'a>, EmbedError> {
    let entries = passages.iter().map(|passage| {
        let (chunk, document) = (&passage.hit.chunk, &passage.hit.document);
        let text = passage_text(chunk, &document.title, document.media_type);
        (passage, text)
    });
    let (mut packed, _) = numbered(entries, budget, generate);
    let mut places = Vec::new();
    let mut texts = Vec::new();
    for (number, passage) in packed.passages.iter().enumerate() {
        for (position, placed) in placed_sentences(passage).into_iter().enumerate() {
            places.push((number, position));
            texts.push(under_heading(passage, &placed));
        }
    }
    packed.sentences = comparison
        .read(&texts)?
        .into_iter()
        .zip(places)
        .map(|(reading, (passage, sentence))| ReadSentence {
            passage,
            sentence,
            reading,
        })
        .collect();
    Ok(packed)
}

/// Takes the sentences of all passages that are nearest to what is asked, at
/// most so many, each with its neighbours and under its passage's heading. A
/// small model makes more of a few lines than of pages, and reads them in a
/// fraction of the time (`docs/benchmarks/answers.md`).
pub(crate) fn excerpts<'a>(
    passages: &'a [Passage],
    asked: &str,
    count: usize,
    budget: usize,
    generate: &dyn Generate,
    comparison: Comparison<'_>,
) -> Result<Packed<'a>, EmbedError> {
    let sentences: Vec<Vec<PlacedSentence>> = passages.iter().map(placed_sentences).collect();
    let mut places = Vec::new();
    let mut texts = Vec::new();
    for (at, (passage, sentences)) in passages.iter().zip(&sentences).enumerate() {
        for (position, placed) in sentences.iter().enumerate() {
            places.push((at, position));
            texts.push(under_heading(passage, placed));
        }
    }
    let read = comparison.read(&texts)?;
    let scores = comparison.scores(asked, &read.iter().collect::<Vec<_>>())?;
    // A sentence is as far from a question in another language as its passage.
    let foreign = |at: usize| passages[at].stages.foreign.unwrap_or_default();
    let scores = scores.into_iter().zip(&places);
    let mut best: Vec<(usize, f32)> = scores
        .map(|(score, (at, _))| score + foreign(*at))
        .enumerate()
        .collect();
    best.sort_by(|left, right| right.1.total_cmp(&left.1));

    let mut order: Vec<usize> = Vec::new();
    let mut taken: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (sentence, _) in best.into_iter().take(count) {
        let (passage, position) = places[sentence];
        if !order.contains(&passage) {
            order.push(passage);
        }
        let among = &sentences[passage];
        let around = position.saturating_sub(NEIGHBOURS)..=position + NEIGHBOURS;
        taken.entry(passage).or_default().extend(
            // What is between two chunks is not the document's own text.
            around.filter(|near| {
                among
                    .get(*near)
                    .is_some_and(|placed| placed.part == among[position].part)
            }),
        );
    }
    let entries = order.iter().map(|at| {
        let text = excerpt(&passages[*at], &sentences[*at], &taken[at]);
        (&passages[*at], text)
    });
    let (mut packed, fitting) = numbered(entries, budget, generate);
    for (reading, (passage, sentence)) in read.into_iter().zip(places) {
        let number = fitting.iter().position(|entry| order[*entry] == passage);
        if let Some(number) = number
            && taken[&passage].contains(&sentence)
        {
            packed.sentences.push(ReadSentence {
                passage: number,
                sentence,
                reading,
            });
        }
    }
    Ok(packed)
}

/// A sentence under the heading that it stands under, without which "it is
/// repaired within ten days" is about nothing.
fn under_heading(passage: &Passage, sentence: &PlacedSentence) -> String {
    let section = passage.hit.chunk.section.last();
    let heading = section.map_or("", |heading| heading.trim());
    format!("{heading}\n{}", sentence.text)
}

/// These sentences of a passage under its heading, with a sign where others
/// are left out.
fn excerpt(passage: &Passage, sentences: &[PlacedSentence], taken: &BTreeSet<usize>) -> String {
    let mut text = String::new();
    let mut before = None;
    for position in taken {
        if let Some(before) = before {
            text.push_str(if before + 1 != *position {
                " … "
            } else if is_point(&sentences[*position].text) {
                // In one line a list can't be told from a sentence.
                "\n"
            } else {
                " "
            });
        }
        text.push_str(&sentences[*position].text);
        before = Some(*position);
    }
    let document = &passage.hit.document;
    let title: String = document.title.trim().chars().take(LONGEST_TITLE).collect();
    let shown = Chunk {
        text,
        ..passage.hit.chunk.clone()
    };
    passage_text(&shown, &title, document.media_type)
}

/// Numbers texts while they fit, and says which of them did.
fn numbered<'a>(
    entries: impl Iterator<Item = (&'a Passage, String)>,
    budget: usize,
    generate: &dyn Generate,
) -> (Packed<'a>, Vec<usize>) {
    let mut packed = Packed {
        passages: Vec::new(),
        text: String::new(),
        sentences: Vec::new(),
    };
    let mut fitting = Vec::new();
    let mut used = 0;
    for (at, (passage, text)) in entries.enumerate() {
        let number = packed.passages.len() + 1;
        let entry = format!("[{number}] {}\n\n", text.trim());
        let tokens = generate.count_tokens(&entry);
        if used + tokens > budget && !packed.passages.is_empty() {
            continue;
        }
        used += tokens;
        packed.text.push_str(&entry);
        packed.passages.push(passage);
        fitting.push(at);
    }
    (packed, fitting)
}

#[cfg(test)]
mod tests {
    use genie_testkit::{FakeEmbed, FakeGenerate};

    use crate::fixtures::passage;

    use super::*;

    const CABLES: &str = "Cables are laid by ships. They rest on the sea floor. \
        A ship repairs a damaged cable within ten days. It then sails on. \
        Anchors cause most damage.";
    const MASTS: &str = "Masts are built on hills. Wind bends them.";
    const ASKED: &str = "A ship repairs a damaged cable within how many days?";

    /// What the model reads, and the sentences that may be quoted.
    fn read(count: usize, budget: usize) -> (String, Vec<(usize, usize)>) {
        let passages = [passage("masts.txt", MASTS), passage("cables.txt", CABLES)];
        let embed = FakeEmbed::new();
        let comparison = Comparison {
            late: Some(&embed),
            embed: &embed,
        };
        let generate = FakeGenerate::new();
        let packed = if count == 0 {
            pack(&passages, budget, &generate, comparison)
        } else {
            excerpts(&passages, ASKED, count, budget, &generate, comparison)
        };
        let packed = packed.expect("the fakes never fail");
        let places = packed.sentences.iter();
        let places = places.map(|read| (read.passage, read.sentence)).collect();
        (packed.text, places)
    }

    #[test]
    fn the_nearest_sentence_is_read_with_its_neighbours() {
        let (text, places) = read(1, 1000);
        assert_eq!(
            text,
            "[1] They rest on the sea floor. A ship repairs a damaged cable within ten days. \
             It then sails on.\n\n"
        );
        assert_eq!(places, [(0, 1), (0, 2), (0, 3)]);
    }

    #[test]
    fn a_sentence_makes_up_for_its_distance_as_its_passage_does() {
        let mut masts = passage("masts.txt", MASTS);
        masts.stages.foreign = Some(2.0);
        let passages = [passage("cables.txt", CABLES), masts];
        let embed = FakeEmbed::new();
        let comparison = Comparison {
            late: Some(&embed),
            embed: &embed,
        };
        let packed = excerpts(&passages, ASKED, 1, 1000, &FakeGenerate::new(), comparison);
        let text = packed.expect("the fakes never fail").text;
        assert!(text.starts_with("[1] Masts"), "{text}");
    }

    #[test]
    fn all_that_is_wanted_is_all_that_there_is() {
        let (text, places) = read(100, 1000);
        assert!(text.starts_with("[1] Cables are laid by ships."), "{text}");
        assert!(text.contains("\n\n[2] Masts are built on hills. Wind bends them."));
        assert_eq!(places.len(), 7);
    }

    #[test]
    fn points_of_a_list_stay_in_their_lines() {
        let list = "The benefits are these.\n- A ship repairs a damaged cable\n- Anchors wait\n";
        let passages = [passage("list.txt", list)];
        let embed = FakeEmbed::new();
        let comparison = Comparison {
            late: None,
            embed: &embed,
        };
        let packed = excerpts(&passages, ASKED, 9, 1000, &FakeGenerate::new(), comparison);
        let text = packed.expect("the fakes never fail").text;
        assert!(
            text.contains("these.\n- A ship repairs a damaged cable\n- Anchors"),
            "{text}"
        );
    }

    #[test]
    fn whole_passages_keep_their_order() {
        let (text, places) = read(0, 1000);
        assert!(text.starts_with("[1] Masts are built on hills."), "{text}");
        assert!(text.contains("[2] Cables are laid by ships."), "{text}");
        assert_eq!(places.len(), 7);
    }

    #[test]
    fn what_does_not_fit_is_neither_read_nor_quoted() {
        for count in [0, 100] {
            let (text, places) = read(count, 1);
            assert!(!text.contains("[2]"), "{text}");
            assert!(places.iter().all(|(passage, _)| *passage == 0));
        }
    }

    #[test]
    fn a_long_title_does_not_crowd_out_the_sentences() {
        let mut long = passage("cables.txt", CABLES);
        long.hit.document.title = "Report ".repeat(100);
        let embed = FakeEmbed::new();
        let comparison = Comparison {
            late: None,
            embed: &embed,
        };
        let passages = [long];
        let packed = excerpts(&passages, ASKED, 1, 1000, &FakeGenerate::new(), comparison);
        let text = packed.expect("the fakes never fail").text;
        assert!(text.chars().count() < 300, "{text}");
        assert!(text.contains("within ten days"), "{text}");
    }
}
