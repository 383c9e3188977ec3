//! From what a text has to look like to a grammar over the model's tokens.
//!
//! The grammar engine is llguidance: an Earley parser over a lexer of regular
//! expression derivatives, which walks a trie of the vocabulary
//! (<https://github.com/guidance-ai/llguidance>). The trie is made once for a
//! model, from the bytes that each token prints as.

use std::sync::Arc;

use genie_core::{Constraint, Tool};
use llguidance::api::TopLevelGrammar;
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};

use crate::LlmError;
use crate::rule::Rule;
use crate::tokenizer::Tokenizer;

/// Bytes of a schema, an expression or a list of texts.
const LARGEST: usize = 64 << 10;
/// Bytes of a regular expression.
const LONGEST_EXPRESSION: usize = 4 << 10;
/// Levels of a schema's JSON.
const DEEPEST: usize = 32;
/// Values in a schema's JSON.
const MOST_VALUES: usize = 4_000;
/// What a schema may count to: items, properties, characters.
const MOST_COUNTED: u64 = 10_000;
/// Texts to choose from, ids to cite, tools to call.
const MOST_CHOICES: usize = 500;

/// Between the parts of JSON: a blank, or a line break with an indentation.
/// Without a bound a small model fills its answer with line breaks.
const WHITE_SPACE: &str = r"\x20|\x0A\x20{0,16}";

/// What grammars of one model are made with.
pub(crate) struct Grammars {
    factory: ParserFactory,
    tokenizer: Arc<Tokenizer>,
}

impl std::fmt::Debug for Grammars {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Grammars").finish_non_exhaustive()
    }
}

impl Grammars {
    /// Makes the trie of the vocabulary: tenths of a second for 150,000
    /// tokens.
    pub(crate) fn new(tokenizer: &Arc<Tokenizer>) -> Result<Self, LlmError> {
        let ends = tokenizer.ends();
        let Some(end) = ends.first().copied() else {
            return Err(refused("the model has no token that ends a text"));
        };
        let marker = TokTrie::SPECIAL_TOKEN_MARKER;
        let words: Vec<Vec<u8>> = (0..tokenizer.size())
            .map(|token| {
                let piece = tokenizer.piece(token);
                if ends.contains(&token) {
                    let mut word = vec![marker];
                    word.extend_from_slice(format!("<|end-{token}|>").as_bytes());
                    word
                } else if piece.first() == Some(&marker) {
                    // No text has this byte, and the trie keeps it for
                    // tokens that are no text.
                    Vec::new()
                } else {
                    piece.to_vec()
                }
            })
            .collect();
        let trie = TokTrie::from(&TokRxInfo::new(tokenizer.size(), end), &words);
        let trie = trie.with_eos_tokens(ends);
        let environment: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let mut factory = ParserFactory::new(
            &environment,
            InferenceCapabilities::default(),
            &SlicedBiasComputer::general_slices(),
        )
        .map_err(|error| refused(&said(&error)))?;
        factory.quiet();
        let limits = factory.limits_mut();
        limits.verbose_errors = false;
        limits.max_grammar_size = 100_000;
        // One or two kilobytes each.
        limits.max_lexer_states = 20_000;
        Ok(Self {
            factory,
            tokenizer: Arc::clone(tokenizer),
        })
    }

    /// The rule for one text.
    ///
    /// # Errors
    ///
    /// [`LlmError::Constraint`] says what is wrong with the constraint, or
    /// which limit it is beyond.
    pub(crate) fn rule(&self, constraint: &Constraint) -> Result<Rule, LlmError> {
        let grammar = grammar(constraint)?;
        let parser = self.factory.create_parser(grammar);
        let matcher = Matcher::new(parser);
        match matcher.get_error() {
            None => Ok(Rule::new(matcher, Arc::clone(&self.tokenizer))),
            Some(error) => Err(refused(&first_line(&error))),
        }
    }
}

fn grammar(constraint: &Constraint) -> Result<TopLevelGrammar, LlmError> {
    match constraint {
        Constraint::JsonObject => Ok(TopLevelGrammar::from_json_schema(guided(
            json!({"type": "object"}),
        ))),
        Constraint::JsonSchema(text) => {
            let schema = schema(text, "the schema")?;
            Ok(TopLevelGrammar::from_json_schema(guided(schema)))
        }
        Constraint::Regex(expression) => {
            within(
                "the expression",
                expression.len(),
                LONGEST_EXPRESSION,
                "bytes",
            )?;
            Ok(TopLevelGrammar::from_regex(expression))
        }
        Constraint::OneOf(texts) => {
            choices("the list", texts.len(), texts.iter().map(String::len).sum())?;
            if texts.iter().any(String::is_empty) {
                return Err(refused("the list has an empty text"));
            }
            let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
            Ok(TopLevelGrammar::from_lark(format!(
                "start: {}",
                texts.join(" | ")
            )))
        }
        Constraint::Citing(ids) => Ok(TopLevelGrammar::from_regex(&citing(ids)?)),
        Constraint::Calls { tools, several } => {
            Ok(TopLevelGrammar::from_lark(calls(tools, *several)?))
        }
    }
}

