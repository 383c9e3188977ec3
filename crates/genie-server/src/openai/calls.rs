//! Tools: what a request offers, and the calls in a text that a model wrote.
//!
//! Calls are told from the text as the models with `<tool_call>` in their chat
//! template write them: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`.

use genie_core::{Constraint, Tool, ToolCall};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::failure::Failure;

/// Tools of a request at most.
const MOST_TOOLS: usize = 64;
const OPENING: &str = "<tool_call>";
const CLOSING: &str = "</tool_call>";

/// The fields of a request that are about tools.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct ToolsRequest {
    #[schemars(with = "Option<Vec<serde_json::Map<String, Value>>>")]
    tools: Option<Vec<Value>>,
    /// `none`, `auto`, `required`, or `{"type": "function", "function":
    /// {"name": …}}`.
    tool_choice: Option<Value>,
    parallel_tool_calls: Option<bool>,
}

/// What the model may call, and what it has to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Offered {
    pub(super) tools: Vec<Tool>,
    /// It has to call something.
    pub(super) demanded: Option<Constraint>,
}

impl ToolsRequest {
    /// Whether there is nothing to call.
    pub(super) fn is_harmless(&self) -> bool {
        let none = self.tools.as_ref().is_none_or(Vec::is_empty);
        let choice = self.tool_choice.as_ref().and_then(Value::as_str);
        none && (self.tool_choice.is_none() || matches!(choice, Some("none" | "auto")))
    }

    pub(super) fn offered(&self) -> Result<Offered, Failure> {
        let given = self.tools.as_deref().unwrap_or_default();
        if given.len() > MOST_TOOLS {
            return Err(Failure::invalid(
                "tools",
                format!(
                    "has {} tools, but at most {MOST_TOOLS} are accepted",
                    given.len()
                ),
            ));
        }
        let tools = given.iter().map(tool).collect::<Result<Vec<_>, _>>()?;
        let several = self.parallel_tool_calls.unwrap_or(true);
        let wrong = |reason: &str| Err(Failure::invalid("tool_choice", reason));
        let demanded = match &self.tool_choice {
            None => {
                return Ok(Offered {
                    tools,
                    demanded: None,
                });
            }
            Some(Value::String(choice)) => match choice.as_str() {
                "none" => return Ok(Offered::default()),
                "auto" => {
                    return Ok(Offered {
                        tools,
                        demanded: None,
                    });
                }
                "required" => tools.clone(),
                _ => return wrong("has to be none, auto, required or a function"),
            },
            Some(choice) => {
                let name = choice["function"]["name"].as_str().unwrap_or_default();
                match tools.iter().find(|tool| tool.name == name) {
                    Some(tool) => vec![tool.clone()],
                    None => return wrong("names a function that is not among the tools"),
                }
            }
        };
        if demanded.is_empty() {
            return wrong("asks for a call, but there are no tools");
        }
        let demanded = Constraint::Calls {
            tools: demanded,
            several,
        };
        Ok(Offered {
            tools,
            demanded: Some(demanded),
        })
    }
}

