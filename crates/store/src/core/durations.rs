//! How long Jobs take that pass.

use jiff::SignedDuration;
use towpath_model::{JobName, ProjectName};

use super::Connection;

/// Takes a new duration into the moving average. The newest one counts for three tenths.
///
/// # Errors
/// When the database refuses.
pub async fn note(
    db: &mut Connection,
    project: &ProjectName,
    job: &JobName,
    took: SignedDuration,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO job_durations (project, job, micros, count) VALUES ($1, $2, $3, 1) \
         ON CONFLICT (project, job) DO UPDATE SET micros = (job_durations.micros * 7 + excluded.micros * 3) / 10, \
         count = job_durations.count + 1",
    )
    .bind(project.as_str())
    .bind(job.as_str())
    .bind(i64::try_from(took.as_micros()).unwrap_or(i64::MAX / 16).min(i64::MAX / 16))
    .execute(db)
    .await?;
    Ok(())
}
