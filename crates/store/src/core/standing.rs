//! Triggers that stand: times, and Releases of other Projects.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use towpath_model::ProjectName;
use towpath_model::origin::ReleaseTrigger;
use towpath_model::schedule::ScheduleTrigger;

use super::{Connection, decode, encode, parse};
use crate::time::{from_micros, to_micros};

/// A trigger that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whose Runs it starts.
    pub project: ProjectName,
    /// Its place in the file, schedules first.
    pub position: i64,
    /// What it waits for.
    pub trigger: Trigger,
    /// When it started something last.
    pub last_at: Option<Timestamp>,
    /// For people: what came of that.
    pub last: String,
}

/// What a standing trigger waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// A time.
    Schedule {
        /// Which.
        schedule: ScheduleTrigger,
        /// When it is due; `None` where the calendar ends.
        next_at: Option<Timestamp>,
    },
    /// A Release of another Project.
    Release(ReleaseTrigger),
}

/// The columns in which a trigger is kept.
struct Columns {
    kind: &'static str,
    upstream: String,
    body: String,
    next_at: Option<i64>,
}

impl Trigger {
    fn columns(&self) -> sqlx::Result<Columns> {
        fn body<T: Serialize>(trigger: &T) -> sqlx::Result<String> {
            encode(trigger)
        }
        Ok(match self {
            Self::Schedule { schedule, next_at } => Columns {
                kind: "schedule",
                upstream: String::new(),
                body: body(schedule)?,
                next_at: next_at.map(to_micros),
            },
            Self::Release(release) => Columns {
                kind: "release",
                upstream: release.project.to_string(),
                body: body(release)?,
                next_at: None,
            },
        })
    }
}

/// Puts the triggers of a Project in place of its old ones. What one did last, and when it is due, stays with it where
/// the file still says the same.
///
/// # Errors
/// When the database refuses.
pub async fn replace(db: &mut Connection, project: &ProjectName, triggers: &[Trigger]) -> sqlx::Result<()> {
    let before = of_project(db, project).await?;
    sqlx::query("DELETE FROM standing_triggers WHERE project = $1")
        .bind(project.as_str())
        .execute(&mut *db)
        .await?;
    for (position, trigger) in (0_i64..).zip(triggers) {
        let Columns { kind, upstream, body, next_at } = trigger.columns()?;
        let mut same = None;
        for old in &before {
            let columns = old.trigger.columns()?;
            if columns.kind == kind && columns.body == body {
                same = Some((columns.next_at, old));
            }
        }
        let (next_at, last_at, last) = match same {
            Some((due, old)) => (due.or(next_at), old.last_at.map(to_micros), old.last.as_str()),
            None => (next_at, None, ""),
        };
        sqlx::query(
            "INSERT INTO standing_triggers (project, position, kind, upstream, body, next_at, last_at, last) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(project.as_str())
        .bind(position)
        .bind(kind)
        .bind(upstream)
        .bind(body)
        .bind(next_at)
        .bind(last_at)
        .bind(last)
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

macro_rules! select {
    ($rest:literal) => {
        sqlx::query(concat!(
            "SELECT project, position, kind, body, next_at, last_at, last FROM standing_triggers ",
            $rest
        ))
    };
}

/// The triggers of a Project in the order of the file.
///
/// # Errors
/// When the database refuses.
pub async fn of_project(db: &mut Connection, project: &ProjectName) -> sqlx::Result<Vec<Standing>> {
    let rows = select!("WHERE project = $1 ORDER BY position").bind(project.as_str()).fetch_all(db).await?;
    rows.iter().map(standing).collect()
}

/// Up to 100 schedules that are due, longest first.
///
/// # Errors
/// When the database refuses.
pub async fn due(db: &mut Connection, now: Timestamp) -> sqlx::Result<Vec<Standing>> {
    let rows =
        select!("WHERE next_at <= $1 ORDER BY next_at LIMIT 100").bind(to_micros(now)).fetch_all(db).await?;
    rows.iter().map(standing).collect()
}

/// When the next schedule is due.
///
/// # Errors
/// When the database refuses.
pub async fn next_due(db: &mut Connection) -> sqlx::Result<Option<Timestamp>> {
    let row = sqlx::query("SELECT min(next_at) FROM standing_triggers").fetch_one(db).await?;
    Ok(row.try_get::<Option<i64>, _>(0)?.map(from_micros))
}

/// The triggers that wait for Releases of a Project; 1000 at most.
///
/// # Errors
/// When the database refuses.
pub async fn downstream(db: &mut Connection, upstream: &ProjectName) -> sqlx::Result<Vec<Standing>> {
    let rows = select!("WHERE kind = 'release' AND upstream = $1 ORDER BY project, position LIMIT 1000")
        .bind(upstream.as_str())
        .fetch_all(db)
        .await?;
    rows.iter().map(standing).collect()
}

/// Notes what came of a trigger, and when it is due again.
///
/// # Errors
/// When the database refuses.
pub async fn fired(
    db: &mut Connection,
    standing: &Standing,
    next_at: Option<Timestamp>,
    at: Timestamp,
    what: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE standing_triggers SET next_at = $3, last_at = $4, last = $5 WHERE project = $1 AND position = $2",
    )
    .bind(standing.project.as_str())
    .bind(standing.position)
    .bind(next_at.map(to_micros))
    .bind(to_micros(at))
    .bind(what)
    .execute(db)
    .await?;
    Ok(())
}

fn standing(row: &sqlx::sqlite::SqliteRow) -> sqlx::Result<Standing> {
    fn body<T: DeserializeOwned>(row: &sqlx::sqlite::SqliteRow) -> sqlx::Result<T> {
        decode(row.try_get("body")?)
    }
    let kind: String = row.try_get("kind")?;
    let next_at: Option<i64> = row.try_get("next_at")?;
    let trigger = if kind == "schedule" {
        Trigger::Schedule { schedule: body(row)?, next_at: next_at.map(from_micros) }
    } else {
        Trigger::Release(body(row)?)
    };
    Ok(Standing {
        project: parse(row.try_get("project")?)?,
        position: row.try_get("position")?,
        trigger,
        last_at: row.try_get::<Option<i64>, _>("last_at")?.map(from_micros),
        last: row.try_get("last")?,
    })
}
