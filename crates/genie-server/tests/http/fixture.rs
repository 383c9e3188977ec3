//! A service over fakes, with two documents.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use genie_core::{
    AnswerConfig, Authentication, ChoiceRequest, Chunk, ChunkId, Constraint, ContentHash,
    DocumentId, DocumentRecord, Embed, FinishReason, Fusion, FusionWeights, Generate,
    GenerateError, GenerateRequest, Generation, HandOverConfig, Language, Lexical, MediaType,
    ModelInfo, Point, RerankConfig, RetrievalConfig, ServerConfig, Span, Store, Style, TextRole,
    TokenCodes, Usage,
};
use genie_rag::{Engine, EngineParts};
use genie_server::{
    AddedBody, AddedStatus, AppState, DocumentSink, NewDocument, OpenWorkspace, SinkError, Watch,
};
use genie_testkit::{FakeEmbed, FakeLexical, MemoryStore};

pub(crate) const EXCHANGE: &str = "The exchange opened in 2019. It connects 42 networks. \
    Members pay one fee a year.";
pub(crate) const CABLE: &str = "Le câble sous-marin mesure 3500 kilomètres. Il relie 5 pays.";
pub(crate) const ASKED: &str = "How many networks does the exchange connect since it opened?";

/// The service with this language model; the documents are in the index.
pub(crate) fn state(generate: Option<Arc<dyn Generate>>) -> AppState {
    state_with(generate, HandOverConfig::default())
}

/// The same with a person who can be asked.
pub(crate) fn handing_over(generate: Talker, hand_over: HandOverConfig) -> AppState {
    state_with(Some(Arc::new(generate)), hand_over)
}

fn state_with(generate: Option<Arc<dyn Generate>>, hand_over: HandOverConfig) -> AppState {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    for (uri, title, text, language) in [
        (
            "reports/exchange.pdf",
            "The exchange",
            EXCHANGE,
            Language::English,
        ),
        ("fr/cable.md", "Le câble", CABLE, Language::French),
    ] {
        put(&*store, uri, title, text, language);
    }
    let server = ServerConfig {
        listen: ([127, 0, 0, 1], 8080).into(),
        allow_remote: false,
        authentication: Authentication::SingleUser,
        requests_per_minute: 600,
        max_requests: 8,
        max_body_bytes: 64 << 10,
        direct_model: false,
    };
    let OpenWorkspace {
        engine, indexer, ..
    } = opened_with(&store, generate, hand_over);
    AppState {
        indexer,
        ..AppState::new(engine, server)
    }
}

/// An index with this language model.
pub(crate) fn opened(store: &Arc<dyn Store>, generate: Option<Arc<dyn Generate>>) -> OpenWorkspace {
    opened_with(store, generate, HandOverConfig::default())
}

fn opened_with(
    store: &Arc<dyn Store>,
    generate: Option<Arc<dyn Generate>>,
    hand_over: HandOverConfig,
) -> OpenWorkspace {
    let engine = Engine::new(EngineParts {
        embed: Arc::new(FakeEmbed::new()),
        lexical: Arc::new(FakeLexical::new()),
        tokens: None,
        store: Arc::clone(store),
        generate,
        retrieval: RetrievalConfig {
            top_k: 5,
            candidates: 20,
            fusion: Fusion::default(),
            weights: FusionWeights {
                dense: 1.0,
                lexical: 1.0,
            },
            min_similarity: 0.3,
            rerank: RerankConfig::default(),
        },
        answer: AnswerConfig {
            context_tokens: 1000,
            sentences: 3,
            max_tokens: 100,
            style: Style::default(),
            languages: Vec::new(),
            hand_over,
        },
    });
    OpenWorkspace {
        engine: Arc::new(engine),
        indexer: Some(Arc::new(Sink {
            store: Arc::clone(store),
        })),
        originals: None,
    }
}

fn put(store: &dyn Store, uri: &str, title: &str, text: &str, language: Language) {
    put_record(store, &record(uri, title, text, language), text);
}

