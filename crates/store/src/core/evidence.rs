//! Reports that Attempts left, and what they say.

use jiff::Timestamp;
use sqlx::Row as _;
use towpath_model::reports::{ReportFile, ReportKind};
use towpath_model::{AttemptId, JobName, ProjectName};

use super::{Connection, parse};
use crate::time::{from_micros, to_micros};

/// Which Attempt of which Job of which Run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The Project.
    pub project: ProjectName,
    /// The Run's number.
    pub run: u64,
    /// The Job.
    pub job: JobName,
    /// The Attempt.
    pub attempt: AttemptId,
    /// Its number within the Job.
    pub number: u32,
}

/// A report with what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptReport {
    /// The report.
    pub file: ReportFile,
    /// Why it says nothing, or less than it might.
    pub problem: Option<String>,
}

/// What the reports of one kind of an Attempt say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Where it comes from.
    pub source: Source,
    /// What it is about.
    pub kind: ReportKind,
    /// When it was taken in.
    pub at: Timestamp,
    /// The summary, as JSON.
    pub body: String,
}

/// Writes down which reports an Attempt left.
///
/// # Errors
/// When the database refuses.
pub async fn keep(db: &mut Connection, attempt: AttemptId, reports: &[KeptReport]) -> sqlx::Result<()> {
    for (position, KeptReport { file, problem }) in (0_i64..).zip(reports) {
        sqlx::query(
            "INSERT INTO reports (attempt, position, kind, name, digest, bytes, problem) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (attempt, position) DO NOTHING",
        )
        .bind(attempt.to_string())
        .bind(position)
        .bind(file.kind.word())
        .bind(&file.name)
        .bind(file.digest.to_string())
        .bind(file.bytes.cast_signed())
        .bind(problem)
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// The reports of an Attempt, in their order.
///
/// # Errors
/// When the database refuses.
pub async fn reports(db: &mut Connection, attempt: AttemptId) -> sqlx::Result<Vec<KeptReport>> {
    let rows = sqlx::query("SELECT * FROM reports WHERE attempt = $1 ORDER BY position")
        .bind(attempt.to_string())
        .fetch_all(db)
        .await?;
    let report = |row: &sqlx::sqlite::SqliteRow| {
        Ok(KeptReport {
            file: ReportFile {
                kind: kind(row.try_get("kind")?)?,
                name: row.try_get("name")?,
                digest: parse(row.try_get("digest")?)?,
                bytes: row.try_get::<i64, _>("bytes")?.unsigned_abs(),
            },
            problem: row.try_get("problem")?,
        })
    };
    rows.iter().map(report).collect()
}

/// Writes down what reports say. Says whether that is news.
///
/// # Errors
/// When the database refuses.
pub async fn put(db: &mut Connection, evidence: &Evidence) -> sqlx::Result<bool> {
    let Evidence { source, kind, at, body } = evidence;
    let done = sqlx::query(
        "INSERT INTO evidence (project, run, job, attempt, number, kind, at, body) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (attempt, kind) DO NOTHING",
    )
    .bind(source.project.as_str())
    .bind(source.run.cast_signed())
    .bind(source.job.as_str())
    .bind(source.attempt.to_string())
    .bind(i64::from(source.number))
    .bind(kind.word())
    .bind(to_micros(*at))
    .bind(body)
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// What is known of a Run, by Job and Attempt.
///
/// # Errors
/// When the database refuses.
pub async fn of_run(db: &mut Connection, project: &ProjectName, run: u64) -> sqlx::Result<Vec<Evidence>> {
    let rows =
        sqlx::query("SELECT * FROM evidence WHERE project = $1 AND run = $2 ORDER BY job, number, kind")
            .bind(project.as_str())
            .bind(run.cast_signed())
            .fetch_all(db)
            .await?;
    rows.iter().map(evidence).collect()
}

fn evidence(row: &sqlx::sqlite::SqliteRow) -> sqlx::Result<Evidence> {
    Ok(Evidence {
        source: Source {
            project: parse(row.try_get("project")?)?,
            run: row.try_get::<i64, _>("run")?.unsigned_abs(),
            job: parse(row.try_get("job")?)?,
            attempt: parse(row.try_get("attempt")?)?,
            number: u32::try_from(row.try_get::<i64, _>("number")?).unwrap_or(u32::MAX),
        },
        kind: kind(row.try_get("kind")?)?,
        at: from_micros(row.try_get("at")?),
        body: row.try_get("body")?,
    })
}

fn kind(word: &str) -> sqlx::Result<ReportKind> {
    let found = ReportKind::ALL.into_iter().find(|kind| kind.word() == word);
    found.ok_or_else(|| sqlx::Error::Decode(format!("`{word}` is no kind of report").into()))
}
