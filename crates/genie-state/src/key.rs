//! API keys.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use genie_core::ContentHash;
use rand::TryRngCore;
use rand::rngs::OsRng;
use serde::Serialize;
use sqlx::any::AnyRow;
use subtle::ConstantTimeEq;

use crate::row::{Columns, all};
use crate::{KeyId, Page, Paged, Quotas, Role, State, StateError, Subject, Timestamp, WorkspaceId};

/// A key to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// What it is for, for people.
    pub name: String,
    /// The workspace it opens; `None` for an operator's key, which is for the
    /// installation.
    pub workspace: Option<WorkspaceId>,
    /// What its holder may do.
    pub role: Role,
    /// Narrows the role; empty for all that the role may do.
    pub scopes: Vec<String>,
    /// When it stops to work.
    pub expires: Option<Timestamp>,
    /// What may be done with it at most.
    pub quotas: Quotas,
    /// Who makes it.
    pub by: Subject,
}

/// What is known of a key; its secret is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its identity, which rotation leaves.
    pub id: KeyId,
    /// How its secrets begin, `gk_` and eight hexadecimal digits.
    pub prefix: String,
    /// What it is for.
    pub name: String,
    /// The workspace it opens; `None` for the installation.
    pub workspace: Option<WorkspaceId>,
    /// What its holder may do.
    pub role: Role,
    /// Narrows the role; empty for all that the role may do.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it stops to work.
    pub expires: Option<Timestamp>,
    /// What may be done with it at most.
    pub quotas: Quotas,
    /// When it was used last, to a minute.
    pub last_used: Option<Timestamp>,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
}

/// The secret of a key: `gk_<8 hexadecimal digits>_<43 characters>`. It is
/// shown once and can't be read again.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text that whoever uses the key sends.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What every secret begins with, so that a scanner finds one that leaked.
const MARK: &str = "gk_";
/// Digits of the id in a secret; they find the row.
const PREFIX_DIGITS: usize = 8;
/// Characters of 32 random bytes in base64.
const RANDOM_CHARACTERS: usize = 43;
/// How exact the last use is known: writing it each time would make every
/// request a write.
const LAST_USED: Duration = Duration::from_secs(60);

impl State {
    /// Makes a key. Its secret is not kept and can't be shown again.
    ///
    /// # Errors
    ///
    /// [`StateError::NotFound`] where there is no such workspace.
    pub async fn create_key(&self, new: NewKey) -> Result<(ApiKey, Secret), StateError> {
        let id = KeyId::random();
        let secret = Secret::random(&id)?;
        let scopes = as_json(&new.scopes)?;
        let quotas = as_json(&new.quotas)?;
        let mut write = self.begin().await?;
        let row = sqlx::query(
            "INSERT INTO api_keys (id, prefix, hash, name, workspace, role, scopes, author, \
             created, expires, quotas) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING *",
        )
        .bind(id.to_string())
        .bind(prefix(&id))
        .bind(secret.hash())
        .bind(new.name)
        .bind(new.workspace.map(|id| id.to_string()))
        .bind(new.role.as_str())
        .bind(scopes)
        .bind(new.by.to_string())
        .bind(Timestamp::now().as_micros())
        .bind(new.expires.map(Timestamp::as_micros))
        .bind(quotas)
        .fetch_one(&mut *write)
        .await?;
        let key = read_key(&row)?;
        write.commit().await?;
        Ok((key, secret))
    }

