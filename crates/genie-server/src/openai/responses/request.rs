//! A request for a response, and the question in it.

use std::collections::BTreeMap;

use genie_core::{ChatMessage, ChatRole};
use genie_rag::Question;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::body::{Frame, Search};
use crate::failure::Failure;
use crate::openai::now;
use crate::openai::request::{Check, is_zero, refuse, sampling};
use crate::question::{LONGEST_HISTORY, MAX_TOKENS, TOP_K};

/// As OpenAI's.
const MOST_METADATA: usize = 16;
const LONGEST_KEY: usize = 64;
const LONGEST_VALUE: usize = 512;

const RESULTS: &str = "file_search_call.results";
/// What can be included of work that is never done here is never there.
const NEVER_THERE: [&str; 6] = [
    "reasoning.encrypted_content",
    "web_search_call.action.sources",
    "web_search_call.results",
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "message.input_image.image_url",
];

/// Fields that are not listed change nothing about an answer and are ignored.
/// Listed as [`Value`] are those that would change it and can't be honoured.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ResponsesRequest {
    model: Option<String>,
    /// A text, or messages of which the last one is the question.
    #[schemars(with = "InputSchema")]
    input: Value,
    /// Kept and told again; what answers are made by is the service's own.
    instructions: Option<String>,
    previous_response_id: Option<String>,
    /// Whether question and answer are kept; they are unless this is false.
    store: Option<bool>,
    stream: Option<bool>,
    #[schemars(range(min = 1))]
    max_output_tokens: Option<usize>,
    #[schemars(range(min = 0.0, max = 2.0))]
    temperature: Option<f32>,
    #[schemars(range(min = 0.0, max = 1.0))]
    top_p: Option<f32>,
    metadata: Option<BTreeMap<String, String>>,
    /// `file_search` over the vector store that a workspace is.
    tools: Option<Vec<Tool>>,
    include: Option<Vec<String>>,
    text: Option<Value>,
    tool_choice: Option<Value>,
    background: Option<Value>,
    conversation: Option<Value>,
    prompt: Option<Value>,
    top_logprobs: Option<Value>,
    moderation: Option<Value>,
    context_management: Option<Value>,
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used")]
enum InputSchema {
    Text(String),
    Items(Vec<serde_json::Map<String, Value>>),
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Tool {
    r#type: String,
    #[serde(default)]
    vector_store_ids: Vec<String>,
    #[serde(default)]
    #[schemars(range(min = 1, max = 50))]
    max_num_results: Option<usize>,
    #[serde(default)]
    filters: Option<Value>,
}

impl ResponsesRequest {
    pub(super) fn streams(&self) -> bool {
        self.stream == Some(true)
    }

    /// The question, and what a response tells of its request.
    pub(super) fn checked(&self) -> Result<(Question, Frame), Failure> {
        self.refuse_what_cannot_be_honoured()?;
        let (text, history) = conversation(&self.input)?;
        let (search, top_k) = self.search()?;
        let sampling = sampling(self.temperature, self.top_p)?;
        let max_tokens = match self.max_output_tokens {
            Some(0) => {
                return Err(Failure::invalid(
                    "max_output_tokens",
                    "has to be at least 1",
                ));
            }
            limit => limit.map(|limit| limit.min(*MAX_TOKENS.end())),
        };
        let frame = Frame {
            created: now(),
            model: self.model.clone().unwrap_or_default(),
            previous: self.previous_response_id.clone(),
            instructions: self.instructions.clone(),
            metadata: self.metadata()?,
            max_output_tokens: max_tokens,
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            store: self.store,
            search,
            files: Vec::new(),
        };
        let question = Question {
            history,
            max_tokens,
            top_k,
            sampling,
            ..Question::new(text)
        };
        Ok((question, frame))
    }

    fn metadata(&self) -> Result<BTreeMap<String, String>, Failure> {
        let metadata = self.metadata.clone().unwrap_or_default();
        let fits = metadata.len() <= MOST_METADATA
            && metadata.iter().all(|(key, value)| {
                key.chars().count() <= LONGEST_KEY && value.chars().count() <= LONGEST_VALUE
            });
        if fits {
            Ok(metadata)
        } else {
            Err(Failure::invalid(
                "metadata",
                format!(
                    "has to have at most {MOST_METADATA} entries, with keys of at most \
                     {LONGEST_KEY} and values of at most {LONGEST_VALUE} characters"
                ),
            ))
        }
    }

