//! The parts of the product, put together as configured.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use anyhow::Context;
use genie_compute::{OpenDevice, choose_device};
use genie_core::{
    Config, Embed, Generate, IndexIdentity, LateInteraction, Lexical, Places, Store, StoreError,
    TextRole,
};
use genie_embed::{EmbedderOptions, EncoderFiles, LexicalAnalyzer, Precision, TextEmbedder};
use genie_ingest::{CHUNKER_VERSION, ChunkOptions, Limits};
use genie_llm::{ChatModel, ChatModelOptions};
use genie_models::{FileName, ModelName, ModelState, ModelStore, NetworkSettings, Registry};
use genie_rag::{Engine, EngineParts, Indexer, passage_text};
use genie_state::{KeepingStore, Originals, WorkspaceId};
use genie_store::{EdgeStore, HolderNote, ServerOptions, ServerStore, read_holder};

use crate::accounts::Accounts;
use crate::cli::{self, Common};
use crate::remote::Remote;
use crate::{settings, tenants};

/// Packs of texts that may wait for the embedding model.
const EMBEDDING_QUEUE: usize = 64;

/// Who does the work of a command that needs the index.
pub(crate) enum Place {
    /// This process.
    Here,
    /// A service: the one that was named, or one on this machine that has the
    /// index open.
    Service(Remote),
}

/// The service that was named takes the work; else a running one that has the
/// index in process to itself.
pub(crate) fn place(common: &Common, config: &Config) -> anyhow::Result<Place> {
    if let Some(remote) = Remote::named(common)? {
        return Ok(Place::Service(remote));
    }
    if config.qdrant_url.is_some() {
        return Ok(Place::Here);
    }
    let holder = read_holder(&config.places.index()).and_then(|holder| holder.url);
    Ok(match holder {
        Some(url) => Place::Service(Remote::of_holder(&url)),
        None => Place::Here,
    })
}

/// As [`place`] for the documents of one workspace, with the configuration that
/// leads to them: where this process does the work, its folders are that of the
/// workspace, and its settings count.
pub(crate) fn place_in(
    common: &Common,
    config: &Config,
    meant: &cli::Workspace,
) -> anyhow::Result<(Place, Config)> {
    match (place(common, config)?, &meant.workspace) {
        (Place::Service(remote), id) => {
            let remote = remote.within(id.clone());
            Ok((Place::Service(remote), config.clone()))
        }
        (Place::Here, Some(id)) if *id != WorkspaceId::default_workspace() => {
            let accounts = Accounts::of(config)?;
            let found = accounts
                .wait(accounts.state.workspace(id))?
                .with_context(|| {
                    format!("there is no workspace {id}; `genie workspace list` shows them")
                })?;
            Ok((Place::Here, tenants::config_of(config, &found)))
        }
        (Place::Here, _) => Ok((Place::Here, config.clone())),
    }
}

/// The model registry with its folder.
pub(crate) fn models(common: &Common, places: &Places) -> anyhow::Result<ModelStore> {
    let mut registry = Registry::builtin()?;
    if let Some(file) = &common.registry {
        registry = registry.with_file(file)?;
    }
    let settings = NetworkSettings::from_env()?;
    Ok(ModelStore::open(places.models.clone(), registry, settings)?)
}

/// Lets inference use as many threads as configured; whoever comes first
/// decides for the process.
pub(crate) fn use_threads(config: &Config) {
    if let Err(error) = genie_compute::set_threads(config.threads) {
        tracing::debug!(%error, "the number of threads stays as it is");
    }
}

/// What makes vectors, loaded, and what an index of them is.
#[derive(Clone)]
pub(crate) struct Vectors {
    pub(crate) embed: Arc<dyn Embed>,
    pub(crate) lexical: Arc<dyn Lexical>,
    /// Compares token by token, where the configuration wants it.
    pub(crate) tokens: Option<Arc<dyn LateInteraction>>,
    pub(crate) identity: IndexIdentity,
    /// Where the models run, for people.
    pub(crate) device: String,
}

impl Vectors {
    /// Loads the embedding model.
    pub(crate) fn load(common: &Common, config: &Config) -> anyhow::Result<Self> {
        use_threads(config);
        let device = choose_device(config.device)?;
        tracing::info!(device = device.note, "device chosen");
        let models = models(common, &config.places)?;
        let embed = Arc::new(embedder(&models, config, &device)?);
        let lexical: Arc<dyn Lexical> = Arc::new(LexicalAnalyzer::new());
        let late: Arc<dyn LateInteraction> = embed.clone();
        let tokens = config.retrieval.rerank.tokens.then_some(late);
        let identity = IndexIdentity {
            embedding: embed.identity().clone(),
            lexical_version: lexical.version().to_owned(),
            chunker_version: CHUNKER_VERSION.to_owned(),
            tokens_version: tokens
                .as_ref()
                .map_or("none", |tokens| tokens.version())
                .to_owned(),
        };
        if let Some(learnt) = &config.profile {
            learnt.check(&identity)?;
        }
        Ok(Self {
            embed,
            lexical,
            tokens,
            identity,
            device: device.note,
        })
    }

