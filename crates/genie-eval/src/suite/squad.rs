//! SQuAD and XQuAD: articles of paragraphs, each with its questions. Files of
//! several languages may be parallel: the same questions at the same places.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use genie_core::{ContentHash, DocumentId};
use serde::Deserialize;

use super::{
    Collection, Item, LAYOUTS, Layout, LoadOptions, Relevant, Suite, Target, Text, detected,
    name_of, spread,
};
use crate::lines;

#[derive(Deserialize)]
struct File {
    data: Vec<Article>,
}

#[derive(Deserialize)]
struct Article {
    #[serde(default)]
    title: String,
    paragraphs: Vec<Paragraph>,
}

#[derive(Deserialize)]
struct Paragraph {
    context: String,
    qas: Vec<Asked>,
}

#[derive(Deserialize)]
struct Asked {
    id: String,
    question: String,
    /// SQuAD 2: the paragraph does not say, so nothing can be found.
    #[serde(default)]
    is_impossible: bool,
}

/// A file, flattened.
struct Language {
    file: PathBuf,
    code: String,
    texts: Vec<Text>,
    documents: Vec<DocumentId>,
    /// Of each text the place of its article.
    articles: Vec<usize>,
    questions: Vec<Placed>,
    hash: ContentHash,
}

struct Placed {
    id: String,
    text: String,
    paragraph: usize,
    /// `data[0].paragraphs[3].qas[1]`
    place: String,
}

/// One file: its questions over its own paragraphs, or over parallel ones.
pub(super) fn load_file(path: &Path, options: &LoadOptions) -> anyhow::Result<Suite> {
    let own = Language::read(path)?;
    let name = name_of(path)?;
    let Some(other) = &options.paragraphs else {
        return Ok(Suite {
            name,
            layout: Layout::Squad,
            hash: own.hash,
            items: pair(&own, &own, 0, options.limit),
            collections: vec![own.collection()],
        });
    };
    let other = Language::read(other)?;
    check_parallel(&own, &other)?;
    Ok(Suite {
        name,
        layout: Layout::Squad,
        hash: joined(&[&own, &other]),
        items: pair(&own, &other, 0, options.limit),
        collections: vec![other.collection()],
    })
}

/// The kind of questions over a collection in two languages, and how their
/// other kinds begin or what stands in them.
const MIXED: &str = "mixed";

/// Parallel files: each language over its own paragraphs, each over each
/// other's, and each over the paragraphs of all; where it is asked for, also
/// over collections in two languages.
pub(super) fn load_folder(folder: &Path, options: &LoadOptions) -> anyhow::Result<Suite> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect()
        })
        .with_context(|| format!("{} can't be read", folder.display()))?;
    files.retain(|file| {
        file.is_file()
            && file
                .extension()
                .is_some_and(|extension| extension == "json")
    });
    files.sort();
    match files.as_slice() {
        [] => bail!("{} is no suite: {LAYOUTS}", folder.display()),
        [file] => return load_file(file, options),
        _ => {}
    }
    let languages: Vec<Language> = files
        .iter()
        .map(|file| Language::read(file))
        .collect::<anyhow::Result<_>>()?;
    for pair in languages.windows(2) {
        if let [first, second] = pair {
            check_parallel(first, second)?;
        }
    }
    let mut items = Vec::new();
    for (at, paragraphs) in languages.iter().enumerate() {
        for questions in &languages {
            items.extend(pair(questions, paragraphs, at, options.limit));
        }
    }
    let mut collections: Vec<Collection> = languages.iter().map(Language::collection).collect();
    for questions in &languages {
        items.extend(pooled(questions, &languages, options.limit));
    }
    collections.push(Collection {
        name: "pooled".to_owned(),
        texts: languages
            .iter()
            .flat_map(|language| language.texts.iter().cloned())
            .collect(),
    });
    // More questions than all others together, so only where they are named.
    if options.kinds.iter().any(|kind| kind.contains(MIXED)) {
        for (at, one) in languages.iter().enumerate() {
            for other in &languages[at + 1..] {
                mix(
                    &languages,
                    one,
                    other,
                    options.limit,
                    &mut collections,
                    &mut items,
                );
            }
        }
    }
    Ok(Suite {
        name: name_of(folder)?,
        layout: Layout::Squad,
        hash: joined(&languages.iter().collect::<Vec<_>>()),
        collections,
        items,
    })
}

