//! Many prompts and answers at once: what each pass of the model reads.
//!
//! A pass takes the next token of every answer that is being written, and a
//! piece of a prompt where one is waiting (continuous batching, Yu et al.
//! 2022). The weights are read once for all of them, and a long prompt does
//! not keep the others from going on. A row of a pass comes out the same in
//! any company, so nobody's answer depends on who else is served.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use genie_compute::{Appetite, as_team, on_pool_for_long};
use genie_core::{Tenant, Work};

use crate::LlmError;
use crate::admission::Watch;
use crate::answer::{Answer, Written};
use crate::cache::{BLOCK, KvCache};
use crate::decoder::{Decoder, Part};
use crate::job::{Ask, Job, Talk, flow};
use crate::line::Line;
use crate::lookup::{Guess, Lookup};
use crate::prefix::Prefixes;
use crate::sampler::weigh;
use crate::tokenizer::Tokenizer;

/// Tokens of prompts in a pass where nobody writes: between two passes is
/// looked whether anybody still waits.
const READ: usize = 256;
/// Tokens of prompts in a pass where somebody writes, who waits for it: about
/// as long as ten tokens one by one.
const READ_BESIDE: usize = 64;

/// How much is done at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Tokens of a prompt and its answer together.
    pub(crate) context: usize,
    /// Prompts and answers in hand at once.
    pub(crate) slots: usize,
    /// Tokens for which what is in hand may hold keys and values, in blocks of
    /// [`BLOCK`]. Jobs that go first are taken beyond it: others wait for
    /// their ends.
    pub(crate) held: usize,
    /// Bytes of keys and values kept of what is done.
    pub(crate) kept: usize,
}

/// A decoder and all that it has in hand.
#[derive(Debug)]
pub(crate) struct Scheduler {
    decoder: Decoder,
    tokenizer: Arc<Tokenizer>,
    limits: Limits,
    running: Vec<Running>,
    /// Taken from the queue, for as long as there is no slot or too little
    /// memory.
    line: Line,
    watch: Watch,
    kept: Prefixes,
    /// Tokens that were read and written for each tenant with something in
    /// hand, counted from what others had when it came.
    served: HashMap<Tenant, u64>,
}

/// A prompt and its answer in the making.
#[derive(Debug)]
struct Running {
    task: Task,
    tenant: Tenant,
    cache: KvCache,
    /// Prompt and answer so far.
    text: Vec<u32>,
    /// Tokens that the cache may have to hold.
    room: usize,
    /// Tokens of the text whose keys and values the cache holds.
    held: usize,
    /// What may follow the text, in the pass at hand.
    guess: Guess,
    /// Tokens of the text in the pass at hand.
    share: usize,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "as `Job`")]
enum Task {
    Talk(Answer),
    Ask(Ask),
}

impl Scheduler {
    pub(crate) fn new(decoder: Decoder, tokenizer: Arc<Tokenizer>, limits: Limits) -> Self {
        Self {
            decoder,
            tokenizer,
            limits,
            running: Vec::new(),
            line: Line::default(),
            watch: Watch::default(),
            kept: Prefixes::new(limits.kept),
            served: HashMap::new(),
        }
    }

    /// Tells somebody of the work.
    pub(crate) fn watched(mut self, watch: Watch) -> Self {
        self.watch = watch;
        self
    }

    /// Another limit for what is kept.
    #[cfg(test)]
    pub(crate) fn keep_at_most(&mut self, bytes: usize) {
        self.limits.kept = bytes;
        self.kept = Prefixes::new(bytes);
    }

