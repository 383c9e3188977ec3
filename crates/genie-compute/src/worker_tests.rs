use std::convert::Infallible;
use std::io::{Error, ErrorKind};
use std::sync::mpsc;

use super::*;

#[test]
fn jobs_run_in_order_on_one_state() {
    let worker = Worker::spawn(
        "order",
        8,
        || Ok::<_, Infallible>(Vec::new()),
        |seen, (number, reply): (u32, mpsc::Sender<Vec<u32>>)| {
            seen.push(number);
            reply.send(seen.clone()).ok();
        },
    )
    .expect("spawned");
    let (reply, answers) = mpsc::channel();
    for number in 0..3 {
        worker.submit((number, reply.clone())).expect("room");
    }
    let last = answers.iter().nth(2).expect("three answers");
    assert_eq!(last, [0, 1, 2]);
}

#[test]
fn what_goes_first_does_not_wait_for_the_others() {
    let (started, wait_started) = mpsc::channel();
    let (release, wait_release) = mpsc::channel::<()>();
    let worker = Worker::spawn(
        "first",
        8,
        || Ok::<_, Infallible>(()),
        move |(), number: u32| {
            started.send(number).ok();
            wait_release.recv().ok();
        },
    )
    .expect("spawned");
    worker.submit(0).expect("taken");
    assert_eq!(wait_started.recv(), Ok(0));
    worker.submit(1).expect("room");
    worker.submit(2).expect("room");
    worker.submit_first(3).expect("room");
    assert_eq!(worker.queued(), 3);
    drop(release);
    let order: Vec<u32> = wait_started.iter().take(3).collect();
    assert_eq!(order, [3, 1, 2]);
}

