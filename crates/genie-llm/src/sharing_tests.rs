//! Slots among tenants, and what prompts of one tenant have in common.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use genie_core::{Tenant, Work};

use crate::admission::Watch;
use crate::job::Job;
use crate::scheduler_tests::{Caller, Watcher, finish, prompt, scheduler, talk};

#[test]
fn tenants_take_turns_for_a_slot() {
    let mut scheduler = scheduler(1);
    let tenants = ["many", "many", "many", "one", "other"];
    let callers: Vec<Caller> = (0..)
        .zip(tenants)
        .map(|(seed, tenant)| {
            let (job, caller) = talk(prompt(seed, 20), 3, tenant);
            scheduler.run(Some(job));
            caller
        })
        .collect();
    let mut order = Vec::new();
    while order.len() < callers.len() {
        scheduler.run(None);
        let ended = callers.iter().enumerate();
        let ended = ended.filter(|(_, caller)| caller.look().1);
        order.extend(ended.map(|(index, _)| index));
    }
    assert_eq!(order, [0, 3, 4, 1, 2]);
}

/// Tokens that were read in all passes, and those that needed no reading.
fn tokens_read(watcher: &Watcher) -> (usize, usize) {
    let seen = watcher.0.lock().expect("nobody panics with it");
    seen.iter().fold((0, 0), |(read, found), work| match work {
        Work::Pass { tokens, .. } => (read + tokens, found),
        Work::Taken { known, .. } | Work::TakenOver { known } => (read, found + known),
        _ => (read, found),
    })
}

#[test]
fn what_prompts_in_hand_have_in_common_is_read_once() {
    let passages = prompt(1, 500);
    let asked = |end: u32, tenant: &str| {
        let question: Vec<u32> = (0..9).map(|at| (at * end) % 90).collect();
        let (job, caller) = talk([&passages[..], &question].concat(), 1, tenant);
        (job, caller)
    };
    let read = |tenants: &[&str], kept: usize| {
        let watcher = Arc::new(Watcher::default());
        let watch = Watch::default();
        watch.set(watcher.clone());
        let mut scheduler = scheduler(8).watched(watch);
        scheduler.keep_at_most(kept);
        let jobs = (3..).zip(tenants).map(|(end, tenant)| asked(end, tenant));
        let (jobs, callers): (Vec<Job>, Vec<Caller>) = jobs.unzip();
        for job in jobs {
            scheduler.run(Some(job));
        }
        finish(&mut scheduler);
        let texts: Vec<String> = callers.iter().map(Caller::text).collect();
        let (read, found) = tokens_read(&watcher);
        assert_eq!(
            read + found,
            509 * tenants.len(),
            "each token is one or the other"
        );
        (read, texts)
    };
    // 31 whole blocks of the passages, then what is left of each.
    let (shared, texts) = read(&["a"; 4], 1 << 20);
    assert_eq!(shared, 509 + 3 * (509 - 496));
    let (apart, same) = read(&["a", "b", "c", "d"], 1 << 20);
    assert_eq!(apart, 4 * 509);
    assert_eq!(texts, same);
    // Where nothing is kept nobody waits for anybody.
    let (apart, same) = read(&["a"; 4], 0);
    assert_eq!(apart, 4 * 509);
    assert_eq!(texts, same);
    // As much as two blocks: the rest is read by each.
    let (apart, same) = read(&["a"; 4], 2 * 16 * 2 * 2 * 2 * 16 * 2);
    assert!(apart > 3 * 400, "{apart}");
    assert_eq!(texts, same);
}

#[test]
fn what_was_read_for_somebody_who_left_is_known() {
    let mut scheduler = scheduler(2);
    let (job, caller) = talk(prompt(1, 700), 5, "a");
    scheduler.run(Some(job));
    caller.left.store(true, Ordering::Relaxed);
    scheduler.run(None);
    let (_, known) = scheduler
        .begin(&prompt(1, 700), &Tenant::new("a"))
        .expect("begun");
    assert_eq!(known, 256);
}
