//! The indexing pipeline: bytes → document → chunks → vectors → index.

use std::sync::Arc;

use genie_core::{
    Chunk, Document, DocumentId, DocumentRecord, Embed, EmbedError, Embedding, LateInteraction,
    Lexical, MediaType, Point, Store, StoreError, TextRole, TokenCodes,
};
use genie_ingest::{ChunkOptions, Chunker, IngestError, Limits, Source, parse, readable};

/// Chunks embedded in one call: few enough that progress shows and an
/// interruption is heard within seconds.
const BATCH: usize = 8;

/// Puts documents into an index. Every call blocks until it is done.
pub struct Indexer {
    /// Dense vectors of passages.
    pub embed: Arc<dyn Embed>,
    /// Lexical vectors of passages.
    pub lexical: Arc<dyn Lexical>,
    /// Codes of the tokens of passages; `None` keeps none.
    pub tokens: Option<Arc<dyn LateInteraction>>,
    /// Where they go.
    pub store: Arc<dyn Store>,
    /// What one file may cost.
    pub limits: Limits,
    /// How long chunks are.
    pub options: ChunkOptions,
}

/// What indexing a file did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexStatus {
    /// The document is new.
    Indexed,
    /// The index has it already, with all its chunks.
    Unchanged,
    /// The file has changed; its earlier version is gone from the index.
    Replaced,
}

/// A file that is in the index now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indexed {
    /// What the index knows of it.
    pub document: DocumentRecord,
    /// What was done.
    pub status: IndexStatus,
    /// Chunks that were longer than the embedding model reads; their ends are
    /// found by words only.
    pub truncated: usize,
}

/// How far a file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexProgress {
    /// Chunks with vectors.
    pub done: usize,
    /// Chunks of the file.
    pub total: usize,
}

/// A file could not be indexed; the index is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The file can't be read as a document.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// Its vectors could not be made.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// The index could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The caller asked to stop.
    #[error("stopped before the document was written")]
    Cancelled,
}

impl Indexer {
    /// Indexes one file. Doing it twice changes nothing; a changed file under
    /// the same URI replaces its earlier version.
    ///
    /// `on_progress` is told after each batch of chunks; returning `false`
    /// stops before anything is written.
    ///
    /// # Errors
    ///
    /// Fails when the file can't be read as a document, and when the
    /// embedding model or the index fails.
    #[tracing::instrument(skip_all)]
    pub fn index(
        &self,
        source: &Source<'_>,
        on_progress: &mut dyn FnMut(IndexProgress) -> bool,
    ) -> Result<Indexed, IndexError> {
        let id = DocumentId::of(source.bytes);
        let earlier = self.earlier_versions(source.uri, &id)?;
        if let Some(document) = self.store.document(&id)? {
            self.remove(&earlier)?;
            return Ok(Indexed {
                document,
                status: IndexStatus::Unchanged,
                truncated: 0,
            });
        }
        let document = parse(source, &self.limits)?;
        let mut indexed = self.index_document(&document, on_progress)?;
        self.remove(&earlier)?;
        if !earlier.is_empty() {
            indexed.status = IndexStatus::Replaced;
        }
        Ok(indexed)
    }

    /// Indexes a document that is parsed already, for callers that make
    /// documents of something else than files. An earlier version under the
    /// same URI stays.
    ///
    /// # Errors
    ///
    /// As [`Self::index`].
    pub fn index_document(
        &self,
        document: &Document,
        on_progress: &mut dyn FnMut(IndexProgress) -> bool,
    ) -> Result<Indexed, IndexError> {
        let count = |text: &str| self.embed.count_tokens(text);
        let chunks = Chunker::new(self.options, &count).chunk(document);
        let chunks = chunks.into_iter().map(|chunk| (document, chunk)).collect();
        let (points, truncated) = self.points(chunks, on_progress)?;
        let record = record(document, points.len());
        self.store.put(&record, points)?;
        Ok(Indexed {
            document: record,
            status: IndexStatus::Indexed,
            truncated,
        })
    }

    /// Reads, cuts and embeds a document of the index once more, for a newer
    /// reader or a damaged entry. Title, labels and date stay those of
    /// `record`.
    ///
    /// # Errors
    ///
    /// As [`Self::index`].
    pub fn reindex(
        &self,
        bytes: &[u8],
        record: &DocumentRecord,
        on_progress: &mut dyn FnMut(IndexProgress) -> bool,
    ) -> Result<Indexed, IndexError> {
        let source = Source {
            bytes,
            uri: &record.uri,
            media_type: Some(record.media_type),
        };
        let mut document = parse(&source, &self.limits)?;
        document.title.clone_from(&record.title);
        document.labels.clone_from(&record.labels);
        document.date = record.date;
        self.index_document(&document, on_progress)
    }

