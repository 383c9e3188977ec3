//! The queue of jobs and the leases on them.

use std::time::Duration;

use sqlx::any::AnyRow;

use crate::database::Engine;
use crate::row::{Columns, all, stored};
use crate::{
    Job, JobId, JobOutcome, JobState, NewJob, Page, Paged, State, StateError, Subject, Timestamp,
    WorkspaceId,
};

/// How often a job is begun before it is set aside.
const MOST_ATTEMPTS: i64 = 3;
/// A job that failed waits this long for each attempt it had.
const PAUSE: Duration = Duration::from_secs(2);

const TAKE: &str = "UPDATE jobs SET state = 'running', worker = $1, due = $2, changed = $3, \
     attempts = attempts + 1 WHERE id = (SELECT id FROM jobs \
     WHERE state IN ('queued', 'running') AND due <= $3 \
     AND workspace NOT IN (SELECT id FROM workspaces WHERE erase_after IS NOT NULL) \
     AND ($4 = '' OR kind IN ($4, $5, $6, $7)) ORDER BY created, id LIMIT 1) RETURNING *";
/// Of two workers that look at the same moment, the second one passes over the
/// row that the first one holds.
const TAKE_POSTGRES: &str = "UPDATE jobs SET state = 'running', worker = $1, due = $2, \
     changed = $3, attempts = attempts + 1 WHERE id = (SELECT id FROM jobs \
     WHERE state IN ('queued', 'running') AND due <= $3 \
     AND workspace NOT IN (SELECT id FROM workspaces WHERE erase_after IS NOT NULL) \
     AND ($4 = '' OR kind IN ($4, $5, $6, $7)) ORDER BY created, id LIMIT 1 \
     FOR UPDATE SKIP LOCKED) RETURNING *";
/// Kinds that one worker can ask for.
const MOST_KINDS: usize = 4;

impl State {
    /// Queues a job. Where the workspace has the same one that is not finished
    /// (same kind and content), gives that one.
    ///
    /// # Errors
    ///
    /// [`StateError::NotFound`] where there is no such workspace.
    pub async fn enqueue(&self, new: NewJob) -> Result<Job, StateError> {
        let mut write = self.begin().await?;
        // On a conflict the row is updated to what it is, so that it comes
        // back and can't be finished by anybody before this commits.
        let row = sqlx::query(
            "INSERT INTO jobs (id, workspace, kind, subject, content, payload, state, attempts, \
             done, total, due, created, changed) \
             VALUES ($1, $2, $3, $4, $5, $6, 'queued', 0, 0, 0, $7, $7, $7) \
             ON CONFLICT (workspace, kind, content) WHERE state IN ('queued', 'running') \
             DO UPDATE SET changed = jobs.changed RETURNING *",
        )
        .bind(JobId::random().to_string())
        .bind(new.workspace.to_string())
        .bind(new.kind)
        .bind(new.subject.to_string())
        .bind(new.content)
        .bind(new.payload)
        .bind(Timestamp::now().as_micros())
        .fetch_one(&mut *write)
        .await?;
        let job = read_job(&row)?;
        write.commit().await?;
        Ok(job)
    }

