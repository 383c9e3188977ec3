//! Which passages are compared with a question.

use std::collections::HashSet;

use genie_core::{Filter, Hit, HybridQuery, Language, Store, StoreError};

/// Of the candidates so many, one of two, are looked for again in other
/// languages.
const FOREIGN: usize = 2;

/// The candidates of a query that is asked in `asked_in`, best first.
///
/// An encoder's vectors of one language lie together: a passage about
/// something else in the question's language is nearer to it than the one that
/// answers in another (`docs/benchmarks/retrieval.md`). So where the best
/// candidates are not in other languages anyway, the best of those are looked
/// for by themselves, and come behind the others, to be put in order by the
/// comparison token by token. Where no codes of tokens are asked for
/// it is one search.
///
/// # Errors
///
/// Fails when the index does.
pub fn candidates_of(
    store: &dyn Store,
    query: &HybridQuery,
    asked_in: Option<Language>,
) -> Result<Vec<Hit>, StoreError> {
    let mut hits = store.search(query)?;
    let own = |hit: &Hit| asked_in.is_some() && hit.chunk.language == asked_in;
    if !query.with_tokens || !hits.iter().any(own) {
        return Ok(hits);
    }
    let mut languages = Language::ALL.to_vec();
    languages.retain(|language| {
        Some(*language) != asked_in
            && (query.filter.languages.is_empty() || query.filter.languages.contains(language))
    });
    if languages.is_empty() {
        return Ok(hits);
    }
    let count = query.candidates.div_ceil(FOREIGN);
    let foreign = HybridQuery {
        filter: Filter {
            languages,
            ..query.filter.clone()
        },
        candidates: count,
        limit: count,
        ..query.clone()
    };
    let known: HashSet<_> = hits.iter().map(|hit| hit.chunk.id).collect();
    let found = store.search(&foreign)?.into_iter();
    // Ranks of two queries have no common order: only what can be compared
    // comes in.
    hits.extend(found.filter(|hit| !known.contains(&hit.chunk.id) && !hit.tokens.0.is_empty()));
    Ok(hits)
}

#[cfg(test)]
mod tests {
    use genie_core::{Fusion, FusionWeights, Point, SparseVector, TokenCodes};
    use genie_testkit::MemoryStore;

    use super::*;
    use crate::fixtures::hit;

    /// Nearer texts first; the cosine falls by a hundredth each.
    fn index(languages: &[Option<Language>]) -> MemoryStore {
        let store = MemoryStore::new();
        for (at, language) in languages.iter().enumerate() {
            let mut hit = hit(&format!("{at}.txt"), "text");
            hit.chunk.language = *language;
            let point = Point {
                chunk: hit.chunk,
                dense: vec![0.9 - at as f32 / 100.0],
                lexical: SparseVector::default(),
                tokens: TokenCodes(vec![1]),
            };
            store.put(&hit.document, vec![point]).expect("in memory");
        }
        store
    }

    fn query(count: usize) -> HybridQuery {
        HybridQuery {
            dense: vec![1.0],
            lexical: SparseVector::default(),
            filter: Filter::default(),
            fusion: Fusion::default(),
            weights: FusionWeights {
                dense: 1.0,
                lexical: 1.0,
            },
            candidates: count,
            limit: count,
            with_tokens: true,
        }
    }

    fn found(store: &MemoryStore, query: &HybridQuery, asked_in: Option<Language>) -> Vec<String> {
        let hits = candidates_of(store, query, asked_in).expect("in memory");
        hits.into_iter().map(|hit| hit.document.uri).collect()
    }

    #[test]
    fn what_can_not_be_compared_does_not_come_in() {
        let store = index(&[OWN, OWN, OWN]);
        let mut hit = hit("old.txt", "text");
        hit.chunk.language = FOREIGN;
        let point = Point {
            chunk: hit.chunk,
            dense: vec![0.5],
            lexical: SparseVector::default(),
            tokens: TokenCodes::default(),
        };
        store.put(&hit.document, vec![point]).expect("in memory");
        assert_eq!(found(&store, &query(2), OWN), ["0.txt", "1.txt"]);
        assert_eq!(found(&store, &query(4), OWN).len(), 4, "nor is it left out");
    }

    const OWN: Option<Language> = Some(Language::Chinese);
    const FOREIGN: Option<Language> = Some(Language::English);

    #[test]
    fn the_best_in_other_languages_come_behind_those_that_are_nearer() {
        let store = index(&[OWN, FOREIGN, OWN, OWN, OWN, FOREIGN, None, FOREIGN, FOREIGN]);
        // Two more, of which one is among the first four.
        assert_eq!(
            found(&store, &query(4), OWN),
            ["0.txt", "1.txt", "2.txt", "3.txt", "5.txt"]
        );
    }

    #[test]
    fn nothing_comes_in_where_others_are_not_crowded_out() {
        let store = index(&[OWN, OWN, OWN, OWN, FOREIGN, FOREIGN]);
        let near = ["0.txt", "1.txt"];
        assert_eq!(found(&store, &query(2), None), near);
        // All are foreign to it anyway.
        assert_eq!(found(&store, &query(2), Some(Language::Russian)), near);
        let dense = HybridQuery {
            with_tokens: false,
            ..query(2)
        };
        assert_eq!(found(&store, &dense, OWN), near, "nothing to compare with");
        let mut own = query(2);
        own.filter.languages = vec![Language::Chinese];
        assert_eq!(found(&store, &own, OWN), near);
        let mut both = query(2);
        both.filter.languages = vec![Language::Chinese, Language::English];
        assert_eq!(found(&store, &both, OWN), ["0.txt", "1.txt", "4.txt"]);
        assert_eq!(found(&store, &query(9), OWN).len(), 6, "none comes twice");
    }
}
