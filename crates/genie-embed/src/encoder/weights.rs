//! Tensors of an encoder, from a GGUF file or from a safetensors file.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
use candle_core::{DType, Device, Tensor};
use genie_compute::QuantizedMatrix;
use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::config::EncoderConfig;
use super::names::Part;
use crate::EncoderError;

/// Longest safetensors header that is read; real ones have kilobytes.
const MAX_HEADER: u64 = 16 << 20;

/// An open weights file. Tensors are read one by one, so that no more than
/// the largest is in memory twice.
pub(crate) enum Weights {
    /// Quantized or not, names of llama.cpp.
    Gguf {
        file: PathBuf,
        reader: BufReader<File>,
        content: Box<gguf_file::Content>,
    },
    /// Floating point, names of the hub.
    Safetensors {
        file: PathBuf,
        reader: BufReader<File>,
        metadata: Box<Metadata>,
        /// Where the tensors begin, in bytes.
        start: u64,
        /// What this file puts in front of each name, such as `bert.`.
        prefix: String,
    },
}

/// A table of token vectors. It is most of a multilingual model, so it stays
/// as small as it can be kept, and only rows that are used become floats.
pub(crate) enum TokenTable {
    /// As it lies in a GGUF file.
    Quantized(QTensor),
    /// In half precision: rounding moves a component by a 2000th at most,
    /// and the norm that follows takes half of that out again.
    Half(Tensor),
}

impl TokenTable {
    /// Token vectors, `[ids, hidden]` in single precision.
    pub(crate) fn rows(&self, ids: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::Quantized(table) => table.embedding(ids),
            Self::Half(table) => table.index_select(ids, 0)?.to_dtype(DType::F32),
        }
    }

    /// Rows and width.
    pub(crate) fn shape(&self) -> candle_core::Result<(usize, usize)> {
        match self {
            Self::Quantized(table) => table.shape().dims2(),
            Self::Half(table) => table.dims2(),
        }
    }
}

impl Weights {
    /// Opens a weights file; its first bytes tell the kind. A safetensors
    /// file needs `config` (a hub `config.json`), by default the one beside
    /// it.
    ///
    /// # Errors
    ///
    /// Fails on what can't be read, and on what is neither format.
    pub(crate) fn open(
        file: &Path,
        config: Option<&Path>,
    ) -> Result<(Self, EncoderConfig), EncoderError> {
        let unreadable = |file: &Path| {
            let file = file.to_owned();
            |source| EncoderError::Read { file, source }
        };
        let mut reader = BufReader::new(File::open(file).map_err(unreadable(file))?);
        let mut magic = [0; 4];
        reader.read_exact(&mut magic).map_err(unreadable(file))?;
        reader.seek(SeekFrom::Start(0)).map_err(unreadable(file))?;
        if &magic == b"GGUF" {
            return Self::open_gguf(file, reader);
        }
        let beside = file.with_file_name("config.json");
        let config_file = config.unwrap_or(&beside);
        let text = std::fs::read(config_file).map_err(unreadable(config_file))?;
        let config = EncoderConfig::from_json(config_file, &text)?;
        Ok((Self::open_safetensors(file, reader)?, config))
    }

    fn open_gguf(
        file: &Path,
        mut reader: BufReader<File>,
    ) -> Result<(Self, EncoderConfig), EncoderError> {
        let content =
            gguf_file::Content::read(&mut reader).map_err(|error| damaged(file, error))?;
        let length = length(file, &reader)?;
        for (name, info) in &content.tensor_infos {
            let blocks = info.shape.elem_count() / info.ggml_dtype.block_size();
            let bytes = (blocks as u64).saturating_mul(info.ggml_dtype.type_size() as u64);
            let needed = content
                .tensor_data_offset
                .saturating_add(info.offset)
                .saturating_add(bytes);
            if needed > length {
                return Err(EncoderError::CutShort {
                    file: file.to_owned(),
                    tensor: name.clone(),
                    needed,
                    length,
                });
            }
        }
        let config = EncoderConfig::from_gguf(file, &content.metadata)?;
        let weights = Self::Gguf {
            file: file.to_owned(),
            reader,
            content: Box::new(content),
        };
        Ok((weights, config))
    }

