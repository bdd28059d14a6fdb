//! By which times the cells of a Job with `parallel` divide their tests.

use towpath_model::{Digest, JobName, ProjectName};

use super::{Connection, parse};

/// What was written down for a Job of a Run; `Some(None)` where there was no history.
///
/// # Errors
/// When the database refuses.
pub async fn find(
    db: &mut Connection,
    project: &ProjectName,
    run: u64,
    job: &JobName,
) -> sqlx::Result<Option<Option<Digest>>> {
    let found: Option<Option<String>> =
        sqlx::query_scalar("SELECT digest FROM test_splits WHERE project = $1 AND run = $2 AND job = $3")
            .bind(project.as_str())
            .bind(run.cast_signed())
            .bind(job.as_str())
            .fetch_optional(db)
            .await?;
    found.map(|digest| digest.as_deref().map(parse).transpose()).transpose()
}

/// Writes it down.
///
/// # Errors
/// When the database refuses.
pub async fn put(
    db: &mut Connection,
    project: &ProjectName,
    run: u64,
    job: &JobName,
    digest: Option<Digest>,
) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO test_splits (project, run, job, digest) VALUES ($1, $2, $3, $4)")
        .bind(project.as_str())
        .bind(run.cast_signed())
        .bind(job.as_str())
        .bind(digest.map(|digest| digest.to_string()))
        .execute(db)
        .await?;
    Ok(())
}
