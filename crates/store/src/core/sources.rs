//! Repositories elsewhere, and the webhooks that told of them.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use towpath_model::ProjectName;
use towpath_model::source::Source;

use super::{Connection, decode, encode, parse};
use crate::time::{from_micros, to_micros};

/// A source with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// The Project that mirrors it.
    pub project: ProjectName,
    /// What it is.
    pub source: Source,
    /// The token, sealed.
    pub token: Option<Vec<u8>>,
    /// The SSH key, sealed.
    pub ssh_key: Option<Vec<u8>>,
    /// The secret of its webhook, sealed.
    pub hook: Option<Vec<u8>>,
    /// When it is looked at again.
    pub next_look: Option<Timestamp>,
    /// Looks that failed in a row.
    pub failures: u32,
    /// When it answered last.
    pub contact_at: Option<Timestamp>,
    /// What the last look failed of.
    pub error: String,
    /// What the last look found.
    pub said: String,
    /// When a webhook came last.
    pub hook_at: Option<Timestamp>,
}

/// Which of its secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealed {
    /// The token.
    Token,
    /// The SSH key.
    SshKey,
    /// The webhook's.
    Hook,
}

macro_rules! select {
    ($rest:literal) => {
        sqlx::query(concat!(
            "SELECT project, settings, token, ssh_key, hook, next_look, failures, contact_at, error, said, hook_at FROM sources ",
            $rest
        ))
    };
}

/// Writes what a source is. What is known of it stays.
///
/// # Errors
/// When the database refuses.
pub async fn put(
    db: &mut Connection,
    project: &ProjectName,
    source: &Source,
    next_look: Option<Timestamp>,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO sources (project, settings, next_look) VALUES ($1, $2, $3) \
         ON CONFLICT (project) DO UPDATE SET settings = excluded.settings, next_look = excluded.next_look, failures = 0",
    )
    .bind(project.as_str())
    .bind(encode(source)?)
    .bind(next_look.map(to_micros))
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets that a source was ever seen: the next look is the first one.
///
/// # Errors
/// When the database refuses.
pub async fn forget_contact(db: &mut Connection, project: &ProjectName) -> sqlx::Result<()> {
    sqlx::query("UPDATE sources SET contact_at = NULL, token = NULL, ssh_key = NULL WHERE project = $1")
        .bind(project.as_str())
        .execute(db)
        .await?;
    Ok(())
}

/// Writes one of its secrets.
///
/// # Errors
/// When the database refuses.
pub async fn seal(
    db: &mut Connection,
    project: &ProjectName,
    which: Sealed,
    sealed: Option<&[u8]>,
) -> sqlx::Result<()> {
    let query = match which {
        Sealed::Token => sqlx::query("UPDATE sources SET token = $2 WHERE project = $1"),
        Sealed::SshKey => sqlx::query("UPDATE sources SET ssh_key = $2 WHERE project = $1"),
        Sealed::Hook => sqlx::query("UPDATE sources SET hook = $2 WHERE project = $1"),
    };
    query.bind(project.as_str()).bind(sealed).execute(db).await?;
    Ok(())
}

/// Finds the source of a Project.
///
/// # Errors
/// When the database refuses.
pub async fn find(db: &mut Connection, project: &ProjectName) -> sqlx::Result<Option<Watched>> {
    let row = select!("WHERE project = $1").bind(project.as_str()).fetch_optional(db).await?;
    row.as_ref().map(watched).transpose()
}

/// Up to 20 sources that are due for a look, longest first.
///
/// # Errors
/// When the database refuses.
pub async fn due(db: &mut Connection, now: Timestamp) -> sqlx::Result<Vec<ProjectName>> {
    let rows = sqlx::query("SELECT project FROM sources WHERE next_look <= $1 ORDER BY next_look LIMIT 20")
        .bind(to_micros(now))
        .fetch_all(db)
        .await?;
    rows.iter().map(|row| parse(row.try_get("project")?)).collect()
}

/// When the next look is due.
///
/// # Errors
/// When the database refuses.
pub async fn next_look(db: &mut Connection) -> sqlx::Result<Option<Timestamp>> {
    let row = sqlx::query("SELECT min(next_look) FROM sources").fetch_one(db).await?;
    Ok(row.try_get::<Option<i64>, _>(0)?.map(from_micros))
}

/// Asks for a look.
///
/// # Errors
/// When the database refuses.
pub async fn look_at(db: &mut Connection, project: &ProjectName, when: Timestamp) -> sqlx::Result<()> {
    sqlx::query("UPDATE sources SET next_look = $2 WHERE project = $1")
        .bind(project.as_str())
        .bind(to_micros(when))
        .execute(db)
        .await?;
    Ok(())
}

/// How a look went.
#[derive(Debug, Clone, Copy)]
pub struct Looked<'l> {
    /// When.
    pub at: Timestamp,
    /// When it is looked at again.
    pub next: Option<Timestamp>,
    /// What was found, or why nothing could be.
    pub outcome: Result<&'l str, &'l str>,
}

