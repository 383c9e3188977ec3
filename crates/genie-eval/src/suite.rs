//! What is asked, of which texts, and what would be right.

mod beir;
mod gold;
mod squad;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use genie_core::{ChatMessage, ContentHash, DocumentId};
use genie_ingest::LanguageDetector;
use genie_rag::Question;

/// Questions with what is known of their answers.
#[derive(Debug, Clone)]
pub struct Suite {
    /// The name of its file or folder.
    pub name: String,
    /// How its files are laid out.
    pub layout: Layout,
    /// The digest of its files and of what was taken from them.
    pub hash: ContentHash,
    /// Texts that belong to the suite; each collection is an index of its
    /// own. Empty where documents come from elsewhere.
    pub collections: Vec<Collection>,
    /// In the order in which they are asked: collection by collection.
    pub items: Vec<Item>,
}

/// A layout of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// SQuAD and XQuAD: paragraphs with their questions, one file a language.
    Squad,
    /// BEIR: corpus, queries and relevance judgements.
    Beir,
    /// Our gold questions: one object a line with quotes as evidence.
    Gold,
}

impl Layout {
    /// Its name in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Squad => "squad",
            Self::Beir => "beir",
            Self::Gold => "gold",
        }
    }
}

/// Texts that are searched together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    /// What it is called while it is indexed.
    pub name: String,
    /// Each is a document of its own.
    pub texts: Vec<Text>,
}

/// A text of a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Where it stands in the suite; unique in its collection.
    pub name: String,
    /// Its title, which is searched too; empty where the suite has none.
    pub title: String,
    /// The text itself.
    pub text: String,
}

impl Text {
    /// The document that it is indexed as.
    #[must_use]
    pub fn id(&self) -> DocumentId {
        if self.title.is_empty() {
            DocumentId::of(self.text.as_bytes())
        } else {
            DocumentId::of(format!("{}\n\n{}", self.title, self.text).as_bytes())
        }
    }
}

/// A question.
#[derive(Debug, Clone)]
pub struct Item {
    /// Unique in the suite and the same in every run, so that runs can be
    /// compared.
    pub id: String,
    /// The language that it is asked in, as a code; `und` where nobody knows.
    pub language: String,
    /// The groups that it counts for.
    pub kinds: Vec<String>,
    /// What is asked.
    pub question: String,
    /// Earlier turns.
    pub history: Vec<ChatMessage>,
    /// The collection that is searched; `None` is the documents.
    pub collection: Option<usize>,
    /// What should be found.
    pub target: Target,
    /// What should be answered; `None` where answers are not judged.
    pub expected: Option<Expected>,
}

impl Item {
    /// As the engine is asked.
    #[must_use]
    pub fn ask(&self) -> Question {
        let mut question = Question::new(&self.question);
        question.history = self.history.clone();
        question
    }
}

/// What should be found.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// Texts of the collection.
    Texts(Vec<Relevant>),
    /// Quotes from documents, all of which are needed.
    Evidence(Vec<Evidence>),
    /// Nothing can be: retrieval is not judged.
    Nothing,
}

/// Something worth finding.
#[derive(Debug, Clone, PartialEq)]
pub struct Relevant {
    /// It is found when one of these is: a text or its translations.
    pub any_of: Vec<DocumentId>,
    /// How much it is worth.
    pub grade: f64,
}

/// A quote that supports the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The document, relative to the folder of documents.
    pub document: String,
    /// Verbatim but for white space and quotation marks.
    pub quote: String,
    /// Where the suite says so, for errors: `file:line`.
    pub place: String,
}

/// What a right answer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Whether the documents answer at all.
    pub answerable: bool,
    /// Of each group one string has to be in the answer.
    pub must_include: Vec<Vec<String>>,
}

/// What is taken of a suite.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Ask the questions of a SQuAD file over the paragraphs of this one,
    /// which is parallel to it.
    pub paragraphs: Option<PathBuf>,
    /// Only items of one of these kinds; empty takes all.
    pub kinds: Vec<String>,
    /// About this many questions, spread evenly; of parallel files the same
    /// ones of each.
    pub limit: Option<usize>,
}

