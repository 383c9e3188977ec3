//! A chat completion request, and the question in it.

use genie_core::{ChatMessage, ChatRole, Sampling};
use genie_rag::Question;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::calls::ToolsRequest;
use super::form::FormRequest;
use crate::failure::Failure;
use crate::question::{LONGEST_HISTORY, MAX_TOKENS};

/// Fields that are not listed change nothing about an answer (`user`,
/// `metadata`, `store` …) and are ignored. Listed as [`Value`] are those that
/// would change it and can't be honoured.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ChatRequest {
    pub(super) model: Option<String>,
    #[schemars(length(min = 1, max = 200))]
    pub(super) messages: Vec<Message>,
    pub(super) stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    #[schemars(range(min = 0.0, max = 2.0))]
    temperature: Option<f32>,
    #[schemars(range(min = 0.0, max = 1.0))]
    top_p: Option<f32>,
    seed: Option<i64>,
    #[schemars(range(min = 1))]
    max_tokens: Option<usize>,
    #[schemars(range(min = 1))]
    max_completion_tokens: Option<usize>,
    /// `documents`, which is what is taken where nothing is said: an answer
    /// from the documents, checked and cited. `none`: the language model
    /// alone, unchecked, where the operator allows it.
    grounding: Option<String>,
    /// With `grounding` `none`: `disabled` refuses messages that don't fit the
    /// model, `auto` leaves out the oldest and tells how many.
    truncation: Option<String>,
    #[serde(flatten)]
    pub(super) form: FormRequest,
    #[serde(flatten)]
    pub(super) tools: ToolsRequest,
    pub(super) n: Option<Value>,
    pub(super) stop: Option<Value>,
    functions: Option<Value>,
    function_call: Option<Value>,
    pub(super) logprobs: Option<Value>,
    pub(super) top_logprobs: Option<Value>,
    logit_bias: Option<Value>,
    frequency_penalty: Option<Value>,
    presence_penalty: Option<Value>,
    modalities: Option<Value>,
    audio: Option<Value>,
    web_search_options: Option<Value>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Message {
    pub(super) role: String,
    #[serde(default)]
    pub(super) content: Value,
    #[serde(default)]
    pub(super) tool_calls: Value,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

impl ChatRequest {
    /// Whether a streamed answer ends with its token counts.
    pub(super) fn includes_usage(&self) -> bool {
        self.stream_options
            .as_ref()
            .is_some_and(|options| options.include_usage)
    }

    /// The question: what the last user message says, with the turns before
    /// it.
    pub(super) fn question(&self) -> Result<Question, Failure> {
        self.refuse_what_nobody_honours()?;
        self.refuse_what_documents_cannot_honour()?;
        let (text, history) = conversation(&self.messages)?;
        Ok(Question {
            history,
            max_tokens: self.limit()?,
            sampling: self.sampling()?,
            form: self.form.form()?,
            ..Question::new(text)
        })
    }

    /// Whether the language model is wanted without the documents.
    pub(super) fn is_direct(&self) -> Result<bool, Failure> {
        match self.grounding.as_deref() {
            None | Some("documents") => Ok(false),
            Some("none") => Ok(true),
            Some(_) => Err(Failure::invalid("grounding", "has to be documents or none")),
        }
    }

    /// Whether old messages may be left out where not all fit.
    pub(super) fn truncates(&self) -> Result<bool, Failure> {
        match self.truncation.as_deref() {
            None | Some("disabled") => Ok(false),
            Some("auto") => Ok(true),
            Some(_) => Err(Failure::invalid("truncation", "has to be auto or disabled")),
        }
    }

    pub(super) fn limit(&self) -> Result<Option<usize>, Failure> {
        let (field, limit) = match self.max_completion_tokens {
            Some(limit) => ("max_completion_tokens", Some(limit)),
            None => ("max_tokens", self.max_tokens),
        };
        if limit == Some(0) {
            return Err(Failure::invalid(field, "has to be at least 1"));
        }
        // Clients ask for large numbers to mean "no limit".
        Ok(limit.map(|limit| limit.min(*MAX_TOKENS.end())))
    }

    pub(super) fn sampling(&self) -> Result<Sampling, Failure> {
        let mut sampling = sampling(self.temperature, self.top_p)?;
        if let Some(seed) = self.seed {
            sampling.seed = seed.cast_unsigned();
        }
        Ok(sampling)
    }

    /// What neither answers from documents nor the model can do.
    pub(super) fn refuse_what_nobody_honours(&self) -> Result<(), Failure> {
        let one_of = |value: &Value, words: &[&str]| {
            value.as_str().is_some_and(|word| words.contains(&word))
        };
        refuse(
            &[
                ("functions", &self.functions, &is_empty),
                ("function_call", &self.function_call, &|value| {
                    one_of(value, &["none", "auto"])
                }),
                ("logit_bias", &self.logit_bias, &is_empty),
                ("frequency_penalty", &self.frequency_penalty, &is_zero),
                ("presence_penalty", &self.presence_penalty, &is_zero),
                ("modalities", &self.modalities, &|value| {
                    value == &serde_json::json!(["text"])
                }),
                ("audio", &self.audio, &|_| false),
                ("web_search_options", &self.web_search_options, &|_| false),
            ],
            "is not supported here",
        )
    }

    /// An answer is one text of sentences that were checked one by one, so
    /// there are no probabilities of its tokens, no second choice and no
    /// place to cut it.
    fn refuse_what_documents_cannot_honour(&self) -> Result<(), Failure> {
        const REASON: &str = "is not supported for answers from the documents; with \"grounding\": \
                              \"none\" the language model is asked without them, if the operator \
                              allows it";
        refuse(
            &[
                ("n", &self.n, &|value| value.as_u64() == Some(1)),
                ("stop", &self.stop, &is_empty),
                ("logprobs", &self.logprobs, &|value| {
                    value == &Value::Bool(false)
                }),
                ("top_logprobs", &self.top_logprobs, &is_zero),
            ],
            REASON,
        )?;
        if !self.tools.is_harmless() {
            return Err(Failure::invalid("tools", REASON));
        }
        if self.truncates()? {
            return Err(Failure::invalid("truncation", REASON));
        }
        Ok(())
    }
}

/// Greedy unless a temperature is given, whatever `top_p` is: answers from
/// documents are no place for dice.
pub(super) fn sampling(temperature: Option<f32>, top_p: Option<f32>) -> Result<Sampling, Failure> {
    let mut sampling = Sampling::greedy();
    if let Some(temperature) = temperature {
        if !(0.0..=2.0).contains(&temperature) {
            return Err(Failure::invalid("temperature", "has to be from 0 to 2"));
        }
        sampling.temperature = temperature;
    }
    if let Some(top_p) = top_p {
        if !(0.0..=1.0).contains(&top_p) {
            return Err(Failure::invalid("top_p", "has to be from 0 to 1"));
        }
        sampling.top_p = top_p;
    }
    Ok(sampling)
}

/// A field, its value, and whether the value changes nothing.
pub(super) type Check<'a> = (&'static str, &'a Option<Value>, &'a dyn Fn(&Value) -> bool);

