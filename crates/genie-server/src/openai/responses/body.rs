//! Responses on the wire.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use genie_core::{Answer, Passage};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::id::{ResponseId, short};
use crate::answer::cited_document;
use crate::failure::Failure;
use crate::openai::files::file_id;
use crate::wire::{AnswerBody, CitationBody};

/// What a response tells of its request, and keeps.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Frame {
    /// Seconds since 1970.
    pub(super) created: u64,
    pub(super) model: String,
    /// The response before this one.
    pub(super) previous: Option<String>,
    pub(super) instructions: Option<String>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) max_output_tokens: Option<usize>,
    pub(super) temperature: f32,
    pub(super) top_p: f32,
    pub(super) store: Option<bool>,
    /// The search that was asked for as a tool; the documents are searched
    /// anyway.
    pub(super) search: Option<Search>,
    /// The file of each citation, in their order.
    pub(super) files: Vec<String>,
}

/// A search that is told of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Search {
    /// The vector store that was named; empty where none was.
    pub(super) store: String,
    /// Whether what was found is told too.
    pub(super) results: bool,
}

/// A response with all that does not change while it is written.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) id: ResponseId,
    pub(super) frame: Frame,
    pub(super) question: String,
}

impl Told {
    /// The response to an answer that was given just now.
    pub(super) fn whole_of(&self, answer: &Answer) -> Value {
        let told = Self {
            frame: self.frame_of(answer),
            ..self.clone()
        };
        told.whole(&AnswerBody::from(answer), self.results(answer))
    }

    /// The frame with the files that an answer cites.
    pub(super) fn frame_of(&self, answer: &Answer) -> Frame {
        let files = answer.citations.iter().map(|citation| {
            cited_document(answer, citation).map_or_else(String::new, |id| file_id(&id))
        });
        Frame {
            files: files.collect(),
            ..self.frame.clone()
        }
    }

    /// What the search found, where that is to be told.
    pub(super) fn results(&self, answer: &Answer) -> Option<Value> {
        let wanted = self.frame.search.as_ref()?.results;
        wanted.then(|| answer.passages.iter().map(result).collect())
    }

    /// The finished response; `results` are what the search found.
    pub(super) fn whole(&self, answer: &AnswerBody, results: Option<Value>) -> Value {
        let mut output = Vec::new();
        output.extend(self.search("completed", results));
        output.push(self.message("completed", vec![self.part(answer)]));
        let is_cut = self.is_cut(answer);
        let mut body = self.object(if is_cut { "incomplete" } else { "completed" });
        if is_cut {
            body["incomplete_details"] = json!({"reason": "max_output_tokens"});
        }
        body["output"] = Value::Array(output);
        // How much of the input was known from earlier is not told.
        body["usage"] = json!({
            "input_tokens": answer.usage.prompt_tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": answer.usage.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": answer.usage.total_tokens,
        });
        body["citations"] = json!(answer.citations);
        body["answered"] = json!(answer.answered);
        body["degraded"] = json!(answer.degraded);
        body["confidence"] = json!(answer.confidence);
        body["hand_over"] = json!(answer.hand_over);
        body["language"] = json!(answer.language);
        body
    }

    /// The response while it is written.
    pub(super) fn begun(&self) -> Value {
        self.object("in_progress")
    }

    /// The response that came to nothing.
    pub(super) fn failed(&self, failure: &Failure) -> Value {
        let code = match failure.status {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_exceeded",
            status if status.is_server_error() => "server_error",
            _ => "invalid_prompt",
        };
        let mut body = self.object("failed");
        body["error"] = json!({"code": code, "message": failure.message});
        body
    }

    /// The item of the search, where one was asked for.
    pub(super) fn search(&self, status: &str, results: Option<Value>) -> Option<Value> {
        self.frame.search.as_ref()?;
        Some(json!({
            "id": format!("fs_{}", short(&self.id.message)),
            "type": "file_search_call",
            "status": status,
            "queries": [self.question],
            "results": results,
        }))
    }

