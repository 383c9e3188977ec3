//! The embedding model behind its worker thread.

use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use candle_core::Device;
use genie_compute::{SpawnError, SubmitError, Worker};
use genie_core::{ContentHash, Embed, EmbedError, Embedding, EmbeddingIdentity, TextRole};
use rayon::prelude::*;

use crate::EncoderError;
use crate::encoder::{Encoder, Pooled, Precision};
use crate::late::Codec;
use crate::tokens::{self, TextTokenizer, Tokens};

/// Texts that are tokenized ahead of the model, and sorted by their length.
const TOKENIZED_AHEAD: usize = 512;
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
    /// Components that vectors are cut to before they are normalised again;
    /// `None` keeps them whole.
    pub dimension: Option<usize>,
    /// The fewest components to which this model's vectors may be cut, if it
    /// was trained for that (Matryoshka representation learning).
    pub least_dimension: Option<usize>,
    /// Where the model runs.
    pub device: Device,
    /// How exactly it computes on the processor.
    pub precision: Precision,
    /// Packs that may wait before [`EmbedError::Busy`] is answered.
    pub queue: usize,
}

/// Tokens of a text that goes first, at most: a question of some lines.
const QUESTION: usize = 128;

/// A dense embedding model, owned by one worker thread.
///
/// Callers tokenize on their own threads and queue packs of at most about
/// 512 tokens (8,192 on a GPU), texts of like length together. A long call
/// hands in its packs one after the other, so that somebody else's question
/// passes between two of them, and thousands of texts need no more memory than
/// a few hundred.
pub struct TextEmbedder {
    pub(crate) identity: EmbeddingIdentity,
    least_dimension: Option<usize>,
    pack_tokens: usize,
    pub(crate) tokenizer: TextTokenizer,
    worker: Worker<Job>,
    /// What codes of tokens are made with, once somebody needs it.
    pub(crate) codec: OnceLock<Codec>,
}

/// What came of a text.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    pub(crate) whole: Embedding,
    /// The tokens whose vectors were asked for.
    pub(crate) ids: Vec<u32>,
    /// Their vectors, one after the other.
    pub(crate) vectors: Vec<f32>,
}

struct Job {
    texts: Arc<[Tokens]>,
    /// Gone when nobody waits for the vectors any more.
    caller: Weak<()>,
    reply: mpsc::Sender<candle_core::Result<Vec<Pooled>>>,
}

impl TextEmbedder {
    /// Loads a model onto its own thread.
    ///
    /// # Errors
    ///
    /// Fails when a file can't be read, is damaged or cut short, is no BERT
    /// or XLM-R encoder, when tokenizer and model don't belong together, or
    /// when vectors are to be cut and the model is not made for that.
    pub fn load(files: &EncoderFiles, options: EmbedderOptions) -> Result<Self, EncoderError> {
        let (report, shape) = mpsc::channel();
        let (weights, config) = (files.weights.clone(), files.config.clone());
        let (device, precision) = (options.device, options.precision);
        let make = move || {
            let encoder = Encoder::load(&weights, config.as_deref(), &device, precision)?;
            let shape = Shape {
                dimension: encoder.dimension(),
                max_tokens: encoder.max_tokens(),
                pack_tokens: encoder.pack_tokens(),
                vocabulary: encoder.vocabulary()?,
            };
            // Nobody is left to care if the receiver is gone.
            report.send(shape).ok();
            Ok(encoder)
        };
        // Beside each other: each takes a core for as long as the other.
        let (worker, tokenizer) = std::thread::scope(|scope| {
            let tokenizer = scope.spawn(|| tokens::read(&files.tokenizer));
            let worker = Worker::spawn("embedder", options.queue, make, run);
            (worker, tokenizer.join())
        });
        let worker = worker.map_err(|error| match error {
            SpawnError::Thread(source) => EncoderError::Thread(source),
            SpawnError::State(error) => error,
            SpawnError::Panicked => EncoderError::Panicked,
        })?;
        let tokenizer = tokenizer.map_err(|_| EncoderError::Panicked)??;
        let shape = shape.recv().map_err(|_| EncoderError::Panicked)?;
        let dimension = match options.dimension {
            None => shape.dimension,
            Some(wanted) => {
                let least = options.least_dimension.unwrap_or(shape.dimension);
                if !(least..=shape.dimension).contains(&wanted) {
                    return Err(EncoderError::Dimension {
                        model: options.model,
                        wanted,
                        least,
                        most: shape.dimension,
                    });
                }
                wanted
            }
        };
        let max_tokens = options
            .max_tokens
            .map_or(shape.max_tokens, |wanted| wanted.min(shape.max_tokens));
        let tokenizer =
            TextTokenizer::of(&files.tokenizer, tokenizer, max_tokens, shape.vocabulary)?;
        tracing::debug!(
            model = options.model,
            dimension,
            max_tokens,
            "embedding model loaded"
        );
        Ok(Self {
            identity: EmbeddingIdentity {
                model: options.model,
                hash: options.hash,
                dimension,
                query_prefix: options.query_prefix,
                passage_prefix: options.passage_prefix,
            },
            least_dimension: options.least_dimension,
            pack_tokens: shape.pack_tokens,
            tokenizer,
            worker,
            codec: OnceLock::new(),
        })
    }

