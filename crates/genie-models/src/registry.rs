//! What the registry says about each model.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use genie_core::ContentHash;

use crate::manifest;
use crate::{ModelName, RegistryError};

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Text to dense vectors.
    Embedding,
    /// Messages to an answer.
    Chat,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Embedding => "embedding",
            Self::Chat => "chat",
        })
    }
}

/// How much of something its makers have published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Published {
    /// All of it, under an open licence.
    Open,
    /// Some of it, or a description that does not suffice to rebuild it.
    Partial,
    /// None of it.
    Closed,
}

/// What the makers of a model have published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Openness {
    /// The weights.
    pub weights: Published,
    /// The data that it was trained on.
    pub training_data: Published,
    /// The code that trained it.
    pub code: Published,
}

/// What an embedding model expects and gives.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingTraits {
    /// Numbers a vector.
    pub dimension: usize,
    /// The fewest numbers to which a vector may be cut, for a model that was
    /// trained so that its first numbers say most.
    #[serde(default)]
    pub least_dimension: Option<usize>,
    /// How token vectors become one.
    pub pooling: Pooling,
    /// Put in front of a query.
    #[serde(default)]
    pub query_prefix: String,
    /// Put in front of a passage.
    #[serde(default)]
    pub passage_prefix: String,
}

/// How token vectors become the vector of a text, as far as the program can do
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// Their mean.
    Mean,
}

/// A file of an installed model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFile {
    /// Its name in the model's folder.
    pub name: FileName,
    /// Bytes, where known.
    pub size: Option<u64>,
    /// Its SHA-256, where known. A file without one is taken as it comes the
    /// first time, which needs consent.
    pub sha256: Option<ContentHash>,
}

/// The names that files of a model have on disk, whatever their source calls
/// them.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize,
)]
pub enum FileName {
    /// `model.gguf`
    #[serde(rename = "model.gguf")]
    Gguf,
    /// `model.safetensors`
    #[serde(rename = "model.safetensors")]
    Safetensors,
    /// `tokenizer.json`
    #[serde(rename = "tokenizer.json")]
    Tokenizer,
    /// `config.json`
    #[serde(rename = "config.json")]
    Config,
}

impl FileName {
    /// The name as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gguf => "model.gguf",
            Self::Safetensors => "model.safetensors",
            Self::Tokenizer => "tokenizer.json",
            Self::Config => "config.json",
        }
    }

    /// Whether it holds the weights.
    #[must_use]
    pub const fn is_weights(self) -> bool {
        matches!(self, Self::Gguf | Self::Safetensors)
    }
}

impl std::fmt::Display for FileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where the files of a model can come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A model hub, file by file.
    Hub(Vec<HubFile>),
    /// Archives on a package index.
    Packages(PackageSource),
    /// Files in a local folder.
    Folder(Vec<FolderFile>),
}

impl Source {
    /// The kind as the registry file spells it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Hub(_) => "hf",
            Self::Packages(_) => "pypi",
            Self::Folder(_) => "path",
        }
    }
}

/// A file on a model hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubFile {
    /// What it becomes.
    pub file: FileName,
    /// `owner/name`.
    pub repository: String,
    /// Branch, tag or commit.
    pub revision: String,
    /// The path inside the repository.
    pub path: String,
}

/// Packages whose members make up a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageSource {
    /// What is inside, and what has to be done with it.
    pub form: PackageForm,
    /// Members in the order in which those of one file join.
    pub members: Vec<PackageMember>,
}

/// The form of what packages hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackageForm {
    /// The files of the model as they are, some cut into parts.
    Files,
    /// A packed encoder that is converted into `model.gguf` and
    /// `tokenizer.json`.
    PackedEncoder {
        /// SHA-256 of the packed file.
        sha256: ContentHash,
        /// Its bytes.
        size: u64,
    },
}

/// A member of a package's archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageMember {
    /// The file that it is, or is a part of; a packed encoder is staged as
    /// its weights.
    pub file: FileName,
    /// The package.
    pub package: String,
    /// Its exact version.
    pub version: String,
    /// The path inside the archive.
    pub member: String,
}

/// A file in a local folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderFile {
    /// What it becomes.
    pub file: FileName,
    /// Where it is.
    pub path: PathBuf,
}

/// A model of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelEntry {
    /// Its name here.
    pub name: ModelName,
    /// Its name among people.
    pub title: String,
    /// What it is for.
    pub role: Role,
    /// The architecture, as GGUF spells it.
    pub architecture: String,
    /// The licence of the weights, as an SPDX identifier.
    pub licence: String,
    /// What its makers published.
    pub openness: Openness,
    /// Tokens that it can read at most.
    pub context: usize,
    /// Languages, as ISO 639-1 codes; `mul` stands for many more.
    pub languages: Vec<String>,
    /// Whether somebody pulled this entry where it was written.
    pub verified: bool,
    /// Present for an embedding model.
    pub embedding: Option<EmbeddingTraits>,
    /// The files of an installation.
    pub files: Vec<ModelFile>,
    /// Where they come from, tried in this order.
    pub sources: Vec<Source>,
}

