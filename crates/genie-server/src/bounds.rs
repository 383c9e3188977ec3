//! What the description says of texts and numbers: the same bounds that the
//! handlers check, so that whoever keeps to the description is understood.
//!
//! Patterns are anchored and keep to what the dialects of ECMA 262, Python and
//! Rust have in common.

use schemars::JsonSchema;
use schemars::r#gen::SchemaGenerator;
use schemars::schema::{InstanceType, Schema, SchemaObject, StringValidation};
use serde_json::{Value, json};

use crate::access::Permission;

/// More than white space.
pub(crate) const NOT_BLANK: &str = r"\S";
/// One line without control characters, and more than white space.
pub(crate) const LINE: &str = r"^[^\u0000-\u001f\u007f-\u009f]*[^\u0000-\u001f\u007f-\u009f\s][^\u0000-\u001f\u007f-\u009f]*$";
/// One line, or nothing.
pub(crate) const LINE_OR_NOTHING: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
/// Parts with something in them, and `/` between them.
const LABEL: &str = concat!(
    r"^[^\u0000-\u001f\u007f-\u009f/]*[^\u0000-\u001f\u007f-\u009f/\s][^\u0000-\u001f\u007f-\u009f/]*",
    r"(/[^\u0000-\u001f\u007f-\u009f/]*[^\u0000-\u001f\u007f-\u009f/\s][^\u0000-\u001f\u007f-\u009f/]*)*$",
);
/// What an evaluation may be called.
pub(crate) const SUITE_NAME: &str = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$";

/// Types that stand in descriptions only.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident: $text:expr;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> String {
                stringify!($name).to_owned()
            }

            fn is_referenceable() -> bool {
                false
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let text: Text = $text;
                text.schema()
            }
        }
    )*};
}

texts! {
    /// One of the six languages, by its ISO 639-1 code, with or without a
    /// region.
    LanguageCode: Text {
        pattern: Some("^([Aa][Rr]|[Ee][Nn]|[Ee][Ss]|[Ff][Rr]|[Rr][Uu]|[Zz][Hh])([-_][\\s\\S]*)?$"),
        ..Text::default()
    };
    /// A day as in `2024-05-17`.
    Day: Text {
        format: Some("date"),
        ..Text::default()
    };
    /// A time as RFC 3339 writes it.
    Time: Text {
        format: Some("date-time"),
        ..Text::default()
    };
    /// A SHA-256 in hexadecimal digits.
    Hash: Text {
        pattern: Some("^[0-9a-fA-F]{64}$"),
        ..Text::default()
    };
    /// What is asked: no longer than the engine reads.
    Asked: Text {
        pattern: Some(NOT_BLANK),
        lengths: Some((1, 8000)),
        ..Text::default()
    };
    /// What a document is cited by.
    Uri: Text {
        pattern: Some(LINE),
        lengths: Some((1, 2048)),
        ..Text::default()
    };
    /// A label such as `infrastructure/fibre`, with something on both sides of
    /// each `/`.
    Label: Text {
        pattern: Some(LABEL),
        lengths: Some((1, 100)),
        ..Text::default()
    };
    /// A text of a request to be embedded.
    NotEmpty: Text {
        lengths: Some((1, u32::MAX)),
        ..Text::default()
    };
    /// A text to be put in order.
    Ranked: Text {
        lengths: Some((0, 20_000)),
        ..Text::default()
    };
    /// The beginning, or the end, of a list first.
    Order: Text {
        words: &["asc", "desc"],
        ..Text::default()
    };
    /// Whose sentence a turn of a conversation is.
    Speaker: Text {
        words: &["user", "assistant"],
        ..Text::default()
    };
    /// What a file may be uploaded for.
    Purpose: Text {
        words: &["assistants", "user_data"],
        ..Text::default()
    };
}

/// Something that a key may be narrowed to.
pub(crate) struct Scope;

impl JsonSchema for Scope {
    fn schema_name() -> String {
        "Scope".to_owned()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        words(&Permission::ALL.map(Permission::scope))
    }
}

/// No, or nothing.
pub(crate) struct Never;

impl JsonSchema for Never {
    fn schema_name() -> String {
        "Never".to_owned()
    }

    fn is_referenceable() -> bool {
        false
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        SchemaObject {
            instance_type: Some(InstanceType::Boolean.into()),
            enum_values: Some(vec![json!(false)]),
            ..SchemaObject::default()
        }
        .into()
    }
}

#[derive(Default)]
struct Text {
    pattern: Option<&'static str>,
    format: Option<&'static str>,
    /// Characters, at least and at most.
    lengths: Option<(u32, u32)>,
    /// The only ones; any where there are none.
    words: &'static [&'static str],
}

impl Text {
    fn schema(self) -> Schema {
        if !self.words.is_empty() {
            return words(self.words);
        }
        SchemaObject {
            instance_type: Some(InstanceType::String.into()),
            format: self.format.map(str::to_owned),
            string: Some(Box::new(StringValidation {
                min_length: self
                    .lengths
                    .map(|(least, _)| least)
                    .filter(|&least| least > 0),
                max_length: self
                    .lengths
                    .map(|(_, most)| most)
                    .filter(|&most| most < u32::MAX),
                pattern: self.pattern.map(str::to_owned),
            })),
            ..SchemaObject::default()
        }
        .into()
    }
}

fn words(words: &[&str]) -> Schema {
    SchemaObject {
        instance_type: Some(InstanceType::String.into()),
        enum_values: Some(words.iter().map(|word| json!(word)).collect()),
        ..SchemaObject::default()
    }
    .into()
}

/// Says of whole numbers what their type holds, where nothing narrower is
/// said: `uint32` is no bound that everybody knows.
pub(crate) fn bounded(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            let most: Option<Value> = match members.get("format").and_then(Value::as_str) {
                Some("uint8") => Some(json!(u8::MAX)),
                Some("uint32") => Some(json!(u32::MAX)),
                Some("uint64" | "uint") => Some(json!(u64::MAX)),
                Some("int32") => Some(json!(i32::MAX)),
                Some("int64") => Some(json!(i64::MAX)),
                _ => None,
            };
            let least: Option<Value> = match members.get("format").and_then(Value::as_str) {
                Some("int32") => Some(json!(i32::MIN)),
                Some("int64") => Some(json!(i64::MIN)),
                _ => None,
            };
            for (bound, value) in [("maximum", most), ("minimum", least)] {
                if let Some(value) = value {
                    members.entry(bound).or_insert(value);
                }
            }
            members.values_mut().for_each(bounded);
        }
        Value::Array(items) => items.iter_mut().for_each(bounded),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_bounded_by_their_type() {
        let mut schema = json!({"properties": {
            "a": {"type": "integer", "format": "uint32", "minimum": 1.0},
            "b": {"anyOf": [{"type": "integer", "format": "uint64", "maximum": 5}]},
            "c": {"type": "integer", "format": "int64"},
            "d": {"type": "string", "format": "date"},
        }});
        bounded(&mut schema);
        let of = |name: &str| &schema["properties"][name];
        assert_eq!(of("a")["maximum"], u32::MAX);
        assert_eq!(of("a")["minimum"], 1.0);
        assert_eq!(of("b")["anyOf"][0]["maximum"], 5);
        assert_eq!(of("c")["minimum"], i64::MIN);
        assert_eq!(of("d").get("maximum"), None);
    }
}