    /// Opens an index in process, brought up to date where only the analysis
    /// of words has changed since it was made.
    pub(crate) fn open_index(&self, folder: &Path) -> Result<EdgeStore, StoreError> {
        EdgeStore::renew(folder, &self.identity, &|document, chunk| {
            let text = passage_text(chunk, &document.title, document.media_type);
            self.lexical
                .lexical(TextRole::Passage, &text, chunk.language)
        })?;
        EdgeStore::open(folder, self.identity.clone(), HolderNote::default())
    }
}

/// Models and index, loaded.
pub(crate) struct Parts {
    pub(crate) embed: Arc<dyn Embed>,
    pub(crate) lexical: Arc<dyn Lexical>,
    pub(crate) tokens: Option<Arc<dyn LateInteraction>>,
    pub(crate) store: Arc<dyn Store>,
    /// The index in process, when it is one: a service writes its address
    /// into it.
    pub(crate) edge: Option<Arc<EdgeStore>>,
}

impl Parts {
    /// Loads the embedding model and opens the index.
    pub(crate) fn open(common: &Common, config: &Config) -> anyhow::Result<Self> {
        Ok(Self::with_vectors(common, config)?.1)
    }

    /// The same, and what makes the vectors.
    pub(crate) fn with_vectors(
        common: &Common,
        config: &Config,
    ) -> anyhow::Result<(Vectors, Self)> {
        let (vectors, opened) = std::thread::scope(|scope| {
            let opening = scope.spawn(|| opened_beside(config));
            let vectors = Vectors::load(common, config);
            (vectors, opening.join())
        });
        let vectors = vectors?;
        match opened {
            Ok(Some((identity, edge))) if identity == vectors.identity => {
                let store = keeping(config, edge.clone());
                let parts = Self::joined(&vectors, store, Some(edge));
                Ok((vectors, parts))
            }
            // Another model's is closed before it is opened once more, which
            // says what is wrong with it.
            other => {
                drop(other);
                let parts = Self::of(&vectors, config)?;
                Ok((vectors, parts))
            }
        }
    }

    /// Opens the index with models that are loaded.
    pub(crate) fn of(vectors: &Vectors, config: &Config) -> anyhow::Result<Self> {
        let (store, edge) = store(config, vectors)?;
        Ok(Self::joined(vectors, store, edge))
    }

    /// Opens an index in process that is not the installation's, with models
    /// that are loaded.
    pub(crate) fn kept(vectors: &Vectors, folder: &Path) -> anyhow::Result<Self> {
        let edge = Arc::new(vectors.open_index(folder)?);
        Ok(Self::joined(vectors, edge.clone(), Some(edge)))
    }

    /// These models with this index.
    pub(crate) fn joined(
        vectors: &Vectors,
        store: Arc<dyn Store>,
        edge: Option<Arc<EdgeStore>>,
    ) -> Self {
        Self {
            embed: Arc::clone(&vectors.embed),
            lexical: Arc::clone(&vectors.lexical),
            tokens: vectors.tokens.clone(),
            store,
            edge,
        }
    }

    /// What puts documents into the index.
    pub(crate) fn indexer(&self) -> Indexer {
        Indexer {
            embed: Arc::clone(&self.embed),
            lexical: Arc::clone(&self.lexical),
            tokens: self.tokens.clone(),
            store: Arc::clone(&self.store),
            limits: Limits::default(),
            options: ChunkOptions::default(),
        }
    }

    /// What answers questions. A configured language model that is not
    /// installed is no reason to fail: answers are quoted passages then, and
    /// marked as such.
    pub(crate) fn engine(&self, common: &Common, config: &Config) -> anyhow::Result<Engine> {
        Ok(self.engine_with(language_model(common, config)?, config))
    }

    /// As [`Self::engine`] with a language model that is loaded.
    pub(crate) fn engine_with(
        &self,
        generate: Option<Arc<dyn Generate>>,
        config: &Config,
    ) -> Engine {
        Engine::new(EngineParts {
            embed: Arc::clone(&self.embed),
            lexical: Arc::clone(&self.lexical),
            tokens: self.tokens.clone(),
            store: Arc::clone(&self.store),
            generate,
            retrieval: config.retrieval.clone(),
            answer: config.answer.clone(),
        })
    }
}

