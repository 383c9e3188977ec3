//! Text to tokens and back, from the tables in the file.

use std::collections::HashMap;

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;

use crate::gguf::Gguf;
use crate::header::Value;
use crate::pieces::{BLANK, Pieces};
use crate::{FileProblem, LlmError};

/// Kinds of tokens as the file numbers them (`enum llama_token_type`).
const NORMAL: i64 = 1;
const UNKNOWN: i64 = 2;
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;
const BYTE: i64 = 6;

/// Control tokens that end an answer, whatever the file says of them.
const ENDS: [&str; 9] = [
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|end|>",
    "<|eot|>",
    "<end_of_turn>",
    "</s>",
];

/// Byte-level byte-pair encoding, or SentencePiece's.
///
/// Ordinary text never becomes a control token here: those are not in the
/// vocabulary that the merges work on. Only [`Tokenizer::encode_structure`]
/// sees them, and it is told which text is structure.
#[derive(Debug)]
pub(crate) struct Tokenizer {
    encoder: Encoder,
    /// What each token prints as; nothing for control tokens.
    pieces: Vec<Box<[u8]>>,
    special: SpecialTokens,
    ends: Vec<u32>,
    /// The token that each text begins with, where the model wants one.
    begin: Option<u32>,
    bos_text: String,
    eos_text: String,
}

/// From plain text to tokens.
#[derive(Debug)]
enum Encoder {
    Merges(Box<tokenizers::Tokenizer>),
    Pieces(Pieces),
}

impl Tokenizer {
    pub(crate) fn read(gguf: &Gguf) -> Result<Self, FileProblem> {
        let model = gguf.text("tokenizer.ggml.model")?.unwrap_or_default();
        let tables = match model {
            "gpt2" => merges(gguf)?,
            "llama" => pieces(gguf)?,
            other => {
                let name = other.chars().take(40).collect();
                return Err(FileProblem::TokenizerModel(name));
            }
        };
        let Tables {
            tokens,
            kinds,
            encoder,
            pieces,
            begins,
        } = tables;

        let size = tokens.len();
        let id = |name: &str| {
            let key = format!("tokenizer.ggml.{name}");
            let id = gguf.count(&key, size.saturating_sub(1))?;
            Ok(id.and_then(|id| u32::try_from(id).ok()))
        };
        let bos = id("bos_token_id")?;
        let eos = id("eos_token_id")?;
        let mut ends: Vec<u32> = [eos, id("eot_token_id")?, id("eom_token_id")?]
            .into_iter()
            .flatten()
            .collect();
        let mut special = SpecialTokens::default();
        for ((token, kind), id) in tokens.iter().zip(&kinds).zip(0u32..) {
            let is_text = matches!(encoder, Encoder::Pieces(_)) && is_space(token, *kind);
            if matches!(*kind, CONTROL | USER_DEFINED | UNKNOWN) && !token.is_empty() && !is_text {
                special.insert(token, id);
                let ends_text = *kind != UNKNOWN && ENDS.contains(&token.as_str());
                if ends_text && !ends.contains(&id) {
                    ends.push(id);
                }
            }
        }
        let begins = gguf.flag("tokenizer.ggml.add_bos_token")?.unwrap_or(begins);
        let text = |id: Option<u32>| {
            id.and_then(|id| tokens.get(id as usize))
                .cloned()
                .unwrap_or_default()
        };
        Ok(Self {
            encoder,
            pieces,
            special,
            ends,
            begin: bos.filter(|_| begins),
            bos_text: text(bos),
            eos_text: text(eos),
        })
    }

