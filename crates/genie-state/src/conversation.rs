//! Conversations and their messages.

use std::fmt;
use std::str::FromStr;

use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::row::{Columns, all};
use crate::{
    ConversationId, MessageId, Owner, Page, Paged, ParseError, State, StateError, Timestamp,
};

/// A conversation to be begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewConversation {
    /// Whose it is.
    pub owner: Owner,
    /// What it is about.
    pub title: String,
}

/// A conversation of one subject in one workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Its identity.
    pub id: ConversationId,
    /// What it is about.
    pub title: String,
    /// When it began.
    pub created: Timestamp,
    /// When it was renamed or continued last.
    pub changed: Timestamp,
    /// How many messages it has.
    pub messages: u32,
}

/// A message to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// What is said.
    pub text: String,
    /// In which language, as a two-letter code.
    pub language: Option<String>,
    /// The body of the answer, as JSON.
    pub answer: Option<String>,
}

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Author {
    /// The one who asks.
    Person,
    /// The one who answers.
    Assistant,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its identity.
    pub id: MessageId,
    /// Where it stands.
    pub conversation: ConversationId,
    /// Who says it.
    pub author: Author,
    /// What is said.
    pub text: String,
    /// In which language, as a two-letter code.
    pub language: Option<String>,
    /// The body of the answer, as JSON.
    pub answer: Option<String>,
    /// When it was added.
    pub at: Timestamp,
}

impl Author {
    /// The author as a word in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Assistant => "assistant",
        }
    }
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Author {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Person, Self::Assistant]
            .into_iter()
            .find(|author| author.as_str() == text)
            .ok_or_else(|| ParseError::new("an author", text, "person"))
    }
}

impl State {
    /// Begins a conversation.
    ///
    /// # Errors
    ///
    /// [`StateError::NotFound`] where there is no such workspace.
    pub async fn create_conversation(
        &self,
        new: NewConversation,
    ) -> Result<Conversation, StateError> {
        let mut write = self.begin().await?;
        let row = sqlx::query(
            "INSERT INTO conversations (id, workspace, subject, title, created, changed, messages) \
             VALUES ($1, $2, $3, $4, $5, $5, 0) RETURNING *",
        )
        .bind(ConversationId::random().to_string())
        .bind(new.owner.workspace.to_string())
        .bind(new.owner.subject.to_string())
        .bind(new.title)
        .bind(Timestamp::now().as_micros())
        .fetch_one(&mut *write)
        .await?;
        let conversation = read_conversation(&row)?;
        write.commit().await?;
        Ok(conversation)
    }

