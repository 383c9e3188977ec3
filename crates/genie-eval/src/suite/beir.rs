//! BEIR: `corpus.jsonl`, `queries.jsonl` and judgements in `qrels/*.tsv`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use genie_core::{ContentHash, DocumentId};
use serde::Deserialize;

use super::{
    Collection, Item, Layout, LoadOptions, Relevant, Suite, Target, Text, detected, name_of, spread,
};
use crate::lines::{self, malformed};

pub(super) const CORPUS: &str = "corpus.jsonl";
const QUERIES: &str = "queries.jsonl";
const JUDGEMENTS: &str = "qrels";

#[derive(Deserialize)]
struct Passage {
    #[serde(rename = "_id")]
    id: String,
    #[serde(default)]
    title: String,
    text: String,
}

#[derive(Deserialize)]
struct Query {
    #[serde(rename = "_id")]
    id: String,
    text: String,
}

/// Reads the folder with the judgements of one file; without one named it is
/// `qrels/test.tsv`, or the only one.
pub(super) fn load(
    folder: &Path,
    judgements: Option<&Path>,
    options: &LoadOptions,
) -> anyhow::Result<Suite> {
    let judgements = match judgements {
        Some(file) => file.to_owned(),
        None => default_judgements(&folder.join(JUDGEMENTS))?,
    };
    let (texts, ids, corpus_hash) = corpus(&folder.join(CORPUS))?;
    let file = folder.join(QUERIES);
    let read = lines::read(&file)?;
    let mut queries = BTreeMap::new();
    for (line, query) in lines::objects::<Query>(&file, &read.text)? {
        if query.id.trim().is_empty() {
            return Err(malformed(&file, line, "the _id is empty"));
        }
        if query.text.trim().is_empty() {
            return Err(malformed(&file, line, "the text of the query is empty"));
        }
        if queries.contains_key(&query.id) {
            return Err(malformed(
                &file,
                line,
                &format!("a second query {:?}", query.id),
            ));
        }
        queries.insert(query.id, query.text);
    }
    let judged = lines::read(&judgements)?;
    let mut relevant = relevances(&judgements, &judged.text, &ids, &queries)?;
    let asked: Vec<(String, String)> = queries
        .into_iter()
        .filter(|(id, _)| relevant.contains_key(id))
        .collect();
    let items = spread(asked.len(), options.limit)
        .into_iter()
        .map(|at| &asked[at])
        .map(|(id, text)| Item {
            id: id.clone(),
            language: detected(text),
            kinds: Vec::new(),
            question: text.clone(),
            history: Vec::new(),
            collection: Some(0),
            target: Target::Texts(relevant.remove(id).unwrap_or_default()),
            expected: None,
        })
        .collect();
    let all = format!("{corpus_hash} {} {}", read.hash, judged.hash);
    let name = name_of(folder)?;
    Ok(Suite {
        collections: vec![Collection {
            name: name.clone(),
            texts,
        }],
        name,
        layout: Layout::Beir,
        hash: ContentHash::of(all.as_bytes()),
        items,
    })
}

fn default_judgements(folder: &Path) -> anyhow::Result<PathBuf> {
    let test = folder.join("test.tsv");
    if test.is_file() {
        return Ok(test);
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect()
        })
        .with_context(|| format!("{} can't be read", folder.display()))?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "tsv"));
    files.sort();
    match files.as_slice() {
        [file] => Ok(file.clone()),
        [] => bail!("{} holds no .tsv file", folder.display()),
        several => bail!(
            "{} holds several files of judgements; name one of them as the suite, such as {}",
            folder.display(),
            several[0].display()
        ),
    }
}

type Corpus = (Vec<Text>, HashMap<String, DocumentId>, ContentHash);

fn corpus(file: &Path) -> anyhow::Result<Corpus> {
    let read = lines::read(file)?;
    let mut texts = Vec::new();
    let mut ids = HashMap::new();
    let mut seen = HashSet::new();
    for (line, passage) in lines::objects::<Passage>(file, &read.text)? {
        if passage.id.trim().is_empty() {
            return Err(malformed(file, line, "the _id is empty"));
        }
        let text = Text {
            title: passage.title.trim().to_owned(),
            text: passage.text,
            name: passage.id,
        };
        if ids.insert(text.name.clone(), text.id()).is_some() {
            return Err(malformed(
                file,
                line,
                &format!("a second text {:?}", text.name),
            ));
        }
        // Equal texts are one document, and either of them is found with it.
        if seen.insert(text.id()) {
            texts.push(text);
        }
    }
    if texts.is_empty() {
        bail!("{} holds no text", file.display());
    }
    Ok((texts, ids, read.hash))
}

