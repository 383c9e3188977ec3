//! Chat completions on the wire, whole and in chunks.

use genie_core::{Answer, FormedValue, ValueSupport};
use serde_json::{Value, json};

use crate::wire::{CitationBody, HandOverBody, UsageBody};

/// What every object of one completion has in common.
#[derive(Debug, Clone)]
pub(super) struct Completion {
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) model: String,
    /// Tokens asked for at most.
    pub(super) max_tokens: Option<usize>,
    /// The answer is wanted in a form.
    pub(super) has_form: bool,
}

impl Completion {
    /// The answer in one piece.
    pub(super) fn whole(&self, answer: &Answer) -> Value {
        let mut body = self.object("chat.completion");
        body["choices"] = json!([{
            "index": 0,
            "message": self.message(answer),
            "logprobs": null,
            "finish_reason": self.finish_reason(answer),
        }]);
        body["usage"] = json!(UsageBody::from(answer.usage));
        extend(&mut body, answer);
        body
    }

    /// What was asked for, or why it is not there: where a form is wanted, that
    /// the documents don't answer is no text of that form but a refusal.
    fn message(&self, answer: &Answer) -> Value {
        let (content, refusal) = match (&answer.formed, self.has_form) {
            (Some(formed), _) => (Some(&formed.text), None),
            (None, true) => (None, Some(&answer.text)),
            (None, false) => (Some(&answer.text), None),
        };
        json!({"role": "assistant", "content": content, "refusal": refusal})
    }

    /// A chunk with all that is told of an answer in a form.
    pub(super) fn in_form(&self, answer: &Answer) -> Value {
        let mut delta = self.message(answer);
        if let Some(delta) = delta.as_object_mut() {
            delta.remove("role");
            delta.retain(|_, value| !value.is_null());
        }
        self.chunk(&delta, None)
    }

    /// The chunk that opens a stream.
    pub(super) fn opening(&self) -> Value {
        self.chunk(&json!({"role": "assistant", "content": ""}), None)
    }

    /// A chunk with a piece of the text.
    pub(super) fn delta(&self, text: &str) -> Value {
        self.chunk(&json!({"content": text}), None)
    }

    /// The chunk that ends the text.
    pub(super) fn closing(&self, answer: &Answer) -> Value {
        let mut body = self.chunk(&json!({}), Some(self.finish_reason(answer)));
        extend(&mut body, answer);
        body
    }

    /// The chunk behind the end that has the token counts and no choices. It
    /// repeats the extra fields, so that they are on the last chunk whichever
    /// that is.
    pub(super) fn usage(&self, answer: &Answer) -> Value {
        let mut body = self.object("chat.completion.chunk");
        body["choices"] = json!([]);
        body["usage"] = json!(UsageBody::from(answer.usage));
        extend(&mut body, answer);
        body
    }

    fn chunk(&self, delta: &Value, finish_reason: Option<&str>) -> Value {
        let mut body = self.object("chat.completion.chunk");
        body["choices"] = json!([{
            "index": 0,
            "delta": delta,
            "logprobs": null,
            "finish_reason": finish_reason,
        }]);
        body
    }

    pub(super) fn object(&self, kind: &str) -> Value {
        json!({
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
        })
    }

    /// An answer knows its tokens but not why the model ended; one that used
    /// up all that was allowed has most likely been cut.
    fn finish_reason(&self, answer: &Answer) -> &'static str {
        if let Some(formed) = &answer.formed {
            return if formed.complete { "stop" } else { "length" };
        }
        match self.max_tokens {
            Some(most) if answer.usage.completion_tokens >= most => "length",
            _ => "stop",
        }
    }
}

/// What an answer has beyond OpenAI's fields.
fn extend(body: &mut Value, answer: &Answer) {
    let citations: Vec<_> = answer.citations.iter().map(CitationBody::from).collect();
    body["citations"] = json!(citations);
    body["answered"] = json!(answer.answered);
    body["degraded"] = json!(answer.degraded);
    body["confidence"] = json!(answer.confidence);
    body["hand_over"] = json!(answer.hand_over.as_ref().map(HandOverBody::from));
    body["language"] = json!(answer.language.code());
    body["grounding"] = json!("documents");
    if let Some(formed) = &answer.formed {
        body["answer"] = json!(answer.text);
        body["values"] = formed.values.iter().map(value).collect();
    }
}

/// Where a value of a form stands.
fn value(value: &FormedValue) -> Value {
    let (support, citation) = match value.support {
        ValueSupport::Cited(number) => ("cited", Some(number)),
        ValueSupport::Asked => ("question", None),
        ValueSupport::Judged => ("judged", None),
        ValueSupport::Missing => ("none", None),
    };
    json!({"path": value.path, "support": support, "citation": citation})
}
