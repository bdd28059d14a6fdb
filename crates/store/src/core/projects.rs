//! Projects.

use jiff::Timestamp;
use sqlx::Row as _;
use towpath_model::ProjectName;

use super::{Connection, decode, encode, parse};
use crate::time::{from_micros, to_micros};

/// A repository that Towpath hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its name.
    pub name: ProjectName,
    /// Patterns of full refs whose pushes are trusted.
    pub protected_refs: Vec<String>,
    /// Where in the repository the pipeline file is; empty for the root.
    pub directory: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Adds a Project. Says whether the name was free.
///
/// # Errors
/// When the database refuses.
pub async fn insert(db: &mut Connection, project: &Project) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "INSERT INTO projects (name, protected_refs, directory, created_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (name) DO NOTHING",
    )
    .bind(project.name.as_str())
    .bind(encode(&project.protected_refs)?)
    .bind(&project.directory)
    .bind(to_micros(project.created_at))
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Finds a Project.
///
/// # Errors
/// When the database refuses.
pub async fn find(db: &mut Connection, name: &ProjectName) -> sqlx::Result<Option<Project>> {
    let row = sqlx::query("SELECT name, protected_refs, directory, created_at FROM projects WHERE name = $1")
        .bind(name.as_str())
        .fetch_optional(db)
        .await?;
    row.as_ref().map(project).transpose()
}

/// Every Project, by name.
///
/// # Errors
/// When the database refuses.
pub async fn all(db: &mut Connection) -> sqlx::Result<Vec<Project>> {
    let rows = sqlx::query(
        "SELECT name, protected_refs, directory, created_at FROM projects ORDER BY name LIMIT 10000",
    )
    .fetch_all(db)
    .await?;
    rows.iter().map(project).collect()
}

fn project(row: &sqlx::sqlite::SqliteRow) -> sqlx::Result<Project> {
    Ok(Project {
        name: parse(row.try_get("name")?)?,
        protected_refs: decode(row.try_get("protected_refs")?)?,
        directory: row.try_get("directory")?,
        created_at: from_micros(row.try_get("created_at")?),
    })
}
