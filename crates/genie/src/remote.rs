//! A genie service that does the work: the one that was named, or the one on
//! this machine that holds the index.

use std::io::{BufRead, BufReader, Read};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use genie_server::{AddedBody, AnswerBody, DocumentBody, DocumentsBody, SearchBody};
use genie_state::WorkspaceId;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use ureq::config::ConfigBuilder;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::typestate::AgentScope;
use ureq::{Agent, RequestBuilder};

use crate::cli::{Asking, Common, Search};
use crate::{interrupt, keyring, settings};

/// The service's address with a client for it.
pub(crate) struct Remote {
    url: String,
    agent: Agent,
    key: Option<String>,
    /// Whether what is sent to it can't be read on the way.
    keeps_keys: bool,
    /// The workspace that is meant; without it the service takes that of the
    /// key.
    workspace: Option<WorkspaceId>,
}

impl Remote {
    /// The service that was named on the command line or in the environment.
    pub(crate) fn named(common: &Common) -> anyhow::Result<Option<Self>> {
        match &common.server {
            Some(url) => Self::at(url, common.ca_certificate.as_deref()).map(Some),
            None => Ok(None),
        }
    }

    /// The service at this URL, whose certificate this machine trusts or is
    /// signed with one of the file's.
    pub(crate) fn at(url: &str, authorities: Option<&Path>) -> anyhow::Result<Self> {
        let parsed: ureq::http::Uri = url
            .parse()
            .with_context(|| format!("{url:?} is no address, as in https://genie.example.org"))?;
        let keeps_keys = match (parsed.scheme_str(), parsed.host()) {
            (Some("https"), Some(_)) => true,
            (Some("http"), Some(host)) => is_here(host),
            _ => bail!("{url:?} is no address, as in https://genie.example.org"),
        };
        if !keeps_keys && settings::api_key().is_some() {
            bail!(
                "the key in GENIE_API_KEY is sent to other machines over https only, not to {url}"
            );
        }
        let tls = TlsConfig::builder().root_certs(match authorities {
            Some(file) => roots(file)?,
            None => RootCerts::PlatformVerifier,
        });
        let config = patient().tls_config(tls.build());
        let is_own = parsed.host().is_some_and(is_here);
        let mut remote = Self::with(url, if is_own { config.proxy(None) } else { config });
        remote.keeps_keys = keeps_keys;
        if remote.key.is_none() && keeps_keys {
            remote.key = keyring::kept(&remote.url);
        }
        Ok(remote)
    }

    /// What the service is called: its address.
    pub(crate) fn name(&self) -> &str {
        &self.url
    }

    /// The same for this workspace's documents.
    pub(crate) fn within(self, workspace: Option<WorkspaceId>) -> Self {
        Self { workspace, ..self }
    }

    /// The path of something of the workspace.
    pub(crate) fn path(&self, rest: &str) -> String {
        match &self.workspace {
            Some(workspace) => format!("/api/v1/workspaces/{workspace}{rest}"),
            None => format!("/api/v1{rest}"),
        }
    }

    fn url_of(&self, rest: &str) -> String {
        format!("{}{}", self.url, self.path(rest))
    }

    /// The same with this key.
    pub(crate) fn with_secret(self, secret: &str) -> anyhow::Result<Self> {
        if !self.keeps_keys {
            let url = &self.url;
            bail!("a key is sent to other machines over https only, not to {url}");
        }
        Ok(Self {
            key: Some(secret.to_owned()),
            ..self
        })
    }

    /// The service that holds this machine's index, at the address that it
    /// noted beside its lock.
    ///
    /// Its certificate is for the name that others know it by, so it is not
    /// looked at: the note is in the home, and the connection leaves no
    /// machine.
    pub(crate) fn of_holder(url: &str) -> Self {
        let tls = TlsConfig::builder().disable_verification(true).build();
        // A proxy for other machines has no business with it.
        Self::with(url, patient().tls_config(tls).proxy(None))
    }

