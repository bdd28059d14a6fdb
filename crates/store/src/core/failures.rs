//! What failed Attempts said in the end, and how often it was said before.

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use towpath_model::{AttemptId, ProjectName};

use super::{Connection, parse};
use crate::time::{from_micros, to_micros};

/// How an Attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which Attempt.
    pub attempt: AttemptId,
    /// Of which Project.
    pub project: ProjectName,
    /// Its words without what differs from one time to the next.
    pub signature: String,
    /// The line of its log that says what went wrong.
    pub words: String,
    /// The number of that line, from 1.
    pub line: u64,
    /// The Run's number.
    pub run: u64,
    /// The Job.
    pub job: String,
    /// Which Attempt of it, from 1.
    pub number: u32,
    /// The Step.
    pub step: String,
    /// The host; empty where it is not known.
    pub agent: String,
    /// The commit.
    pub commit: String,
    /// When it ended.
    pub at: Timestamp,
}

/// Failures with the same signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recurring {
    /// How often it was seen.
    pub count: u64,
    /// Of how many commits.
    pub commits: u64,
    /// The first time.
    pub first: Failure,
    /// The last time.
    pub last: Failure,
}

/// Notes a failure. Noting it again changes nothing.
///
/// # Errors
/// When the database refuses.
pub async fn note(db: &mut Connection, failure: &Failure) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO failures (attempt, project, signature, words, line, run, job, number, step, agent, commit_sha, at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (attempt) DO NOTHING",
    )
    .bind(failure.attempt.to_string())
    .bind(failure.project.as_str())
    .bind(&failure.signature)
    .bind(&failure.words)
    .bind(failure.line.cast_signed())
    .bind(failure.run.cast_signed())
    .bind(&failure.job)
    .bind(i64::from(failure.number))
    .bind(&failure.step)
    .bind(&failure.agent)
    .bind(&failure.commit)
    .bind(to_micros(failure.at))
    .execute(db)
    .await?;
    Ok(())
}

/// The failures of a Run's Attempts.
///
/// # Errors
/// When the database refuses.
pub async fn of_run(db: &mut Connection, project: &ProjectName, run: u64) -> sqlx::Result<Vec<Failure>> {
    let rows = sqlx::query("SELECT * FROM failures WHERE project = $1 AND run = $2 ORDER BY at, attempt")
        .bind(project.as_str())
        .bind(run.cast_signed())
        .fetch_all(db)
        .await?;
    rows.iter().map(failure).collect()
}

/// How often a failure was seen, up to and with a moment.
///
/// # Errors
/// When the database refuses.
pub async fn recurring(
    db: &mut Connection,
    project: &ProjectName,
    signature: &str,
    until: Timestamp,
) -> sqlx::Result<Option<Recurring>> {
    const COUNTS: &str = "SELECT COUNT(*) AS n, COUNT(DISTINCT commit_sha) AS commits FROM failures \
                          WHERE project = $1 AND signature = $2 AND at <= $3";
    const FIRST: &str = "SELECT * FROM failures WHERE project = $1 AND signature = $2 AND at <= $3 \
                         ORDER BY at, attempt LIMIT 1";
    const LAST: &str = "SELECT * FROM failures WHERE project = $1 AND signature = $2 AND at <= $3 \
                        ORDER BY at DESC, attempt DESC LIMIT 1";
    let asked = |sql: &'static str| {
        sqlx::query(sql).bind(project.to_string()).bind(signature.to_owned()).bind(to_micros(until))
    };
    let row = asked(COUNTS).fetch_one(&mut *db).await?;
    let (count, commits): (i64, i64) = (row.try_get("n")?, row.try_get("commits")?);
    let mut ends = Vec::new();
    for sql in [FIRST, LAST] {
        ends.extend(asked(sql).fetch_optional(&mut *db).await?.as_ref().map(failure).transpose()?);
    }
    let mut ends = ends.into_iter();
    let (Some(first), Some(last)) = (ends.next(), ends.next()) else { return Ok(None) };
    Ok(Some(Recurring { count: count.unsigned_abs(), commits: commits.unsigned_abs(), first, last }))
}

/// What failed in a Project since a moment, the most frequent first, `limit` at most.
///
/// # Errors
/// When the database refuses.
pub async fn most_frequent(
    db: &mut Connection,
    project: &ProjectName,
    since: Timestamp,
    now: Timestamp,
    limit: u32,
) -> sqlx::Result<Vec<Recurring>> {
    let rows = sqlx::query(
        "SELECT signature FROM failures WHERE project = $1 AND at >= $2 GROUP BY signature \
         ORDER BY COUNT(*) DESC, MAX(at) DESC LIMIT $3",
    )
    .bind(project.as_str())
    .bind(to_micros(since))
    .bind(i64::from(limit))
    .fetch_all(&mut *db)
    .await?;
    let mut found = Vec::new();
    for row in rows {
        let signature: String = row.try_get("signature")?;
        found.extend(recurring(db, project, &signature, now).await?);
    }
    Ok(found)
}

fn failure(row: &SqliteRow) -> sqlx::Result<Failure> {
    Ok(Failure {
        attempt: parse(&row.try_get::<String, _>("attempt")?)?,
        project: parse(&row.try_get::<String, _>("project")?)?,
        signature: row.try_get("signature")?,
        words: row.try_get("words")?,
        line: row.try_get::<i64, _>("line")?.unsigned_abs(),
        run: row.try_get::<i64, _>("run")?.unsigned_abs(),
        job: row.try_get("job")?,
        number: u32::try_from(row.try_get::<i64, _>("number")?).unwrap_or(u32::MAX),
        step: row.try_get("step")?,
        agent: row.try_get("agent")?,
        commit: row.try_get("commit_sha")?,
        at: from_micros(row.try_get("at")?),
    })
}
