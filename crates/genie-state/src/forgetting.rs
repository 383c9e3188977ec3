//! What kept answers hold of a document, taken out of them.
//!
//! An answer is kept with the passages that it was written from and with the
//! quotes that it cites, so a document lives on in conversations and in the
//! results of jobs. Who erases it means these too.

use serde_json::Value;
use sqlx::AnyConnection;

use crate::row::Columns;
use crate::{State, StateError, WorkspaceId};

/// What stands in the place of a text that was taken from the document.
pub const ERASED: &str = "[…]";

/// Rows that are looked at together.
const ROWS: i64 = 100;

impl State {
    /// Takes the passages and the quotes of a document, named as it is cited,
    /// out of all answers that a workspace keeps; the text of an answer that
    /// cites it becomes [`ERASED`]. Gives how many answers were changed.
    ///
    /// # Errors
    ///
    /// [`StateError::NotCleared`] where all is taken out and the journal still
    /// holds it.
    pub async fn forget_document(
        &self,
        workspace: &WorkspaceId,
        uri: &str,
    ) -> Result<u64, StateError> {
        let like = pattern(uri)?;
        let mut write = self.begin().await?;
        let mut changed = 0;
        changed += in_messages(&mut write, workspace, uri, &like).await?;
        for column in [Column::Result, Column::Payload] {
            changed += in_jobs(&mut write, workspace, uri, &like, column).await?;
        }
        write.commit().await?;
        if changed > 0 {
            self.clear_journal().await?;
        }
        Ok(changed)
    }
}

/// The name as it stands in JSON, for `LIKE`.
fn pattern(uri: &str) -> Result<String, StateError> {
    let quoted =
        serde_json::to_string(uri).map_err(|error| StateError::Invalid(error.to_string()))?;
    let mut pattern = String::from("%");
    for character in quoted.chars() {
        if matches!(character, '!' | '%' | '_') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern.push('%');
    Ok(pattern)
}

async fn in_messages(
    write: &mut AnyConnection,
    workspace: &WorkspaceId,
    uri: &str,
    like: &str,
) -> Result<u64, StateError> {
    let (mut changed, mut last) = (0, String::new());
    loop {
        let rows = sqlx::query(
            "SELECT m.id, m.body, m.answer FROM conversations c \
             JOIN messages m ON m.conversation = c.id \
             WHERE c.workspace = $1 AND m.answer LIKE $2 ESCAPE '!' AND m.id > $3 \
             ORDER BY m.id LIMIT $4",
        )
        .bind(workspace.to_string())
        .bind(like.to_owned())
        .bind(last.clone())
        .bind(ROWS)
        .fetch_all(&mut *write)
        .await?;
        for row in &rows {
            last = row.text("id")?;
            let body = row.text("body")?;
            let Some((answer, taken)) = without(&row.text("answer")?, uri) else {
                continue;
            };
            sqlx::query("UPDATE messages SET body = $1, answer = $2 WHERE id = $3")
                .bind(if taken.cited { ERASED.to_owned() } else { body })
                .bind(answer)
                .bind(last.clone())
                .execute(&mut *write)
                .await?;
            changed += 1;
        }
        if rows.len() < usize::try_from(ROWS).unwrap_or_default() {
            return Ok(changed);
        }
    }
}

/// A column of jobs that may hold an answer.
#[derive(Clone, Copy)]
enum Column {
    Result,
    Payload,
}

async fn in_jobs(
    write: &mut AnyConnection,
    workspace: &WorkspaceId,
    uri: &str,
    like: &str,
    column: Column,
) -> Result<u64, StateError> {
    let (select, update) = match column {
        Column::Result => (
            "SELECT id, result AS held FROM jobs \
             WHERE workspace = $1 AND result LIKE $2 ESCAPE '!' AND id > $3 ORDER BY id LIMIT $4",
            "UPDATE jobs SET result = $1 WHERE id = $2",
        ),
        Column::Payload => (
            "SELECT id, payload AS held FROM jobs \
             WHERE workspace = $1 AND payload LIKE $2 ESCAPE '!' AND id > $3 ORDER BY id LIMIT $4",
            "UPDATE jobs SET payload = $1 WHERE id = $2",
        ),
    };
    let (mut changed, mut last) = (0, String::new());
    loop {
        let rows = sqlx::query(select)
            .bind(workspace.to_string())
            .bind(like.to_owned())
            .bind(last.clone())
            .bind(ROWS)
            .fetch_all(&mut *write)
            .await?;
        for row in &rows {
            last = row.text("id")?;
            let Some((held, _)) = without(&row.text("held")?, uri) else {
                continue;
            };
            sqlx::query(update)
                .bind(held)
                .bind(last.clone())
                .execute(&mut *write)
                .await?;
            changed += 1;
        }
        if rows.len() < usize::try_from(ROWS).unwrap_or_default() {
            return Ok(changed);
        }
    }
}

/// What was taken out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Taken {
    /// Anything at all.
    any: bool,
    /// Something that the text rests on.
    cited: bool,
}

/// The JSON without the document; `None` where nothing of it is in it.
fn without(json: &str, uri: &str) -> Option<(String, Taken)> {
    let mut value: Value = serde_json::from_str(json).ok()?;
    let taken = take_out(&mut value, uri);
    taken.any.then(|| (value.to_string(), taken))
}

fn take_out(value: &mut Value, uri: &str) -> Taken {
    let mut taken = Taken::default();
    match value {
        Value::Array(entries) => {
            let before = entries.len();
            entries.retain(|entry| entry["document"].as_str() != Some(uri));
            taken.any = entries.len() < before;
            for entry in entries {
                let inner = take_out(entry, uri);
                taken.any |= inner.any;
                taken.cited |= inner.cited;
            }
        }
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                let inner = take_out(member, uri);
                taken.any |= inner.any;
                taken.cited |= inner.cited || (inner.any && name == "citations");
            }
            if taken.cited {
                for text in ["answer", "text"] {
                    if let Some(text @ Value::String(_)) = members.get_mut(text) {
                        *text = ERASED.into();
                    }
                }
            }
        }
        _ => {}
    }
    taken
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_cited_goes_with_the_text_and_what_was_only_read_without() {
        let answer = |cited: &str| {
            json!({
                "answer": "Ships splice cables [1].",
                "citations": [{"number": 1, "document": cited, "quote": "splice"}],
                "passages": [
                    {"document": "a.md", "text": "Ships splice."},
                    {"document": "b \"x\" 100%.md", "text": "Birds."},
                ],
            })
        };
        let (left, taken) =
            without(&answer("a.md").to_string(), "b \"x\" 100%.md").expect("a passage");
        assert_eq!((taken.any, taken.cited), (true, false));
        assert!(
            left.contains("splice cables") && !left.contains("Birds"),
            "{left}"
        );

        let kept = json!({"question": {"text": "Who?"}, "answer": {
            "text": "Ships splice cables.", "answer": answer("a.md"),
        }});
        let (left, taken) = without(&kept.to_string(), "a.md").expect("a citation");
        assert!(taken.cited);
        assert!(!left.contains("splice") && left.contains("Birds"), "{left}");
        assert!(left.contains("Who?"), "what was asked stays: {left}");
        assert_eq!(without(&kept.to_string(), "c.md"), None);
        assert_eq!(without("no JSON", "a.md"), None);
    }

    #[test]
    fn a_name_is_looked_for_as_it_is() {
        let like = pattern("50%_\"a!\"").expect("a pattern");
        assert_eq!(like, "%\"50!%!_\\\"a!!\\\"\"%");
    }
}
