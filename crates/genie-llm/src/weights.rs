//! Tensors of a file as the operations of the decoder.

use std::borrow::Cow;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QMatMul, QStorage, QTensor};
use candle_core::{Device, Module, Result as TensorResult, Tensor};

use crate::LlmError;
use crate::gguf::Gguf;

/// A matrix and, where the family has one, a bias.
#[derive(Debug)]
pub(crate) struct Linear {
    weight: QMatMul,
    bias: Option<Tensor>,
}

impl Linear {
    /// [positions, columns] → [positions, rows].
    pub(crate) fn forward(&self, x: &Tensor) -> TensorResult<Tensor> {
        let y = self.weight.forward(x)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

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
    ) -> Result<QMatMul, LlmError> {
        let tensor = self.tensor(name, &[rows, columns])?;
        Ok(QMatMul::from_arc(self.faster(Arc::new(tensor))?)?)
    }

    /// The output matrix of a model that uses its embedding for it.
    pub(crate) fn tied(&self, embedding: &Arc<QTensor>) -> Result<QMatMul, LlmError> {
        Ok(QMatMul::from_arc(self.faster(Arc::clone(embedding))?)?)
    }

    pub(crate) fn linear(
        &mut self,
        name: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Linear, LlmError> {
        Ok(Linear {
            weight: self.matrix(&format!("{name}.weight"), rows, columns)?,
            bias: self.optional_vector(&format!("{name}.bias"), rows)?,
        })
    }

    /// The same numbers in a form that the processor multiplies faster.
    ///
    /// candle has no vector kernel for Q5_0. Its five-bit integers fit into
    /// the eight bits of Q8_0, whose kernel is fast and whose scale is the
    /// same, so the products are the same too; it costs three bits a weight.
    fn faster(&self, tensor: Arc<QTensor>) -> TensorResult<Arc<QTensor>> {
        if !self.device.is_cpu() || tensor.dtype() != GgmlDType::Q5_0 {
            return Ok(tensor);
        }
        let bytes = widen_q5_0(&tensor.data()?);
        let storage = QStorage::from_data(Cow::Owned(bytes), self.device, GgmlDType::Q8_0)?;
        Ok(Arc::new(QTensor::new(storage, tensor.shape())?))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widened_blocks_hold_the_same_numbers() {
        let numbers: Vec<f32> = (0..256).map(|i| (i as f32 * 0.37).sin() * 3.0).collect();
        let source = Tensor::from_vec(numbers, (4, 64), &Device::Cpu).expect("a tensor");
        let narrow = QTensor::quantize(&source, GgmlDType::Q5_0).expect("quantized");
        let bytes = widen_q5_0(&narrow.data().expect("bytes"));
        let storage =
            QStorage::from_data(Cow::Owned(bytes), &Device::Cpu, GgmlDType::Q8_0).expect("storage");
        let wide = QTensor::new(storage, (4, 64)).expect("a tensor");
        let read = |tensor: &QTensor| {
            tensor
                .dequantize(&Device::Cpu)
                .and_then(|tensor| tensor.flatten_all())
                .and_then(|tensor| tensor.to_vec1::<f32>())
                .expect("numbers")
        };
        assert_eq!(read(&narrow), read(&wide));
    }
}
