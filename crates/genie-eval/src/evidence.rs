//! Where the evidence of gold questions stands, and whether passages cover it.

use std::collections::{BTreeMap, HashMap};

use anyhow::bail;
use genie_core::{DocumentId, Passage, Span};

use crate::answers::Places;
use crate::documents::{Opened, installed};
use crate::evaluate::Plan;
use crate::quote::{Cover, Searchable};
use crate::rank::Ranking;
use crate::suite::{Evidence, Item, Relevant, Target};

/// A quote in the index.
struct Quote {
    document: DocumentId,
    uri: String,
    /// All its places in the document.
    places: Vec<Span>,
    /// Of each place the parts that are in chunks; what is in none, such as a
    /// heading, can't be found.
    parts: Vec<Vec<Span>>,
}

/// Where the evidence of each item stands.
#[derive(Default)]
pub(crate) struct Known<'a> {
    quotes: HashMap<&'a str, Vec<Quote>>,
    /// What the texts of the collection are called.
    names: HashMap<DocumentId, &'a str>,
}

struct InIndex {
    id: DocumentId,
    uri: String,
    text: Searchable,
    chunks: Cover,
}

impl<'a> Known<'a> {
    /// Looks for the evidence of these items.
    pub(crate) fn of(plan: &Plan<'a>, items: &'a [Item], opened: &Opened) -> anyhow::Result<Self> {
        let mut documents: BTreeMap<&str, InIndex> = BTreeMap::new();
        let mut known = Self::default();
        let collection = items.first().and_then(|item| item.collection);
        let collection = collection.and_then(|at| plan.suite.collections.get(at));
        let texts = collection
            .into_iter()
            .flat_map(|collection| &collection.texts);
        known.names = texts.map(|text| (text.id(), text.name.as_str())).collect();
        for item in items {
            let Target::Evidence(evidence) = &item.target else {
                continue;
            };
            let mut quotes = Vec::with_capacity(evidence.len());
            for quote in evidence {
                let name = quote.document.as_str();
                if !documents.contains_key(name) {
                    documents.insert(name, InIndex::of(plan, quote, opened)?);
                }
                if let Some(document) = documents.get(name) {
                    quotes.push(document.locate(quote)?);
                }
            }
            known.quotes.insert(&item.id, quotes);
        }
        Ok(known)
    }

    fn quotes(&self, item: &Item) -> &[Quote] {
        self.quotes
            .get(item.id.as_str())
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// How what an item should find was found.
    pub(crate) fn ranking(&self, item: &Item, passages: &[Passage]) -> Ranking {
        match &item.target {
            Target::Texts(relevant) => rank_texts(relevant, passages),
            Target::Evidence(_) => rank(self.quotes(item), passages),
            Target::Nothing => Ranking::default(),
        }
    }

    /// The documents that hold what an item should find.
    pub(crate) fn wanted(&self, item: &Item) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let mut add = |name: &str| {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        };
        match &item.target {
            Target::Texts(relevant) => {
                let any_of = relevant.iter().flat_map(|relevant| &relevant.any_of);
                any_of
                    .filter_map(|id| self.names.get(id))
                    .for_each(|name| add(name));
            }
            Target::Evidence(evidence) => evidence.iter().for_each(|quote| add(&quote.document)),
            Target::Nothing => {}
        }
        names
    }

    /// Where it stands.
    pub(crate) fn places(&self, item: &Item) -> Places {
        self.quotes(item)
            .iter()
            .map(|quote| (quote.uri.clone(), quote.places.clone()))
            .collect()
    }
}

impl InIndex {
    fn of(plan: &Plan<'_>, quote: &Evidence, opened: &Opened) -> anyhow::Result<Self> {
        let name = quote.document.as_str();
        let store = opened.engine.store();
        if let Some(documents) = plan.documents {
            let Some(document) = documents.parsed(name, &opened.indexer)? else {
                bail!("{}: the documents have no {name}", quote.place);
            };
            // Two equal files are one document, under one of their names.
            let uri = store
                .document(&document.id)?
                .map_or_else(|| document.uri.clone(), |record| record.uri);
            let chunks = store.chunks(&document.id)?;
            return Ok(Self {
                id: document.id,
                uri,
                text: Searchable::new(&document.text),
                chunks: Cover::of(chunks.iter().map(|chunk| chunk.span)),
            });
        }
        let Some((id, uri)) = installed(store, name)? else {
            bail!(
                "{}: the index has no document {name}; ingest it, or name the folder of the \
                 documents with --documents",
                quote.place
            );
        };
        let chunks = store.chunks(&id)?;
        // The index keeps no text but that of chunks: spaces stand for what
        // is between them.
        let mut text = String::new();
        let mut length = 0;
        for chunk in &chunks {
            text.extend(std::iter::repeat_n(
                ' ',
                chunk.span.start().saturating_sub(length),
            ));
            text.push_str(&chunk.text);
            length = chunk.span.end();
        }
        Ok(Self {
            id,
            uri,
            text: Searchable::new(&text),
            chunks: Cover::of(chunks.iter().map(|chunk| chunk.span)),
        })
    }

    fn locate(&self, quote: &Evidence) -> anyhow::Result<Quote> {
        let places = self.text.find(&quote.quote);
        if places.is_empty() {
            bail!(
                "{}: this quote does not stand in {}: {:?}",
                quote.place,
                self.uri,
                quote.quote.chars().take(80).collect::<String>()
            );
        }
        Ok(Quote {
            document: self.id,
            uri: self.uri.clone(),
            parts: places
                .iter()
                .map(|place| self.chunks.within(*place))
                .collect(),
            places,
        })
    }
}

/// The rank of each quote: that of the chunk which, with those before it,
/// covers one of its places.
fn rank(quotes: &[Quote], passages: &[Passage]) -> Ranking {
    let mut covers: HashMap<DocumentId, Cover> = HashMap::new();
    let mut ranks: Vec<Option<usize>> = vec![None; quotes.len()];
    for (at, passage) in passages.iter().enumerate() {
        let document = passage.hit.document.id;
        let cover = covers.entry(document).or_default();
        cover.add(passage.hit.chunk.span);
        for (quote, rank) in quotes.iter().zip(&mut ranks) {
            let covered = |parts: &Vec<Span>| {
                !parts.is_empty() && parts.iter().all(|part| cover.holds(*part))
            };
            if rank.is_none() && quote.document == document && quote.parts.iter().any(covered) {
                *rank = Some(at + 1);
            }
        }
    }
    Ranking {
        found: ranks.into_iter().map(|rank| (rank, 1.0)).collect(),
        whole: true,
    }
}

/// The rank of each relevant text among the texts that were found.
fn rank_texts(relevant: &[Relevant], passages: &[Passage]) -> Ranking {
    let mut texts: Vec<DocumentId> = Vec::new();
    for passage in passages {
        if !texts.contains(&passage.hit.document.id) {
            texts.push(passage.hit.document.id);
        }
    }
    let rank = |relevant: &Relevant| {
        texts
            .iter()
            .position(|text| relevant.any_of.contains(text))
            .map(|at| at + 1)
    };
    Ranking {
        found: relevant
            .iter()
            .map(|relevant| (rank(relevant), relevant.grade))
            .collect(),
        whole: false,
    }
}
