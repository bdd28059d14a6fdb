//! Releases: where their manifests are and how they travel.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use towpath_model::migration::Database;
use towpath_model::pipeline::{Stage, Workload};
use towpath_model::{Digest, JobName, ProjectName, RunId};

use super::{Connection, decode, encode, parse};
use crate::time::{from_micros, to_micros};

/// A sealed Release.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    /// The manifest's digest.
    pub digest: Digest,
    /// Its Project.
    pub project: ProjectName,
    /// Its version.
    pub version: String,
    /// The Run that sealed it.
    pub run: RunId,
    /// The commit.
    pub commit: String,
    /// The DSSE envelope.
    pub signature: Digest,
    /// When it was sealed.
    pub created_at: Timestamp,
    /// What it takes along.
    pub route: Route,
}

/// What a Release takes along from its commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// The full ref it was made from.
    pub reference: String,
    /// The sealed source tree.
    pub source: Digest,
    /// Where in it the Project lives; empty for the root.
    pub directory: String,
    /// Its Workloads.
    pub workloads: Vec<Workload>,
    /// The databases that it migrates.
    #[serde(default)]
    pub databases: Vec<Database>,
    /// The Stages of its pipeline.
    pub stages: Vec<Stage>,
    /// Logins whose approval would be their own.
    pub makers: BTreeSet<String>,
    /// What confined each Job, or why it was not run.
    #[serde(default)]
    pub executors: BTreeMap<JobName, String>,
}

/// Adds a Release. Adding it again changes nothing.
///
/// # Errors
/// When the database refuses, as for a version that is taken.
pub async fn insert(db: &mut Connection, release: &Release) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO releases (digest, project, version, run_id, commit_sha, signature, created_at, body) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (digest) DO NOTHING",
    )
    .bind(release.digest.to_string())
    .bind(release.project.as_str())
    .bind(&release.version)
    .bind(release.run.to_string())
    .bind(&release.commit)
    .bind(release.signature.to_string())
    .bind(to_micros(release.created_at))
    .bind(encode(&release.route)?)
    .execute(db)
    .await?;
    Ok(())
}

/// Finds a Release by digest.
///
/// # Errors
/// When the database refuses.
pub async fn find(db: &mut Connection, digest: Digest) -> sqlx::Result<Option<Release>> {
    let row = sqlx::query("SELECT * FROM releases WHERE digest = $1")
        .bind(digest.to_string())
        .fetch_optional(db)
        .await?;
    row.as_ref().map(release).transpose()
}

/// Finds a Release by version.
///
/// # Errors
/// When the database refuses.
pub async fn by_version(
    db: &mut Connection,
    project: &ProjectName,
    version: &str,
) -> sqlx::Result<Option<Release>> {
    let row = sqlx::query("SELECT * FROM releases WHERE project = $1 AND version = $2")
        .bind(project.as_str())
        .bind(version)
        .fetch_optional(db)
        .await?;
    row.as_ref().map(release).transpose()
}

/// Up to `limit` Releases of a Project that are older than `before`, newest first.
///
/// # Errors
/// When the database refuses.
pub async fn page(
    db: &mut Connection,
    project: &ProjectName,
    before: Option<Timestamp>,
    limit: u32,
) -> sqlx::Result<Vec<Release>> {
    let rows = sqlx::query(
        "SELECT * FROM releases WHERE project = $1 AND ($2 IS NULL OR created_at < $2) ORDER BY created_at DESC LIMIT $3",
    )
    .bind(project.as_str())
    .bind(before.map(to_micros))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    rows.iter().map(release).collect()
}

fn release(row: &sqlx::sqlite::SqliteRow) -> sqlx::Result<Release> {
    Ok(Release {
        digest: parse(row.try_get("digest")?)?,
        project: parse(row.try_get("project")?)?,
        version: row.try_get("version")?,
        run: parse(row.try_get("run_id")?)?,
        commit: row.try_get("commit_sha")?,
        signature: parse(row.try_get("signature")?)?,
        created_at: from_micros(row.try_get("created_at")?),
        route: decode(row.try_get("body")?)?,
    })
}
