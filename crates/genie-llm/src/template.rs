//! Chat templates: a conversation as the model was trained to read it.

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, context};

use genie_core::{ChatMessage, Tool};

use crate::gguf::Gguf;
use crate::prompt_data::{Data, to_json};
use crate::tokenizer::{SpecialTokens, Tokenizer};
use crate::{FileProblem, LlmError};

/// Steps that rendering may take. A model file comes from outside; a template
/// that runs for ever must not.
const FUEL: u64 = 20_000_000;

/// For files without a template: what most small models were trained with.
const CHATML: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n\
    {{ message.content }}<|im_end|>\n{% endfor %}\
    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// The same for gemma3, which knows two roles: what the system says stands in
/// front of the first turn.
const TURNS: &str = "{{ bos_token }}{% set said = namespace(first='') %}\
    {% for message in messages %}\
    {% if message.role == 'system' %}{% set said.first = message.content ~ '\n\n' %}\
    {% else %}<start_of_turn>{{ 'model' if message.role == 'assistant' else 'user' }}\n\
    {{ said.first }}{{ message.content }}<end_of_turn>\n{% set said.first = '' %}\
    {% endif %}{% endfor %}\
    {% if add_generation_prompt %}<start_of_turn>model\n{% endif %}";

const NAME: &str = "chat";

/// The chat template of a model.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
}

impl ChatTemplate {
    pub(crate) fn read(gguf: &Gguf) -> Result<Self, FileProblem> {
        let default = match gguf.text("general.architecture")? {
            Some("gemma3") => TURNS,
            _ => CHATML,
        };
        Self::new(gguf.text("tokenizer.chat_template")?.unwrap_or(default))
    }

    pub(crate) fn new(source: &str) -> Result<Self, FileProblem> {
        let broken = |error: Error| FileProblem::ChatTemplate(error.to_string());
        let mut environment = Environment::new();
        // As the library does that templates are written for.
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .map_err(broken)?;
        environment.set_syntax(syntax);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_filter("tojson", to_json);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(broken)?;
        Ok(Self {
            environment,
            source: source.to_owned(),
        })
    }

    /// The tokens of the conversation, up to and including what makes the
    /// model answer, then `prefill`.
    ///
    /// Control tokens come from the template alone. Where a message or the
    /// prefill spells one out (a retrieved passage may say `<|im_end|>`), a
    /// marker character is put inside of it before rendering and taken out
    /// when the text between the template's own control tokens is tokenized,
    /// so that it reads as the plain characters it is.
    pub(crate) fn tokens(
        &self,
        messages: &[ChatMessage],
        prefill: &str,
        tokenizer: &Tokenizer,
    ) -> Result<Vec<u32>, LlmError> {
        self.with_tools(messages, &[], prefill, tokenizer)
    }

    /// Whether tools can be told to the model, and calls told from its text.
    pub(crate) fn knows_tools(&self) -> bool {
        self.source.contains("tools") && self.source.contains("<tool_call>")
    }

    /// As [`Self::tokens`], with what the model may call.
    pub(crate) fn with_tools(
        &self,
        messages: &[ChatMessage],
        tools: &[Tool],
        prefill: &str,
        tokenizer: &Tokenizer,
    ) -> Result<Vec<u32>, LlmError> {
        let called = messages.iter().flat_map(|message| &message.calls);
        let marker = Marker::absent_from(
            messages
                .iter()
                .map(|message| message.content.as_str())
                .chain(called.flat_map(|call| [call.name.as_str(), &call.arguments]))
                .chain(tools.iter().flat_map(|tool| {
                    let Tool {
                        name,
                        description,
                        parameters,
                    } = tool;
                    [name.as_str(), description, parameters]
                }))
                .chain([prefill, &self.source]),
        )?;
        let special = tokenizer.special();
        let data = Data { marker, special };
        let turns = messages
            .iter()
            .map(|message| data.message(message))
            .collect::<Result<Vec<_>, _>>()?;
        let tools = tools
            .iter()
            .map(|tool| data.tool(tool))
            .collect::<Result<Vec<_>, _>>()?;
        let tools = (!tools.is_empty()).then_some(tools);
        let template = self.environment.get_template(NAME);
        let rendered = template
            .and_then(|template| {
                template.render(context! {
                    messages => turns,
                    tools => tools,
                    add_generation_prompt => true,
                    // Templates that can switch reasoning off do so: answers
                    // are read by people who wait for them.
                    enable_thinking => false,
                    bos_token => tokenizer.bos_text(),
                    eos_token => tokenizer.eos_text(),
                })
            })
            .map_err(LlmError::Template)?;
        let text = rendered + &marker.defuse(prefill, special);
        tokenizer.encode_structure(&text, Some(marker.0))
    }
}

/// A character that occurs nowhere in what is to be rendered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Marker(char);

