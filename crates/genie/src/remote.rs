//! A genie service that runs on this machine and holds the index.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use anyhow::{Context, bail};
use genie_server::{AddedBody, AnswerBody, DocumentBody, DocumentsBody, SearchBody};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use ureq::{Agent, RequestBuilder};

use crate::cli::Asking;
use crate::{interrupt, settings};

/// The service's address with a client for it.
pub(crate) struct Remote {
    url: String,
    agent: Agent,
    key: Option<String>,
}

impl Remote {
    /// The service at this URL. Answers may take minutes on a slow machine;
    /// connecting may not.
    pub(crate) fn new(url: &str) -> Self {
        let agent = Agent::config_builder()
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_global(Some(Duration::from_secs(600)))
            .http_status_as_error(false)
            // The service is on this machine; a proxy for other machines has
            // no business with it.
            .proxy(None)
            .build()
            .into();
        Self {
            url: url.trim_end_matches('/').to_owned(),
            agent,
            key: settings::api_key(),
        }
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
            .with_key(self.agent.post(format!("{}/api/v1/answer", self.url)))
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
    pub(crate) fn search(&self, query: &str, asking: &Asking) -> anyhow::Result<SearchBody> {
        let mut body = json!({ "query": query });
        set(
            &mut body,
            "language",
            asking.lang.map(genie_core::Language::code),
        );
        set(&mut body, "top_k", asking.top_k);
        set(&mut body, "filter", asking.only.body()?);
        let response = self
            .with_key(self.agent.post(format!("{}/api/v1/search", self.url)))
            .send_json(&body)
            .with_context(|| self.unreachable())?;
        Ok(self.checked(response)?.into_body().read_json()?)
    }

    /// All documents.
    pub(crate) fn documents(&self) -> anyhow::Result<Vec<DocumentBody>> {
        let mut documents = Vec::new();
        let mut next = Some("/api/v1/documents?pageSize=500".to_owned());
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
                    .post(format!("{}/api/v1/documents?uri={label}", self.url)),
            )
            .header("Content-Type", "application/octet-stream")
            .send(bytes)
            .with_context(|| self.unreachable())?;
        Ok(self.checked(response)?.into_body().read_json()?)
    }

    /// Removes a document.
    pub(crate) fn delete(&self, id: &str) -> anyhow::Result<()> {
        let response = self
            .with_key(
                self.agent
                    .delete(format!("{}/api/v1/documents/{id}", self.url)),
            )
            .call()
            .with_context(|| self.unreachable())?;
        self.checked(response).map(drop)
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
        let response = self
            .with_key(self.agent.get(format!("{}/healthcheck", self.url)))
            .call()
            .with_context(|| self.unreachable())?;
        Ok(self.checked(response)?.into_body().read_json()?)
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