    /// Gives a document of the index another title, labels or date. The title
    /// stands in front of every passage when it is embedded, so all of them
    /// are embedded anew; the bytes of the document are not needed. `None`
    /// where the index has no such document.
    ///
    /// # Errors
    ///
    /// As [`Self::index`].
    pub fn revise(
        &self,
        revised: &DocumentRecord,
        on_progress: &mut dyn FnMut(IndexProgress) -> bool,
    ) -> Result<Option<Indexed>, IndexError> {
        if self.store.document(&revised.id)?.is_none() {
            return Ok(None);
        }
        let chunks = self.store.chunks(&revised.id)?;
        let document = Document {
            id: revised.id,
            uri: revised.uri.clone(),
            title: revised.title.clone(),
            media_type: revised.media_type,
            bytes: revised.bytes,
            // Passages bring their own text.
            text: String::new(),
            blocks: Vec::new(),
            language: revised.language,
            labels: revised.labels.clone(),
            date: revised.date,
        };
        let chunks = chunks.into_iter().map(|chunk| (&document, chunk)).collect();
        let (points, truncated) = self.points(chunks, on_progress)?;
        let record = record(&document, points.len());
        self.store.put(&record, points)?;
        Ok(Some(Indexed {
            document: record,
            status: IndexStatus::Replaced,
            truncated,
        }))
    }

    /// The same for several short documents, which are embedded and made
    /// durable together.
    ///
    /// # Errors
    ///
    /// As [`Self::index`].
    pub fn index_documents(
        &self,
        documents: &[Document],
        on_progress: &mut dyn FnMut(IndexProgress) -> bool,
    ) -> Result<(), IndexError> {
        let count = |text: &str| self.embed.count_tokens(text);
        let chunker = Chunker::new(self.options, &count);
        let mut chunks = Vec::new();
        for document in documents {
            chunks.extend(
                chunker
                    .chunk(document)
                    .into_iter()
                    .map(|chunk| (document, chunk)),
            );
        }
        let (points, _) = self.points(chunks, on_progress)?;
        let mut points = points.into_iter().peekable();
        let mut written = Vec::with_capacity(documents.len());
        for document in documents {
            let mut own = Vec::new();
            while let Some(point) = points.next_if(|point| point.chunk.document == document.id) {
                own.push(point);
            }
            written.push((record(document, own.len()), own));
        }
        self.store.put_all(written)?;
        Ok(())
    }

    /// The points of chunks with their documents, and how many were longer
    /// than the model reads.
    fn points(
        &self,
        chunks: Vec<(&Document, Chunk)>,
        on_progress: &mut dyn FnMut(IndexProgress) -> bool,
    ) -> Result<(Vec<Point>, usize), IndexError> {
        let total = chunks.len();
        let mut truncated = 0;
        let mut points = Vec::with_capacity(total);
        let mut rest = chunks.into_iter().peekable();
        while rest.peek().is_some() {
            let batch: Vec<(&Document, Chunk)> = rest.by_ref().take(BATCH).collect();
            let texts: Vec<String> = batch
                .iter()
                .map(|(document, chunk)| passage_text(chunk, &document.title, document.media_type))
                .collect();
            let embeddings = self.embeddings(&texts)?;
            let read = batch.into_iter().zip(texts).zip(embeddings);
            for (((_, chunk), text), (embedding, tokens)) in read {
                truncated += usize::from(embedding.truncated);
                points.push(Point {
                    lexical: self
                        .lexical
                        .lexical(TextRole::Passage, &text, chunk.language),
                    dense: embedding.vector,
                    tokens,
                    chunk,
                });
            }
            let progress = IndexProgress {
                done: points.len(),
                total,
            };
            if !on_progress(progress) {
                return Err(IndexError::Cancelled);
            }
        }
        Ok((points, truncated))
    }

    fn embeddings(&self, texts: &[String]) -> Result<Vec<(Embedding, TokenCodes)>, EmbedError> {
        if let Some(tokens) = &self.tokens {
            return tokens.passages(texts);
        }
        let embeddings = self.embed.embed(TextRole::Passage, texts)?;
        Ok(embeddings
            .into_iter()
            .map(|embedding| (embedding, TokenCodes::default()))
            .collect())
    }

    fn earlier_versions(&self, uri: &str, id: &DocumentId) -> Result<Vec<DocumentId>, IndexError> {
        Ok(self
            .store
            .documents_from(uri)?
            .into_iter()
            .filter(|document| document.id != *id)
            .map(|document| document.id)
            .collect())
    }

    // Removed only once the new version is durable: a crash in between leaves
    // both, and the next run of the same file gets here again.
    fn remove(&self, documents: &[DocumentId]) -> Result<(), IndexError> {
        for document in documents {
            self.store.delete(document)?;
        }
        Ok(())
    }
}

/// A passage as models and the analysis of words read it: title and section in
/// front, without Markdown and HTML marks.
#[must_use]
pub fn passage_text(chunk: &Chunk, title: &str, media_type: MediaType) -> String {
    let mut shown = chunk.clone();
    shown.text = readable(media_type, &chunk.text).into_owned();
    shown.contextual_text(title)
}

fn record(document: &Document, chunks: usize) -> DocumentRecord {
    DocumentRecord {
        id: document.id,
        uri: document.uri.clone(),
        title: document.title.clone(),
        media_type: document.media_type,
        bytes: document.bytes,
        language: document.language,
        labels: document.labels.clone(),
        date: document.date,
        chunks: u32::try_from(chunks).unwrap_or(u32::MAX),
    }
}
