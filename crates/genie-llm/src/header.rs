//! The header of a GGUF file, read with every length checked against the
//! file's size before anything is allocated.
//!
//! Layout: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

use std::collections::HashMap;
use std::io::Read;

use candle_core::Shape;
use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::TensorInfo;

use crate::FileProblem;

const MAGIC: &[u8; 4] = b"GGUF";
const MAX_TENSORS: u64 = 1 << 16;
const MAX_KEYS: u64 = 1 << 16;
const MAX_ELEMENTS: u64 = 1 << 23;
const MAX_STRING: u64 = 1 << 24;
const MAX_DIMS: u64 = 4;
const DEFAULT_ALIGNMENT: u64 = 32;

/// A metadata value; every kind of number is kept as the widest of its sort.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Integer(i128),
    Float(f64),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    Integers(Vec<i64>),
    Floats(Vec<f32>),
    /// Whether it holds, of each of several things.
    Bools(Vec<bool>),
    /// An array that nothing here reads; it was skipped.
    Other,
}

#[derive(Debug)]
pub(crate) enum ReadError {
    Io(std::io::Error),
    Problem(FileProblem),
}

impl From<std::io::Error> for ReadError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<FileProblem> for ReadError {
    fn from(problem: FileProblem) -> Self {
        Self::Problem(problem)
    }
}

/// What a header says.
pub(crate) struct Header {
    pub(crate) metadata: HashMap<String, Value>,
    pub(crate) tensors: HashMap<String, TensorInfo>,
    pub(crate) data_start: u64,
}

impl Header {
    pub(crate) fn read(source: impl Read, size: u64) -> Result<Self, ReadError> {
        let mut fields = Fields {
            source,
            position: 0,
            size,
        };
        let magic = fields.bytes::<4>().map_err(|error| match error {
            // A file of less than four bytes is no cut GGUF file, it is none.
            ReadError::Problem(FileProblem::HeaderCut { .. }) => FileProblem::NotGguf.into(),
            other => other,
        })?;
        if &magic != MAGIC {
            return Err(FileProblem::NotGguf.into());
        }
        let version = fields.u32()?;
        if !matches!(version, 2 | 3) {
            return Err(FileProblem::Version(version).into());
        }
        let tensor_count = fields.u64()?;
        at_most("tensors", tensor_count, MAX_TENSORS)?;
        let key_count = fields.u64()?;
        at_most("metadata entries", key_count, MAX_KEYS)?;

        let mut metadata = HashMap::new();
        for _ in 0..key_count {
            let key = fields.text()?;
            let code = fields.u32()?;
            let value = fields.value(&key, code)?;
            metadata.insert(key, value);
        }
        let mut tensors = HashMap::new();
        for _ in 0..tensor_count {
            let (name, info) = fields.tensor()?;
            tensors.insert(name, info);
        }
        let alignment = match metadata.get("general.alignment") {
            None => DEFAULT_ALIGNMENT,
            Some(Value::Integer(number)) => u64::try_from(*number)
                .ok()
                .filter(|number| number.is_power_of_two() && *number <= 1 << 20)
                .ok_or_else(|| FileProblem::BadValue("general.alignment".to_owned()))?,
            Some(_) => return Err(FileProblem::BadValue("general.alignment".to_owned()).into()),
        };
        let data_start = fields.position.next_multiple_of(alignment);
        check_extents(&tensors, data_start, size)?;
        Ok(Self {
            metadata,
            tensors,
            data_start,
        })
    }
}

/// Every tensor lies inside the file, and together they are no larger than
/// it: a file can't make the reader allocate more than its own size.
fn check_extents(
    tensors: &HashMap<String, TensorInfo>,
    data_start: u64,
    size: u64,
) -> Result<(), FileProblem> {
    let mut total = 0u64;
    // The last tensor is named, since that one tells how long the file was
    // meant to be.
    let mut furthest: Option<(u64, &String)> = None;
    for (name, info) in tensors {
        let layout = || FileProblem::TensorLayout {
            tensor: name.clone(),
        };
        let bytes = tensor_bytes(info).ok_or_else(layout)?;
        total = total.checked_add(bytes).ok_or_else(layout)?;
        let end = data_start
            .checked_add(info.offset)
            .and_then(|start| start.checked_add(bytes))
            .ok_or_else(layout)?;
        if end > size && furthest.is_none_or(|(most, _)| end > most) {
            furthest = Some((end, name));
        }
    }
    if let Some((needed, tensor)) = furthest {
        return Err(FileProblem::TensorCut {
            tensor: tensor.clone(),
            needed,
            size,
        });
    }
    at_most("bytes of tensors", total, size)
}

/// Bytes of a tensor; `None` where its shape makes no sense.
pub(crate) fn tensor_bytes(info: &TensorInfo) -> Option<u64> {
    let elements = info
        .shape
        .dims()
        .iter()
        .try_fold(1u64, |product, dim| product.checked_mul(*dim as u64))?;
    let block = info.ggml_dtype.block_size() as u64;
    let row = *info.shape.dims().last()? as u64;
    if elements == 0 || !row.is_multiple_of(block) {
        return None;
    }
    (elements / block).checked_mul(info.ggml_dtype.type_size() as u64)
}

fn at_most(what: &'static str, count: u64, limit: u64) -> Result<(), FileProblem> {
    if count <= limit {
        return Ok(());
    }
    Err(FileProblem::TooMany { what, count, limit })
}

