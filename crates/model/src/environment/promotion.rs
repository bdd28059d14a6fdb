//! One Revision on its way into one Environment.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::gates::GateStatus;
use super::outside::{ChangeRead, Lift, Probe};
use super::rollout::{Phase, Rollout};
use crate::migration::Database;
use crate::pipeline::SecretName;
use crate::pipeline::{Analysis, CanaryStep, Gate, OnFailure, Strategy, Verification, Workload};
use crate::timeline::Actor;
use crate::{Digest, EnvironmentKey, ProjectName, PromotionId, StageName, UserId};

/// What an Environment runs: a Release with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Digest over the two below.
    pub digest: Digest,
    /// The Release manifest.
    pub release: Digest,
    /// The DSSE envelope over it.
    pub signature: Digest,
    /// The ConfigRevision.
    pub config: Digest,
    /// The Release's version.
    pub version: String,
    /// The commit it was made from.
    pub commit: String,
    /// The sealed source tree.
    pub source: Digest,
    /// Where in it the Project lives; empty for the root.
    pub directory: String,
    /// What runs. The first one takes the listener's traffic.
    pub workloads: Vec<Workload>,
    /// The databases that it migrates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<Database>,
}

/// Why a Promotion exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum PromotionKind {
    /// A Release came along the route.
    Release,
    /// The Environment's configuration changed.
    Configuration,
    /// Somebody wants an earlier Revision back. Exempt from every Gate.
    Rollback,
}

/// What a Promotion is held to: the commit's wishes under the Environment's policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PromotionPlan {
    /// The Stage on whose behalf.
    pub stage: StageName,
    /// The Environment's Gates, then the Stage's.
    pub gates: Vec<Gate>,
    /// How the Workloads get there.
    pub strategy: Strategy,
    /// How the candidate is judged.
    pub analysis: Analysis,
    /// Checks: those before the first weight, then those after the deployment.
    pub verify: Vec<Verification>,
    /// How many of `verify` must pass before the candidate gets any user's request.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub before: usize,
    /// What happens on failure.
    pub on_failure: OnFailure,
    /// The time of Rollout and verification.
    pub deadline: jiff::SignedDuration,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl PromotionPlan {
    /// How the Revision gets there, in words; `serves` is the version that runs there now.
    #[must_use]
    pub fn way(&self, serves: Option<&str>) -> String {
        match serves {
            // Every strategy needs something to be compared with.
            None => "bootstrap: nothing to compare with, so health and checks decide; on failure it does not serve".to_owned(),
            Some(_) => self.strategy.words(),
        }
    }

    /// The checks before and after the deployment, in words.
    #[must_use]
    pub fn checks(&self) -> Vec<String> {
        let name = |check: &Verification| match check {
            Verification::Http(http) => format!("GET {}", http.path),
            Verification::Run(run) => run.name.clone(),
        };
        self.verify.iter().map(name).collect()
    }

    /// All of it, one sentence each.
    #[must_use]
    pub fn words(&self, serves: Option<&str>) -> Vec<String> {
        let mut checks = self.checks();
        let after = checks.split_off(self.before.min(checks.len()));
        let before = checks.into_iter().map(|check| format!("before any user's request, checked by {check}"));
        let checks = before.chain(after.into_iter().map(|check| format!("then verified by {check}")));
        let failure = match (self.on_failure, serves) {
            (OnFailure::Hold, _) => Some("what fails under traffic is held for a person".to_owned()),
            (OnFailure::Rollback, Some(serves)) => Some(format!("what fails goes back to {serves}")),
            (OnFailure::Rollback, None) => None,
        };
        let deadline = format!("all of it within {}", super::human(self.deadline));
        std::iter::once(self.way(serves)).chain(checks).chain(failure).chain([deadline]).collect()
    }
}

/// What an approval is given for. It dies when any of these changes.
#[derive(Debug, Serialize)]
struct Binding<'a> {
    revision: Digest,
    environment: String,
    plan: &'a PromotionPlan,
    policy: u64,
}

