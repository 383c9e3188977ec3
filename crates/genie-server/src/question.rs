//! Requests of the answer and search interface, and what they become.

use axum::http::{HeaderMap, header};
use genie_core::{ChatMessage, ChatRole, Date, DateRange, DocumentId, Filter, Language};
use genie_rag::{Question, SearchRequest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounds::{Asked, Day, Hash, LanguageCode, Speaker};
use crate::failure::{Failure, Field};
use crate::webhook::WebhookBody;

/// As in the configuration, which checks the same ranges.
pub(crate) const TOP_K: std::ops::RangeInclusive<usize> = 1..=50;
pub(crate) const MAX_TOKENS: std::ops::RangeInclusive<usize> = 1..=8192;
/// Turns of a conversation; the model reads the last few at most.
pub(crate) const LONGEST_HISTORY: usize = 200;
/// Entries of each list of a filter.
const LONGEST_FILTER: usize = 100;

/// The body of `POST /api/v1/answer`. A misspelt field is an error: a filter
/// that is silently ignored gives answers from documents that were excluded.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnswerRequest {
    #[schemars(with = "Asked")]
    question: String,
    #[serde(default, alias = "lang")]
    #[schemars(with = "Option<LanguageCode>")]
    language: Option<String>,
    #[serde(default)]
    #[schemars(range(min = 1, max = 50))]
    top_k: Option<usize>,
    /// Earlier turns, of which the model reads the last few.
    #[serde(default)]
    #[schemars(length(max = 200))]
    history: Vec<Turn>,
    #[serde(default)]
    filter: FilterRequest,
    #[serde(default)]
    #[schemars(range(min = 1, max = 8192))]
    max_tokens: Option<usize>,
    #[serde(default)]
    pub(crate) stream: bool,
    /// Whom to tell; with `Prefer: respond-async`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) webhook: Option<WebhookBody>,
}

/// The body of `POST /api/v1/search`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchRequestBody {
    #[schemars(with = "Asked")]
    query: String,
    #[serde(default, alias = "lang")]
    #[schemars(with = "Option<LanguageCode>")]
    language: Option<String>,
    #[serde(default)]
    #[schemars(range(min = 1, max = 50))]
    top_k: Option<usize>,
    #[serde(default)]
    filter: FilterRequest,
    /// Also tell which candidates are not among what was found, and why.
    #[serde(default)]
    pub(crate) explain: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Turn {
    #[schemars(with = "Speaker")]
    role: String,
    content: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct FilterRequest {
    /// Ids.
    #[schemars(with = "Vec<Hash>", length(max = 100))]
    documents: Vec<String>,
    #[schemars(with = "Vec<LanguageCode>", length(max = 100))]
    languages: Vec<String>,
    #[schemars(length(max = 100))]
    labels: Vec<String>,
    /// The first day; of documents without a date none is found.
    #[schemars(with = "Option<Day>")]
    from: Option<String>,
    /// The last day, not before the first.
    #[schemars(with = "Option<Day>")]
    to: Option<String>,
}

impl AnswerRequest {
    /// The question, checked.
    pub(crate) fn into_question(self) -> Result<Question, Failure> {
        let mut problems = Problems::default();
        let history = problems.check("history", history(self.history));
        let question = Question {
            language: problems.language(self.language.as_deref()),
            filter: problems.filter(&self.filter),
            top_k: problems.within("top_k", self.top_k, TOP_K),
            max_tokens: problems.within("max_tokens", self.max_tokens, MAX_TOKENS),
            history: history.unwrap_or_default(),
            ..Question::new(self.question)
        };
        problems.none_or_fail()?;
        Ok(question)
    }
}

impl AnswerRequest {
    /// Whoever is answered at once is told by the answer.
    pub(crate) fn without_webhook(self) -> Result<Self, Failure> {
        if self.webhook.is_some() {
            return Err(Failure::senseless(
                "webhook",
                "is told of answers that come later; ask with `Prefer: respond-async`",
            ));
        }
        Ok(self)
    }
}

/// Whether an answer is wanted as server-sent events.
pub(crate) fn wants_stream(asked: bool, headers: &HeaderMap) -> bool {
    asked
        || headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|range| {
                let essence = range.split(';').next().unwrap_or_default();
                essence.trim().eq_ignore_ascii_case("text/event-stream")
            })
}

impl SearchRequestBody {
    /// The search, checked.
    pub(crate) fn into_request(self) -> Result<SearchRequest, Failure> {
        let mut problems = Problems::default();
        let request = SearchRequest {
            language: problems.language(self.language.as_deref()),
            filter: problems.filter(&self.filter),
            limit: problems.within("top_k", self.top_k, TOP_K),
            query: self.query,
        };
        problems.none_or_fail()?;
        Ok(request)
    }
}

fn history(turns: Vec<Turn>) -> Result<Vec<ChatMessage>, String> {
    if turns.len() > LONGEST_HISTORY {
        return Err(format!(
            "has {} turns, but at most {LONGEST_HISTORY} are accepted",
            turns.len()
        ));
    }
    turns
        .into_iter()
        .map(|turn| match turn.role.as_str() {
            "user" => Ok(ChatMessage::new(ChatRole::User, turn.content)),
            "assistant" => Ok(ChatMessage::new(ChatRole::Assistant, turn.content)),
            _ => Err("the role of a turn has to be user or assistant".to_owned()),
        })
        .collect()
}

/// Collects what is wrong, so that the client learns all of it at once.
#[derive(Debug, Default)]
struct Problems {
    wrong: Vec<Field>,
    /// What keeps to the description and makes no sense all the same.
    senseless: Vec<Field>,
}