    /// Takes jobs in hand as far as there is room, and makes a pass.
    pub(crate) fn run(&mut self, jobs: impl IntoIterator<Item = Job>) -> Appetite {
        self.running.retain(|running| !running.has_left());
        for job in jobs {
            // Whoever waits for the end of one that goes first holds a slot
            // already.
            if job.is_first() {
                self.admit(job);
            } else {
                self.line.push(job);
            }
        }
        let running = &self.running;
        self.line
            .forget(|tenant| running.iter().any(|it| it.tenant == *tenant));
        while self.running.len() < self.limits.slots {
            let (running, held) = (&self.running, self.limits.held);
            let step = self.decoder.room_step();
            let in_hand = |tenant: &Tenant| {
                let own = running.iter().filter(|it| it.tenant == *tenant);
                own.count()
            };
            match self
                .line
                .take(in_hand, |job| fits(running, room(job.tokens(), step), held))
            {
                Some(job) => self.admit(job),
                None => break,
            }
        }
        // A job that came without anybody waiting for it any more.
        self.running.retain(|running| !running.has_left());
        if let Err(error) = self.plan().and_then(|()| self.pass()) {
            // What the caches hold is not known any more.
            let reason = error.to_string();
            for running in self.running.drain(..) {
                running
                    .task
                    .fail(LlmError::Tensor(candle_core::Error::Msg(reason.clone())));
            }
        }
        let running = &self.running;
        self.served
            .retain(|tenant, _| running.iter().any(|it| it.tenant == *tenant));
        match (
            running.is_empty() && self.line.is_empty(),
            self.line.has_room(),
        ) {
            (true, _) => {
                self.watch.tell(Work::Idle);
                Appetite::Idle
            }
            (false, true) => Appetite::Some,
            (false, false) => Appetite::Urgent,
        }
    }

    fn admit(&mut self, mut job: Job) {
        let waited = job.enter().elapsed();
        let room = room(job.tokens(), self.decoder.room_step());
        let (task, prompt, tenant) = match job {
            Job::Talk(talk) => {
                let Talk { prompt, tenant, .. } = &talk;
                let (prompt, tenant) = (prompt.clone(), tenant.clone());
                let lookup = talk.lookup && self.decoder.rows_are_independent();
                let lookup = lookup.then(Lookup::new);
                let answer = Answer::new(
                    talk,
                    Arc::clone(&self.tokenizer),
                    lookup,
                    self.watch.clone(),
                );
                (Task::Talk(answer), prompt, tenant)
            }
            Job::Ask(mut ask) => {
                let prompt = std::mem::take(&mut ask.prompt);
                let tenant = ask.tenant.clone();
                (Task::Ask(ask), prompt, tenant)
            }
        };
        match self.begin(&prompt, &tenant) {
            Ok((cache, held)) => {
                // Whoever comes new has neither a claim from the time before
                // nor a debt.
                self.watch.tell(Work::Taken {
                    waited,
                    prompt: prompt.len(),
                    known: held,
                });
                let least = self.served.values().copied().min().unwrap_or(0);
                self.served.entry(tenant.clone()).or_insert(least);
                self.running.push(Running {
                    task,
                    tenant,
                    cache,
                    text: prompt,
                    room,
                    held,
                    guess: Guess::default(),
                    share: 0,
                });
            }
            Err(error) => task.fail(error),
        }
    }

    /// A cache that holds as much of a prompt as is known, and how much that
    /// is. The last token is read in any case: its logits are wanted.
    pub(crate) fn begin(
        &mut self,
        prompt: &[u32],
        tenant: &Tenant,
    ) -> Result<(KvCache, usize), LlmError> {
        let last = prompt.len().checked_sub(1).ok_or(LlmError::EmptyPrompt)?;
        if prompt.len() > self.limits.context {
            return Err(LlmError::Context {
                tokens: prompt.len(),
                limit: self.limits.context,
            });
        }
        let size = self.decoder.config().vocabulary;
        if let Some(token) = prompt.iter().find(|token| **token as usize >= size) {
            return Err(LlmError::UnknownToken {
                token: *token,
                size,
            });
        }
        let mut cache = self.decoder.new_cache()?;
        cache.reserve(prompt.len(), prompt.len())?;
        for block in self.kept.find(tenant, &prompt[..last]) {
            cache.append(&block)?;
        }
        let held = cache.len();
        tracing::debug!(
            prompt = prompt.len(),
            known = held,
            "a prompt is taken in hand"
        );
        Ok((cache, held))
    }

