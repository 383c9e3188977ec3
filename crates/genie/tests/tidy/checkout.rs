//! The files that the rules are run over.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::documents::normal;
use crate::sources::test_files;

/// The checkout, as paths relative to its root with `/` between their parts.
pub(crate) struct Checkout {
    pub(crate) root: PathBuf,
    pub(crate) files: Vec<String>,
}

impl Checkout {
    pub(crate) fn open() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let root =
            fs::canonicalize(&root).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
        let ignored = fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
        let mut skipped: BTreeSet<String> =
            [".git", "target", "node_modules", "__pycache__", ".venv"]
                .map(str::to_owned)
                .into();
        // Only whole folders are looked up: what else is ignored is small.
        skipped.extend(ignored.lines().filter_map(|line| {
            let name = line.trim().strip_suffix('/')?.trim_start_matches('/');
            (!name.contains(['*', '/', '!', '#'])).then(|| name.to_owned())
        }));
        let mut files = Vec::new();
        let mut waiting = vec![root.clone()];
        while let Some(folder) = waiting.pop() {
            let entries = fs::read_dir(&folder)
                .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
            for entry in entries.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let Ok(kind) = entry.file_type() else {
                    continue;
                };
                if kind.is_dir() && !skipped.contains(&name) {
                    waiting.push(entry.path());
                } else if kind.is_file() {
                    let path = entry.path();
                    let Ok(relative) = path.strip_prefix(&root) else {
                        continue;
                    };
                    files.extend(normal(relative));
                }
            }
        }
        files.sort();
        assert!(
            files.iter().any(|file| file == "Cargo.toml"),
            "{} is no checkout",
            root.display()
        );
        Self { root, files }
    }

    /// Files that a test looks at: those that begin and end like this.
    pub(crate) fn select(&self, start: &str, end: &str) -> impl Iterator<Item = &str> {
        self.files
            .iter()
            .map(String::as_str)
            .filter(move |file| file.starts_with(start) && file.ends_with(end))
    }

    /// The text of a file; `None` where it is not text or gone meanwhile.
    pub(crate) fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.root.join(file)).ok()
    }

    /// Name, path and text of the manifests below `crates/`.
    pub(crate) fn manifests(&self) -> Vec<(&str, &str, String)> {
        self.select("crates/", "/Cargo.toml")
            .filter_map(|file| {
                let name = file.strip_prefix("crates/")?.strip_suffix("/Cargo.toml")?;
                (!name.contains('/')).then_some((name, file, self.read(file)?))
            })
            .collect()
    }

    /// Path and text of the Rust sources below `crates/*/src`, together with
    /// the name of their crate. Test modules in files of their own are left
    /// out.
    pub(crate) fn sources(&self) -> Vec<(&str, &str, String)> {
        let all: Vec<_> = self
            .select("crates/", ".rs")
            .filter_map(|file| {
                let mut parts = file.split('/').skip(1);
                let name = parts.next()?;
                (parts.next() == Some("src")).then_some((name, file, self.read(file)?))
            })
            .collect();
        let tests: BTreeSet<_> = all
            .iter()
            .flat_map(|(_, file, source)| test_files(file, source))
            .collect();
        all.into_iter()
            .filter(|(_, file, _)| !tests.contains(*file))
            .collect()
    }
}
