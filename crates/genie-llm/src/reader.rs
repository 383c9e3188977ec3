//! One sequence alone, for tests of the decoder.

use genie_compute::on_pool;

use crate::cache::KvCache;
use crate::decoder::{Decoder, Part};

pub(crate) struct Reader {
    decoder: Decoder,
    cache: KvCache,
}

impl Reader {
    pub(crate) fn new(decoder: Decoder) -> Self {
        let cache = decoder.new_cache().expect("a cache");
        Self { decoder, cache }
    }

    pub(crate) fn forget(&mut self) {
        self.cache.truncate(0);
    }

    /// The logits behind each token.
    pub(crate) fn read(&mut self, tokens: &[u32]) -> Vec<Vec<f32>> {
        self.cache.reserve(tokens.len(), 4096).expect("room");
        let mut parts = [Part {
            tokens,
            wanted: tokens.len(),
            cache: &mut self.cache,
        }];
        let output = on_pool(|| self.decoder.read(&mut parts)).expect("read");
        let output = output.expect("all rows are wanted");
        self.decoder.logits(&output).expect("logits")
    }
}