fn pair(
    questions: &Language,
    paragraphs: &Language,
    collection: usize,
    limit: Option<usize>,
) -> Vec<Item> {
    let pair = format!("{}-{}", questions.code, paragraphs.code);
    let within = std::ptr::eq(questions, paragraphs);
    let kind = if within { "within" } else { "cross" };
    questions.items(&pair, kind, limit, collection, |paragraph| {
        vec![paragraphs.documents[paragraph]]
    })
}

fn pooled(questions: &Language, all: &[Language], limit: Option<usize>) -> Vec<Item> {
    let pair = format!("{}-pooled", questions.code);
    questions.items(&pair, "pooled", limit, all.len(), |paragraph| {
        all.iter()
            .map(|language| language.documents[paragraph])
            .collect()
    })
}

/// Two collections, in which every other article is in one language and the
/// rest in the other, and the questions of both over both: the passage that
/// answers is in the other language for half of them.
fn mix(
    all: &[Language],
    one: &Language,
    other: &Language,
    limit: Option<usize>,
    collections: &mut Vec<Collection>,
    items: &mut Vec<Item>,
) {
    for (even, odd) in [(one, other), (other, one)] {
        let places = even.articles.iter().zip(even.texts.iter().zip(&odd.texts));
        let texts = places.map(|(article, (even, odd))| match article % 2 {
            0 => even.clone(),
            _ => odd.clone(),
        });
        let collection = Collection {
            name: format!("{}-{MIXED}-{}", even.code, odd.code),
            texts: texts.collect(),
        };
        for (questions, strange) in [(one, other), (other, one)] {
            let name = format!("{}-{MIXED}-{}", questions.code, strange.code);
            let own_articles = usize::from(!std::ptr::eq(questions, even));
            let mut asked = questions.items(&name, MIXED, limit, collections.len(), |paragraph| {
                // Of these one is in the collection.
                all.iter()
                    .map(|language| language.documents[paragraph])
                    .collect()
            });
            let places = spread(questions.questions.len(), limit).into_iter();
            for (item, at) in asked.iter_mut().zip(places) {
                let article = questions.articles[questions.questions[at].paragraph];
                let side = match article % 2 == own_articles {
                    true => "own",
                    false => "foreign",
                };
                item.id = format!("{name}/{side}/{}", questions.questions[at].id);
                item.kinds.push(format!("{MIXED}-{side}"));
            }
            items.extend(asked);
        }
        collections.push(collection);
    }
}

impl Language {
    fn read(file: &Path) -> anyhow::Result<Self> {
        let read = lines::read(file)?;
        let parsed: File = lines::whole(file, &read.text)?;
        let mut language = Self {
            file: file.to_owned(),
            code: String::new(),
            texts: Vec::new(),
            documents: Vec::new(),
            articles: Vec::new(),
            questions: Vec::new(),
            hash: read.hash,
        };
        for (article_at, article) in parsed.data.into_iter().enumerate() {
            for (paragraph_at, paragraph) in article.paragraphs.into_iter().enumerate() {
                let place = format!("data[{article_at}].paragraphs[{paragraph_at}]");
                if !paragraph.context.chars().any(char::is_alphanumeric) {
                    return Err(wrong(file, &format!("{place}.context"), "has no words"));
                }
                for (at, asked) in paragraph.qas.into_iter().enumerate() {
                    let place = format!("{place}.qas[{at}]");
                    if asked.question.trim().is_empty() {
                        return Err(wrong(file, &format!("{place}.question"), "is empty"));
                    }
                    if asked.id.trim().is_empty() {
                        return Err(wrong(file, &format!("{place}.id"), "is empty"));
                    }
                    if asked.is_impossible {
                        continue;
                    }
                    language.questions.push(Placed {
                        id: asked.id,
                        text: asked.question,
                        paragraph: language.texts.len(),
                        place,
                    });
                }
                let text = Text {
                    name: format!("{}#{article_at}/{paragraph_at}", article.title),
                    // The title of XQuAD's articles is English in every
                    // language, which would be a hint.
                    title: String::new(),
                    text: paragraph.context,
                };
                language.documents.push(text.id());
                language.articles.push(article_at);
                language.texts.push(text);
            }
        }
        if language.questions.is_empty() {
            bail!("{}: there is no question in it", file.display());
        }
        language.check_ids()?;
        language.code = code_of_name(file).unwrap_or_else(|| language.detected());
        for text in &mut language.texts {
            text.name = format!("{}/{}", language.code, text.name);
        }
        Ok(language)
    }