pub(super) fn refuse(checks: &[Check<'_>], reason: &str) -> Result<(), Failure> {
    for (field, value, is_harmless) in checks {
        if value.as_ref().is_some_and(|value| !is_harmless(value)) {
            return Err(Failure::invalid(field, reason));
        }
    }
    Ok(())
}

pub(super) fn is_zero(value: &Value) -> bool {
    value.as_f64() == Some(0.0)
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
        || value.as_object().is_some_and(serde_json::Map::is_empty)
}

/// The last user message and the turns before it. System messages are the
/// service's own business and dropped.
fn conversation(messages: &[Message]) -> Result<(String, Vec<ChatMessage>), Failure> {
    if messages.len() > LONGEST_HISTORY {
        return Err(Failure::invalid(
            "messages",
            format!(
                "has {} messages, but at most {LONGEST_HISTORY} are accepted",
                messages.len()
            ),
        ));
    }
    let mut turns = Vec::new();
    for message in messages {
        let role = match message.role.as_str() {
            "user" => ChatRole::User,
            "assistant" => ChatRole::Assistant,
            "system" | "developer" => continue,
            _ => {
                return Err(Failure::invalid(
                    "messages",
                    "the role of a message has to be user, assistant, system or developer",
                ));
            }
        };
        turns.push(ChatMessage::new(role, text(&message.content)?));
    }
    match turns.pop() {
        Some(last) if last.role == ChatRole::User => Ok((last.content, turns)),
        _ => Err(Failure::invalid(
            "messages",
            "the last message has to be the user's question",
        )),
    }
}

/// Content is a text or a list of parts, of which texts can be read.
pub(super) fn text(content: &Value) -> Result<String, Failure> {
    match content {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        Value::Array(parts) => parts
            .iter()
            .map(
                |part| match (part["type"].as_str(), part["text"].as_str()) {
                    (Some("text"), Some(text)) => Ok(text),
                    _ => Err(Failure::invalid(
                        "messages",
                        "the parts of a content have to be texts; images, sound and files are not \
                     read",
                    )),
                },
            )
            .collect::<Result<Vec<_>, _>>()
            .map(|parts| parts.join("\n")),
        _ => Err(Failure::invalid(
            "messages",
            "a content has to be a text or a list of parts",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn question(body: Value) -> Result<Question, Failure> {
        let request = serde_json::from_value::<ChatRequest>(body).expect("a request");
        request.is_direct()?;
        request.question()
    }

    fn asking(extra: Value) -> Value {
        let mut body = json!({"messages": [{"role": "user", "content": "Why?"}]});
        for (key, value) in extra.as_object().expect("fields") {
            body[key] = value.clone();
        }
        body
    }

    #[test]
    fn the_last_user_message_is_the_question() {
        let question = question(json!({"messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is an IXP?"},
            {"role": "assistant", "content": "A meeting point."},
            {"role": "user", "content": [
                {"type": "text", "text": "And"},
                {"type": "text", "text": "why?"},
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
    fn settings_of_the_sampler_are_honoured() {
        let question = question(asking(json!({
            "temperature": 0.7, "top_p": 0.9, "seed": -1, "max_completion_tokens": 20_000,
        })))
        .expect("a question");
        assert!((question.sampling.temperature - 0.7).abs() < 1e-6);
        assert!((question.sampling.top_p - 0.9).abs() < 1e-6);
        assert_eq!(question.sampling.seed, u64::MAX);
        assert_eq!(question.max_tokens, Some(8192));
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        for (field, value) in [
            ("n", json!(2)),
            ("stop", json!("END")),
            ("stop", json!(["a"])),
            ("response_format", json!({"type": "xml"})),
            ("tools", json!([{"type": "function"}])),
            ("grounding", json!("web")),
            ("logprobs", json!(true)),
            ("logit_bias", json!({"1": 5})),
            ("presence_penalty", json!(0.5)),
            ("modalities", json!(["text", "audio"])),
            ("temperature", json!(3)),
            ("top_p", json!(-0.1)),
            ("max_tokens", json!(0)),
        ] {
            let failure =
                question(asking(json!({field: value}))).expect_err("it can't be honoured");
            assert_eq!(failure.fields[0].field, field);
            assert_eq!(failure.status, axum::http::StatusCode::BAD_REQUEST);
        }
    }

    #[test]
    fn harmless_settings_pass() {
        let body = asking(json!({
            "n": 1, "stop": null, "response_format": {"type": "text"}, "tools": [],
            "tool_choice": "auto", "logprobs": false, "logit_bias": {},
            "frequency_penalty": 0, "user": "u", "metadata": {"a": "b"}, "store": true,
        }));
        assert!(question(body).is_ok());
    }

    #[test]
    fn conversations_without_a_question_are_refused() {
        for messages in [
            json!([]),
            json!([{"role": "system", "content": "x"}]),
            json!([{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]),
            json!([{"role": "tool", "content": "x"}]),
            json!([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]),
            json!([{"role": "user", "content": 5}]),
        ] {
            let failure = question(json!({"messages": messages})).expect_err("no question");
            assert_eq!(failure.fields[0].field, "messages");
        }
    }
}
