//! Completions of the language model itself on the wire.

use genie_core::{FinishReason, Generation, TokenWeight, Tool};
use serde_json::{Value, json};

use super::body::Completion;
use super::calls;
use super::direct::Written;
use crate::wire::UsageBody;

/// What all objects of one completion have in common.
#[derive(Debug)]
pub(super) struct DirectBody {
    pub(super) completion: Completion,
    /// What may be called; empty where nothing was offered.
    pub(super) tools: Vec<Tool>,
    pub(super) choices: usize,
}

impl DirectBody {
    /// All choices in one piece.
    pub(super) fn whole(&self, written: &Written) -> Value {
        let mut body = self.completion.object("chat.completion");
        let choices = written.choices.iter().enumerate();
        body["choices"] = choices
            .map(|(index, choice)| self.choice(index, choice))
            .collect();
        body["usage"] = json!(UsageBody::from(written.usage()));
        extend(&mut body, written);
        body
    }

    /// The chunk that opens a choice.
    pub(super) fn opening(&self, choice: usize) -> Value {
        self.chunk(choice, &json!({"role": "assistant", "content": ""}), None)
    }

    /// A chunk with a piece of text. With tools there are none: what looks
    /// like text may turn out to be a call.
    pub(super) fn delta(
        &self,
        choice: usize,
        text: &str,
        weights: &[TokenWeight],
    ) -> Option<Value> {
        let delta = json!({"content": text});
        self.tools.is_empty().then(|| {
            let mut chunk = self.chunk(choice, &delta, None);
            chunk["choices"][0]["logprobs"] = told(weights);
            chunk
        })
    }

    /// The chunks that end all choices.
    pub(super) fn closing(&self, written: &Written, includes_usage: bool) -> Vec<Value> {
        let mut chunks = Vec::new();
        for (index, choice) in written.choices.iter().enumerate() {
            let whole = self.choice(index, choice);
            if !self.tools.is_empty() {
                let message = &whole["message"];
                let mut delta = json!({"content": message["content"]});
                if let Some(calls) = message["tool_calls"].as_array() {
                    delta["tool_calls"] = numbered(calls);
                }
                let mut chunk = self.chunk(index, &delta, None);
                chunk["choices"][0]["logprobs"] = whole["logprobs"].clone();
                chunks.push(chunk);
            }
            chunks.push(self.chunk(index, &json!({}), whole["finish_reason"].as_str()));
        }
        if includes_usage {
            let mut usage = self.completion.object("chat.completion.chunk");
            usage["choices"] = json!([]);
            usage["usage"] = json!(UsageBody::from(written.usage()));
            chunks.push(usage);
        }
        if let Some(last) = chunks.last_mut() {
            extend(last, written);
        }
        chunks
    }

    fn choice(&self, index: usize, choice: &Generation) -> Value {
        let (text, called) = match self.tools.is_empty() {
            true => (choice.text.clone(), Vec::new()),
            false => calls::read(&choice.text, &self.tools),
        };
        let mut message = json!({"role": "assistant", "content": text, "refusal": null});
        if !called.is_empty() {
            message["tool_calls"] = called
                .iter()
                .map(|call| {
                    json!({
                        "id": format!("call_{}", uuid::Uuid::new_v4().simple()),
                        "type": "function",
                        "function": {"name": call.name, "arguments": call.arguments},
                    })
                })
                .collect();
            if text.is_empty() {
                message["content"] = Value::Null;
            }
        }
        let finish_reason = match choice.finish {
            FinishReason::Length => "length",
            _ if !called.is_empty() => "tool_calls",
            FinishReason::Stop | FinishReason::Cancelled => "stop",
        };
        json!({
            "index": index,
            "message": message,
            "logprobs": told(&choice.weights),
            "finish_reason": finish_reason,
        })
    }

    fn chunk(&self, choice: usize, delta: &Value, finish_reason: Option<&str>) -> Value {
        let mut body = self.completion.object("chat.completion.chunk");
        body["choices"] = json!([{
            "index": choice,
            "delta": delta,
            "logprobs": null,
            "finish_reason": finish_reason,
        }]);
        body
    }
}

/// That nothing was checked stands in every whole reply and last chunk.
fn extend(body: &mut Value, written: &Written) {
    body["grounding"] = json!("none");
    body["citations"] = json!([]);
    body["dropped_messages"] = json!(written.dropped);
}

fn numbered(calls: &[Value]) -> Value {
    let numbered = calls.iter().enumerate().map(|(index, call)| {
        let mut call = call.clone();
        call["index"] = json!(index);
        call
    });
    numbered.collect()
}

/// Null where nobody asked for them.
fn told(weights: &[TokenWeight]) -> Value {
    if weights.is_empty() {
        return Value::Null;
    }
    let content: Vec<Value> = weights.iter().map(weight).collect();
    json!({"content": content, "refusal": null})
}

fn weight(weight: &TokenWeight) -> Value {
    let one = |bytes: &[u8], log_probability: f32| {
        json!({
            "token": String::from_utf8_lossy(bytes),
            "logprob": log_probability,
            "bytes": bytes,
        })
    };
    let mut told = one(&weight.bytes, weight.log_probability);
    told["top_logprobs"] = weight
        .best
        .iter()
        .map(|(bytes, log_probability)| one(bytes, *log_probability))
        .collect();
    told
}
