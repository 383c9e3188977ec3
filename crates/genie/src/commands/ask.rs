//! `genie ask`: one question, one cited answer.

use std::ops::ControlFlow;

use genie_core::{ChatMessage, ChatRole, Config};
use genie_rag::{AnswerEvent, Engine, Question, RagError};
use genie_server::AnswerBody;

use crate::cli::{Ask, Asking, Common, Serve, Workspace};
use crate::interrupt::{self, Interrupted};
use crate::remote::Remote;
use crate::wiring::{Parts, Place, place_in};
use crate::{Ended, progress, render, settings};

use super::{say, say_json};

/// Runs the command.
pub(crate) fn run(common: &Common, arguments: &Ask) -> anyhow::Result<Ended> {
    let config = settings::read(common, &Serve::default())?;
    // A filter that makes no sense is told before models are loaded.
    arguments.asking.only.filter()?;
    let answerer = Answerer::open(common, &config, &arguments.asking.place)?;
    let turn = Turn {
        question: &arguments.question,
        history: &[],
        asking: &arguments.asking,
    };
    if arguments.json {
        say_json(&answerer.answer(&turn, &mut |_| Ok(()))?)?;
    } else {
        answerer.talk(&turn)?;
    }
    Ok(Ended::Done)
}

/// One question of a conversation.
pub(crate) struct Turn<'a> {
    pub(crate) question: &'a str,
    /// Earlier questions with their answers.
    pub(crate) history: &'a [(String, String)],
    pub(crate) asking: &'a Asking,
}

/// Answers here or through the service that holds the index.
pub(crate) enum Answerer {
    Here(Box<Engine>),
    Service(Remote),
}

impl Answerer {
    /// Loads what is needed, with a sign of life.
    pub(crate) fn open(
        common: &Common,
        config: &Config,
        workspace: &Workspace,
    ) -> anyhow::Result<Self> {
        match place_in(common, config, workspace)? {
            (Place::Service(remote), _) => Ok(Self::Service(remote)),
            (Place::Here, config) => {
                let waiting = progress::waiting("loading models");
                let parts = Parts::open(common, &config)?;
                let engine = parts.engine(common, &config)?;
                waiting.finish_and_clear();
                Ok(Self::Here(Box::new(engine)))
            }
        }
    }

    /// Answers, handing out pieces of text as they come.
    pub(crate) fn answer(
        &self,
        turn: &Turn<'_>,
        on_piece: &mut dyn FnMut(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<AnswerBody> {
        match self {
            Self::Service(remote) => {
                let mut outcome = Ok(());
                let answer =
                    remote.answer(turn.question, turn.history, turn.asking, &mut |piece| {
                        if outcome.is_ok() {
                            outcome = on_piece(piece);
                        }
                    })?;
                outcome.map(|()| answer)
            }
            Self::Here(engine) => {
                let mut question = Question::new(turn.question);
                question.language = turn.asking.lang;
                question.top_k = turn.asking.top_k;
                question.filter = turn.asking.only.filter()?;
                question.history = messages(turn.history);
                let mut failure = None;
                let answer = engine.answer(question, &mut |event| {
                    if let AnswerEvent::Delta(piece) = event
                        && !piece.is_empty()
                        && let Err(error) = on_piece(piece)
                    {
                        failure = Some(error);
                        return ControlFlow::Break(());
                    }
                    if interrupt::requested() {
                        return ControlFlow::Break(());
                    }
                    ControlFlow::Continue(())
                });
                match (answer, failure) {
                    (_, Some(error)) => Err(error),
                    (Err(RagError::Cancelled), None) => Err(Interrupted.into()),
                    (answer, None) => Ok(AnswerBody::from(&answer?)),
                }
            }
        }
    }

    /// Answers onto the terminal, with numbered sources below.
    pub(crate) fn talk(&self, turn: &Turn<'_>) -> anyhow::Result<AnswerBody> {
        let waiting = progress::waiting("reading the passages");
        let answer = self.answer(turn, &mut |piece| {
            waiting.finish_and_clear();
            say(&render::plain(piece))
        })?;
        waiting.finish_and_clear();
        say(&format!(
            "\n\n{}{}\n{}\n",
            render::plain(&render::sources(&answer)),
            render::plain(&render::hand_over(&answer)),
            render::timings(&answer)
        ))?;
        Ok(answer)
    }
}

fn messages(history: &[(String, String)]) -> Vec<ChatMessage> {
    history
        .iter()
        .flat_map(|(question, answer)| {
            [
                ChatMessage::new(ChatRole::User, question),
                ChatMessage::new(ChatRole::Assistant, answer),
            ]
        })
        .collect()
}
