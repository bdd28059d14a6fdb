//! What an Environment cannot see itself.

use std::collections::{BTreeMap, BTreeSet};

use towpath_model::Digest;
use towpath_model::environment::{Environment, Facts, Host, Neighbour};
use towpath_store::core::{Connection, agents, environments, gateways};

use crate::{Engine, EngineError, live};

impl Engine {
    /// The facts of this moment for one Environment; `asked` is a Release that is about to wait for it.
    pub(crate) async fn facts(
        &self,
        db: &mut Connection,
        environment: &Environment,
        asked: Option<Digest>,
    ) -> Result<Facts, EngineError> {
        let now = self.now();
        let labels = &environment.policy.document.target.hosts;
        let hosts =
            agents::all(db).await?.into_iter().filter(|agent| agent.deployer && agent.has(labels)).map(
                |agent| {
                    let connected = self.0.live.is_connected(agent.id, agent.seen_at, now);
                    let heard_at = self.0.live.last_heard(agent.id);
                    Host { agent: agent.id, name: agent.hostname, connected, heard_at }
                },
            );
        let hosts = hosts.collect();
        let heard =
            |gateway: &gateways::Gateway| now.duration_since(gateway.seen_at) <= live::GATEWAY_FORGOTTEN;
        let gateways: BTreeSet<String> =
            gateways::all(db).await?.into_iter().filter(heard).map(|gateway| gateway.name).collect();
        let mut neighbours = BTreeMap::new();
        for other in environments::all(db, Some(&environment.key.project)).await? {
            if let Some(current) = other.current {
                let neighbour = Neighbour {
                    release: current.revision.release,
                    version: current.revision.version,
                    since: current.since,
                };
                neighbours.insert(other.key.environment, neighbour);
            }
        }
        let evidence = self.known_of_releases(db, environment, asked).await?;
        Ok(Facts { hosts, gateways, neighbours, evidence })
    }
}