    /// The item of the message.
    pub(super) fn message(&self, status: &str, content: Vec<Value>) -> Value {
        json!({
            "id": self.message_id(),
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": content,
        })
    }

    pub(super) fn message_id(&self) -> String {
        format!("msg_{}", short(&self.id.message))
    }

    /// The text with its annotations.
    pub(super) fn part(&self, answer: &AnswerBody) -> Value {
        part(&answer.answer, self.annotations(answer))
    }

    /// One for each mark `[n]` in the text.
    pub(super) fn annotations(&self, answer: &AnswerBody) -> Vec<Value> {
        let file_of = |number: usize| {
            let cited = answer.citations.iter().zip(&self.frame.files);
            cited
                .into_iter()
                .find(|(citation, _)| citation.number == number)
        };
        marks(&answer.answer)
            .into_iter()
            .filter_map(|(index, number)| {
                let (citation, file) = file_of(number)?;
                Some(annotation(index, citation, file))
            })
            .collect()
    }

    /// An answer knows its tokens but not why the model ended; one that used
    /// up all that was allowed has most likely been cut.
    pub(super) fn is_cut(&self, answer: &AnswerBody) -> bool {
        let used = answer.usage.completion_tokens;
        self.frame
            .max_output_tokens
            .is_some_and(|most| used >= most)
    }

    fn object(&self, status: &str) -> Value {
        let frame = &self.frame;
        let tools: Vec<Value> = frame
            .search
            .iter()
            .map(|search| json!({"type": "file_search", "vector_store_ids": [search.store]}))
            .collect();
        json!({
            "id": self.id.to_string(),
            "object": "response",
            "created_at": frame.created,
            "status": status,
            "error": null,
            "incomplete_details": null,
            "instructions": frame.instructions,
            "max_output_tokens": frame.max_output_tokens,
            "metadata": frame.metadata,
            "model": frame.model,
            "output": [],
            "parallel_tool_calls": false,
            "previous_response_id": frame.previous,
            "reasoning": {"effort": null, "summary": null},
            "store": frame.store,
            "temperature": frame.temperature,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": tools,
            "top_p": frame.top_p,
            "truncation": "disabled",
            "usage": null,
        })
    }
}

pub(super) fn part(text: &str, annotations: Vec<Value>) -> Value {
    json!({
        "type": "output_text",
        "text": text,
        "annotations": annotations,
        "logprobs": [],
    })
}

fn annotation(index: usize, citation: &CitationBody, file: &str) -> Value {
    json!({
        "type": "file_citation",
        "index": index,
        "file_id": file,
        "filename": citation.document,
        // OpenAI's end here; these say where in the file, and what it says.
        "number": citation.number,
        "title": citation.title,
        "page": citation.page,
        "section": citation.section,
        "start": citation.start,
        "end": citation.end,
        "quote": citation.quote,
    })
}

/// A passage as the result of a search.
fn result(passage: &Passage) -> Value {
    let hit = &passage.hit;
    json!({
        "file_id": file_id(&hit.document.id),
        "filename": hit.document.uri,
        "score": hit.similarity.clamp(0.0, 1.0),
        "text": hit.chunk.text,
        "attributes": {},
    })
}

/// Where the marks `[n]` stand, in characters, with their numbers.
fn marks(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut characters = 0;
    let mut rest = text;
    while let Some(at) = rest.find('[') {
        characters += rest[..at].chars().count();
        let behind = &rest[at + 1..];
        let number = behind
            .split_once(']')
            .filter(|(digits, _)| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|(digits, _)| digits.parse().ok());
        if let Some(number) = number {
            found.push((characters, number));
        }
        characters += 1;
        rest = behind;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_by_character() {
        assert_eq!(marks("Élan [1][12]. Ten [sic] [ 2 [3"), [(5, 1), (8, 12)]);
        assert_eq!(marks("[[7]"), [(1, 7)]);
        assert!(marks("").is_empty());
        assert!(marks("[99999999999999999999999]").is_empty());
    }
}
