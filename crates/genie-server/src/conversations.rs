//! Conversations: kept questions with their answers, which later questions
//! are understood by.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use genie_core::{Answer, ChatMessage, ChatRole};
use genie_rag::Question;
use genie_state::{
    Author, Conversation, ConversationId, Message, MessageId, NewConversation, NewFeedback,
    NewMessage, Owner, Paged,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::access::Access;
use crate::answer::{answered, events, next, told_in_full};
use crate::app::Service;
use crate::body::ApiJson;
use crate::bounds::LINE_OR_NOTHING;
use crate::deferred;
use crate::documents::prefers_job;
use crate::failure::Failure;
use crate::paging::{PageBody, Paging};
use crate::question::{AnswerRequest, wants_stream};
use crate::wire::AnswerBody;
use crate::work::{Job, Piece, Stop, streamed, whole};

const LONGEST_TITLE: usize = 200;
/// Characters of a first question that a conversation is named by.
pub(crate) const TITLE_OF_QUESTION: usize = 80;
/// Messages before a question that it is understood by.
pub(crate) const HISTORY: u32 = 8;
const LONGEST_COMMENT: usize = 4000;
/// As many pieces as a stream of answers keeps for a slow reader.
pub(crate) const PIECES_AHEAD: usize = 4;

/// A conversation.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ConversationBody {
    id: String,
    title: String,
    created: String,
    changed: String,
    /// How many there are.
    messages: u32,
}

/// The body that opens a conversation.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpeningBody {
    /// Named by its first question where it is left out.
    #[serde(default)]
    #[schemars(length(max = 200), regex(path = "LINE_OR_NOTHING"))]
    title: Option<String>,
}

/// The body that renames a conversation.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TitleBody {
    /// What it is called from now on.
    #[schemars(length(max = 200), regex(path = "LINE_OR_NOTHING"))]
    title: String,
}

/// A message of a conversation.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct MessageBody {
    id: String,
    conversation: String,
    author: AuthorBody,
    text: String,
    language: Option<String>,
    at: String,
    /// The whole answer with citations; of answers.
    answer: Option<Value>,
}

/// Who wrote a message.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AuthorBody {
    /// Whoever asked.
    Person,
    /// This service.
    Assistant,
}

/// A question with its answer, as they are kept now.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ExchangeBody {
    pub(crate) question: MessageBody,
    pub(crate) answer: MessageBody,
}

/// What a reader says of an answer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FeedbackRequest {
    /// From 1, bad, to 5, good.
    #[serde(default)]
    #[schemars(range(min = 1, max = 5))]
    rating: Option<i64>,
    #[serde(default)]
    #[schemars(length(max = 4000))]
    comment: Option<String>,
    /// The number of a citation that does not support the answer.
    #[serde(default)]
    wrong_citation: Option<u32>,
}

/// What a reader said of an answer.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FeedbackBody {
    message: String,
    subject: String,
    rating: Option<i32>,
    comment: Option<String>,
    wrong_citation: Option<u32>,
    at: String,
}

/// The part of a path that names a conversation or a message.
#[derive(Debug, Deserialize)]
pub(crate) struct IdPath {
    pub(crate) id: String,
}

pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    access: Access,
    paging: Paging,
) -> Result<Json<PageBody<ConversationBody>>, Failure> {
    let state = service.accounts()?;
    let page = state.conversations(&access.owner(), paging.page()?).await?;
    Ok(Json(paging.body(page)))
}

pub(crate) async fn create(
    State(service): State<Arc<Service>>,
    access: Access,
    ApiJson(body): ApiJson<OpeningBody>,
) -> Result<(StatusCode, Json<ConversationBody>), Failure> {
    let title = body.title.unwrap_or_default();
    check_title(&title)?;
    let new = NewConversation {
        owner: access.owner(),
        title,
    };
    let made = service.accounts()?.create_conversation(new).await?;
    Ok((StatusCode::CREATED, Json(made.into())))
}

pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<IdPath>,
) -> Result<Json<ConversationBody>, Failure> {
    let found = known(&service, &access.owner(), &path).await?;
    Ok(Json(found.into()))
}

pub(crate) async fn rename(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<IdPath>,
    ApiJson(body): ApiJson<TitleBody>,
) -> Result<Json<ConversationBody>, Failure> {
    let title = body.title;
    check_title(&title)?;
    let id = conversation_id(&path)?;
    let state = service.accounts()?;
    let renamed = state
        .rename_conversation(&access.owner(), &id, &title)
        .await?;
    Ok(Json(renamed.ok_or_else(no_such_conversation)?.into()))
}

