//! Text to token ids.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use genie_core::Span;
use tokenizers::{Encoding, Tokenizer};

use crate::EncoderError;

/// A text as the encoder reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// Ids with special tokens, `max_tokens` at most.
    pub(crate) ids: Vec<u32>,
    /// Tokens before truncation.
    pub(crate) count: usize,
    /// For each part of the text that was asked for, its tokens in `ids`.
    pub(crate) parts: Vec<Range<usize>>,
}

impl Tokens {
    /// Whether some of the text is not in `ids`.
    pub(crate) fn truncated(&self) -> bool {
        self.count > self.ids.len()
    }
}

/// A tokenizer that truncates by itself, so that truncation can be reported.
pub(crate) struct TextTokenizer {
    inner: Tokenizer,
    max_tokens: usize,
    /// Special tokens after a text, which truncation keeps.
    tail: usize,
}

impl TextTokenizer {
    /// Reads a `tokenizer.json`. `vocabulary` is the number of tokens that
    /// the model knows.
    pub(crate) fn load(
        file: &Path,
        max_tokens: usize,
        vocabulary: usize,
    ) -> Result<Self, EncoderError> {
        let unusable = |source| EncoderError::Tokenizer {
            file: file.to_owned(),
            source,
        };
        let bytes = std::fs::read(file).map_err(|source| EncoderError::Read {
            file: file.to_owned(),
            source,
        })?;
        let mut inner = Tokenizer::from_bytes(bytes).map_err(unusable)?;
        // Files often ask for the settings of a training run, such as padding
        // every text to 128 tokens.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(unusable)?;
        let tokens = inner.get_vocab_size(true);
        if tokens > vocabulary {
            return Err(EncoderError::Vocabulary {
                file: file.to_owned(),
                tokens,
                rows: vocabulary,
            });
        }
        let probe = inner.encode_fast("a", true).map_err(unusable)?;
        let special = probe.get_special_tokens_mask();
        let tail = special.iter().rev().take_while(|&&mask| mask == 1).count();
        if tail == special.len() || special.first() != Some(&1) || tail + 2 > max_tokens {
            let reason = "it puts no special tokens around a text";
            return Err(unusable(reason.into()));
        }
        Ok(Self {
            inner,
            max_tokens,
            tail,
        })
    }

    /// Tokenizes `prefix` and `text` together, and cuts what is too long off
    /// the end of the text.
    pub(crate) fn encode(&self, prefix: &str, text: &str) -> Result<Tokens, tokenizers::Error> {
        let encoding = self.inner.encode_fast(joined(prefix, text), true)?;
        Ok(self.truncated(&encoding))
    }

    /// The same, with the tokens of some parts of `text`.
    pub(crate) fn encode_parts(
        &self,
        prefix: &str,
        text: &str,
        parts: &[Span],
    ) -> Result<Tokens, tokenizers::Error> {
        let encoding = self.inner.encode_char_offsets(joined(prefix, text), true)?;
        let mut tokens = self.truncated(&encoding);
        // Special tokens behind the text stand for nothing in it.
        let end = tokens.ids.len() - self.tail;
        let before = prefix.chars().count();
        let overlap = |part: &Span| {
            let part = part.shift(before);
            let inside = |index: &usize| {
                let (from, to) = encoding.get_offsets()[*index];
                from.max(part.start()) < to.min(part.end())
            };
            let first = (0..end).find(inside).unwrap_or(0);
            let last = (first..end).rev().find(inside);
            first..last.map_or(first, |last| last + 1)
        };
        tokens.parts = parts.iter().map(overlap).collect();
        Ok(tokens)
    }

    fn truncated(&self, encoding: &Encoding) -> Tokens {
        let ids = encoding.get_ids();
        let count = ids.len();
        let mut kept = ids[..count.min(self.max_tokens) - self.tail].to_vec();
        kept.extend_from_slice(&ids[count - self.tail..]);
        Tokens {
            ids: kept,
            count,
            parts: Vec::new(),
        }
    }

    /// Tokens of a text alone.
    pub(crate) fn count(&self, text: &str) -> Result<usize, tokenizers::Error> {
        Ok(self.inner.encode_fast(text, false)?.len())
    }
}

fn joined<'a>(prefix: &str, text: &'a str) -> Cow<'a, str> {
    if prefix.is_empty() {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(format!("{prefix}{text}"))
    }
}