/// Reads a suite, whose layout is told by its files:
///
/// - a folder with `corpus.jsonl`, `queries.jsonl` and `qrels/`, or one of the
///   files in `qrels/`: BEIR;
/// - a `.json` file, or a folder of parallel ones: SQuAD;
/// - a `.jsonl` file: gold questions.
///
/// # Errors
///
/// Fails where a file can't be read or is malformed, naming the line or the
/// path of the entry, and where nothing is left to ask.
pub fn load(path: &Path, options: &LoadOptions) -> anyhow::Result<Suite> {
    let extension = path
        .extension()
        .map(|extension| extension.to_string_lossy().to_lowercase());
    let extension = extension.as_deref();
    if options.paragraphs.is_some() && (path.is_dir() || extension != Some("json")) {
        bail!(
            "other paragraphs go with one SQuAD file, which {} is not",
            path.display()
        );
    }
    let mut suite = if path.is_dir() {
        if path.join(beir::CORPUS).is_file() {
            beir::load(path, None, options)?
        } else {
            squad::load_folder(path, options)?
        }
    } else if !path.exists() {
        bail!("{} does not exist", path.display());
    } else {
        match extension {
            Some("json") => squad::load_file(path, options)?,
            Some("jsonl") => gold::load(path, options)?,
            Some("tsv") => {
                let folder = path.parent().and_then(Path::parent).unwrap_or(path);
                beir::load(folder, Some(path), options)?
            }
            _ => bail!("{} is no suite: {}", path.display(), LAYOUTS),
        }
    };
    restrict(&mut suite, &options.kinds)?;
    suite.hash = ContentHash::of(
        format!(
            "{} {:?} {:?} {:?}",
            suite.hash,
            options.kinds,
            options.limit,
            options.paragraphs.is_some()
        )
        .as_bytes(),
    );
    if suite.items.is_empty() {
        bail!("{} holds no question", path.display());
    }
    unique(&suite)?;
    Ok(suite)
}

/// What a suite may be.
pub(crate) const LAYOUTS: &str = "a suite is a SQuAD file (.json) or a folder of parallel ones, \
    a folder in BEIR layout (corpus.jsonl, queries.jsonl, qrels/*.tsv), or a file of gold \
    questions (.jsonl)";

/// Keeps the items of these kinds and the collections that they need.
fn restrict(suite: &mut Suite, kinds: &[String]) -> anyhow::Result<()> {
    if kinds.is_empty() {
        return Ok(());
    }
    let known: BTreeSet<&String> = suite.items.iter().flat_map(|item| &item.kinds).collect();
    if let Some(unknown) = kinds.iter().find(|kind| !known.contains(kind)) {
        let known: Vec<_> = known.into_iter().map(String::as_str).collect();
        bail!(
            "{} has no questions of the kind {unknown:?}; it has {}",
            suite.name,
            known.join(", ")
        );
    }
    suite
        .items
        .retain(|item| item.kinds.iter().any(|kind| kinds.contains(kind)));
    let used: BTreeSet<usize> = suite
        .items
        .iter()
        .filter_map(|item| item.collection)
        .collect();
    let mut places = vec![None; suite.collections.len()];
    for (new, &old) in used.iter().enumerate() {
        if let Some(place) = places.get_mut(old) {
            *place = Some(new);
        }
    }
    let mut at = 0..;
    suite
        .collections
        .retain(|_| at.next().is_some_and(|at| used.contains(&at)));
    for item in &mut suite.items {
        item.collection = item
            .collection
            .and_then(|old| places.get(old).copied().flatten());
    }
    Ok(())
}

fn unique(suite: &Suite) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    match suite.items.iter().find(|item| !seen.insert(&item.id)) {
        None => Ok(()),
        Some(item) => bail!("{} has two questions {:?}", suite.name, item.id),
    }
}

/// Positions of about `limit` of `total` things, spread evenly.
pub(crate) fn spread(total: usize, limit: Option<usize>) -> Vec<usize> {
    match limit {
        Some(limit) if limit < total => (0..limit).map(|at| at * total / limit).collect(),
        _ => (0..total).collect(),
    }
}

/// The last part of a path, as a name.
pub(crate) fn name_of(path: &Path) -> anyhow::Result<String> {
    // `.` and `..` have no name of their own.
    let whole = std::path::absolute(path)
        .and_then(|path| path.canonicalize())
        .with_context(|| format!("{} can't be read", path.display()))?;
    Ok(whole.file_name().map_or_else(
        || "suite".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    ))
}

/// The code of a text's language.
pub(crate) fn detected(text: &str) -> String {
    LanguageDetector
        .detect(text)
        .map_or("und", |language| language.code())
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_spread_evenly() {
        assert_eq!(spread(10, Some(3)), [0, 3, 6]);
        assert_eq!(spread(3, Some(7)), [0, 1, 2]);
        assert_eq!(spread(2, None), [0, 1]);
    }

    #[test]
    fn what_is_no_suite_is_told_what_one_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notes.txt");
        std::fs::write(&file, "x").unwrap();
        let error = load(&file, &LoadOptions::default()).unwrap_err();
        assert!(error.to_string().contains("qrels"), "{error}");
        let error = load(folder.path(), &LoadOptions::default()).unwrap_err();
        assert!(error.to_string().contains("qrels"), "{error}");
    }
}
