//! Keys and values on a device that has no pages: tensors that grow.

use std::ops::Range;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::ops;

use crate::config::DecoderConfig;

/// Positions by which the room grows at least, and of which it is a multiple.
pub(crate) const ROOM: usize = 256;

/// Keys and values of every layer. The room grows by doubling, so that a
/// token costs the same wherever it stands.
#[derive(Debug)]
pub(crate) struct DeviceCache {
    layers: Vec<LayerCache>,
    kv_heads: usize,
    head_dim: usize,
    capacity: usize,
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
pub(crate) struct DeviceBlock(Vec<LayerCache>);

impl DeviceCache {
    pub(crate) fn new(config: &DecoderConfig, device: &Device) -> Result<Self> {
        let mut cache = Self {
            layers: Vec::new(),
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            capacity: ROOM,
            device: device.clone(),
        };
        for _ in 0..config.layers {
            let (keys, values) = (cache.room(ROOM)?, cache.room(ROOM)?);
            cache.layers.push(LayerCache { keys, values });
        }
        Ok(cache)
    }

    /// Bytes of a position's keys and values.
    pub(crate) fn token_bytes(&self) -> usize {
        2 * self.layers.len() * self.kv_heads * self.head_dim * DType::F32.size_in_bytes()
    }

    /// Makes room for `count` positions behind the first `length`, of `limit`
    /// in all.
    pub(crate) fn reserve(&mut self, length: usize, count: usize, limit: usize) -> Result<()> {
        let needed = length + count;
        if needed <= self.capacity {
            return Ok(());
        }
        let capacity = needed
            .max((2 * self.capacity).min(limit))
            .next_multiple_of(ROOM);
        for index in 0..self.layers.len() {
            let (keys, values) = (self.room(capacity)?, self.room(capacity)?);
            let layer = &mut self.layers[index];
            if length > 0 {
                let held = |old: &Tensor| old.narrow(1, 0, length)?.contiguous();
                keys.slice_set(&held(&layer.keys)?, 1, 0)?;
                values.slice_set(&held(&layer.values)?, 1, 0)?;
            }
            *layer = LayerCache { keys, values };
        }
        self.capacity = capacity;
        Ok(())
    }

    /// Writes a layer's keys and values, each [kv_heads, count, head_dim],
    /// behind the first `length` positions, and gives what `queries`, [heads,
    /// count, head_dim], of the same positions see where nothing is masked:
    /// [count, heads * head_dim].
    pub(crate) fn attend(
        &mut self,
        layer: usize,
        length: usize,
        [queries, keys, values]: [&Tensor; 3],
        mask: Option<&Tensor>,
    ) -> Result<Tensor> {
        let total = length + keys.dim(1)?;
        let layer = &self.layers[layer];
        layer.keys.slice_set(keys, 1, length)?;
        layer.values.slice_set(values, 1, length)?;
        composed_attention(
            queries,
            &layer.keys.narrow(1, 0, total)?,
            &layer.values.narrow(1, 0, total)?,
            mask,
        )
    }

    /// A copy of some positions, and its bytes.
    pub(crate) fn copy(&self, positions: Range<usize>) -> Result<(DeviceBlock, usize)> {
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
        Ok((DeviceBlock(layers), positions.len() * self.token_bytes()))
    }

    /// Puts copied positions behind the first `length`. There must be room.
    pub(crate) fn append(&mut self, length: usize, block: &DeviceBlock) -> Result<()> {
        for (own, copied) in self.layers.iter().zip(&block.0) {
            own.keys.slice_set(&copied.keys, 1, length)?;
            own.values.slice_set(&copied.values, 1, length)?;
        }
        Ok(())
    }

    fn room(&self, capacity: usize) -> Result<Tensor> {
        Tensor::zeros(
            (self.kv_heads, capacity, self.head_dim),
            DType::F32,
            &self.device,
        )
    }
}

/// What queries, [heads, count, head_dim], see of keys and values, each
/// [kv_heads, total, head_dim], by candle's operations: [count, heads *
/// head_dim].
fn composed_attention(
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    mask: Option<&Tensor>,
) -> Result<Tensor> {
    let (heads, count, head_dim) = queries.dims3()?;
    let (kv_heads, total, _) = keys.dims3()?;
    // The heads that share keys stand next to each other, so they become
    // more rows of one product and nothing has to be repeated.
    let rows = heads / kv_heads * count;
    let scale = 1.0 / (head_dim as f64).sqrt();
    let queries = (queries * scale)?.reshape((kv_heads, rows, head_dim))?;
    let mut scores = queries.matmul(&keys.transpose(1, 2)?)?;
    if let Some(mask) = mask {
        scores = scores
            .reshape((heads, count, total))?
            .broadcast_add(mask)?
            .reshape((kv_heads, rows, total))?;
    }
    let mixed = ops::softmax_last_dim(&scores)?.matmul(values)?;
    mixed
        .reshape((heads, count, head_dim))?
        .transpose(0, 1)?
        .reshape((count, heads * head_dim))
}

#[cfg(test)]
mod tests {
    use genie_compute::KvPrecision;

    use super::*;
    use crate::cache::{BLOCK, KvCache};
    use crate::gguf::Gguf;
    use crate::tiny::Tiny;

    fn rows(heads: usize, count: usize, width: usize, seed: f32) -> Result<Tensor> {
        let numbers = (0..heads * count * width).map(|i| ((i as f32 + seed) * 0.37).sin());
        Tensor::from_iter(numbers, &Device::Cpu)?.reshape((heads, count, width))
    }

    /// The tensors of other devices against the pages of the processor, piece
    /// by piece, over more than the first room and with a block taken over.
    #[test]
    fn both_places_see_the_same() -> Result<()> {
        let (_folder, path) = Tiny::default().write();
        let gguf = Gguf::open(&path).expect("opened");
        let config = DecoderConfig::read(&gguf).expect("a configuration");
        let (heads, kv_heads, width) = (config.heads, config.kv_heads, config.head_dim);
        let mut pages = KvCache::new(&config, KvPrecision::Single, &Device::Cpu)?;
        let mut device = DeviceCache::new(&config, &Device::Cpu)?;
        let mut length = 0;
        for count in [BLOCK, 1, 300, 7] {
            device.reserve(length, count, 400)?;
            for layer in 0..config.layers {
                let [queries, keys, values] = [(heads, 0.0), (kv_heads, 1.0), (kv_heads, 2.0)]
                    .map(|(heads, seed)| rows(heads, count, width, seed + layer as f32));
                let rows = [&queries?, &keys?, &values?];
                let mask =
                    crate::decoder::causal_mask(length..length + count, usize::MAX, &Device::Cpu)?;
                let found = device.attend(layer, length, rows, Some(&mask))?;
                let wanted = pages.attend(layer, rows, usize::MAX, None)?;
                let apart = (found - wanted)?.abs()?.max_all()?.to_scalar::<f32>()?;
                assert!(apart < 1e-5, "{count} {layer}: {apart}");
            }
            pages.advance(count);
            length += count;
        }
        let (block, bytes) = device.copy(0..BLOCK)?;
        assert_eq!(bytes, 8 * config.layers * kv_heads * BLOCK * width);
        let mut other = DeviceCache::new(&config, &Device::Cpu)?;
        other.append(0, &block)?;
        let [own, copied] = [&device, &other].map(|cache| {
            let keys = cache.layers[0].keys.narrow(1, 0, BLOCK)?;
            keys.flatten_all()?.to_vec1::<f32>()
        });
        assert_eq!(own?, copied?);
        Ok(())
    }
}
