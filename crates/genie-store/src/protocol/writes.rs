//! Whether a search may take every chunk that it meets for committed.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use genie_core::DocumentId;

/// The writes of one store, as its searches have to know them.
///
/// Reading of each candidate which revision it is of, and of each document
/// which revision is committed, is most of the time of a hybrid query over an
/// index of a hundred thousand chunks. Where nobody else writes, all chunks
/// are committed but those of a document that is being written or whose write
/// failed half way.
#[derive(Debug, Default)]
pub(super) struct Writes(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Whether all other documents are known to be committed.
    known: bool,
    /// Writes begun so far.
    begun: u64,
    /// Documents whose write has begun and not ended well.
    unfinished: HashSet<DocumentId>,
}

impl Writes {
    /// From now on all documents are committed but those that [`Writes`] is
    /// told of.
    pub(super) fn all_committed(&self) {
        self.state().known = true;
    }

    /// Called before the first step of a write.
    pub(super) fn begin(&self, document: DocumentId) {
        let mut state = self.state();
        state.begun += 1;
        state.unfinished.insert(document);
    }

    /// Called after its last step. A write that fails is never finished, until
    /// another one of the same document is.
    pub(super) fn finish(&self, document: &DocumentId) {
        self.state().unfinished.remove(document);
    }

    /// A number that stays the same as long as every chunk is committed;
    /// `None` where that is not so or not known.
    pub(super) fn quiet(&self) -> Option<u64> {
        let state = self.state();
        (state.known && state.unfinished.is_empty()).then_some(state.begun)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_store_that_knows_all_its_writes_is_quiet() {
        let writes = Writes::default();
        assert_eq!(writes.quiet(), None, "others may write");
        writes.all_committed();
        let before = writes.quiet().expect("nothing is written");
        let (one, other) = (DocumentId::of(b"one"), DocumentId::of(b"other"));
        writes.begin(one);
        assert_eq!(writes.quiet(), None);
        writes.begin(other);
        writes.finish(&other);
        assert_eq!(
            writes.quiet(),
            None,
            "the first write has failed or goes on"
        );
        writes.begin(one);
        writes.finish(&one);
        let after = writes.quiet().expect("it was written again");
        assert_ne!(
            before, after,
            "what was read in between may be half a document"
        );
    }
}
