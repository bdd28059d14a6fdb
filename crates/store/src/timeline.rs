//! The timeline: who did what, in one gap-free sequence of canonical bytes.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::Row as _;

use crate::db::{Reader, WriteTx};
use crate::time::{from_micros, to_micros};

/// What is to be recorded.
#[derive(Debug, Clone)]
pub struct NewEntry<'a> {
    /// When.
    pub at: Timestamp,
    /// Who: `user:alice`, `agent:<id>` or `system`.
    pub actor: &'a str,
    /// In which Project, if in one.
    pub project: Option<&'a str>,
    /// In which Environment, if in one.
    pub environment: Option<&'a str>,
    /// What happened, in the past tense: `user-created`.
    pub kind: &'a str,
    /// What it happened to: `user:bob`, `run:<id>`.
    pub subject: &'a str,
}

/// A recorded entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the sequence: 1, 2, 3 … without a gap.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// In which Project, if in one.
    pub project: Option<String>,
    /// In which Environment, if in one.
    pub environment: Option<String>,
    /// What happened.
    pub kind: String,
    /// What it happened to.
    pub subject: String,
    /// The facts, as canonical JSON.
    pub body: Vec<u8>,
}

/// Appends an entry and returns its place.
///
/// The single writer makes `max + 1` gap-free: nobody else can take the number before the commit,
/// and a rollback gives it back.
///
/// # Errors
/// When the database refuses.
pub async fn append(tx: &mut WriteTx, entry: NewEntry<'_>, body: &impl Serialize) -> sqlx::Result<i64> {
    let body = canonical_json(body).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    let row = sqlx::query(
        "INSERT INTO timeline (seq, at, actor, project, environment, kind, subject, body) \
         SELECT coalesce(max(seq), 0) + 1, $1, $2, $3, $4, $5, $6, $7 FROM timeline RETURNING seq",
    )
    .bind(to_micros(entry.at))
    .bind(entry.actor)
    .bind(entry.project)
    .bind(entry.environment)
    .bind(entry.kind)
    .bind(entry.subject)
    .bind(body)
    .fetch_one(&mut **tx)
    .await?;
    row.try_get(0)
}

/// Reads up to `limit` entries after `seq`, oldest first.
///
/// # Errors
/// When the database refuses.
pub async fn after(reader: &mut Reader, seq: i64, limit: u32) -> sqlx::Result<Vec<Entry>> {
    let rows = sqlx::query(
        "SELECT seq, at, actor, project, environment, kind, subject, body FROM timeline \
         WHERE seq > $1 ORDER BY seq LIMIT $2",
    )
    .bind(seq)
    .bind(i64::from(limit))
    .fetch_all(&mut **reader)
    .await?;
    rows.iter().map(entry).collect()
}

/// The newest entry's place; 0 if there is none.
///
/// # Errors
/// When the database refuses.
pub async fn last(reader: &mut Reader) -> sqlx::Result<i64> {
    let row = sqlx::query("SELECT coalesce(max(seq), 0) FROM timeline").fetch_one(&mut **reader).await?;
    row.try_get(0)
}

/// Reads up to `limit` entries before `seq`, newest first.
///
/// # Errors
/// When the database refuses.
pub async fn before(
    reader: &mut Reader,
    seq: i64,
    project: Option<&str>,
    limit: u32,
) -> sqlx::Result<Vec<Entry>> {
    let rows = sqlx::query(
        "SELECT seq, at, actor, project, environment, kind, subject, body FROM timeline \
         WHERE seq < $1 AND ($2 IS NULL OR project = $2) ORDER BY seq DESC LIMIT $3",
    )
    .bind(seq)
    .bind(project)
    .bind(i64::from(limit))
    .fetch_all(&mut **reader)
    .await?;
    rows.iter().map(entry).collect()
}

/// Reads up to `limit` entries of one of two kinds on what happened to refs of a Project, newest first. How far back it
/// looks is bounded, so that a Project of many years answers as quickly as a young one.
///
/// # Errors
/// When the database refuses.
pub async fn of_refs(
    reader: &mut Reader,
    project: &str,
    kinds: [&str; 2],
    limit: u32,
) -> sqlx::Result<Vec<Entry>> {
    let rows = sqlx::query(
        "SELECT seq, at, actor, project, environment, kind, subject, body FROM \
         (SELECT * FROM timeline WHERE project = $1 ORDER BY seq DESC LIMIT 20000) AS newest \
         WHERE kind IN ($2, $3) AND subject LIKE 'ref:%' ORDER BY seq DESC LIMIT $4",
    )
    .bind(project)
    .bind(kinds[0])
    .bind(kinds[1])
    .bind(i64::from(limit))
    .fetch_all(&mut **reader)
    .await?;
    rows.iter().map(entry).collect()
}

fn entry(row: &sqlx::sqlite::SqliteRow) -> sqlx::Result<Entry> {
    Ok(Entry {
        seq: row.try_get("seq")?,
        at: from_micros(row.try_get("at")?),
        actor: row.try_get("actor")?,
        project: row.try_get("project")?,
        environment: row.try_get("environment")?,
        kind: row.try_get("kind")?,
        subject: row.try_get("subject")?,
        body: row.try_get("body")?,
    })
}

/// Writes JSON with sorted keys and no spaces, so that equal facts are equal bytes.
///
/// # Errors
/// When `value` has no JSON form.
pub fn canonical_json(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut value = serde_json::to_value(value)?;
    value.sort_all_objects();
    serde_json::to_vec(&value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Db;

    #[tokio::test]
    async fn sequence_has_no_gap_after_a_rollback() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("towpath.db")).await.unwrap();
        let entry = NewEntry {
            at: Timestamp::UNIX_EPOCH,
            actor: "system",
            project: None,
            environment: None,
            kind: "tested",
            subject: "test:1",
        };
        for commit in [true, false, true] {
            let mut tx = db.begin_write().await.unwrap();
            append(&mut tx, entry.clone(), &serde_json::json!({"b": 1, "a": 2})).await.unwrap();
            if commit {
                tx.commit().await.unwrap();
            }
        }
        let mut reader = db.reader().await.unwrap();
        let entries = after(&mut reader, 0, 10).await.unwrap();
        assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(entries[0].body, br#"{"a":2,"b":1}"#);
    }
}