    /// Decides what the next pass reads: a token of every answer, with what
    /// may follow it, and pieces of prompts, first those that an answer waits
    /// for, then those of the tenant that had least so far. A prompt that
    /// begins as one does that is being read waits for it, and goes on behind
    /// what both have.
    fn plan(&mut self) -> Result<(), LlmError> {
        let limit = self.limits.context;
        let mut budget = READ;
        for running in &mut self.running {
            running.share = 0;
            running.guess = Guess::default();
            if let (1, Task::Talk(answer)) = (running.unread(), &mut running.task)
                && answer.has_begun()
            {
                let room = limit - running.held - 1;
                running.guess = answer.guess(&running.text, room);
                running.share = 1;
                budget = READ_BESIDE;
            }
        }
        let mut reading: Vec<usize> = (0..self.running.len())
            .filter(|index| self.running[*index].share == 0)
            .collect();
        let served = |running: &Running| self.served.get(&running.tenant).copied();
        let first = |running: &Running| matches!(&running.task, Task::Ask(ask) if ask.first);
        // Of one tenant's, who came first is first: the sort is stable.
        reading.sort_by_key(|index| {
            let running = &self.running[*index];
            (!first(running), served(running))
        });
        let mut read: Vec<usize> = Vec::new();
        for index in reading {
            if self.limits.kept > 0 && self.running.len() > 1 {
                let known = self.running[index].catch_up(&mut self.kept)?;
                if known > 0 {
                    self.watch.tell(Work::TakenOver { known });
                }
                let running = &self.running[index];
                let follows = |first: &usize| running.follows(&self.running[*first]);
                if read.iter().any(follows) {
                    continue;
                }
            }
            let running = &mut self.running[index];
            running.share = running.unread().min(budget);
            budget -= running.share;
            if running.share > 0 {
                read.push(index);
            }
        }
        Ok(())
    }

    /// Reads what was planned and hands the logits on.
    fn pass(&mut self) -> Result<(), LlmError> {
        if self.running.iter().all(|running| running.share == 0) {
            return Ok(());
        }
        let mut tokens = Vec::with_capacity(self.running.len());
        for running in &mut self.running {
            let end = running.held + running.share;
            let mut part = running.text[running.held..end].to_vec();
            part.extend_from_slice(&running.guess.tokens);
            if !part.is_empty() {
                running.cache.reserve(part.len(), running.room)?;
            }
            tokens.push(part);
        }
        let taking_part = self.running.iter().zip(&tokens);
        let taking_part = taking_part.filter(|(running, _)| running.share > 0);
        self.watch.tell(Work::Pass {
            sequences: taking_part.clone().count(),
            tokens: taking_part.map(|(_, tokens)| tokens.len()).sum(),
            held: self.running.iter().map(|running| running.room).sum(),
        });
        let mut parts: Vec<Part<'_>> = self
            .running
            .iter_mut()
            .zip(&tokens)
            .filter(|(running, _)| running.share > 0)
            .map(|(running, tokens)| Part {
                tokens,
                wanted: running.wanted(),
                cache: &mut running.cache,
            })
            .collect();
        let decoder = &self.decoder;
        let mut pass = || match decoder.read(&mut parts)? {
            Some(output) => decoder.logits(&output),
            None => Ok(Vec::new()),
        };
        let logits = on_pool_for_long(|| match decoder.is_on_processor() {
            true => as_team(pass),
            false => pass(),
        })?;
        let mut logits = logits.into_iter();
        let mut done = Vec::new();
        for (index, (running, tokens)) in self.running.iter_mut().zip(&tokens).enumerate() {
            if let Some(served) = self.served.get_mut(&running.tenant) {
                *served += tokens.len() as u64;
            }
            let wanted = running.wanted();
            running.held += running.share;
            if running.share > 0 && !running.has_begun() {
                // Others may begin alike, and this one may never end.
                let Running {
                    tenant,
                    cache,
                    text,
                    held,
                    ..
                } = &*running;
                self.kept
                    .keep(tenant, &text[..*held], |start| cache.block(start))?;
            }
            // All of its own, also those behind a wrong guess, which nobody
            // looks at: what it leaves would be taken for the next one's.
            let own: Vec<Vec<f32>> = logits.by_ref().take(wanted).collect();
            if running.hand_on(own.into_iter()).is_break() {
                done.push(index);
            }
        }
        for index in done.into_iter().rev() {
            let running = self.running.remove(index);
            let Running {
                tenant,
                cache,
                text,
                held,
                ..
            } = &running;
            self.kept
                .keep(tenant, &text[..*held], |start| cache.block(start))?;
        }
        Ok(())
    }
}

