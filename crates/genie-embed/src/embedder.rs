//! The embedding model behind its worker thread.

use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use candle_core::Device;
use genie_compute::{SpawnError, SubmitError, Worker};
use genie_core::{ContentHash, Embed, EmbedError, Embedding, EmbeddingIdentity, TextRole};
use rayon::prelude::*;

use crate::EncoderError;
use crate::encoder::Encoder;
use crate::tokens::{TextTokenizer, Tokens};

/// Tokens that go through the model together. More are hardly faster on a
/// processor, and whoever asks next waits for the pack before.
const PACK_TOKENS: usize = 1024;
/// Texts that are tokenized ahead of the model.
const TOKENIZED_AHEAD: usize = 64;
/// How long a call that is already under way waits before it tries a full
/// queue again.
const RETRY: Duration = Duration::from_millis(5);

/// The files of an encoder.
#[derive(Debug, Clone)]
pub struct EncoderFiles {
    /// A GGUF file with llama.cpp's `bert` names, or safetensors with the
    /// hub's names. The content tells which.
    pub weights: PathBuf,
    /// A `tokenizer.json`.
    pub tokenizer: PathBuf,
    /// The hub's `config.json` for safetensors; by default the one beside
    /// the weights.
    pub config: Option<PathBuf>,
}

/// What the registry knows of an encoder, and where it is to run.
#[derive(Debug, Clone)]
pub struct EmbedderOptions {
    /// The registry name of the model.
    pub model: String,
    /// SHA-256 of the weights.
    pub hash: ContentHash,
    /// Put in front of a query.
    pub query_prefix: String,
    /// Put in front of a passage.
    pub passage_prefix: String,
    /// Tokens of a text at most, special ones included; `None`, or more than
    /// the model has positions for, is what the model reads.
    pub max_tokens: Option<usize>,
    /// Where the model runs.
    pub device: Device,
    /// Packs that may wait before [`EmbedError::Busy`] is answered.
    pub queue: usize,
}

/// A dense embedding model, owned by one worker thread.
///
/// Callers tokenize on their own threads and queue packs of at most about
/// 1024 tokens. A long call hands in its packs one after the other, so that
/// somebody else's question passes between two of them, and thousands of
/// texts need no more memory than a few dozen.
pub struct TextEmbedder {
    identity: EmbeddingIdentity,
    tokenizer: TextTokenizer,
    worker: Worker<Job>,
}

struct Job {
    texts: Vec<Vec<u32>>,
    /// Gone when nobody waits for the vectors any more.
    caller: Weak<()>,
    reply: mpsc::Sender<candle_core::Result<Vec<Vec<f32>>>>,
}

impl TextEmbedder {
    /// Loads a model onto its own thread.
    ///
    /// # Errors
    ///
    /// Fails when a file can't be read, is damaged or cut short, is no BERT
    /// or XLM-R encoder, or when tokenizer and model don't belong together.
    pub fn load(files: &EncoderFiles, options: EmbedderOptions) -> Result<Self, EncoderError> {
        let (report, shape) = mpsc::channel();
        let (weights, config) = (files.weights.clone(), files.config.clone());
        let device = options.device;
        let make = move || {
            let encoder = Encoder::load(&weights, config.as_deref(), &device)?;
            let shape = Shape {
                dimension: encoder.dimension(),
                max_tokens: encoder.max_tokens(),
                vocabulary: encoder.vocabulary()?,
            };
            // Nobody is left to care if the receiver is gone.
            report.send(shape).ok();
            Ok(encoder)
        };
        let worker =
            Worker::spawn("embedder", options.queue, make, run).map_err(|error| match error {
                SpawnError::Thread(source) => EncoderError::Thread(source),
                SpawnError::State(error) => error,
                SpawnError::Panicked => EncoderError::Panicked,
            })?;
        let shape = shape.recv().map_err(|_| EncoderError::Panicked)?;
        let max_tokens = options
            .max_tokens
            .map_or(shape.max_tokens, |wanted| wanted.min(shape.max_tokens));
        let tokenizer = TextTokenizer::load(&files.tokenizer, max_tokens, shape.vocabulary)?;
        tracing::debug!(
            model = options.model,
            dimension = shape.dimension,
            max_tokens,
            "embedding model loaded"
        );
        Ok(Self {
            identity: EmbeddingIdentity {
                model: options.model,
                hash: options.hash,
                dimension: shape.dimension,
                query_prefix: options.query_prefix,
                passage_prefix: options.passage_prefix,
            },
            tokenizer,
            worker,
        })
    }

