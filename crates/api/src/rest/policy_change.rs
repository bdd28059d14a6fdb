//! Documents that wait for signatures because they loosen a policy.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use towpath_model::environment::Policy;
use towpath_model::policy_change as model;
use utoipa::ToSchema;

use super::promotion::{EnvironmentRef, Vote};

/// A document that shall take the place of an Environment's, or did, or did not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyChange {
    /// 1, 2, 3 … in its Environment.
    pub number: u64,
    /// For people: `policy change 3 of shop/production`.
    pub title: String,
    /// Which Environment.
    pub environment: EnvironmentRef,
    /// `waiting`, `applied`, `rejected`, `expired`, `superseded` or `void`.
    pub state: String,
    /// What became of it, in words; absent while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The version of the document that it replaces.
    pub base: u64,
    /// Its YAML.
    pub source: String,
    /// What changes, one sentence each.
    pub changes: Vec<String>,
    /// Which of it loosens the policy.
    pub loosens: Vec<String>,
    /// Whose signatures are missing, one sentence for each Gate of the policy in force; empty once it has ended.
    pub needs: Vec<String>,
    /// What a signature given now is bound to.
    pub binding: String,
    /// The login of who applied it, whose signature never counts.
    pub author: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub proposed_at: Timestamp,
    /// When it ends, unless it is signed.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// What people said, oldest first.
    pub votes: Vec<Vote>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
}

impl PolicyChange {
    /// As the API shows it, under the policy that is in force.
    #[must_use]
    pub fn new(change: &model::PolicyChange, policy: &Policy) -> Self {
        let model::PolicyChange {
            number,
            environment,
            base,
            document: _,
            source,
            changes,
            loosens,
            author,
            proposed_at,
            expires_at,
            votes,
            outcome,
            ended_at,
        } = change;
        Self {
            number: *number,
            title: change.title(),
            environment: environment.into(),
            state: change.state_word().to_owned(),
            reason: outcome.as_ref().map(model::ChangeOutcome::reason),
            base: *base,
            source: source.clone(),
            changes: changes.clone(),
            loosens: loosens.clone(),
            needs: if change.is_open() { change.needs(policy) } else { Vec::new() },
            binding: change.binding().to_string(),
            author: author.name().to_owned(),
            proposed_at: *proposed_at,
            expires_at: *expires_at,
            votes: votes.iter().map(Vote::from).collect(),
            ended_at: *ended_at,
        }
    }
}
