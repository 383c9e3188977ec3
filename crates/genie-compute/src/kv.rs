//! Keys and values of what a decoder has read, in pages.
//!
//! A page holds the keys and values of [`KvPages::PAGE`] positions of all
//! layers, in the order in which attention reads them. Sequences share pages
//! that they have in common and copy one before they change it
//! (<https://arxiv.org/abs/2309.06180>).

use std::sync::Arc;

use candle_core::{CpuStorage, Result, Storage, Tensor, bail};
use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::panel::LANES;

/// What keys and values are stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvPrecision {
    /// 16 bits: what lies beyond 65,504 is stored as that.
    Half,
    /// 32 bits, as they were computed.
    Single,
}

/// What a model's keys and values look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvShape {
    /// Layers, each of which has its own.
    pub layers: usize,
    /// Heads that have keys.
    pub heads: usize,
    /// Components of a head.
    pub width: usize,
    /// What they are stored as.
    pub precision: KvPrecision,
}

impl KvShape {
    /// Bytes of a page.
    #[must_use]
    pub const fn page_bytes(&self) -> usize {
        let bytes = match self.precision {
            KvPrecision::Half => size_of::<f16>(),
            KvPrecision::Single => size_of::<f32>(),
        };
        bytes * self.layers * self.layer()
    }

    /// Numbers of a layer: its keys, then its values.
    const fn layer(&self) -> usize {
        self.heads * (self.keys() + self.values())
    }

    /// Numbers of a head's keys, `[width, LANES]`: a position is a lane.
    const fn keys(&self) -> usize {
        self.width * LANES
    }

    /// Numbers of a head's values, `[width / LANES, positions, LANES]`, with
    /// zeros behind the last component.
    const fn values(&self) -> usize {
        self.width.next_multiple_of(LANES) * KvPages::PAGE
    }

    /// Where a head's keys begin.
    const fn keys_of(&self, layer: usize, head: usize) -> usize {
        layer * self.layer() + head * self.keys()
    }

    /// Where a head's values begin.
    const fn values_of(&self, layer: usize, head: usize) -> usize {
        layer * self.layer() + self.heads * self.keys() + head * self.values()
    }
}

/// Keys and values of [`KvPages::PAGE`] positions.
#[derive(Debug, Clone)]
pub struct KvPage(Numbers);

#[derive(Debug, Clone)]
enum Numbers {
    Half(Box<[f16]>),
    Single(Box<[f32]>),
}

impl KvPage {
    fn new(shape: &KvShape) -> Self {
        let count = shape.layers * shape.layer();
        Self(match shape.precision {
            KvPrecision::Half => Numbers::Half(vec![f16::ZERO; count].into()),
            KvPrecision::Single => Numbers::Single(vec![0.0; count].into()),
        })
    }

    fn halves(&mut self) -> &mut [f16] {
        match &mut self.0 {
            Numbers::Half(numbers) => numbers,
            Numbers::Single(_) => &mut [],
        }
    }

    fn floats(&mut self) -> &mut [f32] {
        match &mut self.0 {
            Numbers::Single(numbers) => numbers,
            Numbers::Half(_) => &mut [],
        }
    }

    /// Writes down some of its numbers as floats.
    fn unpack(&self, start: usize, floats: &mut [f32]) {
        let part = start..start + floats.len();
        match &self.0 {
            Numbers::Half(numbers) => numbers[part].convert_to_f32_slice(floats),
            Numbers::Single(numbers) => floats.copy_from_slice(&numbers[part]),
        }
    }
}

/// The pages of a sequence.
#[derive(Debug, Clone)]
pub struct KvPages {
    shape: KvShape,
    pages: Vec<Arc<KvPage>>,
}

impl KvPages {
    /// Positions of a page.
    pub const PAGE: usize = LANES;

    /// Without any.
    #[must_use]
    pub const fn new(shape: KvShape) -> Self {
        Self {
            shape,
            pages: Vec::new(),
        }
    }

