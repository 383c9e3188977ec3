//! What can go wrong while an encoder is loaded.

use std::path::PathBuf;

/// An encoder could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    /// A file can't be read.
    #[error("{} can't be read", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A weights file is damaged, or of another kind than its name says.
    #[error("{} is damaged or not a model file; pull the model again", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What the reader of the format said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A weights file ends before its last tensor does.
    #[error(
        "{} is cut short: tensor {tensor} ends at byte {needed}, the file has {length}; \
         pull the model again",
        file.display()
    )]
    CutShort {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// Where the tensor ends, in bytes.
        needed: u64,
        /// Bytes of the file.
        length: u64,
    },
    /// A tensor is not in the file.
    #[error("{} has no tensor {tensor}; it is not a BERT or XLM-R encoder", file.display())]
    MissingTensor {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// A tensor has another shape than the configuration says.
    #[error(
        "tensor {tensor} in {} has the shape {found:?}, its configuration says {wanted:?}",
        file.display()
    )]
    WrongShape {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// The shape in the file.
        found: Vec<usize>,
        /// The shape that the configuration asks for.
        wanted: Vec<usize>,
    },
    /// A setting of the model is missing or out of its range.
    #[error("{key} in {} is {found}, but has to be {wanted}", file.display())]
    Setting {
        /// The file.
        file: PathBuf,
        /// The setting.
        key: &'static str,
        /// What it is.
        found: String,
        /// What it may be.
        wanted: &'static str,
    },
    /// The tokenizer can't be used.
    #[error("{} is not a tokenizer for this model", file.display())]
    Tokenizer {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The tokenizer knows more tokens than the model.
    #[error(
        "{} has {tokens} tokens, the model only {rows}: they don't belong together",
        file.display()
    )]
    Vocabulary {
        /// The tokenizer's file.
        file: PathBuf,
        /// Tokens of the tokenizer.
        tokens: usize,
        /// Rows of the model's table.
        rows: usize,
    },
    /// Vectors were to be cut to a length that the model is not made for.
    #[error(
        "vectors of {model} can't be cut to {wanted} components; it allows {}",
        if least == most { format!("{most} only") } else { format!("{least} to {most}") }
    )]
    Dimension {
        /// The registry name of the model.
        model: String,
        /// Components that were asked for.
        wanted: usize,
        /// The fewest that it allows.
        least: usize,
        /// Components of a whole vector.
        most: usize,
    },
    /// The tensor library failed.
    #[error("the weights can't be put on the device")]
    Device(#[from] candle_core::Error),
    /// No thread could be started for the model.
    #[error("no thread could be started for the embedding model")]
    Thread(#[source] std::io::Error),
    /// Loading ended in a bug; the log has more.
    #[error("loading the embedding model failed unexpectedly; see the log")]
    Panicked,
}
