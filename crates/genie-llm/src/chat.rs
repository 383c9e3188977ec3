//! The language model that the other crates see.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use candle_core::Device;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use genie_compute::{SpawnError, SubmitError, Worker};
use genie_core::{
    ChatMessage, ChoiceRequest, ContentHash, FinishReason, Generate, GenerateError,
    GenerateRequest, Generation, ModelInfo, Usage,
};

use crate::LlmError;
use crate::decoder::Decoder;
use crate::gguf::Gguf;
use crate::job::{Ask, Event, Job, Talk};
use crate::scheduler::{Limits, Scheduler};
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;

/// How often a caller that waits is asked whether it still wants to.
const PATIENCE: Duration = Duration::from_millis(100);

/// How a model is loaded.
#[derive(Debug, Clone)]
pub struct ChatModelOptions {
    /// The registry name.
    pub name: String,
    /// SHA-256 of the file, as the registry or a check found it.
    pub hash: ContentHash,
    /// Where the tensors live.
    pub device: Device,
    /// Requests that wait at most; one more is answered
    /// [`GenerateError::Busy`].
    pub queue: usize,
    /// Tokens of prompt and answer together at most, where that should be
    /// less than the model was trained for.
    pub context: Option<usize>,
    /// Requests that are worked on at once. Each has keys and values of its
    /// own; answers are written side by side, which costs little more than
    /// one of them.
    pub slots: usize,
    /// Bytes of keys and values that are kept of earlier prompts and answers,
    /// so that what begins like them is answered sooner; 0 keeps none. A token takes layers × key heads × head width × 8 bytes: 57 kB
    /// of a model with 1.5 billion weights.
    pub kept: usize,
}

impl ChatModelOptions {
    /// On the processor, with a queue of 16 and the model's own context.
    #[must_use]
    pub fn new(name: impl Into<String>, hash: ContentHash) -> Self {
        Self {
            name: name.into(),
            hash,
            device: Device::Cpu,
            queue: 16,
            context: None,
            slots: 8,
            kept: 256 << 20,
        }
    }
}

/// A chat model from a GGUF file, run by one thread of its own.
///
/// Prompts are rendered and cut into tokens by the callers' threads; the
/// worker's thread does nothing but run the model. It keeps the keys and
/// values of earlier prompts and answers, so a prompt that begins like one of
/// them is read from where the two part; those of one tenant only for that
/// tenant.
#[derive(Debug)]
pub struct ChatModel {
    info: ModelInfo,
    tokenizer: Arc<Tokenizer>,
    template: ChatTemplate,
    worker: Worker<Job>,
}

impl ChatModel {
    /// Loads a model. Returns when its weights are in memory.
    ///
    /// # Errors
    ///
    /// Fails when the file can't be read, is cut short or damaged, or holds a
    /// model of an unknown family; the error names the file and the way out.
    pub fn load(path: &Path, options: ChatModelOptions) -> Result<Self, LlmError> {
        let started = Instant::now();
        let mut gguf = Gguf::open(path)?;
        let tokenizer = Tokenizer::read(&gguf).map_err(|problem| gguf.problem(problem))?;
        let template = ChatTemplate::read(&gguf).map_err(|problem| gguf.problem(problem))?;
        let tokenizer = Arc::new(tokenizer);

        let ChatModelOptions {
            name,
            hash,
            device,
            queue,
            context,
            slots,
            kept,
        } = options;
        let (report, reported) = crossbeam_channel::bounded(1);
        let pieces = Arc::clone(&tokenizer);
        let make = move || {
            let decoder = Decoder::load(&mut gguf, &device)?;
            let trained = decoder.config().context;
            let limit = context.map_or(trained, |context| context.min(trained));
            report.send(limit).ok();
            let limits = Limits {
                context: limit,
                slots: slots.max(1),
                kept,
            };
            Ok::<_, LlmError>(Scheduler::new(decoder, pieces, limits))
        };
        let worker = Worker::spawn_stepping("language-model", queue, make, Scheduler::run)
            .map_err(|error| match error {
                SpawnError::State(error) => error,
                other => LlmError::Worker(Box::new(other)),
            })?;
        // Sent before the worker said that it is ready.
        let context_length = reported.try_recv().unwrap_or_default();
        tracing::info!(
            model = name,
            file = %PathBuf::from(path).display(),
            context = context_length,
            seconds = started.elapsed().as_secs_f32(),
            "language model loaded"
        );
        Ok(Self {
            info: ModelInfo {
                name,
                hash,
                context_length,
            },
            tokenizer,
            template,
            worker,
        })
    }

    fn prompt(&self, messages: &[ChatMessage], prefill: &str) -> Result<Vec<u32>, GenerateError> {
        self.template
            .tokens(messages, prefill, &self.tokenizer)
            .map_err(backend)
    }

    fn submit(&self, job: Job, first: bool) -> Result<(), GenerateError> {
        let submitted = if first {
            self.worker.submit_first(job)
        } else {
            self.worker.submit(job)
        };
        submitted.map_err(|error| match error {
            SubmitError::Full => GenerateError::Busy,
            SubmitError::Stopped => GenerateError::Stopped,
        })
    }

    fn fits(&self, prompt: usize, max_tokens: usize) -> Result<(), GenerateError> {
        let limit = self.info.context_length;
        if prompt.saturating_add(max_tokens) <= limit {
            return Ok(());
        }
        Err(GenerateError::ContextOverflow {
            prompt,
            max_tokens,
            limit,
        })
    }

