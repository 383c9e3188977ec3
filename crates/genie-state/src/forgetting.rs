//! What kept answers hold of a document, taken out of them.
//!
//! An answer is kept with the passages that it was written from and with the
//! quotes that it cites, so a document lives on in conversations and in the
//! results of jobs. Who erases it means these too.

use serde_json::Value;

use crate::row::Columns;
use crate::{State, StateError, WorkspaceId};

/// What stands in the place of a text that was taken from the document.
pub const ERASED: &str = "[…]";

/// Rows that are looked at, and changed, together.
const ROWS: i64 = 100;
/// How often it is looked for at most. Each time but the last somebody wrote
/// an answer from the document, or into one, while it was looked for.
const PASSES: usize = 1000;

impl State {
    /// Takes the passages and the quotes of a document, named as it is cited,
    /// out of all answers that a workspace keeps; the text of an answer that
    /// cites it becomes [`ERASED`]. Gives how many answers were changed.
    ///
    /// # Errors
    ///
    /// [`StateError::NotCleared`] where all is taken out and the journal still
    /// holds it, or where others keep writing answers from the document.
    pub async fn forget_document(
        &self,
        workspace: &WorkspaceId,
        uri: &str,
    ) -> Result<u64, StateError> {
        let like = pattern(uri)?;
        let (mut changed, mut is_gone) = (0, false);
        for _ in 0..PASSES {
            let mut now = Found::default();
            for held in [Held::Answer, Held::Result, Held::Payload] {
                self.forget_in(workspace, uri, &like, held, &mut now)
                    .await?;
            }
            changed += now.changed;
            // Once more where something was, for what was changed or kept
            // while it was looked for.
            is_gone = now == Found::default();
            if is_gone {
                break;
            }
        }
        if !is_gone {
            return Err(StateError::NotCleared);
        }
        if changed > 0 {
            self.clear_journal().await?;
        }
        Ok(changed)
    }

    /// Looking for it takes as long as there is much to look at, so it is done
    /// beside the writes of others; a write is only as long as what is changed.
    async fn forget_in(
        &self,
        workspace: &WorkspaceId,
        uri: &str,
        like: &str,
        held: Held,
        now: &mut Found,
    ) -> Result<(), StateError> {
        let mut last = String::new();
        loop {
            let rows = sqlx::query(held.select())
                .bind(workspace.to_string())
                .bind(like.to_owned())
                .bind(last.clone())
                .bind(ROWS)
                .fetch_all(self.reader())
                .await?;
            let mut found = Vec::new();
            for row in &rows {
                last = row.text("id")?;
                let before = row.text("held")?;
                if let Some((after, taken)) = without(&before, uri) {
                    let text = (held == Held::Answer && taken.cited).then_some(ERASED);
                    found.push((last.clone(), before, after, text));
                }
            }
            if !found.is_empty() {
                let mut write = self.begin().await?;
                for (id, before, after, text) in found {
                    let update = sqlx::query(held.update())
                        .bind(after)
                        .bind(id)
                        // What somebody changed meanwhile is for the next pass.
                        .bind(before);
                    let update = match held {
                        Held::Answer => update.bind(text),
                        Held::Result | Held::Payload => update,
                    };
                    let rows = update.execute(&mut *write).await?.rows_affected();
                    now.changed += rows;
                    now.missed += 1 - rows.min(1);
                }
                write.commit().await?;
            }
            if rows.len() < usize::try_from(ROWS).unwrap_or_default() {
                return Ok(());
            }
        }
    }
}

/// What a look at all answers found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    /// Answers that it was taken out of.
    changed: u64,
    /// Answers that somebody else changed meanwhile.
    missed: u64,
}

/// What may hold an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    /// A message.
    Answer,
    /// What came of a job.
    Result,
    /// What a job is to do.
    Payload,
}

impl Held {
    const fn select(self) -> &'static str {
        match self {
            Self::Answer => {
                "SELECT m.id, m.answer AS held FROM conversations c \
                 JOIN messages m ON m.conversation = c.id \
                 WHERE c.workspace = $1 AND m.answer LIKE $2 ESCAPE '!' AND m.id > $3 \
                 ORDER BY m.id LIMIT $4"
            }
            Self::Result => {
                "SELECT id, result AS held FROM jobs \
                 WHERE workspace = $1 AND result LIKE $2 ESCAPE '!' AND id > $3 \
                 ORDER BY id LIMIT $4"
            }
            Self::Payload => {
                "SELECT id, payload AS held FROM jobs \
                 WHERE workspace = $1 AND payload LIKE $2 ESCAPE '!' AND id > $3 \
                 ORDER BY id LIMIT $4"
            }
        }
    }

    const fn update(self) -> &'static str {
        match self {
            Self::Answer => {
                "UPDATE messages SET answer = $1, body = COALESCE($4, body) \
                 WHERE id = $2 AND answer = $3"
            }
            Self::Result => "UPDATE jobs SET result = $1 WHERE id = $2 AND result = $3",
            Self::Payload => "UPDATE jobs SET payload = $1 WHERE id = $2 AND payload = $3",
        }
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
