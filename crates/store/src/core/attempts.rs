//! The queue of the agents.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sqlx::Row as _;
use towpath_model::{AgentId, AttemptId, EnvironmentName, ProjectName, RunId};

use super::{Connection, decode, encode, parse};
use crate::time::to_micros;

/// Whose Attempt it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// A Job of a Run.
    Run(RunId),
    /// A check of a Promotion into an Environment.
    Environment(EnvironmentName),
}

/// An Attempt in the queue or with an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedAttempt {
    /// Which.
    pub id: AttemptId,
    /// Of which Project.
    pub project: ProjectName,
    /// Whose.
    pub owner: Owner,
    /// Labels that an agent must have.
    pub labels: BTreeMap<String, String>,
    /// The fence of the newest lease.
    pub fence: u64,
    /// Who has it.
    pub agent: Option<AgentId>,
    /// Why it shall end, once it was cancelled.
    pub cancel: Option<String>,
    /// What the agent is told, as JSON without secret values.
    pub body: String,
}

/// Puts an Attempt into the queue. Putting it again changes nothing.
///
/// # Errors
/// When the database refuses.
pub async fn queue(db: &mut Connection, attempt: &QueuedAttempt, now: Timestamp) -> sqlx::Result<()> {
    let (kind, owner) = match &attempt.owner {
        Owner::Run(id) => ("run", id.to_string()),
        Owner::Environment(name) => ("environment", name.to_string()),
    };
    sqlx::query(
        "INSERT INTO attempts (id, project, owner_kind, owner, state, labels, fence, queued_at, body) \
         VALUES ($1, $2, $3, $4, 'queued', $5, 0, $6, $7) ON CONFLICT (id) DO NOTHING",
    )
    .bind(attempt.id.to_string())
    .bind(attempt.project.as_str())
    .bind(kind)
    .bind(owner)
    .bind(encode(&attempt.labels)?)
    .bind(to_micros(now))
    .bind(&attempt.body)
    .execute(db)
    .await?;
    Ok(())
}

/// Up to 1,000 queued Attempts, oldest first.
///
/// # Errors
/// When the database refuses.
pub async fn queued(db: &mut Connection) -> sqlx::Result<Vec<QueuedAttempt>> {
    let rows = sqlx::query("SELECT * FROM attempts WHERE state = 'queued' ORDER BY queued_at, id LIMIT 1000")
        .fetch_all(db)
        .await?;
    rows.iter().map(attempt).collect()
}

/// Gives a queued Attempt to an agent under a new fence. Says the fence, if it was still to be had.
///
/// # Errors
/// When the database refuses.
pub async fn lease(db: &mut Connection, id: AttemptId, agent: AgentId) -> sqlx::Result<Option<u64>> {
    let row = sqlx::query(
        "UPDATE attempts SET state = 'leased', agent = $2, fence = fence + 1 WHERE id = $1 AND state = 'queued' \
         RETURNING fence",
    )
    .bind(id.to_string())
    .bind(agent.to_string())
    .fetch_optional(db)
    .await?;
    row.map(|row| row.try_get::<i64, _>("fence").map(i64::unsigned_abs)).transpose()
}

/// Finds an Attempt that is queued or leased.
///
/// # Errors
/// When the database refuses.
pub async fn find(db: &mut Connection, id: AttemptId) -> sqlx::Result<Option<QueuedAttempt>> {
    let row = sqlx::query("SELECT * FROM attempts WHERE id = $1 AND state <> 'done'")
        .bind(id.to_string())
        .fetch_optional(db)
        .await?;
    row.as_ref().map(attempt).transpose()
}

/// Whose an Attempt is, ended or not.
///
/// # Errors
/// When the database refuses.
pub async fn owner(db: &mut Connection, id: AttemptId) -> sqlx::Result<Option<(ProjectName, Owner)>> {
    let row =
        sqlx::query("SELECT * FROM attempts WHERE id = $1").bind(id.to_string()).fetch_optional(db).await?;
    Ok(row.as_ref().map(attempt).transpose()?.map(|attempt| (attempt.project, attempt.owner)))
}

/// Every leased Attempt.
///
/// # Errors
/// When the database refuses.
pub async fn leased(db: &mut Connection) -> sqlx::Result<Vec<QueuedAttempt>> {
    let rows =
        sqlx::query("SELECT * FROM attempts WHERE state = 'leased' ORDER BY queued_at").fetch_all(db).await?;
    rows.iter().map(attempt).collect()
}

/// Wants an Attempt to end: one that is queued is done, one that is leased is told to its agent.
///
/// # Errors
/// When the database refuses.
pub async fn cancel(db: &mut Connection, id: AttemptId, reason: &str) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE attempts SET cancel = $2, state = CASE state WHEN 'queued' THEN 'done' ELSE state END \
         WHERE id = $1 AND state <> 'done'",
    )
    .bind(id.to_string())
    .bind(reason)
    .execute(db)
    .await?;
    Ok(())
}

/// Takes an Attempt off the queue for good.
///
/// # Errors
/// When the database refuses.
pub async fn done(db: &mut Connection, id: AttemptId) -> sqlx::Result<()> {
    sqlx::query("UPDATE attempts SET state = 'done', body = '' WHERE id = $1")
        .bind(id.to_string())
        .execute(db)
        .await?;
    Ok(())
}

fn attempt(row: &sqlx::sqlite::SqliteRow) -> sqlx::Result<QueuedAttempt> {
    let owner: &str = row.try_get("owner")?;
    let owner = match row.try_get("owner_kind")? {
        "run" => Owner::Run(parse(owner)?),
        _ => Owner::Environment(parse(owner)?),
    };
    Ok(QueuedAttempt {
        id: parse(row.try_get("id")?)?,
        project: parse(row.try_get("project")?)?,
        owner,
        labels: decode(row.try_get("labels")?)?,
        fence: row.try_get::<i64, _>("fence")?.unsigned_abs(),
        agent: row.try_get::<Option<&str>, _>("agent")?.map(parse).transpose()?,
        cancel: row.try_get("cancel")?,
        body: row.try_get("body")?,
    })
}