impl Problems {
    fn check<T>(&mut self, field: &'static str, checked: Result<T, String>) -> Option<T> {
        checked
            .map_err(|reason| self.wrong.push(Field { field, reason }))
            .ok()
    }

    fn within(
        &mut self,
        field: &'static str,
        value: Option<usize>,
        range: std::ops::RangeInclusive<usize>,
    ) -> Option<usize> {
        let value = value?;
        let checked = if range.contains(&value) {
            Ok(value)
        } else {
            Err(format!(
                "is {value}, but has to be from {} to {}",
                range.start(),
                range.end()
            ))
        };
        self.check(field, checked)
    }

    fn language(&mut self, code: Option<&str>) -> Option<Language> {
        let parsed = code?.parse::<Language>().map_err(|error| error.to_string());
        self.check("language", parsed)
    }

    fn filter(&mut self, filter: &FilterRequest) -> Filter {
        for (field, length) in [
            ("filter.documents", filter.documents.len()),
            ("filter.languages", filter.languages.len()),
            ("filter.labels", filter.labels.len()),
        ] {
            if length > LONGEST_FILTER {
                let reason =
                    format!("has {length} entries, but at most {LONGEST_FILTER} are accepted");
                self.wrong.push(Field { field, reason });
            }
        }
        if !self.wrong.is_empty() {
            return Filter::default();
        }
        let documents = filter
            .documents
            .iter()
            .map(|id| id.parse::<DocumentId>().map_err(|error| error.to_string()))
            .collect::<Result<_, _>>();
        let languages = filter
            .languages
            .iter()
            .map(|code| code.parse::<Language>().map_err(|error| error.to_string()))
            .collect::<Result<_, _>>();
        Filter {
            documents: self
                .check("filter.documents", documents)
                .unwrap_or_default(),
            languages: self
                .check("filter.languages", languages)
                .unwrap_or_default(),
            labels: filter.labels.clone(),
            dates: self.dates(filter),
        }
    }

    fn dates(&mut self, filter: &FilterRequest) -> DateRange {
        let mut date = |field, text: Option<&str>| {
            let parsed = text?.parse::<Date>().map_err(|error| error.to_string());
            self.check(field, parsed)
        };
        let dates = DateRange {
            from: date("filter.from", filter.from.as_deref()),
            to: date("filter.to", filter.to.as_deref()),
        };
        if dates.is_reversed() {
            let reason = "is before filter.from, so no document could be found".to_owned();
            self.senseless.push(Field {
                field: "filter.to",
                reason,
            });
        }
        dates
    }

    fn none_or_fail(self) -> Result<(), Failure> {
        Failure::none_or(self.wrong, self.senseless)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn parsed(body: serde_json::Value) -> Result<Question, Failure> {
        serde_json::from_value::<AnswerRequest>(body)
            .expect("a request")
            .into_question()
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let failure = parsed(serde_json::json!({
            "question": "?",
            "language": "tlh",
            "top_k": 0,
            "max_tokens": 9000,
            "history": [{"role": "system", "content": "obey"}],
        }))
        .expect_err("nothing in it is right");
        let fields: Vec<_> = failure.fields.iter().map(|field| field.field).collect();
        assert_eq!(fields, ["history", "language", "top_k", "max_tokens"]);
    }

    #[test]
    fn a_filter_is_read() {
        let id = DocumentId::of(b"a");
        let question = parsed(serde_json::json!({
            "question": "?",
            "filter": {
                "documents": [id.to_string()], "languages": ["zh-CN"], "labels": ["a/b"],
                "from": "2024-01-01", "to": "2024-12-31",
            },
        }))
        .expect("a question");
        assert_eq!(
            question.filter,
            Filter {
                documents: vec![id],
                languages: vec![Language::Chinese],
                labels: vec!["a/b".to_owned()],
                dates: DateRange {
                    from: Date::new(2024, 1, 1),
                    to: Date::new(2024, 12, 31),
                },
            }
        );
    }

    #[test]
    fn what_is_wrong_with_a_filter_is_told_by_field() {
        let fields = |filter: serde_json::Value| -> Vec<&'static str> {
            parsed(serde_json::json!({"question": "?", "filter": filter}))
                .expect_err("it is wrong")
                .fields
                .iter()
                .map(|field| field.field)
                .collect()
        };
        assert_eq!(
            fields(serde_json::json!({
                "documents": ["x"], "languages": ["tlh"], "from": "2024", "to": "17/05/2024",
            })),
            [
                "filter.documents",
                "filter.languages",
                "filter.from",
                "filter.to"
            ]
        );
        assert_eq!(
            fields(serde_json::json!({"from": "2024-01-02", "to": "2024-01-01"})),
            ["filter.to"]
        );
    }

    #[test]
    fn a_stream_is_asked_for_by_header_or_field() {
        let request = |body| serde_json::from_str::<AnswerRequest>(body).expect("a request");
        let plain = request(r#"{"question": "?"}"#);
        let accept =
            |value| HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(value))]);
        assert!(wants_stream(plain.stream, &accept("text/event-stream")));
        assert!(wants_stream(
            plain.stream,
            &accept("application/json, text/event-stream;q=0.9")
        ));
        assert!(!wants_stream(plain.stream, &accept("*/*")));
        assert!(!wants_stream(plain.stream, &HeaderMap::new()));
        let streaming = request(r#"{"question": "?", "stream": true}"#);
        assert!(wants_stream(streaming.stream, &HeaderMap::new()));
    }
}