    /// The tokens that an answer which begins with `choice` may begin with:
    /// the first token of the choice as it stands and behind a blank. Most
    /// templates end in a line break, where the plain form is the likely one;
    /// some models write the blank all the same.
    fn openings(&self, choice: &str) -> Result<Vec<u32>, GenerateError> {
        let mut openings = Vec::new();
        for text in [choice.to_owned(), format!(" {choice}")] {
            let tokens = self.tokenizer.encode(&text).map_err(backend)?;
            // A blank that is a token of its own says nothing of the choice.
            let opening = tokens
                .into_iter()
                .find(|token| !self.tokenizer.piece(*token).trim_ascii().is_empty());
            openings.extend(opening.filter(|token| !openings.contains(token)));
        }
        Ok(openings)
    }
}

impl Generate for ChatModel {
    fn model(&self) -> &ModelInfo {
        &self.info
    }

    fn count_tokens(&self, text: &str) -> usize {
        // The encoder fails only on its own bugs; four bytes a token is then
        // a better answer than none.
        self.tokenizer
            .encode(text)
            .map_or(text.len().div_ceil(4), |tokens| tokens.len())
    }

    /// As the trait says. While nothing comes (in the queue, while a long
    /// prompt is read) `on_piece` is called with an empty piece about ten
    /// times a second, so that the caller can break off then too.
    fn generate(
        &self,
        request: GenerateRequest,
        on_piece: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generation, GenerateError> {
        let asked = Instant::now();
        let prompt = self.prompt(&request.messages, &request.prefill)?;
        self.fits(prompt.len(), request.max_tokens)?;
        let mut usage = Usage {
            prompt_tokens: prompt.len(),
            completion_tokens: 0,
        };
        let mut text = String::new();
        if request.max_tokens == 0 {
            return Ok(Generation {
                text,
                finish: FinishReason::Length,
                usage,
                first_token: asked.elapsed(),
            });
        }

        let caller = Caller::default();
        // One event a token, the end and a flush: the worker never waits for
        // a slow reader, and the queue is as long as the answer at most.
        let (events, arriving) = crossbeam_channel::bounded(request.max_tokens + 2);
        let talk = Talk {
            prompt,
            sampling: request.sampling,
            max_tokens: request.max_tokens,
            stop: request.stop,
            tenant: request.tenant,
            lookup: request.lookup,
            events,
            left: caller.left(),
        };
        self.submit(Job::Talk(talk), false)?;

        let mut first_token = None;
        loop {
            let flow = match next_event(&arriving)? {
                Waited::Nothing => on_piece(""),
                Waited::For(Event::Token(piece)) => {
                    first_token.get_or_insert_with(|| asked.elapsed());
                    usage.completion_tokens += 1;
                    if piece.is_empty() {
                        ControlFlow::Continue(())
                    } else {
                        text.push_str(&piece);
                        on_piece(&piece)
                    }
                }
                Waited::For(Event::Rest(piece)) => {
                    text.push_str(&piece);
                    on_piece(&piece)
                }
                Waited::For(Event::End(end)) => {
                    let end = end.map_err(backend)?;
                    usage.completion_tokens = end.completion_tokens;
                    return Ok(Generation {
                        text,
                        finish: end.finish,
                        usage,
                        first_token: first_token.unwrap_or_else(|| asked.elapsed()),
                    });
                }
            };
            if flow.is_break() {
                // The worker notices before its next step; nobody has to wait
                // for that.
                drop(caller);
                return Ok(Generation {
                    text,
                    finish: FinishReason::Cancelled,
                    usage,
                    first_token: first_token.unwrap_or_else(|| asked.elapsed()),
                });
            }
        }
    }

    fn choose(&self, request: ChoiceRequest) -> Result<Vec<f32>, GenerateError> {
        let prompt = self.prompt(&request.messages, "")?;
        self.fits(prompt.len(), 0)?;
        let openings = request
            .choices
            .iter()
            .map(|choice| self.openings(choice))
            .collect::<Result<Vec<_>, _>>()?;
        let caller = Caller::default();
        let (reply, answer) = crossbeam_channel::bounded(1);
        let ask = Ask {
            prompt,
            openings,
            first: request.first,
            tenant: request.tenant,
            reply,
            left: caller.left(),
        };
        self.submit(Job::Ask(ask), request.first)?;
        answer
            .recv()
            .map_err(|_| GenerateError::Stopped)?
            .map_err(backend)
    }
}

/// Raises a flag when the caller goes, by returning or by panicking.
#[derive(Debug, Default)]
struct Caller(Arc<AtomicBool>);

impl Caller {
    fn left(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

enum Waited {
    For(Event),
    Nothing,
}

fn next_event(arriving: &Receiver<Event>) -> Result<Waited, GenerateError> {
    match arriving.recv_timeout(PATIENCE) {
        Ok(event) => Ok(Waited::For(event)),
        Err(RecvTimeoutError::Timeout) => Ok(Waited::Nothing),
        Err(RecvTimeoutError::Disconnected) => Err(GenerateError::Stopped),
    }
}

fn backend(error: LlmError) -> GenerateError {
    GenerateError::Backend(Box::new(error))
}

#[cfg(test)]
#[path = "chat_tests.rs"]
mod tests;
