//! Who may join as an agent, and who did.
//!
//! A join token is used once; what comes of it is an identity, which is revoked but never forgotten: its id stays in
//! the timeline and in the history of what ran where.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use towpath_model::AgentId;
use uuid::Uuid;

use crate::core::{decode, encode, parse};
use crate::db::WriteTx;
use crate::people::{By, SecretHash, record};
use crate::time::{from_micros, to_micros};

/// The most join tokens and identities that are listed.
const MOST: i64 = 10_000;

/// A join token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// Its identity, by which it is listed and revoked.
    pub id: Uuid,
    /// Labels that are laid over what the agent claims.
    pub labels: BTreeMap<String, String>,
    /// Whether the agent may take Attempts.
    pub runner: bool,
    /// Whether the agent may run Instances.
    pub deployer: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was used, and by whom.
    pub used: Option<(Timestamp, AgentId)>,
}

/// An agent that was given a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentIdentity {
    /// Which.
    pub id: AgentId,
    /// Its host's name when it joined.
    pub hostname: String,
    /// Its labels; what it says later cannot change them.
    pub labels: BTreeMap<String, String>,
    /// Whether it may take Attempts.
    pub runner: bool,
    /// Whether it may run Instances.
    pub deployer: bool,
    /// When it joined.
    pub enrolled_at: Timestamp,
    /// When its newest certificate ends.
    pub certificate_ends: Timestamp,
    /// Since when it is not let in any more.
    pub revoked_at: Option<Timestamp>,
}

/// Why a join token was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// It was never made here, or was revoked.
    #[error("the join token is not known here: it was revoked, or another server made it")]
    Unknown,
    /// It was used before.
    #[error("the join token was used at {at} by agent {by}; each joins one agent only")]
    Used {
        /// When.
        at: Timestamp,
        /// By whom.
        by: AgentId,
    },
    /// Its time is over.
    #[error("the join token ended at {at}")]
    Expired {
        /// When.
        at: Timestamp,
    },
}

