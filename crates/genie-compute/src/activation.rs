//! The gate of a feed-forward block on the processor.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::math::exp;

/// Floats that one job works on.
const PART: usize = 8192;

/// `silu(gate) * up`, where `silu(x) = x / (1 + exp(-x))`.
///
/// # Errors
///
/// Fails on different shapes, and on tensors that are not single precision
/// and in one piece on the processor.
pub fn gated_silu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gate.apply_op2_no_bwd(up, &GatedSilu)
}

/// `silu(x) * up`.
#[inline(always)]
pub(crate) fn gated(x: f32, up: f32) -> f32 {
    x / (1.0 + exp(-x)) * up
}

struct GatedSilu;

impl CustomOp2 for GatedSilu {
    fn name(&self) -> &'static str {
        "gated-silu"
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
            bail!("gated-silu of {gate_layout:?} and {up_layout:?}");
        }
        let gate = &gate.as_slice::<f32>()?[gate_from..gate_to];
        let up = &up.as_slice::<f32>()?[up_from..up_to];
        let mut product = vec![0.0; gate.len()];
        product
            .par_chunks_mut(PART)
            .zip(gate.par_chunks(PART).zip(up.par_chunks(PART)))
            .for_each(|(product, (gate, up))| {
                for ((product, x), up) in product.iter_mut().zip(gate).zip(up) {
                    *product = gated(*x, *up);
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
        let numbers: Vec<f32> = (0..20_000).map(|i| (i as f32 - 10_000.0) / 97.0).collect();
        let gate = Tensor::from_vec(numbers, (4, 5_000), &Device::Cpu)?;
        let up = gate.cos()?;
        let wanted = ((&gate / ((gate.neg()?.exp()? + 1.0)?))? * &up)?;
        let found = gated_silu(&gate, &up)?;
        let apart = (found - wanted)?.abs()?.max_all()?.to_scalar::<f32>()?;
        assert!(apart < 1e-4, "{apart}");
        assert!(gated_silu(&gate, &up.t()?).is_err());
        assert!(gated_silu(&gate, &up.narrow(0, 0, 2)?).is_err());
        Ok(())
    }
}
