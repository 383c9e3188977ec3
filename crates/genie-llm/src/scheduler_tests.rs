//! Many at once: what each gets, and when.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use candle_core::Device;
use crossbeam_channel::Receiver;
use genie_compute::Appetite;
use genie_core::{Sampling, Tenant, WatchWork, Work};

use crate::LlmError;
use crate::admission::{Entry, Waiting, Watch};
use crate::decoder::Decoder;
use crate::gguf::Gguf;
use crate::job::{Ask, Event, Job, Talk};
use crate::scheduler::{Limits, Scheduler};
use crate::tiny::Tiny;
use crate::tokenizer::Tokenizer;

pub(crate) fn scheduler(slots: usize) -> Scheduler {
    holding(slots, 1 << 20)
}

/// Keys and values of so many tokens at most.
fn holding(slots: usize, held: usize) -> Scheduler {
    let (_folder, path) = Tiny::default().write();
    let gguf = Gguf::open(&path).expect("opened");
    let tokenizer = Tokenizer::read(&gguf).expect("a tokenizer");
    let decoder = Decoder::load(&gguf, &Device::Cpu).expect("a decoder");
    let limits = Limits {
        context: decoder.config().context,
        slots,
        held,
        kept: 1 << 20,
    };
    Scheduler::new(decoder, Arc::new(tokenizer), limits)
}

/// Whoever asked.
pub(crate) struct Caller {
    events: Receiver<Event>,
    pub(crate) left: Arc<AtomicBool>,
}

impl Caller {
    /// Tokens that came since the last look, and whether the end came.
    pub(crate) fn look(&self) -> (usize, bool) {
        let (mut tokens, mut ended) = (0, false);
        for event in self.events.try_iter() {
            match event {
                Event::Token(_) => tokens += 1,
                Event::Rest(_) | Event::Weight(_) => {}
                Event::End(end) => {
                    end.expect("generated");
                    ended = true;
                }
            }
        }
        (tokens, ended)
    }

    pub(crate) fn text(&self) -> String {
        let pieces = self.events.try_iter().map(|event| match event {
            Event::Token(piece) | Event::Rest(piece) => piece,
            Event::Weight(weight) => format!("{weight:?}"),
            Event::End(end) => format!("{:?}", end.expect("generated")),
        });
        pieces.collect()
    }
}

/// Warm enough that an end is not to be expected before `max_tokens`.
pub(crate) fn talk(prompt: Vec<u32>, max_tokens: usize, tenant: &str) -> (Job, Caller) {
    let (events, arriving) = crossbeam_channel::bounded(max_tokens + 2);
    let left = Arc::new(AtomicBool::new(false));
    let sampling = Sampling {
        temperature: 2.0,
        top_k: 20,
        seed: prompt.len() as u64,
        ..Sampling::greedy()
    };
    let job = Job::Talk(Talk {
        prompt,
        sampling,
        max_tokens,
        stop: Vec::new(),
        tenant: Tenant::new(tenant),
        lookup: true,
        rule: None,
        weights: None,
        entry: Entry::default(),
        events,
        left: Arc::clone(&left),
    });
    let caller = Caller {
        events: arriving,
        left,
    };
    (job, caller)
}

pub(crate) fn prompt(seed: u32, length: u32) -> Vec<u32> {
    (0..length)
        .map(|at| (at * at + seed * 17 + at / 7) % 90)
        .collect()
}

pub(crate) fn finish(scheduler: &mut Scheduler) {
    while scheduler.run(None) != Appetite::Idle {}
}

#[test]
fn everybody_gets_in_company_what_everybody_gets_alone() {
    let asked = |index: u32| {
        talk(
            prompt(index, 20 + 90 * index),
            40,
            &format!("{}", index % 3),
        )
    };
    let mut together = scheduler(8);
    let mut callers = Vec::new();
    for index in 0..8 {
        let (job, caller) = asked(index);
        together.run(Some(job));
        callers.push(caller);
    }
    finish(&mut together);
    for (index, caller) in (0..8).zip(callers) {
        let mut alone = scheduler(1);
        let (job, single) = asked(index);
        alone.run(Some(job));
        finish(&mut alone);
        assert_eq!(caller.text(), single.text(), "prompt {index}");
    }
}

#[test]
fn a_long_prompt_does_not_keep_a_writer_waiting() {
    let mut scheduler = scheduler(4);
    let (job, writer) = talk(prompt(1, 30), 200, "writer");
    scheduler.run(Some(job));
    assert_eq!(writer.look().0, 1);
    let (job, reader) = talk(prompt(2, 1500), 5, "reader");
    let mut job = Some(job);
    let mut passes = 0;
    loop {
        scheduler.run(job.take());
        passes += 1;
        let (tokens, ended) = writer.look();
        assert!(tokens > 0 || ended, "nothing in pass {passes}");
        if reader.look().0 > 0 {
            break;
        }
        assert!(passes < 30, "the prompt is not read");
    }
    assert!(
        passes > 3,
        "a pass with {} tokens of a prompt",
        1500 / passes
    );
}

