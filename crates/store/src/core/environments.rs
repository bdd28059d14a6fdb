//! Environments.

use jiff::Timestamp;
use sqlx::Row as _;
use towpath_model::environment::Environment;
use towpath_model::{EnvironmentKey, ProjectName};

use super::{Connection, decode, encode, parse};
use crate::time::to_micros;

/// Writes an Environment, new or changed, and when it has to be looked at again.
///
/// # Errors
/// When the database refuses.
pub async fn put(
    db: &mut Connection,
    environment: &Environment,
    wake_at: Option<Timestamp>,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO environments (project, name, wake_at, body) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (project, name) DO UPDATE SET wake_at = excluded.wake_at, body = excluded.body",
    )
    .bind(environment.key.project.as_str())
    .bind(environment.key.environment.as_str())
    .bind(wake_at.map(to_micros))
    .bind(encode(environment)?)
    .execute(db)
    .await?;
    Ok(())
}

/// Finds an Environment.
///
/// # Errors
/// When the database refuses.
pub async fn find(db: &mut Connection, key: &EnvironmentKey) -> sqlx::Result<Option<Environment>> {
    let row = sqlx::query("SELECT body FROM environments WHERE project = $1 AND name = $2")
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .fetch_optional(db)
        .await?;
    row.map(|row| decode(row.try_get("body")?)).transpose()
}

/// Every Environment of a Project, or of all.
///
/// # Errors
/// When the database refuses.
pub async fn all(db: &mut Connection, project: Option<&ProjectName>) -> sqlx::Result<Vec<Environment>> {
    let rows = sqlx::query(
        "SELECT body FROM environments WHERE ($1 IS NULL OR project = $1) ORDER BY project, name LIMIT 10000",
    )
    .bind(project.map(ProjectName::as_str))
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| decode(row.try_get("body")?)).collect()
}

/// The Environments that have to be looked at by `now`, earliest first.
///
/// # Errors
/// When the database refuses.
pub async fn due(db: &mut Connection, now: Timestamp) -> sqlx::Result<Vec<EnvironmentKey>> {
    let rows =
        sqlx::query("SELECT project, name FROM environments WHERE wake_at <= $1 ORDER BY wake_at LIMIT 100")
            .bind(to_micros(now))
            .fetch_all(db)
            .await?;
    rows.iter()
        .map(|row| {
            Ok(EnvironmentKey {
                project: parse(row.try_get("project")?)?,
                environment: parse(row.try_get("name")?)?,
            })
        })
        .collect()
}

/// The earliest time at which an Environment has to be looked at.
///
/// # Errors
/// When the database refuses.
pub async fn next_wakeup(db: &mut Connection) -> sqlx::Result<Option<Timestamp>> {
    let row = sqlx::query("SELECT min(wake_at) FROM environments").fetch_one(db).await?;
    Ok(row.try_get::<Option<i64>, _>(0)?.map(crate::time::from_micros))
}
