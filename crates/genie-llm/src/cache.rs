//! Keys and values of what was read so far.

use std::ops::Range;

use candle_core::{DType, Device, Result, Tensor};

use crate::config::DecoderConfig;

/// Positions by which a cache grows at least, and of which its room is a
/// multiple.
pub(crate) const BLOCK: usize = 256;

/// Keys and values of every layer. The room grows by doubling, so that a
/// token costs the same wherever it stands.
#[derive(Debug)]
pub(crate) struct KvCache {
    layers: Vec<LayerCache>,
    kv_heads: usize,
    head_dim: usize,
    capacity: usize,
    length: usize,
    device: Device,
}

/// Both of shape [kv_heads, capacity, head_dim].
#[derive(Debug)]
struct LayerCache {
    keys: Tensor,
    values: Tensor,
}

/// Keys and values of some positions that stand next to each other.
#[derive(Debug)]
pub(crate) struct KvBlock {
    layers: Vec<LayerCache>,
    bytes: usize,
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
            layers: Vec::new(),
            bytes,
        }
    }
}

impl KvCache {
    pub(crate) fn new(config: &DecoderConfig, device: &Device) -> Result<Self> {
        let mut cache = Self {
            layers: Vec::new(),
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            capacity: BLOCK,
            length: 0,
            device: device.clone(),
        };
        for _ in 0..config.layers {
            let (keys, values) = (cache.room(BLOCK)?, cache.room(BLOCK)?);
            cache.layers.push(LayerCache { keys, values });
        }
        Ok(cache)
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
        let needed = self.length + count;
        if needed <= self.capacity {
            return Ok(());
        }
        let capacity = needed
            .max((2 * self.capacity).min(limit))
            .next_multiple_of(BLOCK);
        for index in 0..self.layers.len() {
            let (keys, values) = (self.room(capacity)?, self.room(capacity)?);
            let layer = &mut self.layers[index];
            if self.length > 0 {
                let held = |old: &Tensor| old.narrow(1, 0, self.length)?.contiguous();
                keys.slice_set(&held(&layer.keys)?, 1, 0)?;
                values.slice_set(&held(&layer.values)?, 1, 0)?;
            }
            *layer = LayerCache { keys, values };
        }
        self.capacity = capacity;
        Ok(())
    }

    /// Writes a layer's keys and values, each [kv_heads, count, head_dim],
    /// behind what is held, and gives all of them back: each [kv_heads,
    /// length + count, head_dim]. They count as held after
    /// [`KvCache::advance`].
    pub(crate) fn write(
        &mut self,
        layer: usize,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let total = self.length + keys.dim(1)?;
        let layer = &self.layers[layer];
        layer.keys.slice_set(keys, 1, self.length)?;
        layer.values.slice_set(values, 1, self.length)?;
        Ok((
            layer.keys.narrow(1, 0, total)?,
            layer.values.narrow(1, 0, total)?,
        ))
    }

    /// A copy of some positions.
    pub(crate) fn copy(&self, positions: Range<usize>) -> Result<KvBlock> {
        // Not a view: what stands here is written over.
        let copied = |all: &Tensor| {
            all.narrow(1, positions.start, positions.len())?
                .force_contiguous()
        };
        let layers = self
            .layers
            .iter()
            .map(|layer| {
                Ok(LayerCache {
                    keys: copied(&layer.keys)?,
                    values: copied(&layer.values)?,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let numbers = 2 * self.layers.len() * self.kv_heads * positions.len() * self.head_dim;
        Ok(KvBlock {
            layers,
            bytes: numbers * DType::F32.size_in_bytes(),
        })
    }

    /// Puts copied positions behind what is held. There must be room.
    pub(crate) fn append(&mut self, block: &KvBlock) -> Result<()> {
        let mut count = 0;
        for (own, copied) in self.layers.iter().zip(&block.layers) {
            count = copied.keys.dim(1)?;
            own.keys.slice_set(&copied.keys, 1, self.length)?;
            own.values.slice_set(&copied.values, 1, self.length)?;
        }
        self.advance(count);
        Ok(())
    }

    /// Says that every layer has written `count` positions.
    pub(crate) fn advance(&mut self, count: usize) {
        self.length += count;
    }

    fn room(&self, capacity: usize) -> Result<Tensor> {
        Tensor::zeros(
            (self.kv_heads, capacity, self.head_dim),
            DType::F32,
            &self.device,
        )
    }
}