#[test]
fn the_tenant_that_had_least_is_read_first() {
    let mut scheduler = scheduler(8);
    let mut many = Vec::new();
    for seed in 0..5 {
        let (job, caller) = talk(prompt(seed, 1200), 2, "many");
        scheduler.run(Some(job));
        many.push(caller);
    }
    let (job, one) = talk(prompt(9, 600), 2, "one");
    let mut job = Some(job);
    while !one.look().1 {
        scheduler.run(job.take());
    }
    let done = many.iter().filter(|caller| caller.look().1).count();
    assert!(done <= 2, "{done} of five longer ones that came before");
    finish(&mut scheduler);
    assert!(
        many.iter()
            .all(|caller| caller.look().1 || caller.events.is_empty())
    );
}

#[test]
fn what_an_answer_waits_for_is_read_before_long_prompts() {
    let mut scheduler = scheduler(8);
    // Whoever waits has had much more than the others.
    let (job, _writer) = talk(prompt(1, 1500), 400, "waits");
    scheduler.run(Some(job));
    for _ in 0..8 {
        scheduler.run(None);
    }
    let (long, reader) = talk(prompt(2, 1800), 2, "other");
    scheduler.run(Some(long));
    let (job, answer) = ask(prompt(3, 150), "waits");
    let mut job = Some(job);
    for _ in 0..3 {
        scheduler.run(job.take());
    }
    answer.try_recv().expect("answered").expect("weighed");
    assert_eq!(reader.look(), (0, false));
}

#[test]
fn whoever_leaves_is_dropped_before_the_next_pass() {
    let mut scheduler = scheduler(2);
    let (job, caller) = talk(prompt(1, 700), 900, "a");
    scheduler.run(Some(job));
    caller.left.store(true, Ordering::Relaxed);
    assert_eq!(scheduler.run(None), Appetite::Idle);
    assert_eq!(caller.look(), (0, false));
    // Also while the answer is written.
    let (job, caller) = talk(prompt(1, 10), 900, "a");
    scheduler.run(Some(job));
    assert_eq!(caller.look(), (1, false));
    caller.left.store(true, Ordering::Relaxed);
    assert_eq!(scheduler.run(None), Appetite::Idle);
    assert_eq!(caller.look().0, 0);
}

#[test]
fn full_slots_take_only_what_is_urgent() {
    let mut scheduler = scheduler(2);
    let (first, _one) = talk(prompt(1, 600), 30, "a");
    let (second, _two) = talk(prompt(2, 600), 30, "a");
    let (third, later) = talk(prompt(4, 600), 30, "a");
    for job in [first, second, third] {
        assert_eq!(scheduler.run(Some(job)), Appetite::Some);
    }
    let (job, answer) = ask(prompt(3, 20), "waits");
    let mut job = Some(job);
    while answer.is_empty() {
        scheduler.run(job.take());
        assert_eq!(later.look(), (0, false));
    }
    finish(&mut scheduler);
    assert!(later.look().1);
    let weights = answer.recv().expect("answered").expect("weighed");
    assert!(weights[0] < 0.0 && weights[0].is_finite(), "{weights:?}");
}

type Weighed = Receiver<Result<Vec<f32>, LlmError>>;

fn ask(prompt: Vec<u32>, tenant: &str) -> (Job, Weighed) {
    let (reply, answer) = crossbeam_channel::bounded(1);
    let job = Job::Ask(Ask {
        prompt,
        first: tenant == "waits",
        openings: vec![vec![70], vec![71]],
        tenant: Tenant::new(tenant),
        entry: Entry::default(),
        reply,
        left: Arc::new(AtomicBool::new(false)),
    });
    (job, answer)
}

#[test]
fn a_prompt_that_cannot_be_read_fails_alone() {
    let mut scheduler = scheduler(4);
    let (job, caller) = talk(prompt(1, 30), 20, "a");
    scheduler.run(Some(job));
    for wrong in [Vec::new(), vec![1_000_000], vec![1; 5000]] {
        let (job, answer) = ask(wrong, "a");
        scheduler.run(Some(job));
        answer.recv().expect("answered").expect_err("refused");
    }
    finish(&mut scheduler);
    assert!(caller.look().1);
}

#[test]
fn what_was_read_before_another_prompt_is_known_again() {
    let passages = prompt(1, 200);
    let question = |end: &[u32]| [&passages[..], end].concat();
    let mut used = scheduler(2);
    let mut weigh = |prompt: &[u32], tenant: &str| {
        let known = used.begin(prompt, &Tenant::new(tenant)).expect("begun").1;
        let (job, answer) = ask(prompt.to_vec(), tenant);
        used.run(Some(job));
        finish(&mut used);
        (known, answer.recv().expect("answered").expect("weighed"))
    };
    assert_eq!(weigh(&question(&[1, 2, 3]), "one").0, 0);
    assert_eq!(weigh(&prompt(7, 300), "one").0, 0);
    let (known, again) = weigh(&question(&[4, 5]), "one");
    // Whole blocks of it.
    assert_eq!(known, 192);
    // Nobody profits from what another tenant asked.
    let (known, afresh) = weigh(&question(&[4, 5]), "other");
    assert_eq!(known, 0);
    assert_eq!(again, afresh);
}

