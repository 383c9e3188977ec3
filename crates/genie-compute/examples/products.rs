//! How fast quantized products are here and in candle, one after the other.
//!
//! `cargo run --release -p genie-compute --example products`

use std::borrow::Cow;
use std::time::Instant;

use candle_core::quantized::{GgmlDType, QMatMul, QStorage, QTensor};
use candle_core::{Device, Module, Result, Tensor};
use genie_compute::QuantizedMatrix;

const ROWS: usize = 8960;
const COLUMNS: usize = 1536;
const RUNS: usize = 7;

fn main() -> Result<()> {
    println!("{ROWS} x {COLUMNS}, medians of {RUNS} runs, GMAC/s");
    println!("format  input rows     here   candle    ratio");
    for dtype in [
        GgmlDType::Q4_0,
        GgmlDType::Q4_1,
        GgmlDType::Q5_0,
        GgmlDType::Q8_0,
        GgmlDType::Q4K,
        GgmlDType::Q5K,
        GgmlDType::Q6K,
    ] {
        compare(dtype)?;
    }
    Ok(())
}

fn compare(dtype: GgmlDType) -> Result<()> {
    let weights = Tensor::randn(0f32, 0.05, (ROWS, COLUMNS), &Device::Cpu)?;
    let quantized = QTensor::quantize(&weights, dtype)?;
    let bytes = quantized.data()?.into_owned();
    let matrix = QuantizedMatrix::new(dtype, ROWS, COLUMNS, &bytes);
    let ours = matrix.map_err(candle_core::Error::wrap)?;
    let storage = QStorage::from_data(Cow::Owned(bytes), &Device::Cpu, dtype)?;
    let theirs = QMatMul::from_qtensor(QTensor::new(storage, (ROWS, COLUMNS))?)?;
    for count in [1, 4, 256] {
        let x = Tensor::randn(0f32, 1.0, (count, COLUMNS), &Device::Cpu)?;
        let (mut here, mut there) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            here.push(seconds(|| ours.forward(&x))?);
            there.push(seconds(|| theirs.forward(&x))?);
        }
        let work = (ROWS * COLUMNS * count) as f64 / 1e9;
        let (here, there) = (work / median(here), work / median(there));
        println!(
            "{:6}  {count:10} {here:8.1} {there:8.1} {:8.2}",
            format!("{dtype:?}"),
            here / there
        );
    }
    Ok(())
}

fn seconds(work: impl Fn() -> Result<Tensor>) -> Result<f64> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed().as_secs_f64())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
