//! Keys and values of what was read so far.

use std::sync::Arc;

use candle_core::{Device, Result, Tensor, bail};
use genie_compute::{KvPage, KvPages, KvPrecision, KvShape};

use crate::config::DecoderConfig;
use crate::device_cache::{DeviceBlock, DeviceCache};

/// Positions of a block, which is what sequences have in common.
pub(crate) const BLOCK: usize = KvPages::PAGE;

/// Keys and values of every layer.
#[derive(Debug)]
pub(crate) struct KvCache {
    place: Place,
    length: usize,
}

#[derive(Debug)]
enum Place {
    /// On the processor, in pages that sequences share.
    Pages(KvPages),
    /// On another device, as tensors.
    Device(DeviceCache),
}

/// Keys and values of [`BLOCK`] positions.
#[derive(Debug, Clone)]
pub(crate) struct KvBlock {
    content: Content,
    bytes: usize,
}

#[derive(Debug, Clone)]
enum Content {
    Page(Arc<KvPage>),
    Device(Arc<DeviceBlock>),
    #[cfg(test)]
    Nothing,
}

impl KvBlock {
    /// Bytes in memory.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Without content, for tests of who keeps what.
    #[cfg(test)]
    pub(crate) const fn sized(bytes: usize) -> Self {
        Self {
            content: Content::Nothing,
            bytes,
        }
    }
}

impl KvCache {
    pub(crate) fn new(
        config: &DecoderConfig,
        precision: KvPrecision,
        device: &Device,
    ) -> Result<Self> {
        let place = if device.is_cpu() {
            Place::Pages(KvPages::new(KvShape {
                layers: config.layers,
                heads: config.kv_heads,
                width: config.head_dim,
                precision,
            }))
        } else {
            Place::Device(DeviceCache::new(config, device)?)
        };
        Ok(Self { place, length: 0 })
    }

    /// Bytes of a position's keys and values.
    pub(crate) fn token_bytes(&self) -> usize {
        match &self.place {
            Place::Pages(pages) => pages.shape().page_bytes() / BLOCK,
            Place::Device(cache) => cache.token_bytes(),
        }
    }

    /// Positions held.
    pub(crate) const fn len(&self) -> usize {
        self.length
    }

    /// Forgets what stands behind the first `length` positions.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// Makes room for `count` more positions, of `limit` in all.
    pub(crate) fn reserve(&mut self, count: usize, limit: usize) -> Result<()> {
        match &mut self.place {
            // One more whenever the last is full.
            Place::Pages(_) => Ok(()),
            Place::Device(cache) => cache.reserve(self.length, count, limit),
        }
    }

    /// Writes a layer's keys and values, each [kv_heads, count, head_dim],
    /// behind what is held, and gives what `queries`, [heads, count,
    /// head_dim], of the same positions see: [count, heads * head_dim]. They
    /// count as held after [`KvCache::advance`].
    ///
    /// A position sees `window` of them at most; `mask` says the same for
    /// devices other than the processor.
    pub(crate) fn attend(
        &mut self,
        layer: usize,
        [queries, keys, values]: [&Tensor; 3],
        window: usize,
        mask: Option<&Tensor>,
    ) -> Result<Tensor> {
        match &mut self.place {
            Place::Pages(pages) => {
                pages.write(layer, self.length, keys, values)?;
                pages.attend(layer, queries, self.length + keys.dim(1)?, window)
            }
            Place::Device(cache) => cache.attend(layer, self.length, [queries, keys, values], mask),
        }
    }

    /// The block that begins at position `start`, all of which is held.
    pub(crate) fn block(&self, start: usize) -> Result<KvBlock> {
        match &self.place {
            Place::Pages(pages) => {
                let Some(page) = pages
                    .page(start / BLOCK)
                    .filter(|_| start.is_multiple_of(BLOCK))
                else {
                    bail!("no page at position {start} of {}", self.length);
                };
                Ok(KvBlock {
                    content: Content::Page(page),
                    bytes: pages.shape().page_bytes(),
                })
            }
            Place::Device(cache) => {
                let (block, bytes) = cache.copy(start..start + BLOCK)?;
                Ok(KvBlock {
                    content: Content::Device(Arc::new(block)),
                    bytes,
                })
            }
        }
    }

    /// Puts a block behind what is held, which are whole blocks. There must be
    /// room.
    pub(crate) fn append(&mut self, block: &KvBlock) -> Result<()> {
        match (&mut self.place, &block.content) {
            (Place::Pages(pages), Content::Page(page)) if self.length.is_multiple_of(BLOCK) => {
                pages.truncate(self.length / BLOCK);
                pages.push(Arc::clone(page));
            }
            (Place::Device(cache), Content::Device(block)) => cache.append(self.length, block)?,
            _ => bail!("a block of another cache, at position {}", self.length),
        }
        self.advance(BLOCK);
        Ok(())
    }

    /// Says that every layer has written `count` positions.
    pub(crate) fn advance(&mut self, count: usize) {
        self.length += count;
    }
}
