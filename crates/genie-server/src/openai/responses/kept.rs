//! Responses that are stored: questions with their answers in conversations
//! of the caller.

use std::sync::Arc;

use genie_core::{Answer, ChatMessage, ChatRole};
use genie_state::{ConversationId, Exchange, MessageId, NewConversation, NewMessage};
use serde_json::Value;
use tokio::sync::mpsc;

use super::body::{Frame, Told};
use super::id::ResponseId;
use super::{moved, no_such_response};
use crate::access::Access;
use crate::answer::{answered, next};
use crate::app::Service;
use crate::conversations::{HISTORY, PIECES_AHEAD, TITLE_OF_QUESTION};
use crate::failure::Failure;
use crate::wire::AnswerBody;
use crate::work::Piece;

/// Where the frame is, in the body of an answer that is kept.
const FRAME: &str = "response";

/// A response that was stored.
pub(super) struct Kept {
    pub(super) told: Told,
    pub(super) answer: AnswerBody,
    /// The message that asks.
    pub(super) question: MessageId,
}

/// The stored response with this id, if it is the caller's.
pub(super) async fn kept(service: &Service, access: &Access, id: &str) -> Result<Kept, Failure> {
    let id: ResponseId = id.parse().map_err(|()| no_such_response("id"))?;
    let access = moved(service, access.clone(), &id, "id").await?;
    let (exchange, frame, answer) = stored(service, &access, &id.message)
        .await?
        .ok_or_else(|| no_such_response("id"))?;
    Ok(Kept {
        told: Told {
            id,
            frame,
            question: exchange.question.text,
        },
        answer,
        question: exchange.question.id,
    })
}

/// The conversation of a response, and the last turns up to it, through the
/// responses that each names as the one before.
pub(super) async fn history(
    service: &Service,
    access: &Access,
    id: &ResponseId,
) -> Result<(ConversationId, Vec<ChatMessage>), Failure> {
    let mut conversation = None;
    let mut turns = Vec::new();
    let mut at = Some(id.message);
    while let Some(message) = at
        && turns.len() < HISTORY as usize
    {
        let Some((exchange, frame, _)) = stored(service, access, &message).await? else {
            break;
        };
        conversation.get_or_insert(exchange.answer.conversation);
        turns.push(ChatMessage::new(ChatRole::Assistant, exchange.answer.text));
        turns.push(ChatMessage::new(ChatRole::User, exchange.question.text));
        let previous: Option<ResponseId> = frame.previous.and_then(|id| id.parse().ok());
        at = previous.map(|previous| previous.message);
    }
    turns.reverse();
    // One that was deleted further back is only forgotten.
    let conversation = conversation.ok_or_else(|| no_such_response("previous_response_id"))?;
    Ok((conversation, turns))
}

async fn stored(
    service: &Service,
    access: &Access,
    message: &MessageId,
) -> Result<Option<(Exchange, Frame, AnswerBody)>, Failure> {
    let state = service.accounts()?;
    let Some(exchange) = state.exchange(&access.owner(), message).await? else {
        return Ok(None);
    };
    // Answers of the other interface have no frame: they are no responses.
    let body = exchange.answer.answer.as_deref().unwrap_or_default();
    let read = || {
        let body: Value = serde_json::from_str(body).ok()?;
        let frame: Frame = serde_json::from_value(body.get(FRAME)?.clone()).ok()?;
        Some((frame, serde_json::from_value(body).ok()?))
    };
    Ok(read().map(|(frame, answer)| (exchange, frame, answer)))
}

/// A response that is being written.
pub(super) struct Keeping {
    pub(super) service: Arc<Service>,
    pub(super) access: Access,
    pub(super) told: Told,
    /// The one that goes on; `None` begins one.
    pub(super) conversation: Option<ConversationId>,
}

impl Keeping {
    /// Counts and records the answer, and keeps it if it is to be kept.
    pub(super) async fn keep(&self, answer: &Answer) -> Result<(), Failure> {
        answered(&self.service, &self.access, answer).await?;
        if self.told.frame.store != Some(true) {
            return Ok(());
        }
        let state = self.service.accounts()?;
        let owner = self.access.owner();
        let conversation = match self.conversation {
            Some(id) => id,
            None => {
                let title = self.told.question.chars().take(TITLE_OF_QUESTION).collect();
                let new = NewConversation {
                    owner: owner.clone(),
                    title,
                };
                state.create_conversation(new).await?.id
            }
        };
        let language = Some(answer.language.code().to_owned());
        let question = NewMessage {
            text: self.told.question.clone(),
            language: language.clone(),
            answer: None,
        };
        let written = NewMessage {
            text: answer.text.clone(),
            language,
            answer: Some(self.body(answer)?),
        };
        let id = self.told.id.message;
        let added = state
            .add_exchange_as(&owner, &conversation, question, (id, written))
            .await?;
        // The conversation was removed while the answer was written.
        added
            .map(|_| ())
            .ok_or_else(|| no_such_response("previous_response_id"))
    }

    fn body(&self, answer: &Answer) -> Result<String, Failure> {
        let whole = || {
            let mut body = serde_json::to_value(AnswerBody::from(answer))?;
            body[FRAME] = serde_json::to_value(self.told.frame_of(answer))?;
            serde_json::to_string(&body)
        };
        whole().map_err(|_| Failure::internal())
    }

    /// The same pieces; the answer is kept before its end is told.
    pub(super) fn stream(self, mut pieces: mpsc::Receiver<Piece>) -> mpsc::Receiver<Piece> {
        let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
        // Not joined: it ends with either of the two channels.
        tokio::spawn(async move {
            while let Some(piece) = next(&mut pieces, &sender).await {
                let piece = match piece {
                    Piece::Done(answer) => match self.keep(&answer).await {
                        Ok(()) => Piece::Done(answer),
                        Err(failure) => Piece::Failed(failure),
                    },
                    other => other,
                };
                if sender.send(piece).await.is_err() {
                    return;
                }
            }
        });
        receiver
    }
}