    /// Tokens of plain text.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>, LlmError> {
        match &self.encoder {
            Encoder::Merges(inner) => {
                let encoding = inner.encode_fast(text, false);
                let encoding = encoding.map_err(LlmError::Tokenizer)?;
                Ok(encoding.get_ids().to_vec())
            }
            Encoder::Pieces(pieces) => pieces.encode(text),
        }
    }

    /// Tokens of a rendered conversation. Control tokens in `text` count as
    /// such unless `marker` stands inside of them; the marker itself vanishes.
    pub(crate) fn encode_structure(
        &self,
        text: &str,
        marker: Option<char>,
    ) -> Result<Vec<u32>, LlmError> {
        let mut tokens = Vec::new();
        let plain = |text: &str, tokens: &mut Vec<u32>| -> Result<(), LlmError> {
            if text.is_empty() {
                return Ok(());
            }
            let ids = match marker {
                Some(marker) if text.contains(marker) => self.encode(&text.replace(marker, ""))?,
                _ => self.encode(text)?,
            };
            tokens.extend(ids);
            Ok(())
        };
        let mut rest = text;
        while let Some((before, id, after)) = self.special.split(rest) {
            plain(before, &mut tokens)?;
            tokens.push(id);
            rest = after;
        }
        plain(rest, &mut tokens)?;
        if let Some(begin) = self.begin
            && tokens.first() != Some(&begin)
        {
            tokens.insert(0, begin);
        }
        Ok(tokens)
    }

    /// The bytes that a token prints as; they need not be whole characters.
    pub(crate) fn piece(&self, token: u32) -> &[u8] {
        self.pieces
            .get(token as usize)
            .map(AsRef::as_ref)
            .unwrap_or_default()
    }

    pub(crate) fn is_end(&self, token: u32) -> bool {
        self.ends.contains(&token)
    }

    /// The tokens that end a text.
    pub(crate) fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// The token that each text begins with, where the model wants one.
    pub(crate) const fn begin(&self) -> Option<u32> {
        self.begin
    }

    /// Tokens of the vocabulary.
    pub(crate) fn size(&self) -> u32 {
        u32::try_from(self.pieces.len()).unwrap_or(u32::MAX)
    }

    pub(crate) const fn special(&self) -> &SpecialTokens {
        &self.special
    }

    /// What chat templates call `bos_token`.
    pub(crate) fn bos_text(&self) -> &str {
        &self.bos_text
    }

    /// What chat templates call `eos_token`.
    pub(crate) fn eos_text(&self) -> &str {
        &self.eos_text
    }
}

fn kinds(gguf: &Gguf, tokens: usize) -> Result<Vec<i64>, FileProblem> {
    const KEY: &str = "tokenizer.ggml.token_type";
    match gguf.value(KEY) {
        None => Ok(vec![NORMAL; tokens]),
        Some(Value::Integers(kinds)) if kinds.len() == tokens => Ok(kinds.clone()),
        Some(_) => Err(FileProblem::BadValue(KEY.to_owned())),
    }
}

/// What a kind of tokenizer makes of a file.
struct Tables<'a> {
    tokens: &'a [String],
    kinds: Vec<i64>,
    encoder: Encoder,
    /// What each token prints as.
    pieces: Vec<Box<[u8]>>,
    /// Whether texts begin with a token, where the file does not say it.
    begins: bool,
}

fn merges(gguf: &Gguf) -> Result<Tables<'_>, FileProblem> {
    let rules = Rules::named(gguf.text("tokenizer.ggml.pre")?.unwrap_or("default"))?;
    let tokens = gguf.texts("tokenizer.ggml.tokens")?;
    let kinds = kinds(gguf, tokens.len())?;
    let bytes = ByteTable::new();
    let pieces = tokens.iter().zip(&kinds).map(|(token, kind)| match *kind {
        NORMAL | BYTE => bytes.decode(token),
        USER_DEFINED => token.as_bytes().into(),
        _ => Box::default(),
    });
    Ok(Tables {
        pieces: pieces.collect(),
        encoder: Encoder::Merges(Box::new(byte_pair_encoder(tokens, &kinds, gguf, rules)?)),
        tokens,
        kinds,
        begins: rules == Rules::Llama3,
    })
}

