//! Questions with passages, as the pipeline asks them, out of the articles
//! that come with the program.

use std::ops::ControlFlow;

use anyhow::{Context, ensure};
use genie_core::{BlockKind, ChatMessage, ChatRole, Generate, GenerateError, GenerateRequest};
use genie_ingest::{Limits, Source, parse, readable};

use crate::starter;

const SYSTEM: &str = "You answer questions about ICT infrastructure from passages. Use only what \
                      the passages say, in their own words.";

/// English articles as passages.
pub(super) struct Prompts {
    articles: Vec<Article>,
}

struct Article {
    title: String,
    paragraphs: Vec<String>,
}

impl Prompts {
    pub(super) fn read() -> anyhow::Result<Self> {
        let mut articles = Vec::new();
        for (uri, bytes) in starter::articles() {
            if !uri.starts_with("starter/en/") {
                continue;
            }
            let source = Source {
                bytes,
                uri: &uri,
                media_type: None,
            };
            let document = parse(&source, &Limits::default())?;
            let paragraphs: Vec<String> = document
                .blocks
                .iter()
                .filter(|block| block.kind == BlockKind::Paragraph)
                .filter_map(|block| block.span.slice(&document.text))
                .map(|text| readable(document.media_type, text).into_owned())
                .collect();
            if !paragraphs.is_empty() {
                articles.push(Article {
                    title: document.title,
                    paragraphs,
                });
            }
        }
        ensure!(!articles.is_empty(), "the program comes without articles");
        Ok(Self { articles })
    }

    /// A question about the article with this number, counted around, behind
    /// as many words of passages as make a prompt of at most `tokens`.
    pub(super) fn sized(
        &self,
        model: &dyn Generate,
        number: usize,
        tokens: usize,
    ) -> anyhow::Result<Vec<ChatMessage>> {
        let words = self.words(number, tokens);
        let sized = |count: usize| self.messages(number, &words[..count].concat());
        let (mut fits, mut too_many) = (0, words.len() + 1);
        while too_many - fits > 1 {
            let middle = fits.midpoint(too_many);
            if tokens_of(model, sized(middle))? <= tokens {
                fits = middle;
            } else {
                too_many = middle;
            }
        }
        ensure!(fits > 0, "a prompt of {tokens} tokens has no room for text");
        Ok(sized(fits))
    }

    /// Another question behind the same passages.
    pub(super) fn another(mut messages: Vec<ChatMessage>) -> anyhow::Result<Vec<ChatMessage>> {
        let last = messages.last_mut().context("a prompt without messages")?;
        let (passages, _) = last
            .content
            .rsplit_once("Question: ")
            .context("a prompt without a question")?;
        last.content = format!("{passages}Question: Which figures do the passages give?");
        Ok(messages)
    }

    fn messages(&self, number: usize, passages: &str) -> Vec<ChatMessage> {
        let title = &self.articles[number % self.articles.len()].title;
        let user = format!(
            "Passages:\n\n{passages}\n\nQuestion: What do the passages say about {title}, and \
             why does it matter?"
        );
        vec![
            ChatMessage::new(ChatRole::System, SYSTEM),
            ChatMessage::new(ChatRole::User, user),
        ]
    }

    /// Words with the blanks behind them, at least one for each token.
    fn words(&self, number: usize, tokens: usize) -> Vec<&str> {
        let mut words = Vec::new();
        let first = number % self.articles.len();
        let mut articles = self.articles.iter().cycle().skip(first);
        while words.len() < tokens {
            let Some(article) = articles.next() else {
                break;
            };
            words.extend([article.title.as_str(), "\n"]);
            for paragraph in &article.paragraphs {
                words.extend(paragraph.split_inclusive(' '));
                words.push("\n\n");
            }
        }
        words
    }
}

/// Tokens of a prompt with the model's template around it. A request for no
/// tokens is answered without running the model.
fn tokens_of(model: &dyn Generate, messages: Vec<ChatMessage>) -> anyhow::Result<usize> {
    let request = GenerateRequest::new(messages, 0);
    match model.generate(request, &mut |_| ControlFlow::Continue(())) {
        Ok(counted) => Ok(counted.usage.prompt_tokens),
        Err(GenerateError::ContextOverflow { prompt, .. }) => Ok(prompt),
        Err(error) => Err(error.into()),
    }
}
