//! The files that arguments name.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use genie_ingest::media_type_of_name;
use globset::GlobBuilder;
use walkdir::WalkDir;

/// Files deeper than this below a folder are not looked for.
const DEEPEST: usize = 32;

/// All files that the arguments name, in a stable order and without doubles.
/// A file named directly is taken whatever its name; below folders only known
/// formats are, and hidden files and links are left out.
pub(crate) fn expand(arguments: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for argument in arguments {
        let before = files.len();
        if argument.is_dir() {
            walk(argument, &mut files, &|path| {
                media_type_of_name(&path.to_string_lossy()).is_some()
            })?;
        } else if argument.exists() {
            files.push(argument.clone());
        } else if let Some((base, pattern)) = as_glob(argument) {
            let glob = GlobBuilder::new(&pattern)
                .literal_separator(true)
                .build()
                .with_context(|| format!("{} is no valid glob", argument.display()))?
                .compile_matcher();
            walk(&base, &mut files, &|path| glob.is_match(path))?;
        } else {
            bail!("{} does not exist", argument.display());
        }
        if files.len() == before {
            bail!(
                "{} holds no file that can be indexed (text, Markdown, HTML, PDF, DOCX)",
                argument.display()
            );
        }
    }
    let mut seen = std::collections::HashSet::new();
    files.retain(|file| seen.insert(file.clone()));
    Ok(files)
}

fn walk(
    folder: &Path,
    files: &mut Vec<PathBuf>,
    wanted: &dyn Fn(&Path) -> bool,
) -> anyhow::Result<()> {
    let entries = WalkDir::new(folder)
        .max_depth(DEEPEST)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| {
            entry.depth() == 0 || !entry.file_name().to_string_lossy().starts_with('.')
        });
    for entry in entries {
        let entry = entry.with_context(|| format!("{} can't be read", folder.display()))?;
        let path = without_dot(entry.path());
        if entry.file_type().is_file() && wanted(&path) {
            files.push(path);
        }
    }
    Ok(())
}

/// `./a` and `a` are one file.
fn without_dot(path: &Path) -> PathBuf {
    path.strip_prefix(".").unwrap_or(path).to_owned()
}

/// The folder above the first wildcard, and the pattern.
fn as_glob(path: &Path) -> Option<(PathBuf, String)> {
    let text = path.to_str()?;
    let wild = text.find(['*', '?', '[', '{'])?;
    let base = match text[..wild].rfind('/') {
        Some(0) => "/",
        Some(slash) => &text[..slash],
        None => ".",
    };
    Some((
        PathBuf::from(base),
        text.strip_prefix("./").unwrap_or(text).to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_globs_and_files_are_expanded_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("deep/.hidden")).unwrap();
        for name in ["a.md", "b.txt", "c.exe", "deep/d.md", "deep/.hidden/e.md"] {
            std::fs::write(at(name), "x").unwrap();
        }
        let all = expand(&[folder.path().to_owned()]).unwrap();
        assert_eq!(all, [at("a.md"), at("b.txt"), at("deep/d.md")]);
        let globbed = expand(&[at("**/*.md"), at("a.md")]).unwrap();
        assert_eq!(globbed, [at("a.md"), at("deep/d.md")]);
        assert_eq!(expand(&[at("c.exe")]).unwrap(), [at("c.exe")]);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = expand(&[folder.path().join("none.md")]).unwrap_err();
        assert!(
            error.to_string().contains("none.md does not exist"),
            "{error}"
        );
        let error = expand(&[folder.path().to_owned()]).unwrap_err();
        assert!(
            error.to_string().contains("no file that can be indexed"),
            "{error}"
        );
    }
}
