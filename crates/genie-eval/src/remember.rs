//! Vectors that were made before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use genie_core::{
    ContentHash, Embed, EmbedError, Embedding, EmbeddingIdentity, LateInteraction, TextRole,
    TokenCodes, TokenVectors, Tongues,
};

/// An embedding model that remembers: a suite of parallel languages asks the
/// same questions of several collections, and has the same texts in them.
pub struct RememberingEmbed {
    inner: Arc<dyn Embed>,
    known: Mutex<HashMap<(TextRole, ContentHash), Embedding>>,
}

impl RememberingEmbed {
    /// Remembers what `inner` says.
    #[must_use]
    pub fn new(inner: Arc<dyn Embed>) -> Self {
        Self {
            inner,
            known: Mutex::default(),
        }
    }
}

impl Embed for RememberingEmbed {
    fn identity(&self) -> &EmbeddingIdentity {
        self.inner.identity()
    }

    fn least_dimension(&self) -> Option<usize> {
        self.inner.least_dimension()
    }

    fn is_running(&self) -> bool {
        self.inner.is_running()
    }

    fn embed(&self, role: TextRole, texts: &[String]) -> Result<Vec<Embedding>, EmbedError> {
        let keys: Vec<_> = texts
            .iter()
            .map(|text| (role, ContentHash::of(text.as_bytes())))
            .collect();
        let mut embeddings: Vec<Option<Embedding>> = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            keys.iter().map(|key| known.get(key).cloned()).collect()
        };
        let new: Vec<usize> = (0..texts.len())
            .filter(|&at| embeddings[at].is_none())
            .collect();
        if !new.is_empty() {
            let asked: Vec<String> = new.iter().map(|&at| texts[at].clone()).collect();
            let made = self.inner.embed(role, &asked)?;
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            for (at, embedding) in new.into_iter().zip(made) {
                known.insert(keys[at], embedding.clone());
                embeddings[at] = Some(embedding);
            }
        }
        Ok(embeddings.into_iter().flatten().collect())
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.inner.count_tokens(text)
    }
}

/// A late interaction that remembers the last query: whoever compares
/// configurations asks each question many times over.
pub struct RememberingTokens {
    inner: Arc<dyn LateInteraction>,
    last: Mutex<Option<(String, Query)>>,
}

type Query = (Embedding, TokenVectors);

impl RememberingTokens {
    /// Remembers what `inner` says.
    #[must_use]
    pub fn new(inner: Arc<dyn LateInteraction>) -> Self {
        Self {
            inner,
            last: Mutex::default(),
        }
    }
}

impl LateInteraction for RememberingTokens {
    fn version(&self) -> &str {
        self.inner.version()
    }

    fn passages(&self, texts: &[String]) -> Result<Vec<(Embedding, TokenCodes)>, EmbedError> {
        self.inner.passages(texts)
    }

    fn query(&self, text: &str) -> Result<Query, EmbedError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, query)) = &*last
            && known == text
        {
            return Ok(query.clone());
        }
        let query = self.inner.query(text)?;
        *last = Some((text.to_owned(), query.clone()));
        Ok(query)
    }

    fn scores(
        &self,
        query: &TokenVectors,
        passages: &[&TokenCodes],
        tongues: Tongues,
    ) -> Vec<Option<f32>> {
        self.inner.scores(query, passages, tongues)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use genie_testkit::FakeEmbed;

    use super::*;

    struct Counting {
        inner: FakeEmbed,
        texts: AtomicUsize,
    }

    impl Embed for Counting {
        fn identity(&self) -> &EmbeddingIdentity {
            self.inner.identity()
        }

        fn embed(&self, role: TextRole, texts: &[String]) -> Result<Vec<Embedding>, EmbedError> {
            self.texts.fetch_add(texts.len(), Ordering::SeqCst);
            self.inner.embed(role, texts)
        }

        fn count_tokens(&self, text: &str) -> usize {
            self.inner.count_tokens(text)
        }
    }

    #[test]
    fn a_text_is_embedded_once() {
        let counting = Arc::new(Counting {
            inner: FakeEmbed::new(),
            texts: AtomicUsize::new(0),
        });
        let embed = RememberingEmbed::new(counting.clone());
        let texts = ["a b", "c", "a b"].map(str::to_owned);
        let first = embed.embed(TextRole::Query, &texts).unwrap();
        assert_eq!(
            first,
            counting.inner.embed(TextRole::Query, &texts).unwrap()
        );
        let again = embed
            .embed(TextRole::Query, &["d".to_owned(), "c".to_owned()])
            .unwrap();
        assert_eq!(again[1], first[1]);
        assert_eq!(counting.texts.load(Ordering::SeqCst), 4);
        // As a passage it is another text: prefixes differ.
        embed.embed(TextRole::Passage, &texts[1..2]).unwrap();
        assert_eq!(counting.texts.load(Ordering::SeqCst), 5);
    }

    #[test]
    fn the_last_query_is_remembered_and_no_other() {
        let tokens = RememberingTokens::new(Arc::new(FakeEmbed::new()));
        let first = tokens.query("a b").unwrap();
        assert_eq!(first, tokens.query("a b").unwrap());
        let other = tokens.query("c").unwrap();
        assert_eq!(other, FakeEmbed::new().query("c").unwrap());
        assert_ne!(other, first);
        assert_eq!(tokens.query("a b").unwrap(), first);
    }
}
