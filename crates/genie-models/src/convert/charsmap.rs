//! SentencePiece's compiled character map, built from plain replacements.
//!
//! A unigram tokenizer rewrites its input first (full-width letters, line
//! breaks, ligatures …). Both standard containers carry these rewrites as one
//! blob: a little-endian length, a double-array trie over UTF-8 bytes in the
//! layout of the Darts-clone library, and a pool of zero-terminated
//! replacement strings that the trie's leaves point into.
//! <https://github.com/s-yata/darts-clone>,
//! <https://github.com/google/sentencepiece/blob/master/doc/normalization.md>

use std::collections::BTreeMap;

/// One node of the trie before it gets its place in the array.
#[derive(Default)]
struct Node {
    children: BTreeMap<u8, Node>,
    value: Option<u32>,
}

/// Set in a cell that holds a value, so that no byte label can equal it.
const VALUE: u32 = 1 << 31;
/// Set in a cell whose children include a value, at label zero.
const HAS_LEAF: u32 = 1 << 8;
/// Offsets below this fit the cell without the scaling bit.
const PLAIN_OFFSETS: usize = 1 << 21;

/// The blob for these replacements, or `None` where the trie outgrows the
/// format's plain offsets, which takes hundreds of thousands of entries.
pub(crate) fn build(replacements: &BTreeMap<char, String>) -> Option<Vec<u8>> {
    let mut pool = Vec::new();
    let mut places: BTreeMap<&str, u32> = BTreeMap::new();
    let mut root = Node::default();
    for (from, to) in replacements {
        // A zero byte ends a string in the pool, so neither side can hold one.
        if *from == '\0' || to.contains('\0') {
            continue;
        }
        let value = match places.get(to.as_str()) {
            Some(place) => *place,
            None => {
                let place = u32::try_from(pool.len()).ok()?;
                pool.extend_from_slice(to.as_bytes());
                pool.push(0);
                places.insert(to, place);
                place
            }
        };
        let mut node = &mut root;
        for byte in from.encode_utf8(&mut [0; 4]).bytes() {
            node = node.children.entry(byte).or_default();
        }
        node.value = Some(value);
    }
    let mut array = DoubleArray::new();
    array.place(&root, 0)?;
    let cells = array.finish();
    let mut blob = Vec::with_capacity(4 + cells.len() * 4 + pool.len());
    blob.extend_from_slice(&u32::try_from(cells.len() * 4).ok()?.to_le_bytes());
    for cell in cells {
        blob.extend_from_slice(&cell.to_le_bytes());
    }
    blob.extend_from_slice(&pool);
    Some(blob)
}

struct DoubleArray {
    cells: Vec<u32>,
    taken: Vec<bool>,
    // A child is told from a stranger by its label alone, so two nodes must
    // never share a base.
    bases: Vec<bool>,
    first_free: usize,
}

impl DoubleArray {
    fn new() -> Self {
        let mut array = Self {
            cells: Vec::new(),
            taken: Vec::new(),
            bases: Vec::new(),
            first_free: 1,
        };
        array.grow(256);
        array.taken[0] = true;
        array
    }

    fn grow(&mut self, cells: usize) {
        // Rounded up to whole blocks of 256, since a reader may probe any
        // label below a base.
        let cells = cells.next_multiple_of(256);
        if cells > self.cells.len() {
            self.cells.resize(cells, 0);
            self.taken.resize(cells, false);
            self.bases.resize(cells, false);
        }
    }

    fn place(&mut self, node: &Node, position: usize) -> Option<()> {
        let mut labels: Vec<u8> = node.children.keys().copied().collect();
        if node.value.is_some() {
            labels.insert(0, 0);
        }
        if labels.is_empty() {
            return Some(());
        }
        let base = self.find_base(&labels, position);
        if base ^ position >= PLAIN_OFFSETS {
            return None;
        }
        self.bases[base] = true;
        for label in &labels {
            self.taken[base ^ usize::from(*label)] = true;
        }
        while self.taken.get(self.first_free) == Some(&true) {
            self.first_free += 1;
        }
        let offset = u32::try_from(base ^ position).ok()?;
        self.cells[position] |= offset << 10;
        if let Some(value) = node.value {
            self.cells[position] |= HAS_LEAF;
            self.cells[base] = VALUE | value;
        }
        for (label, child) in &node.children {
            let place = base ^ usize::from(*label);
            self.cells[place] = u32::from(*label);
            self.place(child, place)?;
        }
        Some(())
    }

    /// A base whose cells for all labels are free.
    fn find_base(&mut self, labels: &[u8], position: usize) -> usize {
        let first = usize::from(labels[0]);
        for cell in self.first_free.. {
            let base = cell ^ first;
            self.grow((base | 255) + 1);
            let fits = base != position
                && !self.bases[base]
                && labels
                    .iter()
                    .all(|label| !self.taken[base ^ usize::from(*label)]);
            if fits {
                return base;
            }
        }
        unreachable!("the array grows until a base is free")
    }

    fn finish(self) -> Vec<u32> {
        self.cells
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads the blob as its readers do: follows the labels of `key` and
    /// returns the replacement of the whole of it.
    pub(crate) fn look_up(blob: &[u8], key: char) -> Option<String> {
        let length = u32::from_le_bytes(blob[..4].try_into().unwrap()) as usize;
        let cell = |position: usize| {
            let at = 4 + position * 4;
            assert!(at + 4 <= 4 + length, "a probe leaves the array");
            u32::from_le_bytes(blob[at..at + 4].try_into().unwrap())
        };
        let offset = |cell: u32| ((cell >> 10) << ((cell & (1 << 9)) >> 6)) as usize;
        let mut position = offset(cell(0));
        let mut found = None;
        for byte in key.to_string().bytes() {
            position ^= usize::from(byte);
            let unit = cell(position);
            if unit & (VALUE | 0xff) != u32::from(byte) {
                return None;
            }
            position ^= offset(unit);
            found = (unit & HAS_LEAF != 0).then(|| cell(position) & !VALUE);
        }
        let pool = &blob[4 + length..];
        found.map(|start| {
            let rest = &pool[start as usize..];
            let end = rest.iter().position(|byte| *byte == 0).unwrap();
            String::from_utf8(rest[..end].to_vec()).unwrap()
        })
    }

    proptest! {
        #[test]
        fn every_replacement_is_found_and_nothing_else(
            replacements in prop::collection::btree_map(
                any::<char>(), "[^\0]{0,3}", 0..200),
            others in prop::collection::vec(any::<char>(), 0..200),
        ) {
            let blob = build(&replacements).unwrap();
            for key in replacements.keys().chain(&others) {
                let expected = replacements.get(key).filter(|_| *key != '\0');
                prop_assert_eq!(look_up(&blob, *key), expected.cloned());
            }
        }
    }
}
