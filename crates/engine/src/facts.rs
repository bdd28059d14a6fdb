//! What an Environment cannot see itself.

use std::collections::{BTreeMap, BTreeSet};

use towpath_config::gate_expression;
use towpath_model::environment::{
    Environment, Expressions, Facts, Host, Neighbour, NewPromotion, Revision, Upstream,
};
use towpath_model::pipeline::Gate;
use towpath_model::{Digest, EnvironmentKey, EnvironmentName};
use towpath_store::core::{Connection, agents, environments, gateways};

use crate::{Engine, EngineError, live, route};

impl Engine {
    /// The facts of this moment for one Environment; `asked` is a Promotion that is about to wait for it.
    pub(crate) async fn facts(
        &self,
        db: &mut Connection,
        environment: &Environment,
        asked: Option<&NewPromotion>,
    ) -> Result<Facts, EngineError> {
        let now = self.now();
        let labels = environment.policy.document.target.labels();
        let hosts =
            agents::all(db).await?.into_iter().filter(|agent| agent.deployer && agent.has(&labels)).map(
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
        let (upstreams, passed) = elsewhere(db, environment, asked).await?;
        let expressions = Some(Expressions(gate_expression::holds));
        Ok(Facts { hosts, gateways, neighbours, evidence, upstreams, passed, expressions })
    }
}

type Elsewhere = (BTreeMap<EnvironmentKey, Upstream>, BTreeMap<Digest, BTreeSet<EnvironmentName>>);

/// What upstream Gates look at; `asked` is a Promotion that is about to wait. Without such a Gate it costs nothing.
async fn elsewhere(
    db: &mut Connection,
    environment: &Environment,
    asked: Option<&NewPromotion>,
) -> Result<Elsewhere, EngineError> {
    let waiting = environment.in_line().map(|waiting| (&waiting.plan, waiting.revision.release));
    let plans = waiting.chain(asked.map(|new| (&new.plan, new.revision.release)));
    let (mut upstreams, mut passed) = (BTreeMap::new(), BTreeMap::new());
    for (plan, release) in plans {
        for gate in &plan.gates {
            let Gate::Upstream(gate) = gate else { continue };
            if gate.at_least.is_none() && !gate.same_commit && !passed.contains_key(&release) {
                passed.insert(release, route::passed(db, release).await?);
            }
            let project = gate.project.clone().unwrap_or_else(|| environment.key.project.clone());
            let key = EnvironmentKey { project, environment: gate.environment.clone() };
            if let Some(current) = environments::find(db, &key).await?.and_then(|there| there.current) {
                let Revision { version, commit, .. } = current.revision;
                upstreams.insert(key, Upstream { version, commit });
            }
        }
    }
    Ok((upstreams, passed))
}
