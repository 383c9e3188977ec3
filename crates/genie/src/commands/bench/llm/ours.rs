//! Our own engine, asked as everybody asks it.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use genie_core::{
    ChatMessage, Constraint, Generate, GenerateRequest, Generation, Sampling, Tenant,
};
use genie_llm::ChatModel;

use super::prompts::Prompts;
use super::report::Served;
use super::{CHAT_ANSWER, CHAT_PROMPT, CHATS};
use crate::interrupt;

/// Questions whose answers are written with and without lookup.
const QUESTIONS: usize = 3;
/// Answers of an instruction model end; so many are begun for one figure.
const ANSWERS: usize = 6;

pub(super) struct Ours<'a> {
    pub(super) model: ChatModel,
    pub(super) prompts: &'a Prompts,
    tenants: Cell<usize>,
}

/// An answer and how long it took from the request to its end.
struct Timed {
    generation: Generation,
    total: Duration,
}

impl Timed {
    /// Tokens a second behind the first one; `None` where there is none.
    fn steps(&self) -> usize {
        self.generation.usage.completion_tokens.saturating_sub(1)
    }

    fn writing(&self) -> Duration {
        self.total.saturating_sub(self.generation.first_token)
    }
}

impl<'a> Ours<'a> {
    pub(super) const fn new(model: ChatModel, prompts: &'a Prompts) -> Self {
        Self {
            model,
            prompts,
            tenants: Cell::new(0),
        }
    }

    /// Whether a prompt of so many tokens and an answer fit.
    pub(super) fn holds(&self, tokens: usize) -> bool {
        tokens <= self.model.model().context_length
    }

    /// Somebody for whom nothing has been read.
    fn stranger(&self) -> Tenant {
        self.tenants.set(self.tenants.get() + 1);
        Tenant::new(format!("bench {}", self.tenants.get()))
    }

    fn ask(&self, request: GenerateRequest) -> anyhow::Result<Timed> {
        ask(&self.model, request)
    }

    /// Tokens a second of a prompt of which nothing is known.
    pub(super) fn prefill(&self, messages: Vec<ChatMessage>) -> anyhow::Result<f64> {
        let asked = self.ask(GenerateRequest {
            tenant: self.stranger(),
            ..GenerateRequest::new(messages, 1)
        })?;
        let tokens = asked.generation.usage.prompt_tokens as f64;
        Ok(tokens / asked.generation.first_token.as_secs_f64())
    }

    /// Tokens a second one by one, over about `tokens`.
    pub(super) fn decode(&self, round: usize, tokens: usize) -> anyhow::Result<f64> {
        let (mut steps, mut time) = (0, Duration::ZERO);
        for answer in 0..ANSWERS {
            let messages = self
                .prompts
                .sized(&self.model, round * ANSWERS + answer, 160)?;
            let asked = self.ask(GenerateRequest {
                tenant: self.stranger(),
                lookup: false,
                ..GenerateRequest::new(messages, tokens - steps + 1)
            })?;
            steps += asked.steps();
            time += asked.writing();
            if steps >= tokens {
                break;
            }
        }
        ensure!(steps > 0, "the model's answers are all empty");
        Ok(steps as f64 / time.as_secs_f64())
    }

    /// Tokens a second one by one, `tokens` at most behind a prompt of `depth`.
    pub(super) fn decode_at(
        &self,
        round: usize,
        depth: usize,
        tokens: usize,
    ) -> anyhow::Result<f64> {
        let messages = self.prompts.sized(&self.model, round, depth)?;
        let asked = self.ask(GenerateRequest {
            tenant: self.stranger(),
            lookup: false,
            ..GenerateRequest::new(messages, tokens + 1)
        })?;
        ensure!(asked.steps() > 0, "the model's answer is empty");
        Ok(asked.steps() as f64 / asked.writing().as_secs_f64())
    }

    /// Tokens a second of one answer and of so many at once, drawn behind one
    /// prompt that is known.
    pub(super) fn batch(
        &self,
        round: usize,
        count: usize,
        tokens: usize,
    ) -> anyhow::Result<[f64; 2]> {
        let messages = self.prompts.sized(&self.model, round, 160)?;
        let tenant = self.stranger();
        let request = |seed: usize, tokens| GenerateRequest {
            tenant: tenant.clone(),
            lookup: false,
            sampling: Sampling {
                temperature: 0.7,
                seed: seed as u64,
                ..Sampling::greedy()
            },
            ..GenerateRequest::new(messages.clone(), tokens)
        };
        self.ask(request(0, 1))?;
        let written = |count: usize| {
            let requests = (0..count).map(|seed| request(seed, tokens)).collect();
            let (answers, time) = self.at_once(requests)?;
            let usage = answers.iter().map(|answer| answer.generation.usage);
            let tokens: usize = usage.map(|usage| usage.completion_tokens).sum();
            anyhow::Ok(tokens as f64 / time.as_secs_f64())
        };
        Ok([written(1)?, written(count)?])
    }

