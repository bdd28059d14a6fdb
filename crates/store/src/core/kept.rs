//! What is kept from one Attempt for later ones: entries, the blobs that they refer to, and who used them.
//!
//! Blobs are counted by Project: no Project gets at another's by naming a digest, and each has its own quota.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use towpath_model::reuse::{EntryKind, Part};
use towpath_model::{AttemptId, Digest, ProjectName, RunId};

use super::{Connection, decode, encode, parse};
use crate::time::{from_micros, to_micros};

/// How many candidates of a key or a beginning are looked at.
const CANDIDATES: i64 = 50;

/// The most rows of one answer.
const MOST: i64 = 1000;

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptEntry {
    /// Its identity.
    pub id: String,
    /// Its Project.
    pub project: ProjectName,
    /// What it is.
    pub kind: EntryKind,
    /// The scope of trust that it was written into.
    pub scope: String,
    /// Platform and the like.
    pub space: String,
    /// Its key.
    pub key: String,
    /// The snapshot's manifest.
    pub snapshot: Digest,
    /// How many files.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// How many bytes their packs have.
    pub stored: u64,
    /// The Run that wrote it.
    pub run: RunId,
    /// Its number.
    pub run_number: u64,
    /// Its Job.
    pub job: String,
    /// The Attempt.
    pub attempt: AttemptId,
    /// The index of the Step, for outputs and workspaces.
    pub step: Option<u32>,
    /// The commit.
    pub commit: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it was last read.
    pub used_at: Timestamp,
    /// When it goes if nobody reads it until then.
    pub ends_at: Timestamp,
    /// Whether it can be read.
    pub state: KeptState,
    /// By whom and why it ended.
    pub ended: String,
    /// What the key is made of, and what the Step wrote.
    pub body: KeptBody,
}

/// Whether an entry can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeptState {
    /// It can.
    Live,
    /// It made room for others.
    Evicted,
    /// Somebody does not trust it.
    Revoked,
}

impl KeptState {
    /// The word for people and rows.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Evicted => "evicted",
            Self::Revoked => "revoked",
        }
    }
}

/// The parts of an entry that no query asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptBody {
    /// What the key is made of.
    pub parts: Vec<Part>,
    /// What the Step wrote to `$TOWPATH_OUTPUT`.
    pub outputs: BTreeMap<String, String>,
}

/// What an Attempt asked for and got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptUse {
    /// The Project.
    pub project: ProjectName,
    /// The Run.
    pub run: RunId,
    /// Its Job.
    pub job: String,
    /// The Attempt.
    pub attempt: AttemptId,
    /// The index of the Step.
    pub step: Option<u32>,
    /// What it asked for.
    pub kind: EntryKind,
    /// By which key.
    pub key: String,
    /// `hit`, `prefix`, `miss`, `same` or `differs`.
    pub outcome: String,
    /// Which entry it got, or was compared with.
    pub entry: Option<String>,
    /// Why it missed, or where it differs.
    pub why: String,
    /// When.
    pub at: Timestamp,
}

/// Live entries with this key or, for each of `beginnings`, a key that begins so; the newest first.
///
/// # Errors
/// When the database refuses.
pub async fn candidates(
    db: &mut Connection,
    project: &ProjectName,
    (kind, space): (EntryKind, &str),
    key: &str,
    beginnings: &[String],
) -> sqlx::Result<Vec<KeptEntry>> {
    let mut found: Vec<KeptEntry> = Vec::new();
    for (from, exact) in
        std::iter::once((key, true)).chain(beginnings.iter().map(|text| (text.as_str(), false)))
    {
        // Every text that begins with `from` lies between it and it with the last of all characters after it.
        let until = if exact { from.to_owned() } else { format!("{from}\u{10ffff}") };
        let rows = sqlx::query(
            "SELECT * FROM kept_entries WHERE project = $1 AND kind = $2 AND space = $3 AND key >= $4 AND key <= $5 \
             AND state = 'live' ORDER BY created_at DESC LIMIT $6",
        )
        .bind(project.as_str())
        .bind(kind.word())
        .bind(space)
        .bind(from)
        .bind(until)
        .bind(CANDIDATES)
        .fetch_all(&mut *db)
        .await?;
        for row in &rows {
            let entry = entry(row)?;
            if found.iter().all(|known| known.id != entry.id) {
                found.push(entry);
            }
        }
    }
    found.sort_by_key(|entry| std::cmp::Reverse(entry.created_at));
    Ok(found)
}

