//! A store in a temporary folder, a server, and models made up for the test.

use std::fs;
use std::io::{Cursor, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use genie_core::ContentHash;
use genie_models::{
    InstalledModel, ModelError, ModelName, ModelStore, NetworkSettings, ProxySetting, PullEvent,
    PullOptions, PullProgress, Registry,
};
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::server::{Page, Server};

pub(crate) struct Fixture {
    pub(crate) home: TempDir,
    pub(crate) server: Server,
    pub(crate) settings: NetworkSettings,
    pub(crate) registry: String,
}

/// Bytes that look like nothing and repeat nowhere.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

pub(crate) fn wheel(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The form in which an index answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Form {
    Json,
    Html,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let server = Server::start();
        let settings = NetworkSettings {
            index_urls: vec![server.url("/simple").parse().unwrap()],
            find_links: Vec::new(),
            certificates: Vec::new(),
            proxy: ProxySetting::Direct,
            hub: server.url("/hub").parse().unwrap(),
            hub_token: None,
            connect_timeout: Duration::from_secs(2),
            read_timeout: Duration::from_secs(5),
        };
        Self {
            home: tempfile::tempdir().unwrap(),
            server,
            settings,
            registry: String::new(),
        }
    }

    pub(crate) fn models(&self) -> PathBuf {
        self.home.path().join("models")
    }

    pub(crate) fn store(&self) -> ModelStore {
        let file = self.home.path().join("registry.toml");
        fs::write(&file, &self.registry).unwrap();
        let registry = Registry::builtin().unwrap().with_file(&file).unwrap();
        ModelStore::open(self.models(), registry, self.settings.clone()).unwrap()
    }

    pub(crate) fn pull(&self, name: &str) -> Result<InstalledModel, ModelError> {
        self.store().pull(
            &name.parse().unwrap(),
            PullOptions::default(),
            &(),
            &AtomicBool::new(false),
        )
    }

    /// Adds a chat model with one file of weights to the registry.
    pub(crate) fn add_model(&mut self, name: &str, weights: &[u8], sources: &str) {
        let hash = ContentHash::of(weights);
        let size = weights.len();
        self.add_model_as(
            name,
            &format!("{{ name = \"model.gguf\", size = {size}, sha256 = \"{hash}\" }}"),
            sources,
        );
    }

    pub(crate) fn add_model_as(&mut self, name: &str, files: &str, sources: &str) {
        self.registry += &format!(
            r#"
[[model]]
name = "{name}"
title = "Made up"
role = "chat"
architecture = "llama"
licence = "MIT"
openness = {{ weights = "open", training_data = "closed", code = "closed" }}
context = 128
languages = ["en"]
verified = true
file = [{files}]
{sources}
"#
        );
    }

    /// Puts a wheel of `package` 1.0 and its index page on the server.
    pub(crate) fn serve_package(&self, form: Form, package: &str, page: Page) {
        let file = format!("{}-1.0-py3-none-any.whl", package.replace('-', "_"));
        let hash = ContentHash::of(&page.body);
        let size = page.body.len();
        self.server.put(&format!("/files/{file}"), page);
        self.serve_index(form, package, &file, &hash.to_string(), size);
    }

    pub(crate) fn serve_index(
        &self,
        form: Form,
        package: &str,
        file: &str,
        hash: &str,
        size: usize,
    ) {
        let index = match form {
            Form::Json => Page::of(format!(
                r#"{{"meta":{{"api-version":"1.1"}},"name":"{package}","files":[{{
                   "filename":"{file}","url":"../../files/{file}","size":{size},
                   "hashes":{{"sha256":"{hash}"}}}}]}}"#
            ))
            .header("content-type", "application/vnd.pypi.simple.v1+json"),
            Form::Html => Page::of(format!(
                "<html><body><a href=\"../../files/{file}#sha256={hash}\">{file}</a></body>"
            ))
            .header("content-type", "text/html"),
        };
        self.server.put(&format!("/simple/{package}/"), index);
    }

    /// Everything below the folder of the models.
    pub(crate) fn left(&self) -> Vec<PathBuf> {
        fn walk(folder: PathBuf, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                found.push(entry.path());
                walk(entry.path(), found);
            }
        }
        let mut found = Vec::new();
        walk(self.models(), &mut found);
        found
    }
}

pub(crate) fn name(text: &str) -> ModelName {
    text.parse().unwrap()
}

pub(crate) fn pypi(members: &str) -> String {
    format!("[[model.source]]\nkind = \"pypi\"\nmembers = [{members}]\n")
}

pub(crate) fn hf(path: &str) -> String {
    format!(
        "[[model.source]]\nkind = \"hf\"\nfiles = [{{ file = \"model.gguf\", \
         repository = \"owner/name\", revision = \"v1\", path = \"{path}\" }}]\n"
    )
}

/// One member of one package.
pub(crate) fn one(package: &str) -> String {
    pypi(&format!(
        "{{ file = \"model.gguf\", package = \"{package}\", version = \"1.0\", \
         member = \"data/weights.bin\" }}"
    ))
}

/// Raises a flag when so many bytes have come, and keeps what it hears.
#[derive(Default)]
pub(crate) struct Listener {
    pub(crate) stop_at: Option<u64>,
    pub(crate) cancel: AtomicBool,
    pub(crate) heard: Mutex<Vec<String>>,
}

impl PullProgress for Listener {
    fn event(&self, event: PullEvent<'_>) {
        if let PullEvent::Downloaded { done, .. } = event
            && self.stop_at.is_some_and(|stop| done >= stop)
        {
            self.cancel.store(true, Ordering::Relaxed);
        }
        self.heard.lock().unwrap().push(format!("{event:?}"));
    }
}

impl Listener {
    pub(crate) fn heard(&self, part: &str) -> bool {
        let heard = self.heard.lock().unwrap();
        heard.iter().any(|event| event.contains(part))
    }
}
