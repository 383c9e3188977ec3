//! Qdrant's engine on a server.

use std::future::Future;
use std::time::Duration;

use genie_core::StoreError;
use qdrant_client::qdrant::vectors_config::Config as VectorsConfigKind;
use qdrant_client::qdrant::{
    CollectionInfo, CollectionStatus, CountPointsBuilder, CreateCollectionBuilder,
    CreateFieldIndexCollectionBuilder, Datatype, DeletePointsBuilder, DeleteSnapshotRequestBuilder,
    Distance, GetPointsBuilder, HnswConfigDiffBuilder, Modifier, PointId, PointStruct,
    QueryBatchPointsBuilder, QueryPoints, QueryPointsBuilder, ScrollPointsBuilder,
    SearchParamsBuilder, SparseIndexConfigBuilder, SparseVectorParamsBuilder,
    SparseVectorsConfigBuilder, UpsertPointsBuilder, VectorParamsBuilder, VectorsConfigBuilder,
};
use qdrant_client::{Qdrant, QdrantError};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use super::ServerOptions;
use super::address::Addresses;
use super::convert::{
    NoId, candidate, field_type, filter, point_struct, query, record, with_payload, with_vectors,
};
use crate::engine::{
    Candidate, DENSE, Detail, Engine, LEXICAL, Probes, RawPoint, RawRecord, Selector,
};
use crate::payload::INDEXED;
use crate::tuning;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a request may take; writes of a large document are in batches.
const REQUEST: Duration = Duration::from_secs(60);
/// Points read per page.
const PAGE: u32 = 500;

/// gRPC status codes (<https://grpc.io/docs/guides/status-codes/>).
const CANCELLED: i32 = 1;
const DEADLINE_EXCEEDED: i32 = 4;
const ALREADY_EXISTS: i32 = 6;
const UNAVAILABLE: i32 = 14;

/// A client of one collection.
pub(crate) struct ServerEngine {
    client: Qdrant,
    /// `None` only while it is being dropped.
    runtime: Option<Runtime>,
    url: String,
    collection: String,
}

impl std::fmt::Debug for ServerEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerEngine")
            .field("url", &self.url)
            .field("collection", &self.collection)
            .finish_non_exhaustive()
    }
}

/// An answer that Qdrant should not have given.
#[derive(Debug, thiserror::Error)]
enum BadAnswer {
    #[error("the answer lacks {0}")]
    Lacks(&'static str),
    #[error("the runtime of the client has ended")]
    NoRuntime,
}

impl ServerEngine {
    /// Connects and waits for a sign of life.
    pub(crate) fn connect(options: &ServerOptions) -> Result<Self, StoreError> {
        let url = options.url.clone();
        let unreachable = |source| StoreError::Unreachable {
            url: options.url.clone(),
            source,
        };
        let mut config = Qdrant::from_url(&Addresses::of(&url)?.grpc)
            .connect_timeout(CONNECT)
            .timeout(REQUEST)
            // It would print to the terminal.
            .skip_compatibility_check();
        if let Some(key) = &options.api_key {
            config = config.api_key(key.as_str());
        }
        let client = config
            .build()
            .map_err(|error| unreachable(Box::new(error)))?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("qdrant-client")
            .enable_all()
            .build()
            .map_err(|error| unreachable(Box::new(error)))?;
        let engine = Self {
            client,
            runtime: Some(runtime),
            url,
            collection: options.collection.clone(),
        };
        // Even where packets vanish, the answer comes within seconds.
        let health = engine.block_on(async {
            tokio::time::timeout(CONNECT * 2, engine.client.health_check()).await
        })?;
        match health {
            Ok(answer) => {
                let answer = answer.map_err(|error| unreachable(Box::new(error)))?;
                tracing::debug!(version = %answer.version, url = %engine.url, "connected to Qdrant");
                Ok(engine)
            }
            Err(elapsed) => Err(unreachable(Box::new(elapsed))),
        }
    }

    pub(crate) fn collection_exists(&self) -> Result<bool, StoreError> {
        self.call(self.client.collection_exists(&self.collection))
    }