    fn check_ids(&self) -> anyhow::Result<()> {
        let mut seen = std::collections::BTreeMap::new();
        for question in &self.questions {
            if let Some(before) = seen.insert(&question.id, &question.place) {
                return Err(wrong(
                    &self.file,
                    &format!("{}.id", question.place),
                    &format!("{:?} is that of {before} too", question.id),
                ));
            }
        }
        Ok(())
    }

    fn detected(&self) -> String {
        let sample: Vec<&str> = self
            .texts
            .iter()
            .take(5)
            .map(|text| text.text.as_str())
            .collect();
        detected(&sample.join("\n"))
    }

    fn collection(&self) -> Collection {
        Collection {
            name: self.code.clone(),
            texts: self.texts.clone(),
        }
    }

    fn items(
        &self,
        pair: &str,
        kind: &str,
        limit: Option<usize>,
        collection: usize,
        found: impl Fn(usize) -> Vec<DocumentId>,
    ) -> Vec<Item> {
        spread(self.questions.len(), limit)
            .into_iter()
            .map(|at| &self.questions[at])
            .map(|question| Item {
                id: format!("{pair}/{}", question.id),
                language: self.code.clone(),
                kinds: vec![kind.to_owned(), pair.to_owned()],
                question: question.text.clone(),
                history: Vec::new(),
                collection: Some(collection),
                target: Target::Texts(vec![Relevant {
                    any_of: found(question.paragraph),
                    grade: 1.0,
                }]),
                expected: None,
            })
            .collect()
    }
}

/// The same questions at the same places.
fn check_parallel(one: &Language, other: &Language) -> anyhow::Result<()> {
    if one.code == other.code {
        bail!(
            "{} and {} are both in {:?}; name files by their language, such as en.json",
            one.file.display(),
            other.file.display(),
            one.code
        );
    }
    if one.texts.len() != other.texts.len() {
        bail!(
            "{} has {} paragraphs, {} has {}: they are not parallel",
            one.file.display(),
            one.texts.len(),
            other.file.display(),
            other.texts.len()
        );
    }
    if one.questions.len() != other.questions.len() {
        bail!(
            "{} has {} questions, {} has {}: they are not parallel",
            one.file.display(),
            one.questions.len(),
            other.file.display(),
            other.questions.len()
        );
    }
    for (a, b) in one.questions.iter().zip(&other.questions) {
        if a.place != b.place || a.id != b.id {
            return Err(wrong(
                &other.file,
                &b.place,
                &format!(
                    "is {:?}, but in {} the question here is {:?}: they are not parallel",
                    b.id,
                    one.file.display(),
                    a.id
                ),
            ));
        }
    }
    Ok(())
}

fn wrong(file: &Path, place: &str, what: &str) -> anyhow::Error {
    anyhow!("{}: {place} {what}", file.display())
}

fn joined(languages: &[&Language]) -> ContentHash {
    let all: Vec<String> = languages
        .iter()
        .map(|language| format!("{} {}", language.code, language.hash))
        .collect();
    ContentHash::of(all.join("\n").as_bytes())
}

/// `en.json`, `xquad.en.json` and `dev-en.json` are English.
fn code_of_name(file: &Path) -> Option<String> {
    let stem = file.file_stem()?.to_string_lossy().into_owned();
    stem.split(['.', '-', '_'])
        .rev()
        .find(|part| part.len() == 2 && part.chars().all(|c| c.is_ascii_lowercase()))
        .map(str::to_owned)
}

#[cfg(test)]
#[path = "squad_tests.rs"]
mod tests;
