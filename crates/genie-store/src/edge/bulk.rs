//! Much that is written at once is merged once, at its end.

use std::sync::atomic::Ordering;

use genie_core::StoreError;
use qdrant_edge as edge;

use super::engine::EdgeEngine;

/// Segments that may lie beside each other while much is written. Each has a
/// graph of its own; merging them makes a new one, so they are merged once, at
/// the end, and not with each that is added.
const SEGMENTS_OF_BULK_LOAD: usize = 64;

impl EdgeEngine {
    /// From now on segments are indexed, and merged only at the end. Called
    /// under the lock of writers.
    pub(crate) fn begin_bulk_load(&self) -> Result<(), StoreError> {
        self.unmerged.store(false, Ordering::Release);
        self.allow_segments(Some(SEGMENTS_OF_BULK_LOAD))
    }

    /// Merges what has come together since. Called under the lock of writers.
    pub(crate) fn end_bulk_load(&self) -> Result<(), StoreError> {
        self.allow_segments(None)?;
        if self.unmerged.swap(false, Ordering::AcqRel) {
            self.untended.store(0, Ordering::Release);
            self.optimize()?;
        }
        Ok(())
    }

    /// How many segments there may be before some are merged; `None` is what
    /// the engine takes by itself.
    fn allow_segments(&self, number: Option<usize>) -> Result<(), StoreError> {
        self.with_shard(|shard| {
            let optimizers = edge::EdgeOptimizersConfig {
                default_segment_number: number,
                ..shard.config().optimizers.clone()
            };
            shard.set_optimizers_config(optimizers)
        })
    }
}
