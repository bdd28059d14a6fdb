//! Which Instances an agent shall run, and how they are.

use std::collections::{BTreeMap, BTreeSet};

use towpath_api::agent::{DesiredInstances, InstanceOrder, InstancePhase, InstanceReport, Secret};
use towpath_api::containers::ContainerOrder;
use towpath_artifact::ConfigRevision;
use towpath_model::environment::{Environment, Instance, InstanceHealth, Observed};
use towpath_model::policy::{Docker, Registry};
use towpath_model::{AgentId, Digest, EnvironmentKey};
use towpath_store::core::{agents, documents, environments};

use crate::secrets::newest_versions;
use crate::{Engine, EngineError};

/// Everything that shall run on one agent.
pub(crate) async fn desired(engine: &Engine, agent: AgentId) -> Result<DesiredInstances, EngineError> {
    let mut db = engine.db().snapshot().await?;
    let generation = agents::find(&mut db, agent).await?.map_or(0, |agent| agent.generation);
    let (mut instances, mut keep) = (Vec::new(), BTreeSet::new());
    for environment in environments::all(&mut db, None).await? {
        if environment.policy.document.target.docker.is_some() {
            keep.extend(ways_back(&environment));
        }
        for instance in environment.fleet.instances.iter().filter(|i| i.wanted && i.host == agent) {
            instances.extend(order(engine, &mut db, &environment, instance).await?);
        }
    }
    Ok(DesiredInstances { generation, instances, keep })
}

/// Releases that an Environment may go back to without asking anybody: what runs, and what ran before it.
fn ways_back(environment: &Environment) -> impl Iterator<Item = Digest> {
    let rollout = environment.active.as_ref().and_then(|active| active.rollout.as_ref());
    let stable = rollout.and_then(|rollout| rollout.stable.as_ref());
    let past = environment.current.iter().chain(environment.history.iter().take(1));
    past.map(|deployment| &deployment.revision).chain(stable).map(|revision| revision.release)
}

async fn order(
    engine: &Engine,
    db: &mut towpath_store::core::Connection,
    environment: &Environment,
    instance: &Instance,
) -> Result<Option<InstanceOrder>, EngineError> {
    let Some(revision) = environment.known_revision(instance.revision) else { return Ok(None) };
    let config = config(db, revision.config).await?;
    let key = &environment.key;
    let mut secrets = BTreeMap::new();
    for (name, version) in &config.secrets {
        match engine.secret(db, &key.project, key.environment.as_str(), name, *version).await {
            Ok(value) => drop(secrets.insert(name.to_string(), Secret::new(value))),
            // It was there when the way was checked. The Instance stays named, since what is not named is stopped.
            Err(EngineError::Refused { reason }) => {
                tracing::warn!(instance.id = %instance.id, environment = %key, reason, "an instance lacks a secret");
            }
            Err(error) => return Err(error),
        }
    }
    let container = match &environment.policy.document.target.docker {
        Some(docker) => Some(container(engine, db, key, docker).await?),
        None => None,
    };
    Ok(Some(InstanceOrder {
        instance: instance.id,
        environment: key.clone(),
        workload: instance.workload.clone(),
        revision: revision.digest,
        release: revision.release,
        signature: revision.signature,
        values: config.values,
        secrets,
        container,
    }))
}

/// How the container of an Instance is made. A password that is missing is told by the registry, in the Instance's own words.
async fn container(
    engine: &Engine,
    db: &mut towpath_store::core::Connection,
    key: &EnvironmentKey,
    docker: &Docker,
) -> Result<ContainerOrder, EngineError> {
    let mut passwords = BTreeMap::new();
    for registry in &docker.registries {
        match engine.password(db, key, registry).await {
            Ok(password) => drop(passwords.insert(registry.password.clone(), Secret::new(password))),
            Err(EngineError::Refused { reason }) => {
                tracing::warn!(environment = %key, registry = registry.host, reason, "a registry's password is missing");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(ContainerOrder { docker: docker.clone(), passwords })
}

impl Engine {
    /// The newest password of a registry.
    pub(crate) async fn password(
        &self,
        db: &mut towpath_store::core::Connection,
        key: &EnvironmentKey,
        registry: &Registry,
    ) -> Result<String, EngineError> {
        let newest = newest_versions(db, &key.project, key.environment.as_str()).await?;
        let version = newest.get(&registry.password).copied().unwrap_or(0);
        self.secret(db, &key.project, key.environment.as_str(), &registry.password, version).await
    }
}

/// Finds a configuration.
pub(crate) async fn config(
    db: &mut towpath_store::core::Connection,
    digest: Digest,
) -> Result<ConfigRevision, EngineError> {
    documents::config(db, digest)
        .await?
        .ok_or_else(|| EngineError::not_found(format!("configuration {digest}")))
}

/// What an agent says of the Instances of one Environment, in the model's words.
pub(crate) fn observed(report: &InstanceReport, key: &EnvironmentKey) -> Vec<Observed> {
    let of_it = report.instances.iter().filter(|status| status.environment == *key);
    of_it
        .map(|status| Observed {
            instance: status.instance,
            health: match status.phase {
                InstancePhase::Fetching => InstanceHealth::Fetching,
                InstancePhase::Starting => InstanceHealth::Starting,
                InstancePhase::Ready => InstanceHealth::Ready,
                InstancePhase::NotReady => InstanceHealth::NotReady,
                InstancePhase::Restarting => InstanceHealth::Restarting,
                InstancePhase::Stopping => InstanceHealth::Stopping,
                InstancePhase::Stopped => InstanceHealth::Stopped,
                InstancePhase::Failed => InstanceHealth::Failed,
            },
            address: status.address,
            restarts: status.restarts,
            message: status.message.clone(),
        })
        .collect()
}

/// Whether a report says something that is not known yet, so that repeating it costs no write.
pub(crate) fn is_news(environment: &Environment, agent: AgentId, observed: &[Observed]) -> bool {
    let here = environment.fleet.instances.iter().filter(|instance| instance.host == agent);
    here.into_iter().any(|instance| match observed.iter().find(|seen| seen.instance == instance.id) {
        Some(seen) => {
            let gone =
                matches!(seen.health, InstanceHealth::Stopped | InstanceHealth::Failed) && !instance.wanted;
            gone || seen.health != instance.health
                || (seen.address.is_some() && seen.address != instance.address)
                || seen.restarts != instance.restarts
                || seen.message != instance.message
        }
        None => !instance.wanted,
    })
}
