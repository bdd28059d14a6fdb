//! Pools of agents that grow and shrink with the queue: asks [`towpath_model::pool`] again and again, and does what it says.
//!
//! Who is in a pool says the driver, what each does the database; so a server that was started anew goes on with the agents
//! that it finds. Stored is only whom it started, so that whoever vanished while no server looked is let in no more.

mod command;
mod docker;
mod driver;
mod options;
mod process;
mod roster;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use towpath_api::rest::{AgentPool, PoolMember};
use towpath_engine::EngineError;
use towpath_model::AgentId;
use towpath_model::pool::{Decision, Demand, Doing, Member, Pool};
use towpath_model::queue::WaitReason;
use towpath_store::core::pool_members;
use towpath_store::identity::JoinToken;
use uuid::Uuid;

use self::driver::{Driver, DriverError};
pub(crate) use self::options::PoolFile;
pub use self::options::{PoolError, PoolOptions};
use self::roster::Seen;
use crate::app::App;
use crate::rest::mint_join_token;

/// How often a pool is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// How long an agent that was started has for joining.
const TOKEN_LIFE: SignedDuration = SignedDuration::from_mins(10);

/// The pools of this server, as they were last seen.
pub(crate) struct Pools {
    options: Vec<PoolOptions>,
    allow_unsandboxed: bool,
    seen: Mutex<BTreeMap<String, AgentPool>>,
}

impl Pools {
    pub(crate) fn new(options: Vec<PoolOptions>, allow_unsandboxed: bool) -> Self {
        let seen = options.iter().map(|options| (options.name.clone(), unseen(options))).collect();
        Self { options, allow_unsandboxed, seen: Mutex::new(seen) }
    }

    /// All pools, as they were last seen.
    pub(crate) fn seen(&self) -> Vec<AgentPool> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn note(&self, name: &str, change: impl FnOnce(&mut AgentPool)) {
        if let Some(pool) = self.seen.lock().unwrap_or_else(PoisonError::into_inner).get_mut(name) {
            change(pool);
        }
    }
}

fn unseen(options: &PoolOptions) -> AgentPool {
    AgentPool {
        name: options.name.clone(),
        driver: options.kind.word().to_owned(),
        labels: options.settings.labels.clone(),
        minimum: options.settings.minimum,
        maximum: options.settings.maximum,
        wanted: options.settings.minimum,
        why: "not looked at yet".to_owned(),
        members: Vec::new(),
        looked_at: None,
    }
}

/// Why a pool could not be looked after this time.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the database failed: {0}")]
    Store(#[from] towpath_store::StoreError),
}

/// Looks after all pools until the server stops. Their agents go on.
pub(crate) async fn run(app: App) {
    let mut keeping = JoinSet::new();
    for options in app.pools.options.clone() {
        keeping.spawn(keep(app.clone(), options));
    }
    while let Some(ended) = keeping.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a pool of agents is not looked after any more");
        }
    }
}

async fn keep(app: App, options: PoolOptions) {
    let driver = Driver::new(&app, &options, app.pools.allow_unsandboxed);
    let mut keeper =
        Keeper { app: app.clone(), options, driver, pool: Pool::default(), known: BTreeMap::new() };
    let mut said = None;
    while !app.stopping.is_cancelled() {
        let begun = Instant::now();
        let trouble = keeper.look_after().await.err().map(|error| error.to_string());
        if let Some(trouble) = &trouble {
            app.pools.note(&keeper.options.name, |pool| pool.why.clone_from(trouble));
            // The same words every second help nobody.
            if said.as_ref() != Some(trouble) {
                tracing::warn!(pool = keeper.options.name, error = trouble, "a pool of agents has trouble");
            }
        }
        said = trouble;
        tokio::select! {
            () = app.stopping.cancelled() => break,
            () = tokio::time::sleep(EVERY.max(begun.elapsed())) => {}
        }
    }
}

struct Keeper {
    app: App,
    options: PoolOptions,
    driver: Driver,
    pool: Pool,
    /// Who was there when it was last looked.
    known: BTreeMap<String, Seen>,
}

impl Keeper {
    async fn look_after(&mut self) -> Result<(), Trouble> {
        let names = self.driver.list().await?;
        let busy = roster::busy(&self.app).await?;
        for seen in roster::remembered(&self.app, &self.options.name).await? {
            self.known.entry(seen.member.name.clone()).or_insert(seen);
        }
        let roster = roster::look(&self.app, &self.options.name, names, &busy).await?;
        self.retire_vanished(&roster, &busy).await?;
        let demand = demand(&self.app).await?;
        let members: Vec<_> = roster.iter().map(|seen| seen.member.clone()).collect();
        let now = self.app.now();
        let decision = self.pool.decide(&self.options.settings, &members, &demand, now);
        self.publish(&roster, &decision);
        self.known = roster
            .into_iter()
            .map(|seen| (seen.member.name.clone(), seen))
            .chain(std::mem::take(&mut self.known))
            .collect();
        self.follow(decision).await
    }