struct Fields<R> {
    source: R,
    position: u64,
    size: u64,
}

impl<R: Read> Fields<R> {
    /// Says that `length` more bytes are about to be read.
    fn claim(&mut self, length: u64) -> Result<(), ReadError> {
        let needed = self.position.saturating_add(length);
        if needed > self.size {
            return Err(FileProblem::HeaderCut {
                needed,
                size: self.size,
            }
            .into());
        }
        self.position = needed;
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        self.claim(N as u64)?;
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, ReadError> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn u64(&mut self) -> Result<u64, ReadError> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    fn text(&mut self) -> Result<String, ReadError> {
        let length = self.u64()?;
        at_most("bytes in one text", length, MAX_STRING)?;
        self.claim(length)?;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        self.source.read_exact(&mut bytes)?;
        Ok(String::from_utf8(bytes).map_err(|_| FileProblem::NotUtf8)?)
    }

    fn value(&mut self, key: &str, code: u32) -> Result<Value, ReadError> {
        Ok(match code {
            6 => Value::Float(f32::from_le_bytes(self.bytes()?).into()),
            7 => Value::Bool(self.bytes::<1>()? != [0]),
            8 => Value::Text(self.text()?),
            9 => self.array(key)?,
            12 => Value::Float(f64::from_le_bytes(self.bytes()?)),
            _ => Value::Integer(self.integer(key, code)?),
        })
    }

    fn integer(&mut self, key: &str, code: u32) -> Result<i128, ReadError> {
        Ok(match code {
            0 => u8::from_le_bytes(self.bytes()?).into(),
            1 => i8::from_le_bytes(self.bytes()?).into(),
            2 => u16::from_le_bytes(self.bytes()?).into(),
            3 => i16::from_le_bytes(self.bytes()?).into(),
            4 => u32::from_le_bytes(self.bytes()?).into(),
            5 => i32::from_le_bytes(self.bytes()?).into(),
            10 => u64::from_le_bytes(self.bytes()?).into(),
            11 => i64::from_le_bytes(self.bytes()?).into(),
            _ => {
                return Err(FileProblem::ValueType {
                    key: key.to_owned(),
                    code,
                }
                .into());
            }
        })
    }

    fn array(&mut self, key: &str) -> Result<Value, ReadError> {
        let code = self.u32()?;
        let count = self.u64()?;
        at_most("elements in one array", count, MAX_ELEMENTS)?;
        match code {
            0..=5 | 10 | 11 => {
                let mut numbers = Vec::new();
                for _ in 0..count {
                    let number = self.integer(key, code)?;
                    numbers.push(
                        i64::try_from(number).map_err(|_| FileProblem::BadValue(key.to_owned()))?,
                    );
                }
                Ok(Value::Integers(numbers))
            }
            8 => {
                let mut texts = Vec::new();
                for _ in 0..count {
                    texts.push(self.text()?);
                }
                Ok(Value::Texts(texts))
            }
            6 => {
                let mut floats = Vec::new();
                for _ in 0..count {
                    floats.push(f32::from_le_bytes(self.bytes()?));
                }
                Ok(Value::Floats(floats))
            }
            7 => {
                let mut bools = Vec::new();
                for _ in 0..count {
                    bools.push(self.bytes::<1>()? != [0]);
                }
                Ok(Value::Bools(bools))
            }
            12 => {
                self.skip(count * 8)?;
                Ok(Value::Other)
            }
            _ => Err(FileProblem::ValueType {
                key: key.to_owned(),
                code,
            }
            .into()),
        }
    }

    fn skip(&mut self, length: u64) -> Result<(), ReadError> {
        self.claim(length)?;
        std::io::copy(&mut self.source.by_ref().take(length), &mut std::io::sink())?;
        Ok(())
    }

    fn tensor(&mut self) -> Result<(String, TensorInfo), ReadError> {
        let name = self.text()?;
        let rank = self.u32()?;
        let layout = || FileProblem::TensorLayout {
            tensor: name.clone(),
        };
        if rank == 0 || u64::from(rank) > MAX_DIMS {
            return Err(layout().into());
        }
        let mut dims = Vec::new();
        for _ in 0..rank {
            dims.push(usize::try_from(self.u64()?).map_err(|_| layout())?);
        }
        // The file names the fastest dimension first, candle the slowest.
        dims.reverse();
        let code = self.u32()?;
        let ggml_dtype = tensor_type(code).ok_or_else(|| FileProblem::TensorType {
            tensor: name.clone(),
            code,
        })?;
        let offset = self.u64()?;
        let info = TensorInfo {
            ggml_dtype,
            shape: Shape::from(dims),
            offset,
        };
        Ok((name, info))
    }
}

/// The numbers of `enum ggml_type` that candle computes with.
const fn tensor_type(code: u32) -> Option<GgmlDType> {
    Some(match code {
        0 => GgmlDType::F32,
        1 => GgmlDType::F16,
        2 => GgmlDType::Q4_0,
        3 => GgmlDType::Q4_1,
        6 => GgmlDType::Q5_0,
        7 => GgmlDType::Q5_1,
        8 => GgmlDType::Q8_0,
        10 => GgmlDType::Q2K,
        11 => GgmlDType::Q3K,
        12 => GgmlDType::Q4K,
        13 => GgmlDType::Q5K,
        14 => GgmlDType::Q6K,
        30 => GgmlDType::BF16,
        _ => return None,
    })
}