    /// Several chats at once.
    pub(super) fn serve(&self, round: usize) -> anyhow::Result<Served> {
        let requests = (0..CHATS)
            .map(|chat| {
                let number = round * CHATS + chat;
                let messages = self.prompts.sized(&self.model, number, CHAT_PROMPT)?;
                Ok(GenerateRequest {
                    tenant: self.stranger(),
                    ..GenerateRequest::new(messages, CHAT_ANSWER)
                })
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let (answers, time) = self.at_once(requests)?;
        let usage = answers.iter().map(|answer| answer.generation.usage);
        let tokens: usize = usage
            .map(|usage| usage.prompt_tokens + usage.completion_tokens)
            .sum();
        let first = answers
            .iter()
            .map(|answer| answer.generation.first_token)
            .collect();
        Ok(Served::new(tokens, time, first))
    }

    /// All answers, and the time until the last was there.
    fn at_once(&self, requests: Vec<GenerateRequest>) -> anyhow::Result<(Vec<Timed>, Duration)> {
        let started = Instant::now();
        let model = &self.model;
        let answers = std::thread::scope(|scope| {
            let asking: Vec<_> = requests
                .into_iter()
                .map(|request| scope.spawn(move || ask(model, request)))
                .collect();
            asking
                .into_iter()
                .map(|chat| match chat.join() {
                    Ok(answer) => answer,
                    Err(_) => bail!("a chat broke off"),
                })
                .collect::<anyhow::Result<Vec<_>>>()
        })?;
        Ok((answers, started.elapsed()))
    }

    /// Seconds to the first token of a question, and of a second one about the
    /// same passages, with another tenant's question between them.
    pub(super) fn prefix(&self, round: usize) -> anyhow::Result<[f64; 2]> {
        let messages = self.prompts.sized(&self.model, round, CHAT_PROMPT)?;
        let tenant = self.stranger();
        let first_token = |messages, tenant: &Tenant| {
            let asked = self.ask(GenerateRequest {
                tenant: tenant.clone(),
                ..GenerateRequest::new(messages, 1)
            })?;
            anyhow::Ok(asked.generation.first_token.as_secs_f64())
        };
        let first = first_token(messages.clone(), &tenant)?;
        let other = self.prompts.sized(&self.model, round + 1, 160)?;
        first_token(other, &self.stranger())?;
        let second = first_token(Prompts::another(messages)?, &tenant)?;
        Ok([first, second])
    }

    /// Tokens a second of JSON of a schema: without the time that the grammar
    /// takes, and with it.
    pub(super) fn form(&self, round: usize, temperature: f32) -> anyhow::Result<[f64; 2]> {
        let (mut steps, mut writing, mut ruling) = (0, Duration::ZERO, Duration::ZERO);
        for question in 0..QUESTIONS {
            let number = round * QUESTIONS + question;
            let messages = self.prompts.sized(&self.model, number, 300)?;
            let asked = self.ask(GenerateRequest {
                tenant: self.stranger(),
                lookup: false,
                sampling: Sampling {
                    temperature,
                    seed: number as u64,
                    ..Sampling::greedy()
                },
                constraint: Some(Constraint::JsonSchema(SCHEMA.to_owned())),
                ..GenerateRequest::new(messages, CHAT_ANSWER)
            })?;
            steps += asked.steps();
            writing += asked.writing();
            ruling += asked.generation.ruling;
        }
        ensure!(steps > 0, "the model's answers are all empty");
        let times = [writing.saturating_sub(ruling), writing];
        Ok(times.map(|time| steps as f64 / time.as_secs_f64()))
    }

    /// Tokens a second of grounded answers, token by token and with lookup.
    pub(super) fn speculation(&self, round: usize) -> anyhow::Result<[f64; 2]> {
        let (mut steps, mut times) = (0, [Duration::ZERO; 2]);
        for question in 0..QUESTIONS {
            let number = round * QUESTIONS + question;
            let messages = self.prompts.sized(&self.model, number, CHAT_PROMPT)?;
            let tenant = self.stranger();
            let write = |lookup| {
                self.ask(GenerateRequest {
                    tenant: tenant.clone(),
                    lookup,
                    ..GenerateRequest::new(messages.clone(), CHAT_ANSWER)
                })
            };
            let (plain, guessed) = (write(false)?, write(true)?);
            ensure!(
                plain.generation.text == guessed.generation.text,
                "lookup changed an answer: {:?} became {:?}",
                plain.generation.text,
                guessed.generation.text
            );
            steps += plain.steps();
            times[0] += plain.writing();
            times[1] += guessed.writing();
        }
        ensure!(steps > 0, "the model's answers are all empty");
        Ok(times.map(|time| steps as f64 / time.as_secs_f64()))
    }
}

/// What the answers of `form` have to look like.
const SCHEMA: &str = r#"{"type": "object", "properties": {
    "title": {"type": "string", "maxLength": 80},
    "summary": {"type": "string", "maxLength": 400},
    "facts": {"type": "array", "minItems": 2, "maxItems": 6, "items": {
        "type": "object",
        "properties": {"about": {"type": "string", "maxLength": 60},
            "figure": {"type": "number"}, "unit": {"enum": ["percent", "year", "other"]}},
        "required": ["about", "figure", "unit"], "additionalProperties": false}}
}, "required": ["title", "summary", "facts"], "additionalProperties": false}"#;

fn ask(model: &ChatModel, request: GenerateRequest) -> anyhow::Result<Timed> {
    let started = Instant::now();
    let generation = model.generate(request, &mut |_| {
        if interrupt::requested() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    let total = started.elapsed();
    interrupt::check()?;
    Ok(Timed { generation, total })
}
