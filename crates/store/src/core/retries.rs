//! What became of Attempts that did not pass and could be tried again.

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use towpath_model::retry::{RetryClass, RetryNote};
use towpath_model::{AttemptId, JobName, ProjectName};

use super::{Connection, parse};
use crate::time::{from_micros, to_micros};

/// Notes what became of an Attempt. Noting it again changes nothing.
///
/// # Errors
/// When the database refuses.
pub async fn note(
    db: &mut Connection,
    project: &ProjectName,
    run: u64,
    job: &JobName,
    attempt: AttemptId,
    note: &RetryNote,
    at: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO retries (attempt, project, run, job, class, why, refusal, at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (attempt) DO NOTHING",
    )
    .bind(attempt.to_string())
    .bind(project.as_str())
    .bind(run.cast_signed())
    .bind(job.as_str())
    .bind(note.class.word())
    .bind(&note.why)
    .bind(&note.refusal)
    .bind(to_micros(at))
    .execute(db)
    .await?;
    Ok(())
}

/// Notes whether the Attempt after this one passed.
///
/// # Errors
/// When the database refuses.
pub async fn helped(db: &mut Connection, attempt: AttemptId, helped: bool) -> sqlx::Result<()> {
    sqlx::query("UPDATE retries SET helped = $2 WHERE attempt = $1")
        .bind(attempt.to_string())
        .bind(helped)
        .execute(db)
        .await?;
    Ok(())
}

/// How many retries of each class a Project had since a moment.
///
/// # Errors
/// When the database refuses.
pub async fn spent(
    db: &mut Connection,
    project: &ProjectName,
    since: Timestamp,
) -> sqlx::Result<Vec<(RetryClass, u32)>> {
    let rows = sqlx::query(
        "SELECT class, COUNT(*) AS n FROM retries WHERE project = $1 AND at >= $2 AND refusal = '' GROUP BY class",
    )
    .bind(project.as_str())
    .bind(to_micros(since))
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| Ok((parse(&row.try_get::<String, _>("class")?)?, count(row, "n")?))).collect()
}

/// How the retries of a class went, for one Job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRetries {
    /// The class.
    pub class: RetryClass,
    /// The Job.
    pub job: String,
    /// How many there were.
    pub retries: u32,
    /// After how many of them the Job passed.
    pub helped: u32,
    /// After how many of them it did not.
    pub in_vain: u32,
    /// How many were refused.
    pub refused: u32,
    /// The number of the last Run with one.
    pub last_run: u64,
    /// When that was.
    pub last_at: Timestamp,
    /// What made it one of this class, or why it was refused.
    pub last_why: String,
}

/// How the retries of a Project went since a moment: by class and Job, the most frequent first, `limit` at most.
///
/// # Errors
/// When the database refuses.
pub async fn by_job(
    db: &mut Connection,
    project: &ProjectName,
    since: Timestamp,
    limit: u32,
) -> sqlx::Result<Vec<JobRetries>> {
    // A bare column beside MAX() is that of the row with the maximum; PostgreSQL would need DISTINCT ON, so it is joined.
    let rows = sqlx::query(
        "SELECT g.*, r.run AS last_run, r.why AS why, r.refusal AS refusal FROM ( \
           SELECT class, job, SUM(CASE WHEN refusal = '' THEN 1 ELSE 0 END) AS retries, \
             SUM(CASE WHEN helped THEN 1 ELSE 0 END) AS helped, \
             SUM(CASE WHEN helped IS NOT NULL AND NOT helped THEN 1 ELSE 0 END) AS in_vain, \
             SUM(CASE WHEN refusal = '' THEN 0 ELSE 1 END) AS refused, MAX(at) AS last_at \
           FROM retries WHERE project = $1 AND at >= $2 GROUP BY class, job \
         ) g JOIN retries r ON r.attempt = ( \
           SELECT MAX(attempt) FROM retries WHERE project = $1 AND class = g.class AND job = g.job AND at = g.last_at \
         ) ORDER BY g.retries DESC, g.refused DESC, g.job, g.class LIMIT $3",
    )
    .bind(project.as_str())
    .bind(to_micros(since))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    rows.iter().map(of_job).collect()
}

fn of_job(row: &SqliteRow) -> sqlx::Result<JobRetries> {
    let (why, refusal): (String, String) = (row.try_get("why")?, row.try_get("refusal")?);
    Ok(JobRetries {
        class: parse(&row.try_get::<String, _>("class")?)?,
        job: row.try_get("job")?,
        retries: count(row, "retries")?,
        helped: count(row, "helped")?,
        in_vain: count(row, "in_vain")?,
        refused: count(row, "refused")?,
        last_run: row.try_get::<i64, _>("last_run")?.unsigned_abs(),
        last_at: from_micros(row.try_get("last_at")?),
        last_why: if refusal.is_empty() { why } else { format!("{why}; refused: {refusal}") },
    })
}

fn count(row: &SqliteRow, column: &str) -> sqlx::Result<u32> {
    Ok(u32::try_from(row.try_get::<i64, _>(column)?).unwrap_or(u32::MAX))
}