/// `query-id`, `corpus-id`, `score`, separated by tabs; the names may stand
/// in the first line.
fn relevances(
    file: &Path,
    text: &str,
    ids: &HashMap<String, DocumentId>,
    queries: &BTreeMap<String, String>,
) -> anyhow::Result<BTreeMap<String, Vec<Relevant>>> {
    let mut found: BTreeMap<String, Vec<Relevant>> = BTreeMap::new();
    let mut seen = HashSet::new();
    for (at, line) in text.lines().enumerate() {
        let number = at + 1;
        if line.trim().is_empty() || (number == 1 && line.starts_with("query-id")) {
            continue;
        }
        let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
        let [query, passage, grade] = fields.as_slice() else {
            return Err(malformed(
                file,
                number,
                &format!(
                    "{} fields instead of query-id, corpus-id and score",
                    fields.len()
                ),
            ));
        };
        let grade: f64 = match grade.parse() {
            Ok(grade) if f64::is_finite(grade) => grade,
            _ => {
                return Err(malformed(
                    file,
                    number,
                    &format!("the score {grade:?} is no number"),
                ));
            }
        };
        if !queries.contains_key(*query) {
            return Err(malformed(
                file,
                number,
                &format!("no query {query:?} in {QUERIES}"),
            ));
        }
        let Some(document) = ids.get(*passage) else {
            return Err(malformed(
                file,
                number,
                &format!("no text {passage:?} in {CORPUS}"),
            ));
        };
        if !seen.insert((*query, *passage)) {
            let what = format!("{query:?} and {passage:?} are judged a second time");
            return Err(malformed(file, number, &what));
        }
        if grade > 0.0 {
            let relevant = found.entry((*query).to_owned()).or_default();
            // Doubles of one text are one thing to find.
            match relevant
                .iter_mut()
                .find(|known| known.any_of.contains(document))
            {
                Some(known) => known.grade = known.grade.max(grade),
                None => relevant.push(Relevant {
                    any_of: vec![*document],
                    grade,
                }),
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::load;
    use super::*;

    const CORPUS_TEXT: &str = "{\"_id\": \"d1\", \"title\": \"Cables\", \"text\": \"On the sea floor.\"}\n{\"_id\": \"d2\", \"text\": \"Light in glass.\"}\n";
    const QUERIES_TEXT: &str = "{\"_id\": \"q1\", \"text\": \"What is a cable?\"}\n{\"_id\": \"q2\", \"text\": \"unjudged\"}\n";
    const QRELS: &str = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n";

    fn suite(corpus: &str, queries: &str, qrels: &str) -> anyhow::Result<Suite> {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("qrels")).unwrap();
        fs::write(folder.path().join(CORPUS), corpus).unwrap();
        fs::write(folder.path().join(QUERIES), queries).unwrap();
        fs::write(folder.path().join("qrels/dev.tsv"), qrels).unwrap();
        load(folder.path(), &LoadOptions::default())
    }

    #[test]
    fn judged_queries_are_asked() {
        let suite = suite(CORPUS_TEXT, QUERIES_TEXT, QRELS).unwrap();
        assert_eq!(suite.layout, Layout::Beir);
        assert_eq!(suite.items.len(), 1);
        assert_eq!(
            suite.items[0].target,
            Target::Texts(vec![Relevant {
                any_of: vec![suite.collections[0].texts[0].id()],
                grade: 2.0
            }])
        );
        assert_eq!(suite.items[0].language, "en");
    }

    #[test]
    fn malformed_files_are_refused_with_the_line() {
        for (corpus, queries, qrels, place) in [
            (
                "{\"_id\": \"d1\"}\n",
                QUERIES_TEXT,
                QRELS,
                "corpus.jsonl:1:",
            ),
            (
                &format!("{CORPUS_TEXT}\n{}", CORPUS_TEXT),
                QUERIES_TEXT,
                QRELS,
                "corpus.jsonl:4:",
            ),
            (CORPUS_TEXT, "\n{\"_id\": 3}\n", QRELS, "queries.jsonl:2:"),
            (
                CORPUS_TEXT,
                "{\"_id\": \"q1\", \"text\": \" \"}\n",
                QRELS,
                "queries.jsonl:1:",
            ),
            (CORPUS_TEXT, QUERIES_TEXT, "q1\td1\n", "dev.tsv:1:"),
            (
                CORPUS_TEXT,
                QUERIES_TEXT,
                "q1\td1\t1\nq1\td1\thigh\n",
                "dev.tsv:2:",
            ),
            (
                CORPUS_TEXT,
                QUERIES_TEXT,
                "q1\td1\t1\nq1\td1\t2\n",
                "dev.tsv:2:",
            ),
            (
                "{\"_id\": \"\", \"text\": \"a\"}\n",
                QUERIES_TEXT,
                QRELS,
                "corpus.jsonl:1:",
            ),
            (
                CORPUS_TEXT,
                "{\"_id\": \" \", \"text\": \"a\"}\n",
                QRELS,
                "queries.jsonl:1:",
            ),
            ("[]\n", QUERIES_TEXT, QRELS, "corpus.jsonl:1:"),
            (CORPUS_TEXT, QUERIES_TEXT, "q9\td1\t1\n", "dev.tsv:1:"),
            (CORPUS_TEXT, QUERIES_TEXT, "q1\td9\t1\n", "dev.tsv:1:"),
        ] {
            let error = suite(corpus, queries, qrels).unwrap_err().to_string();
            assert!(error.contains(place), "{place}: {error}");
        }
    }
}