/// A file of SentencePiece's: tokens with scores, and one for each byte.
fn pieces(gguf: &Gguf) -> Result<Tables<'_>, FileProblem> {
    let tokens = gguf.texts("tokenizer.ggml.tokens")?;
    let kinds = kinds(gguf, tokens.len())?;
    let scores = gguf.floats("tokenizer.ggml.scores", tokens.len())?;
    let unknown = kinds.iter().position(|kind| *kind == UNKNOWN);
    let unknown = unknown.and_then(|id| u32::try_from(id).ok());
    let prefix = gguf.flag("tokenizer.ggml.add_space_prefix")?;
    let mut encoder = Pieces::new(unknown, prefix.unwrap_or(true));
    let mut pieces = Vec::with_capacity(tokens.len());
    for (((token, kind), score), id) in tokens.iter().zip(&kinds).zip(scores).zip(0u32..) {
        let text = token.replace(BLANK, " ");
        match *kind {
            NORMAL => encoder.add(token, id, *score),
            BYTE => {
                pieces.push([encoder.add_byte(token, id)?].into());
                continue;
            }
            _ if is_space(token, *kind) => encoder.add_space(text.clone(), id)?,
            _ => {}
        }
        pieces.push(match *kind {
            NORMAL | USER_DEFINED => text.into_bytes().into(),
            _ => Box::default(),
        });
    }
    Ok(Tables {
        tokens,
        kinds,
        encoder: Encoder::Pieces(encoder),
        pieces,
        begins: true,
    })
}

/// Whether a token that no merge makes is white space all the same. Others of
/// its kind (tags, for the most part) are structure: where a message spells
/// one out it is read as plain characters.
fn is_space(token: &str, kind: i64) -> bool {
    let is_white = |char: char| char.is_ascii_whitespace() || BLANK.starts_with(char);
    kind == USER_DEFINED && !token.is_empty() && token.chars().all(is_white)
}

