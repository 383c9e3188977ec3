//! Filters of a search in a vector store, as ours.

use genie_core::{Date, Filter, Language};
use serde_json::Value;

use super::files::document_id;
use crate::failure::Failure;

/// Comparisons of a filter, and values of one of them.
const MOST_CONDITIONS: usize = 20;

/// The filter that comparisons joined by "and" are. A key stands in one of
/// them only: in a list of ours entries are alternatives.
pub(super) fn filter(wanted: &Value) -> Result<Filter, Failure> {
    let refused = |reason: &str| Failure::invalid("filters", reason);
    let conditions = match wanted["type"].as_str() {
        Some("and") => wanted["filters"].as_array().map(Vec::as_slice),
        _ => Some(std::slice::from_ref(wanted)),
    };
    let conditions = conditions.unwrap_or_default();
    if conditions.len() > MOST_CONDITIONS {
        return Err(refused("are more than 20 comparisons"));
    }
    let mut filter = Filter::default();
    let mut seen = Vec::new();
    for condition in conditions {
        let kind = condition["type"].as_str().unwrap_or_default();
        let key = condition["key"].as_str().unwrap_or_default();
        if seen.contains(&(kind == "lte", key)) {
            return Err(refused("name a key twice"));
        }
        seen.push((kind == "lte", key));
        let values: Vec<&str> = match (kind, &condition["value"]) {
            ("eq" | "gte" | "lte", Value::String(value)) => vec![value],
            ("in", Value::Array(values)) if (1..=MOST_CONDITIONS).contains(&values.len()) => {
                let texts: Option<Vec<&str>> = values.iter().map(Value::as_str).collect();
                texts.unwrap_or_default()
            }
            _ => Vec::new(),
        };
        let date = || values.first().and_then(|value| value.parse::<Date>().ok());
        let understood = match (key, kind) {
            _ if values.is_empty() => false,
            ("language", "eq" | "in") => {
                let read = values.iter().map(|code| code.parse::<Language>().ok());
                filter.languages = read.clone().flatten().collect();
                read.clone().all(|language| language.is_some())
            }
            ("label", "eq" | "in") => {
                filter.labels = values.iter().map(ToString::to_string).collect();
                true
            }
            ("file_id", "eq" | "in") => {
                let read = values.iter().map(|file| document_id(file).ok());
                filter.documents = read.clone().flatten().collect();
                read.clone().all(|document| document.is_some())
            }
            ("date", "gte") => {
                filter.dates.from = date();
                filter.dates.from.is_some()
            }
            ("date", "lte") => {
                filter.dates.to = date();
                filter.dates.to.is_some()
            }
            _ => false,
        };
        if !understood {
            return Err(refused(
                "have to be eq or in of language, label or file_id, or gte or lte of date, alone \
                 or in one `and`",
            ));
        }
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use genie_core::{DateRange, DocumentId};
    use serde_json::json;

    use super::*;
    use crate::openai::files::file_id;

    #[test]
    fn comparisons_become_a_filter() {
        let id = DocumentId::of(b"a");
        let wanted = json!({"type": "and", "filters": [
            {"type": "in", "key": "language", "value": ["fr", "en"]},
            {"type": "eq", "key": "label", "value": "infrastructure"},
            {"type": "eq", "key": "file_id", "value": file_id(&id)},
            {"type": "gte", "key": "date", "value": "2024-01-01"},
            {"type": "lte", "key": "date", "value": "2024-12-31"},
        ]});
        assert_eq!(
            filter(&wanted).expect("a filter"),
            Filter {
                documents: vec![id],
                languages: vec![Language::French, Language::English],
                labels: vec!["infrastructure".to_owned()],
                dates: DateRange {
                    from: Date::new(2024, 1, 1),
                    to: Date::new(2024, 12, 31),
                },
            }
        );
    }

    #[test]
    fn a_filter_that_would_be_ignored_is_refused() {
        for wanted in [
            json!({}),
            json!({"type": "eq", "key": "colour", "value": "red"}),
            json!({"type": "ne", "key": "label", "value": "a"}),
            json!({"type": "eq", "key": "language", "value": "tlh"}),
            json!({"type": "in", "key": "language", "value": ["fr", "tlh"]}),
            json!({"type": "in", "key": "label", "value": []}),
            json!({"type": "in", "key": "label", "value": ["a", 5]}),
            json!({"type": "eq", "key": "label", "value": 5}),
            json!({"type": "eq", "key": "file_id", "value": "file-x"}),
            json!({"type": "gte", "key": "date", "value": "soon"}),
            json!({"type": "or", "filters": []}),
            json!({"type": "and", "filters": [
                {"type": "eq", "key": "label", "value": "a"},
                {"type": "eq", "key": "label", "value": "b"},
            ]}),
            json!({"type": "and", "filters": [{"type": "and", "filters": []}]}),
            json!(["label"]),
        ] {
            let failure = filter(&wanted).expect_err("it can't be honoured");
            assert_eq!(failure.fields[0].field, "filters", "{wanted}");
        }
    }
}