impl Marker {
    fn absent_from<'t>(texts: impl Iterator<Item = &'t str> + Clone) -> Result<Self, LlmError> {
        let noncharacters = '\u{FDD0}'..='\u{FDEF}';
        let private = '\u{E000}'..='\u{F8FF}';
        noncharacters
            .chain(private)
            .find(|marker| !texts.clone().any(|text| text.contains(*marker)))
            .map(Self)
            .ok_or(LlmError::NoMarker)
    }

    /// `text` with the marker inside of everything that reads as a special
    /// token, or would together with its neighbours in the template.
    pub(crate) fn defuse(self, text: &str, special: &SpecialTokens) -> String {
        let mut safe = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, _, after)) = special.split(rest) {
            let token = &rest[before.len()..rest.len() - after.len()];
            safe.push_str(before);
            self.push_broken(&mut safe, token);
            rest = after;
        }
        safe.push_str(rest);
        self.break_edges(safe, special)
    }

    fn push_broken(self, safe: &mut String, token: &str) {
        let mut chars = token.chars();
        safe.extend(chars.next());
        safe.push(self.0);
        safe.push_str(chars.as_str());
    }

    /// A text that ends in `<|im_` must not meet `end|>`, whether or not the
    /// template trims it.
    fn break_edges(self, text: String, special: &SpecialTokens) -> String {
        let end = text.trim_end().len();
        let tail = special
            .texts()
            .filter_map(|token| longest_overlap(&text[..end], token))
            .max();
        let start = text.len() - text.trim_start().len();
        let head = special
            .texts()
            .filter_map(|token| longest_overlap(token, &text[start..]))
            .max();
        let mut safe = text;
        // The tail first: inserting there leaves earlier positions alone.
        if let Some(length) = tail {
            safe.insert(after_first_char(&safe, end - length), self.0);
        }
        if let Some(length) = head
            && safe.is_char_boundary(start + length)
        {
            let last = safe[..start + length].chars().next_back();
            let last = last.map_or(0, char::len_utf8);
            safe.insert(start + length - last, self.0);
        }
        safe
    }
}

fn after_first_char(text: &str, start: usize) -> usize {
    start + text[start..].chars().next().map_or(0, char::len_utf8)
}

/// The length of the longest proper overlap: an end of `left` that is a
/// beginning of `right`.
fn longest_overlap(left: &str, right: &str) -> Option<usize> {
    let most = left.len().min(right.len());
    (1..=most).rev().find(|length| {
        left.is_char_boundary(left.len() - length)
            && right.is_char_boundary(*length)
            && left[left.len() - length..] == right[..*length]
    })
}

fn raise_exception(message: String) -> Result<String, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

fn strftime_now(format: String) -> Result<String, Error> {
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    jiff::fmt::strtime::format(format, &now)
        .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_that_runs_for_ever_is_stopped() {
        let source = "{% for a in range(9000) %}{% for b in range(9000) %}\
                      {% for c in range(9000) %}x{% endfor %}{% endfor %}{% endfor %}";
        let template = ChatTemplate::new(source).expect("it parses");
        let chat = template
            .environment
            .get_template(NAME)
            .expect("it is there");
        let error = chat.render(context! {}).expect_err("it runs out of fuel");
        assert_eq!(error.kind(), ErrorKind::OutOfFuel);
    }

    #[test]
    fn python_methods_and_functions_of_templates_work() {
        let source = "{{ ' a '.strip() }}{{ strftime_now('%Y') | length }}\
                      {% if false %}{{ raise_exception('no') }}{% endif %}";
        let template = ChatTemplate::new(source).expect("it parses");
        let chat = template
            .environment
            .get_template(NAME)
            .expect("it is there");
        assert_eq!(chat.render(context! {}).expect("rendered"), "a4");
    }

    #[test]
    fn a_template_that_cannot_be_parsed_is_a_problem_of_the_file() {
        let problem = ChatTemplate::new("{% for %}").expect_err("it is no template");
        assert!(matches!(problem, FileProblem::ChatTemplate(_)));
    }

    #[test]
    fn overlaps_are_found() {
        assert_eq!(longest_overlap("see <|im_", "<|im_end|>"), Some(5));
        assert_eq!(longest_overlap("<|im_end|>", "|> and"), Some(2));
        assert_eq!(longest_overlap("é", "<|im_end|>"), None);
    }

    #[test]
    fn a_marker_is_a_character_that_nobody_uses() {
        let used: String = ('\u{FDD0}'..='\u{FDEF}').collect();
        let marker = Marker::absent_from([used.as_str()].into_iter()).expect("there are more");
        assert_eq!(marker.0, '\u{E000}');
        let all: String = ('\u{FDD0}'..='\u{FDEF}')
            .chain('\u{E000}'..='\u{F8FF}')
            .collect();
        assert!(Marker::absent_from([all.as_str()].into_iter()).is_err());
    }
}
