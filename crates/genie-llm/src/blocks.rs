//! The bytes of a tensor in its file.

use std::fs::File;
use std::io::Result;
use std::path::Path;

/// Where a tensor lies, for several threads that read parts of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocks<'a> {
    pub(crate) file: &'a File,
    pub(crate) path: &'a Path,
    pub(crate) start: u64,
    pub(crate) bytes: usize,
}

impl Blocks<'_> {
    /// Fills `buffer` with the bytes from `offset` on.
    #[cfg(unix)]
    pub(crate) fn read_at(&self, offset: usize, buffer: &mut [u8]) -> Result<()> {
        use std::os::unix::fs::FileExt;
        self.file.read_exact_at(buffer, self.start + offset as u64)
    }

    /// The same where a read can't say where: each has the file for itself.
    #[cfg(not(unix))]
    pub(crate) fn read_at(&self, offset: usize, buffer: &mut [u8]) -> Result<()> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = File::open(self.path)?;
        file.seek(SeekFrom::Start(self.start + offset as u64))?;
        file.read_exact(buffer)
    }
}