    fn tokenize(&self, prefix: &str, texts: &[String]) -> Result<Vec<Tokens>, EmbedError> {
        texts
            .par_iter()
            .map(|text| self.tokenizer.encode(prefix, text))
            .collect::<Result<_, _>>()
            .map_err(EmbedError::Backend)
    }

    /// Hands in a pack and waits for its vectors. `patient` calls wait for
    /// room in the queue too.
    fn pack(&self, texts: &[Tokens], patience: Patience) -> Result<Vec<Vec<f32>>, EmbedError> {
        let caller = Arc::new(());
        let (reply, vectors) = mpsc::channel();
        loop {
            let job = Job {
                texts: texts.iter().map(|text| text.ids.clone()).collect(),
                caller: Arc::downgrade(&caller),
                reply: reply.clone(),
            };
            match (self.worker.submit(job), patience) {
                (Ok(()), _) => break,
                (Err(SubmitError::Stopped), _) => return Err(EmbedError::Stopped),
                (Err(SubmitError::Full), Patience::None) => return Err(EmbedError::Busy),
                (Err(SubmitError::Full), Patience::Waits) => std::thread::sleep(RETRY),
            }
        }
        // Without our own sender, a dropped job ends the wait.
        drop(reply);
        let vectors = vectors.recv().map_err(|_| EmbedError::Stopped)?;
        vectors.map_err(|error| EmbedError::Backend(Box::new(error)))
    }
}

/// What a full queue means to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// It has not begun: it is turned away.
    None,
    /// It is half done: it waits for its turn.
    Waits,
}

/// What the rest of the embedder needs to know of a loaded model.
struct Shape {
    dimension: usize,
    max_tokens: usize,
    vocabulary: usize,
}

fn run(encoder: &mut Encoder, job: Job) {
    if job.caller.strong_count() == 0 {
        return;
    }
    job.reply.send(encoder.embed(&job.texts)).ok();
}

impl Embed for TextEmbedder {
    fn identity(&self) -> &EmbeddingIdentity {
        &self.identity
    }

    fn embed(&self, role: TextRole, texts: &[String]) -> Result<Vec<Embedding>, EmbedError> {
        let prefix = match role {
            TextRole::Query => &self.identity.query_prefix,
            TextRole::Passage => &self.identity.passage_prefix,
        };
        let mut embeddings = Vec::with_capacity(texts.len());
        let mut patience = Patience::None;
        for texts in texts.chunks(TOKENIZED_AHEAD) {
            let tokens = self.tokenize(prefix, texts)?;
            for pack in packs(&tokens, PACK_TOKENS) {
                let vectors = self.pack(pack, patience)?;
                patience = Patience::Waits;
                embeddings.extend(vectors.into_iter().zip(pack).map(|(vector, tokens)| {
                    Embedding {
                        vector,
                        tokens: tokens.count,
                        truncated: tokens.truncated(),
                    }
                }));
            }
        }
        Ok(embeddings)
    }

    fn count_tokens(&self, text: &str) -> usize {
        // A tokenizer that has loaded fails on no text; if one ever does, its
        // bytes are the most tokens there can be.
        self.tokenizer.count(text).unwrap_or(text.len())
    }
}

/// Divides texts, in their order, into packs of at most `budget` tokens. A
/// text that is longer is a pack of its own.
fn packs(texts: &[Tokens], budget: usize) -> Vec<&[Tokens]> {
    let mut packs = Vec::new();
    let mut start = 0;
    let mut sum = 0;
    for (index, text) in texts.iter().enumerate() {
        if index > start && sum + text.ids.len() > budget {
            packs.push(&texts[start..index]);
            (start, sum) = (index, 0);
        }
        sum += text.ids.len();
    }
    if start < texts.len() {
        packs.push(&texts[start..]);
    }
    packs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn packs_keep_order_and_budget(
            lengths in prop::collection::vec(1_usize..50, 0..40),
            budget in 1_usize..100,
        ) {
            let texts: Vec<Tokens> = lengths
                .iter()
                .map(|&count| Tokens { ids: vec![0; count], count })
                .collect();
            let packs = packs(&texts, budget);
            prop_assert_eq!(&packs.concat(), &texts);
            let size = |pack: &[Tokens]| pack.iter().map(|text| text.ids.len()).sum::<usize>();
            for pack in &packs {
                prop_assert!(!pack.is_empty());
                prop_assert!(pack.len() == 1 || size(pack) <= budget);
            }
            for pair in packs.windows(2) {
                // No pack ends early.
                prop_assert!(size(pair[0]) + pair[1][0].ids.len() > budget);
            }
        }
    }
}
