//! Products of quantized matrices and the parts of a layer, and what the machine can do at most:
//! `cargo bench -p genie-compute --bench kernels`.
//!
//! Criterion's figures of one bench may be taken in a quieter minute than
//! those of the next. The table that follows them is for comparing: limits
//! and kernels take turns in short runs, and of each the best run counts,
//! since all that other programs do is to slow runs down. `-- --shares` gives
//! the table alone.

#![expect(clippy::expect_used, reason = "a bench that can't go on stops")]

mod limits;
mod parts;

use std::hint::black_box;
use std::time::Duration;

use candle_core::quantized::GgmlDType;
use candle_core::{Device, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput};
use genie_compute::{Kernel, QuantizedMatrix};

const TYPES: [GgmlDType; 7] = [
    GgmlDType::Q4_0,
    GgmlDType::Q4_1,
    GgmlDType::Q5_0,
    GgmlDType::Q8_0,
    GgmlDType::Q4K,
    GgmlDType::Q5K,
    GgmlDType::Q6K,
];

/// Columns of input: those of a model with 1.5 billion weights.
const COLUMNS: usize = 1536;
/// Rows of a matrix that is met by many rows of input. It fits in the last cache.
const SMALL: usize = 2048;
/// Rows of a matrix that is met by one row: more than a cache holds.
const LARGE: usize = 65_536;
/// Rows of a part of a prompt.
const PROMPT: usize = 64;
const ROUNDS: usize = 40;

/// A matrix of bytes that look random, with scales near one.
fn matrix(dtype: GgmlDType, rows: usize, kernel: Kernel) -> QuantizedMatrix {
    matrix_of(dtype, [rows, COLUMNS], kernel)
}

fn matrix_of(dtype: GgmlDType, [rows, columns]: [usize; 2], kernel: Kernel) -> QuantizedMatrix {
    let blocks = rows * columns / dtype.block_size();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut bytes = vec![0; blocks * dtype.type_size()];
    bytes.fill_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as u8
    });
    let scales: &[usize] = match dtype {
        GgmlDType::Q4_1 | GgmlDType::Q4K | GgmlDType::Q5K => &[0, 2],
        GgmlDType::Q6K => &[208],
        _ => &[0],
    };
    for block in bytes.chunks_exact_mut(dtype.type_size()) {
        for at in scales {
            block[*at..at + 2].copy_from_slice(&[0x00, 0x24]);
        }
    }
    QuantizedMatrix::new(dtype, rows, columns, &bytes)
        .expect("the bytes of a matrix")
        .with_kernel(kernel)
}

fn input(rows: usize) -> Tensor {
    let numbers = (0..rows * COLUMNS).map(|index| ((index * 7919) % 2003) as f32 - 1001.0);
    Tensor::from_iter(numbers, &Device::Cpu)
        .and_then(|tensor| tensor.reshape((rows, COLUMNS)))
        .expect("as many numbers")
}

/// The kernels worth a measurement: not the one that takes one number at a
/// time.
fn kernels() -> impl Iterator<Item = Kernel> {
    let all = Kernel::available().iter().copied();
    all.filter(|kernel| *kernel != Kernel::Portable)
}

/// One thread, as a loop of instructions is measured on one.
fn alone<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    pool.expect("a pool").install(work)
}

fn with_criterion(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limits");
    for limit in limits::multiplications() {
        group.throughput(Throughput::Elements(limit.multiplications(10_000)));
        group.bench_function(limit.name, |bencher| bencher.iter(|| limit.run(10_000)));
    }
    let memory = limits::memory();
    group.throughput(Throughput::Bytes(8 * memory.len() as u64));
    group.sample_size(20);
    group.bench_function("memory", |bencher| bencher.iter(|| limits::read(&memory)));
    group.finish();

    for (name, rows, prompt) in [
        ("prompt", SMALL, PROMPT),
        ("eight", SMALL, 8),
        ("token", LARGE, 1),
    ] {
        let x = input(prompt);
        let mut group = criterion.benchmark_group(name);
        group
            .sample_size(20)
            .measurement_time(Duration::from_secs(2));
        for dtype in TYPES {
            for kernel in kernels() {
                let matrix = matrix(dtype, rows, kernel);
                group.throughput(if prompt == 1 {
                    Throughput::Bytes(matrix.bytes() as u64)
                } else {
                    Throughput::Elements((rows * COLUMNS * prompt) as u64)
                });
                let id = BenchmarkId::new(format!("{dtype:?}"), format!("{kernel:?}"));
                let forward = || matrix.forward(black_box(&x)).expect("shapes fit");
                group.bench_function(id, |bencher| {
                    if prompt == 1 {
                        bencher.iter(forward);
                    } else {
                        alone(|| bencher.iter(forward));
                    }
                });
            }
        }
        group.finish();
    }
}