    /// A machine may be taken away at any time. Its agent is let in no more, once its Job was taken back.
    async fn retire_vanished(&mut self, roster: &[Seen], busy: &BTreeSet<AgentId>) -> Result<(), Trouble> {
        let there: BTreeSet<&str> = roster.iter().map(|seen| seen.member.name.as_str()).collect();
        let is_gone = |seen: &&Seen| !there.contains(seen.member.name.as_str());
        let gone: Vec<Seen> = self.known.values().filter(is_gone).cloned().collect();
        for mut seen in gone {
            // It may have joined, and even ended its one Job, since it was last looked.
            let (agent, called) = roster::joined(&self.app, seen.token).await?;
            if called {
                self.pool.forget(&seen.member.name);
            }
            seen.agent = agent;
            if agent.is_some_and(|agent| busy.contains(&agent)) {
                self.known.insert(seen.member.name.clone(), seen);
                continue;
            }
            roster::retire(&self.app, &seen).await?;
            self.known.remove(&seen.member.name);
        }
        self.known.retain(|name, _| !there.contains(name.as_str()));
        Ok(())
    }

    fn publish(&self, roster: &[Seen], decision: &Decision) {
        let live = |seen: &&Seen| matches!(seen.member.doing, Doing::Starting | Doing::Idle | Doing::Busy);
        let live = u32::try_from(roster.iter().filter(live).count()).unwrap_or(u32::MAX);
        let fewer = u32::try_from(decision.drain.len()).unwrap_or(u32::MAX);
        let now = self.app.now();
        self.app.pools.note(&self.options.name, |pool| {
            pool.wanted = live.saturating_add(decision.start).saturating_sub(fewer);
            pool.why.clone_from(&decision.why);
            pool.members = roster.iter().map(wire).collect();
            pool.looked_at = Some(now);
        });
    }

    async fn follow(&mut self, decision: Decision) -> Result<(), Trouble> {
        let Decision { start, drain, stop, why } = decision;
        if start > 0 || !drain.is_empty() || !stop.is_empty() {
            let (drain, stop) = (drain.len(), stop.len());
            tracing::info!(pool = self.options.name, start, drain, stop, why, "a pool of agents changes");
        }
        for name in stop {
            // Let in no more first: nothing is given to whom a signal is on its way.
            if let Some(seen) = self.known.get(&name) {
                roster::retire(&self.app, seen).await?;
            }
            self.driver.stop(&name).await?;
        }
        for name in drain {
            if let Some(agent) = self.known.get(&name).and_then(|seen| seen.agent) {
                self.app.engine.drain_for_pool(agent, &self.options.name).await?;
            }
        }
        for _ in 0..start {
            if let Err(error) = self.start_one().await {
                self.pool.start_failed(&self.options.settings, self.app.now());
                return Err(error);
            }
        }
        Ok(())
    }

    async fn remember(&self, token: Uuid) -> Result<(), Trouble> {
        let mut tx = self.app.db.begin_write().await?;
        pool_members::insert(&mut tx, token, &self.options.name, self.app.now()).await?;
        Ok(tx.commit().await?)
    }

    async fn start_one(&mut self) -> Result<(), Trouble> {
        let now = self.app.now();
        let token = JoinToken {
            id: Uuid::now_v7(),
            labels: self.options.settings.labels.clone(),
            runner: true,
            deployer: false,
            created_at: now,
            expires_at: now + TOKEN_LIFE,
            used: None,
        };
        let url = self.app.agents_url.as_ref().map(ToString::to_string).unwrap_or_default();
        let word = mint_join_token(&self.app, "system", url, &token).await?;
        let name = roster::name(&self.options.name, token.id);
        self.remember(token.id).await?;
        let started = self.driver.start(&name, &word).await;
        if started.is_err() {
            let member = Member { name, doing: Doing::Starting };
            roster::retire(&self.app, &Seen { member, token: token.id, agent: None }).await?;
        }
        Ok(started?)
    }
}

/// What waits for want of an agent, and not for its turn.
async fn demand(app: &App) -> Result<Vec<Demand>, EngineError> {
    let waiting = app.engine.queue().await?.waiting.into_iter();
    let waiting = waiting.filter(|entry| match &entry.reason {
        Some(
            WaitReason::NoAgents | WaitReason::NoFit | WaitReason::NoneReady { .. } | WaitReason::Busy { .. },
        ) => true,
        Some(WaitReason::Group { .. } | WaitReason::Turn { .. }) | None => false,
    });
    Ok(waiting.map(|entry| Demand { labels: entry.waiting.labels, since: entry.waiting.queued_at }).collect())
}

fn wire(seen: &Seen) -> PoolMember {
    PoolMember {
        name: seen.member.name.clone(),
        doing: match seen.member.doing {
            Doing::Starting => "starting",
            Doing::Idle => "idle",
            Doing::Busy => "busy",
            Doing::Draining { .. } => "draining",
            Doing::Silent => "silent",
        }
        .to_owned(),
        agent: seen.agent.map(|agent| agent.to_string()),
    }
}
