//! GGUF, as far as a registry needs it: written for a converted model, and
//! walked to tell a whole file from a cut one.
//!
//! <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>

use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};

const MAGIC: &[u8; 4] = b"GGUF";
const VERSION: u32 = 3;
const ALIGNMENT: u64 = 32;

/// A metadata value; the kinds that a converted model needs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    U32(u32),
    F32(f32),
    Bool(bool),
    String(String),
    Bytes(Vec<u8>),
    I32s(Vec<i32>),
    F32s(Vec<f32>),
    Strings(Vec<String>),
}

/// How a tensor's numbers are stored, by GGML's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TensorType {
    F32 = 0,
    Q4_0 = 2,
}

/// A tensor to write, its dimensions fastest first.
#[derive(Debug, Clone)]
pub(crate) struct Tensor<'a> {
    pub(crate) name: String,
    pub(crate) dimensions: Vec<u64>,
    pub(crate) kind: TensorType,
    pub(crate) bytes: &'a [u8],
}

/// Writes a GGUF file of version 3.
///
/// # Errors
///
/// Fails when `out` does.
pub(crate) fn write(
    out: &mut dyn Write,
    metadata: &[(&str, Value)],
    tensors: &[Tensor<'_>],
) -> io::Result<()> {
    let mut header = Vec::new();
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&(tensors.len() as u64).to_le_bytes());
    header.extend_from_slice(&(metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        push_string(&mut header, key);
        push_value(&mut header, value);
    }
    let mut offset = 0;
    for tensor in tensors {
        push_string(&mut header, &tensor.name);
        header.extend_from_slice(&(tensor.dimensions.len() as u32).to_le_bytes());
        for dimension in &tensor.dimensions {
            header.extend_from_slice(&dimension.to_le_bytes());
        }
        header.extend_from_slice(&(tensor.kind as u32).to_le_bytes());
        header.extend_from_slice(&u64::to_le_bytes(offset));
        offset += (tensor.bytes.len() as u64).next_multiple_of(ALIGNMENT);
    }
    pad(&mut header);
    out.write_all(&header)?;
    for tensor in tensors {
        out.write_all(tensor.bytes)?;
        let rest = tensor.bytes.len() % ALIGNMENT as usize;
        if rest != 0 {
            out.write_all(&[0; ALIGNMENT as usize][rest..])?;
        }
    }
    Ok(())
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT as usize), 0);
}