/// The newest live entries of a space in these scopes, whatever their keys.
///
/// # Errors
/// When the database refuses.
pub async fn newest(
    db: &mut Connection,
    project: &ProjectName,
    (kind, space): (EntryKind, &str),
    scopes: &[String],
) -> sqlx::Result<Option<KeptEntry>> {
    let rows = sqlx::query(
        "SELECT * FROM kept_entries WHERE project = $1 AND kind = $2 AND space = $3 AND state = 'live' \
         ORDER BY created_at DESC LIMIT $4",
    )
    .bind(project.as_str())
    .bind(kind.word())
    .bind(space)
    .bind(CANDIDATES)
    .fetch_all(db)
    .await?;
    let mut found = rows.iter().map(entry).collect::<sqlx::Result<Vec<_>>>()?;
    found.retain(|entry| scopes.contains(&entry.scope));
    Ok(found.into_iter().next())
}

/// Finds an entry.
///
/// # Errors
/// When the database refuses.
pub async fn find(db: &mut Connection, project: &ProjectName, id: &str) -> sqlx::Result<Option<KeptEntry>> {
    let row = sqlx::query("SELECT * FROM kept_entries WHERE project = $1 AND id = $2")
        .bind(project.as_str())
        .bind(id)
        .fetch_optional(db)
        .await?;
    row.as_ref().map(entry).transpose()
}

/// Entries of a Project, the newest first, written before `before`.
///
/// # Errors
/// When the database refuses.
pub async fn list(
    db: &mut Connection,
    project: &ProjectName,
    before: Option<Timestamp>,
    limit: u32,
) -> sqlx::Result<Vec<KeptEntry>> {
    let rows = sqlx::query(
        "SELECT * FROM kept_entries WHERE project = $1 AND created_at < $2 ORDER BY created_at DESC LIMIT $3",
    )
    .bind(project.as_str())
    .bind(before.map_or(i64::MAX, to_micros))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    rows.iter().map(entry).collect()
}

/// The entries that an Attempt wrote.
///
/// # Errors
/// When the database refuses.
pub async fn of_attempt(db: &mut Connection, attempt: AttemptId) -> sqlx::Result<Vec<KeptEntry>> {
    let rows =
        sqlx::query("SELECT * FROM kept_entries WHERE attempt = $1 ORDER BY step, created_at LIMIT $2")
            .bind(attempt.to_string())
            .bind(MOST)
            .fetch_all(db)
            .await?;
    rows.iter().map(entry).collect()
}

/// Whether somebody revoked an entry of this very content.
///
/// # Errors
/// When the database refuses.
pub async fn is_revoked(db: &mut Connection, project: &ProjectName, snapshot: Digest) -> sqlx::Result<bool> {
    let row = sqlx::query(
        "SELECT 1 FROM kept_entries WHERE project = $1 AND snapshot = $2 AND state = 'revoked' LIMIT 1",
    )
    .bind(project.as_str())
    .bind(snapshot.to_string())
    .fetch_optional(db)
    .await?;
    Ok(row.is_some())
}

/// Adds an entry and counts the blobs that it refers to, all of which are there.
///
/// # Errors
/// When the database refuses.
pub async fn insert(db: &mut Connection, entry: &KeptEntry, blobs: &[Digest]) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO kept_entries (id, project, kind, scope, space, key, snapshot, files, bytes, stored, run_id, run_number, \
         job, attempt, step, commit_sha, created_at, used_at, ends_at, state, ended, body) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)",
    )
    .bind(&entry.id)
    .bind(entry.project.as_str())
    .bind(entry.kind.word())
    .bind(&entry.scope)
    .bind(&entry.space)
    .bind(&entry.key)
    .bind(entry.snapshot.to_string())
    .bind(signed(entry.files))
    .bind(signed(entry.bytes))
    .bind(signed(entry.stored))
    .bind(entry.run.to_string())
    .bind(signed(entry.run_number))
    .bind(&entry.job)
    .bind(entry.attempt.to_string())
    .bind(entry.step.map(i64::from))
    .bind(&entry.commit)
    .bind(to_micros(entry.created_at))
    .bind(to_micros(entry.used_at))
    .bind(to_micros(entry.ends_at))
    .bind(entry.state.word())
    .bind(&entry.ended)
    .bind(encode(&entry.body)?)
    .execute(&mut *db)
    .await?;
    for digest in blobs {
        sqlx::query("INSERT INTO kept_links (entry, digest) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(&entry.id)
            .bind(digest.to_string())
            .execute(&mut *db)
            .await?;
    }
    count(db, &entry.project, &entry.id, 1).await
}

