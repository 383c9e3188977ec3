//! How many threads inference uses.

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