    /// The search that is asked for as a tool, and how many passages.
    fn search(&self) -> Result<(Option<Search>, Option<usize>), Failure> {
        let refused = |reason: &str| Err(Failure::invalid("tools", reason));
        let includes = self.include.as_deref().unwrap_or_default();
        let results = includes.iter().any(|what| what == RESULTS);
        if let Some(other) = includes
            .iter()
            .find(|what| *what != RESULTS && !NEVER_THERE.contains(&what.as_str()))
        {
            let shown: String = other.chars().take(100).collect();
            return Err(Failure::invalid(
                "include",
                format!("{shown:?} can't be included"),
            ));
        }
        let tool = match self.tools.as_deref().unwrap_or_default() {
            [] => return Ok((None, None)),
            [tool] if tool.r#type == "file_search" => tool,
            _ => {
                return refused(
                    "only one file_search is supported here: answers are made from the documents",
                );
            }
        };
        if tool.filters.is_some() {
            return refused("the filters of file_search are not supported here");
        }
        if tool.max_num_results.is_some_and(|n| !TOP_K.contains(&n)) {
            return refused("max_num_results has to be from 1 to 50");
        }
        let store = match tool.vector_store_ids.as_slice() {
            [] => String::new(),
            [store] => store.clone(),
            _ => return refused("file_search takes one vector store"),
        };
        Ok((Some(Search { store, results }), tool.max_num_results))
    }

