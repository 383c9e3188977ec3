//! Memory for weights.
//!
//! A thread that reads matrix after matrix looks up where each page of them
//! lies, and with small pages that is a part of the time that writing takes.
//! The system gives large pages to large pieces only, so matrices share such
//! pieces instead of having one each.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError, Weak};

#[cfg(target_os = "linux")]
use memmap2::Advice;
use memmap2::{MmapMut, MmapOptions};

/// Bytes that are asked for at once. What of them no matrix needs is never
/// touched, so the system does not give it.
const PIECE: usize = 64 << 20;
/// Bytes of a large page.
const PAGE: usize = 2 << 20;
/// Bytes of a line of the cache: no load of a vector crosses one.
const LINE: usize = 64;

/// The memory of one matrix, zeros at first. Goes back to the system with the
/// last matrix of its piece.
pub(super) struct Memory {
    start: *mut u8,
    length: usize,
    _piece: Arc<MmapMut>,
}

// SAFETY: nobody else has these bytes, and the piece is only unmapped.
unsafe impl Send for Memory {}
// SAFETY: as above; shared, they can only be read.
unsafe impl Sync for Memory {}

/// The piece that was begun last, and where its unused part starts and ends.
struct Begun {
    piece: Weak<MmapMut>,
    free: *mut u8,
    left: usize,
}

// SAFETY: a place in memory that any thread may hand out.
unsafe impl Send for Begun {}

impl Memory {
    /// Room for `length` bytes.
    pub(super) fn zeros(length: usize) -> std::io::Result<Self> {
        static BEGUN: Mutex<Option<Begun>> = Mutex::new(None);
        let taken = length.next_multiple_of(LINE);
        let mut begun = BEGUN.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = begun.as_mut().filter(|begun| begun.left >= taken);
        let fitting = fitting.and_then(|begun| Some((begun.piece.upgrade()?, begun)));
        if let Some((piece, begun)) = fitting {
            return Ok(begun.take(piece, length, taken));
        }
        // The first large page may begin behind the first byte.
        let mut piece = MmapOptions::new()
            .len(taken.max(PIECE).next_multiple_of(PAGE) + PAGE)
            .map_anon()?;
        #[cfg(target_os = "linux")]
        if let Err(error) = piece.advise(Advice::HugePage) {
            // Only slower: not every kernel has them.
            tracing::debug!(%error, "no large pages");
        }
        let before = piece.as_ptr().align_offset(PAGE).min(PAGE);
        let mut fresh = Begun {
            free: piece[before..].as_mut_ptr(),
            left: piece.len() - before,
            piece: Weak::new(),
        };
        let piece = Arc::new(piece);
        fresh.piece = Arc::downgrade(&piece);
        let memory = fresh.take(piece, length, taken);
        // What is left of a piece for one large matrix is not worth that of
        // the other.
        if begun
            .as_ref()
            .is_none_or(|begun| begun.left < fresh.left || begun.piece.strong_count() == 0)
        {
            *begun = Some(fresh);
        }
        Ok(memory)
    }
}

impl Begun {
    fn take(&mut self, piece: Arc<MmapMut>, length: usize, taken: usize) -> Memory {
        let start = self.free;
        self.free = start.wrapping_add(taken);
        self.left -= taken;
        Memory {
            start,
            length,
            _piece: piece,
        }
    }
}

impl Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the piece is mapped for as long as this lives, and `take`
        // gives no byte away twice.
        unsafe { std::slice::from_raw_parts(self.start, self.length) }
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_byte_belongs_to_two() -> std::io::Result<()> {
        let lengths = [
            1,
            64,
            65,
            5000,
            PIECE - 100,
            3 << 20,
            PIECE + 1,
            7,
            40 << 20,
            40 << 20,
        ];
        let mut all = Vec::new();
        for (index, length) in lengths.into_iter().enumerate() {
            let mut memory = Memory::zeros(length)?;
            assert!(memory.iter().step_by(997).all(|byte| *byte == 0));
            assert_eq!(memory.len(), length);
            assert_eq!(memory.as_ptr().align_offset(LINE), 0);
            let (first, last) = (0, length - 1);
            memory[first] = index as u8 + 1;
            memory[last] = index as u8 + 1;
            all.push(memory);
            if index == 5 {
                // Gone, and its piece stays as long as others have a part.
                all.swap_remove(1);
            }
        }
        for memory in &all {
            assert_eq!(memory.first(), memory.last());
        }
        let mut places: Vec<_> = all.iter().map(|memory| memory.as_ptr_range()).collect();
        places.sort_by_key(|place| place.start);
        assert!(places.windows(2).all(|two| two[0].end <= two[1].start));
        Ok(())
    }
}
