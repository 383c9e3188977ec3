//! The encoder's operations on tensors: our kernels on the processor, candle's
//! own operations on other devices.

use candle_core::{
    CpuStorage, CustomOp1, Device, InplaceOp1, InplaceOp2, Layout, Result, Shape, Tensor, bail,
};

use genie_compute::Heads;

use super::batch::Batch;
use super::kernels::{self, NormParameters};

/// A small parameter, on the device for candle and here for our kernels.
#[derive(Debug)]
pub(crate) struct Vector {
    tensor: Tensor,
    values: Vec<f32>,
}

impl Vector {
    /// Wraps a tensor of rank 1.
    pub(crate) fn new(tensor: Tensor) -> Result<Self> {
        let values = tensor.to_vec1()?;
        Ok(Self { tensor, values })
    }
}

/// The parameters of a layer norm and the bias of the linear layer before it.
#[derive(Debug)]
pub(crate) struct Norm {
    /// `[hidden]`.
    pub(crate) bias: Vector,
    /// `[hidden]`.
    pub(crate) weight: Vector,
    /// `[hidden]`.
    pub(crate) shift: Vector,
    /// Added to the variance.
    pub(crate) epsilon: f32,
}

impl Norm {
    /// The layer norm of `rows + residual + bias`, for `[tokens, hidden]`.
    /// `rows` is given up: its memory holds the result where that is possible.
    pub(crate) fn add(&self, rows: Tensor, residual: &Tensor) -> Result<Tensor> {
        if matches!(rows.device(), Device::Cpu) {
            rows.inplace_op2(residual, self)?;
            return Ok(rows);
        }
        let sum = (rows + residual)?.broadcast_add(&self.bias.tensor)?;
        let (weight, shift) = (&self.weight.tensor, &self.shift.tensor);
        candle_nn::ops::layer_norm(&sum, weight, shift, self.epsilon)
    }
}

impl InplaceOp2 for Norm {
    fn name(&self) -> &'static str {
        "residual-norm"
    }

    fn cpu_fwd(
        &self,
        rows: &mut CpuStorage,
        layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
    ) -> Result<()> {
        if layout.shape() != residual_layout.shape() {
            bail!("residual-norm of {layout:?} and {residual_layout:?}");
        }
        let norm = NormParameters {
            bias: &self.bias.values,
            weight: &self.weight.values,
            shift: &self.shift.values,
            epsilon: self.epsilon,
        };
        let residual = whole(residual, residual_layout)?;
        kernels::residual_norm(whole_mut(rows, layout)?, residual, norm);
        Ok(())
    }
}

/// GELU after a bias.
#[derive(Debug)]
pub(crate) struct BiasGelu(pub(crate) Vector);

impl BiasGelu {
    /// `gelu(rows + bias)`. `rows` is given up.
    pub(crate) fn apply(&self, rows: Tensor) -> Result<Tensor> {
        if matches!(rows.device(), Device::Cpu) {
            rows.inplace_op1(self)?;
            return Ok(rows);
        }
        rows.broadcast_add(&self.0.tensor)?.gelu_erf()
    }
}

impl InplaceOp1 for BiasGelu {
    fn name(&self) -> &'static str {
        "bias-gelu"
    }

    fn cpu_fwd(&self, rows: &mut CpuStorage, layout: &Layout) -> Result<()> {
        kernels::bias_gelu(whole_mut(rows, layout)?, &self.0.values);
        Ok(())
    }
}

/// Attention of texts packed one after the other, each to itself only.
#[derive(Debug)]
pub(crate) struct PackedAttention<'a> {
    /// `[3 * hidden]`: the bias of queries, keys and values.
    pub(crate) bias: &'a Vector,
    /// Tokens of each text.
    pub(crate) lengths: &'a [usize],
    /// The same texts as a device takes them; not looked at on the processor.
    pub(crate) batches: &'a [Batch],
    /// How a row is divided.
    pub(crate) heads: Heads,
}