fn embedder(
    models: &ModelStore,
    config: &Config,
    device: &OpenDevice,
) -> anyhow::Result<TextEmbedder> {
    let name: ModelName = config.embedding_model.parse()?;
    let installed = models.locate(&name)?;
    let traits = installed
        .entry
        .embedding
        .as_ref()
        .with_context(|| format!("{name} is a chat model; choose an embedding model"))?;
    let files = EncoderFiles {
        tokenizer: installed
            .tokenizer
            .unwrap_or_else(|| installed.folder.join(FileName::Tokenizer.as_str())),
        weights: installed.weights,
        config: installed.config,
    };
    let options = EmbedderOptions {
        model: name.to_string(),
        hash: installed.hash,
        query_prefix: traits.query_prefix.clone(),
        passage_prefix: traits.passage_prefix.clone(),
        max_tokens: Some(installed.entry.context),
        dimension: config.embedding_dimension,
        least_dimension: traits.least_dimension,
        device: device.device.clone(),
        precision: Precision::Rounded,
        queue: EMBEDDING_QUEUE,
    };
    Ok(TextEmbedder::load(&files, options)?)
}

/// The configured language model, if there is one and it is installed.
pub(crate) fn language_model(
    common: &Common,
    config: &Config,
) -> anyhow::Result<Option<Arc<dyn Generate>>> {
    let Some(name) = &config.chat_model else {
        return Ok(None);
    };
    match loaded(common, config, name) {
        Ok(model) => Ok(Some(model)),
        Err(error) => match error.downcast_ref() {
            Some(genie_models::ModelError::NotInstalled { .. }) => {
                eprintln!("note: {error}; until then answers are quoted passages");
                Ok(None)
            }
            _ => Err(error),
        },
    }
}

/// The language models that are installed.
pub(crate) struct Installed {
    pub(crate) common: Common,
    pub(crate) config: Config,
    /// Made with the first look.
    pub(crate) store: OnceLock<Option<ModelStore>>,
}

impl Installed {
    /// Loads the one of this name.
    pub(crate) fn load(&self, name: &str) -> anyhow::Result<Arc<dyn Generate>> {
        loaded(&self.common, &self.config, name)
    }

    /// Whether there is one of this name, by the lengths of its files: probes
    /// ask it, so nothing is hashed.
    pub(crate) fn has(&self, name: &str) -> bool {
        let store = self.store.get_or_init(|| {
            models(&self.common, &self.config.places)
                .inspect_err(|error| tracing::warn!(%error, "no models can be looked up"))
                .ok()
        });
        let found = store.iter().flat_map(ModelStore::list);
        found
            .filter(|model| model.entry.name.as_str() == name)
            .any(|model| matches!(model.state, ModelState::Installed { .. }))
    }
}

/// The language model of this name.
fn loaded(common: &Common, config: &Config, name: &str) -> anyhow::Result<Arc<dyn Generate>> {
    let name: ModelName = name.parse()?;
    let installed = models(common, &config.places)?.locate(&name)?;
    let mut options = ChatModelOptions::new(name.as_str(), installed.hash);
    // Opened anew: two models on one GPU must not share a stream.
    options.device = choose_device(config.device)?.device;
    // What the service lets in, the model lets wait.
    options = options.with_queue(config.server.max_requests);
    options.slots = config.inference.slots;
    options.held = config.inference.held_mib << 20;
    options.kept = config.inference.kept_mib << 20;
    Ok(Arc::new(ChatModel::load(&installed.weights, options)?))
}

/// The index with the bytes of its documents beside it.
fn keeping(config: &Config, store: Arc<dyn Store>) -> Arc<dyn Store> {
    let originals = Originals::at(config.places.originals());
    Arc::new(KeepingStore::new(store, originals))
}

/// The index in process, opened as what it says it is while the model is being
/// loaded, which may be another one; `None` where there is none or where it
/// can't be opened.
fn opened_beside(config: &Config) -> Option<(IndexIdentity, Arc<EdgeStore>)> {
    if config.qdrant_url.is_some() {
        return None;
    }
    let folder = config.places.index();
    let identity = EdgeStore::stored_identity(&folder).ok()??;
    let edge = EdgeStore::open(&folder, identity.clone(), HolderNote::default()).ok()?;
    Some((identity, Arc::new(edge)))
}

type OpenStore = (Arc<dyn Store>, Option<Arc<EdgeStore>>);

fn store(config: &Config, vectors: &Vectors) -> anyhow::Result<OpenStore> {
    if let Some(url) = &config.qdrant_url {
        let options = ServerOptions {
            url: url.clone(),
            api_key: settings::qdrant_api_key(),
            collection: config.collection.clone(),
        };
        let server = Arc::new(ServerStore::connect(options, vectors.identity.clone())?);
        return Ok((keeping(config, server), None));
    }
    let edge = Arc::new(vectors.open_index(&config.places.index())?);
    Ok((keeping(config, edge.clone()), Some(edge)))
}