/// Counts an entry's blobs up, before which none counted for it, or down.
async fn count(db: &mut Connection, project: &ProjectName, id: &str, by: i64) -> sqlx::Result<()> {
    // What nobody referred to before, or nobody will after it.
    let edge = i64::from(by < 0);
    let changed: i64 = sqlx::query(
        "SELECT COALESCE(SUM(size), 0) AS bytes FROM kept_blobs WHERE project = $1 AND entries = $3 \
         AND digest IN (SELECT digest FROM kept_links WHERE entry = $2)",
    )
    .bind(project.as_str())
    .bind(id)
    .bind(edge)
    .fetch_one(&mut *db)
    .await?
    .try_get("bytes")?;
    sqlx::query(
        "UPDATE kept_blobs SET entries = entries + $3 WHERE project = $1 \
         AND digest IN (SELECT digest FROM kept_links WHERE entry = $2)",
    )
    .bind(project.as_str())
    .bind(id)
    .bind(by)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "INSERT INTO kept_usage (project, bytes) VALUES ($1, $2) \
         ON CONFLICT (project) DO UPDATE SET bytes = kept_usage.bytes + excluded.bytes",
    )
    .bind(project.as_str())
    .bind(by * changed)
    .execute(db)
    .await?;
    Ok(())
}

/// Notes that an entry was read.
///
/// # Errors
/// When the database refuses.
pub async fn read(db: &mut Connection, entry: &KeptEntry, now: Timestamp) -> sqlx::Result<()> {
    let ends_at = now.saturating_add(entry.kind.lifetime()).unwrap_or(now);
    sqlx::query("UPDATE kept_entries SET used_at = $2, ends_at = $3 WHERE id = $1")
        .bind(&entry.id)
        .bind(to_micros(now))
        .bind(to_micros(ends_at))
        .execute(db)
        .await?;
    Ok(())
}

/// Ends a live entry; its row stays. Its blobs go when no other one refers to them. Revoking one that was evicted counts too.
///
/// # Errors
/// When the database refuses.
pub async fn end(db: &mut Connection, entry: &KeptEntry, state: KeptState, why: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE kept_entries SET state = $2, ended = $3 WHERE id = $1")
        .bind(&entry.id)
        .bind(state.word())
        .bind(why)
        .execute(&mut *db)
        .await?;
    if entry.state == KeptState::Live {
        count(db, &entry.project, &entry.id, -1).await?;
        sqlx::query("DELETE FROM kept_links WHERE entry = $1").bind(&entry.id).execute(db).await?;
    }
    Ok(())
}

/// Which of these blobs a Project does not have. Those that it has are young again.
///
/// # Errors
/// When the database refuses.
pub async fn missing(
    db: &mut Connection,
    project: &ProjectName,
    blobs: &[Digest],
    now: Timestamp,
) -> sqlx::Result<Vec<Digest>> {
    let mut missing = Vec::new();
    for digest in blobs {
        let touched = sqlx::query("UPDATE kept_blobs SET touched_at = $3 WHERE project = $1 AND digest = $2")
            .bind(project.as_str())
            .bind(digest.to_string())
            .bind(to_micros(now))
            .execute(&mut *db)
            .await?;
        if touched.rows_affected() == 0 {
            missing.push(*digest);
        }
    }
    Ok(missing)
}