/// Text without square brackets, and ids in square brackets.
fn citing(ids: &[String]) -> Result<String, LlmError> {
    const PLAIN: &str = r"[^\[\]]";
    if ids.is_empty() {
        return Ok(format!("{PLAIN}*"));
    }
    choices("the ids", ids.len(), ids.iter().map(String::len).sum())?;
    let is_plain = |id: &String| {
        let of_id = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | ':');
        !id.is_empty() && id.chars().all(of_id)
    };
    match ids.iter().find(|id| !is_plain(id)) {
        Some(id) => Err(refused(&format!(
            "the id {id:?} has something else than letters, digits, -, _ and :"
        ))),
        None => Ok(format!(r"({PLAIN}|\[({})\])*", ids.join("|"))),
    }
}

/// The form of the chat templates with `<tool_call>`.
fn calls(tools: &[Tool], several: bool) -> Result<String, LlmError> {
    let bytes = tools.iter().map(|tool| tool.parameters.len()).sum();
    choices("the tools", tools.len(), bytes)?;
    let mut alternatives = Vec::new();
    let mut arguments = String::new();
    for (number, tool) in tools.iter().enumerate() {
        let what = format!("the parameters of {:?}", tool.name);
        let schema = guided(schema(&tool.parameters, &what)?);
        let opening = format!(
            "<tool_call>\n{{\"name\": {}, \"arguments\": ",
            quoted(&tool.name)
        );
        alternatives.push(format!(
            "{} arguments_{number} {}",
            quoted(&opening),
            quoted("}\n</tool_call>")
        ));
        arguments.push_str(&format!("arguments_{number}: %json {schema}\n"));
    }
    let start = if several {
        format!("start: call ({} call)*", quoted("\n"))
    } else {
        "start: call".to_owned()
    };
    Ok(format!(
        "{start}\ncall: {}\n{arguments}",
        alternatives.join(" | ")
    ))
}

/// A schema that is no larger than what is accepted; `what` names it.
fn schema(text: &str, what: &str) -> Result<Value, LlmError> {
    within(what, text.len(), LARGEST, "bytes")?;
    let schema: Value = serde_json::from_str(text)
        .map_err(|error| refused(&format!("{what} can't be read as JSON: {error}")))?;
    if !schema.is_object() {
        return Err(refused(&format!("{what} has to be a JSON object")));
    }
    let mut values = 0;
    look_into(&schema, what, 1, &mut values)?;
    Ok(schema)
}

fn look_into(value: &Value, what: &str, level: usize, values: &mut usize) -> Result<(), LlmError> {
    *values += 1;
    within(what, level, DEEPEST, "levels")?;
    within(what, *values, MOST_VALUES, "values")?;
    match value {
        Value::Array(items) => items
            .iter()
            .try_for_each(|item| look_into(item, what, level + 1, values)),
        Value::Object(entries) => entries.iter().try_for_each(|(key, value)| {
            let counts = matches!(
                key.as_str(),
                "minItems"
                    | "maxItems"
                    | "minLength"
                    | "maxLength"
                    | "minProperties"
                    | "maxProperties"
            );
            let counted = value.as_u64().filter(|_| counts);
            if let Some(counted) = counted.filter(|counted| *counted > MOST_COUNTED) {
                return Err(refused(&format!(
                    "{what} has {key} {counted}, and at most {MOST_COUNTED} is accepted"
                )));
            }
            if let ("pattern", Some(pattern)) = (key.as_str(), value.as_str()) {
                within("a pattern", pattern.len(), LONGEST_EXPRESSION, "bytes")?;
            }
            look_into(value, what, level + 1, values)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// The schema with how JSON is to be written, whatever it says itself.
fn guided(mut schema: Value) -> Value {
    schema["x-guidance"] = json!({
        "whitespace_flexible": true,
        "whitespace_pattern": WHITE_SPACE,
    });
    schema
}

/// A literal of the grammar language, which takes JSON's.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn choices(what: &str, count: usize, bytes: usize) -> Result<(), LlmError> {
    if count == 0 {
        return Err(refused(&format!("{what} must not be empty")));
    }
    within(what, count, MOST_CHOICES, "entries")?;
    within(what, bytes, LARGEST, "bytes")
}

fn within(what: &str, found: usize, limit: usize, unit: &str) -> Result<(), LlmError> {
    if found <= limit {
        return Ok(());
    }
    Err(refused(&format!(
        "{what} has {found} {unit} or more, and at most {limit} are accepted"
    )))
}

fn refused(reason: &str) -> LlmError {
    LlmError::Constraint {
        reason: reason.to_owned(),
    }
}

fn said(error: &dyn std::fmt::Display) -> String {
    first_line(&error.to_string())
}

/// What the engine says of a grammar, without the dump that follows.
pub(crate) fn first_line(error: &str) -> String {
    const LONGEST: usize = 300;
    let line = error.lines().next().unwrap_or_default();
    if line.starts_with("panic") {
        return "the grammar engine can't work with it".to_owned();
    }
    line.chars().take(LONGEST).collect()
}

#[cfg(test)]
#[path = "grammar_tests.rs"]
mod tests;
