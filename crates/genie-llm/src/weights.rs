//! Tensors of a file as the operations of the decoder.

use std::borrow::Cow;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QMatMul, QStorage, QTensor};
use candle_core::{Device, Module, Result as TensorResult, Tensor};
use half::f16;

use crate::LlmError;
use crate::gguf::Gguf;

/// A matrix and, where the family has one, a bias.
#[derive(Debug)]
pub(crate) struct Linear {
    matrix: Matrix,
    bias: Option<Tensor>,
}

impl Linear {
    /// [positions, columns] → [positions, rows].
    pub(crate) fn forward(&self, x: &Tensor) -> TensorResult<Tensor> {
        let y = self.matrix.forward(x)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// A matrix in the form that its device multiplies fastest.
///
/// candle has vector kernels for Q8_0 and the K types, and none for Q5_0 and
/// Q4_1. The integers of both fit into the eight bits of Q8_0, with the same
/// scales, so the products stay the same; it costs three and four bits a
/// weight.
#[derive(Debug)]
pub(crate) enum Matrix {
    Plain(QMatMul),
    /// Q4_1 is scale × integer + minimum. The minima, of shape [blocks of a
    /// row, rows], meet the sums of the input's blocks.
    WithMinima {
        scaled: QMatMul,
        minima: Tensor,
    },
}

impl Matrix {
    fn new(tensor: Arc<QTensor>, device: &Device) -> TensorResult<Self> {
        if !device.is_cpu() {
            return Ok(Self::Plain(QMatMul::from_arc(tensor)?));
        }
        let eight_bits = |bytes: Vec<u8>| {
            let storage = QStorage::from_data(Cow::Owned(bytes), device, GgmlDType::Q8_0)?;
            QMatMul::from_qtensor(QTensor::new(storage, tensor.shape())?)
        };
        match tensor.dtype() {
            GgmlDType::Q5_0 => Ok(Self::Plain(eight_bits(widen_q5_0(&tensor.data()?))?)),
            GgmlDType::Q4_1 => {
                let (rows, columns) = tensor.shape().dims2()?;
                let (bytes, minima) = split_q4_1(&tensor.data()?);
                let minima = Tensor::from_vec(minima, (rows, columns / BLOCK), device)?;
                Ok(Self::WithMinima {
                    scaled: eight_bits(bytes)?,
                    minima: minima.t()?.contiguous()?,
                })
            }
            _ => Ok(Self::Plain(QMatMul::from_arc(tensor)?)),
        }
    }

    /// [positions, columns] → [positions, rows].
    pub(crate) fn forward(&self, x: &Tensor) -> TensorResult<Tensor> {
        match self {
            Self::Plain(matrix) => matrix.forward(x),
            Self::WithMinima { scaled, minima } => {
                scaled.forward(x)? + block_sums(x)?.matmul(minima)?
            }
        }
    }
}

/// Numbers that share a scale in Q4_1, Q5_0 and Q8_0.
const BLOCK: usize = 32;

/// Reads tensors onto a device.
pub(crate) struct Loader<'a> {
    gguf: &'a mut Gguf,
    device: &'a Device,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(gguf: &'a mut Gguf, device: &'a Device) -> Self {
        Self { gguf, device }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.gguf.has_tensor(name)
    }

    pub(crate) fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<QTensor, LlmError> {
        self.gguf.tensor(name, shape, self.device)
    }

    pub(crate) fn vector(&mut self, name: &str, length: usize) -> Result<Tensor, LlmError> {
        Ok(self.tensor(name, &[length])?.dequantize(self.device)?)
    }

    pub(crate) fn optional_vector(
        &mut self,
        name: &str,
        length: usize,
    ) -> Result<Option<Tensor>, LlmError> {
        if self.has(name) {
            self.vector(name, length).map(Some)
        } else {
            Ok(None)
        }
    }