/// Seconds that something takes.
fn seconds(work: impl FnOnce()) -> f64 {
    let start = own();
    work();
    (own() - start).as_secs_f64()
}

/// Time that this thread was running: other programs on a busy machine do
/// not count then.
#[cfg(target_os = "linux")]
fn own() -> Duration {
    #[repr(C)]
    struct Time {
        seconds: i64,
        nanoseconds: i64,
    }
    // SAFETY: as the C library on 64-bit Linux declares it.
    unsafe extern "C" {
        fn clock_gettime(clock: i32, time: *mut Time) -> i32;
    }
    const THREAD: i32 = 3;
    let mut time = Time {
        seconds: 0,
        nanoseconds: 0,
    };
    // SAFETY: there is such a clock, and `time` is written to.
    unsafe { clock_gettime(THREAD, &raw mut time) };
    Duration::new(time.seconds as u64, time.nanoseconds as u32)
}

/// Time that went by.
#[cfg(not(target_os = "linux"))]
fn own() -> Duration {
    static START: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    START.elapsed()
}

/// A line of the table.
fn line(name: &str, rate: f64, most: f64) {
    println!(
        "| {name} | {:.1} | {:.0} % |",
        rate / 1e9,
        rate / most * 100.0
    );
}

/// Products on one thread, in multiply-adds a second.
fn products(prompt: usize) {
    let limits = limits::multiplications();
    let x = input(prompt);
    println!(
        "\n| {prompt} rows of input, billions of multiply-adds a second, one thread | | of the loop |\n|---|---|---|"
    );
    let mut most = vec![0f64; limits.len()];
    let cases: Vec<_> = TYPES
        .into_iter()
        .flat_map(|dtype| kernels().map(move |kernel| (dtype, kernel)))
        .map(|(dtype, kernel)| (dtype, kernel, matrix(dtype, SMALL, kernel)))
        .collect();
    let mut best = vec![0f64; cases.len()];
    alone(|| {
        for _ in 0..ROUNDS {
            for (most, limit) in most.iter_mut().zip(&limits) {
                let rate = limit.multiplications(20_000) as f64;
                *most = most.max(rate / seconds(|| limit.run(20_000)));
            }
            for (best, (_, _, matrix)) in best.iter_mut().zip(&cases) {
                let time = seconds(|| {
                    black_box(matrix.forward(&x).expect("shapes fit"));
                });
                *best = best.max((SMALL * COLUMNS * prompt) as f64 / time);
            }
        }
    });
    for (limit, most) in limits.iter().zip(&most) {
        line(limit.name, *most, *most);
    }
    for ((dtype, kernel, _), best) in cases.iter().zip(best) {
        let limit = limits.iter().position(|limit| limit.kernel == *kernel);
        let most = limit.map_or(best, |limit| most[limit]);
        line(&format!("{dtype:?}, {kernel:?}"), best, most);
    }
}

/// Products with one row on one thread, in bytes of weights a second.
fn reading() {
    let memory = limits::memory();
    let x = input(1);
    println!("\n| one row of input, GB/s, one thread | | of reading alone |\n|---|---|---|");
    for dtype in TYPES {
        for kernel in kernels() {
            let matrix = matrix(dtype, LARGE, kernel);
            let (mut most, mut best) = (0f64, 0f64);
            alone(|| {
                for _ in 0..ROUNDS / 4 {
                    let time = seconds(|| limits::read(&memory));
                    most = most.max(8.0 * memory.len() as f64 / time);
                    let time = seconds(|| {
                        black_box(matrix.forward(&x).expect("shapes fit"));
                    });
                    best = best.max(matrix.bytes() as f64 / time);
                }
            });
            let name = format!("{dtype:?}, {kernel:?}; reading {:.1}", most / 1e9);
            line(&name, best, most);
        }
    }
}

fn shares() {
    for prompt in [PROMPT, 8] {
        products(prompt);
    }
    reading();
    parts::shares();
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `--shares` alone: the table and nothing else.
    if !arguments.iter().any(|argument| argument == "--shares") {
        let mut criterion = Criterion::default().configure_from_args();
        with_criterion(&mut criterion);
        parts::with_criterion(&mut criterion);
        criterion.final_summary();
    }
    // A test run or a filter wants no table.
    if arguments
        .iter()
        .all(|argument| argument == "--bench" || argument == "--shares")
    {
        shares();
    }
}
