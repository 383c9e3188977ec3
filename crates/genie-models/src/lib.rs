//! Model registry: manifest entries become verified local files.
//!
//! A [`Registry`] says what each model is, which files it has, their SHA-256,
//! and where they can come from: a model hub, archives on a package index
//! (which is what many institutional networks let through), or a folder. A
//! [`ModelStore`] brings a model from the first source that gives it, checks
//! every byte, and only then puts the whole folder in its place by one
//! rename. What a broken-off pull left is taken up by the next.
//!
//! What must not happen here: a file that was not verified under a model's
//! name; a credential in a message; a network access by anything but
//! [`ModelStore::pull`].
//!
//! ```
//! use genie_models::{Registry, Role};
//!
//! let registry = Registry::builtin()?;
//! let name = "multilingual-e5-small".parse()?;
//! let model = registry.get(&name).ok_or("the registry lacks its default")?;
//! assert_eq!(model.role, Role::Embedding);
//! assert_eq!(model.embedding.as_ref().map(|e| e.dimension), Some(384));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod convert;
mod digest;
mod error;
mod fetch;
mod gguf;
mod manifest;
mod name;
mod progress;
mod registry;
mod settings;
mod store;

pub use convert::PackedError;
pub use error::{Action, Damage, ModelError, RegistryError, SettingsError, SourceError};
pub use gguf::GgufError;
pub use name::{ModelName, ParseNameError};
pub use progress::{PullEvent, PullProgress};
pub use registry::{
    EmbeddingTraits, FileName, FolderFile, HubFile, ModelEntry, ModelFile, Openness, PackageForm,
    PackageMember, PackageSource, Pooling, Published, Registry, Role, Source,
};
pub use settings::{NetworkSettings, ProxySetting};
pub use store::{
    Imported, InstalledModel, ModelState, ModelStatus, ModelStore, PullOptions, Unpinned,
};
