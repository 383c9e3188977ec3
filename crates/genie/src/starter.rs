//! The articles that come with the program.

use include_dir::{Dir, include_dir};

static ARTICLES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../corpus/starter");

/// The manifest of public documents that can be downloaded.
pub(crate) const MANIFEST: &str = include_str!("../../../corpus/manifest.toml");

/// Each article under the name that it is cited by, in a stable order.
pub(crate) fn articles() -> Vec<(String, &'static [u8])> {
    let mut articles = Vec::new();
    collect(&ARTICLES, &mut articles);
    articles.sort_unstable();
    articles
}

fn collect(folder: &Dir<'static>, articles: &mut Vec<(String, &'static [u8])>) {
    for file in folder.files() {
        let name = file.path().to_string_lossy().replace('\\', "/");
        articles.push((format!("starter/{name}"), file.contents()));
    }
    for folder in folder.dirs() {
        collect(folder, articles);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_articles_in_all_six_languages() {
        let articles = articles();
        for (language, least) in [
            ("en", 40),
            ("fr", 6),
            ("es", 6),
            ("ar", 6),
            ("zh", 6),
            ("ru", 6),
        ] {
            let prefix = format!("starter/{language}/");
            let count = articles
                .iter()
                .filter(|(name, _)| name.starts_with(&prefix))
                .count();
            assert!(count >= least, "{count} articles in {language}");
        }
    }
}