    /// A conversation; `None` where it is not there or another's.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn conversation(
        &self,
        owner: &Owner,
        id: &ConversationId,
    ) -> Result<Option<Conversation>, StateError> {
        sqlx::query(
            "SELECT * FROM conversations \
             WHERE id = $1 AND workspace = $2 AND subject = $3 AND erase_after IS NULL",
        )
        .bind(id.to_string())
        .bind(owner.workspace.to_string())
        .bind(owner.subject.to_string())
        .fetch_optional(self.reader())
        .await?
        .as_ref()
        .map(read_conversation)
        .transpose()
    }

    /// The conversations of an owner, the one that changed last first.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn conversations(
        &self,
        owner: &Owner,
        page: Page,
    ) -> Result<Paged<Conversation>, StateError> {
        let count = sqlx::query(
            "SELECT COUNT(*) AS n FROM conversations \
             WHERE workspace = $1 AND subject = $2 AND erase_after IS NULL",
        )
        .bind(owner.workspace.to_string())
        .bind(owner.subject.to_string())
        .fetch_one(self.reader())
        .await?;
        let rows = sqlx::query(
            "SELECT * FROM conversations \
             WHERE workspace = $1 AND subject = $2 AND erase_after IS NULL \
             ORDER BY changed DESC, id LIMIT $3 OFFSET $4",
        )
        .bind(owner.workspace.to_string())
        .bind(owner.subject.to_string())
        .bind(page.limit())
        .bind(page.offset())
        .fetch_all(self.reader())
        .await?;
        Ok(Paged {
            count: count.number("n")?,
            results: all(&rows, read_conversation)?,
        })
    }

    /// Gives a conversation another title. `None` where it is not there or
    /// another's.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn rename_conversation(
        &self,
        owner: &Owner,
        id: &ConversationId,
        title: &str,
    ) -> Result<Option<Conversation>, StateError> {
        let mut write = self.begin().await?;
        let row = sqlx::query(
            "UPDATE conversations SET title = $1, changed = $2 \
             WHERE id = $3 AND workspace = $4 AND subject = $5 AND erase_after IS NULL \
             RETURNING *",
        )
        .bind(title.to_owned())
        .bind(Timestamp::now().as_micros())
        .bind(id.to_string())
        .bind(owner.workspace.to_string())
        .bind(owner.subject.to_string())
        .fetch_optional(&mut *write)
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let conversation = read_conversation(&row)?;
        write.commit().await?;
        Ok(Some(conversation))
    }

    /// Deletes a conversation, removed before or not, with its messages and
    /// what was said of them.
    /// `false` where it is not there or another's.
    ///
    /// # Errors
    ///
    /// [`StateError::NotCleared`] where all is deleted and the journal still
    /// holds it.
    pub async fn delete_conversation(
        &self,
        owner: &Owner,
        id: &ConversationId,
    ) -> Result<bool, StateError> {
        let mut write = self.begin().await?;
        let deleted = sqlx::query(
            "DELETE FROM conversations WHERE id = $1 AND workspace = $2 AND subject = $3",
        )
        .bind(id.to_string())
        .bind(owner.workspace.to_string())
        .bind(owner.subject.to_string())
        .execute(&mut *write)
        .await?
        .rows_affected();
        write.commit().await?;
        if deleted > 0 {
            self.clear_journal().await?;
        }
        Ok(deleted > 0)
    }

    /// Adds a question and its answer, both or neither. `None` where the
    /// conversation is not there or another's.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn add_exchange(
        &self,
        owner: &Owner,
        id: &ConversationId,
        question: NewMessage,
        answer: NewMessage,
    ) -> Result<Option<(Message, Message)>, StateError> {
        self.add_exchange_as(owner, id, question, (MessageId::random(), answer))
            .await
    }

    /// As [`Self::add_exchange`] with an id for the answer that somebody was
    /// told before there was an answer.
    ///
    /// # Errors
    ///
    /// As [`Self::add_exchange`].
    pub async fn add_exchange_as(
        &self,
        owner: &Owner,
        id: &ConversationId,
        question: NewMessage,
        (answer_id, answer): (MessageId, NewMessage),
    ) -> Result<Option<(Message, Message)>, StateError> {
        let now = Timestamp::now();
        let mut write = self.begin().await?;
        let found = sqlx::query(
            "UPDATE conversations SET messages = messages + 2, changed = $1 \
             WHERE id = $2 AND workspace = $3 AND subject = $4 AND erase_after IS NULL",
        )
        .bind(now.as_micros())
        .bind(id.to_string())
        .bind(owner.workspace.to_string())
        .bind(owner.subject.to_string())
        .execute(&mut *write)
        .await?
        .rows_affected();
        if found == 0 {
            return Ok(None);
        }
        // Behind the last one, not by their number: some may be deleted.
        let last = sqlx::query(
            "SELECT COALESCE(MAX(place), -1) AS last FROM messages WHERE conversation = $1",
        )
        .bind(id.to_string())
        .fetch_one(&mut *write)
        .await?
        .int("last")?;
        let mut added = Vec::with_capacity(2);
        for (place, author, id_of_message, new) in [
            (last + 1, Author::Person, MessageId::random(), question),
            (last + 2, Author::Assistant, answer_id, answer),
        ] {
            let message = Message {
                id: id_of_message,
                conversation: *id,
                author,
                text: new.text,
                language: new.language,
                answer: new.answer,
                at: now,
            };
            insert_message(&mut write, place, &message).await?;
            added.push(message);
        }
        write.commit().await?;
        let answer = added.pop();
        Ok(added.pop().zip(answer))
    }

    /// The messages of a conversation, oldest first. `None` where it is not
    /// there or another's.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn messages(
        &self,
        owner: &Owner,
        id: &ConversationId,
        page: Page,
    ) -> Result<Option<Paged<Message>>, StateError> {
        let Some(conversation) = self.conversation(owner, id).await? else {
            return Ok(None);
        };
        let rows = sqlx::query(
            "SELECT * FROM messages WHERE conversation = $1 ORDER BY place LIMIT $2 OFFSET $3",
        )
        .bind(id.to_string())
        .bind(page.limit())
        .bind(page.offset())
        .fetch_all(self.reader())
        .await?;
        Ok(Some(Paged {
            count: conversation.messages.into(),
            results: all(&rows, read_message)?,
        }))
    }

    /// The last messages of a conversation, the oldest of them first. `None`
    /// where it is not there or another's.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn last_messages(
        &self,
        owner: &Owner,
        id: &ConversationId,
        n: u32,
    ) -> Result<Option<Vec<Message>>, StateError> {
        if self.conversation(owner, id).await?.is_none() {
            return Ok(None);
        }
        let rows = sqlx::query(
            "SELECT * FROM messages WHERE conversation = $1 ORDER BY place DESC LIMIT $2",
        )
        .bind(id.to_string())
        .bind(i64::from(n))
        .fetch_all(self.reader())
        .await?;
        let mut messages = all(&rows, read_message)?;
        messages.reverse();
        Ok(Some(messages))
    }
}

async fn insert_message(
    write: &mut AnyConnection,
    place: i64,
    message: &Message,
) -> Result<(), StateError> {
    sqlx::query(
        "INSERT INTO messages (id, conversation, place, author, body, language, answer, at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(message.id.to_string())
    .bind(message.conversation.to_string())
    .bind(place)
    .bind(message.author.as_str())
    .bind(message.text.clone())
    .bind(message.language.clone())
    .bind(message.answer.clone())
    .bind(message.at.as_micros())
    .execute(write)
    .await?;
    Ok(())
}

pub(crate) fn read_conversation(row: &AnyRow) -> Result<Conversation, StateError> {
    Ok(Conversation {
        id: row.parsed("id")?,
        title: row.text("title")?,
        created: row.time("created")?,
        changed: row.time("changed")?,
        messages: row.number("messages")?,
    })
}

pub(crate) fn read_message(row: &AnyRow) -> Result<Message, StateError> {
    Ok(Message {
        id: row.parsed("id")?,
        conversation: row.parsed("conversation")?,
        author: row.parsed("author")?,
        text: row.text("body")?,
        language: row.maybe_text("language")?,
        answer: row.maybe_text("answer")?,
        at: row.time("at")?,
    })
}
