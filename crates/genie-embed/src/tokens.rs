//! Text to token ids.

use std::path::Path;

use tokenizers::Tokenizer;

use crate::EncoderError;

/// A text as the encoder reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// Ids with special tokens, `max_tokens` at most.
    pub(crate) ids: Vec<u32>,
    /// Tokens before truncation.
    pub(crate) count: usize,
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
        let encoding = if prefix.is_empty() {
            self.inner.encode_fast(text, true)?
        } else {
            self.inner.encode_fast(format!("{prefix}{text}"), true)?
        };
        let ids = encoding.get_ids();
        let count = ids.len();
        if count <= self.max_tokens {
            let ids = ids.to_vec();
            return Ok(Tokens { ids, count });
        }
        let mut kept = ids[..self.max_tokens - self.tail].to_vec();
        kept.extend_from_slice(&ids[count - self.tail..]);
        Ok(Tokens { ids: kept, count })
    }

    /// Tokens of a text alone.
    pub(crate) fn count(&self, text: &str) -> Result<usize, tokenizers::Error> {
        Ok(self.inner.encode_fast(text, false)?.len())
    }
}
