//! The gate of a feed-forward block on the processor.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use crate::math::{exp, fused};
use crate::team::share_pieces;

/// Floats that one job works on.
const PART: usize = 8192;
/// Floats that are worked on together.
const LANES: usize = 16;

/// What one half of a feed-forward block is put through before it multiplies
/// the other half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// `x / (1 + exp(-x))`.
    Silu,
    /// The GELU by its formula with the hyperbolic tangent
    /// (<https://arxiv.org/abs/1606.08415>): gemma's.
    GeluTanh,
}

impl Gate {
    /// Either is `x` times the logistic function: of itself, or of twice what
    /// stands in the tangent, since `(1 + tanh(t)) / 2` is that function of
    /// `2 t`.
    #[inline(always)]
    pub(crate) fn apply<const N: usize>(self, gates: &[f32; N], ups: &[f32; N]) -> [f32; N] {
        match self {
            Self::Silu => std::array::from_fn(|lane| gated(gates[lane], gates[lane], ups[lane])),
            Self::GeluTanh => std::array::from_fn(|lane| {
                let x = gates[lane];
                gated(x, TWICE_ROOT * fused(CUBE * x * x, x, x), ups[lane])
            }),
        }
    }
}

/// `2 sqrt(2 / pi)`, and what the cube is weighed with.
const TWICE_ROOT: f32 = 1.595_769;
const CUBE: f32 = 0.044_715;

/// `x` times the logistic function of `t`, times `up`.
#[inline(always)]
fn gated(x: f32, t: f32, up: f32) -> f32 {
    x / (1.0 + exp(-t)) * up
}

/// The gate's function of `gate`, times `up`.
///
/// # Errors
///
/// Fails on different shapes, and on tensors that are not single precision
/// and in one piece on the processor.
pub fn gated_product(gate: &Tensor, up: &Tensor, function: Gate) -> Result<Tensor> {
    gate.apply_op2_no_bwd(up, &GatedProduct(function))
}

struct GatedProduct(Gate);

impl CustomOp2 for GatedProduct {
    fn name(&self) -> &'static str {
        "gated-product"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        gate_layout: &Layout,
        up: &CpuStorage,
        up_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let offsets = (
            gate_layout.contiguous_offsets(),
            up_layout.contiguous_offsets(),
        );
        let (Some((gate_from, gate_to)), Some((up_from, up_to))) = offsets else {
            bail!("tensors in one piece are needed, not {gate_layout:?} and {up_layout:?}");
        };
        if gate_layout.shape() != up_layout.shape() {
            bail!("a gated product of {gate_layout:?} and {up_layout:?}");
        }
        let gate = &gate.as_slice::<f32>()?[gate_from..gate_to];
        let up = &up.as_slice::<f32>()?[up_from..up_to];
        let mut product = vec![0.0; gate.len()];
        share_pieces(&mut product, PART, |job, product| {
            let piece = job * PART..job * PART + product.len();
            let (gate, up) = (&gate[piece.clone()], &up[piece]);
            let (gates, gate_rest) = gate.as_chunks::<LANES>();
            let (ups, up_rest) = up.as_chunks::<LANES>();
            let (products, rest) = product.as_chunks_mut::<LANES>();
            for ((product, gates), ups) in products.iter_mut().zip(gates).zip(ups) {
                *product = self.0.apply(gates, ups);
            }
            for ((product, x), up) in rest.iter_mut().zip(gate_rest).zip(up_rest) {
                [*product] = self.0.apply(&[*x], &[*up]);
            }
        });
        Ok((CpuStorage::F32(product), gate_layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn it_equals_the_composed_operations() -> Result<()> {
        let numbers: Vec<f32> = (0..20_004).map(|i| (i as f32 - 10_000.0) / 97.0).collect();
        let gate = Tensor::from_vec(numbers, (4, 5_001), &Device::Cpu)?;
        let up = gate.cos()?;
        let silu = (&gate / ((gate.neg()?.exp()? + 1.0)?))?;
        for (function, wanted) in [(Gate::Silu, silu), (Gate::GeluTanh, gate.gelu()?)] {
            let found = gated_product(&gate, &up, function)?;
            let apart = (found - (wanted * &up)?)?.abs()?.max_all()?;
            let apart = apart.to_scalar::<f32>()?;
            assert!(apart < 1e-4, "{function:?}: {apart}");
            assert!(gated_product(&gate, &up.t()?, function).is_err());
            assert!(gated_product(&gate, &up.narrow(0, 0, 2)?, function).is_err());
        }
        Ok(())
    }

    #[test]
    fn far_out_nothing_is_left_or_all_of_it() {
        for function in [Gate::Silu, Gate::GeluTanh] {
            let [low, high] = function.apply(&[-1e4, 1e4], &[1.0, 1.0]);
            assert!(
                low.abs() < 1e-30 && high == 1e4,
                "{function:?}: {low} {high}"
            );
        }
    }
}