    pub(crate) fn create_collection(&self, dimension: usize) -> Result<(), StoreError> {
        let mut dense = VectorsConfigBuilder::default();
        dense.add_named_vector_params(
            DENSE,
            VectorParamsBuilder::new(dimension as u64, Distance::Cosine)
                .datatype(Datatype::Float16)
                .hnsw_config(
                    HnswConfigDiffBuilder::default()
                        .m(u64::from(tuning::LINKS))
                        .ef_construct(u64::from(tuning::BUILD_BREADTH)),
                ),
        );
        let mut lexical = SparseVectorsConfigBuilder::default();
        lexical.add_named_vector_params(
            LEXICAL,
            SparseVectorParamsBuilder::default()
                .modifier(Modifier::Idf)
                .index(SparseIndexConfigBuilder::default().datatype(Datatype::Float16)),
        );
        let request = CreateCollectionBuilder::new(&self.collection)
            .vectors_config(dense)
            .sparse_vectors_config(lexical)
            .on_disk_payload(true);
        match self.block_on(self.client.create_collection(request))? {
            Ok(_) => Ok(()),
            // Another process was faster; the identity tells whose it is.
            Err(error) if code(&error) == Some(ALREADY_EXISTS) => Ok(()),
            Err(error) => Err(self.failure(error)),
        }
    }

