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