    pub(crate) const fn prefix(&self, role: TextRole) -> &str {
        match role {
            TextRole::Query => self.identity.query_prefix.as_str(),
            TextRole::Passage => self.identity.passage_prefix.as_str(),
        }
    }

    /// The vectors of all texts, in their order.
    pub(crate) fn run_all(
        &self,
        texts: &[String],
        tokenize: impl Fn(&String) -> Result<Tokens, tokenizers::Error> + Sync,
    ) -> Result<Vec<Read>, EmbedError> {
        let mut embeddings = Vec::with_capacity(texts.len());
        let mut patience = Patience::None;
        for texts in texts.chunks(TOKENIZED_AHEAD) {
            let tokens = texts.par_iter().map(&tokenize).collect::<Result<_, _>>();
            let mut found = vec![None; texts.len()];
            for pack in packs(tokens.map_err(EmbedError::Backend)?, self.pack_tokens) {
                let vectors = self.pack(&pack.texts, patience)?;
                patience = Patience::Waits;
                let texts = pack.texts.iter().zip(pack.places);
                for ((text, place), pooled) in texts.zip(vectors) {
                    found[place] = Some(self.read(text, pooled));
                }
            }
            embeddings.extend(found.into_iter().flatten());
        }
        Ok(embeddings)
    }

    fn read(&self, text: &Tokens, Pooled { whole, tokens }: Pooled) -> Read {
        let width = whole.len();
        let dimension = self.identity.dimension;
        Read {
            whole: Embedding {
                vector: cut(whole, dimension),
                tokens: text.count,
                truncated: text.truncated(),
            },
            ids: text.wanted.iter().map(|&index| text.ids[index]).collect(),
            vectors: if width == dimension {
                tokens
            } else {
                let vectors = tokens.chunks_exact(width);
                vectors
                    .flat_map(|vector| cut(vector.to_vec(), dimension))
                    .collect()
            },
        }
    }

