//! Rollouts: what they do now, and what the judge says in plain numbers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use towpath_model::environment as model;
use utoipa::ToSchema;

use super::promotion::Revision;
use super::shape;

/// How a Rollout stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rollout {
    /// What it does now.
    #[schema(value_type = shape::Phase)]
    pub phase: model::Phase,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// When it started.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// From when its deadline counts: its start, or a person's `resume` after the deadline had passed.
    #[schema(value_type = String, format = DateTime)]
    pub deadline_from: Timestamp,
    /// What ran before and takes the traffic back on failure; absent for a bootstrap.
    pub stable: Option<Revision>,
    /// Measurements that made no sense and were left out.
    pub refused_ticks: u64,
    /// What the judge last said: verdict, reason and the numbers that it rests on.
    #[schema(value_type = Option<shape::verdict::Assessment>)]
    pub assessment: Option<towpath_model::environment::Assessment>,
    /// The verdict and its reason in words.
    #[serde(default)]
    pub verdict: String,
    /// Set while a person has to decide.
    pub held: Option<Hold>,
    /// What failed, where `on_failure: hold` leaves it to a person.
    pub failed: Option<String>,
    /// The check that failed, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_check: Option<usize>,
    /// Whether the checks before the candidate's first weight have passed.
    #[serde(default)]
    pub checked: bool,
    /// Restarts of the candidate's Instances that ran already when it started, by Instance.
    pub restarts: BTreeMap<String, u32>,
    /// What each finished or running step came to.
    pub steps: Vec<Step>,
    /// Of a rolling replacement: how many Instances the candidate has after each batch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub batches: Vec<u32>,
    /// The way back, once it was taken.
    pub back: Option<Return>,
}

/// Somebody, or Towpath, wants nothing to move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Hold {
    /// Who.
    #[schema(value_type = shape::Actor)]
    pub by: towpath_model::timeline::Actor,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// The Promotion for whose sake it is: where that comes to nothing, it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion: Option<String>,
}

impl From<&model::Hold> for Hold {
    fn from(hold: &model::Hold) -> Self {
        let model::Hold { by, at, reason, promotion } = hold;
        let promotion = promotion.map(|promotion| promotion.to_string());
        Self { by: by.clone(), at: *at, reason: reason.clone(), promotion }
    }
}

/// What one step of a canary came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// The candidate's share, in thousandths.
    #[schema(value_type = u16)]
    pub weight: towpath_model::Weight,
    /// When the share was ordered.
    #[schema(value_type = String, format = DateTime)]
    pub ordered_at: Timestamp,
    /// When every gateway had it in force.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub in_force_at: Option<Timestamp>,
    /// When the next step began.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// The verdict that ended it, in words.
    pub verdict: String,
    /// Whether a person let it go on after a `pause`.
    pub resumed: bool,
    /// Whether it waited, or waits, for a person because it is a `pause`.
    pub paused: bool,
    /// The generation of the split from which on its share was ordered.
    pub generation: u64,
}

impl From<&model::StepRecord> for Step {
    fn from(step: &model::StepRecord) -> Self {
        let model::StepRecord {
            weight,
            ordered_at,
            in_force_at,
            ended_at,
            verdict,
            resumed,
            paused,
            generation,
        } = step;
        Self {
            weight: *weight,
            ordered_at: *ordered_at,
            in_force_at: *in_force_at,
            ended_at: *ended_at,
            verdict: verdict.clone(),
            resumed: *resumed,
            paused: *paused,
            generation: *generation,
        }
    }
}

/// The way back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Return {
    /// Why.
    pub reason: String,
    /// When it was decided.
    #[schema(value_type = String, format = DateTime)]
    pub decided_at: Timestamp,
    /// Whether what ran before had to be started first.
    pub cold: bool,
    /// Whether a gateway may have been told to send requests to the candidate.
    pub exposed: bool,
    /// When every gateway had stopped sending requests to the candidate.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub safe_at: Option<Timestamp>,
}

impl From<&model::Return> for Return {
    fn from(back: &model::Return) -> Self {
        let model::Return { reason, decided_at, cold, exposed, safe_at } = back;
        Self {
            reason: reason.clone(),
            decided_at: *decided_at,
            cold: *cold,
            exposed: *exposed,
            safe_at: *safe_at,
        }
    }
}

impl From<&model::Rollout> for Rollout {
    fn from(rollout: &model::Rollout) -> Self {
        let model::Rollout {
            phase,
            since,
            started_at,
            deadline_from,
            stable,
            // The judge's bookkeeping is nobody's business; what it concludes is below.
            judge: _,
            refused_ticks,
            assessment,
            held,
            failed,
            failed_check,
            checked,
            restarts,
            steps,
            batches,
            back,
        } = rollout;
        let words = |assessment: &model::Assessment| format!("{}: {}", assessment.verdict, assessment.reason);
        Self {
            phase: phase.clone(),
            since: *since,
            started_at: *started_at,
            deadline_from: *deadline_from,
            stable: stable.as_ref().map(Revision::from),
            refused_ticks: *refused_ticks,
            verdict: assessment.as_ref().map(words).unwrap_or_default(),
            assessment: assessment.clone(),
            held: held.as_ref().map(Hold::from),
            failed: failed.clone(),
            failed_check: *failed_check,
            checked: *checked,
            restarts: restarts.iter().map(|(instance, count)| (instance.to_string(), *count)).collect(),
            steps: steps.iter().map(Step::from).collect(),
            batches: batches.clone(),
            back: back.as_ref().map(Return::from),
        }
    }
}