    fn open_safetensors(file: &Path, mut reader: BufReader<File>) -> Result<Self, EncoderError> {
        let length = length(file, &reader)?;
        let mut size = [0; 8];
        let unreadable = |source| EncoderError::Read {
            file: file.to_owned(),
            source,
        };
        reader.read_exact(&mut size).map_err(unreadable)?;
        let size = u64::from_le_bytes(size);
        if size > MAX_HEADER || size > length {
            let what = format!("neither GGUF nor safetensors (a header of {size} bytes)");
            return Err(damaged(file, what));
        }
        let mut header = Vec::new();
        reader
            .by_ref()
            .take(size)
            .read_to_end(&mut header)
            .map_err(unreadable)?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| damaged(file, error))?;
        let start = 8 + size;
        for (name, info) in metadata.tensors() {
            let needed = start.saturating_add(info.data_offsets.1 as u64);
            if needed > length {
                return Err(EncoderError::CutShort {
                    file: file.to_owned(),
                    tensor: name,
                    needed,
                    length,
                });
            }
        }
        let table = Part::Tokens.hub();
        let prefix = metadata
            .offset_keys()
            .iter()
            .find_map(|name| name.strip_suffix(&table).map(str::to_owned))
            .ok_or_else(|| EncoderError::MissingTensor {
                file: file.to_owned(),
                tensor: table,
            })?;
        Ok(Self::Safetensors {
            file: file.to_owned(),
            reader,
            metadata: Box::new(metadata),
            start,
            prefix,
        })
    }

    /// Reads matrices of that shape as one, their rows one after the other.
    /// Blocks of a GGUF file stay as they are where all are of one type that
    /// has kernels; everything else is rounded to eight bits (Q8_0).
    pub(crate) fn matrix(
        &mut self,
        parts: &[Part],
        wanted: [usize; 2],
    ) -> Result<QuantizedMatrix, EncoderError> {
        let [rows, columns] = wanted;
        let rows = parts.len() * rows;
        let (dtype, bytes) = match self.blocks(parts, wanted)? {
            Some(blocks) => blocks,
            None => {
                let matrices = parts
                    .iter()
                    .map(|part| self.dense(*part, &wanted, &Device::Cpu))
                    .collect::<Result<Vec<_>, _>>()?;
                let whole = Tensor::cat(&matrices, 0)?;
                let rounded = QTensor::quantize(&whole, GgmlDType::Q8_0)?;
                (GgmlDType::Q8_0, rounded.data()?.into_owned())
            }
        };
        QuantizedMatrix::new(dtype, rows, columns, &bytes)
            .map_err(|error| damaged(self.file(), error))
    }

    /// The blocks of matrices of one type that has kernels.
    fn blocks(
        &mut self,
        parts: &[Part],
        wanted: [usize; 2],
    ) -> Result<Option<(GgmlDType, Vec<u8>)>, EncoderError> {
        if matches!(self, Self::Safetensors { .. }) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let mut dtype = None;
        for part in parts {
            let tensor = self.quantized(*part, &Device::Cpu)?;
            let shape = tensor.shape().dims();
            if shape != wanted {
                return Err(self.wrong_shape(*part, shape, &wanted));
            }
            let first = *dtype.get_or_insert(tensor.dtype());
            if first != tensor.dtype() || !QuantizedMatrix::has_short_blocks(first, wanted[1]) {
                return Ok(None);
            }
            bytes.extend_from_slice(&tensor.data()?);
        }
        Ok(dtype.map(|dtype| (dtype, bytes)))
    }

    /// Reads a tensor of that shape in single precision.
    pub(crate) fn dense(
        &mut self,
        part: Part,
        wanted: &[usize],
        device: &Device,
    ) -> Result<Tensor, EncoderError> {
        let tensor = self.floats(part, device)?;
        if tensor.dims() != wanted {
            return Err(self.wrong_shape(part, tensor.dims(), wanted));
        }
        Ok(tensor)
    }

    /// Position vectors plus the vector of token type 0, which is all that
    /// single texts use: `[positions, hidden]`.
    pub(crate) fn positions(
        &mut self,
        config: &EncoderConfig,
        device: &Device,
    ) -> Result<Tensor, EncoderError> {
        let EncoderConfig {
            hidden,
            positions,
            position_offset,
            ..
        } = *config;
        let shape = [positions + position_offset, hidden];
        let table = self.dense(Part::Positions, &shape, device)?;
        let table = table.narrow(0, position_offset, positions)?;
        let types = self.first_row(Part::TokenTypes, hidden, device)?;
        Ok(table.broadcast_add(&types)?)
    }

    /// Reads the first row of a matrix of that width.
    fn first_row(
        &mut self,
        part: Part,
        width: usize,
        device: &Device,
    ) -> Result<Tensor, EncoderError> {
        let tensor = self.floats(part, device)?;
        match tensor.dims() {
            // llama.cpp may write a table of one row as a vector.
            [found] if *found == width => Ok(tensor),
            [rows, found] if *rows > 0 && *found == width => Ok(tensor.get(0)?),
            found => Err(self.wrong_shape(part, found, &[1, width])),
        }
    }

    fn floats(&mut self, part: Part, device: &Device) -> Result<Tensor, EncoderError> {
        match self {
            Self::Gguf { .. } => Ok(self.quantized(part, device)?.dequantize(device)?),
            Self::Safetensors { .. } => Ok(self.float(part, device)?.to_dtype(DType::F32)?),
        }
    }

    fn wrong_shape(&self, part: Part, found: &[usize], wanted: &[usize]) -> EncoderError {
        EncoderError::WrongShape {
            file: self.file().to_owned(),
            tensor: self.name(part),
            found: found.to_vec(),
            wanted: wanted.to_vec(),
        }
    }

    /// Reads the table of token vectors.
    pub(crate) fn tokens(
        &mut self,
        hidden: usize,
        device: &Device,
    ) -> Result<TokenTable, EncoderError> {
        let table = match self {
            Self::Gguf { .. } => TokenTable::Quantized(self.quantized(Part::Tokens, device)?),
            Self::Safetensors { .. } => {
                // Halved before it goes to the device, which may be smaller.
                let table = self.float(Part::Tokens, &Device::Cpu)?;
                TokenTable::Half(table.to_dtype(DType::F16)?.to_device(device)?)
            }
        };
        let shape = match &table {
            TokenTable::Quantized(table) => table.shape().dims().to_vec(),
            TokenTable::Half(table) => table.dims().to_vec(),
        };
        match shape.as_slice() {
            [_, width] if *width == hidden => Ok(table),
            found => {
                let rows = found.first().copied().unwrap_or_default();
                Err(self.wrong_shape(Part::Tokens, found, &[rows, hidden]))
            }
        }
    }

    fn quantized(&mut self, part: Part, device: &Device) -> Result<QTensor, EncoderError> {
        let name = self.name(part);
        match self {
            Self::Gguf {
                file,
                reader,
                content,
            } => {
                if !content.tensor_infos.contains_key(&name) {
                    return Err(missing(file, name));
                }
                content
                    .tensor(reader, &name, device)
                    .map_err(|error| damaged(file, error))
            }
            Self::Safetensors { file, .. } => Err(missing(file, name)),
        }
    }

    fn float(&mut self, part: Part, device: &Device) -> Result<Tensor, EncoderError> {
        let name = self.name(part);
        match self {
            Self::Gguf { file, .. } => Err(missing(file, name)),
            Self::Safetensors {
                file,
                reader,
                metadata,
                start,
                ..
            } => {
                let info = metadata
                    .info(&name)
                    .ok_or_else(|| missing(file, name.clone()))?;
                let dtype = match info.dtype {
                    Dtype::F32 => DType::F32,
                    Dtype::F16 => DType::F16,
                    Dtype::BF16 => DType::BF16,
                    other => {
                        let what = format!("{name} holds {other:?}, not floating point");
                        return Err(damaged(file, what));
                    }
                };
                // The whole file was found to be as long as its header says.
                let (from, to) = info.data_offsets;
                let mut bytes = vec![0; to - from];
                reader
                    .seek(SeekFrom::Start(*start + from as u64))
                    .and_then(|_| reader.read_exact(&mut bytes))
                    .map_err(|source| EncoderError::Read {
                        file: file.clone(),
                        source,
                    })?;
                Ok(Tensor::from_raw_buffer(&bytes, dtype, &info.shape, device)?)
            }
        }
    }

    fn name(&self, part: Part) -> String {
        match self {
            Self::Gguf { .. } => part.gguf(),
            Self::Safetensors { prefix, .. } => format!("{prefix}{}", part.hub()),
        }
    }

    fn file(&self) -> &Path {
        match self {
            Self::Gguf { file, .. } | Self::Safetensors { file, .. } => file,
        }
    }
}

fn length(file: &Path, reader: &BufReader<File>) -> Result<u64, EncoderError> {
    let metadata = reader.get_ref().metadata();
    metadata
        .map(|metadata| metadata.len())
        .map_err(|source| EncoderError::Read {
            file: file.to_owned(),
            source,
        })
}

fn damaged(
    file: &Path,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> EncoderError {
    EncoderError::Damaged {
        file: file.to_owned(),
        source: source.into(),
    }
}

fn missing(file: &Path, tensor: String) -> EncoderError {
    EncoderError::MissingTensor {
        file: file.to_owned(),
        tensor,
    }
}