    fn refuse_what_cannot_be_honoured(&self) -> Result<(), Failure> {
        let no = |value: &Value| value == &Value::Bool(false);
        let never = |_: &Value| false;
        let checks: [Check<'_>; 8] = [
            ("text", &self.text, &|text| {
                let format = &text["format"]["type"];
                text.is_object() && (format.is_null() || format == "text")
            }),
            ("tool_choice", &self.tool_choice, &|choice| {
                matches!(choice.as_str(), Some("none" | "auto" | "required"))
                    || choice["type"] == "file_search"
            }),
            ("background", &self.background, &no),
            ("conversation", &self.conversation, &never),
            ("prompt", &self.prompt, &never),
            ("top_logprobs", &self.top_logprobs, &is_zero),
            ("moderation", &self.moderation, &never),
            ("context_management", &self.context_management, &|value| {
                value.as_array().is_some_and(Vec::is_empty)
            }),
        ];
        refuse(
            &checks,
            "is not supported here: answers are single cited texts from the indexed documents; \
             previous_response_id goes on where a response ended",
        )
    }
}

/// The last user message and the turns before it. Messages of the system are
/// the service's own business and dropped, as are items that tell of work.
fn conversation(input: &Value) -> Result<(String, Vec<ChatMessage>), Failure> {
    let refused = |reason: String| Err(Failure::invalid("input", reason));
    let items = match input {
        Value::String(text) => return Ok((text.clone(), Vec::new())),
        Value::Array(items) => items,
        _ => return refused("has to be a text or a list of messages".to_owned()),
    };
    if items.len() > LONGEST_HISTORY {
        return refused(format!(
            "has {} items, but at most {LONGEST_HISTORY} are accepted",
            items.len()
        ));
    }
    let mut turns = Vec::new();
    for item in items {
        match item["type"].as_str() {
            None | Some("message") => {}
            Some("reasoning" | "file_search_call") => continue,
            Some(_) => return refused("an item has to be a message".to_owned()),
        }
        let role = match item["role"].as_str() {
            Some("user") => ChatRole::User,
            Some("assistant") => ChatRole::Assistant,
            Some("system" | "developer") => continue,
            _ => {
                return refused(
                    "the role of a message has to be user, assistant, system or developer"
                        .to_owned(),
                );
            }
        };
        turns.push(ChatMessage::new(role, text(&item["content"])?));
    }
    match turns.pop() {
        Some(last) if last.role == ChatRole::User => Ok((last.content, turns)),
        _ => refused("the last message has to be the user's question".to_owned()),
    }
}

/// Content is a text or a list of parts, of which texts can be read.
fn text(content: &Value) -> Result<String, Failure> {
    let readable = |part: &Value| match part["type"].as_str() {
        Some("input_text" | "output_text" | "text") => part["text"].as_str().map(str::to_owned),
        _ => None,
    };
    let parts = match content {
        Value::String(text) => return Ok(text.clone()),
        Value::Array(parts) => parts.iter().map(readable).collect::<Option<Vec<_>>>(),
        _ => None,
    };
    parts.map(|parts| parts.join("\n")).ok_or_else(|| {
        Failure::invalid(
            "input",
            "a content has to be a text or a list of texts; images, sound and files are not read",
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(body: Value) -> Result<(Question, Frame), Failure> {
        serde_json::from_value::<ResponsesRequest>(body)
            .expect("a request")
            .checked()
    }

    fn asking(extra: Value) -> Value {
        let mut body = json!({"input": "Why?"});
        for (key, value) in extra.as_object().expect("fields") {
            body[key] = value.clone();
        }
        body
    }

    #[test]
    fn the_last_user_message_is_the_question() {
        let (question, _) = checked(json!({"input": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "What is an IXP?"},
            {"type": "file_search_call", "id": "fs_1"},
            {"type": "message", "role": "assistant", "content": [
                {"type": "output_text", "text": "A meeting point.", "annotations": []},
            ]},
            {"role": "user", "content": [
                {"type": "input_text", "text": "And"},
                {"type": "input_text", "text": "why?"},
            ]},
        ]}))
        .expect("a question");
        assert_eq!(question.text, "And\nwhy?");
        assert_eq!(
            question.history,
            [
                ChatMessage::new(ChatRole::User, "What is an IXP?"),
                ChatMessage::new(ChatRole::Assistant, "A meeting point."),
            ]
        );
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        let pair = |n: usize| (format!("{n}"), Value::from("v"));
        let many: serde_json::Map<_, _> = (0..17).map(pair).collect();
        for (field, value) in [
            ("text", json!({"format": {"type": "json_schema"}})),
            ("tools", json!([{"type": "web_search"}])),
            (
                "tools",
                json!([{"type": "file_search", "vector_store_ids": ["a", "b"]}]),
            ),
            (
                "tools",
                json!([{"type": "file_search", "max_num_results": 51}]),
            ),
            (
                "tools",
                json!([{"type": "file_search", "filters": {"type": "eq"}}]),
            ),
            ("tool_choice", json!({"type": "function", "name": "f"})),
            ("background", json!(true)),
            ("conversation", json!("conv_1")),
            ("prompt", json!({"id": "p"})),
            ("top_logprobs", json!(2)),
            ("include", json!(["message.output_text.logprobs"])),
            ("temperature", json!(3)),
            ("top_p", json!(-1)),
            ("max_output_tokens", json!(0)),
            ("metadata", json!({"k".repeat(65): "v"})),
            ("metadata", json!({"k": "v".repeat(513)})),
            ("metadata", Value::Object(many)),
            ("input", json!(null)),
            ("input", json!([])),
            ("input", json!([{"role": "tool", "content": "x"}])),
            ("input", json!([{"type": "item_reference", "id": "x"}])),
            (
                "input",
                json!([{"role": "user", "content": [{"type": "input_image"}]}]),
            ),
            ("input", json!([{"role": "assistant", "content": "x"}])),
        ] {
            let failure = checked(asking(json!({field: value}))).expect_err("it can't be honoured");
            assert_eq!(failure.fields[0].field, field, "{value}");
        }
    }

    #[test]
    fn harmless_settings_pass() {
        let (question, frame) = checked(asking(json!({
            "text": {"format": {"type": "text"}, "verbosity": "low"},
            "tools": [{"type": "file_search", "max_num_results": 3}],
            "tool_choice": "auto", "background": false, "reasoning": {"effort": "low"},
            "include": ["file_search_call.results", "reasoning.encrypted_content"],
            "max_output_tokens": 20_000, "temperature": 0.5, "metadata": {"a": "b"},
            "parallel_tool_calls": true, "truncation": "auto", "user": "u",
            "conversation": null, "service_tier": "auto",
        })))
        .expect("a question");
        assert_eq!(question.top_k, Some(3));
        assert_eq!(question.max_tokens, Some(8192));
        assert!((frame.temperature - 0.5).abs() < 1e-6);
        assert!(frame.search.is_some_and(|search| search.results));
    }
}
