//! Text to token ids.

use std::borrow::Cow;
use std::path::Path;

use tokenizers::models::ModelWrapper;
use tokenizers::{Encoding, Tokenizer};

use crate::EncoderError;

/// The rarity of every token of a vocabulary that does not say.
const UNKNOWN_RARITY: f32 = 10.0;

/// A text as the encoder reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// Ids with special tokens, `max_tokens` at most.
    pub(crate) ids: Vec<u32>,
    /// Tokens before truncation.
    pub(crate) count: usize,
    /// Positions in `ids` of the tokens whose own vectors are asked for.
    pub(crate) wanted: Vec<usize>,
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
    /// How rare each token is: the negative logarithm of its probability in a
    /// unigram vocabulary, 0 for special tokens. Empty where the vocabulary
    /// does not say.
    rarity: Vec<f32>,
}

/// Reads a `tokenizer.json`, which takes most of a second where it has the
/// words of a hundred languages.
pub(crate) fn read(file: &Path) -> Result<Tokenizer, EncoderError> {
    let bytes = std::fs::read(file).map_err(|source| EncoderError::Read {
        file: file.to_owned(),
        source,
    })?;
    Tokenizer::from_bytes(bytes).map_err(|source| EncoderError::Tokenizer {
        file: file.to_owned(),
        source,
    })
}

impl TextTokenizer {
    /// One of a file that was [`read`]. `vocabulary` is the number of tokens
    /// that the model knows.
    pub(crate) fn of(
        file: &Path,
        mut inner: Tokenizer,
        max_tokens: usize,
        vocabulary: usize,
    ) -> Result<Self, EncoderError> {
        let unusable = |source| EncoderError::Tokenizer {
            file: file.to_owned(),
            source,
        };
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
        let rarity = match inner.get_model() {
            ModelWrapper::Unigram(model) => model.iter().map(|(_, score)| -*score as f32).collect(),
            _ => Vec::new(),
        };
        Ok(Self {
            inner,
            max_tokens,
            tail,
            rarity,
        })
    }

    /// Tokenizes `prefix` and `text` together, and cuts what is too long off
    /// the end of the text.
    pub(crate) fn encode(&self, prefix: &str, text: &str) -> Result<Tokens, tokenizers::Error> {
        let encoding = self.inner.encode_fast(joined(prefix, text), true)?;
        Ok(self.truncated(&encoding))
    }

    /// The same, asking for the vectors of the text's own tokens that are at
    /// least so rare; of all of them where that leaves none.
    pub(crate) fn encode_wanting(
        &self,
        prefix: &str,
        text: &str,
        least_rarity: f32,
    ) -> Result<Tokens, tokenizers::Error> {
        let encoding = self.inner.encode_char_offsets(joined(prefix, text), true)?;
        let mut tokens = self.truncated(&encoding);
        // Special tokens behind the text stand for nothing in it.
        let end = tokens.ids.len() - self.tail;
        let before = prefix.chars().count();
        let own = (0..end).filter(|&index| {
            let (from, to) = encoding.get_offsets()[index];
            from < to && to > before
        });
        let own: Vec<usize> = own.collect();
        let ids = &tokens.ids;
        let rare = own.iter().copied();
        let rare = rare.filter(|&index| self.rarity(ids[index]) >= least_rarity);
        let rare: Vec<usize> = rare.collect();
        tokens.wanted = if rare.is_empty() { own } else { rare };
        Ok(tokens)
    }

    /// How rare a token is; of a vocabulary that does not say, each is as rare
    /// as any other.
    pub(crate) fn rarity(&self, id: u32) -> f32 {
        if self.rarity.is_empty() {
            return UNKNOWN_RARITY;
        }
        self.rarity.get(id as usize).copied().unwrap_or_default()
    }

    fn truncated(&self, encoding: &Encoding) -> Tokens {
        let ids = encoding.get_ids();
        let count = ids.len();
        let mut kept = ids[..count.min(self.max_tokens) - self.tail].to_vec();
        kept.extend_from_slice(&ids[count - self.tail..]);
        Tokens {
            ids: kept,
            count,
            wanted: Vec::new(),
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
