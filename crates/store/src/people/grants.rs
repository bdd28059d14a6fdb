//! Grants: which role a user has, and in which Project.

use serde_json::json;
use sqlx::Row as _;
use towpath_model::{Login, ProjectName, RoleName, UserId};

use super::users::{User, decode};
use super::{By, record};
use crate::db::{Reader, WriteTx};
use crate::time::to_micros;

/// How the column says "in every Project". No Project can have this name.
const EVERYWHERE: &str = "*";

/// A role, and where it holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// The Project; `None` means everywhere.
    pub project: Option<ProjectName>,
    /// The role or group.
    pub role: RoleName,
}

impl Grant {
    /// Whether it counts in `project` (`None`: for the instance itself).
    #[must_use]
    pub fn covers(&self, project: Option<&ProjectName>) -> bool {
        self.project.is_none() || self.project.as_ref() == project
    }

    fn column(&self) -> &str {
        self.project.as_ref().map_or(EVERYWHERE, ProjectName::as_str)
    }
}

/// Gives `user` a role. Giving it twice changes nothing.
///
/// # Errors
/// When the database refuses.
pub async fn give(tx: &mut WriteTx, user: &User, grant: &Grant, by: By<'_>) -> sqlx::Result<()> {
    let done = sqlx::query(
        "INSERT INTO grants (user_id, project, role, granted_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (user_id, project, role) DO NOTHING",
    )
    .bind(user.id.to_string())
    .bind(grant.column())
    .bind(grant.role.as_str())
    .bind(to_micros(by.at))
    .execute(&mut **tx)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(());
    }
    note(tx, user, grant, "role-granted", by).await
}

/// Takes a role from `user`; returns whether there was one to take.
///
/// # Errors
/// When the database refuses.
pub async fn take(tx: &mut WriteTx, user: &User, grant: &Grant, by: By<'_>) -> sqlx::Result<bool> {
    let done = sqlx::query("DELETE FROM grants WHERE user_id = $1 AND project = $2 AND role = $3")
        .bind(user.id.to_string())
        .bind(grant.column())
        .bind(grant.role.as_str())
        .execute(&mut **tx)
        .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    note(tx, user, grant, "role-revoked", by).await?;
    Ok(true)
}

async fn note(tx: &mut WriteTx, user: &User, grant: &Grant, kind: &str, by: By<'_>) -> sqlx::Result<()> {
    let project = grant.project.as_ref().map(ProjectName::as_str);
    let subject = format!("user:{}", user.login);
    record(tx, by, project, kind, &subject, &json!({"role": grant.role, "project": project})).await
}

/// Lists what a user was given.
///
/// # Errors
/// When the database refuses.
pub async fn of_user(db: &mut crate::core::Connection, user: UserId) -> sqlx::Result<Vec<Grant>> {
    let rows = sqlx::query("SELECT project, role FROM grants WHERE user_id = $1 ORDER BY project, role")
        .bind(user.to_string())
        .fetch_all(db)
        .await?;
    rows.iter().map(read).collect()
}

/// Lists who has roles that count in `project`, with each role; disabled users are left out.
///
/// # Errors
/// When the database refuses.
pub async fn in_project(
    reader: &mut Reader,
    project: &ProjectName,
) -> sqlx::Result<Vec<(UserId, Login, RoleName)>> {
    let rows = sqlx::query(
        "SELECT users.id, users.login, grants.role FROM grants JOIN users ON users.id = grants.user_id \
         WHERE grants.project IN ($1, '*') AND NOT users.disabled ORDER BY users.login, grants.role",
    )
    .bind(project.as_str())
    .fetch_all(&mut **reader)
    .await?;
    let one = |row: &sqlx::sqlite::SqliteRow| {
        Ok((decode(row.try_get("id")?)?, decode(row.try_get("login")?)?, decode(row.try_get("role")?)?))
    };
    rows.iter().map(one).collect()
}

fn read(row: &sqlx::sqlite::SqliteRow) -> sqlx::Result<Grant> {
    let project: &str = row.try_get("project")?;
    let project = if project == EVERYWHERE { None } else { Some(decode(project)?) };
    Ok(Grant { project, role: decode(row.try_get("role")?)? })
}
