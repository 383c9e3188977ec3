//! The form that a completion is asked for: OpenAI's `response_format`, and
//! vLLM's `guided_json`, `guided_regex` and `guided_choice`, and beside them
//! `guided_citations`.

use genie_core::Constraint;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::failure::Failure;

/// The fields of a request that ask for a form; one of them at most.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct FormRequest {
    /// `{"type": "text"}`, `{"type": "json_object"}`, or `{"type":
    /// "json_schema", "json_schema": {"schema": …}}`.
    response_format: Option<Value>,
    /// A JSON Schema, as an object or as text.
    guided_json: Option<Value>,
    /// A regular expression for the whole text.
    guided_regex: Option<String>,
    /// Texts of which one is the answer.
    guided_choice: Option<Vec<String>>,
    /// Ids of which one stands between any square brackets of the text, as in
    /// `[2]`; nothing else does.
    guided_citations: Option<Vec<String>>,
}

impl FormRequest {
    /// The form, if one is asked for.
    pub(super) fn form(&self) -> Result<Option<Constraint>, Failure> {
        let mut forms = Vec::new();
        if let Some(format) = &self.response_format {
            forms.extend(response_format(format)?.map(|form| ("response_format", form)));
        }
        if let Some(schema) = &self.guided_json {
            let schema = match schema {
                Value::String(text) => text.clone(),
                schema => schema.to_string(),
            };
            forms.push(("guided_json", Constraint::JsonSchema(schema)));
        }
        if let Some(expression) = &self.guided_regex {
            forms.push(("guided_regex", Constraint::Regex(expression.clone())));
        }
        if let Some(texts) = &self.guided_choice {
            forms.push(("guided_choice", Constraint::OneOf(texts.clone())));
        }
        if let Some(ids) = &self.guided_citations {
            forms.push(("guided_citations", Constraint::Citing(ids.clone())));
        }
        match forms.len() {
            0 => Ok(None),
            1 => Ok(forms.pop().map(|(_, form)| form)),
            _ => Err(Failure::invalid(
                forms[1].0,
                format!("asks for another form than {}; one is possible", forms[0].0),
            )),
        }
    }
}

fn response_format(format: &Value) -> Result<Option<Constraint>, Failure> {
    let wrong = |reason: &str| Err(Failure::invalid("response_format", reason));
    match format["type"].as_str() {
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some(Constraint::JsonObject)),
        Some("json_schema") => match &format["json_schema"]["schema"] {
            schema @ Value::Object(_) => Ok(Some(Constraint::JsonSchema(schema.to_string()))),
            _ => wrong("has no object at json_schema.schema"),
        },
        _ => wrong("has to have the type text, json_object or json_schema"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn form(request: Value) -> Result<Option<Constraint>, Failure> {
        let request: FormRequest = serde_json::from_value(request).expect("a request");
        request.form()
    }

    #[test]
    fn each_way_to_ask_is_understood() {
        let schema = json!({"type": "object"});
        let as_schema = Some(Constraint::JsonSchema(schema.to_string()));
        for (request, expected) in [
            (json!({}), None),
            (json!({"response_format": {"type": "text"}}), None),
            (
                json!({"response_format": {"type": "json_object"}}),
                Some(Constraint::JsonObject),
            ),
            (
                json!({"response_format": {"type": "json_schema",
                    "json_schema": {"name": "a", "strict": true, "schema": schema}}}),
                as_schema.clone(),
            ),
            (json!({"guided_json": schema}), as_schema.clone()),
            (json!({"guided_json": schema.to_string()}), as_schema),
            (
                json!({"guided_regex": "[0-9]+", "response_format": {"type": "text"}}),
                Some(Constraint::Regex("[0-9]+".to_owned())),
            ),
            (
                json!({"guided_choice": ["a", "b"]}),
                Some(Constraint::OneOf(vec!["a".to_owned(), "b".to_owned()])),
            ),
            (
                json!({"guided_citations": ["1", "b"]}),
                Some(Constraint::Citing(vec!["1".to_owned(), "b".to_owned()])),
            ),
        ] {
            assert_eq!(
                form(request.clone()).expect("a form"),
                expected,
                "{request}"
            );
        }
    }

    #[test]
    fn what_is_no_form_is_refused_by_name() {
        for (request, field) in [
            (
                json!({"response_format": {"type": "xml"}}),
                "response_format",
            ),
            (json!({"response_format": "json"}), "response_format"),
            (
                json!({"response_format": {"type": "json_schema"}}),
                "response_format",
            ),
            (
                json!({"guided_regex": "a", "guided_choice": ["a"]}),
                "guided_choice",
            ),
        ] {
            assert_eq!(form(request).expect_err("no form").fields[0].field, field);
        }
    }
}
