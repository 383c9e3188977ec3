//! A completion request as the language model itself is asked it.

use genie_core::{ChatMessage, ChatRole, GenerateRequest};
use serde_json::Value;

use super::calls::{self, Offered};
use super::request::{ChatRequest, Message, text};
use crate::failure::Failure;
use crate::question::LONGEST_HISTORY;

/// Tokens of a choice where the request says nothing.
const TOKENS: usize = 512;
/// Choices of one request: as many as the model works on at once.
const MOST_CHOICES: usize = 8;
/// Strings that end a choice, and the length of each in bytes.
const MOST_STOPS: usize = 8;
const LONGEST_STOP: usize = 200;
/// Other tokens told at each place.
const MOST_WEIGHTS: usize = 20;

/// What is asked of the model.
#[derive(Debug)]
pub(super) struct DirectRequest {
    pub(super) request: GenerateRequest,
    pub(super) choices: usize,
    pub(super) stream: bool,
    pub(super) includes_usage: bool,
    /// Old messages may go where not all fit.
    pub(super) truncates: bool,
}

impl DirectRequest {
    pub(super) fn read(request: &ChatRequest, most_tokens: Option<usize>) -> Result<Self, Failure> {
        request.refuse_what_nobody_honours()?;
        let sampling = request.sampling()?;
        let stream = request.stream == Some(true);
        let choices = choices(request, sampling.temperature)?;
        let weights = weights(request)?;
        let Offered { tools, demanded } = request.tools.offered()?;
        let form = request.form.form()?;
        let constraint = match (form, demanded) {
            (Some(_), Some(_)) => {
                return Err(Failure::invalid(
                    "tool_choice",
                    "demands a call where another form is asked for; one is possible",
                ));
            }
            (form, demanded) => form.or(demanded),
        };
        let includes_usage = request.includes_usage();
        let truncates = request.truncates()?;
        let max_tokens = request.limit()?.or(most_tokens).unwrap_or(TOKENS);
        let request = GenerateRequest {
            sampling,
            stop: stops(request.stop.as_ref())?,
            constraint,
            weights,
            tools,
            ..GenerateRequest::new(messages(&request.messages)?, max_tokens)
        };
        Ok(Self {
            request,
            choices,
            stream,
            includes_usage,
            truncates,
        })
    }
}

fn choices(request: &ChatRequest, temperature: f32) -> Result<usize, Failure> {
    let Some(n) = &request.n else { return Ok(1) };
    let n = n
        .as_u64()
        .and_then(|n| usize::try_from(n).ok())
        .filter(|n| (1..=MOST_CHOICES).contains(n))
        .ok_or_else(|| Failure::invalid("n", format!("has to be from 1 to {MOST_CHOICES}")))?;
    if n > 1 && temperature == 0.0 {
        return Err(Failure::invalid(
            "n",
            "needs a temperature above 0; without one all choices are the same",
        ));
    }
    Ok(n)
}

fn weights(request: &ChatRequest) -> Result<Option<usize>, Failure> {
    let wanted = match &request.logprobs {
        None | Some(Value::Bool(false)) => false,
        Some(Value::Bool(true)) => true,
        Some(_) => return Err(Failure::invalid("logprobs", "has to be true or false")),
    };
    let others = match &request.top_logprobs {
        None => 0,
        Some(others) => others
            .as_u64()
            .and_then(|others| usize::try_from(others).ok())
            .filter(|others| *others <= MOST_WEIGHTS)
            .ok_or_else(|| {
                Failure::invalid(
                    "top_logprobs",
                    format!("has to be from 0 to {MOST_WEIGHTS}"),
                )
            })?,
    };
    match (wanted, others) {
        (true, others) => Ok(Some(others)),
        (false, 0) => Ok(None),
        (false, _) => Err(Failure::invalid(
            "top_logprobs",
            "needs logprobs to be true",
        )),
    }
}

fn stops(stop: Option<&Value>) -> Result<Vec<String>, Failure> {
    let wrong = || {
        Failure::invalid(
            "stop",
            format!(
                "has to be a text or up to {MOST_STOPS} texts, each of 1 to {LONGEST_STOP} bytes"
            ),
        )
    };
    let stops = match stop {
        None => Vec::new(),
        Some(Value::String(stop)) => vec![stop.clone()],
        Some(Value::Array(stops)) => stops
            .iter()
            .map(|stop| stop.as_str().map(str::to_owned).ok_or_else(wrong))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(wrong()),
    };
    let fits = |stop: &String| (1..=LONGEST_STOP).contains(&stop.len());
    if stops.len() > MOST_STOPS || !stops.iter().all(fits) {
        return Err(wrong());
    }
    Ok(stops)
}

