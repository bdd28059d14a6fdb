//! Who is in a pool. A member's name ends with the identity of the join token that was made for it, so that its agent
//! is found again after a restart of the server.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use towpath_engine::{EngineError, standing_of};
use towpath_model::AgentId;
use towpath_model::pool::{Doing, Member};
use towpath_model::queue::Standing;
use towpath_store::core::agents;
use towpath_store::core::{attempts, pool_members};
use towpath_store::identity;
use towpath_store::people::By;
use uuid::Uuid;

use crate::app::App;

/// How long a driver may take to list somebody whom an earlier server started just before it ended.
const SETTLED: SignedDuration = SignedDuration::from_secs(15);

/// Somebody of a pool, and who that is for the server.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) member: Member,
    pub(super) token: Uuid,
    pub(super) agent: Option<AgentId>,
}

/// The name of the member that joins with a token.
pub(super) fn name(pool: &str, token: Uuid) -> String {
    format!("{pool}-{}", token.simple())
}

fn token_of(pool: &str, name: &str) -> Option<Uuid> {
    Uuid::try_parse(name.strip_prefix(pool)?.strip_prefix('-')?).ok()
}

/// Agents that hold a Job.
pub(super) async fn busy(app: &App) -> Result<BTreeSet<AgentId>, EngineError> {
    let leased = attempts::leased(&mut *app.db.reader().await?).await?;
    Ok(leased.into_iter().filter_map(|attempt| attempt.agent).collect())
}

/// Finds out what those do whom the driver lists. Whoever has not a name of this pool is somebody else.
pub(super) async fn look(
    app: &App,
    pool: &str,
    names: Vec<String>,
    busy: &BTreeSet<AgentId>,
) -> Result<Vec<Seen>, EngineError> {
    let called: BTreeMap<AgentId, (agents::Agent, bool)> =
        app.engine.agents().await?.into_iter().map(|(agent, online)| (agent.id, (agent, online))).collect();
    let mut reader = app.db.reader().await?;
    let mut roster = Vec::with_capacity(names.len());
    for name in names {
        let Some(token) = token_of(pool, &name) else { continue };
        let used = identity::find_token(&mut reader, token).await?.and_then(|token| token.used);
        let agent = used.map(|(_, agent)| agent);
        let known = match agent {
            Some(agent) => identity::find(&mut reader, agent).await?,
            None => None,
        };
        let revoked = known.is_some_and(|identity| identity.revoked_at.is_some());
        let has_job = agent.is_some_and(|agent| busy.contains(&agent));
        let doing = match agent.and_then(|agent| called.get(&agent)) {
            None if revoked => Doing::Silent,
            None => Doing::Starting,
            Some((agent, _)) if standing_of(agent) != Standing::Ready => Doing::Draining { busy: has_job },
            Some(_) if has_job => Doing::Busy,
            Some((_, true)) if !revoked => Doing::Idle,
            Some(_) => Doing::Silent,
        };
        roster.push(Seen { member: Member { name, doing }, token, agent });
    }
    Ok(roster)
}

/// The agent that joined with a token, and whether it ever called.
pub(super) async fn joined(app: &App, token: Uuid) -> Result<(Option<AgentId>, bool), EngineError> {
    let mut reader = app.db.reader().await?;
    let used = identity::find_token(&mut reader, token).await?.and_then(|token| token.used);
    let Some((_, agent)) = used else { return Ok((None, false)) };
    Ok((Some(agent), agents::find(&mut reader, agent).await?.is_some()))
}

/// Those who were started for a pool a while ago, by this server or one before it: whether they are still there says the
/// driver.
pub(super) async fn remembered(app: &App, pool: &str) -> Result<Vec<Seen>, EngineError> {
    let before = app.now() - SETTLED;
    let tokens = pool_members::started_before(&mut *app.db.reader().await?, pool, before).await?;
    let seen = |token| Seen {
        member: Member { name: name(pool, token), doing: Doing::Starting },
        token,
        agent: None,
    };
    Ok(tokens.into_iter().map(seen).collect())
}

/// Lets in no more who is stopped, or is gone.
pub(super) async fn retire(app: &App, seen: &Seen) -> Result<(), EngineError> {
    let by = By { actor: "system", at: app.now() };
    let mut tx = app.db.begin_write().await?;
    pool_members::remove(&mut tx, seen.token).await?;
    match seen.agent {
        Some(agent) => {
            identity::revoke(&mut tx, agent, by).await?;
            agents::forget(&mut tx, agent).await?;
        }
        None => {
            identity::revoke_token(&mut tx, seen.token, by).await?;
        }
    }
    tx.commit().await?;
    Ok(())
}
