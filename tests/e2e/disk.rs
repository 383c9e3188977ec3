//! A full disk.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::genie::{Genie, MINILM, models};
use crate::material::Scratch;

/// A small disk of its own, gone with the value.
struct SmallDisk {
    place: PathBuf,
}

impl SmallDisk {
    /// `None` where this account may not mount one.
    fn mount(place: &Path, megabytes: u32) -> Option<Self> {
        fs::create_dir_all(place).expect("a folder");
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"])
            .arg(place)
            .output();
        match done {
            Ok(done) if done.status.success() => Some(Self {
                place: place.to_owned(),
            }),
            _ => {
                eprintln!("skipped: a small tmpfs can't be mounted, which needs root");
                None
            }
        }
    }

    /// Writes a file until nothing more goes in.
    fn fill(&self) -> PathBuf {
        let path = self.place.join("filler");
        let mut file = fs::File::create(&path).expect("a file");
        let mut block = vec![0; 1 << 16];
        while !block.is_empty() {
            if file.write_all(&block).is_err() {
                block.truncate(block.len() / 2);
            }
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg(&self.place).status().ok();
    }
}

#[test]
fn a_full_disk_is_said_to_be_full_and_harms_nothing() {
    let Some(models) = models(&[MINILM]) else {
        return;
    };
    let scratch = Scratch::new();
    let Some(disk) = SmallDisk::mount(&scratch.path("disk"), 256) else {
        return;
    };
    let genie = Genie::quick(&scratch.path("disk/home"), &models).within(&scratch.path(""));
    scratch.articles();
    genie.run(&["ingest", "docs"]).ended(0);
    let before = genie.index();

    let filler = disk.fill();
    let extra = scratch.another("fibre.md");
    let extra = extra.to_str().unwrap();
    for _ in 0..2 {
        genie
            .run(&["ingest", extra])
            .refused(&["disk/home", "full", "free some space"]);
    }
    fs::remove_file(filler).unwrap();
    assert_eq!(genie.index(), before);
    genie.run(&["ingest", extra]).ended(0);
    assert_eq!(genie.index().len(), 4);
}

#[test]
fn a_disk_too_small_for_an_index_is_said_to_be_full() {
    let Some(models) = models(&[MINILM]) else {
        return;
    };
    let scratch = Scratch::new();
    let Some(_disk) = SmallDisk::mount(&scratch.path("disk"), 2) else {
        return;
    };
    let genie = Genie::quick(&scratch.path("disk/home"), &models).within(&scratch.path(""));
    scratch.articles();
    genie
        .run(&["ingest", "docs"])
        .refused(&["disk/home", "full", "free some space"]);
}