/// All messages, those of the system too: here they are the caller's own.
fn messages(messages: &[Message]) -> Result<Vec<ChatMessage>, Failure> {
    let wrong = |reason: String| Failure::invalid("messages", reason);
    if messages.is_empty() || messages.len() > LONGEST_HISTORY {
        return Err(wrong(format!(
            "has {} messages, but 1 to {LONGEST_HISTORY} are accepted",
            messages.len()
        )));
    }
    let messages = messages
        .iter()
        .map(|message| {
            let role = match message.role.as_str() {
                "system" | "developer" => ChatRole::System,
                "user" => ChatRole::User,
                "assistant" => ChatRole::Assistant,
                "tool" => ChatRole::Tool,
                _ => {
                    return Err(wrong(
                        "the role of a message has to be system, developer, user, assistant or tool"
                            .to_owned(),
                    ));
                }
            };
            let mut told = ChatMessage::new(role, text(&message.content)?);
            told.calls = calls::earlier(&message.tool_calls)?;
            if !told.calls.is_empty() && role != ChatRole::Assistant {
                return Err(wrong(
                    "only the assistant's messages can have tool_calls".to_owned(),
                ));
            }
            Ok(told)
        })
        .collect::<Result<Vec<_>, _>>()?;
    match messages.last().map(|message| message.role) {
        Some(ChatRole::User | ChatRole::Tool) => Ok(messages),
        _ => Err(wrong(
            "the last message has to be the user's or a tool's".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use genie_core::Constraint;
    use serde_json::json;

    fn read(extra: Value) -> Result<DirectRequest, Failure> {
        let mut body = json!({"grounding": "none",
            "messages": [{"role": "user", "content": "Why?"}]});
        for (key, value) in extra.as_object().expect("fields") {
            body[key] = value.clone();
        }
        let request: ChatRequest = serde_json::from_value(body).expect("a request");
        DirectRequest::read(&request, None)
    }

    #[test]
    fn everything_that_shapes_a_text_is_taken() {
        let direct = read(json!({
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": "Weather?"},
                {"role": "assistant", "content": null, "tool_calls": [{"id": "1",
                    "type": "function", "function": {"name": "look", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "1", "content": "Rain."},
            ],
            "n": 3, "temperature": 0.8, "seed": 7, "stop": ["END", "\n\n"], "logprobs": true,
            "top_logprobs": 4, "max_tokens": 90, "truncation": "auto",
            "tools": [{"type": "function", "function": {"name": "look"}}],
            "response_format": {"type": "json_object"},
        }))
        .expect("a request");
        assert_eq!(
            (direct.choices, direct.truncates, direct.stream),
            (3, true, false)
        );
        let request = direct.request;
        assert_eq!(request.stop, ["END", "\n\n"]);
        assert_eq!((request.max_tokens, request.weights), (90, Some(4)));
        assert_eq!((request.sampling.seed, request.tools.len()), (7, 1));
        assert_eq!(request.constraint, Some(Constraint::JsonObject));
        assert_eq!(request.messages[0].role, ChatRole::System);
        assert_eq!(request.messages[2].calls[0].name, "look");
        assert_eq!(request.messages[3].role, ChatRole::Tool);
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        for (field, extra) in [
            ("n", json!({"n": 2})),
            ("n", json!({"n": 9, "temperature": 1})),
            ("n", json!({"n": 0})),
            ("stop", json!({"stop": ""})),
            ("stop", json!({"stop": 7})),
            ("stop", json!({"stop": vec!["a"; 9]})),
            ("logprobs", json!({"logprobs": "yes"})),
            ("top_logprobs", json!({"top_logprobs": 3})),
            (
                "top_logprobs",
                json!({"logprobs": true, "top_logprobs": 21}),
            ),
            ("tools", json!({"tools": [7]})),
            ("tool_choice", json!({"tool_choice": "required"})),
            (
                "tool_choice",
                json!({"tools": [{"type": "function", "function": {"name": "a"}}],
                    "tool_choice": "required", "guided_regex": "a"}),
            ),
            ("messages", json!({"messages": []})),
            (
                "messages",
                json!({"messages": [{"role": "assistant", "content": "Hm."}]}),
            ),
            (
                "messages",
                json!({"messages": [{"role": "robot", "content": "Hm."}]}),
            ),
            ("truncation", json!({"truncation": "some"})),
            ("logit_bias", json!({"logit_bias": {"1": 2}})),
            ("frequency_penalty", json!({"frequency_penalty": 1})),
            ("max_tokens", json!({"max_tokens": 0})),
        ] {
            let failure = read(extra.clone()).expect_err("it can't be done");
            assert_eq!(failure.fields[0].field, field, "{extra}");
        }
    }
}
