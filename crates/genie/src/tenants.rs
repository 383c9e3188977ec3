//! The indexes of workspaces: one for each, so that no filter stands between
//! two tenants.

mod chosen;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use genie_core::{
    AnswerConfig, ChoiceRequest, Config, Constraint, DocumentRecord, Generate, GenerateError,
    GenerateRequest, Generation, ModelInfo, RetrievalConfig, Store, StoreError, Tenant,
    TokenWeight, WatchWork,
};
use genie_ingest::Source;
use genie_rag::{Engine, EngineParts, IndexError, IndexProgress, IndexStatus, Indexed, Indexer};
use genie_server::{
    AddedBody, AddedStatus, ChosenModel, DocumentSink, NewDocument, OpenWorkspace, SinkError,
    Watch, Workspaces,
};
use genie_state::{KeepingStore, Originals, Workspace, WorkspaceId};
use genie_store::{EdgeStore, ServerOptions, ServerStore};

use crate::wiring::{Installed, Parts, Vectors};
use crate::{interrupt, settings};

/// Indexes that stay open; each holds its vectors in memory.
const MOST_OPEN: usize = 64;

/// The workspaces of an installation.
pub(crate) struct Tenants {
    vectors: Vectors,
    generate: Option<Arc<dyn Generate>>,
    installed: Installed,
    /// Models that workspaces have chosen; `None` for one that can't be loaded.
    chosen: Mutex<HashMap<String, Option<Arc<dyn Generate>>>>,
    config: Config,
    /// The index of the default workspace.
    default: Arc<dyn Store>,
    open: Mutex<HashMap<String, Arc<dyn Store>>>,
}

impl Tenants {
    /// Workspaces beside the default one, whose index is open.
    pub(crate) fn new(
        vectors: Vectors,
        generate: Option<Arc<dyn Generate>>,
        installed: Installed,
        config: Config,
        default: Arc<dyn Store>,
    ) -> Self {
        Self {
            vectors,
            generate,
            installed,
            chosen: Mutex::default(),
            config,
            default,
            open: Mutex::default(),
        }
    }

    fn store(&self, workspace: &Workspace) -> Result<Arc<dyn Store>, StoreError> {
        if workspace.id == WorkspaceId::default_workspace() {
            return Ok(Arc::clone(&self.default));
        }
        self.named(name(workspace))
    }

    /// The index of this name, opened where it is not open yet.
    fn named(&self, name: String) -> Result<Arc<dyn Store>, StoreError> {
        // Nothing that could panic is done with it.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = open.get(&name) {
            return Ok(Arc::clone(store));
        }
        if open.len() >= MOST_OPEN {
            // Those that nobody uses at this moment.
            open.retain(|_, store| Arc::strong_count(store) > 1);
        }
        let store: Arc<dyn Store> = match &self.config.qdrant_url {
            Some(url) => {
                let options = on_server(&self.config, url, &name);
                let identity = self.vectors.identity.clone();
                Arc::new(ServerStore::connect(options, identity)?)
            }
            None => {
                let folder = self.config.places.workspaces().join(&name).join("index");
                Arc::new(self.vectors.open_index(&folder)?)
            }
        };
        let folder = self.config.places.workspaces().join(&name);
        let originals = Originals::at(folder.join("originals"));
        let store: Arc<dyn Store> = Arc::new(KeepingStore::new(store, originals));
        open.insert(name, Arc::clone(&store));
        Ok(store)
    }

    /// Calls `each` with the index of every workspace that has one in process
    /// and its name below the home.
    pub(crate) fn each_index(
        &self,
        each: &mut dyn FnMut(&str, &dyn Store) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if self.config.qdrant_url.is_some() {
            return Ok(());
        }
        each("index", &*self.default)?;
        let workspaces = self.config.places.workspaces();
        let entries = match std::fs::read_dir(&workspaces) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => {
                entries.with_context(|| format!("{} can't be read", workspaces.display()))?
            }
        };
        for entry in entries {
            let name = entry?.file_name().to_string_lossy().into_owned();
            // One that was erased meanwhile has none, and neither has one
            // that never got a document.
            if EdgeStore::stored_identity(&workspaces.join(&name).join("index"))?.is_some() {
                let store = self.named(name.clone())?;
                each(&format!("workspaces/{name}/index"), &*store)?;
            }
        }
        Ok(())
    }

    /// The names of indexes in process that hold what was deleted, also of
    /// those that are not open: a crash may have left them so.
    fn unpurged(&self) -> Result<Vec<String>, StoreError> {
        let workspaces = self.config.places.workspaces();
        let failed = |source| StoreError::Io {
            location: workspaces.to_string_lossy().into_owned(),
            source,
        };
        let entries = match std::fs::read_dir(&workspaces) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            if EdgeStore::is_unpurged(&entry.path().join("index")) {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }

    /// What answers and indexes in a workspace, and what its settings make of
    /// those of the installation.
    pub(crate) fn parts(&self, workspace: &Workspace) -> Result<TenantParts, StoreError> {
        let store = self.store(workspace)?;
        let settings = &workspace.settings;
        let (retrieval, answer) = settled(&self.config, workspace);
        let writes = settings.answers.as_deref() != Some("quoted");
        let engine = Engine::new(EngineParts {
            embed: Arc::clone(&self.vectors.embed),
            lexical: Arc::clone(&self.vectors.lexical),
            tokens: self.vectors.tokens.clone(),
            store: Arc::clone(&store),
            generate: writes
                .then(|| self.model(workspace))
                .flatten()
                .map(|model| Arc::new(OfTenant::new(model, workspace)) as Arc<dyn Generate>),
            retrieval: retrieval.clone(),
            answer: answer.clone(),
        });
        Ok(TenantParts {
            engine,
            indexer: Parts::joined(&self.vectors, store, None).indexer(),
            retrieval,
            answer,
        })
    }

    /// The models and what an index of them is.
    pub(crate) const fn vectors(&self) -> &Vectors {
        &self.vectors
    }

    /// Threads that inference is allowed.
    pub(crate) const fn threads(&self) -> usize {
        self.config.threads
    }

    fn folder(&self, workspace: &Workspace) -> PathBuf {
        self.config.places.workspaces().join(name(workspace))
    }
}

