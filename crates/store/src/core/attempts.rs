//! The queue of the agents.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sqlx::Row as _;
use towpath_model::{AgentId, AttemptId, EnvironmentName, ProjectName, RunId};

use super::{Connection, decode, encode, parse};
use crate::time::{from_micros, to_micros};

/// Whose Attempt it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// A Job of a Run.
    Run(RunId),
    /// A check of a Promotion into an Environment.
    Environment(EnvironmentName),
}

/// What the queue is ordered by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// For people: `shop#12 test`.
    pub title: String,
    /// The Job; empty for a check.
    pub job: String,
    /// The number of the Run; 0 for a check.
    pub run: u64,
    /// The ref of the Run; empty for a check.
    pub reference: String,
    /// The higher one goes first.
    pub priority: u8,
    /// Its concurrency group, and how many of it may run.
    pub group: Option<(String, u32)>,
    /// When it was queued; set by the queue.
    pub queued_at: Timestamp,
    /// When it was given away.
    pub leased_at: Option<Timestamp>,
    /// How long the Job takes, where it has passed before.
    pub estimate: Option<SignedDuration>,
}

impl Place {
    /// The place of what belongs to no Run: in front, and in no group.
    #[must_use]
    pub fn of_check(title: String) -> Self {
        Self {
            title,
            job: String::new(),
            run: 0,
            reference: String::new(),
            priority: 100,
            group: None,
            queued_at: Timestamp::UNIX_EPOCH,
            leased_at: None,
            estimate: None,
        }
    }
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
    /// What the queue is ordered by.
    pub place: Place,
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
    let place = &attempt.place;
    sqlx::query(
        "INSERT INTO attempts (id, project, owner_kind, owner, state, labels, fence, queued_at, body, title, job, \
         run_number, reference, priority, concurrency, group_limit) \
         VALUES ($1, $2, $3, $4, 'queued', $5, 0, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(attempt.id.to_string())
    .bind(attempt.project.as_str())
    .bind(kind)
    .bind(owner)
    .bind(encode(&attempt.labels)?)
    .bind(to_micros(now))
    .bind(&attempt.body)
    .bind(&place.title)
    .bind(&place.job)
    .bind(place.run.cast_signed())
    .bind(&place.reference)
    .bind(i64::from(place.priority))
    .bind(place.group.as_ref().map(|(group, _)| group))
    .bind(place.group.as_ref().map_or(1, |(_, limit)| i64::from(*limit)))
    .execute(db)
    .await?;
    Ok(())
}

/// The most queued Attempts that are looked at together; what is behind them waits until they have moved.
pub const MAX_QUEUED: usize = 20_000;

const WITHOUT_BODY: &str = "SELECT a.id, a.project, a.owner_kind, a.owner, a.labels, a.fence, a.agent, a.cancel, '' AS body, \
     a.title, a.job, a.run_number, a.reference, a.priority, a.concurrency, a.group_limit, a.queued_at, a.leased_at, \
     d.micros FROM attempts a LEFT JOIN job_durations d ON d.project = a.project AND d.job = a.job";

/// Queued Attempts, oldest first, without their bodies.
///
/// # Errors
/// When the database refuses.
pub async fn queued(db: &mut Connection) -> sqlx::Result<Vec<QueuedAttempt>> {
    let query =
        format!("{WITHOUT_BODY} WHERE a.state = 'queued' ORDER BY a.queued_at, a.id LIMIT {MAX_QUEUED}");
    let rows = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(db).await?;
    rows.iter().map(attempt).collect()
}

/// Every leased Attempt, without its body.
///
/// # Errors
/// When the database refuses.
pub async fn leased(db: &mut Connection) -> sqlx::Result<Vec<QueuedAttempt>> {
    let query = format!("{WITHOUT_BODY} WHERE a.state = 'leased' ORDER BY a.queued_at, a.id");
    let rows = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(db).await?;
    rows.iter().map(attempt).collect()
}

/// Gives a queued Attempt to an agent under a new fence. Says the fence, if it was still to be had and its group
/// has room.
///
/// # Errors
/// When the database refuses.
pub async fn lease(
    db: &mut Connection,
    id: AttemptId,
    agent: AgentId,
    now: Timestamp,
) -> sqlx::Result<Option<u64>> {
    let row = sqlx::query(
        "UPDATE attempts SET state = 'leased', agent = $2, leased_at = $3, fence = fence + 1 \
         WHERE id = $1 AND state = 'queued' AND (concurrency IS NULL OR group_limit > (SELECT count(*) FROM attempts o \
         WHERE o.state = 'leased' AND o.project = attempts.project AND o.concurrency = attempts.concurrency)) \
         RETURNING fence",
    )
    .bind(id.to_string())
    .bind(agent.to_string())
    .bind(to_micros(now))
    .fetch_optional(db)
    .await?;
    row.map(|row| row.try_get::<i64, _>("fence").map(i64::unsigned_abs)).transpose()
}

/// Finds an Attempt that is queued or leased.
///
/// # Errors
/// When the database refuses.
pub async fn find(db: &mut Connection, id: AttemptId) -> sqlx::Result<Option<QueuedAttempt>> {
    let row = sqlx::query("SELECT *, NULL AS micros FROM attempts WHERE id = $1 AND state <> 'done'")
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
    let row = sqlx::query("SELECT *, NULL AS micros FROM attempts WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(db)
        .await?;
    Ok(row.as_ref().map(attempt).transpose()?.map(|attempt| (attempt.project, attempt.owner)))
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
        place: place(row)?,
        fence: row.try_get::<i64, _>("fence")?.unsigned_abs(),
        agent: row.try_get::<Option<&str>, _>("agent")?.map(parse).transpose()?,
        cancel: row.try_get("cancel")?,
        body: row.try_get("body")?,
    })
}

fn place(row: &sqlx::sqlite::SqliteRow) -> sqlx::Result<Place> {
    let limit: i64 = row.try_get("group_limit")?;
    let group: Option<String> = row.try_get("concurrency")?;
    let priority: i64 = row.try_get("priority")?;
    Ok(Place {
        title: row.try_get("title")?,
        job: row.try_get("job")?,
        run: row.try_get::<i64, _>("run_number")?.unsigned_abs(),
        reference: row.try_get("reference")?,
        priority: u8::try_from(priority).unwrap_or(u8::MAX),
        group: group.map(|group| (group, u32::try_from(limit).unwrap_or(1))),
        queued_at: from_micros(row.try_get("queued_at")?),
        leased_at: row.try_get::<Option<i64>, _>("leased_at")?.map(from_micros),
        estimate: row.try_get::<Option<i64>, _>("micros")?.map(SignedDuration::from_micros),
    })
}
