//! `genie chat`: a line-edited conversation.

use anyhow::Context;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use crate::cli::{Chat, Common, Serve};
use crate::interrupt::Interrupted;
use crate::{Ended, settings};

use super::ask::{Answerer, Turn};
use super::say;

/// Runs the command.
pub(crate) fn run(common: &Common, arguments: &Chat) -> anyhow::Result<Ended> {
    let config = settings::read(common, &Serve::default())?;
    let answerer = Answerer::open(common, &config, &arguments.asking.place)?;
    let mut editor =
        DefaultEditor::new().context("the terminal can't be used for a conversation")?;
    let mut history: Vec<(String, String)> = Vec::new();
    say("Ask about the documents. /new starts over, /quit ends.\n")?;
    loop {
        let line = match editor.readline("> ") {
            Ok(line) => line,
            Err(ReadlineError::Eof) => return Ok(Ended::Done),
            Err(ReadlineError::Interrupted) => return Err(Interrupted.into()),
            Err(error) => return Err(error.into()),
        };
        let line = line.trim();
        match line {
            "" => continue,
            "/quit" | "/exit" => return Ok(Ended::Done),
            "/new" => {
                history.clear();
                say("A new conversation.\n")?;
                continue;
            }
            unknown if unknown.starts_with('/') => {
                say("Commands are /new and /quit.\n")?;
                continue;
            }
            question => {
                editor.add_history_entry(question).ok();
                let turn = Turn {
                    question,
                    history: &history,
                    asking: &arguments.asking,
                };
                let answer = answerer.talk(&turn)?;
                history.push((question.to_owned(), answer.answer));
            }
        }
    }
}