/// Notes that a Project has a blob.
///
/// # Errors
/// When the database refuses.
pub async fn add_blob(
    db: &mut Connection,
    project: &ProjectName,
    digest: Digest,
    size: u64,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO kept_blobs (project, digest, size, entries, touched_at) VALUES ($1, $2, $3, 0, $4) \
         ON CONFLICT (project, digest) DO UPDATE SET touched_at = excluded.touched_at",
    )
    .bind(project.as_str())
    .bind(digest.to_string())
    .bind(signed(size))
    .bind(to_micros(now))
    .execute(db)
    .await?;
    Ok(())
}

/// Whether a Project has a blob.
///
/// # Errors
/// When the database refuses.
pub async fn has_blob(db: &mut Connection, project: &ProjectName, digest: Digest) -> sqlx::Result<bool> {
    let row = sqlx::query("SELECT 1 FROM kept_blobs WHERE project = $1 AND digest = $2")
        .bind(project.as_str())
        .bind(digest.to_string())
        .fetch_optional(db)
        .await?;
    Ok(row.is_some())
}

/// Takes up to `limit` blobs off the books that nothing refers to and nobody touched since `before`. Gives those that no
/// Project has any more.
///
/// # Errors
/// When the database refuses.
pub async fn forget_unused(
    db: &mut Connection,
    before: Timestamp,
    limit: u32,
) -> sqlx::Result<(usize, Vec<Digest>)> {
    let rows = sqlx::query(
        "DELETE FROM kept_blobs WHERE (project, digest) IN (SELECT project, digest FROM kept_blobs WHERE entries = 0 \
         AND touched_at < $1 ORDER BY touched_at LIMIT $2) RETURNING digest",
    )
    .bind(to_micros(before))
    .bind(i64::from(limit))
    .fetch_all(&mut *db)
    .await?;
    let mut free = Vec::new();
    for row in &rows {
        let text: &str = row.try_get("digest")?;
        if !is_known(db, text).await? {
            free.push(parse(text)?);
        }
    }
    Ok((rows.len(), free))
}

/// Whether any Project has a blob.
///
/// # Errors
/// When the database refuses.
pub async fn is_known(db: &mut Connection, digest: &str) -> sqlx::Result<bool> {
    let row = sqlx::query("SELECT 1 FROM kept_blobs WHERE digest = $1 LIMIT 1")
        .bind(digest)
        .fetch_optional(db)
        .await?;
    Ok(row.is_some())
}

/// How many bytes each Project keeps.
///
/// # Errors
/// When the database refuses.
pub async fn usage(db: &mut Connection) -> sqlx::Result<Vec<(ProjectName, u64)>> {
    let rows = sqlx::query("SELECT * FROM kept_usage ORDER BY bytes DESC LIMIT 10000").fetch_all(db).await?;
    rows.iter()
        .map(|row| Ok((parse(row.try_get("project")?)?, row.try_get::<i64, _>("bytes")?.unsigned_abs())))
        .collect()
}

/// The live entry that nobody read for longest, of one Project or of all.
///
/// # Errors
/// When the database refuses.
pub async fn least_used(
    db: &mut Connection,
    project: Option<&ProjectName>,
) -> sqlx::Result<Option<KeptEntry>> {
    let row = sqlx::query(
        "SELECT * FROM kept_entries WHERE state = 'live' AND ($1 IS NULL OR project = $1) ORDER BY used_at LIMIT 1",
    )
    .bind(project.map(ProjectName::as_str))
    .fetch_optional(db)
    .await?;
    row.as_ref().map(entry).transpose()
}

/// Live entries whose time is over.
///
/// # Errors
/// When the database refuses.
pub async fn overdue(db: &mut Connection, now: Timestamp, limit: u32) -> sqlx::Result<Vec<KeptEntry>> {
    let rows = sqlx::query(
        "SELECT * FROM kept_entries WHERE state = 'live' AND ends_at < $1 ORDER BY ends_at LIMIT $2",
    )
    .bind(to_micros(now))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    rows.iter().map(entry).collect()
}

/// Notes a use.
///
/// # Errors
/// When the database refuses.
pub async fn note(db: &mut Connection, used: &KeptUse) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO kept_uses (project, run_id, job, attempt, step, kind, key, outcome, entry, why, at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(used.project.as_str())
    .bind(used.run.to_string())
    .bind(&used.job)
    .bind(used.attempt.to_string())
    .bind(used.step.map(i64::from))
    .bind(used.kind.word())
    .bind(&used.key)
    .bind(&used.outcome)
    .bind(&used.entry)
    .bind(&used.why)
    .bind(to_micros(used.at))
    .execute(db)
    .await?;
    Ok(())
}

