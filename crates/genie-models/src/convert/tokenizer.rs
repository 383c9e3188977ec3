//! A packed encoder's tokenizer as the `tokenizers` library reads it.
//!
//! The steps are those of the package's own program: the character map, runs
//! of spaces made one, `▁` for a space and in front, unigram, and `<s> …
//! </s>` around. The same ids come out, but for one thing: a run of unknown
//! characters is one unknown token, as in the model's original tokenizer,
//! where the package makes one of each character.
//!
//! The file is pinned by hash, so its bytes must not depend on how other
//! crates configure `serde_json` (the order of a map's keys is a feature of
//! it): every object is a struct, its fields in alphabetical order.

use std::io::{self, Write};

use base64::Engine as _;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::packed::PackedEncoder;

/// Writes `tokenizer.json`.
pub(super) fn write_tokenizer(
    encoder: &PackedEncoder<'_>,
    charsmap: &[u8],
    out: &mut dyn Write,
) -> io::Result<()> {
    let piece = |id: usize| encoder.pieces[id].0;
    let special = &encoder.special;
    let (bos, eos) = (piece(special.bos), piece(special.eos));
    let token = |id, type_id| Template::SpecialToken(Slot { id, type_id });
    let sequence = |id| Template::Sequence(Slot { id, type_id: 0 });
    let tokenizer = Tokenizer {
        added_tokens: added_tokens(encoder),
        decoder: METASPACE,
        model: Unigram {
            byte_fallback: false,
            kind: "Unigram",
            unk_id: special.unk,
            vocab: encoder
                .pieces
                .iter()
                .map(|(piece, score)| (*piece, f64::from(*score)))
                .collect(),
        },
        normalizer: Sequence {
            normalizers: [
                Normalizer::Precompiled {
                    precompiled_charsmap: base64::engine::general_purpose::STANDARD
                        .encode(charsmap),
                    kind: "Precompiled",
                },
                Normalizer::Replace {
                    content: " ",
                    pattern: Pattern { regex: " {2,}" },
                    kind: "Replace",
                },
            ],
            kind: "Sequence",
        },
        padding: (),
        post_processor: Templates {
            pair: [
                token(bos, 0),
                sequence("A"),
                token(eos, 0),
                token(eos, 0),
                sequence("B"),
                token(eos, 0),
            ],
            single: [token(bos, 0), sequence("A"), token(eos, 0)],
            special_tokens: Described([
                Description::new(special.eos, eos),
                Description::new(special.bos, bos),
            ]),
            kind: "TemplateProcessing",
        },
        pre_tokenizer: METASPACE,
        truncation: (),
        version: "1.0",
    };
    serde_json::to_writer(out, &tokenizer).map_err(io::Error::from)
}

fn added_tokens<'a>(encoder: &PackedEncoder<'a>) -> Vec<AddedToken<'a>> {
    let special = &encoder.special;
    let mut ids = vec![special.bos, special.pad, special.eos, special.unk];
    ids.extend(special.mask);
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter()
        .map(|id| AddedToken {
            content: encoder.pieces[id].0,
            id,
            // The mask takes the space before it, as it did in training.
            lstrip: special.mask == Some(id),
            normalized: false,
            rstrip: false,
            single_word: false,
            special: true,
        })
        .collect()
}

#[derive(Serialize)]
struct Tokenizer<'a> {
    added_tokens: Vec<AddedToken<'a>>,
    decoder: Metaspace,
    model: Unigram<'a>,
    normalizer: Sequence,
    padding: (),
    post_processor: Templates<'a>,
    pre_tokenizer: Metaspace,
    truncation: (),
    version: &'static str,
}

#[derive(Serialize)]
struct AddedToken<'a> {
    content: &'a str,
    id: usize,
    lstrip: bool,
    normalized: bool,
    rstrip: bool,
    single_word: bool,
    special: bool,
}

#[derive(Serialize)]
struct Metaspace {
    prepend_scheme: &'static str,
    replacement: &'static str,
    split: bool,
    #[serde(rename = "type")]
    kind: &'static str,
}

const METASPACE: Metaspace = Metaspace {
    prepend_scheme: "always",
    replacement: "▁",
    split: true,
    kind: "Metaspace",
};

#[derive(Serialize)]
struct Unigram<'a> {
    byte_fallback: bool,
    #[serde(rename = "type")]
    kind: &'static str,
    unk_id: usize,
    vocab: Vec<(&'a str, f64)>,
}

#[derive(Serialize)]
struct Sequence {
    normalizers: [Normalizer; 2],
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Normalizer {
    Precompiled {
        precompiled_charsmap: String,
        #[serde(rename = "type")]
        kind: &'static str,
    },
    Replace {
        content: &'static str,
        pattern: Pattern,
        #[serde(rename = "type")]
        kind: &'static str,
    },
}

#[derive(Serialize)]
struct Pattern {
    #[serde(rename = "Regex")]
    regex: &'static str,
}

#[derive(Serialize)]
struct Templates<'a> {
    pair: [Template<'a>; 6],
    single: [Template<'a>; 3],
    special_tokens: Described<'a>,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
enum Template<'a> {
    SpecialToken(Slot<'a>),
    Sequence(Slot<'a>),
}

#[derive(Serialize)]
struct Slot<'a> {
    id: &'a str,
    type_id: u32,
}

#[derive(Serialize)]
struct Description<'a> {
    id: &'a str,
    ids: [usize; 1],
    tokens: [&'a str; 1],
}

impl<'a> Description<'a> {
    fn new(id: usize, text: &'a str) -> Self {
        Self {
            id: text,
            ids: [id],
            tokens: [text],
        }
    }
}

/// Descriptions, keyed by their token.
struct Described<'a>([Description<'a>; 2]);

impl Serialize for Described<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for description in &self.0 {
            map.serialize_entry(description.id, description)?;
        }
        map.end()
    }
}