    pub(crate) fn matrix(
        &mut self,
        name: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Matrix, LlmError> {
        let tensor = self.tensor(name, &[rows, columns])?;
        Ok(Matrix::new(Arc::new(tensor), self.device)?)
    }

    /// The output matrix of a model that uses its embedding for it.
    pub(crate) fn tied(&self, embedding: &Arc<QTensor>) -> Result<Matrix, LlmError> {
        Ok(Matrix::new(Arc::clone(embedding), self.device)?)
    }

    pub(crate) fn linear(
        &mut self,
        name: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Linear, LlmError> {
        Ok(Linear {
            matrix: self.matrix(&format!("{name}.weight"), rows, columns)?,
            bias: self.optional_vector(&format!("{name}.bias"), rows)?,
        })
    }
}

/// Blocks of Q5_0 (f16 scale, 32 high bits, 32 low nibbles) as blocks of Q8_0
/// (f16 scale, 32 signed bytes).
fn widen_q5_0(blocks: &[u8]) -> Vec<u8> {
    const IN: usize = 2 + 4 + 16;
    const OUT: usize = 2 + 32;
    let mut wide = Vec::with_capacity(blocks.len() / IN * OUT);
    for block in blocks.chunks_exact(IN) {
        let (scale, rest) = block.split_at(2);
        let (high, low) = rest.split_at(4);
        wide.extend_from_slice(scale);
        let bit = |index: usize| (high[index / 8] >> (index % 8) & 1) << 4;
        // The low nibbles hold the first sixteen numbers, the high ones the
        // other sixteen.
        wide.extend((0..16).map(|i| (low[i] & 15 | bit(i)).wrapping_sub(16)));
        wide.extend((0..16).map(|i| (low[i] >> 4 | bit(i + 16)).wrapping_sub(16)));
    }
    wide
}

/// Blocks of Q4_1 (f16 scale, f16 minimum, 32 nibbles) as blocks of Q8_0, and
/// the minima.
fn split_q4_1(blocks: &[u8]) -> (Vec<u8>, Vec<f32>) {
    const IN: usize = 2 + 2 + 16;
    const OUT: usize = 2 + 32;
    let mut wide = Vec::with_capacity(blocks.len() / IN * OUT);
    let mut minima = Vec::with_capacity(blocks.len() / IN);
    for block in blocks.chunks_exact(IN) {
        let (scale, rest) = block.split_at(2);
        let (minimum, low) = rest.split_at(2);
        wide.extend_from_slice(scale);
        minima.push(f16::from_le_bytes([minimum[0], minimum[1]]).to_f32());
        wide.extend(low.iter().map(|byte| byte & 15));
        wide.extend(low.iter().map(|byte| byte >> 4));
    }
    (wide, minima)
}

/// The sum of each block of the input, [positions, columns] → [positions,
/// blocks], after the rounding to eight bits that the product with the scaled
/// part does too.
fn block_sums(x: &Tensor) -> TensorResult<Tensor> {
    let (positions, columns) = x.dims2()?;
    let numbers = x.flatten_all()?.to_vec1::<f32>()?;
    let sums: Vec<f32> = numbers.chunks_exact(BLOCK).map(rounded_sum).collect();
    Tensor::from_vec(sums, (positions, columns / BLOCK), x.device())
}

fn rounded_sum(block: &[f32]) -> f32 {
    let largest = block
        .iter()
        .fold(0f32, |most, number| most.max(number.abs()));
    let scale = largest / 127.0;
    if scale == 0.0 {
        return 0.0;
    }
    let sum: f32 = block.iter().map(|number| (number / scale).round()).sum();
    f16::from_f32(scale * sum).to_f32()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantized(dtype: GgmlDType) -> QTensor {
        let numbers: Vec<f32> = (0..256)
            .map(|i| (i as f32 * 0.37).sin() * 3.0 + 1.0)
            .collect();
        let source = Tensor::from_vec(numbers, (4, 64), &Device::Cpu).expect("a tensor");
        QTensor::quantize(&source, dtype).expect("quantized")
    }

    fn numbers(tensor: &Tensor) -> Vec<f32> {
        let flat = tensor.flatten_all().expect("flat");
        flat.to_vec1::<f32>().expect("numbers")
    }

    #[test]
    fn widened_blocks_hold_the_same_numbers() {
        let narrow = quantized(GgmlDType::Q5_0);
        let bytes = widen_q5_0(&narrow.data().expect("bytes"));
        let storage =
            QStorage::from_data(Cow::Owned(bytes), &Device::Cpu, GgmlDType::Q8_0).expect("storage");
        let wide = QTensor::new(storage, (4, 64)).expect("a tensor");
        let read = |tensor: &QTensor| numbers(&tensor.dequantize(&Device::Cpu).expect("numbers"));
        assert_eq!(read(&narrow), read(&wide));
    }

    #[test]
    fn faster_forms_give_the_same_products() {
        let input: Vec<f32> = (0..192).map(|i| (i as f32 * 0.11).cos()).collect();
        let input = Tensor::from_vec(input, (3, 64), &Device::Cpu).expect("a tensor");
        for dtype in [GgmlDType::Q4_1, GgmlDType::Q5_0, GgmlDType::Q8_0] {
            let matrix = || Arc::new(quantized(dtype));
            let slow = QMatMul::from_arc(matrix()).expect("a matrix");
            let fast = Matrix::new(matrix(), &Device::Cpu).expect("a matrix");
            let slow = numbers(&slow.forward(&input).expect("a product"));
            let fast = numbers(&fast.forward(&input).expect("a product"));
            for (slow, fast) in slow.iter().zip(&fast) {
                // Each form rounds the activations to 8 bits in its own way.
                assert!((slow - fast).abs() < 0.05, "{dtype:?}: {slow} {fast}");
            }
        }
    }
}
