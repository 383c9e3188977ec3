//! Messages and tools as values of a chat template, with nothing in them that
//! could become a control token.

use std::io::{self, Write};

use genie_core::{ChatMessage, Tool};
use minijinja::value::Serde;
use minijinja::{Error, ErrorKind, Value, context};
use serde::Serialize;

use crate::LlmError;
use crate::template::Marker;
use crate::tokenizer::SpecialTokens;

/// Makes what comes from outside ready for a template.
pub(crate) struct Data<'a> {
    pub(crate) marker: Marker,
    pub(crate) special: &'a SpecialTokens,
}

impl Data<'_> {
    pub(crate) fn message(&self, message: &ChatMessage) -> Result<Value, LlmError> {
        let role = message.role.as_str();
        let content = self.text(&message.content);
        if message.calls.is_empty() {
            return Ok(context! { role, content });
        }
        let calls = message
            .calls
            .iter()
            .map(|call| {
                let arguments = self.json(&call.arguments, &call.name)?;
                let function = context! { name => self.text(&call.name), arguments };
                Ok(context! { type => "function", function })
            })
            .collect::<Result<Vec<_>, LlmError>>()?;
        Ok(context! { role, content, tool_calls => calls })
    }

    pub(crate) fn tool(&self, tool: &Tool) -> Result<Value, LlmError> {
        let parameters = self.json(&tool.parameters, &tool.name)?;
        let function = context! {
            name => self.text(&tool.name),
            description => self.text(&tool.description),
            parameters,
        };
        Ok(context! { type => "function", function })
    }

    fn text(&self, text: &str) -> String {
        self.marker.defuse(text, self.special)
    }

    fn json(&self, text: &str, tool: &str) -> Result<Value, LlmError> {
        let json = serde_json::from_str(text).map_err(|_| LlmError::Tool {
            name: tool.to_owned(),
        })?;
        Ok(Value::from(Serde(self.defused(json))))
    }

    fn defused(&self, json: serde_json::Value) -> serde_json::Value {
        use serde_json::Value::{Array, Object, String};
        match json {
            String(text) => String(self.text(&text)),
            Array(items) => items.into_iter().map(|item| self.defused(item)).collect(),
            Object(entries) => entries
                .into_iter()
                .map(|(key, value)| (self.text(&key), self.defused(value)))
                .collect(),
            other => other,
        }
    }
}

/// As the library writes JSON that templates are written for: a blank behind
/// commas and colons, and characters as they are.
pub(crate) fn to_json(value: &Value, options: minijinja::value::Kwargs) -> Result<String, Error> {
    let indent = options.get::<Option<usize>>("indent")?;
    // Characters are written as they are in any case.
    options.get::<Option<bool>>("ensure_ascii")?;
    options.assert_all_used()?;
    let mut json = Vec::new();
    let written = match indent {
        Some(width) => {
            let indent = " ".repeat(width.min(8));
            let form = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut json, form))
        }
        None => value.serialize(&mut serde_json::Serializer::with_formatter(
            &mut json, Spaced,
        )),
    };
    written
        .map_err(|error| error.to_string())
        .and_then(|()| String::from_utf8(json).map_err(|error| error.to_string()))
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error))
}

struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_written_as_templates_expect_it() {
        let value = Value::from(Serde(serde_json::json!({"b": [1, "<é>"], "a": {}})));
        let written = |option: &'static str, set: Value| {
            to_json(&value, minijinja::value::Kwargs::from_iter([(option, set)]))
        };
        assert!(
            written("colour", Value::from(1)).is_err(),
            "an unknown option"
        );
        let plain = written("ensure_ascii", Value::from(false));
        assert_eq!(plain.expect("written"), r#"{"b": [1, "<é>"], "a": {}}"#);
        let indented = written("indent", Value::from(2)).expect("written");
        assert!(indented.contains("\n  \"b\": [\n    1"), "{indented}");
    }
}
