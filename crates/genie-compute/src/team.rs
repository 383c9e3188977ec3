//! Jobs for threads that wait for the next ones awake.
//!
//! A pass of a decoder is some two hundred products one after the other, and
//! when it reads one token each of them takes a fraction of a millisecond. A
//! thread that has fallen asleep between two of them costs more to wake than
//! its half of a product is worth. So whoever does such a pass leads a team:
//! the other threads of its pool look for jobs until the pass is over, and
//! take the next one within a microsecond.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use rayon::prelude::*;

/// How often a thread looks for a job before it offers its core to others: some
/// tens of microseconds, more than lies between two products.
const LOOKS: u32 = 4096;
/// After how many looks it looks for work of the pool.
const LOOKS_AT_POOL: u32 = 64;

thread_local! {
    /// The team that this thread leads, while it shares no job out.
    static LED: Cell<Option<*const Team>> = const { Cell::new(None) };
    /// How many passes this thread is in the middle of.
    static PASSES: Cell<usize> = const { Cell::new(0) };
}

/// Runs `work` on this thread, which must be one of a pool (see
/// [`on_pool_for_long`](crate::on_pool_for_long)), while the pool's other
/// threads wait awake for their parts of the products in it. It has to be what
/// keeps them busy: not work of another device. Other work for the pool is
/// done too, a little later than otherwise.
pub fn as_team<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let helpers = rayon::current_num_threads() - 1;
    if helpers == 0 {
        return work();
    }
    let team = Team::default();
    rayon::scope(|scope| {
        for _ in 0..helpers {
            scope.spawn(|_| team.help());
        }
        let _led = Led::of(&team);
        work()
    })
}

/// Does the jobs `0..jobs` in any order, on all threads of the team that this
/// thread leads, or else of its pool. Returns when all are done.
pub(crate) fn share(jobs: usize, work: impl Fn(usize) + Sync) {
    if jobs <= 1 {
        return (0..jobs).for_each(work);
    }
    // Jobs of jobs are not the team's.
    let Some(team) = LED.take() else {
        return (0..jobs).into_par_iter().with_max_len(1).for_each(&work);
    };
    let _back = Back(team);
    // SAFETY: `as_team` takes a team from `LED` before it is gone.
    unsafe { &*team }.share(jobs, &work);
}

/// [`share`] of `0..count` in ranges: large ones first, which begin seldom,
/// then smaller ones, which even out who was slower.
pub(crate) fn share_ranges(count: usize, work: impl Fn(Range<usize>) + Sync) {
    let ranges = ranges(count, rayon::current_num_threads());
    share(ranges.len(), |job| work(ranges[job].clone()));
}

fn ranges(count: usize, threads: usize) -> Vec<Range<usize>> {
    let least = (count / (threads * 16)).max(1);
    let mut start = 0;
    std::iter::from_fn(|| {
        let left = count - start;
        // Two thirds of what would be everybody's share.
        let size = (left * 2 / (threads * 3)).max(least).min(left);
        let range = start..start + size;
        start = range.end;
        (size > 0).then_some(range)
    })
    .collect()
}

/// [`share`] of pieces of `size` elements, the last one shorter.
pub(crate) fn share_pieces<T: Send>(
    of: &mut [T],
    size: usize,
    work: impl Fn(usize, &mut [T]) + Sync,
) {
    struct Start<T>(*mut T);
    // SAFETY: each job touches a piece of its own, and `T` may change threads.
    unsafe impl<T: Send> Sync for Start<T> {}

    let (length, start) = (of.len(), Start(of.as_mut_ptr()));
    share(length.div_ceil(size), |job| {
        // The whole of it, not the pointer in it.
        let start = &start;
        let from = job * size;
        // SAFETY: inside of `of`, which is borrowed for as long as jobs run,
        // and no two pieces have an element in common.
        let piece =
            unsafe { std::slice::from_raw_parts_mut(start.0.add(from), size.min(length - from)) };
        work(job, piece);
    });
}

/// What [`share`] of that many jobs gives, in their order.
pub(crate) fn collect<T: Send + Sync>(jobs: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let results: Vec<OnceLock<T>> = (0..jobs).map(|_| OnceLock::new()).collect();
    share(jobs, |job| {
        results[job].set(work(job)).ok();
    });
    let results = results.into_iter().map(OnceLock::into_inner);
    results.flatten().collect()
}

/// A line of the cache of its own, so that who waits for one number does not
/// slow down who changes another.
#[derive(Default)]
#[repr(align(64))]
struct Line<T>(T);

/// The jobs that are shared out at the moment.
#[derive(Clone, Copy)]
struct Task {
    work: *const (dyn Fn(usize) + Sync),
    jobs: usize,
}