fn push_string(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn push_value(out: &mut Vec<u8>, value: &Value) {
    let array = |out: &mut Vec<u8>, kind: u32, count: usize| {
        out.extend_from_slice(&9_u32.to_le_bytes());
        out.extend_from_slice(&kind.to_le_bytes());
        out.extend_from_slice(&(count as u64).to_le_bytes());
    };
    match value {
        Value::U32(value) => {
            out.extend_from_slice(&4_u32.to_le_bytes());
            out.extend_from_slice(&value.to_le_bytes());
        }
        Value::F32(value) => {
            out.extend_from_slice(&6_u32.to_le_bytes());
            out.extend_from_slice(&value.to_le_bytes());
        }
        Value::Bool(value) => {
            out.extend_from_slice(&7_u32.to_le_bytes());
            out.push(u8::from(*value));
        }
        Value::String(value) => {
            out.extend_from_slice(&8_u32.to_le_bytes());
            push_string(out, value);
        }
        Value::Bytes(values) => {
            array(out, 0, values.len());
            out.extend_from_slice(values);
        }
        Value::I32s(values) => {
            array(out, 5, values.len());
            out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        Value::F32s(values) => {
            array(out, 6, values.len());
            out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        Value::Strings(values) => {
            array(out, 8, values.len());
            values.iter().for_each(|value| push_string(out, value));
        }
    }
}

/// A file is not a whole GGUF file.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    /// It does not begin as GGUF does.
    #[error("it does not begin as a GGUF file of version 2 or 3 does")]
    Magic,
    /// It ends before the data that its header declares.
    #[error(
        "it is cut off: its header declares at least {declared} bytes, but it has {found}; \
         copy or download it again"
    )]
    Cut {
        /// Bytes that the header declares, as far as it could be read.
        declared: u64,
        /// Bytes that the file has.
        found: u64,
    },
    /// The header contradicts itself.
    #[error("its header is damaged at byte {at}")]
    Header {
        /// Where.
        at: u64,
    },
    /// It can't be read.
    #[error("it can't be read")]
    Io(#[source] io::Error),
}

/// Walks the header and checks that the file is as long as it declares.
///
/// Returns the length that the header declares. Reads the header only and
/// allocates nothing that the file asks for.
///
/// # Errors
///
/// Says whether the file is no GGUF file, cut off or damaged.
pub(crate) fn check_length<F: Read + Seek>(file: F) -> Result<u64, GgufError> {
    let mut walk = Walk::new(file)?;
    let mut magic = [0; 4];
    walk.read(&mut magic)?;
    if &magic != MAGIC || !matches!(walk.u32()?, 2 | 3) {
        return Err(GgufError::Magic);
    }
    let tensors = walk.u64()?;
    let entries = walk.u64()?;
    let mut alignment = ALIGNMENT;
    for _ in 0..entries {
        let key = walk.short_string()?;
        let kind = walk.u32()?;
        if kind == 4 && key == b"general.alignment" {
            alignment = walk.u32()?.into();
        } else {
            walk.skip_value(kind)?;
        }
    }
    if !alignment.is_power_of_two() {
        return Err(walk.damaged());
    }
    let mut data = 0_u64;
    for _ in 0..tensors {
        walk.short_string()?;
        let dimensions = walk.u32()?;
        if dimensions > 8 {
            return Err(walk.damaged());
        }
        let mut numbers = 1_u64;
        for _ in 0..dimensions {
            let dimension = walk.u64()?;
            numbers = numbers
                .checked_mul(dimension)
                .ok_or_else(|| walk.damaged())?;
        }
        let kind = walk.u32()?;
        let offset = walk.u64()?;
        let end = tensor_bytes(kind, numbers)
            .and_then(|bytes| bytes.checked_add(offset))
            .ok_or_else(|| walk.damaged())?;
        data = data.max(end);
    }
    let declared = walk
        .at
        .checked_next_multiple_of(alignment)
        .and_then(|start| start.checked_add(data))
        .ok_or_else(|| walk.damaged())?;
    if walk.length < declared {
        return Err(GgufError::Cut {
            declared,
            found: walk.length,
        });
    }
    Ok(declared)
}

/// Bytes of a tensor by GGML's type number; an unknown type counts as empty,
/// so that a newer quantization is not called damaged.
fn tensor_bytes(kind: u32, numbers: u64) -> Option<u64> {
    let (block, bytes): (u64, u64) = match kind {
        0 | 26 => (1, 4),
        1 | 25 | 30 => (1, 2),
        24 => (1, 1),
        27 | 28 => (1, 8),
        2 => (32, 18),
        3 => (32, 20),
        6 => (32, 22),
        7 => (32, 24),
        8 => (32, 34),
        9 => (32, 36),
        10 => (256, 84),
        11 => (256, 110),
        12 => (256, 144),
        13 => (256, 176),
        14 => (256, 210),
        15 => (256, 292),
        _ => return Some(0),
    };
    numbers.div_ceil(block).checked_mul(bytes)
}

struct Walk<F> {
    file: BufReader<F>,
    at: u64,
    length: u64,
}

impl<F: Read + Seek> Walk<F> {
    fn new(mut file: F) -> Result<Self, GgufError> {
        let length = file.seek(SeekFrom::End(0)).map_err(GgufError::Io)?;
        file.rewind().map_err(GgufError::Io)?;
        Ok(Self {
            file: BufReader::new(file),
            at: 0,
            length,
        })
    }

    fn damaged(&self) -> GgufError {
        GgufError::Header { at: self.at }
    }

    /// The file has to hold `count` more bytes.
    fn claim(&mut self, count: u64) -> Result<(), GgufError> {
        let end = self.at.checked_add(count).ok_or_else(|| self.damaged())?;
        if end > self.length {
            return Err(GgufError::Cut {
                declared: end,
                found: self.length,
            });
        }
        self.at = end;
        Ok(())
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), GgufError> {
        self.claim(bytes.len() as u64)?;
        self.file.read_exact(bytes).map_err(GgufError::Io)
    }

    fn skip(&mut self, count: u64) -> Result<(), GgufError> {
        self.claim(count)?;
        let count = i64::try_from(count).map_err(|_| self.damaged())?;
        self.file.seek_relative(count).map_err(GgufError::Io)
    }

    fn u32(&mut self) -> Result<u32, GgufError> {
        let mut bytes = [0; 4];
        self.read(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn u64(&mut self) -> Result<u64, GgufError> {
        let mut bytes = [0; 8];
        self.read(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// A key or a tensor's name, which the format keeps below 64 KiB.
    fn short_string(&mut self) -> Result<Vec<u8>, GgufError> {
        let length = self.u64()?;
        if length > u64::from(u16::MAX) {
            return Err(self.damaged());
        }
        let mut text = vec![0; length as usize];
        self.read(&mut text)?;
        Ok(text)
    }

    fn skip_value(&mut self, kind: u32) -> Result<(), GgufError> {
        match kind {
            8 => {
                let length = self.u64()?;
                self.skip(length)
            }
            9 => {
                let kind = self.u32()?;
                let count = self.u64()?;
                match scalar_bytes(kind) {
                    Some(size) => {
                        let bytes = size.checked_mul(count).ok_or_else(|| self.damaged())?;
                        self.skip(bytes)
                    }
                    None if kind == 8 => (0..count).try_for_each(|_| self.skip_value(kind)),
                    // Arrays of arrays are allowed by the format and used by
                    // nobody; nesting without end would be an attack.
                    None => Err(self.damaged()),
                }
            }
            _ => {
                let size = scalar_bytes(kind).ok_or_else(|| self.damaged())?;
                self.skip(size)
            }
        }
    }
}

fn scalar_bytes(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    fn sample() -> Vec<u8> {
        let bytes = [7_u8; 36];
        let mut out = Vec::new();
        let tensor = |name: &str, kind, count, bytes| Tensor {
            name: name.to_owned(),
            dimensions: vec![count],
            kind,
            bytes,
        };
        write(
            &mut out,
            &[
                ("general.architecture", Value::String("bert".into())),
                ("tokens", Value::Strings(vec!["a".into(), "é".into()])),
                ("scores", Value::F32s(vec![0.5, 1.0])),
                ("bytes", Value::Bytes(vec![1, 2, 3])),
                ("flag", Value::Bool(true)),
            ],
            &[
                tensor("one", TensorType::Q4_0, 64, &bytes),
                tensor("two", TensorType::F32, 2, &bytes[..8]),
            ],
        )
        .unwrap();
        out
    }

    #[test]
    fn a_whole_file_is_whole() {
        let file = sample();
        let declared = check_length(Cursor::new(&file)).unwrap();
        // The last tensor's padding is not part of what is declared.
        assert_eq!(declared.next_multiple_of(ALIGNMENT), file.len() as u64);
    }

    #[test]
    fn a_file_cut_in_half_is_told_from_a_whole_one() {
        let file = sample();
        for length in 8..file.len() - 32 {
            let error = check_length(Cursor::new(&file[..length])).unwrap_err();
            assert!(
                matches!(error, GgufError::Cut { found, declared }
                    if found == length as u64 && declared > found),
                "{length}: {error}"
            );
        }
        assert!(matches!(
            check_length(Cursor::new(b"PK\x03\x04 something else")),
            Err(GgufError::Magic)
        ));
    }

    proptest! {
        #[test]
        fn damage_never_panics_and_never_allocates_what_the_file_asks_for(
            at in 4_usize..300, with in any::<[u8; 8]>()
        ) {
            let mut file = sample();
            let at = at.min(file.len() - 8);
            file[at..at + 8].copy_from_slice(&with);
            let _ = check_length(Cursor::new(&file));
        }
    }
}