/// Tokens that a cache for so many has room for.
const fn room(tokens: usize, step: usize) -> usize {
    tokens.next_multiple_of(step)
}

/// Whether a job that needs so much room can be taken in hand beside these.
fn fits(running: &[Running], room: usize, limit: usize) -> bool {
    let held: usize = running.iter().map(|running| running.room).sum();
    running.is_empty() || held.saturating_add(room) <= limit
}

impl Running {
    /// Takes over what was read for others since it was taken in hand, and
    /// says how many tokens of that are new to it.
    fn catch_up(&mut self, kept: &mut Prefixes) -> Result<usize, LlmError> {
        let last = self.text.len() - 1;
        let blocks = kept.find(&self.tenant, &self.text[..last]);
        let own = self.held / BLOCK;
        let before = self.held;
        if blocks.len() > own {
            self.cache.truncate(own * BLOCK);
            for block in &blocks[own..] {
                self.cache.append(block)?;
            }
            self.held = self.cache.len();
        }
        Ok(self.held - before)
    }

    /// Whether both begin alike in a block that neither has read yet, so that
    /// it will soon be there for this one too.
    fn follows(&self, first: &Self) -> bool {
        let last = self.text.len() - 1;
        let both = self.text[..last].iter().zip(&first.text);
        let alike = both.take_while(|(a, b)| a == b).count() / BLOCK * BLOCK;
        self.tenant == first.tenant && alike > self.held.max(first.held)
    }

    fn has_begun(&self) -> bool {
        matches!(&self.task, Task::Talk(answer) if answer.has_begun())
    }

    fn unread(&self) -> usize {
        self.text.len() - self.held
    }

    fn has_left(&self) -> bool {
        match &self.task {
            Task::Talk(answer) => answer.has_left(),
            Task::Ask(ask) => flow(&ask.left).is_break(),
        }
    }

    /// Logits that the pass at hand has to give.
    fn wanted(&self) -> usize {
        if self.share > 0 && self.share == self.unread() {
            1 + self.guess.tokens.len()
        } else {
            0
        }
    }

    /// Takes the logits behind the end of the text and behind each guessed
    /// token. Breaks where that was the end.
    fn hand_on(&mut self, logits: impl Iterator<Item = Vec<f32>>) -> ControlFlow<()> {
        let guess = std::mem::take(&mut self.guess);
        let mut logits = logits.peekable();
        if logits.peek().is_none() {
            return ControlFlow::Continue(());
        }
        match &mut self.task {
            Task::Ask(ask) => {
                if let Some(logits) = logits.next() {
                    ask.reply.send(weigh(&logits, &ask.openings)).ok();
                }
                ControlFlow::Break(())
            }
            Task::Talk(answer) => {
                let Written { right, flow } = answer.write(&mut self.text, &guess, logits);
                self.held += right;
                self.cache.truncate(self.held);
                flow
            }
        }
    }
}

impl Task {
    fn fail(self, error: LlmError) {
        // Whoever left does not read it.
        match self {
            Self::Talk(answer) => answer.end(Err(error)),
            Self::Ask(ask) => {
                ask.reply.send(Err(error)).ok();
            }
        }
    }
}