    /// The key that this is the secret of. `None` where it is unknown, expired
    /// or revoked.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn authenticate(
        &self,
        secret: &str,
        now: Timestamp,
    ) -> Result<Option<ApiKey>, StateError> {
        let Some(prefix) = prefix_of(secret) else {
            return Ok(None);
        };
        let hash = ContentHash::of(secret.as_bytes()).to_string();
        let rows = sqlx::query("SELECT * FROM api_keys WHERE prefix = $1")
            .bind(prefix.to_owned())
            .fetch_all(self.reader())
            .await?;
        let mut found = None;
        for row in &rows {
            if bool::from(row.text("hash")?.as_bytes().ct_eq(hash.as_bytes())) {
                found = Some(read_key(row)?);
            }
        }
        let Some(mut key) = found else {
            return Ok(None);
        };
        if key.revoked.is_some() || key.expires.is_some_and(|expires| expires <= now) {
            return Ok(None);
        }
        if key
            .last_used
            .is_none_or(|last| last.after(LAST_USED) <= now)
        {
            // A full disk must not lock everybody out.
            match self.note_use(&key.id, now).await {
                Ok(()) => key.last_used = Some(now),
                Err(error) => {
                    tracing::warn!(%error, key = %key.id, "the use of a key was not noted")
                }
            }
        }
        Ok(Some(key))
    }

    async fn note_use(&self, id: &KeyId, now: Timestamp) -> Result<(), StateError> {
        let mut write = self.begin().await?;
        // Of many requests at once the first one writes.
        sqlx::query(
            "UPDATE api_keys SET last_used = $1 \
             WHERE id = $2 AND (last_used IS NULL OR last_used <= $3)",
        )
        .bind(now.as_micros())
        .bind(id.to_string())
        .bind(now.before(LAST_USED).as_micros())
        .execute(&mut *write)
        .await?;
        write.commit().await?;
        Ok(())
    }

    /// A key, be it expired or revoked.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn key(&self, id: &KeyId) -> Result<Option<ApiKey>, StateError> {
        sqlx::query("SELECT * FROM api_keys WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.reader())
            .await?
            .as_ref()
            .map(read_key)
            .transpose()
    }

    /// The keys of a workspace, or all keys, newest first.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn keys(
        &self,
        workspace: Option<&WorkspaceId>,
        page: Page,
    ) -> Result<Paged<ApiKey>, StateError> {
        let workspace = workspace.map(ToString::to_string);
        let count =
            sqlx::query("SELECT COUNT(*) AS n FROM api_keys WHERE ($1 IS NULL OR workspace = $1)")
                .bind(workspace.clone())
                .fetch_one(self.reader())
                .await?;
        let rows = sqlx::query(
            "SELECT * FROM api_keys WHERE ($1 IS NULL OR workspace = $1) \
             ORDER BY created DESC, id LIMIT $2 OFFSET $3",
        )
        .bind(workspace)
        .bind(page.limit())
        .bind(page.offset())
        .fetch_all(self.reader())
        .await?;
        Ok(Paged {
            count: count.number("n")?,
            results: all(&rows, read_key)?,
        })
    }

    /// Gives a key another secret; the old one stops to work at once. `None`
    /// where there is no such key or it is revoked.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn rotate_key(&self, id: &KeyId) -> Result<Option<(ApiKey, Secret)>, StateError> {
        let secret = Secret::random(id)?;
        let mut write = self.begin().await?;
        let row = sqlx::query(
            "UPDATE api_keys SET hash = $1, last_used = NULL \
             WHERE id = $2 AND revoked IS NULL RETURNING *",
        )
        .bind(secret.hash())
        .bind(id.to_string())
        .fetch_optional(&mut *write)
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let key = read_key(&row)?;
        write.commit().await?;
        Ok(Some((key, secret)))
    }

    /// Stops a key for good, at once. `false` where there is no such key or it
    /// was revoked before.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn revoke_key(&self, id: &KeyId) -> Result<bool, StateError> {
        let mut write = self.begin().await?;
        let revoked =
            sqlx::query("UPDATE api_keys SET revoked = $1 WHERE id = $2 AND revoked IS NULL")
                .bind(Timestamp::now().as_micros())
                .bind(id.to_string())
                .execute(&mut *write)
                .await?
                .rows_affected();
        write.commit().await?;
        Ok(revoked > 0)
    }
}

impl Secret {
    fn random(id: &KeyId) -> Result<Self, StateError> {
        let mut bytes = [0; 32];
        OsRng
            .try_fill_bytes(&mut bytes)
            .map_err(|error| StateError::Unavailable(error.into()))?;
        let random = URL_SAFE_NO_PAD.encode(bytes);
        Ok(Self(format!("{MARK}{}_{random}", prefix(id))))
    }

    /// 256 random bits need no slow hash: they can't be guessed.
    fn hash(&self) -> String {
        ContentHash::of(self.0.as_bytes()).to_string()
    }
}

fn as_json<T: Serialize>(value: &T) -> Result<String, StateError> {
    serde_json::to_string(value).map_err(|error| StateError::Invalid(error.to_string()))
}

fn prefix(id: &KeyId) -> String {
    id.to_string().chars().take(PREFIX_DIGITS).collect()
}

/// The digits of the id in a text that has the form of a secret.
fn prefix_of(secret: &str) -> Option<&str> {
    let (prefix, random) = secret.strip_prefix(MARK)?.split_once('_')?;
    let fits = prefix.len() == PREFIX_DIGITS
        && prefix.bytes().all(|byte| byte.is_ascii_hexdigit())
        && random.len() == RANDOM_CHARACTERS;
    fits.then_some(prefix)
}

fn read_key(row: &AnyRow) -> Result<ApiKey, StateError> {
    Ok(ApiKey {
        id: row.parsed("id")?,
        prefix: format!("{MARK}{}", row.text("prefix")?),
        name: row.text("name")?,
        workspace: row.maybe_parsed("workspace")?,
        role: row.parsed("role")?,
        scopes: row.json("scopes")?,
        created: row.time("created")?,
        expires: row.maybe_time("expires")?,
        quotas: row.json("quotas")?,
        last_used: row.maybe_time("last_used")?,
        revoked: row.maybe_time("revoked")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_its_form_and_is_not_shown() {
        let id = KeyId::random();
        let secret = Secret::random(&id).expect("random bytes");
        assert_eq!(secret.reveal().len(), 3 + 8 + 1 + 43);
        assert_eq!(prefix_of(secret.reveal()), Some(prefix(&id).as_str()));
        assert!(!format!("{secret:?}").contains(&secret.reveal()[12..]));
        assert_ne!(secret, Secret::random(&id).expect("random bytes"));
    }

    #[test]
    fn what_has_not_the_form_of_a_secret_is_told() {
        let random = "x".repeat(43);
        for text in [
            "",
            "gk_",
            "gk_0123abcd",
            "gk_0123abcd_short",
            &format!("gk_0123abcg_{random}"),
            &format!("gk_0123abc_{random}"),
            &format!("sk_0123abcd_{random}"),
            &format!("gk_é23abcd_{random}"),
        ] {
            assert_eq!(prefix_of(text), None, "{text}");
        }
    }
}