    /// What its model's keys and values look like.
    #[must_use]
    pub const fn shape(&self) -> &KvShape {
        &self.shape
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.pages.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// The page with that number, to be shared.
    #[must_use]
    pub fn page(&self, index: usize) -> Option<Arc<KvPage>> {
        self.pages.get(index).cloned()
    }

    /// Puts a page of a sequence of the same model behind the others.
    pub fn push(&mut self, page: Arc<KvPage>) {
        self.pages.push(page);
    }

    /// Drops the pages behind the first `count`.
    pub fn truncate(&mut self, count: usize) {
        self.pages.truncate(count);
    }

    /// Writes a layer's keys and values, each `[heads, count, width]`, from
    /// the position `start` on, into new pages where there are none yet. A
    /// page that others hold too is copied first.
    ///
    /// # Errors
    ///
    /// Fails on a layer that there is not, on another shape, on tensors that
    /// are not single precision and in one piece on the processor, and where
    /// pages before `start` are missing.
    pub fn write(
        &mut self,
        layer: usize,
        start: usize,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<()> {
        let KvShape { heads, width, .. } = self.shape;
        let (_, count, _) = keys.dims3()?;
        let fits = keys.dims() == [heads, count, width]
            && keys.dims() == values.dims()
            && layer < self.shape.layers
            && start <= self.pages.len() * Self::PAGE;
        if !fits {
            bail!(
                "keys {:?} and values {:?} of layer {layer} at {start}, for {:?}",
                keys.shape(),
                values.shape(),
                self.shape
            );
        }
        while self.pages.len() * Self::PAGE < start + count {
            self.pages.push(Arc::new(KvPage::new(&self.shape)));
        }
        with_floats(keys, |keys| {
            with_floats(values, |values| match self.shape.precision {
                KvPrecision::Half => {
                    let (keys, values) = (halves(keys), halves(values));
                    self.scatter(layer, start, count, [&keys, &values], KvPage::halves);
                }
                KvPrecision::Single => {
                    self.scatter(layer, start, count, [keys, values], KvPage::floats);
                }
            })
        })?
    }

    /// Writes keys and values, each `[heads, count, width]`, into pages whose
    /// numbers `of` gives.
    fn scatter<T: Copy>(
        &mut self,
        layer: usize,
        start: usize,
        count: usize,
        [keys, values]: [&[T]; 2],
        of: impl Fn(&mut KvPage) -> &mut [T],
    ) {
        let shape = self.shape;
        for position in start..start + count {
            let numbers = of(Arc::make_mut(&mut self.pages[position / Self::PAGE]));
            let lane = position % Self::PAGE;
            for head in 0..shape.heads {
                let row = (head * count + position - start) * shape.width;
                let lanes = numbers[shape.keys_of(layer, head)..].iter_mut();
                let key = &keys[row..row + shape.width];
                for (number, x) in lanes.skip(lane).step_by(LANES).zip(key) {
                    *number = *x;
                }
                let columns = &mut numbers[shape.values_of(layer, head)..];
                let columns = columns.chunks_exact_mut(Self::PAGE * LANES);
                let value = values[row..row + shape.width].chunks(LANES);
                for (column, x) in columns.zip(value) {
                    column[lane * LANES..][..x.len()].copy_from_slice(x);
                }
            }
        }
    }

    /// The keys, `[LANES, width, LANES]` a page, and values, `[width / LANES,
    /// positions, LANES]`, of a head in a few pages from `first` on, as far
    /// as there are any.
    pub(crate) fn unpack(
        &self,
        layer: usize,
        head: usize,
        first: usize,
        keys: &mut [[f32; LANES]],
        values: &mut [[f32; LANES]],
    ) {
        let (keys, values) = (keys.as_flattened_mut(), values.as_flattened_mut());
        let panels = keys.chunks_exact_mut(self.shape.keys());
        let positions = panels.len() * Self::PAGE;
        for (index, (page, keys)) in self.pages[first..].iter().zip(panels).enumerate() {
            page.unpack(self.shape.keys_of(layer, head), keys);
            let start = self.shape.values_of(layer, head);
            let columns = values.chunks_exact_mut(positions * LANES);
            for (column, values) in columns.enumerate() {
                let size = Self::PAGE * LANES;
                let values = &mut values[index * size..][..size];
                page.unpack(start + column * size, values);
            }
        }
    }
}

/// Floats in 16 bits, the largest there are where they are larger.
fn halves(x: &[f32]) -> Vec<f16> {
    let most = f32::from(f16::MAX);
    let within: Vec<f32> = x.iter().map(|x| x.clamp(-most, most)).collect();
    let mut halves = vec![f16::ZERO; x.len()];
    halves.convert_from_f32_slice(&within);
    halves
}

/// Hands the floats of a tensor to `work`.
fn with_floats<T>(x: &Tensor, work: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let (storage, layout) = x.storage_and_layout();
    let (Storage::Cpu(CpuStorage::F32(floats)), Some((from, to))) =
        (&*storage, layout.contiguous_offsets())
    else {
        bail!("floats in one piece on the processor are needed, not {x:?}");
    };
    Ok(work(&floats[from..to]))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    const SHAPE: KvShape = KvShape {
        layers: 2,
        heads: 3,
        width: 20,
        precision: KvPrecision::Half,
    };

    fn rows(count: usize, seed: usize) -> Result<Tensor> {
        // Whole numbers, which 16 bits hold.
        let numbers = (0..SHAPE.heads * count * SHAPE.width).map(|i| ((i + seed) % 2000) as f32);
        let shape = (SHAPE.heads, count, SHAPE.width);
        Tensor::from_iter(numbers, &Device::Cpu)?.reshape(shape)
    }

    /// Keys and values of a head, position by position.
    fn read(pages: &KvPages, layer: usize, head: usize) -> [Vec<Vec<f32>>; 2] {
        let count = pages.len() * KvPages::PAGE;
        let mut keys = vec![[0.0; LANES]; pages.len() * SHAPE.width];
        let mut values = vec![[0.0; LANES]; count * SHAPE.width.div_ceil(LANES)];
        pages.unpack(layer, head, 0, &mut keys, &mut values);
        let key = |position: usize| {
            let page = &keys[position / LANES * SHAPE.width..][..SHAPE.width];
            page.iter().map(|lanes| lanes[position % LANES]).collect()
        };
        let value = |position: usize| {
            let columns = values.chunks_exact(count).map(|column| column[position]);
            let row: Vec<f32> = columns.flatten().collect();
            assert!(row[SHAPE.width..].iter().all(|x| *x == 0.0));
            row[..SHAPE.width].to_vec()
        };
        [
            (0..count).map(key).collect(),
            (0..count).map(value).collect(),
        ]
    }

    #[test]
    fn what_is_written_is_read() -> Result<()> {
        for precision in [KvPrecision::Half, KvPrecision::Single] {
            let mut pages = KvPages::new(KvShape { precision, ..SHAPE });
            let mut start = 0;
            for count in [1, 5, 16, 30, 3] {
                for layer in 0..2 {
                    let [keys, values] = [layer, layer + 500].map(|seed| rows(count, seed));
                    pages.write(layer, start, &keys?, &values?)?;
                }
                for layer in 0..2 {
                    for head in 0..3 {
                        let found = read(&pages, layer, head);
                        for (found, seed) in found.iter().zip([layer, layer + 500]) {
                            let wanted = rows(count, seed)?.get(head)?.to_vec2::<f32>()?;
                            assert_eq!(found[start..start + count], wanted);
                        }
                    }
                }
                start += count;
            }
            assert_eq!(pages.len(), 55_usize.div_ceil(KvPages::PAGE));
        }
        Ok(())
    }

    #[test]
    fn shared_pages_stay_as_they_are() -> Result<()> {
        let mut first = KvPages::new(SHAPE);
        first.write(0, 0, &rows(20, 0)?, &rows(20, 7)?)?;
        let mut second = first.clone();
        second.write(0, 18, &rows(5, 900)?, &rows(5, 907)?)?;
        let alike = |index: usize| match (first.page(index), second.page(index)) {
            (Some(first), Some(second)) => Arc::ptr_eq(&first, &second),
            _ => false,
        };
        assert!(alike(0) && !alike(1));
        let [before, after] = [&first, &second].map(|pages| read(pages, 0, 2));
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(before[..18], after[..18]);
            assert_ne!(before[18..20], after[18..20]);
        }
        Ok(())
    }

    #[test]
    fn what_is_too_large_for_16_bits_stays_finite() -> Result<()> {
        let mut pages = KvPages::new(SHAPE);
        let large = (rows(1, 1)? * 1e30)?;
        pages.write(1, 0, &large, &large.neg()?)?;
        let [keys, values] = read(&pages, 1, 0);
        assert_eq!(keys[0][0], 65_504.0);
        assert_eq!(values[0][0], -65_504.0);
        Ok(())
    }

    #[test]
    fn what_does_not_fit_is_an_error() -> Result<()> {
        let mut pages = KvPages::new(SHAPE);
        let good = rows(2, 0)?;
        assert!(pages.write(2, 0, &good, &good).is_err());
        assert!(pages.write(0, 1, &good, &good).is_err());
        assert!(pages.write(0, 0, &good, &rows(3, 0)?).is_err());
        let narrow = good.narrow(2, 0, 4)?.contiguous()?;
        assert!(pages.write(0, 0, &narrow, &narrow).is_err());
        assert!(pages.is_empty());
        assert_eq!(SHAPE.page_bytes(), 2 * 2 * 3 * 16 * (20 + 32));
        Ok(())
    }
}