/// What the Attempts of a Run asked for and got, in order.
///
/// # Errors
/// When the database refuses.
pub async fn uses_of_run(db: &mut Connection, run: RunId) -> sqlx::Result<Vec<KeptUse>> {
    let rows = sqlx::query("SELECT * FROM kept_uses WHERE run_id = $1 ORDER BY id LIMIT $2")
        .bind(run.to_string())
        .bind(MOST)
        .fetch_all(db)
        .await?;
    rows.iter().map(used).collect()
}

/// Who got an entry.
///
/// # Errors
/// When the database refuses.
pub async fn uses_of_entry(db: &mut Connection, id: &str) -> sqlx::Result<Vec<KeptUse>> {
    let rows = sqlx::query("SELECT * FROM kept_uses WHERE entry = $1 ORDER BY id LIMIT $2")
        .bind(id)
        .bind(MOST)
        .fetch_all(db)
        .await?;
    rows.iter().map(used).collect()
}

/// Steps that made other outputs from the same inputs since a moment, the newest first.
///
/// # Errors
/// When the database refuses.
pub async fn differing(db: &mut Connection, since: Timestamp) -> sqlx::Result<Vec<KeptUse>> {
    let rows = sqlx::query(
        "SELECT * FROM kept_uses WHERE outcome = 'differs' AND at > $1 ORDER BY id DESC LIMIT 20",
    )
    .bind(to_micros(since))
    .fetch_all(db)
    .await?;
    rows.iter().map(used).collect()
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn kind(word: &str) -> EntryKind {
    match word {
        "step" => EntryKind::Step,
        "workspace" => EntryKind::Workspace,
        _ => EntryKind::Cache,
    }
}

fn entry(row: &sqlx::sqlite::SqliteRow) -> sqlx::Result<KeptEntry> {
    let number = |name: &str| row.try_get::<i64, _>(name).map(i64::unsigned_abs);
    let moment = |name: &str| row.try_get(name).map(from_micros);
    Ok(KeptEntry {
        id: row.try_get("id")?,
        project: parse(row.try_get("project")?)?,
        kind: kind(row.try_get("kind")?),
        scope: row.try_get("scope")?,
        space: row.try_get("space")?,
        key: row.try_get("key")?,
        snapshot: parse(row.try_get("snapshot")?)?,
        files: number("files")?,
        bytes: number("bytes")?,
        stored: number("stored")?,
        run: parse(row.try_get("run_id")?)?,
        run_number: number("run_number")?,
        job: row.try_get("job")?,
        attempt: parse(row.try_get("attempt")?)?,
        step: step(row)?,
        commit: row.try_get("commit_sha")?,
        created_at: moment("created_at")?,
        used_at: moment("used_at")?,
        ends_at: moment("ends_at")?,
        state: match row.try_get("state")? {
            "live" => KeptState::Live,
            "evicted" => KeptState::Evicted,
            _ => KeptState::Revoked,
        },
        ended: row.try_get("ended")?,
        body: decode(row.try_get("body")?)?,
    })
}

fn step(row: &sqlx::sqlite::SqliteRow) -> sqlx::Result<Option<u32>> {
    Ok(row.try_get::<Option<i64>, _>("step")?.and_then(|step| u32::try_from(step).ok()))
}

fn used(row: &sqlx::sqlite::SqliteRow) -> sqlx::Result<KeptUse> {
    Ok(KeptUse {
        project: parse(row.try_get("project")?)?,
        run: parse(row.try_get("run_id")?)?,
        job: row.try_get("job")?,
        attempt: parse(row.try_get("attempt")?)?,
        step: step(row)?,
        kind: kind(row.try_get("kind")?),
        key: row.try_get("key")?,
        outcome: row.try_get("outcome")?,
        entry: row.try_get("entry")?,
        why: row.try_get("why")?,
        at: from_micros(row.try_get("at")?),
    })
}
