//! Tensors of a file as the operations of the decoder.

use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QMatMul, QTensor};
use candle_core::{Device, Module, Result as TensorResult, Tensor};
use genie_compute::{Gate, KvPrecision, QuantizedMatrix, ReadMatrixError, gated_feed_forward, sum};

use crate::LlmError;
use crate::gguf::Gguf;

/// A matrix and, where the family has one, a bias.
#[derive(Debug)]
pub(crate) struct Linear {
    matrix: Matrix,
    bias: Option<Tensor>,
}

impl Linear {
    /// A gated feed-forward block in one pass; `None` where there is no kernel
    /// for it.
    pub(crate) fn gated(
        [gate, up, down]: [&Self; 3],
        function: Gate,
        x: &Tensor,
    ) -> Option<TensorResult<Tensor>> {
        let plain = [gate, up, down].map(|linear| match linear {
            Self {
                matrix: Matrix::Packed(matrix),
                bias: None,
            } => Some(matrix.as_ref()),
            _ => None,
        });
        let [Some(gate), Some(up), Some(down)] = plain else {
            return None;
        };
        Some(gated_feed_forward(x, [gate, up], down, function))
    }

    /// [positions, columns] → [positions, rows].
    pub(crate) fn forward(&self, x: &Tensor) -> TensorResult<Tensor> {
        let y = self.matrix.forward(x)?;
        match &self.bias {
            Some(bias) => sum(&y, bias),
            None => Ok(y),
        }
    }
}

/// A matrix in the form that its device multiplies fastest.
#[derive(Debug, Clone)]
pub(crate) enum Matrix {
    /// On the processor, for our kernels.
    Packed(Arc<QuantizedMatrix>),
    /// On another device, and formats that have no kernel.
    Plain {
        table: Arc<QTensor>,
        product: QMatMul,
    },
    /// Not quantized: [rows, columns].
    Floats(Tensor),
}

impl Matrix {
    /// [positions, columns] → [positions, rows].
    pub(crate) fn forward(&self, x: &Tensor) -> TensorResult<Tensor> {
        match self {
            Self::Packed(matrix) => matrix.forward(x),
            Self::Plain { product, .. } => product.forward(x),
            Self::Floats(weights) => x.matmul(&weights.t()?),
        }
    }

    /// The rows of an embedding, [ids, columns].
    pub(crate) fn rows(&self, ids: &[u32], device: &Device) -> TensorResult<Tensor> {
        match self {
            Self::Packed(matrix) => matrix.rows(ids),
            Self::Plain { table, .. } => table.embedding(&Tensor::new(ids, device)?),
            Self::Floats(weights) => weights.index_select(&Tensor::new(ids, device)?, 0),
        }
    }
}

/// Reads tensors onto a device.
pub(crate) struct Loader<'a> {
    gguf: &'a Gguf,
    device: &'a Device,
    form: Form,
}

/// What matrices become, and with them keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// What the file has them in.
    Stored,
    /// The same, beside keys and values in single precision, as what is
    /// recorded of llama.cpp has them.
    #[cfg(test)]
    StoredBesideFloats,
    /// Single precision: to tell what a decoder computes from what its
    /// roundings do.
    #[cfg(test)]
    Floats,
}

impl Form {
    pub(crate) const fn precision(self) -> KvPrecision {
        match self {
            Self::Stored => KvPrecision::Half,
            #[cfg(test)]
            Self::StoredBesideFloats | Self::Floats => KvPrecision::Single,
        }
    }

    const fn is_stored(self) -> bool {
        match self {
            Self::Stored => true,
            #[cfg(test)]
            Self::StoredBesideFloats => true,
            #[cfg(test)]
            Self::Floats => false,
        }
    }
}

impl<'a> Loader<'a> {
    pub(crate) fn new(gguf: &'a Gguf, device: &'a Device, form: Form) -> Self {
        Self { gguf, device, form }
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
        let shape = [rows, columns];
        let dtype = self.gguf.tensor_type(name);
        let floats = matches!(
            dtype,
            Some(GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16)
        );
        if floats || !self.form.is_stored() {
            let table = self.tensor(name, &shape)?;
            return Ok(Matrix::Floats(table.dequantize(self.device)?));
        }
        if self.device.is_cpu()
            && let Some(dtype) = dtype
            && QuantizedMatrix::supports(dtype, columns)
        {
            let blocks = self.gguf.blocks(name, &shape)?;
            let read = |offset, buffer: &mut [u8]| blocks.read_at(offset, buffer);
            let matrix = QuantizedMatrix::read(dtype, (rows, columns), blocks.bytes, read);
            let matrix = matrix.map_err(|error| match error {
                ReadMatrixError::Io(source) => LlmError::Io {
                    path: blocks.path.to_owned(),
                    source,
                },
                ReadMatrixError::Shape(error) => candle_core::Error::wrap(error).into(),
            })?;
            return Ok(Matrix::Packed(Arc::new(matrix)));
        }
        let table = Arc::new(self.tensor(name, &shape)?);
        let product = QMatMul::from_arc(Arc::clone(&table))?;
        Ok(Matrix::Plain { table, product })
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