#[test]
fn what_goes_first_does_not_keep_the_others_for_ever() {
    let (started, wait_started) = mpsc::channel();
    let (release, wait_release) = mpsc::channel::<()>();
    let worker = Worker::spawn(
        "turns",
        64,
        || Ok::<_, Infallible>(()),
        move |(), number: u32| {
            started.send(number).ok();
            wait_release.recv().ok();
        },
    )
    .expect("spawned");
    worker.submit(0).expect("taken");
    assert_eq!(wait_started.recv(), Ok(0));
    worker.submit(100).expect("room");
    for number in 1..=20 {
        worker.submit_first(number).expect("room");
    }
    drop(release);
    let order: Vec<u32> = wait_started.iter().take(21).collect();
    assert_eq!(order[..8], [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(order[8], 100);
    assert_eq!(order[9..], (9..=20).collect::<Vec<u32>>());
}

#[test]
fn a_full_queue_is_an_answer() {
    let (started, wait_started) = mpsc::channel();
    let (release, wait_release) = mpsc::channel::<()>();
    let worker = Worker::spawn(
        "full",
        1,
        || Ok::<_, Infallible>(()),
        move |(), ()| {
            started.send(()).ok();
            wait_release.recv().ok();
        },
    )
    .expect("spawned");
    worker.submit(()).expect("the first is taken");
    wait_started.recv().expect("the first runs");
    worker.submit(()).expect("the second waits");
    assert_eq!(worker.submit(()), Err(SubmitError::Full));
    assert_eq!(worker.queued(), 1);
    drop(release);
}

#[test]
fn a_state_that_cannot_be_made_is_reported() {
    let error = Worker::<()>::spawn(
        "broken",
        1,
        || Err::<(), _>(Error::from(ErrorKind::NotFound)),
        |(), ()| (),
    )
    .expect_err("the state fails");
    assert!(matches!(error, SpawnError::State(_)));
}

#[test]
fn after_a_panic_nobody_waits_for_ever() {
    // Panics when told to: a job that panicked at once could end the worker
    // before `submit` has looked, which then says that it has stopped.
    let (panics, told) = mpsc::channel::<()>();
    let worker = Worker::spawn(
        "panics",
        4,
        move || Ok::<_, Infallible>(told),
        |told: &mut mpsc::Receiver<()>, _reply: mpsc::Sender<()>| {
            told.recv().ok();
            panic!("a bug in a job")
        },
    )
    .expect("spawned");
    assert!(worker.is_running());
    let (reply, answer) = mpsc::channel();
    worker.submit(reply).expect("taken");
    panics.send(()).expect("the job waits");
    assert!(answer.recv().is_err(), "the reply channel is closed");
    // Whether this one comes before or after the thread has noticed: it is
    // never kept.
    let (reply, answer) = mpsc::channel();
    worker.submit(reply).ok();
    assert!(answer.recv().is_err());
    assert!(!worker.is_running());
}

#[test]
fn a_state_with_work_in_hand_is_not_kept_from_it() {
    /// Works three steps on each job, and wants no third one.
    struct State(Vec<(u32, mpsc::Sender<&'static str>)>);
    let (release, wait_release) = mpsc::channel::<()>();
    let step = move |state: &mut State, jobs: Vec<(&'static str, mpsc::Sender<&'static str>)>| {
        for (name, reply) in jobs {
            reply.send(name).ok();
            state.0.push((3, reply));
        }
        wait_release.recv().ok();
        state.0.retain_mut(|(left, reply)| {
            *left -= 1;
            *left > 0 || reply.send("done").is_err()
        });
        match state.0.len() {
            0 => Appetite::Idle,
            1 => Appetite::Some,
            _ => Appetite::Urgent,
        }
    };
    let worker =
        Worker::spawn_stepping("steps", 8, || Ok::<_, Infallible>(State(Vec::new())), step)
            .expect("spawned");
    let (reply, answers) = mpsc::channel();
    worker.submit(("a", reply.clone())).expect("room");
    assert_eq!(answers.recv(), Ok("a"));
    worker.submit(("b", reply.clone())).expect("room");
    release.send(()).expect("the step waits");
    assert_eq!(answers.recv(), Ok("b"));
    worker.submit(("c", reply.clone())).expect("room");
    worker.submit_first(("urgent", reply)).expect("room");
    drop(release);
    let order: Vec<&str> = answers.iter().take(6).collect();
    let at = |name: &str| order.iter().position(|it| *it == name).expect("it came");
    assert_eq!(order.iter().filter(|it| **it == "done").count(), 4);
    assert_eq!(at("urgent"), 0, "{order:?}");
    // The third waits until there is room.
    assert!(at("done") < at("c"), "{order:?}");
}

/// A worker that has begun with job 0 and says after each step that it has
/// this appetite; the jobs of each step, and what lets a step end.
fn held(appetite: Appetite) -> (Worker<u32>, mpsc::Receiver<Vec<u32>>, mpsc::Sender<()>) {
    let (release, wait_release) = mpsc::channel::<()>();
    let (started, wait_started) = mpsc::channel();
    let step = move |(): &mut (), jobs: Vec<u32>| {
        started.send(jobs).ok();
        wait_release.recv().ok();
        appetite
    };
    let worker = Worker::spawn_stepping("held", 8, || Ok::<_, Infallible>(()), step);
    let worker = worker.expect("spawned");
    worker.submit(0).expect("room");
    assert_eq!(wait_started.recv(), Ok(vec![0]));
    for job in 1..4 {
        worker.submit(job).expect("room");
    }
    (worker, wait_started, release)
}

#[test]
fn all_that_wait_are_taken_together() {
    let (worker, steps, release) = held(Appetite::Some);
    worker.submit_first(4).expect("room");
    release.send(()).expect("the step waits");
    assert_eq!(steps.recv(), Ok(vec![4, 1, 2, 3]));
    // Nobody waits any more; it goes on all the same.
    release.send(()).expect("the step waits");
    assert_eq!(steps.recv(), Ok(Vec::new()));
    // Before the worker, which waits for its thread.
    drop(release);
}

#[test]
fn who_has_nothing_to_do_takes_all_that_wait_too() {
    let (_worker, steps, release) = held(Appetite::Idle);
    release.send(()).expect("the step waits");
    assert_eq!(steps.recv(), Ok(vec![1, 2, 3]));
    drop(release);
}
