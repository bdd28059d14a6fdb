//! What Jobs with `paths` found out last, on each ref.

use sqlx::Row as _;
use towpath_model::owed::{Verdict, is_newer};
use towpath_model::{JobName, ProjectName};

use super::{Connection, decode, encode};

/// The last verdict of a Job on a ref.
///
/// # Errors
/// When the database refuses.
pub async fn find(
    db: &mut Connection,
    project: &ProjectName,
    reference: &str,
    job: &JobName,
) -> sqlx::Result<Option<Verdict>> {
    let row = sqlx::query("SELECT body FROM verdicts WHERE project = $1 AND reference = $2 AND job = $3")
        .bind(project.as_str())
        .bind(reference)
        .bind(job.as_str())
        .fetch_optional(db)
        .await?;
    row.map(|row| decode(row.try_get("body")?)).transpose()
}

/// Remembers a verdict, unless a newer Run has reached one. Called in a write transaction, so nothing comes in between.
///
/// # Errors
/// When the database refuses.
pub async fn put(
    db: &mut Connection,
    project: &ProjectName,
    reference: &str,
    job: &JobName,
    verdict: &Verdict,
) -> sqlx::Result<()> {
    let known = find(db, project, reference, job).await?;
    if !is_newer(verdict, known.as_ref()) {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO verdicts (project, reference, job, run_number, commit_sha, body) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (project, reference, job) DO UPDATE SET \
         run_number = excluded.run_number, commit_sha = excluded.commit_sha, body = excluded.body",
    )
    .bind(project.as_str())
    .bind(reference)
    .bind(job.as_str())
    .bind(verdict.run.cast_signed())
    .bind(&verdict.commit)
    .bind(encode(verdict)?)
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets what was found out on a ref that is gone: one of the same name would begin anew.
///
/// # Errors
/// When the database refuses.
pub async fn forget(db: &mut Connection, project: &ProjectName, reference: &str) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM verdicts WHERE project = $1 AND reference = $2")
        .bind(project.as_str())
        .bind(reference)
        .execute(db)
        .await?;
    Ok(())
}