    /// Takes the oldest job of these kinds (at most four; of any where none is
    /// named) that waits, or whose worker let its lease end, for `lease` from
    /// `now` on. A job that was begun three times is set aside as failed
    /// instead, with the reason it gave last. Those of removed workspaces wait.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn claim(
        &self,
        worker: &str,
        kinds: &[&str],
        lease: Duration,
        now: Timestamp,
    ) -> Result<Option<Job>, StateError> {
        let [one, two, three, four] = places(kinds)?;
        // Workers ask all the time; only what they find is worth a write.
        let waiting = sqlx::query(
            "SELECT id FROM jobs WHERE state IN ('queued', 'running') AND due <= $1 \
             AND workspace NOT IN (SELECT id FROM workspaces WHERE erase_after IS NOT NULL) \
             AND ($2 = '' OR kind IN ($2, $3, $4, $5)) LIMIT 1",
        )
        .bind(now.as_micros())
        .bind(one.clone())
        .bind(two.clone())
        .bind(three.clone())
        .bind(four.clone())
        .fetch_optional(self.reader())
        .await?;
        if waiting.is_none() {
            return Ok(None);
        }
        let mut write = self.begin().await?;
        sqlx::query(
            "UPDATE jobs SET state = 'failed', worker = NULL, changed = $1, \
             reason = COALESCE(reason, 'its worker stopped without a word each time') \
             WHERE state IN ('queued', 'running') AND due <= $1 AND attempts >= $2",
        )
        .bind(now.as_micros())
        .bind(MOST_ATTEMPTS)
        .execute(&mut *write)
        .await?;
        let take = match self.engine() {
            Engine::Sqlite => TAKE,
            Engine::Postgres => TAKE_POSTGRES,
        };
        let row = sqlx::query(take)
            .bind(worker.to_owned())
            .bind(now.after(lease).as_micros())
            .bind(now.as_micros())
            .bind(one)
            .bind(two)
            .bind(three)
            .bind(four)
            .fetch_optional(&mut *write)
            .await?;
        let job = row.as_ref().map(read_job).transpose()?;
        write.commit().await?;
        Ok(job)
    }

    /// Whether a job of one of these kinds (at most four) waits or is worked on.
    ///
    /// # Errors
    ///
    /// [`StateError::Invalid`] for more kinds.
    pub async fn has_open_jobs(&self, kinds: &[&str]) -> Result<bool, StateError> {
        let [one, two, three, four] = places(kinds)?;
        let open = sqlx::query(
            "SELECT id FROM jobs WHERE state IN ('queued', 'running') \
             AND workspace NOT IN (SELECT id FROM workspaces WHERE erase_after IS NOT NULL) \
             AND ($1 = '' OR kind IN ($1, $2, $3, $4)) LIMIT 1",
        )
        .bind(one)
        .bind(two)
        .bind(three)
        .bind(four)
        .fetch_optional(self.reader())
        .await?;
        Ok(open.is_some())
    }

    /// Notes how far a worker is and renews its lease. `false` where the job is
    /// not the worker's any more: cancelled, finished or taken by another.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn progress(
        &self,
        id: &JobId,
        worker: &str,
        done: u64,
        total: u64,
        lease: Duration,
        now: Timestamp,
    ) -> Result<bool, StateError> {
        let mut write = self.begin().await?;
        let renewed = sqlx::query(
            "UPDATE jobs SET done = $1, total = $2, due = $3, changed = $4 \
             WHERE id = $5 AND worker = $6 AND state = 'running'",
        )
        .bind(stored(done))
        .bind(stored(total))
        .bind(now.after(lease).as_micros())
        .bind(now.as_micros())
        .bind(id.to_string())
        .bind(worker.to_owned())
        .execute(&mut *write)
        .await?
        .rows_affected();
        write.commit().await?;
        Ok(renewed > 0)
    }

    /// Ends a worker's part of a job. `false` where the job is not the worker's
    /// any more; what it did does not count then.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn finish(
        &self,
        id: &JobId,
        worker: &str,
        outcome: JobOutcome,
    ) -> Result<bool, StateError> {
        let now = Timestamp::now();
        let pause = i64::try_from(PAUSE.as_micros()).unwrap_or(0);
        let (statement, text) = match outcome {
            JobOutcome::Postponed {
                reason,
                payload,
                pause,
            } => {
                let until = now.after(pause);
                return self.postpone(id, worker, reason, payload, until).await;
            }
            JobOutcome::Done { result } => (
                "UPDATE jobs SET state = 'done', result = $1, reason = NULL, worker = NULL, \
                 changed = $2 WHERE id = $3 AND worker = $4 AND state = 'running' \
                 AND $5 >= 0 AND $6 >= 0",
                Some(result),
            ),
            JobOutcome::Failed { reason } => (
                "UPDATE jobs SET state = 'failed', reason = $1, worker = NULL, changed = $2 \
                 WHERE id = $3 AND worker = $4 AND state = 'running' AND $5 >= 0 AND $6 >= 0",
                Some(reason),
            ),
            JobOutcome::Retry { reason } => (
                "UPDATE jobs SET reason = $1, worker = NULL, changed = $2, \
                 due = $2 + attempts * $5, \
                 state = CASE WHEN attempts >= $6 THEN 'failed' ELSE 'queued' END \
                 WHERE id = $3 AND worker = $4 AND state = 'running'",
                Some(reason),
            ),
            JobOutcome::HandedBack => (
                "UPDATE jobs SET state = 'queued', reason = COALESCE($1, reason), worker = NULL, \
                 changed = $2, due = $2, attempts = attempts - 1 \
                 WHERE id = $3 AND worker = $4 AND state = 'running' AND $5 >= 0 AND $6 >= 0",
                None,
            ),
        };
        let mut write = self.begin().await?;
        let finished = sqlx::query(statement)
            .bind(text)
            .bind(now.as_micros())
            .bind(id.to_string())
            .bind(worker.to_owned())
            .bind(pause)
            .bind(MOST_ATTEMPTS)
            .execute(&mut *write)
            .await?
            .rows_affected();
        write.commit().await?;
        Ok(finished > 0)
    }

    async fn postpone(
        &self,
        id: &JobId,
        worker: &str,
        reason: String,
        payload: String,
        until: Timestamp,
    ) -> Result<bool, StateError> {
        let mut write = self.begin().await?;
        let postponed = sqlx::query(
            "UPDATE jobs SET state = 'queued', reason = $1, payload = $2, worker = NULL, \
             changed = $3, due = $4, attempts = attempts - 1 \
             WHERE id = $5 AND worker = $6 AND state = 'running'",
        )
        .bind(reason)
        .bind(payload)
        .bind(Timestamp::now().as_micros())
        .bind(until.as_micros())
        .bind(id.to_string())
        .bind(worker.to_owned())
        .execute(&mut *write)
        .await?
        .rows_affected();
        write.commit().await?;
        Ok(postponed > 0)
    }

    /// Cancels a job that is not finished; a worker that has it learns of it
    /// when it tells its progress. Gives the job as it is then, `None` where
    /// the workspace has no such job.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn cancel_job(
        &self,
        workspace: &WorkspaceId,
        id: &JobId,
    ) -> Result<Option<Job>, StateError> {
        let mut write = self.begin().await?;
        sqlx::query(
            "UPDATE jobs SET state = 'cancelled', worker = NULL, changed = $1 \
             WHERE id = $2 AND workspace = $3 AND state IN ('queued', 'running')",
        )
        .bind(Timestamp::now().as_micros())
        .bind(id.to_string())
        .bind(workspace.to_string())
        .execute(&mut *write)
        .await?;
        write.commit().await?;
        self.job(workspace, id).await
    }

    /// A job; `None` where the workspace has no such job.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn job(
        &self,
        workspace: &WorkspaceId,
        id: &JobId,
    ) -> Result<Option<Job>, StateError> {
        sqlx::query("SELECT * FROM jobs WHERE id = $1 AND workspace = $2")
            .bind(id.to_string())
            .bind(workspace.to_string())
            .fetch_optional(self.reader())
            .await?
            .as_ref()
            .map(read_job)
            .transpose()
    }

    /// The jobs of a workspace, newest first.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn jobs(
        &self,
        workspace: &WorkspaceId,
        page: Page,
    ) -> Result<Paged<Job>, StateError> {
        let count = sqlx::query("SELECT COUNT(*) AS n FROM jobs WHERE workspace = $1")
            .bind(workspace.to_string())
            .fetch_one(self.reader())
            .await?;
        let rows = sqlx::query(
            "SELECT * FROM jobs WHERE workspace = $1 ORDER BY created DESC, id LIMIT $2 OFFSET $3",
        )
        .bind(workspace.to_string())
        .bind(page.limit())
        .bind(page.offset())
        .fetch_all(self.reader())
        .await?;
        Ok(Paged {
            count: count.number("n")?,
            results: all(&rows, read_job)?,
        })
    }
}

