//! Products of quantized matrices, and what the machine can do at most:
//! `cargo bench -p genie-compute --bench kernels`.
//!
//! Criterion's figures of one bench may be taken in a quieter minute than
//! those of the next. The table that follows them is for comparing: in each
//! round a limit and all kernels are measured one right after the other, and
//! shares are those of a round, the median of the rounds.

mod limits;

use std::hint::black_box;
use std::time::{Duration, Instant};

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
/// Rows of a matrix that is met by many rows of input. It stays in the cache.
const SMALL: usize = 512;
/// Rows of a matrix that is met by one row: more than a cache holds.
const LARGE: usize = 65_536;
/// Rows of a part of a prompt.
const PROMPT: usize = 256;
const ROUNDS: usize = 9;

/// A matrix of bytes that look random, with scales near one.
fn matrix(dtype: GgmlDType, rows: usize, kernel: Kernel) -> QuantizedMatrix {
    let blocks = rows * COLUMNS / dtype.block_size();
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
    QuantizedMatrix::new(dtype, rows, COLUMNS, &bytes)
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

/// Seconds of the fastest of a few runs: what else the machine does only
/// adds to them.
fn seconds(mut work: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// A line of the table: the median of the rounds.
fn line(name: &str, rates: Vec<f64>, shares: Vec<f64>) {
    let (rate, share) = (median(rates) / 1e9, median(shares) * 100.0);
    println!("| {name} | {rate:.1} | {share:.0} % |");
}

fn shares() {
    let limits = limits::multiplications();
    println!("\n| billions of multiply-adds a second, one thread | | of the most |\n|---|---|---|");
    for limit in &limits {
        let rate = |_| limit.multiplications(1_000_000) as f64 / seconds(|| limit.run(1_000_000));
        line(limit.name, (0..3).map(rate).collect(), vec![1.0; 3]);
    }
    for prompt in [PROMPT, 8] {
        let x = input(prompt);
        for dtype in TYPES {
            for kernel in kernels() {
                let limit = limits::of(&limits, kernel);
                let matrix = matrix(dtype, SMALL, kernel);
                let (mut rates, mut shares) = (Vec::new(), Vec::new());
                alone(|| {
                    for _ in 0..ROUNDS {
                        let most =
                            limit.multiplications(100_000) as f64 / seconds(|| limit.run(100_000));
                        let time = seconds(|| {
                            black_box(matrix.forward(&x).expect("shapes fit"));
                        });
                        let rate = (SMALL * COLUMNS * prompt) as f64 / time;
                        rates.push(rate);
                        shares.push(rate / most);
                    }
                });
                line(
                    &format!("{dtype:?}, {prompt} rows, {kernel:?}"),
                    rates,
                    shares,
                );
            }
        }
    }
    let memory = limits::memory();
    println!("\n| GB/s, all threads | | of the most |\n|---|---|---|");
    let read = |_| 8.0 * memory.len() as f64 / seconds(|| limits::read(&memory));
    line("reading alone", (0..3).map(read).collect(), vec![1.0; 3]);
    let x = input(1);
    for dtype in TYPES {
        for kernel in kernels() {
            let matrix = matrix(dtype, LARGE, kernel);
            let (mut rates, mut shares) = (Vec::new(), Vec::new());
            for round in 0..ROUNDS {
                let most = read(round);
                let time = seconds(|| {
                    black_box(matrix.forward(&x).expect("shapes fit"));
                });
                let rate = matrix.bytes() as f64 / time;
                rates.push(rate);
                shares.push(rate / most);
            }
            line(&format!("{dtype:?}, one row, {kernel:?}"), rates, shares);
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `--shares` alone: the table and nothing else.
    if !arguments.iter().any(|argument| argument == "--shares") {
        let mut criterion = Criterion::default().configure_from_args();
        with_criterion(&mut criterion);
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