#[derive(Default)]
struct Team {
    /// Odd while a task is open. Goes up when one is opened or closed.
    turn: Line<AtomicUsize>,
    /// The next job of the task.
    next: Line<AtomicUsize>,
    /// Helpers that may look at the task.
    inside: Line<AtomicUsize>,
    over: Line<AtomicBool>,
    task: UnsafeCell<Option<Task>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `task` is written by the leader alone, while no task is open and
// no helper inside; see `enter`.
unsafe impl Sync for Team {}

impl Team {
    fn share(&self, jobs: usize, work: &(dyn Fn(usize) + Sync)) {
        let work: *const (dyn Fn(usize) + Sync + '_) = work;
        // SAFETY: only the lifetime changes, and `Open` does not let this
        // function end before all helpers have left the task.
        let work = unsafe {
            std::mem::transmute::<
                *const (dyn Fn(usize) + Sync + '_),
                *const (dyn Fn(usize) + Sync + 'static),
            >(work)
        };
        let task = Task { work, jobs };
        // SAFETY: no task is open, and the last one was left by all.
        unsafe { *self.task.get() = Some(task) };
        self.next.0.store(0, Ordering::Relaxed);
        self.turn.0.fetch_add(1, Ordering::SeqCst);
        let open = Open(self);
        // SAFETY: the task is open.
        unsafe { self.work_off(task) };
        drop(open);
        let panic = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(panic) = { panic }.take() {
            resume_unwind(panic);
        }
    }

    /// # Safety
    ///
    /// The task must be open, or this thread inside of it.
    unsafe fn work_off(&self, task: Task) {
        // SAFETY: promised by the caller.
        let work = unsafe { &*task.work };
        loop {
            let job = self.next.0.fetch_add(1, Ordering::Relaxed);
            if job >= task.jobs {
                return;
            }
            work(job);
        }
    }

    /// Does jobs until the leader is done.
    fn help(&self) {
        // A leader that waits for other work of its pool may come by here. It
        // would wait for the end of its own pass, or of one that waits for it.
        if PASSES.get() > 0 {
            return;
        }
        let (mut done, mut looks) = (0, 0);
        while !self.over.0.load(Ordering::Acquire) {
            let turn = self.turn.0.load(Ordering::Acquire);
            if turn % 2 == 1 && turn != done {
                self.enter(turn);
                (done, looks) = (turn, 0);
            } else {
                wait(&mut looks, true);
            }
        }
    }

    fn enter(&self, turn: usize) {
        self.inside.0.fetch_add(1, Ordering::SeqCst);
        // Still open? Then its end comes after this in the one order of all
        // such accesses, and the leader, who looks who is inside after that,
        // waits for this thread.
        if self.turn.0.load(Ordering::SeqCst) == turn {
            // SAFETY: the leader writes it only when nobody is inside.
            let task = unsafe { *self.task.get() };
            let done = catch_unwind(AssertUnwindSafe(|| {
                if let Some(task) = task {
                    // SAFETY: this thread is inside.
                    unsafe { self.work_off(task) };
                }
            }));
            if let Err(panic) = done {
                *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
        }
        self.inside.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Waits for a moment, and longer when it has waited often.
fn wait(looks: &mut u32, for_jobs: bool) {
    *looks = looks.saturating_add(1);
    if for_jobs && looks.is_multiple_of(LOOKS_AT_POOL) {
        // What others, or candle's operations, gave the pool.
        while matches!(rayon::yield_now(), Some(rayon::Yield::Executed)) {}
    }
    if *looks < LOOKS {
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}

/// Closes a task and waits until all helpers have left it.
struct Open<'a>(&'a Team);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.turn.0.fetch_add(1, Ordering::SeqCst);
        let mut looks = 0;
        while self.0.inside.0.load(Ordering::SeqCst) > 0 {
            wait(&mut looks, false);
        }
    }
}

/// Tells the helpers that all is over, and the thread whom it led before.
struct Led<'a> {
    team: &'a Team,
    before: Option<*const Team>,
}

impl<'a> Led<'a> {
    fn of(team: &'a Team) -> Self {
        let before = LED.replace(Some(team));
        PASSES.set(PASSES.get() + 1);
        Self { team, before }
    }
}

impl Drop for Led<'_> {
    fn drop(&mut self) {
        LED.set(self.before);
        PASSES.set(PASSES.get() - 1);
        self.team.over.0.store(true, Ordering::Release);
    }
}

/// Gives a thread its team back.
struct Back(*const Team);

impl Drop for Back {
    fn drop(&mut self) {
        LED.set(Some(self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.expect("a pool").install(work)
    }

    #[test]
    fn every_job_is_done_once_and_before_it_returns() {
        for threads in [1, 2, 5] {
            in_pool(threads, || {
                as_team(|| {
                    for jobs in (0..40).chain([1000; 50]) {
                        let counts: Vec<_> = (0..jobs).map(|_| AtomicUsize::new(0)).collect();
                        share(jobs, |job| {
                            counts[job].fetch_add(1, Ordering::Relaxed);
                        });
                        assert!(
                            counts
                                .iter()
                                .all(|count| count.load(Ordering::Relaxed) == 1)
                        );
                    }
                });
            });
        }
    }

    #[test]
    fn ranges_are_all_of_it_and_become_smaller() {
        for threads in [1, 2, 7, 64] {
            for count in [0, 1, 2, 16, 96, 97, 560, 9496] {
                let ranges = ranges(count, threads);
                let mut end = 0;
                for range in &ranges {
                    assert!(range.start == end && range.end > end);
                    end = range.end;
                }
                assert_eq!(end, count);
                let sizes: Vec<_> = ranges.iter().map(Range::len).collect();
                assert!(sizes.is_sorted_by(|one, next| one >= next), "{sizes:?}");
                assert!(sizes.len() <= 20 * threads, "{sizes:?}");
            }
        }
    }

    #[test]
    fn without_a_team_the_pool_does_it() {
        let found = in_pool(3, || collect(100, |job| job * job));
        assert_eq!(found, (0..100).map(|job| job * job).collect::<Vec<_>>());
        assert_eq!(collect(3, |job| job), [0, 1, 2]);
    }

    #[test]
    fn helpers_do_jobs_too() {
        // Neither job ends before both have begun.
        let begun = AtomicUsize::new(0);
        in_pool(2, || {
            as_team(|| {
                share(2, |_| {
                    begun.fetch_add(1, Ordering::SeqCst);
                    while begun.load(Ordering::SeqCst) < 2 {
                        std::thread::yield_now();
                    }
                });
            });
        });
        assert_eq!(begun.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn pieces_are_all_of_it() {
        in_pool(2, || {
            as_team(|| {
                for size in [1, 3, 7, 100] {
                    let mut numbers = vec![0; 20];
                    share_pieces(&mut numbers, size, |job, piece| {
                        for (index, number) in piece.iter_mut().enumerate() {
                            *number = job * size + index;
                        }
                    });
                    assert!(numbers.iter().enumerate().all(|(index, x)| index == *x));
                }
            });
        });
    }

    #[test]
    fn other_work_of_the_pool_is_done_meanwhile() {
        let sum: usize = in_pool(2, || {
            as_team(|| (0..10_000_usize).into_par_iter().with_max_len(1).sum())
        });
        assert_eq!(sum, 49_995_000);
    }

    #[test]
    fn jobs_of_jobs_and_teams_of_teams_work() {
        let count = AtomicUsize::new(0);
        in_pool(3, || {
            as_team(|| {
                as_team(|| {
                    share(4, |_| {
                        share(5, |_| {
                            count.fetch_add(1, Ordering::Relaxed);
                        });
                    });
                });
                share(3, |_| {
                    count.fetch_add(1, Ordering::Relaxed);
                });
            });
        });
        assert_eq!(count.load(Ordering::Relaxed), 23);
    }

    /// Two models: their passes come to the same threads.
    #[test]
    fn passes_beside_each_other_come_to_an_end() {
        for threads in 1..4 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let pool = pool.expect("a pool");
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        for round in 0..200_usize {
                            let sum: usize = pool.install(|| {
                                as_team(|| {
                                    let squares = collect(7, |job| job * round);
                                    let others = (0..50_usize).into_par_iter().with_max_len(1);
                                    squares.iter().sum::<usize>() + others.sum::<usize>()
                                })
                            });
                            assert_eq!(sum, 21 * round + 1225);
                        }
                    });
                }
            });
        }
    }

    #[test]
    fn a_panic_reaches_the_leader_and_the_pool_goes_on() {
        for whose in 0..2 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build();
            let pool = pool.expect("a pool");
            let begun = AtomicUsize::new(0);
            let leader = Mutex::new(None);
            let panic = catch_unwind(AssertUnwindSafe(|| {
                pool.install(|| {
                    as_team(|| {
                        *leader.lock().expect("no panic") = Some(std::thread::current().id());
                        share(2, |_| {
                            begun.fetch_add(1, Ordering::SeqCst);
                            while begun.load(Ordering::SeqCst) < 2 {
                                std::thread::yield_now();
                            }
                            let here = std::thread::current().id();
                            let leads = *leader.lock().expect("no panic") == Some(here);
                            assert!(leads == (whose == 0), "on purpose");
                        });
                    });
                });
            }));
            assert!(panic.is_err());
            assert_eq!(pool.install(|| as_team(|| collect(9, |job| job))).len(), 9);
        }
    }
}
