//! Agents as they were last seen.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sqlx::Row as _;
use towpath_model::AgentId;
use towpath_model::standing::Hold;

use super::{Connection, decode, encode, parse};
use crate::time::{from_micros, to_micros};

/// An agent as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Which.
    pub id: AgentId,
    /// Its host's name.
    pub hostname: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it takes Attempts.
    pub runner: bool,
    /// Whether it runs Instances.
    pub deployer: bool,
    /// Where its Instances can be reached.
    pub address: String,
    /// Its version of Towpath.
    pub version: String,
    /// When it last called.
    pub seen_at: Timestamp,
    /// The generation of its desired Instances.
    pub generation: u64,
    /// How many Attempts it runs at once.
    pub capacity: u32,
    /// Whether it ends after one Attempt.
    pub one_job: bool,
    /// Why it is given no work, where that is so.
    pub hold: Option<Hold>,
}

impl Agent {
    /// Whether it has all of these labels.
    #[must_use]
    pub fn has(&self, labels: &BTreeMap<String, String>) -> bool {
        labels.iter().all(|(name, value)| self.labels.get(name) == Some(value))
    }
}

/// Notes what an agent says of itself. Its generation and its hold stay.
///
/// # Errors
/// When the database refuses.
pub async fn seen(db: &mut Connection, agent: &Agent) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO agents (id, hostname, labels, runner, deployer, address, version, seen_at, generation, capacity, \
         one_job) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $10) \
         ON CONFLICT (id) DO UPDATE SET hostname = excluded.hostname, labels = excluded.labels, \
         runner = excluded.runner, deployer = excluded.deployer, address = excluded.address, \
         version = excluded.version, seen_at = excluded.seen_at, capacity = excluded.capacity, \
         one_job = excluded.one_job",
    )
    .bind(agent.id.to_string())
    .bind(&agent.hostname)
    .bind(encode(&agent.labels)?)
    .bind(agent.runner)
    .bind(agent.deployer)
    .bind(&agent.address)
    .bind(&agent.version)
    .bind(to_micros(agent.seen_at))
    .bind(i64::from(agent.capacity))
    .bind(agent.one_job)
    .execute(db)
    .await?;
    Ok(())
}

/// Every agent, by host name.
///
/// # Errors
/// When the database refuses.
pub async fn all(db: &mut Connection) -> sqlx::Result<Vec<Agent>> {
    let rows = sqlx::query("SELECT * FROM agents ORDER BY hostname, id LIMIT 10000").fetch_all(db).await?;
    rows.iter().map(agent).collect()
}

/// Finds an agent.
///
/// # Errors
/// When the database refuses.
pub async fn find(db: &mut Connection, id: AgentId) -> sqlx::Result<Option<Agent>> {
    let row =
        sqlx::query("SELECT * FROM agents WHERE id = $1").bind(id.to_string()).fetch_optional(db).await?;
    row.as_ref().map(agent).transpose()
}

/// Marks that an agent's desired Instances have changed.
///
/// # Errors
/// When the database refuses.
pub async fn changed(db: &mut Connection, id: AgentId) -> sqlx::Result<()> {
    sqlx::query("UPDATE agents SET generation = generation + 1 WHERE id = $1")
        .bind(id.to_string())
        .execute(db)
        .await?;
    Ok(())
}

/// Gives an agent no more work, or lets it have some again. Says whether there is such an agent.
///
/// # Errors
/// When the database refuses.
pub async fn hold(db: &mut Connection, id: AgentId, hold: Option<&Hold>) -> sqlx::Result<bool> {
    let done = sqlx::query("UPDATE agents SET hold = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(hold.map(encode).transpose()?)
        .execute(db)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Forgets an agent that will not call again.
///
/// # Errors
/// When the database refuses.
pub async fn forget(db: &mut Connection, id: AgentId) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM agents WHERE id = $1").bind(id.to_string()).execute(db).await?;
    Ok(())
}

fn agent(row: &sqlx::sqlite::SqliteRow) -> sqlx::Result<Agent> {
    Ok(Agent {
        id: parse(row.try_get("id")?)?,
        hostname: row.try_get("hostname")?,
        labels: decode(row.try_get("labels")?)?,
        runner: row.try_get("runner")?,
        deployer: row.try_get("deployer")?,
        address: row.try_get("address")?,
        version: row.try_get("version")?,
        seen_at: from_micros(row.try_get("seen_at")?),
        generation: row.try_get::<i64, _>("generation")?.unsigned_abs(),
        capacity: u32::try_from(row.try_get::<i64, _>("capacity")?).unwrap_or(0),
        one_job: row.try_get("one_job")?,
        hold: row.try_get::<Option<&str>, _>("hold")?.map(decode).transpose()?,
    })
}