    fn with(url: &str, config: ConfigBuilder<AgentScope>) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            agent: config.build().into(),
            key: settings::api_key(),
            keeps_keys: true,
            workspace: None,
        }
    }

    /// What a path gives.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        let response = self
            .with_key(self.agent.get(format!("{}{path}", self.url)))
            .call()
            .with_context(|| self.unreachable())?;
        Ok(self.checked(response)?.into_body().read_json()?)
    }

    /// Everything of a list, page by page.
    pub(crate) fn every(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut found = Vec::new();
        let mut next = Some(format!("{path}?pageSize=500"));
        while let Some(path) = next {
            interrupt::check()?;
            let mut page = self.get(&path)?;
            if let Value::Array(results) = page["results"].take() {
                found.extend(results);
            }
            next = page["next"].as_str().map(str::to_owned);
        }
        Ok(found)
    }

    /// What a path gives for a body.
    pub(crate) fn send(&self, method: Sending, path: &str, body: &Value) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.url);
        let request = match method {
            Sending::Post => self.agent.post(url),
            Sending::Put => self.agent.put(url),
            Sending::Patch => self.agent.patch(url),
        };
        let response = self
            .with_key(request)
            .send_json(body)
            .with_context(|| self.unreachable())?;
        Ok(self.checked(response)?.into_body().read_json()?)
    }

    /// Removes what is at a path; what is said of it, where something is.
    pub(crate) fn remove(&self, path: &str) -> anyhow::Result<Option<Value>> {
        let response = self
            .with_key(self.agent.delete(format!("{}{path}", self.url)))
            .call()
            .with_context(|| self.unreachable())?;
        let response = self.checked(response)?;
        match response.status().as_u16() {
            204 => Ok(None),
            _ => Ok(Some(response.into_body().read_json()?)),
        }
    }

    /// A backup of the installation, as it comes. It takes the time that it
    /// takes.
    pub(crate) fn backup(&self) -> anyhow::Result<Box<dyn Read>> {
        let response = self
            .with_key(self.agent.post(format!("{}/api/v1/backup", self.url)))
            .config()
            .timeout_global(None)
            .build()
            .send_empty()
            .with_context(|| self.unreachable())?;
        Ok(Box::new(self.checked(response)?.into_body().into_reader()))
    }

    /// The request with the key that the service may need.
    fn with_key<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        match &self.key {
            Some(key) => request.header("Authorization", format!("Bearer {key}")),
            None => request,
        }
    }

    /// Answers with the pieces as they come.
    pub(crate) fn answer(
        &self,
        question: &str,
        history: &[(String, String)],
        asking: &Asking,
        on_piece: &mut dyn FnMut(&str),
    ) -> anyhow::Result<AnswerBody> {
        let mut body = json!({ "question": question });
        set(
            &mut body,
            "language",
            asking.lang.map(genie_core::Language::code),
        );
        set(&mut body, "top_k", asking.top_k);
        set(&mut body, "filter", asking.only.body()?);
        let turns: Vec<Value> = history
            .iter()
            .flat_map(|(question, answer)| {
                [
                    json!({ "role": "user", "content": question }),
                    json!({ "role": "assistant", "content": answer }),
                ]
            })
            .collect();
        if !turns.is_empty() {
            set(&mut body, "history", Some(turns));
        }
        let response = self
            .with_key(self.agent.post(self.url_of("/answer")))
            .header("Accept", "text/event-stream")
            .send_json(&body)
            .with_context(|| self.unreachable())?;
        let response = self.checked(response)?;
        let mut event = String::new();
        for line in BufReader::new(response.into_body().into_reader()).lines() {
            interrupt::check()?;
            let line = line.context("the service broke off its answer")?;
            if let Some(name) = line.strip_prefix("event:") {
                event = name.trim().to_owned();
            } else if let Some(data) = line.strip_prefix("data:") {
                match event.as_str() {
                    "delta" => {
                        let piece: Value = serde_json::from_str(data.trim())?;
                        on_piece(piece["text"].as_str().unwrap_or_default());
                    }
                    "done" => return Ok(serde_json::from_str(data.trim())?),
                    "error" => bail!("the service failed: {}", message(data)),
                    _ => {}
                }
            }
        }
        bail!("the service broke off its answer")
    }

    /// Passages for a query.
    pub(crate) fn search(&self, search: &Search) -> anyhow::Result<SearchBody> {
        let asking = &search.asking;
        let mut body = json!({ "query": search.query });
        set(&mut body, "explain", search.explain.then_some(true));
        set(
            &mut body,
            "language",
            asking.lang.map(genie_core::Language::code),
        );
        set(&mut body, "top_k", asking.top_k);
        set(&mut body, "filter", asking.only.body()?);
        let response = self
            .with_key(self.agent.post(self.url_of("/search")))
            .send_json(&body)
            .with_context(|| self.unreachable())?;
        Ok(self.checked(response)?.into_body().read_json()?)
    }

    /// All documents.
    pub(crate) fn documents(&self) -> anyhow::Result<Vec<DocumentBody>> {
        let mut documents = Vec::new();
        let mut next = Some(self.path("/documents?pageSize=500"));
        while let Some(path) = next {
            let response = self
                .with_key(self.agent.get(format!("{}{path}", self.url)))
                .call()
                .with_context(|| self.unreachable())?;
            let page: DocumentsBody = self.checked(response)?.into_body().read_json()?;
            documents.extend(page.results);
            next = page.next;
        }
        Ok(documents)
    }

    /// Sends a document to be indexed.
    pub(crate) fn add(&self, uri: &str, bytes: &[u8]) -> anyhow::Result<AddedBody> {
        let label = utf8_percent_encode(uri, NON_ALPHANUMERIC);
        let response = self
            .with_key(
                self.agent
                    .post(self.url_of(&format!("/documents?uri={label}"))),
            )
            .header("Content-Type", "application/octet-stream")
            .send(bytes)
            .with_context(|| self.unreachable())?;
        Ok(self.checked(response)?.into_body().read_json()?)
    }

    /// Removes a document; the query says for how long it can be restored.
    pub(crate) fn delete(&self, id: &str, query: &str) -> anyhow::Result<()> {
        self.remove(&self.path(&format!("/documents/{id}{query}")))
            .map(drop)
    }

    /// The bytes of a document as they were sent.
    pub(crate) fn download(&self, id: &str) -> anyhow::Result<Box<dyn Read>> {
        let response = self
            .with_key(
                self.agent
                    .get(self.url_of(&format!("/documents/{id}/content"))),
            )
            .call()
            .with_context(|| self.unreachable())?;
        Ok(Box::new(self.checked(response)?.into_body().into_reader()))
    }

    /// Passes a message of the Model Context Protocol on; `None` where it
    /// gets no reply. `headers` say again what is in it.
    pub(crate) fn mcp(
        &self,
        message: &str,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Option<String>> {
        let mut request = self
            .with_key(self.agent.post(format!("{}/mcp", self.url)))
            .header("Accept", "application/json, text/event-stream")
            .header("Content-Type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send(message).with_context(|| self.unreachable())?;
        // No message, only that it came.
        if response.status() == 202 {
            return Ok(None);
        }
        let status = response.status();
        let body = response.into_body().read_to_string()?;
        let parsed: Value = serde_json::from_str(&body).unwrap_or_default();
        // The protocol's own errors are replies like any other.
        if parsed["jsonrpc"].is_string() {
            return Ok(Some(body));
        }
        bail!(
            "the service at {} answered {status}: {}",
            self.url,
            self::message(&body)
        )
    }

    /// The body of its health check.
    pub(crate) fn health(&self) -> anyhow::Result<Value> {
        self.get("/healthcheck")
    }

    fn unreachable(&self) -> String {
        format!("the service at {} can't be reached", self.url)
    }

    fn checked(
        &self,
        response: ureq::http::Response<ureq::Body>,
    ) -> anyhow::Result<ureq::http::Response<ureq::Body>> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.into_body().read_to_string().unwrap_or_default();
        bail!(
            "the service at {} answered {status}: {}",
            self.url,
            message(&body)
        )
    }
}

/// How a body is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sending {
    Post,
    Put,
    Patch,
}

/// Answers may take minutes on a slow machine; connecting may not.
fn patient() -> ConfigBuilder<AgentScope> {
    Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(5)))
        .timeout_global(Some(Duration::from_secs(600)))
        .http_status_as_error(false)
}

/// Whether a host of a URL is this machine.
fn is_here(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address: Option<IpAddr> = host.parse().ok();
    host == "localhost" || address.is_some_and(|address| address.is_loopback())
}

/// The certificates of a file, which alone are trusted then.
fn roots(file: &Path) -> anyhow::Result<RootCerts> {
    let shown = file.display();
    let pem = std::fs::read(file).with_context(|| format!("{shown} can't be read"))?;
    let certificates: Vec<Certificate<'static>> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        bail!("{shown} holds no certificate in PEM form");
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

fn set(body: &mut Value, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        body[key] = value.into();
    }
}

/// The sentence in an error body, else the beginning of the body.
fn message(body: &str) -> String {
    let parsed: Value = serde_json::from_str(body.trim()).unwrap_or_default();
    parsed["message"]
        .as_str()
        .map_or_else(|| body.chars().take(200).collect(), str::to_owned)
}
