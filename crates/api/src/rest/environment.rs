//! Environments as people's tools see them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use towpath_model::environment as model;
use utoipa::ToSchema;

use super::promotion::{EnvironmentRef, Promotion, Revision};
use super::rollout::Hold;
use super::shape;

/// A place of a Project: what runs there, what wants to, and who gets the traffic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Environment {
    /// Which.
    pub key: EnvironmentRef,
    /// What it demands.
    #[schema(value_type = shape::Policy)]
    pub policy: model::Policy,
    /// The newest configuration.
    pub config: String,
    /// What serves.
    pub current: Option<Deployment>,
    /// What served before, newest first.
    pub history: Vec<Deployment>,
    /// What is kept running for an instant way back.
    #[schema(value_type = Option<shape::Warm>)]
    pub warm: Option<model::Warm>,
    /// Its Instances.
    #[schema(value_type = shape::Fleet)]
    pub fleet: model::Fleet,
    /// Who gets which requests.
    #[schema(value_type = shape::Traffic)]
    pub traffic: model::Traffic,
    /// The Promotion that waits for its Gates; of several the first.
    pub waiting: Option<Promotion>,
    /// Those that wait behind it, where `queue` is `queued` or `parallel`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub line: Vec<Promotion>,
    /// The Promotion whose Rollout runs.
    pub active: Option<Promotion>,
    /// A manual rollback that starts when the active Rollout has gone back.
    pub next: Option<Promotion>,
    /// Set while nothing is promoted by itself.
    pub hold: Option<Hold>,
    /// Revisions that were rolled back, by digest, and why.
    #[schema(value_type = BTreeMap<String, shape::Quarantine>)]
    pub quarantine: BTreeMap<String, model::Quarantine>,
    /// Releases that were revoked, by digest, each as a sentence.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub revoked: BTreeMap<String, String>,
    /// Which of several Releases that came at once may have broken it, where one Promotion of them went back.
    #[schema(value_type = Option<shape::Bisection>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bisection: Option<model::Bisection>,
}

/// What serves, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Deployment {
    /// The Revision.
    pub revision: Revision,
    /// The Promotion that brought it.
    pub promotion: String,
    /// The end of that Promotion.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
}

impl From<&model::Deployment> for Deployment {
    fn from(deployment: &model::Deployment) -> Self {
        let model::Deployment { revision, promotion, since } = deployment;
        Self { revision: revision.into(), promotion: promotion.to_string(), since: *since }
    }
}

impl From<&model::Environment> for Environment {
    fn from(environment: &model::Environment) -> Self {
        let model::Environment {
            key,
            policy,
            config,
            current,
            history,
            warm,
            fleet,
            traffic,
            waiting,
            line,
            active,
            next,
            hold,
            // The engine's own memory of what it need not do twice.
            ended: _,
            quarantine,
            revoked,
            bisection,
        } = environment;
        let promotion = |promotion: &Option<model::Promotion>| promotion.as_ref().map(Promotion::from);
        Self {
            key: key.into(),
            policy: policy.clone(),
            config: config.to_string(),
            current: current.as_ref().map(Deployment::from),
            history: history.iter().map(Deployment::from).collect(),
            warm: warm.clone(),
            fleet: fleet.clone(),
            traffic: traffic.clone(),
            waiting: promotion(waiting),
            line: line.iter().map(Promotion::from).collect(),
            active: promotion(active),
            next: promotion(next),
            hold: hold.as_ref().map(Hold::from),
            quarantine: quarantine.iter().map(|(digest, why)| (digest.to_string(), why.clone())).collect(),
            revoked: revoked.iter().map(|(digest, why)| (digest.to_string(), why.words())).collect(),
            bisection: bisection.clone(),
        }
    }
}

/// An Environment, and what it waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EnvironmentStatus {
    /// All that is known of it.
    pub environment: Environment,
    /// What its next Promotion waits for, one sentence each.
    pub waits: Vec<String>,
    /// The newest Release that could be promoted into it, where that is neither there nor on its way; lists leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<String>,
}

impl Environment {
    /// The version behind a Revision's digest, where it is still known.
    #[must_use]
    pub fn version_of(&self, digest: &str) -> Option<&str> {
        let deployed = self.current.iter().chain(&self.history).map(|deployment| &deployment.revision);
        let moving = [&self.active, &self.waiting, &self.next];
        let promoted = moving.into_iter().flatten().chain(&self.line).map(|promotion| &promotion.revision);
        deployed.chain(promoted).find(|known| known.digest == digest).map(|known| known.version.as_str())
    }
}