impl PackedAttention<'_> {
    /// `[tokens, 3 * hidden]` to `[tokens, hidden]`.
    pub(crate) fn apply(&self, qkv: &Tensor) -> Result<Tensor> {
        if matches!(qkv.device(), Device::Cpu) {
            return qkv.apply_op1_no_bwd(self);
        }
        self.composed(qkv)
    }

    fn composed(&self, qkv: &Tensor) -> Result<Tensor> {
        let qkv = qkv.broadcast_add(&self.bias.tensor)?;
        let contexts = self.batches.iter();
        let contexts = contexts.map(|batch| batch.attention(&qkv, self.heads));
        Tensor::cat(&contexts.collect::<Result<Vec<_>>>()?, 0)
    }
}

impl CustomOp1 for PackedAttention<'_> {
    fn name(&self) -> &'static str {
        "packed-attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (tokens, width) = layout.shape().dims2()?;
        let hidden = self.heads.count * self.heads.width;
        if width != 3 * hidden || tokens != self.lengths.iter().sum::<usize>() {
            bail!(
                "packed-attention of {layout:?}, {:?} and {:?}",
                self.heads,
                self.lengths
            );
        }
        let qkv = whole(qkv, layout)?;
        let context = kernels::attention(qkv, &self.bias.values, self.lengths, self.heads);
        Ok((CpuStorage::F32(context), Shape::from((tokens, hidden))))
    }
}

/// The floats of a tensor that has no gaps.
fn whole<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&storage.as_slice()?[from..to]),
        None => bail!("a contiguous tensor is needed, not {layout:?}"),
    }
}

fn whole_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((from, to))) => Ok(&mut values[from..to]),
        _ => bail!("a contiguous tensor of single precision is needed, not {layout:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: (usize, usize), seed: f32) -> Tensor {
        let values: Vec<f32> = (0..shape.0 * shape.1)
            .map(|i| (i as f32 * 0.37 + seed).sin() * 1.5)
            .collect();
        Tensor::from_vec(values, shape, &Device::Cpu).expect("as many values as the shape says")
    }

    fn vector(length: usize, seed: f32) -> Vector {
        let tensor = tensor((1, length), seed).squeeze(0).expect("one row");
        Vector::new(tensor).expect("rank 1")
    }

    fn distance(a: &Tensor, b: &Tensor) -> f32 {
        let apart = (a - b).and_then(|d| d.abs()).and_then(|d| d.max_all());
        apart.and_then(|d| d.to_scalar()).expect("of one shape")
    }

    // What other devices compute is checked here against our kernels: both
    // run on the processor.
    #[test]
    fn the_kernels_equal_candles_operations() -> Result<()> {
        let heads = Heads { count: 3, width: 8 };
        let bias = vector(72, 0.2);
        // Alone, of one length, of like lengths, and none of these.
        for lengths in [
            &[5, 1, 17][..],
            &[30],
            &[7, 7],
            &[2, 3, 5, 90, 90, 100, 110],
        ] {
            let batches = Batch::all(lengths, &Device::Cpu)?;
            let attention = PackedAttention {
                bias: &bias,
                lengths,
                batches: &batches,
                heads,
            };
            let qkv = tensor((lengths.iter().sum(), 72), 0.0);
            let apart = distance(&attention.apply(&qkv)?, &attention.composed(&qkv)?);
            assert!(apart < 1e-5, "attention is {apart} apart for {lengths:?}");
        }

        let gelu = BiasGelu(vector(24, 1.0));
        let rows = tensor((7, 24), 2.0);
        let wanted = rows.broadcast_add(&gelu.0.tensor)?.gelu_erf()?;
        let apart = distance(&gelu.apply(rows)?, &wanted);
        assert!(apart < 1e-5, "GELU is {apart} apart");

        let norm = Norm {
            bias: vector(24, 3.0),
            weight: vector(24, 4.0),
            shift: vector(24, 5.0),
            epsilon: 1e-5,
        };
        let (rows, residual) = (tensor((9, 24), 6.0), tensor((9, 24), 7.0));
        let sum = (&rows + &residual)?.broadcast_add(&norm.bias.tensor)?;
        let (weight, shift) = (&norm.weight.tensor, &norm.shift.tensor);
        let wanted = candle_nn::ops::layer_norm(&sum, weight, shift, norm.epsilon)?;
        let apart = distance(&norm.add(rows, &residual)?, &wanted);
        assert!(apart < 1e-4, "the norm is {apart} apart");
        Ok(())
    }
}
