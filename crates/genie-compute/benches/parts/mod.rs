//! What a layer does beside single products: attention over keys and values
//! in pages, attention of an encoder's texts, and the gated feed-forward block.

use std::hint::black_box;

use candle_core::quantized::GgmlDType;
use candle_core::{Device, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput};
use genie_compute::{
    Gate, Heads, Kernel, KvPages, KvPrecision, KvShape, QuantizedMatrix, gated_feed_forward,
    packed_attention,
};

use super::{COLUMNS, ROUNDS, alone, limits, line, matrix_of, seconds};

/// Heads of a model with 1.5 billion weights, those of its keys, and their
/// width.
const QUERIES: usize = 12;
const KEYS: usize = 2;
const WIDTH: usize = 128;
/// Columns between the products of its feed-forward block.
const INNER: usize = 8960;
/// Heads of a small encoder and their width.
const ENCODER: Heads = Heads {
    count: 12,
    width: 32,
};

/// Something to measure.
struct Part {
    name: String,
    /// Multiply-adds of one time.
    work: usize,
    run: Box<dyn Fn() + Send + Sync>,
}

fn numbers(shape: &[usize]) -> Tensor {
    let count = shape.iter().product::<usize>();
    let numbers = (0..count).map(|index| ((index * 7919) % 2003) as f32 / 1001.0 - 1.0);
    Tensor::from_iter(numbers, &Device::Cpu)
        .and_then(|tensor| tensor.reshape(shape))
        .expect("as many numbers")
}

/// The last `count` positions of `total` over all before them.
fn attention(count: usize, total: usize, precision: KvPrecision) -> Part {
    let mut pages = KvPages::new(KvShape {
        layers: 1,
        heads: KEYS,
        width: WIDTH,
        precision,
    });
    let [keys, values] = [
        numbers(&[KEYS, total, WIDTH]),
        numbers(&[KEYS, total, WIDTH]),
    ];
    pages.write(0, 0, &keys, &values).expect("shapes fit");
    let queries = numbers(&[QUERIES, count, WIDTH]);
    let seen: usize = (total - count + 1..=total).sum();
    Part {
        name: format!("attention, {count} of {total}, {precision:?}"),
        work: 2 * seen * QUERIES * WIDTH,
        run: Box::new(move || {
            black_box(pages.attend(0, &queries, total, total).expect("shapes fit"));
        }),
    }
}

/// Texts of so many tokens each.
fn encoder(texts: usize, tokens: usize) -> Part {
    let hidden = ENCODER.count * ENCODER.width;
    let qkv = numbers(&[texts * tokens * 3 * hidden]);
    let qkv = qkv.to_vec1::<f32>().expect("numbers in a row");
    let lengths = vec![tokens; texts];
    Part {
        name: format!("encoder's attention, {texts} texts of {tokens}"),
        work: 2 * texts * tokens * tokens * hidden,
        run: Box::new(move || {
            let mut context = vec![0.0; texts * tokens * hidden];
            packed_attention(&qkv, &lengths, ENCODER, &mut context);
            black_box(context);
        }),
    }
}

/// The three products of a feed-forward block with so many rows of input.
fn feed_forward(rows: usize, kernel: Kernel) -> Part {
    let make = |dtype, rows, columns| matrix_of(dtype, [rows, columns], kernel);
    let gate: QuantizedMatrix = make(GgmlDType::Q4K, INNER, COLUMNS);
    let up = make(GgmlDType::Q4K, INNER, COLUMNS);
    let down = make(GgmlDType::Q6K, COLUMNS, INNER);
    let x = numbers(&[rows, COLUMNS]);
    Part {
        name: format!("feed-forward, {rows} rows, {kernel:?}"),
        work: 3 * rows * INNER * COLUMNS,
        run: Box::new(move || {
            let matrices = [&gate, &up];
            black_box(gated_feed_forward(&x, matrices, &down, Gate::Silu).expect("shapes fit"));
        }),
    }
}

fn parts() -> Vec<Part> {
    let mut parts = vec![
        attention(256, 512, KvPrecision::Half),
        attention(256, 2048, KvPrecision::Half),
        attention(256, 2048, KvPrecision::Single),
        attention(1, 2048, KvPrecision::Half),
        attention(1, 2048, KvPrecision::Single),
        encoder(16, 128),
        encoder(4, 512),
    ];
    for rows in [1, 8, 256] {
        parts.extend(super::kernels().map(|kernel| feed_forward(rows, kernel)));
    }
    parts
}

pub(crate) fn with_criterion(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parts");
    group.sample_size(20);
    for part in parts() {
        group.throughput(Throughput::Elements(part.work as u64));
        let id = BenchmarkId::from_parameter(&part.name);
        group.bench_function(id, |bencher| alone(|| bencher.iter(|| (part.run)())));
    }
    group.finish();
}

/// Multiply-adds a second on one thread, beside those of a loop of single
/// precision from registers.
pub(crate) fn shares() {
    println!(
        "\n| parts of a layer, billions of multiply-adds a second, one thread | | of the loop of floats |\n|---|---|---|"
    );
    let parts = parts();
    let mut best = vec![0f64; parts.len()];
    let mut most = 0f64;
    alone(|| {
        for _ in 0..ROUNDS / 4 {
            if let Some(limit) = limits::floats() {
                let rate = limit.multiplications(100_000) as f64;
                most = most.max(rate / seconds(|| limit.run(100_000)));
            }
            for (best, part) in best.iter_mut().zip(&parts) {
                *best = best.max(part.work as f64 / seconds(|| (part.run)()));
            }
        }
    });
    line("vfmadd231ps, 32 bytes", most, most);
    for (part, best) in parts.iter().zip(best) {
        line(&part.name, best, most);
    }
}