pub(crate) async fn messages(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<IdPath>,
    paging: Paging,
) -> Result<Json<PageBody<MessageBody>>, Failure> {
    let id = conversation_id(&path)?;
    let state = service.accounts()?;
    let page = state.messages(&access.owner(), &id, paging.page()?).await?;
    let page: Paged<Message> = page.ok_or_else(no_such_conversation)?;
    Ok(Json(paging.body(page)))
}

/// Asks in a conversation; question and answer are kept together or not at
/// all.
pub(crate) async fn ask(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<IdPath>,
    stop: Stop,
    headers: HeaderMap,
    ApiJson(request): ApiJson<AnswerRequest>,
) -> Result<Response, Failure> {
    let conversation = known(&service, &access.owner(), &path).await?;
    let wants_stream = wants_stream(request.stream, &headers);
    if !wants_stream && prefers_job(&headers) {
        return deferred::queue(&service, &access, request, Some(conversation.id)).await;
    }
    let question = request.without_webhook()?.into_question()?;
    let (kept, question) = prepared(&service, &access, &path, question).await?;
    let question = access.bounded(question);
    let permit = service.admit_answer(&access, question.max_tokens).await?;
    let job = Job {
        question,
        field: "question",
        workspace: access.open(&service).await?,
        permit,
        stop,
    };
    if wants_stream {
        let pieces = kept.stream(streamed(&service, job));
        return events(pieces, told_in_full()).await;
    }
    let answer = whole(&service, job).await?;
    let exchange = kept.keep(&answer).await?;
    Ok((StatusCode::CREATED, Json(exchange)).into_response())
}

pub(crate) async fn give_feedback(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<IdPath>,
    ApiJson(body): ApiJson<FeedbackRequest>,
) -> Result<Json<FeedbackBody>, Failure> {
    let no_such_message = || {
        Failure::new(
            StatusCode::NOT_FOUND,
            "message_not_found",
            "there is no answer with this id in this caller's conversations",
        )
    };
    let message: MessageId = path.id.parse().map_err(|_| no_such_message())?;
    let feedback = body.checked()?;
    let state = service.accounts()?;
    let given = state
        .give_feedback(&access.owner(), &message, feedback)
        .await?;
    Ok(Json(given.ok_or_else(no_such_message)?.into()))
}

pub(crate) async fn feedback(
    State(service): State<Arc<Service>>,
    access: Access,
    paging: Paging,
) -> Result<Json<PageBody<FeedbackBody>>, Failure> {
    let id = &access.workspace.id;
    let page = service.accounts()?.feedback(id, paging.page()?).await?;
    Ok(Json(paging.body(page)))
}

/// A question with what was said before it, and where its answer is kept.
pub(crate) async fn prepared(
    service: &Arc<Service>,
    access: &Access,
    path: &IdPath,
    mut question: Question,
) -> Result<(Kept, Question), Failure> {
    let owner = access.owner();
    let conversation = known(service, &owner, path).await?;
    if question.history.is_empty() {
        let state = service.accounts()?;
        let before = state
            .last_messages(&owner, &conversation.id, HISTORY)
            .await?;
        question.history = before.unwrap_or_default().into_iter().map(turn).collect();
    }
    let kept = Kept {
        service: Arc::clone(service),
        access: access.clone(),
        conversation,
        question: question.text.clone(),
        answer: MessageId::random(),
    };
    Ok((kept, question))
}

/// A question that was asked in a conversation.
pub(crate) struct Kept {
    service: Arc<Service>,
    access: Access,
    conversation: Conversation,
    question: String,
    /// The id that the answer will have.
    answer: MessageId,
}

impl Kept {
    /// The same with this id for the answer.
    pub(crate) fn answered_as(self, answer: MessageId) -> Self {
        Self { answer, ..self }
    }

    pub(crate) async fn keep(&self, answer: &Answer) -> Result<ExchangeBody, Failure> {
        let state = self.service.accounts()?;
        let owner = self.access.owner();
        answered(&self.service, &self.access, answer).await?;
        let language = Some(answer.language.code().to_owned());
        let body =
            serde_json::to_string(&AnswerBody::from(answer)).map_err(|_| Failure::internal())?;
        let question = NewMessage {
            text: self.question.clone(),
            language: language.clone(),
            answer: None,
        };
        let written = NewMessage {
            text: answer.text.clone(),
            language,
            answer: Some(body),
        };
        let id = &self.conversation.id;
        let written = (self.answer, written);
        let exchange = state.add_exchange_as(&owner, id, question, written);
        let exchange = exchange.await?;
        // Removed while the answer was written.
        let (question, written) = exchange.ok_or_else(no_such_conversation)?;
        if self.conversation.title.is_empty() {
            let title: String = self.question.chars().take(TITLE_OF_QUESTION).collect();
            state.rename_conversation(&owner, id, &title).await?;
        }
        Ok(ExchangeBody {
            question: question.into(),
            answer: written.into(),
        })
    }

