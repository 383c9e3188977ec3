//! The language model that the other crates see.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use candle_core::Device;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use genie_compute::{SpawnError, SubmitError, Worker};
use genie_core::{
    ChoiceRequest, Constraint, FinishReason, Generate, GenerateError, GenerateRequest, Generation,
    ModelInfo, Tenant, TokenWeight, Usage, WatchWork, Work,
};

use crate::LlmError;
use crate::admission::{Entry, Waiting, Watch};
use crate::decoder::Decoder;
use crate::gguf::Gguf;
use crate::grammar::Grammars;
use crate::job::{Ask, Event, Job, Talk};
use crate::options::ChatModelOptions;
use crate::rule::Rule;
use crate::scheduler::{Limits, Scheduler};
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;

/// How often a caller that waits is asked whether it still wants to.
const PATIENCE: Duration = Duration::from_millis(100);

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
    /// Made with the first text that is held to a form.
    grammars: OnceLock<Result<Grammars, LlmError>>,
    waiting: Waiting,
    watch: Watch,
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
        let gguf = Gguf::open(path)?;
        let template = ChatTemplate::read(&gguf).map_err(|problem| gguf.problem(problem))?;

        let ChatModelOptions {
            name,
            hash,
            device,
            queue,
            context,
            slots,
            held,
            kept,
            queue_tokens,
        } = options;
        let (report, reported) = crossbeam_channel::bounded(1);
        let watch = Watch::default();
        let told = watch.clone();
        let make = move || {
            let (tokenizer, decoder) = both(&gguf, &device)?;
            let tokenizer = Arc::new(tokenizer);
            let trained = decoder.config().context;
            let limit = context.map_or(trained, |context| context.min(trained));
            let held = held / decoder.new_cache()?.token_bytes();
            let limit = limit.min(held);
            report.send((limit, Arc::clone(&tokenizer))).ok();
            let limits = Limits {
                context: limit,
                slots: slots.max(1),
                held,
                kept,
            };
            Ok::<_, LlmError>(Scheduler::new(decoder, tokenizer, limits).watched(told))
        };
        let worker = Worker::spawn_stepping("language-model", queue, make, Scheduler::run)
            .map_err(|error| match error {
                SpawnError::State(error) => error,
                other => LlmError::Worker(Box::new(other)),
            })?;
        // Sent before the worker said that it is ready.
        let (context_length, tokenizer) = reported
            .try_recv()
            .map_err(|error| LlmError::Worker(Box::new(error)))?;
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
            grammars: OnceLock::new(),
            waiting: Waiting::new(queue, queue_tokens),
            watch,
        })
    }

    fn prompt(&self, request: &GenerateRequest) -> Result<Vec<u32>, GenerateError> {
        let GenerateRequest {
            messages,
            prefill,
            tools,
            ..
        } = request;
        if !tools.is_empty() && !self.template.knows_tools() {
            return Err(GenerateError::NoTools {
                model: self.info.name.clone(),
            });
        }
        self.template
            .with_tools(messages, tools, prefill, &self.tokenizer)
            .map_err(failed)
    }

    /// Compiled on the caller's thread: the worker's has a model to run.
    fn rule(&self, constraint: &Constraint) -> Result<Rule, GenerateError> {
        let grammars = self.grammars.get_or_init(|| Grammars::new(&self.tokenizer));
        match grammars {
            Ok(grammars) => grammars.rule(constraint).map_err(failed),
            Err(error) => Err(GenerateError::Constraint {
                reason: error.to_string(),
            }),
        }
    }

    /// A place among those who wait; whoever goes first needs none.
    fn enter(
        &self,
        tenant: &Tenant,
        tokens: usize,
        first: bool,
        asked: Instant,
    ) -> Result<Entry, GenerateError> {
        let ticket = match first {
            true => None,
            false => {
                let ticket = self.waiting.enter(tenant, tokens);
                Some(ticket.map_err(|wait| self.busy(wait))?)
            }
        };
        Ok(Entry { asked, ticket })
    }

    fn busy(&self, retry_after: Duration) -> GenerateError {
        self.watch.tell(Work::Refused);
        GenerateError::Busy { retry_after }
    }

    fn submit(&self, job: Job, first: bool) -> Result<(), GenerateError> {
        let submitted = if first {
            self.worker.submit_first(job)
        } else {
            self.worker.submit(job)
        };
        submitted.map_err(|error| match error {
            SubmitError::Full => self.busy(self.waiting.soonest()),
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

    fn is_running(&self) -> bool {
        self.worker.is_running()
    }

    fn count_tokens(&self, text: &str) -> usize {
        // The encoder fails only on its own bugs; four bytes a token is then
        // a better answer than none.
        self.tokenizer
            .encode(text)
            .map_or(text.len().div_ceil(4), |tokens| tokens.len())
    }

    fn watch(&self, watcher: Arc<dyn WatchWork>) {
        self.watch.set(watcher);
    }

    fn check(&self, form: &Constraint) -> Result<(), GenerateError> {
        self.rule(form).map(drop)
    }

    fn generate(
        &self,
        request: GenerateRequest,
        on_piece: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generation, GenerateError> {
        self.generate_weighed(request, &mut |piece, _| on_piece(piece))
    }

    /// As the trait says. While nothing comes (in the queue, while a long
    /// prompt is read) `on_piece` is called with an empty piece about ten
    /// times a second, so that the caller can break off then too.
    fn generate_weighed(
        &self,
        request: GenerateRequest,
        on_piece: &mut dyn FnMut(&str, &[TokenWeight]) -> ControlFlow<()>,
    ) -> Result<Generation, GenerateError> {
        let asked = Instant::now();
        let prompt = self.prompt(&request)?;
        self.fits(prompt.len(), request.max_tokens)?;
        let rule = match &request.constraint {
            Some(constraint) => Some(self.rule(constraint)?),
            None => None,
        };
        let mut usage = Usage {
            prompt_tokens: prompt.len(),
            completion_tokens: 0,
        };
        let mut text = String::new();
        let mut weights: Vec<TokenWeight> = Vec::new();
        // Of the weights, those of text that was handed on: a token whose
        // characters are not complete yet waits with them.
        let mut told = 0;
        if request.max_tokens == 0 {
            return Ok(Generation {
                text,
                finish: FinishReason::Length,
                usage,
                first_token: asked.elapsed(),
                weights,
                ruling: Duration::ZERO,
            });
        }

        let entry = self.enter(
            &request.tenant,
            prompt.len().saturating_add(request.max_tokens),
            false,
            asked,
        )?;
        let caller = Caller::default();
        // One event a token, or two with its probability, the end and a
        // flush: the worker never waits for a slow reader, and the queue is
        // as long as the answer at most.
        let each = 1 + usize::from(request.weights.is_some());
        let (events, arriving) = crossbeam_channel::bounded(each * request.max_tokens + 2);
        let talk = Talk {
            prompt,
            sampling: request.sampling,
            max_tokens: request.max_tokens,
            stop: request.stop,
            tenant: request.tenant,
            lookup: request.lookup,
            rule,
            weights: request.weights,
            entry,
            events,
            left: caller.left(),
        };
        self.submit(Job::Talk(talk), false)?;

        let mut first_token = None;
        loop {
            let flow = match next_event(&arriving)? {
                Waited::Nothing => on_piece("", &[]),
                Waited::For(Event::Weight(weight)) => {
                    weights.push(weight);
                    ControlFlow::Continue(())
                }
                Waited::For(Event::Token(piece)) => {
                    first_token.get_or_insert_with(|| asked.elapsed());
                    usage.completion_tokens += 1;
                    if piece.is_empty() {
                        ControlFlow::Continue(())
                    } else {
                        text.push_str(&piece);
                        let own = told..weights.len();
                        told = own.end;
                        on_piece(&piece, &weights[own])
                    }
                }
                Waited::For(Event::Rest(piece)) => {
                    text.push_str(&piece);
                    let own = told..weights.len();
                    told = own.end;
                    on_piece(&piece, &weights[own])
                }
                Waited::For(Event::End(end)) => {
                    let end = end.map_err(failed)?;
                    if told < weights.len() && on_piece("", &weights[told..]).is_break() {
                        // It has ended anyway.
                        drop(caller);
                    }
                    usage.completion_tokens = end.completion_tokens;
                    return Ok(Generation {
                        text,
                        finish: end.finish,
                        usage,
                        first_token: first_token.unwrap_or_else(|| asked.elapsed()),
                        weights,
                        ruling: end.ruling,
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
                    weights,
                    ruling: Duration::ZERO,
                });
            }
        }
    }

    /// As the trait says; `on_wait` is called about ten times a second.
    fn choose_while(
        &self,
        request: ChoiceRequest,
        on_wait: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Vec<f32>, GenerateError> {
        let asked = Instant::now();
        let prompt = self
            .template
            .tokens(&request.messages, "", &self.tokenizer)
            .map_err(backend)?;
        self.fits(prompt.len(), 0)?;
        let openings = request
            .choices
            .iter()
            .map(|choice| self.openings(choice))
            .collect::<Result<Vec<_>, _>>()?;
        let entry = self.enter(&request.tenant, prompt.len(), request.first, asked)?;
        let caller = Caller::default();
        let (reply, answer) = crossbeam_channel::bounded(1);
        let ask = Ask {
            prompt,
            openings,
            first: request.first,
            tenant: request.tenant,
            entry,
            reply,
            left: caller.left(),
        };
        self.submit(Job::Ask(ask), request.first)?;
        loop {
            match answer.recv_timeout(PATIENCE) {
                Ok(weights) => return weights.map_err(backend),
                Err(RecvTimeoutError::Disconnected) => return Err(GenerateError::Stopped),
                // The worker notices before its next step.
                Err(RecvTimeoutError::Timeout) if on_wait().is_break() => {
                    drop(caller);
                    return Err(GenerateError::Cancelled);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

/// Tokenizer and weights side by side: the first is long work for one core.
fn both(gguf: &Gguf, device: &Device) -> Result<(Tokenizer, Decoder), LlmError> {
    std::thread::scope(|scope| {
        let tokenizer = scope.spawn(|| Tokenizer::read(gguf));
        let decoder = Decoder::load(gguf, device);
        let tokenizer = match tokenizer.join() {
            Ok(tokenizer) => tokenizer.map_err(|problem| gguf.problem(problem))?,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        Ok((tokenizer, decoder?))
    })
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

/// What the caller can do something about is told as it is.
fn failed(error: LlmError) -> GenerateError {
    match error {
        LlmError::Constraint { reason } => GenerateError::Constraint { reason },
        LlmError::Tool { name } => GenerateError::Constraint {
            reason: format!("the tool {name:?} or a call of it holds JSON that can't be read"),
        },
        other => backend(other),
    }
}

fn backend(error: LlmError) -> GenerateError {
    GenerateError::Backend(Box::new(error))
}

#[cfg(test)]
#[path = "chat_tests.rs"]
mod tests;
