//! How many threads inference uses, and which work shares them.

use std::sync::OnceLock;

/// The thread pool is already running with another size.
#[derive(Debug, thiserror::Error)]
#[error("the number of inference threads can be set only once, before the first model is loaded")]
pub struct ThreadsError(#[source] rayon::ThreadPoolBuildError);

/// The cores of this machine; hyper-threads are not counted, since inference
/// is bound by arithmetic units and memory.
#[must_use]
pub fn physical_cores() -> usize {
    num_cpus::get_physical().max(1)
}

/// Sizes the pool that candle's kernels run on; 0 is one thread a core.
///
/// # Errors
///
/// Fails when the pool has been used before.
pub fn set_threads(threads: usize) -> Result<(), ThreadsError> {
    let threads = if threads == 0 {
        physical_cores()
    } else {
        threads
    };
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("inference-{index}"))
        .build_global()
        .map_err(ThreadsError)
}

/// Runs `work` on a thread of the pool and waits for it. The hundreds of
/// products of one step are then shared out from inside, which costs less than
/// waking the pool from another thread for each of them.
///
/// `work` must not wait for other work on the pool.
pub fn on_pool<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| work())
}

/// Runs `work` as [`on_pool`] does, on as many threads that nothing else uses:
/// for what takes long, such as a pass of a language model. A pool works off
/// what it has begun before it takes what comes from outside, so a search's
/// milliseconds would wait for seconds of a prompt; between two pools the
/// operating system divides the cores.
///
/// `work` must not wait for other work of this kind.
pub fn on_pool_for_long<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    static POOL: OnceLock<Option<rayon::ThreadPool>> = OnceLock::new();
    let pool = POOL.get_or_init(|| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(rayon::current_num_threads())
            .thread_name(|index| format!("long-{index}"))
            .build()
            .inspect_err(|error| tracing::warn!(%error, "long work has no threads of its own"))
            .ok()
    });
    match pool {
        Some(pool) => pool.install(work),
        None => on_pool(work),
    }
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;

    #[test]
    fn long_work_does_not_keep_the_pool() {
        let (begun, wait_begun) = std::sync::mpsc::channel();
        let (release, wait_release) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // As much of it as there are threads.
                let wait_release = std::sync::Mutex::new(wait_release);
                on_pool_for_long(|| {
                    begun.send(()).ok();
                    (0..64).into_par_iter().for_each(|_| {
                        wait_release.lock().expect("no panic").recv().ok();
                    });
                });
            });
            wait_begun.recv().expect("it begins");
            let sum: u32 = on_pool(|| (0..1000_u32).into_par_iter().sum());
            assert_eq!(sum, 499_500);
            drop(release);
        });
    }
}