impl State {
    /// As [`Self::jobs`] for a subject: of jobs whose kind begins with
    /// `answer`, which hold what somebody asked, only its own.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn jobs_seen_by(
        &self,
        workspace: &WorkspaceId,
        subject: &Subject,
        page: Page,
    ) -> Result<Paged<Job>, StateError> {
        let count = sqlx::query(
            "SELECT COUNT(*) AS n FROM jobs WHERE workspace = $1 \
             AND (kind NOT LIKE 'answer%' OR subject = $2)",
        )
        .bind(workspace.to_string())
        .bind(subject.to_string())
        .fetch_one(self.reader())
        .await?;
        let rows = sqlx::query(
            "SELECT * FROM jobs WHERE workspace = $1 \
             AND (kind NOT LIKE 'answer%' OR subject = $2) \
             ORDER BY created DESC, id LIMIT $3 OFFSET $4",
        )
        .bind(workspace.to_string())
        .bind(subject.to_string())
        .bind(page.limit())
        .bind(page.offset())
        .fetch_all(self.reader())
        .await?;
        Ok(Paged {
            count: count.number("n")?,
            results: all(&rows, read_job)?,
        })
    }

    /// Removes the jobs of a workspace that are over and did not change since,
    /// with what came of them, as [`Self::erase_subject`] erases. Gives how
    /// many there were.
    ///
    /// # Errors
    ///
    /// [`StateError::NotCleared`] where all is deleted and the journal still
    /// holds it.
    pub async fn erase_jobs_before(
        &self,
        workspace: &WorkspaceId,
        before: Timestamp,
    ) -> Result<u64, StateError> {
        let mut write = self.begin().await?;
        let erased = sqlx::query(
            "DELETE FROM jobs WHERE workspace = $1 AND changed < $2 \
             AND state NOT IN ('queued', 'running')",
        )
        .bind(workspace.to_string())
        .bind(before.as_micros())
        .execute(&mut *write)
        .await?
        .rows_affected();
        write.commit().await?;
        if erased > 0 {
            self.clear_journal().await?;
        }
        Ok(erased)
    }

    /// The jobs of a workspace that are not over, oldest first.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn open_jobs(&self, workspace: &WorkspaceId) -> Result<Vec<Job>, StateError> {
        let rows = sqlx::query(
            "SELECT * FROM jobs WHERE workspace = $1 AND state IN ('queued', 'running') \
             ORDER BY created, id",
        )
        .bind(workspace.to_string())
        .fetch_all(self.reader())
        .await?;
        all(&rows, read_job)
    }
}

/// Kinds for the places of a statement; those that are left over repeat the
/// first one.
fn places(kinds: &[&str]) -> Result<[String; MOST_KINDS], StateError> {
    if kinds.len() > MOST_KINDS {
        let given = kinds.len();
        return Err(StateError::Invalid(format!(
            "a worker can ask for {MOST_KINDS} kinds of jobs, not for {given}"
        )));
    }
    let first = kinds.first().copied().unwrap_or_default();
    Ok(std::array::from_fn(|at| {
        kinds.get(at).copied().unwrap_or(first).to_owned()
    }))
}

pub(crate) fn read_job(row: &AnyRow) -> Result<Job, StateError> {
    Ok(Job {
        id: row.parsed("id")?,
        workspace: row.parsed("workspace")?,
        kind: row.text("kind")?,
        subject: row.parsed("subject")?,
        content: row.text("content")?,
        payload: row.text("payload")?,
        state: row.parsed::<JobState>("state")?,
        attempts: row.number("attempts")?,
        done: row.number("done")?,
        total: row.number("total")?,
        result: row.maybe_text("result")?,
        reason: row.maybe_text("reason")?,
        created: row.time("created")?,
        changed: row.time("changed")?,
    })
}