fn put_record(store: &dyn Store, record: &DocumentRecord, text: &str) {
    let (id, uri, title) = (record.id, record.uri.as_str(), record.title.as_str());
    let span = Span::new(0, text.chars().count()).expect("a span");
    let chunk = Chunk {
        id: ChunkId::new(&id, "fake-chunker", span),
        document: id,
        ordinal: 0,
        span,
        text: text.to_owned(),
        section: vec![title.to_owned(), "Figures".to_owned()],
        page: uri.ends_with(".pdf").then_some(3),
        language: record.language,
    };
    let text = chunk.contextual_text(title);
    let dense = FakeEmbed::new()
        .embed(TextRole::Passage, std::slice::from_ref(&text))
        .expect("fakes don't fail")
        .remove(0)
        .vector;
    let point = Point {
        lexical: FakeLexical::new().lexical(TextRole::Passage, &text, None),
        tokens: TokenCodes::default(),
        dense,
        chunk,
    };
    store.put(record, vec![point]).expect("fakes don't fail");
}

fn record(uri: &str, title: &str, text: &str, language: Language) -> DocumentRecord {
    DocumentRecord {
        id: DocumentId::of(text.as_bytes()),
        uri: uri.to_owned(),
        title: title.to_owned(),
        media_type: if uri.ends_with(".pdf") {
            MediaType::Pdf
        } else {
            MediaType::Markdown
        },
        bytes: text.len() as u64,
        language: Some(language),
        labels: vec!["infrastructure".to_owned()],
        date: None,
        chunks: 1,
    }
}

/// Takes text in; refuses what begins with `bad`, panics at `panic`.
struct Sink {
    store: Arc<dyn Store>,
}

impl Sink {
    fn put(&self, record: &DocumentRecord, text: &str) -> AddedBody {
        let known = self.store.document(&record.id).expect("fakes don't fail");
        put_record(&*self.store, record, text);
        AddedBody {
            id: record.id.to_string(),
            uri: record.uri.clone(),
            status: match known {
                Some(_) => AddedStatus::Unchanged,
                None => AddedStatus::Indexed,
            },
            chunks: 1,
        }
    }
}

impl DocumentSink for Sink {
    fn add(&self, document: NewDocument<'_>, watch: &Watch) -> Result<AddedBody, SinkError> {
        let NewDocument { uri, bytes, .. } = document;
        if !watch.tell(0, 1) {
            return Err(SinkError::Stopped);
        }
        if bytes.starts_with(b"bad") {
            return Err(SinkError::Unreadable {
                reason: "this is no document".to_owned(),
            });
        }
        assert!(!bytes.starts_with(b"panic"), "asked to");
        let text = String::from_utf8_lossy(bytes).into_owned();
        let added = self.put(&record(uri, "Sent", &text, Language::English), &text);
        assert!(watch.tell(1, 1) || !watch.goes_on());
        Ok(added)
    }

    fn reindex(
        &self,
        record: &DocumentRecord,
        bytes: &[u8],
        _watch: &Watch,
    ) -> Result<AddedBody, SinkError> {
        Ok(self.put(record, &String::from_utf8_lossy(bytes)))
    }

    fn revise(
        &self,
        record: &DocumentRecord,
        _watch: &Watch,
    ) -> Result<Option<AddedBody>, SinkError> {
        let chunks = self.store.chunks(&record.id).expect("fakes don't fail");
        Ok(chunks.first().map(|chunk| self.put(record, &chunk.text)))
    }
}

/// A language model that says the same sentences each time.
pub(crate) struct Talker {
    model: ModelInfo,
    sentences: &'static [&'static str],
    /// Says them again and again until it is stopped, each time in another
    /// way.
    endless: bool,
    fails: bool,
    pause: Duration,
    gate: Option<Arc<Gate>>,
    pub(crate) was_stopped: Arc<AtomicBool>,
}

