//! One Environment.

use jiff::Timestamp;

use super::{
    Action, Current, PolicyChangeCard, RevisionName, RolloutSummary, Shell, State, WaitingPromotion,
};

/// An Environment.
#[derive(Debug, Clone)]
pub struct EnvironmentView {
    /// The frame.
    pub shell: Shell,
    /// The Project.
    pub project: String,
    /// Its name.
    pub name: String,
    /// Whether it serves well.
    pub health: State,
    /// What it runs.
    pub current: Option<Current>,
    /// Where users reach it.
    pub url: Option<String>,
    /// Where it runs, in words: `3 instances on hosts with role=web`.
    pub target: String,
    /// The Rollout in progress.
    pub rollout: Option<RolloutSummary>,
    /// Promotions that wait.
    pub waiting: Vec<WaitingPromotion>,
    /// Why automatic promotion is held.
    pub hold: Option<String>,
    /// Its Instances.
    pub instances: Vec<InstanceRow>,
    /// What it ran, newest first.
    pub history: Vec<HistoryRow>,
    /// Its policy document.
    pub policy: PolicyView,
    /// Documents that shall take its place and wait for signatures.
    pub policies: Vec<PolicyChangeCard>,
    /// Its configuration.
    pub values: Vec<(String, String)>,
    /// Names and versions of its secrets; there are no values here.
    pub secrets: Vec<SecretRow>,
    /// Hold, resume, roll back.
    pub actions: Vec<Action>,
}

/// An Instance.
#[derive(Debug, Clone)]
pub struct InstanceRow {
    /// Its id.
    pub id: String,
    /// The agent's host name.
    pub agent: String,
    /// Host and port.
    pub address: Option<String>,
    /// Its version.
    pub version: String,
    /// How it is.
    pub state: State,
    /// In words, where there is something to say.
    pub note: Option<String>,
    /// How often it was started again.
    pub restarts: u32,
    /// Since when it is so.
    pub since: Timestamp,
}

/// A Revision that an Environment ran or tried.
#[derive(Debug, Clone)]
pub struct HistoryRow {
    /// Which.
    pub revision: RevisionName,
    /// Its Promotion.
    pub promotion: String,
    /// How it ended.
    pub state: State,
    /// In words.
    pub reason: Option<String>,
    /// Who asked for it.
    pub by: String,
    /// When it started.
    pub at: Timestamp,
    /// The way back to it.
    pub rollback: Option<Action>,
}

/// The policy of an Environment.
#[derive(Debug, Clone)]
pub struct PolicyView {
    /// Which version of the document.
    pub version: u64,
    /// Who applied it.
    pub applied_by: String,
    /// When.
    pub applied_at: Timestamp,
    /// The refs whose Releases may enter.
    pub refs: Vec<String>,
    /// Each Gate in words.
    pub gates: Vec<String>,
}

/// A secret, without its value.
#[derive(Debug, Clone)]
pub struct SecretRow {
    /// Its name.
    pub name: String,
    /// Its version; `None` while no value was ever set.
    pub version: Option<u64>,
    /// Who set it.
    pub set_by: String,
    /// When.
    pub set_at: Option<Timestamp>,
}