/// Writes down how a look went.
///
/// # Errors
/// When the database refuses.
pub async fn looked(db: &mut Connection, project: &ProjectName, looked: Looked<'_>) -> sqlx::Result<()> {
    let Looked { at, next, outcome } = looked;
    let query = match outcome {
        Ok(said) => sqlx::query(
            "UPDATE sources SET next_look = $2, failures = 0, error = '', said = $3, contact_at = $4 WHERE project = $1",
        )
        .bind(project.as_str())
        .bind(next.map(to_micros))
        .bind(said)
        .bind(to_micros(at)),
        Err(error) => sqlx::query(
            "UPDATE sources SET next_look = $2, failures = failures + 1, error = $3 WHERE project = $1",
        )
        .bind(project.as_str())
        .bind(next.map(to_micros))
        .bind(error),
    };
    query.execute(db).await?;
    Ok(())
}

fn watched(row: &sqlx::sqlite::SqliteRow) -> sqlx::Result<Watched> {
    let time = |name: &str| -> sqlx::Result<Option<Timestamp>> {
        Ok(row.try_get::<Option<i64>, _>(name)?.map(from_micros))
    };
    Ok(Watched {
        project: parse(row.try_get("project")?)?,
        source: decode(row.try_get("settings")?)?,
        token: row.try_get("token")?,
        ssh_key: row.try_get("ssh_key")?,
        hook: row.try_get("hook")?,
        next_look: time("next_look")?,
        failures: u32::try_from(row.try_get::<i64, _>("failures")?).unwrap_or(u32::MAX),
        contact_at: time("contact_at")?,
        error: row.try_get("error")?,
        said: row.try_get("said")?,
        hook_at: time("hook_at")?,
    })
}

/// A webhook that was taken in.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'d> {
    /// Its Project.
    pub project: &'d ProjectName,
    /// The sender's name for it.
    pub id: &'d str,
    /// SHA-256 of the raw body.
    pub body: &'d str,
    /// What the sender calls it.
    pub event: &'d str,
    /// When it came.
    pub at: Timestamp,
}

/// What is known of a delivery already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// Nothing.
    New,
    /// The same delivery came at that time.
    SameDelivery(Timestamp),
    /// The same bytes came at that time under another name.
    SameBody(Timestamp),
}

/// The most deliveries that are remembered of a Project.
const REMEMBERED: i64 = 1000;

/// Writes a delivery down, unless it is known.
///
/// # Errors
/// When the database refuses.
pub async fn deliver<H: Serialize>(
    db: &mut Connection,
    delivery: Delivery<'_>,
    hint: &H,
) -> sqlx::Result<Before> {
    let Delivery { project, id, body, event, at } = delivery;
    let known = sqlx::query(
        "SELECT delivery, received_at FROM hook_deliveries WHERE project = $1 AND (delivery = $2 OR body = $3) \
         ORDER BY delivery = $2 DESC LIMIT 1",
    )
    .bind(project.as_str())
    .bind(id)
    .bind(body)
    .fetch_optional(&mut *db)
    .await?;
    if let Some(row) = known {
        let before = from_micros(row.try_get("received_at")?);
        let same = row.try_get::<&str, _>("delivery")? == id;
        return Ok(if same { Before::SameDelivery(before) } else { Before::SameBody(before) });
    }
    sqlx::query(
        "INSERT INTO hook_deliveries (project, delivery, body, event, hint, handled, received_at) \
         VALUES ($1, $2, $3, $4, $5, FALSE, $6)",
    )
    .bind(project.as_str())
    .bind(id)
    .bind(body)
    .bind(event)
    .bind(encode(hint)?)
    .bind(to_micros(at))
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "DELETE FROM hook_deliveries WHERE project = $1 AND handled AND received_at < \
         (SELECT min(received_at) FROM (SELECT received_at FROM hook_deliveries WHERE project = $1 \
         ORDER BY received_at DESC LIMIT $2) AS newest)",
    )
    .bind(project.as_str())
    .bind(REMEMBERED)
    .execute(&mut *db)
    .await?;
    sqlx::query("UPDATE sources SET hook_at = $2 WHERE project = $1")
        .bind(project.as_str())
        .bind(to_micros(at))
        .execute(db)
        .await?;
    Ok(Before::New)
}

/// What deliveries hint at that no look has followed yet, oldest first; 100 at most, with their names.
///
/// # Errors
/// When the database refuses.
pub async fn open_hints<H: DeserializeOwned>(
    db: &mut Connection,
    project: &ProjectName,
) -> sqlx::Result<Vec<(String, H)>> {
    let rows = sqlx::query(
        "SELECT delivery, hint FROM hook_deliveries WHERE project = $1 AND NOT handled ORDER BY received_at LIMIT 100",
    )
    .bind(project.as_str())
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| Ok((row.try_get("delivery")?, decode(row.try_get("hint")?)?))).collect()
}

/// Notes that a look has followed a delivery.
///
/// # Errors
/// When the database refuses.
pub async fn followed(db: &mut Connection, project: &ProjectName, delivery: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE hook_deliveries SET handled = TRUE WHERE project = $1 AND delivery = $2")
        .bind(project.as_str())
        .bind(delivery)
        .execute(db)
        .await?;
    Ok(())
}