    /// Hands in a pack and waits for its vectors. `patient` calls wait for
    /// room in the queue too. A short text by itself, as a question is, goes
    /// before the packs of those who have many.
    fn pack(&self, texts: &Arc<[Tokens]>, patience: Patience) -> Result<Vec<Pooled>, EmbedError> {
        let caller = Arc::new(());
        let (reply, vectors) = mpsc::channel();
        loop {
            let job = Job {
                texts: Arc::clone(texts),
                caller: Arc::downgrade(&caller),
                reply: reply.clone(),
            };
            let submitted = match &texts[..] {
                [text] if text.ids.len() <= QUESTION => self.worker.submit_first(job),
                _ => self.worker.submit(job),
            };
            match (submitted, patience) {
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
    pack_tokens: usize,
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

    fn least_dimension(&self) -> Option<usize> {
        self.least_dimension
    }

    fn is_running(&self) -> bool {
        self.worker.is_running()
    }

    fn embed(&self, role: TextRole, texts: &[String]) -> Result<Vec<Embedding>, EmbedError> {
        let prefix = self.prefix(role);
        let found = self.run_all(texts, |text| self.tokenizer.encode(prefix, text))?;
        Ok(found.into_iter().map(|found| found.whole).collect())
    }

    fn count_tokens(&self, text: &str) -> usize {
        // A tokenizer that has loaded fails on no text; if one ever does, its
        // bytes are the most tokens there can be.
        self.tokenizer.count(text).unwrap_or(text.len())
    }
}

/// The first components of a vector, again of length one.
fn cut(mut vector: Vec<f32>, dimension: usize) -> Vec<f32> {
    if vector.len() > dimension {
        vector.truncate(dimension);
        let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        let scale = 1.0 / norm.max(f32::MIN_POSITIVE);
        vector.iter_mut().for_each(|x| *x *= scale);
    }
    vector
}

/// Texts that go through the model together.
struct Pack {
    texts: Arc<[Tokens]>,
    /// Where each text stands in the call.
    places: Vec<usize>,
}

/// Divides texts, the shortest first, into packs of at most `budget` tokens.
/// A text that is longer is a pack of its own.
fn packs(texts: Vec<Tokens>, budget: usize) -> Vec<Pack> {
    let mut texts: Vec<(usize, Tokens)> = texts.into_iter().enumerate().collect();
    texts.sort_by_key(|(_, text)| text.ids.len());
    let mut texts = texts.into_iter().peekable();
    let mut packs = Vec::new();
    while let Some((place, text)) = texts.next() {
        let mut sum = text.ids.len();
        let (mut places, mut pack) = (vec![place], vec![text]);
        while let Some((place, text)) = texts.next_if(|(_, next)| sum + next.ids.len() <= budget) {
            sum += text.ids.len();
            places.push(place);
            pack.push(text);
        }
        packs.push(Pack {
            texts: pack.into(),
            places,
        });
    }
    packs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_vector_that_is_cut_has_length_one() {
        assert_eq!(cut(vec![0.6, 0.0, 0.8], 2), [1.0, 0.0]);
        assert_eq!(cut(vec![0.6, 0.8], 2), [0.6, 0.8]);
    }

    proptest! {
        #[test]
        fn packs_hold_every_text_once_within_the_budget(
            lengths in prop::collection::vec(1_usize..50, 0..40),
            budget in 1_usize..100,
        ) {
            let texts: Vec<Tokens> = lengths
                .iter()
                .map(|&count| Tokens { ids: vec![0; count], count, wanted: Vec::new() })
                .collect();
            let packs = packs(texts.clone(), budget);
            let mut places: Vec<usize> = Vec::new();
            for pack in &packs {
                prop_assert_eq!(pack.texts.len(), pack.places.len());
                for (text, place) in pack.texts.iter().zip(&pack.places) {
                    prop_assert_eq!(text, &texts[*place]);
                }
                places.extend(&pack.places);
            }
            places.sort_unstable();
            prop_assert_eq!(places, (0..texts.len()).collect::<Vec<_>>());
            let size = |pack: &Pack| pack.texts.iter().map(|text| text.ids.len()).sum::<usize>();
            for pack in &packs {
                prop_assert!(!pack.texts.is_empty());
                prop_assert!(pack.texts.len() == 1 || size(pack) <= budget);
            }
            for pair in packs.windows(2) {
                // No pack ends early, and none is followed by shorter texts.
                let next = pair[1].texts[0].ids.len();
                prop_assert!(size(&pair[0]) + next > budget);
                prop_assert!(pair[0].texts.iter().all(|text| text.ids.len() <= next));
            }
        }
    }
}