impl ModelEntry {
    /// Bytes of all files, as far as the registry knows them.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.files.iter().filter_map(|file| file.size).sum()
    }

    /// Whether the registry pins every file by hash.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.files.iter().all(|file| file.sha256.is_some())
    }

    /// The file of that name.
    #[must_use]
    pub fn file(&self, name: FileName) -> Option<&ModelFile> {
        self.files.iter().find(|file| file.name == name)
    }

    /// The file that holds the weights.
    #[must_use]
    pub fn weights(&self) -> Option<&ModelFile> {
        self.files.iter().find(|file| file.name.is_weights())
    }
}

/// All models that can be asked for by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    models: BTreeMap<ModelName, ModelEntry>,
    order: Vec<ModelName>,
}

const BUILTIN: &str = include_str!("../../../models/registry.toml");

impl Registry {
    /// The registry that comes with this version.
    ///
    /// # Errors
    ///
    /// None in a release: a test reads the same text.
    pub fn builtin() -> Result<Self, RegistryError> {
        Self::parse(BUILTIN, Path::new("models/registry.toml"))
    }

    /// This registry, extended by a file of the same form. An entry with a
    /// known name replaces the known one. A relative `path` source is
    /// relative to the file's folder.
    ///
    /// # Errors
    ///
    /// Names the file and what is wrong with it.
    pub fn with_file(mut self, path: &Path) -> Result<Self, RegistryError> {
        let text = fs::read_to_string(path).map_err(|source| RegistryError::Read {
            path: path.to_owned(),
            source,
        })?;
        let more = Self::parse(&text, path)?;
        for (name, entry) in more.models {
            if self.models.insert(name.clone(), entry).is_none() {
                self.order.push(name);
            }
        }
        Ok(self)
    }

    /// The models, in the order in which the registry lists them.
    pub fn models(&self) -> impl Iterator<Item = &ModelEntry> {
        self.order.iter().filter_map(|name| self.models.get(name))
    }

    /// The model of that name.
    #[must_use]
    pub fn get(&self, name: &ModelName) -> Option<&ModelEntry> {
        self.models.get(name)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, RegistryError> {
        let mut registry = Self {
            models: BTreeMap::new(),
            order: Vec::new(),
        };
        for entry in manifest::parse(text, path)? {
            let name = entry.name.clone();
            if registry.models.insert(name.clone(), entry).is_some() {
                return Err(RegistryError::Duplicate {
                    path: path.to_owned(),
                    name,
                });
            }
            registry.order.push(name);
        }
        Ok(registry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_that_ships_holds_what_is_promised() {
        let registry = Registry::builtin().unwrap();
        let names: Vec<&str> = registry.models().map(|model| model.name.as_str()).collect();
        for name in [
            "qwen2.5-coder-1.5b-instruct",
            "qwen2.5-coder-0.5b-instruct",
            "smollm2-135m-instruct",
            "multilingual-e5-small",
            "all-minilm-l6-v2",
            "multilingual-e5-small-f32",
            "qwen3-1.7b",
            "qwen3-4b-instruct",
            "smollm3-3b",
            "olmo-2-1b-instruct",
        ] {
            assert!(names.contains(&name), "{name}");
        }
        for model in registry.models() {
            // Whoever verified an entry knows its hashes and sizes.
            let sized = model.files.iter().all(|file| file.size.is_some());
            assert!(
                !model.verified || (model.is_pinned() && sized),
                "{}",
                model.name
            );
            assert!(model.context > 0 && !model.languages.is_empty());
        }
    }

    #[test]
    fn a_file_of_ones_own_adds_and_replaces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.toml");
        let entry = |name: &str| {
            format!(
                "[[model]]\nname = \"{name}\"\ntitle = \"Own\"\nrole = \"chat\"\n\
                 architecture = \"llama\"\nlicence = \"MIT\"\ncontext = 1\n\
                 openness = {{ weights = \"open\", training_data = \"open\", code = \"open\" }}\n\
                 languages = [\"en\"]\nverified = false\nfile = [{{ name = \"model.gguf\" }}]\n\
                 [[model.source]]\nkind = \"path\"\n\
                 files = [{{ file = \"model.gguf\", path = \"w.gguf\" }}]\n"
            )
        };
        fs::write(&path, entry("own") + &entry("smollm3-3b")).unwrap();
        let before = Registry::builtin().unwrap();
        let after = before.clone().with_file(&path).unwrap();
        assert_eq!(after.models().count(), before.models().count() + 1);
        let replaced = after.get(&"smollm3-3b".parse().unwrap()).unwrap();
        assert_eq!(replaced.title, "Own");
        let Source::Folder(files) = &replaced.sources[0] else {
            panic!("a folder source");
        };
        assert_eq!(files[0].path, folder.path().join("w.gguf"));
        fs::write(&path, entry("own") + &entry("own")).unwrap();
        let twice = before.with_file(&path).unwrap_err();
        assert!(twice.to_string().contains("twice"), "{twice}");
    }
}
