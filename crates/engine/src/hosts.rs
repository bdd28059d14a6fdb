//! Looks at Environments whose hosts are lost, or have come back: no event says so.

use std::collections::BTreeSet;
use std::time::Duration;

use towpath_model::AgentId;
use towpath_model::environment::Environment;
use towpath_store::core::{agents, environments};

use crate::error::chain;
use crate::{Engine, EngineError};

/// How often hosts are looked at. A host may be lost for a minute at least, so this is soon enough.
const EVERY: Duration = Duration::from_secs(5);

impl Engine {
    pub(crate) async fn watch_hosts(&self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut moving = false;
        loop {
            ticks.tick().await;
            match self.look_at_hosts(moving).await {
                Ok(still) => moving = still,
                Err(error) => tracing::error!(
                    error = chain(&error),
                    "lost hosts could not be looked at; they are looked at again in five seconds"
                ),
            }
        }
    }

    /// Looks once. Says whether Instances are on their way from lost hosts, so that a host that comes back is noticed.
    async fn look_at_hosts(&self, moving: bool) -> Result<bool, EngineError> {
        let now = self.now();
        let mut reader = self.db().reader().await?;
        let (mut connected, mut silent) = (BTreeSet::new(), BTreeSet::new());
        for agent in agents::all(&mut reader).await?.into_iter().filter(|agent| agent.deployer) {
            let is_there = self.0.live.is_connected(agent.id, agent.seen_at, now);
            if is_there { &mut connected } else { &mut silent }.insert(agent.id);
        }
        if silent.is_empty() && !moving {
            return Ok(false);
        }
        let all = environments::all(&mut reader, None).await?;
        drop(reader);
        for environment in all.iter().filter(|environment| self.concerns(environment, &connected, &silent)) {
            self.look_at(&environment.key).await?;
        }
        Ok(all.iter().any(|environment| environment.fleet.instances.iter().any(|each| each.moving)))
    }

    /// Whether a look would change what an Environment thinks of its hosts.
    fn concerns(
        &self,
        environment: &Environment,
        connected: &BTreeSet<AgentId>,
        silent: &BTreeSet<AgentId>,
    ) -> bool {
        let limit = environment.policy.document.target.replace_after;
        environment.fleet.instances.iter().any(|instance| {
            let silent_for = || self.now().duration_since(self.0.live.last_heard(instance.host));
            let lost = silent.contains(&instance.host) && !instance.moving && silent_for() >= limit;
            lost || (instance.moving && connected.contains(&instance.host))
        })
    }
}
