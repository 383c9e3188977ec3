//! What a generated text has to look like, and the tools it may ask for.

/// Holds a text to a form: tokens that lead out of it are never chosen, and
/// the text ends only where the form is complete. A text that is cut by
/// `max_tokens` is the beginning of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Constraint {
    /// A JSON object of any content.
    JsonObject,
    /// JSON that a JSON Schema accepts; the schema as JSON text, with `$ref`
    /// into itself only.
    JsonSchema(String),
    /// A text that a regular expression (the syntax of the crate `regex`,
    /// without look-around) matches from its beginning to its end.
    Regex(String),
    /// One of these texts.
    OneOf(Vec<String>),
    /// Prose in which square brackets stand around one of these ids and
    /// nothing else, as in `[2]`.
    Citing(Vec<String>),
    /// One or several calls of these tools, in the form that the models with
    /// `<tool_call>` in their chat template were trained to write. Arguments
    /// are held to the tool's schema.
    Calls {
        /// What may be called.
        tools: Vec<Tool>,
        /// A second call may follow the first.
        several: bool,
    },
}

/// Something that a model may ask its caller to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// Letters, digits, `_` and `-`.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The JSON Schema of its arguments, as JSON text.
    pub parameters: String,
}

/// A call of a tool that a model asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The tool.
    pub name: String,
    /// A JSON object, as text.
    pub arguments: String,
}

/// How probable a token was, by the model's own logits: before temperature,
/// filters, penalties and constraints.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenWeight {
    /// The bytes that the token prints as; they need not be whole characters.
    pub bytes: Vec<u8>,
    /// Natural logarithm of its probability.
    pub log_probability: f32,
    /// The most probable tokens at its place and theirs, best first.
    pub best: Vec<(Vec<u8>, f32)>,
}