/// Stores a join token.
///
/// # Errors
/// When the database refuses.
pub async fn create_token(
    tx: &mut WriteTx,
    token: &JoinToken,
    secret: SecretHash,
    by: By<'_>,
) -> sqlx::Result<()> {
    let JoinToken { id, labels, runner, deployer, created_at, expires_at, used: _ } = token;
    sqlx::query(
        "INSERT INTO join_tokens (id, secret_hash, labels, runner, deployer, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(id.to_string())
    .bind(secret.as_slice())
    .bind(encode(labels)?)
    .bind(runner)
    .bind(deployer)
    .bind(to_micros(*created_at))
    .bind(to_micros(*expires_at))
    .execute(&mut **tx)
    .await?;
    let facts = json!({"labels": labels, "runner": runner, "deployer": deployer, "expires": expires_at});
    record(tx, by, None, "join-token-created", &format!("join-token:{id}"), &facts).await
}

/// Lists join tokens, newest first.
///
/// # Errors
/// When the database refuses.
pub async fn tokens(db: &mut SqliteConnection) -> sqlx::Result<Vec<JoinToken>> {
    let rows = sqlx::query("SELECT * FROM join_tokens ORDER BY created_at DESC, id LIMIT $1")
        .bind(MOST)
        .fetch_all(db)
        .await?;
    rows.iter().map(token).collect()
}

/// Finds a join token by its identity.
///
/// # Errors
/// When the database refuses.
pub async fn find_token(db: &mut SqliteConnection, id: Uuid) -> sqlx::Result<Option<JoinToken>> {
    let row = sqlx::query("SELECT * FROM join_tokens WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(db)
        .await?;
    row.as_ref().map(token).transpose()
}

/// Forgets a join token that was not used; returns whether there was one.
///
/// # Errors
/// When the database refuses.
pub async fn revoke_token(tx: &mut WriteTx, id: Uuid, by: By<'_>) -> sqlx::Result<bool> {
    let done = sqlx::query("DELETE FROM join_tokens WHERE id = $1 AND used_at IS NULL")
        .bind(id.to_string())
        .execute(&mut **tx)
        .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    record(tx, by, None, "join-token-revoked", &format!("join-token:{id}"), &json!({})).await?;
    Ok(true)
}

/// Finds the join token with this secret, where it can still be used.
///
/// # Errors
/// When the database refuses; within, why the token is not taken.
pub async fn usable_token(
    db: &mut SqliteConnection,
    secret: SecretHash,
    now: Timestamp,
) -> sqlx::Result<Result<JoinToken, TokenRefused>> {
    let row = sqlx::query("SELECT * FROM join_tokens WHERE secret_hash = $1")
        .bind(secret.as_slice())
        .fetch_optional(db)
        .await?;
    let Some(found) = row.as_ref().map(token).transpose()? else { return Ok(Err(TokenRefused::Unknown)) };
    Ok(match found.used {
        Some((at, by)) => Err(TokenRefused::Used { at, by }),
        None if found.expires_at <= now => Err(TokenRefused::Expired { at: found.expires_at }),
        None => Ok(found),
    })
}

/// Uses a join token up for a new identity.
///
/// # Errors
/// When the database refuses.
pub async fn enrol(
    tx: &mut WriteTx,
    token: &JoinToken,
    agent: &AgentIdentity,
    at: Timestamp,
) -> sqlx::Result<()> {
    let AgentIdentity { id, hostname, labels, runner, deployer, enrolled_at, certificate_ends, .. } = agent;
    sqlx::query("UPDATE join_tokens SET used_at = $2, used_by = $3 WHERE id = $1 AND used_at IS NULL")
        .bind(token.id.to_string())
        .bind(to_micros(at))
        .bind(id.to_string())
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "INSERT INTO agent_identities (id, hostname, labels, runner, deployer, enrolled_at, certificate_ends) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(id.to_string())
    .bind(hostname)
    .bind(encode(labels)?)
    .bind(runner)
    .bind(deployer)
    .bind(to_micros(*enrolled_at))
    .bind(to_micros(*certificate_ends))
    .execute(&mut **tx)
    .await?;
    let actor = format!("agent:{id}");
    let facts = json!({
        "hostname": hostname, "labels": labels, "runner": runner, "deployer": deployer, "token": token.id,
    });
    record(tx, By { actor: &actor, at }, None, "agent-joined", &actor, &facts).await
}

/// Notes a new certificate of an agent.
///
/// # Errors
/// When the database refuses.
pub async fn renewed(tx: &mut WriteTx, agent: AgentId, ends: Timestamp, at: Timestamp) -> sqlx::Result<()> {
    sqlx::query("UPDATE agent_identities SET certificate_ends = $2 WHERE id = $1")
        .bind(agent.to_string())
        .bind(to_micros(ends))
        .execute(&mut **tx)
        .await?;
    let actor = format!("agent:{agent}");
    record(tx, By { actor: &actor, at }, None, "agent-certificate-renewed", &actor, &json!({"ends": ends}))
        .await
}

/// Finds an identity.
///
/// # Errors
/// When the database refuses.
pub async fn find(db: &mut SqliteConnection, agent: AgentId) -> sqlx::Result<Option<AgentIdentity>> {
    let row = sqlx::query("SELECT * FROM agent_identities WHERE id = $1")
        .bind(agent.to_string())
        .fetch_optional(db)
        .await?;
    row.as_ref().map(identity).transpose()
}

/// Lists identities, newest first.
///
/// # Errors
/// When the database refuses.
pub async fn all(db: &mut SqliteConnection) -> sqlx::Result<Vec<AgentIdentity>> {
    let rows = sqlx::query("SELECT * FROM agent_identities ORDER BY enrolled_at DESC, id LIMIT $1")
        .bind(MOST)
        .fetch_all(db)
        .await?;
    rows.iter().map(identity).collect()
}

/// Lets an agent in no more; returns whether it was let in before.
///
/// # Errors
/// When the database refuses.
pub async fn revoke(tx: &mut WriteTx, agent: AgentId, by: By<'_>) -> sqlx::Result<bool> {
    let done =
        sqlx::query("UPDATE agent_identities SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL")
            .bind(agent.to_string())
            .bind(to_micros(by.at))
            .execute(&mut **tx)
            .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    record(tx, by, None, "agent-revoked", &format!("agent:{agent}"), &json!({})).await?;
    Ok(true)
}

fn token(row: &SqliteRow) -> sqlx::Result<JoinToken> {
    let used_at: Option<i64> = row.try_get("used_at")?;
    let used_by: Option<&str> = row.try_get("used_by")?;
    Ok(JoinToken {
        id: parse(row.try_get("id")?)?,
        labels: decode(row.try_get("labels")?)?,
        runner: row.try_get("runner")?,
        deployer: row.try_get("deployer")?,
        created_at: from_micros(row.try_get("created_at")?),
        expires_at: from_micros(row.try_get("expires_at")?),
        used: match (used_at, used_by) {
            (Some(at), Some(by)) => Some((from_micros(at), parse(by)?)),
            _ => None,
        },
    })
}

fn identity(row: &SqliteRow) -> sqlx::Result<AgentIdentity> {
    let revoked_at: Option<i64> = row.try_get("revoked_at")?;
    Ok(AgentIdentity {
        id: parse(row.try_get("id")?)?,
        hostname: row.try_get("hostname")?,
        labels: decode(row.try_get("labels")?)?,
        runner: row.try_get("runner")?,
        deployer: row.try_get("deployer")?,
        enrolled_at: from_micros(row.try_get("enrolled_at")?),
        certificate_ends: from_micros(row.try_get("certificate_ends")?),
        revoked_at: revoked_at.map(from_micros),
    })
}