/// One Revision on its way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Promotion {
    /// Its identity.
    pub id: PromotionId,
    /// Where to.
    pub environment: EnvironmentKey,
    /// What.
    pub revision: Revision,
    /// Why.
    pub kind: PromotionKind,
    /// What it is held to.
    pub plan: PromotionPlan,
    /// The version of the Environment's policy that it is pinned to.
    pub policy: u64,
    /// Logins whose approval would be their own.
    pub makers: BTreeSet<String>,
    /// Who asked for it.
    pub requested_by: Actor,
    /// When.
    pub requested_at: Timestamp,
    /// Since when approvals are asked for: the request, or the change of the policy that voided them.
    pub asked_at: Timestamp,
    /// What people said, oldest first; only of the current binding.
    pub votes: Vec<Vote>,
    /// How each Gate stands, as of the last look.
    pub gates: Vec<GateStatus>,
    /// Indexes of soak Gates that were once fulfilled.
    pub soaked: BTreeSet<usize>,
    /// What outside systems said of its Gates, by index.
    #[serde(default)]
    pub probes: BTreeMap<usize, Probe>,
    /// Who lifted its holds, by index.
    #[serde(default)]
    pub lifted: BTreeMap<usize, Lift>,
    /// What it changes, where a Gate asks.
    #[serde(default)]
    pub change: Option<ChangeRead>,
    /// The commit that it is being compared with right now.
    #[serde(default)]
    pub comparing: Option<String>,
    /// Whether people were asked for what only they can give.
    #[serde(default)]
    pub called: bool,
    /// When the Rollout started.
    pub started_at: Option<Timestamp>,
    /// The Rollout, once it started.
    pub rollout: Option<Rollout>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// What one person said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Who.
    pub user: UserId,
    /// Their login.
    pub login: String,
    /// Their roles in the Project at that time.
    pub roles: Vec<String>,
    /// Yes or no.
    pub approve: bool,
    /// Their words.
    pub comment: String,
    /// When.
    pub at: Timestamp,
    /// What they said it of.
    pub binding: Digest,
}

/// How a Promotion ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Outcome {
    /// The Revision runs and passed its verification.
    Succeeded,
    /// What ran before runs again.
    RolledBack {
        /// Why.
        reason: String,
        /// From the decision until no new request reached the candidate, in milliseconds.
        time_to_safe_ms: Option<i64>,
    },
    /// Somebody said no.
    Rejected {
        /// Who and why.
        reason: String,
    },
    /// Nobody said yes in time.
    Expired {
        /// Which Gate.
        reason: String,
    },
    /// A newer Revision took its place in the queue.
    Superseded {
        /// Its version.
        by: String,
    },
    /// Somebody withdrew it.
    Cancelled {
        /// Who and why.
        reason: String,
    },
}

impl Outcome {
    /// The word for people.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::RolledBack { .. } => "rolled back",
            Self::Rejected { .. } => "rejected",
            Self::Expired { .. } => "expired",
            Self::Superseded { .. } => "superseded",
            Self::Cancelled { .. } => "cancelled",
        }
    }

    /// Why, in words.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Succeeded => "it runs and passed its verification".to_owned(),
            Self::RolledBack { reason, time_to_safe_ms: _ }
            | Self::Rejected { reason }
            | Self::Expired { reason }
            | Self::Cancelled { reason } => reason.clone(),
            Self::Superseded { by } => format!("{by} is newer"),
        }
    }
}

impl Promotion {
    /// What an approval given now is bound to.
    #[must_use]
    pub fn binding(&self) -> Digest {
        let binding = Binding {
            revision: self.revision.digest,
            environment: self.environment.to_string(),
            plan: &self.plan,
            policy: self.policy,
        };
        // These types have only string keys and finite numbers, so they always have a JSON form.
        Digest::of(&serde_json::to_vec(&binding).unwrap_or_default())
    }

    /// The name for people: `1.2.0 to shop/production`.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{} to {}", self.revision.version, self.environment)
    }

    /// The Project.
    #[must_use]
    pub const fn project(&self) -> &ProjectName {
        &self.environment.project
    }

    /// Where it is in its life, as one word.
    #[must_use]
    pub fn state_word(&self) -> &'static str {
        match (&self.outcome, &self.rollout) {
            (Some(outcome), _) => outcome.word(),
            (None, Some(rollout)) => match (&rollout.phase, &self.plan.strategy) {
                (Phase::Step { .. }, Strategy::Rolling(_) | Strategy::BlueGreen(_)) => "judging",
                (phase, _) => phase.word(),
            },
            (None, None) => "waiting",
        }
    }

    /// The steps at which the candidate is judged; those of a rolling replacement are known once it has started.
    #[must_use]
    pub fn steps(&self) -> Vec<CanaryStep> {
        match (&self.plan.strategy, &self.rollout) {
            (Strategy::Rolling(rolling), Some(rollout)) => rolling.steps(&rollout.batches),
            (strategy, _) => strategy.steps(0),
        }
    }

    /// A step, from 0.
    #[must_use]
    pub fn step(&self, index: usize) -> Option<CanaryStep> {
        self.steps().into_iter().nth(index)
    }

    /// Secrets that its verifications ask for.
    pub fn verification_secrets(&self) -> impl Iterator<Item = &SecretName> {
        self.plan.verify.iter().flat_map(|verification| match verification {
            Verification::Http(_) => &[][..],
            Verification::Run(run) => &run.secrets[..],
        })
    }
}