    pub(crate) fn index_payload(&self) -> Result<(), StoreError> {
        let present = self.info()?.payload_schema;
        for (field, kind) in INDEXED {
            if !present.contains_key(field) {
                self.call(
                    self.client.create_field_index(
                        CreateFieldIndexCollectionBuilder::new(
                            &self.collection,
                            field,
                            field_type(kind),
                        )
                        .wait(true),
                    ),
                )?;
            }
        }
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> Result<bool, StoreError> {
        let request = CountPointsBuilder::new(&self.collection).exact(true);
        let answer = self.call(self.client.count(request))?;
        let result = answer.result.ok_or_else(|| self.lacks("a count"))?;
        Ok(result.count == 0)
    }

    /// An error where the collection's dense vectors have another length.
    pub(crate) fn check_dimension(&self, expected: usize) -> Result<(), StoreError> {
        let found = self
            .info()?
            .config
            .and_then(|config| config.params)
            .and_then(|params| params.vectors_config)
            .and_then(|vectors| vectors.config)
            .and_then(|config| match config {
                VectorsConfigKind::ParamsMap(mut map) => map.map.remove(DENSE),
                VectorsConfigKind::Params(_) => None,
            })
            .map(|params| params.size);
        if found == Some(expected as u64) {
            return Ok(());
        }
        Err(StoreError::IdentityMismatch {
            location: self.location(),
            field: "embedding dimension",
            found: found.map_or_else(
                || format!("no vector named {DENSE}"),
                |found| found.to_string(),
            ),
            expected: expected.to_string(),
        })
    }

    pub(crate) fn remove_collection(&self) -> Result<(), StoreError> {
        self.call(self.client.delete_collection(&self.collection))
            .map(drop)
    }

    /// Whether the server has nothing left to merge or to index.
    pub(crate) fn is_indexed(&self) -> Result<bool, StoreError> {
        Ok(self.info()?.status == i32::from(CollectionStatus::Green))
    }

    pub(crate) fn create_snapshot(&self) -> Result<String, StoreError> {
        let answer = self.call(self.client.create_snapshot(&self.collection))?;
        answer
            .snapshot_description
            .map(|description| description.name)
            .ok_or_else(|| self.lacks("the name of the snapshot"))
    }

    pub(crate) fn delete_snapshot(&self, name: &str) -> Result<(), StoreError> {
        let request = DeleteSnapshotRequestBuilder::new(&self.collection, name);
        self.call(self.client.delete_snapshot(request)).map(drop)
    }

    fn info(&self) -> Result<CollectionInfo, StoreError> {
        self.call(self.client.collection_info(&self.collection))?
            .result
            .ok_or_else(|| self.lacks("the collection"))
    }

    fn call<T>(
        &self,
        request: impl Future<Output = Result<T, QdrantError>>,
    ) -> Result<T, StoreError> {
        self.block_on(request)?.map_err(|error| self.failure(error))
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> Result<T, StoreError> {
        match &self.runtime {
            Some(runtime) => Ok(runtime.block_on(future)),
            None => Err(self.backend(BadAnswer::NoRuntime)),
        }
    }

    fn failure(&self, error: QdrantError) -> StoreError {
        let unreachable = matches!(
            code(&error),
            Some(CANCELLED | DEADLINE_EXCEEDED | UNAVAILABLE)
        );
        if unreachable || matches!(error, QdrantError::Io(_)) {
            return StoreError::Unreachable {
                url: self.url.clone(),
                source: Box::new(error),
            };
        }
        if error.to_string().contains("No space left") {
            return StoreError::DiskFull {
                location: self.location(),
            };
        }
        self.backend(error)
    }

    fn read<T>(&self, point: Result<T, NoId>) -> Result<T, StoreError> {
        point.map_err(|error| self.backend(error))
    }

    fn lacks(&self, what: &'static str) -> StoreError {
        self.backend(BadAnswer::Lacks(what))
    }

    fn backend(&self, error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
        StoreError::Backend {
            location: self.location(),
            source: Box::new(error),
        }
    }
}

impl Drop for ServerEngine {
    fn drop(&mut self) {
        // Waiting for the runtime would panic within asynchronous code.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Engine for ServerEngine {
    fn location(&self) -> String {
        format!("{} (collection {})", self.url, self.collection)
    }

    fn reserve(&self, _bytes: u64) -> Result<(), StoreError> {
        // The disk is the server's; it tells when it is full.
        Ok(())
    }

    fn upsert(&self, points: Vec<RawPoint>) -> Result<(), StoreError> {
        let points: Vec<PointStruct> = points.into_iter().map(point_struct).collect();
        let request = UpsertPointsBuilder::new(&self.collection, points).wait(true);
        self.call(self.client.upsert_points(request)).map(drop)
    }

    fn remove(&self, which: Selector) -> Result<(), StoreError> {
        // Without a condition it would be everything, which nobody asks for.
        if which.is_empty() {
            return Ok(());
        }
        let request = DeletePointsBuilder::new(&self.collection)
            .points(filter(&which))
            .wait(true);
        self.call(self.client.delete_points(request)).map(drop)
    }

    fn settle(&self) -> Result<(), StoreError> {
        // Every write waits until the server has it in its log and applied.
        Ok(())
    }

    fn tend(&self, _points: usize) -> Result<(), StoreError> {
        Ok(())
    }

    fn scroll(&self, which: Selector, detail: Detail) -> Result<Vec<RawRecord>, StoreError> {
        let mut records = Vec::new();
        let mut offset: Option<PointId> = None;
        loop {
            let mut request = ScrollPointsBuilder::new(&self.collection)
                .filter(filter(&which))
                .limit(PAGE)
                .with_payload(with_payload(detail))
                .with_vectors(with_vectors(detail));
            if let Some(offset) = offset {
                request = request.offset(offset);
            }
            let page = self.call(self.client.scroll(request))?;
            for point in page.result {
                records.push(self.read(record(point))?);
            }
            offset = page.next_page_offset;
            if offset.is_none() {
                return Ok(records);
            }
        }
    }

    fn retrieve(&self, ids: &[Uuid], detail: Detail) -> Result<Vec<RawRecord>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<PointId> = ids.iter().map(|id| id.to_string().into()).collect();
        let request = GetPointsBuilder::new(&self.collection, ids)
            .with_payload(with_payload(detail))
            .with_vectors(with_vectors(detail));
        let answer = self.call(self.client.get_points(request))?;
        answer
            .result
            .into_iter()
            .map(|point| self.read(record(point)))
            .collect()
    }

    fn candidates(&self, probes: &Probes<'_>) -> Result<Vec<Vec<Candidate>>, StoreError> {
        let queries: Vec<QueryPoints> = probes
            .probes
            .iter()
            .map(|probe| {
                let (using, query) = query(*probe);
                QueryPointsBuilder::new(&self.collection)
                    .query(query)
                    .using(using)
                    .filter(filter(&probes.only))
                    .limit(probes.limit as u64)
                    .params(
                        SearchParamsBuilder::default()
                            .hnsw_ef(tuning::search_breadth(probes.limit) as u64),
                    )
                    .with_payload(with_payload(probes.detail))
                    .with_vectors(with_vectors(probes.detail))
                    .build()
            })
            .collect();
        let asked = queries.len();
        let request = QueryBatchPointsBuilder::new(&self.collection, queries);
        // Answers come in the order of the queries.
        let answers = self.call(self.client.query_batch(request))?.result;
        if answers.len() != asked {
            return Err(self.lacks("a query's result"));
        }
        answers
            .into_iter()
            .map(|answer| {
                answer
                    .result
                    .into_iter()
                    .map(|point| self.read(candidate(point)))
                    .collect()
            })
            .collect()
    }
}

/// The gRPC status of an error, where it has one.
fn code(error: &QdrantError) -> Option<i32> {
    match error {
        QdrantError::ResponseError { status } => Some(i32::from(status.code())),
        _ => None,
    }
}