/// What works in a workspace.
pub(crate) struct TenantParts {
    pub(crate) engine: Engine,
    pub(crate) indexer: Indexer,
    pub(crate) retrieval: RetrievalConfig,
    pub(crate) answer: AnswerConfig,
}

fn on_server(config: &Config, url: &str, name: &str) -> ServerOptions {
    ServerOptions {
        url: url.to_owned(),
        api_key: settings::qdrant_api_key(),
        collection: format!("{}-{name}", config.collection),
    }
}

/// What a workspace's settings make of those of the installation.
fn settled(config: &Config, workspace: &Workspace) -> (RetrievalConfig, AnswerConfig) {
    let settings = &workspace.settings;
    let mut retrieval = config.retrieval.clone();
    if let Some(top_k) = settings.top_k {
        retrieval.top_k = top_k as usize;
    }
    if let Some(least) = settings.min_similarity {
        retrieval.min_similarity = least;
    }
    let mut answer = config.answer.clone();
    let languages = settings.languages.iter();
    answer.languages = languages.filter_map(|code| code.parse().ok()).collect();
    if let Some(style) = settings.style.as_ref().and_then(|it| it.parse().ok()) {
        answer.style = style;
    }
    if let Some(most) = settings.max_tokens {
        answer.max_tokens = most as usize;
    }
    if let Some(contact) = &settings.contact {
        answer.hand_over.contact = Some(contact.clone());
    }
    if let Some(below) = settings.hand_over_below {
        answer.hand_over.below = below;
    }
    (retrieval, answer)
}

/// A configuration whose index, documents and settings are those of a workspace
/// other than the default one. State and uploads are not found with it.
pub(crate) fn config_of(config: &Config, workspace: &Workspace) -> Config {
    let mut config = config.clone();
    (config.retrieval, config.answer) = settled(&config, workspace);
    let settings = &workspace.settings;
    if settings.answers.as_deref() == Some("quoted") {
        config.chat_model = None;
    } else if let Some(model) = &settings.model
        && config.chat_models.contains(model)
    {
        config.chat_model = Some(model.clone());
    }
    let name = name(workspace);
    config.collection = format!("{}-{name}", config.collection);
    // A workspace has the folders of an installation, below a name of its own.
    config.places.home = config.places.workspaces().join(name);
    config
}

/// Where a workspace's documents are, if that is on a Qdrant server.
pub(crate) fn collection(config: &Config, workspace: &Workspace) -> Option<ServerOptions> {
    let url = config.qdrant_url.as_ref()?;
    Some(on_server(config, url, &name(workspace)))
}

/// What its index is called. The time is part of it, so that a new workspace
/// never finds what an earlier one of the same id has left.
pub(crate) fn name(workspace: &Workspace) -> String {
    format!("{}-{}", workspace.id, workspace.created.as_micros())
}

impl Workspaces for Tenants {
    fn chat_models(&self) -> Vec<String> {
        self.config.offered_models().map(str::to_owned).collect()
    }

    fn chosen_model(&self, name: &str) -> ChosenModel {
        self.how_is(name)
    }

    fn open(&self, workspace: &Workspace) -> Result<OpenWorkspace, StoreError> {
        let parts = self.parts(workspace)?;
        Ok(OpenWorkspace {
            engine: Arc::new(parts.engine),
            indexer: Some(Arc::new(Sink::new(parts.indexer))),
            originals: self.originals(workspace),
        })
    }

