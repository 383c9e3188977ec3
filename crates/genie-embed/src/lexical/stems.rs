//! Stems of words, by Snowball's algorithms.

use genie_core::Language;
use rust_stemmers::{Algorithm, Stemmer};

/// The stemmers of the five languages that have one; Chinese has no endings.
pub(crate) struct Stemmers {
    arabic: Stemmer,
    english: Stemmer,
    french: Stemmer,
    russian: Stemmer,
    spanish: Stemmer,
}

/// The scripts that the five languages are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Script {
    Arabic,
    Cyrillic,
    Latin,
}

impl Script {
    fn of(word: &str) -> Option<Self> {
        word.chars().find_map(|c| match c {
            'a'..='z' | '\u{df}'..='\u{24f}' => Some(Self::Latin),
            '\u{400}'..='\u{52f}' => Some(Self::Cyrillic),
            '\u{620}'..='\u{6ff}' => Some(Self::Arabic),
            _ => None,
        })
    }
}

impl Stemmers {
    pub(crate) fn new() -> Self {
        Self {
            arabic: Stemmer::create(Algorithm::Arabic),
            english: Stemmer::create(Algorithm::English),
            french: Stemmer::create(Algorithm::French),
            russian: Stemmer::create(Algorithm::Russian),
            spanish: Stemmer::create(Algorithm::Spanish),
        }
    }

    /// Calls `found` with each stem of a word that is to be compared.
    ///
    /// The script decides before the language does: an English word in an
    /// Arabic text is stemmed as Latin script. Where `language` isn't written
    /// in that script, or isn't known, all languages of the script are tried.
    pub(crate) fn stems(
        &self,
        word: &str,
        language: Option<Language>,
        mut found: impl FnMut(&str),
    ) {
        let mut found = |stem: &str| {
            if !stem.is_empty() {
                found(stem);
            }
        };
        match Script::of(word) {
            Some(Script::Arabic) => found(&self.arabic.stem(word)),
            Some(Script::Cyrillic) => found(&self.russian.stem(word)),
            Some(Script::Latin) => match language {
                Some(Language::English) => found(&self.english.stem(word)),
                Some(Language::French) => found(&self.french.stem(word)),
                Some(Language::Spanish) => found(&self.spanish.stem(word)),
                _ => {
                    found(&self.english.stem(word));
                    found(&self.french.stem(word));
                    found(&self.spanish.stem(word));
                }
            },
            None => {}
        }
    }
}
