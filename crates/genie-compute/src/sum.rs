//! Sums of tensors on the threads of the caller.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use crate::team::share_pieces;

/// Floats that one job adds.
const PART: usize = 16_384;

/// `x + y`, of one shape or with `y` a vector that is added to each row.
///
/// candle adds long tensors on threads of its own, which go on looking for
/// work for a while when they are done. Where every core has a thread already
/// that multiplies the next matrix, they take turns with it.
///
/// # Errors
///
/// Fails on other shapes, and on tensors on the processor that are not
/// single precision and in one piece.
pub fn sum(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        x.apply_op2_no_bwd(y, &Sum)
    } else {
        x.broadcast_add(y)
    }
}

struct Sum;

impl CustomOp2 for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let offsets = (x_layout.contiguous_offsets(), y_layout.contiguous_offsets());
        let (Some((x_from, x_to)), Some((y_from, y_to))) = offsets else {
            bail!("tensors in one piece are needed, not {x_layout:?} and {y_layout:?}");
        };
        let x = &x.as_slice::<f32>()?[x_from..x_to];
        let y = &y.as_slice::<f32>()?[y_from..y_to];
        let mut sum = vec![0.0; x.len()];
        let (dims, other) = (x_layout.dims(), y_layout.dims());
        if dims == other {
            share_pieces(&mut sum, PART, |job, sum| {
                let from = job * PART;
                add(sum, &x[from..], &y[from..]);
            });
        } else if matches!((dims, other), ([.., width], [columns]) if width == columns && *width > 0)
        {
            let part = PART.next_multiple_of(y.len());
            share_pieces(&mut sum, part, |job, sum| {
                let x = x[job * part..].chunks_exact(y.len());
                let rows = sum.chunks_exact_mut(y.len()).zip(x);
                rows.for_each(|(sum, x)| add(sum, x, y));
            });
        } else {
            bail!("a sum of {x_layout:?} and {y_layout:?}");
        }
        Ok((CpuStorage::F32(sum), x_layout.shape().clone()))
    }
}

fn add(sum: &mut [f32], x: &[f32], y: &[f32]) {
    for (sum, (x, y)) in sum.iter_mut().zip(x.iter().zip(y)) {
        *sum = x + y;
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn it_is_candles_sum_to_the_bit() -> Result<()> {
        let numbers: Vec<f32> = (0..50_004).map(|i| (i as f32 - 25_000.0) / 97.0).collect();
        let x = Tensor::from_vec(numbers, (4, 12_501), &Device::Cpu)?;
        let y = x.cos()?;
        for (x, y) in [
            (x.clone(), y.clone()),
            (x.narrow(0, 1, 2)?, y.narrow(0, 2, 2)?),
            (x.clone(), y.get(1)?),
        ] {
            let wanted = x.broadcast_add(&y)?.to_vec2::<f32>()?;
            assert_eq!(sum(&x, &y)?.to_vec2::<f32>()?, wanted);
        }
        assert!(sum(&x, &y.t()?).is_err());
        assert!(sum(&x, &y.narrow(0, 0, 2)?).is_err());
        assert!(sum(&x, &y.get(1)?.narrow(0, 0, 12_500)?).is_err());
        Ok(())
    }
}
