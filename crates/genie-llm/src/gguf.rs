//! An open GGUF file: what its header says, and its tensors.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use candle_core::Device;
use candle_core::quantized::gguf_file::TensorInfo;
use candle_core::quantized::{GgmlDType, QTensor};

use crate::blocks::Blocks;
use crate::header::{Header, ReadError, Value, tensor_bytes};
use crate::{FileProblem, LlmError};

/// An open GGUF file whose header made sense.
#[derive(Debug)]
pub(crate) struct Gguf {
    path: PathBuf,
    file: File,
    metadata: HashMap<String, Value>,
    tensors: HashMap<String, TensorInfo>,
    data_start: u64,
}

impl Gguf {
    pub(crate) fn open(path: &Path) -> Result<Self, LlmError> {
        let io = |source| LlmError::Io {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        let header = Header::read(BufReader::with_capacity(1 << 16, &file), size);
        let header = header.map_err(|error| match error {
            ReadError::Io(source) => io(source),
            ReadError::Problem(problem) => LlmError::File {
                path: path.to_owned(),
                problem,
            },
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
            metadata: header.metadata,
            tensors: header.tensors,
            data_start: header.data_start,
        })
    }

    /// The error for this file.
    pub(crate) fn problem(&self, problem: FileProblem) -> LlmError {
        LlmError::File {
            path: self.path.clone(),
            problem,
        }
    }

    pub(crate) fn value(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<&str>, FileProblem> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(FileProblem::BadValue(key.to_owned())),
        }
    }

    /// Numbers, one for each of `count` things.
    pub(crate) fn floats(&self, key: &str, count: usize) -> Result<&[f32], FileProblem> {
        match self.metadata.get(key) {
            None => Err(FileProblem::MissingKey(key.to_owned())),
            Some(Value::Floats(floats)) if floats.len() == count => Ok(floats),
            Some(_) => Err(FileProblem::BadValue(key.to_owned())),
        }
    }

    /// Yes or no.
    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, FileProblem> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(FileProblem::BadValue(key.to_owned())),
        }
    }

    pub(crate) fn texts(&self, key: &str) -> Result<&[String], FileProblem> {
        match self.metadata.get(key) {
            None => Err(FileProblem::MissingKey(key.to_owned())),
            Some(Value::Texts(texts)) => Ok(texts),
            Some(_) => Err(FileProblem::BadValue(key.to_owned())),
        }
    }

    /// A number from 0 to `most`.
    pub(crate) fn count(&self, key: &str, most: usize) -> Result<Option<usize>, FileProblem> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Integer(number)) => usize::try_from(*number)
                .ok()
                .filter(|number| *number <= most)
                .map(Some)
                .ok_or_else(|| FileProblem::BadValue(key.to_owned())),
            Some(_) => Err(FileProblem::BadValue(key.to_owned())),
        }
    }

    /// A finite positive number.
    pub(crate) fn positive(&self, key: &str) -> Result<Option<f64>, FileProblem> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Float(number)) if number.is_finite() && *number > 0.0 => Ok(Some(*number)),
            Some(_) => Err(FileProblem::BadValue(key.to_owned())),
        }
    }

    pub(crate) fn has_tensor(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The rows of a matrix, before its full shape is known to be right.
    pub(crate) fn rows(&self, name: &str) -> Result<usize, FileProblem> {
        let info = self
            .tensors
            .get(name)
            .ok_or_else(|| FileProblem::MissingTensor(name.to_owned()))?;
        Ok(info.shape.dims().first().copied().unwrap_or_default())
    }

    pub(crate) fn tensor_type(&self, name: &str) -> Option<GgmlDType> {
        self.tensors.get(name).map(|info| info.ggml_dtype)
    }

    /// Reads one tensor, which must have this shape (rows first).
    pub(crate) fn tensor(
        &self,
        name: &str,
        expected: &[usize],
        device: &Device,
    ) -> Result<QTensor, LlmError> {
        let info = self.shaped(name, expected)?;
        Ok(info.read(&mut &self.file, self.data_start, device)?)
    }

    /// Where the blocks of one tensor lie, which must have this shape (rows
    /// first).
    pub(crate) fn blocks(&self, name: &str, expected: &[usize]) -> Result<Blocks<'_>, LlmError> {
        let info = self.shaped(name, expected)?;
        // Checked when the header was read.
        let bytes = tensor_bytes(info).and_then(|bytes| usize::try_from(bytes).ok());
        Ok(Blocks {
            file: &self.file,
            path: &self.path,
            start: self.data_start + info.offset,
            bytes: bytes.unwrap_or_default(),
        })
    }

    fn shaped(&self, name: &str, expected: &[usize]) -> Result<&TensorInfo, LlmError> {
        let Some(info) = self.tensors.get(name) else {
            return Err(self.problem(FileProblem::MissingTensor(name.to_owned())));
        };
        if info.shape.dims() != expected {
            return Err(self.problem(FileProblem::TensorShape {
                tensor: name.to_owned(),
                found: info.shape.dims().to_vec(),
                expected: expected.to_vec(),
            }));
        }
        Ok(info)
    }
}

#[cfg(test)]
#[path = "gguf_tests.rs"]
mod tests;
