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

use crate::gguf::{Gguf, Value};
use crate::{FileProblem, LlmError};

/// Kinds of tokens as the file numbers them (`enum llama_token_type`).
const NORMAL: i64 = 1;
const UNKNOWN: i64 = 2;
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;
const BYTE: i64 = 6;

/// Control tokens that end an answer, whatever the file says of them.
const ENDS: [&str; 8] = [
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|end|>",
    "<|eot|>",
    "</s>",
];

/// Byte-level byte-pair encoding.
///
/// Ordinary text never becomes a control token here: those are not in the
/// vocabulary that the merges work on. Only [`Tokenizer::encode_structure`]
/// sees them, and it is told which text is structure.
#[derive(Debug)]
pub(crate) struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// What each token prints as; nothing for control tokens.
    pieces: Vec<Box<[u8]>>,
    special: SpecialTokens,
    ends: Vec<u32>,
    /// The token that each text begins with, where the model wants one.
    begin: Option<u32>,
    bos_text: String,
    eos_text: String,
}

impl Tokenizer {
    pub(crate) fn read(gguf: &Gguf) -> Result<Self, FileProblem> {
        let model = gguf.text("tokenizer.ggml.model")?.unwrap_or_default();
        if model != "gpt2" {
            return Err(FileProblem::TokenizerModel(
                model.chars().take(40).collect(),
            ));
        }
        let rules = Rules::named(gguf.text("tokenizer.ggml.pre")?.unwrap_or("default"))?;
        let tokens = gguf.texts("tokenizer.ggml.tokens")?;
        let kinds = kinds(gguf, tokens.len())?;
        let inner = byte_pair_encoder(tokens, &kinds, gguf, rules)?;

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
        let bytes = ByteTable::new();
        let mut pieces = Vec::with_capacity(size);
        let mut special = SpecialTokens::default();
        for ((token, kind), id) in tokens.iter().zip(&kinds).zip(0u32..) {
            pieces.push(match *kind {
                NORMAL | BYTE => bytes.decode(token),
                USER_DEFINED => token.as_bytes().into(),
                _ => Box::default(),
            });
            if matches!(*kind, CONTROL | USER_DEFINED | UNKNOWN) && !token.is_empty() {
                special.insert(token, id);
                if *kind == CONTROL && ENDS.contains(&token.as_str()) && !ends.contains(&id) {
                    ends.push(id);
                }
            }
        }
        let begins = match gguf.value("tokenizer.ggml.add_bos_token") {
            Some(Value::Bool(begins)) => *begins,
            _ => rules == Rules::Llama3,
        };
        let text = |id: Option<u32>| {
            id.and_then(|id| tokens.get(id as usize))
                .cloned()
                .unwrap_or_default()
        };
        Ok(Self {
            inner,
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
        let encoding = self.inner.encode_fast(text, false);
        let encoding = encoding.map_err(LlmError::Tokenizer)?;
        Ok(encoding.get_ids().to_vec())
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
    /// By first byte, longest first.
    by_first: HashMap<u8, Vec<(String, u32)>>,
}

impl SpecialTokens {
    fn insert(&mut self, text: &str, id: u32) {
        let Some(first) = text.as_bytes().first() else {
            return;
        };
        let entries = self.by_first.entry(*first).or_default();
        entries.push((text.to_owned(), id));
        entries.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
    }

    /// All of the texts.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.by_first.values().flatten().map(|(text, _)| &**text)
    }

    /// The first special token in `text`, with what stands before and behind
    /// it; the longest where several begin at the same place.
    pub(crate) fn split<'t>(&self, text: &'t str) -> Option<(&'t str, u32, &'t str)> {
        let (start, length, id) = text.bytes().enumerate().find_map(|(start, byte)| {
            let entries = self.by_first.get(&byte)?;
            let rest = &text.as_bytes()[start..];
            entries
                .iter()
                .find(|(special, _)| rest.starts_with(special.as_bytes()))
                .map(|(special, id)| (start, special.len(), *id))
        })?;
        Some((&text[..start], id, &text[start + length..]))
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