fn byte_pair_encoder(
    tokens: &[String],
    kinds: &[i64],
    gguf: &Gguf,
    rules: Rules,
) -> Result<tokenizers::Tokenizer, FileProblem> {
    let tables = |error: tokenizers::Error| FileProblem::TokenizerTables(error.to_string());
    let vocabulary: Vocab = tokens
        .iter()
        .zip(kinds)
        .zip(0u32..)
        .filter(|((_, kind), _)| matches!(**kind, NORMAL | BYTE))
        .map(|((token, _), id)| (token.clone(), id))
        .collect();
    let merges = gguf
        .texts("tokenizer.ggml.merges")?
        .iter()
        .map(|merge| {
            // The parts themselves hold no blank: a blank is written as Ġ.
            merge
                .split_once(' ')
                .map(|(left, right)| (left.to_owned(), right.to_owned()))
                .ok_or_else(|| FileProblem::BadValue("tokenizer.ggml.merges".to_owned()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    // The builder copies both halves into room for the longest token.
    let whole = |(left, right): &(String, String)| {
        vocabulary.contains_key(format!("{left}{right}").as_str())
    };
    if !merges.iter().all(whole) {
        return Err(FileProblem::BadValue("tokenizer.ggml.merges".to_owned()));
    }
    let bpe = BPE::builder()
        .vocab_and_merges(vocabulary, merges)
        .ignore_merges(rules == Rules::Llama3)
        .build()
        .map_err(tables)?;
    let mut inner = tokenizers::Tokenizer::new(bpe);
    inner.with_pre_tokenizer(Some(rules.pre_tokenizer().map_err(tables)?));
    if rules == Rules::Qwen2 {
        inner.with_normalizer(Some(NFC)).map_err(tables)?;
    }
    Ok(inner)
}

/// How text is cut before the merges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rules {
    Gpt2,
    /// As GPT-2, with every digit alone.
    SmolLm,
    Qwen2,
    Llama3,
    /// As llama 3 cuts, but every piece is merged (smollm3, olmo2).
    Dbrx,
}

impl Rules {
    fn named(name: &str) -> Result<Self, FileProblem> {
        Ok(match name {
            "default" | "gpt-2" | "gpt2" => Self::Gpt2,
            "smollm" => Self::SmolLm,
            "qwen2" | "deepseek-r1-qwen" => Self::Qwen2,
            "llama-bpe" | "llama3" | "llama-v3" => Self::Llama3,
            "dbrx" | "smaug-bpe" => Self::Dbrx,
            other => {
                return Err(FileProblem::PreTokenizer(other.chars().take(40).collect()));
            }
        })
    }

    fn pre_tokenizer(self) -> tokenizers::Result<PreTokenizerWrapper> {
        // How many digits stand together is all that the two differ in; the
        // rest is the rule that the cl100k vocabulary came with.
        let cut = |digits: &str| {
            let pattern = format!(
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
            );
            Split::new(
                SplitPattern::Regex(pattern),
                SplitDelimiterBehavior::Isolated,
                false,
            )
        };
        let whole = ByteLevel::new(false, false, false);
        let words = ByteLevel::new(false, false, true);
        Ok(match self {
            Self::Gpt2 => words.into(),
            Self::SmolLm => Sequence::new(vec![Digits::new(true).into(), words.into()]).into(),
            Self::Qwen2 => Sequence::new(vec![cut(r"\p{N}")?.into(), whole.into()]).into(),
            Self::Llama3 | Self::Dbrx => {
                Sequence::new(vec![cut(r"\p{N}{1,3}")?.into(), whole.into()]).into()
            }
        })
    }
}

/// Texts that stand for one token each wherever structure is read.
#[derive(Debug, Default)]
pub(crate) struct SpecialTokens {
    ids: HashMap<String, u32>,
    /// The lengths of those that begin with a byte, the longest first: some
    /// vocabularies reserve thousands of them, and a text may be full of their
    /// first byte.
    lengths: HashMap<u8, Vec<usize>>,
}

impl SpecialTokens {
    fn insert(&mut self, text: &str, id: u32) {
        let Some(first) = text.as_bytes().first() else {
            return;
        };
        self.ids.entry(text.to_owned()).or_insert(id);
        let lengths = self.lengths.entry(*first).or_default();
        let place = lengths.partition_point(|length| *length > text.len());
        if lengths.get(place) != Some(&text.len()) {
            lengths.insert(place, text.len());
        }
    }

    /// All of the texts.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.ids.keys().map(String::as_str)
    }

    /// The first special token in `text`, with what stands before and behind
    /// it; the longest where several begin at the same place.
    pub(crate) fn split<'t>(&self, text: &'t str) -> Option<(&'t str, u32, &'t str)> {
        text.bytes().enumerate().find_map(|(start, byte)| {
            let lengths = self.lengths.get(&byte)?;
            lengths.iter().find_map(|length| {
                let end = start + length;
                let id = self.ids.get(text.get(start..end)?)?;
                Some((&text[..start], *id, &text[end..]))
            })
        })
    }
}

/// The printable characters that byte-level vocabularies write bytes as
/// (Radford et al. 2019, GPT-2's `bytes_to_unicode`).
struct ByteTable(HashMap<char, u8>);

impl ByteTable {
    fn new() -> Self {
        let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
        let mut stand_ins = (0x100u32..).filter_map(char::from_u32);
        let table = (0..=u8::MAX).filter_map(|byte| {
            let shown = if printable(byte) {
                Some(char::from(byte))
            } else {
                stand_ins.next()
            };
            shown.map(|shown| (shown, byte))
        });
        Self(table.collect())
    }

    fn decode(&self, token: &str) -> Box<[u8]> {
        let mut bytes = Vec::with_capacity(token.len());
        for char in token.chars() {
            match self.0.get(&char) {
                Some(byte) => bytes.push(*byte),
                None => bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        bytes.into()
    }
}

#[cfg(test)]
#[path = "tokenizer_tests.rs"]
mod tests;