    fn originals(&self, workspace: &Workspace) -> Option<Originals> {
        let folder = if workspace.id == WorkspaceId::default_workspace() {
            self.config.places.originals()
        } else {
            self.folder(workspace).join("originals")
        };
        Some(Originals::at(folder))
    }

    fn erase(&self, workspace: &Workspace) -> Result<(), StoreError> {
        if let Some(collection) = collection(&self.config, workspace) {
            ServerStore::remove_collection(&collection)?;
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&name(workspace));
        drop(open);
        let folder = self.folder(workspace);
        match std::fs::remove_dir_all(&folder) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(StoreError::Io {
                location: folder.to_string_lossy().into_owned(),
                source,
            }),
            _ => Ok(()),
        }
    }

    fn purge(&self) -> Result<bool, StoreError> {
        let mut purged = self.default.purge()?;
        for name in self.unpurged()? {
            purged |= self.named(name)?.purge()?;
        }
        Ok(purged)
    }
}

/// The language model in the name of a workspace: what it has read for one is
/// of no use to another, not even by how fast it answers.
struct OfTenant {
    model: Arc<dyn Generate>,
    tenant: Tenant,
}

impl OfTenant {
    fn new(model: Arc<dyn Generate>, workspace: &Workspace) -> Self {
        Self {
            model,
            tenant: Tenant::new(name(workspace)),
        }
    }
}

impl Generate for OfTenant {
    fn model(&self) -> &ModelInfo {
        self.model.model()
    }

    fn is_running(&self) -> bool {
        self.model.is_running()
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.model.count_tokens(text)
    }

    fn watch(&self, watcher: Arc<dyn WatchWork>) {
        self.model.watch(watcher);
    }

    fn check(&self, form: &Constraint) -> Result<(), GenerateError> {
        self.model.check(form)
    }

    fn generate(
        &self,
        mut request: GenerateRequest,
        on_piece: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generation, GenerateError> {
        request.tenant = self.tenant.clone();
        self.model.generate(request, on_piece)
    }

    fn generate_weighed(
        &self,
        mut request: GenerateRequest,
        on_piece: &mut dyn FnMut(&str, &[TokenWeight]) -> ControlFlow<()>,
    ) -> Result<Generation, GenerateError> {
        request.tenant = self.tenant.clone();
        self.model.generate_weighed(request, on_piece)
    }

    fn choose_while(
        &self,
        mut request: ChoiceRequest,
        on_wait: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Vec<f32>, GenerateError> {
        request.tenant = self.tenant.clone();
        self.model.choose_while(request, on_wait)
    }
}

/// Takes documents that are sent to the service.
pub(crate) struct Sink {
    indexer: Indexer,
}

impl Sink {
    /// Takes them into this index.
    pub(crate) fn new(indexer: Indexer) -> Self {
        Self { indexer }
    }
}

impl DocumentSink for Sink {
    fn add(&self, document: NewDocument<'_>, watch: &Watch) -> Result<AddedBody, SinkError> {
        let source = Source {
            bytes: document.bytes,
            uri: document.uri,
            media_type: document.media_type,
        };
        let indexed = self.indexer.index(&source, &mut telling(watch));
        Ok(added(indexed.map_err(sink_error)?))
    }

    fn reindex(
        &self,
        record: &DocumentRecord,
        bytes: &[u8],
        watch: &Watch,
    ) -> Result<AddedBody, SinkError> {
        let indexed = self.indexer.reindex(bytes, record, &mut telling(watch));
        Ok(added(indexed.map_err(sink_error)?))
    }

    fn revise(
        &self,
        record: &DocumentRecord,
        watch: &Watch,
    ) -> Result<Option<AddedBody>, SinkError> {
        let indexed = self.indexer.revise(record, &mut telling(watch));
        Ok(indexed.map_err(sink_error)?.map(added))
    }
}

fn telling(watch: &Watch) -> impl FnMut(IndexProgress) -> bool {
    move |progress| {
        let goes_on = watch.tell(progress.done as u64, progress.total as u64);
        goes_on && !interrupt::requested()
    }
}

fn sink_error(error: IndexError) -> SinkError {
    match error {
        IndexError::Ingest(error) => SinkError::Unreadable {
            reason: error.to_string(),
        },
        IndexError::Embed(genie_core::EmbedError::Busy) => SinkError::Busy,
        IndexError::Store(StoreError::DiskFull { .. }) => SinkError::DiskFull,
        IndexError::Cancelled => SinkError::Stopped,
        error => SinkError::Backend(Box::new(error)),
    }
}

fn added(indexed: Indexed) -> AddedBody {
    AddedBody {
        id: indexed.document.id.to_string(),
        uri: indexed.document.uri,
        status: match indexed.status {
            IndexStatus::Indexed => AddedStatus::Indexed,
            IndexStatus::Unchanged => AddedStatus::Unchanged,
            IndexStatus::Replaced => AddedStatus::Replaced,
        },
        chunks: indexed.document.chunks,
    }
}
