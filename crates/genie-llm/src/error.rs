//! What can be wrong with a model file, and with the model in it.

use std::path::PathBuf;

/// A model could not be loaded or failed while it ran.
#[derive(Debug, thiserror::Error)]
pub enum LlmError {
    /// The file can't be opened or read.
    #[error("the model file {} can't be read", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is no model that this program can run.
    #[error(
        "the model file {} can't be used: {problem}; check it with `genie models verify`, or \
         fetch it again with `genie models pull`",
        path.display()
    )]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: FileProblem,
    },
    /// The worker could not be started.
    #[error("the model's worker could not be started")]
    Worker(#[source] genie_core::BackendError),
    /// A tensor operation failed.
    #[error("a tensor operation of the language model failed")]
    Tensor(#[from] candle_core::Error),
    /// The model gave no usable probabilities.
    #[error("the language model gave no finite logits; its weights may be damaged")]
    NotFinite,
    /// Text could not be cut into tokens.
    #[error("the model's tokenizer failed")]
    Tokenizer(#[source] tokenizers::Error),
    /// The vocabulary has no token for a byte of the text.
    #[error("the model's vocabulary has no token for the byte {byte:#04x}")]
    NoToken {
        /// The byte.
        byte: u8,
    },
    /// The conversation could not be rendered.
    #[error("the model's chat template failed")]
    Template(#[source] minijinja::Error),
    /// Every character that could mark text as data is in use.
    #[error(
        "the conversation uses every private-use and noncharacter code point, so it can't be \
         kept apart from the model's control tokens; remove some of them"
    )]
    NoMarker,
    /// The text can't be held to the form that was asked for.
    #[error("the text can't be held to the form that was asked for: {reason}")]
    Constraint {
        /// What is wrong with it, or which limit it is beyond.
        reason: String,
    },
    /// A tool's parameters, or the arguments of a call, are no JSON.
    #[error("the JSON of the tool {name:?} can't be read")]
    Tool {
        /// The tool.
        name: String,
    },
    /// There is nothing to begin from.
    #[error("the rendered prompt has no tokens")]
    EmptyPrompt,
    /// More tokens than the model's context were handed to it.
    #[error("{tokens} tokens don't fit into a context of {limit}")]
    Context {
        /// Tokens at hand.
        tokens: usize,
        /// Tokens that fit.
        limit: usize,
    },
    /// A text is too short to say how well it is foreseen.
    #[error("a text of {tokens} tokens can't be measured; it needs {least} at least")]
    ShortText {
        /// Tokens that it has.
        tokens: usize,
        /// Tokens that it needs.
        least: usize,
    },
    /// A token id is outside of the vocabulary.
    #[error("token {token} is outside of the vocabulary of {size}")]
    UnknownToken {
        /// The token.
        token: u32,
        /// The size of the vocabulary.
        size: usize,
    },
}

/// What is wrong with a model file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FileProblem {
    /// It does not begin as GGUF files do.
    #[error("it is not a GGUF file")]
    NotGguf,
    /// The version of the container is not known.
    #[error("it is GGUF version {0}, and versions 2 and 3 are known")]
    Version(u32),
    /// The header goes beyond the file's end.
    #[error("it is cut short: the header needs at least {needed} bytes, the file has {size}")]
    HeaderCut {
        /// Bytes that the header reaches to, at least.
        needed: u64,
        /// Bytes of the file.
        size: u64,
    },
    /// A tensor goes beyond the file's end.
    #[error(
        "it is cut short: tensor {tensor:?} ends at byte {needed}, and the file has {size} bytes"
    )]
    TensorCut {
        /// The tensor.
        tensor: String,
        /// Where it ends.
        needed: u64,
        /// Bytes of the file.
        size: u64,
    },
    /// The header declares more of something than any model has.
    #[error("its header declares {count} {what}, and at most {limit} are accepted")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: u64,
        /// How many are accepted.
        limit: u64,
    },
    /// A value has a type that is unknown.
    #[error("metadata {key:?} has the unknown type {code}")]
    ValueType {
        /// The key.
        key: String,
        /// The type's number.
        code: u32,
    },
    /// A tensor has a type that is unknown.
    #[error("tensor {tensor:?} has the unknown type {code}")]
    TensorType {
        /// The tensor.
        tensor: String,
        /// The type's number.
        code: u32,
    },
    /// A tensor's shape or position makes no sense.
    #[error("tensor {tensor:?} has an impossible shape or position")]
    TensorLayout {
        /// The tensor.
        tensor: String,
    },
    /// A tensor has another shape than the metadata says.
    #[error("tensor {tensor:?} has the shape {found:?}, but {expected:?} was expected")]
    TensorShape {
        /// The tensor.
        tensor: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that the metadata calls for.
        expected: Vec<usize>,
    },
    /// A tensor is not there.
    #[error("tensor {0:?} is missing")]
    MissingTensor(String),
    /// A metadata entry is not there.
    #[error("metadata {0:?} is missing")]
    MissingKey(String),
    /// A metadata entry has the wrong type or a value out of its range.
    #[error("metadata {0:?} has a value that can't be used")]
    BadValue(String),
    /// The header's text is not Unicode.
    #[error("its header holds text that is not UTF-8")]
    NotUtf8,
    /// The family of the model is not known.
    #[error(
        "it is a model of the architecture {0:?}; llama, qwen2, qwen3, smollm3, olmo2 and gemma3 \
         are known"
    )]
    Architecture(String),
    /// The model needs something that the decoder does not do.
    #[error("it needs {0}, which this decoder does not do")]
    Unsupported(&'static str),
    /// The tokenizer is not known.
    #[error("its tokenizer {0:?} is not known; byte-level BPE and SentencePiece's BPE are")]
    TokenizerModel(String),
    /// The rule that cuts text before the merges is not known.
    #[error("its pre-tokenizer {0:?} is not known")]
    PreTokenizer(String),
    /// The tokenizer's tables contradict each other.
    #[error("its tokenizer can't be built: {0}")]
    TokenizerTables(String),
    /// The chat template can't be parsed.
    #[error("its chat template can't be parsed: {0}")]
    ChatTemplate(String),
}
