//! What snapshots are called.

use std::path::{Path, PathBuf};

/// A path in `folder` for a snapshot, with `ending` at its end, that nothing
/// has: several may be made within a second.
pub(crate) fn free_name(folder: &Path, ending: &str) -> PathBuf {
    let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let mut name = folder.join(format!("genie-index-{time}{ending}"));
    let mut number = 1_u32;
    while name.exists() {
        number += 1;
        name = folder.join(format!("genie-index-{time}-{number}{ending}"));
    }
    name
}