fn tool(value: &Value) -> Result<Tool, Failure> {
    let function = &value["function"];
    let name = function["name"].as_str().unwrap_or_default();
    let is_name = |name: &str| {
        let of_name = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-');
        (1..=64).contains(&name.len()) && name.chars().all(of_name)
    };
    if value["type"] != "function" || !is_name(name) {
        return Err(Failure::invalid(
            "tools",
            "each has to be of the type function, with a name of 1 to 64 letters, digits, _ and -",
        ));
    }
    let parameters = match &function["parameters"] {
        Value::Null => r#"{"type": "object", "properties": {}}"#.to_owned(),
        schema @ Value::Object(_) => schema.to_string(),
        _ => {
            return Err(Failure::invalid(
                "tools",
                format!("the parameters of {name} have to be a JSON Schema"),
            ));
        }
    };
    Ok(Tool {
        name: name.to_owned(),
        description: function["description"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        parameters,
    })
}

/// The calls of an earlier message of the assistant, as a client sends them
/// back.
pub(super) fn earlier(calls: &Value) -> Result<Vec<ToolCall>, Failure> {
    let wrong = || {
        Failure::invalid(
            "messages",
            "each of tool_calls has to have function.name, and function.arguments as JSON text",
        )
    };
    match calls {
        Value::Null => Ok(Vec::new()),
        Value::Array(calls) => calls
            .iter()
            .map(|call| {
                let function = &call["function"];
                let name = function["name"].as_str().ok_or_else(wrong)?;
                let arguments = function["arguments"].as_str().ok_or_else(wrong)?;
                serde_json::from_str::<serde_json::Map<String, Value>>(arguments)
                    .map_err(|_| wrong())?;
                Ok(ToolCall {
                    name: name.to_owned(),
                    arguments: arguments.to_owned(),
                })
            })
            .collect(),
        _ => Err(wrong()),
    }
}

/// The calls in a text, and the text without them. What only looks like a
/// call, or calls what was not offered, stays text.
pub(super) fn read(text: &str, tools: &[Tool]) -> (String, Vec<ToolCall>) {
    let (mut said, mut calls) = (String::new(), Vec::new());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once(OPENING) {
        said.push_str(before);
        let (inside, after) = behind.split_once(CLOSING).unwrap_or((behind, ""));
        match call(inside, tools) {
            Some(call) => calls.push(call),
            None => said.push_str(&rest[before.len()..rest.len() - after.len()]),
        }
        rest = after;
    }
    said.push_str(rest);
    (said.trim().to_owned(), calls)
}

fn call(text: &str, tools: &[Tool]) -> Option<ToolCall> {
    let call: Value = serde_json::from_str(text.trim()).ok()?;
    let name = call["name"].as_str()?;
    tools.iter().find(|tool| tool.name == name)?;
    let arguments = match &call["arguments"] {
        Value::Null => "{}".to_owned(),
        arguments @ Value::Object(_) => arguments.to_string(),
        _ => return None,
    };
    Some(ToolCall {
        name: name.to_owned(),
        arguments,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request(request: Value) -> ToolsRequest {
        serde_json::from_value(request).expect("a request")
    }

    fn tools() -> Value {
        json!([
            {"type": "function", "function": {"name": "find", "description": "Finds.",
                "parameters": {"type": "object"}}},
            {"type": "function", "function": {"name": "stop"}},
        ])
    }

    #[test]
    fn the_choice_decides_what_is_offered_and_demanded() {
        let offered = |extra: Value| {
            let mut body = json!({"tools": tools()});
            for (key, value) in extra.as_object().expect("fields") {
                body[key] = value.clone();
            }
            request(body).offered()
        };
        let names = |tools: &[Tool]| -> Vec<String> {
            tools.iter().map(|tool| tool.name.clone()).collect()
        };
        let auto = offered(json!({})).expect("offered");
        assert_eq!((names(&auto.tools).len(), auto.demanded), (2, None));
        let none = offered(json!({"tool_choice": "none"})).expect("offered");
        assert_eq!(none, Offered::default());
        let required = offered(json!({"tool_choice": "required", "parallel_tool_calls": false}));
        let Some(Constraint::Calls { tools, several }) = required.expect("offered").demanded else {
            panic!("nothing is demanded");
        };
        assert_eq!(
            (names(&tools), several),
            (vec!["find".to_owned(), "stop".to_owned()], false)
        );
        let named = json!({"tool_choice": {"type": "function", "function": {"name": "stop"}}});
        let Some(Constraint::Calls { tools, several }) = offered(named).expect("offered").demanded
        else {
            panic!("nothing is demanded");
        };
        assert_eq!((names(&tools), several), (vec!["stop".to_owned()], true));
        for wrong in [
            json!({"tool_choice": "always"}),
            json!({"tool_choice": {"function": {"name": "go"}}}),
            json!({"tool_choice": "required", "tools": []}),
            json!({"tools": [{"type": "function", "function": {"name": "a b"}}]}),
            json!({"tools": [{"type": "retrieval"}]}),
            json!({"tools": [{"type": "function", "function": {"name": "a", "parameters": 7}}]}),
        ] {
            assert!(offered(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn calls_are_told_from_the_text() {
        let tools = request(json!({"tools": tools()}))
            .offered()
            .expect("offered")
            .tools;
        let text = "Let me see.\n<tool_call>\n{\"name\": \"find\", \"arguments\": {\"a\": \"</b>\"}}\n\
                    </tool_call>\n<tool_call>{\"name\": \"stop\"}</tool_call>";
        let (said, calls) = read(text, &tools);
        assert_eq!(said, "Let me see.");
        let calls: Vec<_> = calls
            .iter()
            .map(|call| (call.name.as_str(), call.arguments.as_str()))
            .collect();
        assert_eq!(calls, [("find", r#"{"a":"</b>"}"#), ("stop", "{}")]);
        for text in [
            "No call.",
            "<tool_call>{\"name\": \"other\", \"arguments\": {}}</tool_call>",
            "<tool_call>{\"name\": \"find\", \"arguments\": 7}</tool_call> done",
            "<tool_call>{\"name\": \"find\"",
        ] {
            assert_eq!(read(text, &tools), (text.to_owned(), Vec::new()));
        }
        // The closing tag is often missing where the model ends with a token.
        let cut = "<tool_call>\n{\"name\": \"stop\", \"arguments\": {}}\n";
        assert_eq!(read(cut, &tools).1.len(), 1);
    }

    #[test]
    fn earlier_calls_have_to_be_json() {
        let call = |arguments: &str| {
            json!([{"id": "1", "type": "function",
            "function": {"name": "find", "arguments": arguments}}])
        };
        assert_eq!(earlier(&call("{\"a\": 1}")).expect("calls").len(), 1);
        assert!(earlier(&Value::Null).expect("calls").is_empty());
        for wrong in [
            call("{"),
            call("7"),
            json!([{"name": "find"}]),
            json!("find"),
        ] {
            assert!(earlier(&wrong).is_err(), "{wrong}");
        }
    }
}