    /// The same pieces; the answer is kept before its end is told.
    fn stream(self, mut pieces: mpsc::Receiver<Piece>) -> mpsc::Receiver<Piece> {
        let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
        // Not joined: it ends with either of the two channels.
        tokio::spawn(async move {
            while let Some(piece) = next(&mut pieces, &sender).await {
                let piece = match piece {
                    Piece::Done(answer) => match self.keep(&answer).await {
                        Ok(_) => Piece::Done(answer),
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

fn turn(message: Message) -> ChatMessage {
    let role = match message.author {
        Author::Person => ChatRole::User,
        Author::Assistant => ChatRole::Assistant,
    };
    ChatMessage::new(role, message.text)
}

pub(crate) async fn known(
    service: &Service,
    owner: &Owner,
    path: &IdPath,
) -> Result<Conversation, Failure> {
    let id = conversation_id(path)?;
    let found = service.accounts()?.conversation(owner, &id).await?;
    found.ok_or_else(no_such_conversation)
}

pub(crate) fn conversation_id(path: &IdPath) -> Result<ConversationId, Failure> {
    path.id.parse().map_err(|_| no_such_conversation())
}

pub(crate) fn no_such_conversation() -> Failure {
    Failure::new(
        StatusCode::NOT_FOUND,
        "conversation_not_found",
        "this caller has no conversation with this id",
    )
}

fn check_title(title: &str) -> Result<(), Failure> {
    if title.chars().count() > LONGEST_TITLE || title.chars().any(char::is_control) {
        return Err(Failure::invalid(
            "title",
            format!(
                "has to have at most {LONGEST_TITLE} characters, none of them a control character"
            ),
        ));
    }
    Ok(())
}

impl FeedbackRequest {
    fn checked(self) -> Result<NewFeedback, Failure> {
        let rating = match self.rating {
            None => None,
            Some(rating @ 1..=5) => i32::try_from(rating).ok(),
            Some(rating) => {
                return Err(Failure::invalid(
                    "rating",
                    format!("is {rating}, but has to be from 1 to 5"),
                ));
            }
        };
        let length = self
            .comment
            .as_ref()
            .map_or(0, |comment| comment.chars().count());
        if length > LONGEST_COMMENT {
            return Err(Failure::invalid(
                "comment",
                format!("has {length} characters, but at most {LONGEST_COMMENT} are accepted"),
            ));
        }
        if rating.is_none() && self.comment.is_none() && self.wrong_citation.is_none() {
            return Err(Failure::senseless(
                "rating",
                "has to be given where there is neither a comment nor a wrong citation",
            ));
        }
        Ok(NewFeedback {
            rating,
            comment: self.comment,
            wrong_citation: self.wrong_citation,
        })
    }
}

impl From<Conversation> for ConversationBody {
    fn from(conversation: Conversation) -> Self {
        Self {
            id: conversation.id.to_string(),
            title: conversation.title,
            created: conversation.created.to_string(),
            changed: conversation.changed.to_string(),
            messages: conversation.messages,
        }
    }
}

impl From<Message> for MessageBody {
    fn from(message: Message) -> Self {
        Self {
            id: message.id.to_string(),
            conversation: message.conversation.to_string(),
            author: match message.author {
                Author::Person => AuthorBody::Person,
                Author::Assistant => AuthorBody::Assistant,
            },
            text: message.text,
            language: message.language,
            at: message.at.to_string(),
            // Written by this service, so it is JSON.
            answer: message
                .answer
                .and_then(|body| serde_json::from_str(&body).ok()),
        }
    }
}

impl From<genie_state::Feedback> for FeedbackBody {
    fn from(feedback: genie_state::Feedback) -> Self {
        Self {
            message: feedback.message.to_string(),
            subject: feedback.subject.to_string(),
            rating: feedback.rating,
            comment: feedback.comment,
            wrong_citation: feedback.wrong_citation,
            at: feedback.at.to_string(),
        }
    }
}