impl Talker {
    pub(crate) fn saying(sentences: &'static [&'static str]) -> Self {
        Self {
            model: ModelInfo {
                name: "fake-chat".to_owned(),
                hash: ContentHash::of(b"fake-chat"),
                context_length: 4096,
            },
            sentences,
            endless: false,
            fails: false,
            pause: Duration::ZERO,
            gate: None,
            was_stopped: Arc::default(),
        }
    }

    /// Fails when it is to write.
    pub(crate) fn failing() -> Self {
        Self {
            fails: true,
            ..Self::saying(&[])
        }
    }

    pub(crate) fn endless() -> Self {
        Self {
            endless: true,
            ..Self::saying(&["It connects 42 networks "])
        }
    }

    /// Waits for the gate before the first word.
    pub(crate) fn behind(self, gate: &Arc<Gate>) -> Self {
        Self {
            gate: Some(Arc::clone(gate)),
            ..self
        }
    }

    /// Before it chooses and between words, as a slow machine.
    pub(crate) fn pausing(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }
}

impl Generate for Talker {
    fn model(&self) -> &ModelInfo {
        &self.model
    }

    fn is_running(&self) -> bool {
        !self.fails
    }

    fn count_tokens(&self, text: &str) -> usize {
        text.split_whitespace().count()
    }

    fn check(&self, form: &Constraint) -> Result<(), GenerateError> {
        match form {
            Constraint::JsonSchema(schema) if schema.contains("hostile") => {
                Err(GenerateError::Constraint {
                    reason: "it is hostile".to_owned(),
                })
            }
            _ => Ok(()),
        }
    }

    fn generate(
        &self,
        request: GenerateRequest,
        on_piece: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generation, GenerateError> {
        if let Some(gate) = &self.gate {
            gate.pass();
        }
        if self.fails {
            return Err(GenerateError::Stopped);
        }
        let mut generation = Generation {
            text: String::new(),
            finish: FinishReason::Stop,
            usage: Usage {
                prompt_tokens: request
                    .messages
                    .iter()
                    .map(|message| self.count_tokens(&message.content))
                    .sum(),
                completion_tokens: 0,
            },
            first_token: Duration::from_millis(1),
            weights: Vec::new(),
            ruling: Duration::ZERO,
        };
        for round in 0_u32.. {
            // Letters, since figures would have to stand in the documents.
            let ending = format!("{round:b}. ").replace('0', "o").replace('1', "l");
            let ending = self.endless.then_some(ending.as_str());
            for word in self
                .sentences
                .iter()
                .flat_map(|text| text.split_inclusive(' '))
                .chain(ending)
            {
                std::thread::sleep(self.pause);
                generation.usage.completion_tokens += 1;
                if !self.endless {
                    generation.text.push_str(word);
                }
                if on_piece(word).is_break() {
                    self.was_stopped.store(true, Ordering::SeqCst);
                    generation.finish = FinishReason::Cancelled;
                    return Ok(generation);
                }
            }
            if !self.endless {
                break;
            }
        }
        Ok(generation)
    }

    fn choose_while(
        &self,
        request: ChoiceRequest,
        _: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Vec<f32>, GenerateError> {
        std::thread::sleep(self.pause);
        // Sure of the first.
        let sure = |index| if index == 0 { -0.01 } else { -5.0 };
        Ok((0..request.choices.len()).map(sure).collect())
    }
}

/// Closed until it is opened, or so long that the test has failed anyway.
#[derive(Default)]
pub(crate) struct Gate {
    pub(crate) was_reached: AtomicBool,
    open: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    pub(crate) fn open(&self) {
        *self.open.lock().expect("nobody panics with it") = true;
        self.changed.notify_all();
    }

    /// As a model does before its first word.
    pub(crate) fn wait(&self) {
        self.pass();
    }

    fn pass(&self) {
        self.was_reached.store(true, Ordering::SeqCst);
        let open = self.open.lock().expect("nobody panics with it");
        let waited = self
            .changed
            .wait_timeout_while(open, Duration::from_secs(30), |open| !*open);
        drop(waited.expect("nobody panics with it"));
    }
}