#[test]
fn a_request_that_does_not_fit_beside_the_others_waits() {
    // Two of 512 fit.
    let mut scheduler = holding(8, 1100);
    let (first, one) = talk(prompt(1, 400), 100, "a");
    let (second, two) = talk(prompt(2, 400), 100, "a");
    let (third, three) = talk(prompt(3, 400), 100, "a");
    assert_eq!(scheduler.run(Some(first)), Appetite::Some);
    assert_eq!(scheduler.run(Some(second)), Appetite::Some);
    // It is kept, and none overtakes it.
    scheduler.run(Some(third));
    let (small, last) = talk(prompt(5, 10), 2, "a");
    scheduler.run(Some(small));
    while !(one.look().1 || two.look().1) {
        assert_eq!(three.look(), (0, false), "it was taken in hand");
        assert_eq!(last.look(), (0, false), "it was taken in hand");
        scheduler.run(None);
    }
    finish(&mut scheduler);
    assert!(three.look().1);
    // Alone, one is taken whatever its size.
    let (large, caller) = talk(prompt(4, 1500), 10, "a");
    scheduler.run(Some(large));
    finish(&mut scheduler);
    assert!(caller.look().1);
}

#[test]
fn what_an_answer_waits_for_is_taken_beyond_what_may_be_held() {
    let mut scheduler = holding(8, 600);
    let (job, _writer) = talk(prompt(1, 400), 100, "a");
    scheduler.run(Some(job));
    let (job, later) = talk(prompt(2, 400), 100, "a");
    scheduler.run(Some(job));
    let (job, answer) = ask(prompt(3, 150), "waits");
    let mut job = Some(job);
    for _ in 0..3 {
        scheduler.run(job.take());
    }
    answer.try_recv().expect("answered").expect("weighed");
    assert_eq!(later.look(), (0, false));
    // Whoever waits and leaves is forgotten.
    later.left.store(true, Ordering::Relaxed);
    assert_eq!(scheduler.run(None), Appetite::Some);
}

#[derive(Default)]
pub(crate) struct Watcher(pub(crate) Mutex<Vec<Work>>);

impl WatchWork for Watcher {
    fn saw(&self, work: Work) {
        self.0.lock().expect("nobody panics with it").push(work);
    }
}

#[test]
fn work_is_told_as_it_is_done() {
    let watcher = Arc::new(Watcher::default());
    let watch = Watch::default();
    watch.set(watcher.clone());
    let mut scheduler = scheduler(4).watched(watch);
    let waiting = Waiting::new(16, 100);
    let tenant = Tenant::new("a");
    for _ in 0..2 {
        let (mut job, caller) = talk(prompt(1, 200), 40, "a");
        if let Job::Talk(talk) = &mut job {
            talk.entry.ticket = waiting.enter(&tenant, 240).ok();
        }
        assert!(waiting.enter(&tenant, 1).is_err(), "it waits");
        scheduler.run(Some(job));
        assert!(waiting.enter(&tenant, 1).is_ok(), "it waits no more");
        finish(&mut scheduler);
        assert!(caller.look().1);
    }
    let seen = watcher.0.lock().expect("nobody panics with it");
    let taken: Vec<_> = seen
        .iter()
        .filter_map(|work| match work {
            Work::Taken { prompt, known, .. } => Some((*prompt, *known)),
            _ => None,
        })
        .collect();
    assert_eq!(taken, [(200, 0), (200, 192)]);
    assert_eq!(seen.last(), Some(&Work::Idle));
    let written: Vec<_> = seen
        .iter()
        .filter_map(|work| match work {
            Work::Written {
                tokens,
                guessed,
                right,
                ..
            } => Some((*tokens, *guessed, *right)),
            _ => None,
        })
        .collect();
    assert_eq!(written.len(), 2);
    assert!(
        written.iter().all(|it| it.0 > 0 && it.2 <= it.1),
        "{written:?}"
    );
    let begun = seen
        .iter()
        .filter(|work| matches!(work, Work::Begun { .. }));
    assert_eq!(begun.count(), 2);
    let (mut passes, mut read) = (0, 0);
    for work in seen.iter() {
        if let Work::Pass {
            sequences,
            tokens,
            held,
        } = work
        {
            assert_eq!((*sequences, *held), (1, 240));
            passes += 1;
            read += tokens;
        }
    }
    // Each token is read once: the prompt, what was not known of it again,
    // each answer but its last token, and guesses that were wrong.
    let wrong: usize = written.iter().map(|it| it.1 - it.2).sum();
    let answers: usize = written.iter().map(|it| it.0).sum();
    assert!(passes > 2);
    assert!(
        read <= 208 + answers + wrong && read + 2 >= 208 + answers,
        "{read} {written:?}"
    );
}
