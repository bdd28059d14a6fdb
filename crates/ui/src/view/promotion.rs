//! One Promotion with its Rollout.

use jiff::Timestamp;
use serde::Serialize;

use super::{Action, Commit, GateView, RevisionName, Shell, State};

/// A Promotion.
#[derive(Debug, Clone)]
pub struct PromotionView {
    /// The frame.
    pub shell: Shell,
    /// Its id.
    pub id: String,
    /// The Project.
    pub project: String,
    /// The Environment.
    pub environment: String,
    /// The stage.
    pub stage: String,
    /// How it is.
    pub state: State,
    /// Why, in words: the same that the CLI says.
    pub reason: Option<String>,
    /// What is promoted.
    pub revision: RevisionName,
    /// The commit it was built from.
    pub commit: Commit,
    /// What the Environment ran before; `None` for a bootstrap.
    pub previous: Option<RevisionName>,
    /// What happens once its Gates are open, one sentence each; empty once its Rollout shows it.
    pub plan: Vec<String>,
    /// Who or what asked for it.
    pub requested_by: String,
    /// When.
    pub created: Timestamp,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Every Gate.
    pub gates: Vec<GateView>,
    /// Who was told of it, and what went wrong with that, one sentence each.
    pub told: Vec<String>,
    /// What people said.
    pub approvals: Vec<ApprovalRow>,
    /// The Rollout, once it was planned.
    pub rollout: Option<RolloutView>,
    /// The verification after it.
    pub checks: Vec<CheckRow>,
    /// What was decided, newest first.
    pub decisions: Vec<DecisionRow>,
    /// What this person may do.
    pub actions: Vec<Action>,
}

/// What a person said to a Promotion.
#[derive(Debug, Clone)]
pub struct ApprovalRow {
    /// Who.
    pub by: String,
    /// Whether they agree; [`State::Open`], [`State::Rejected`], [`State::Expired`].
    pub state: State,
    /// When.
    pub at: Timestamp,
    /// What they wrote.
    pub comment: String,
}

/// A Rollout.
#[derive(Debug, Clone)]
pub struct RolloutView {
    /// `canary`, `recreate`.
    pub strategy: String,
    /// How it is.
    pub state: State,
    /// The Revision that served before; `None` for a bootstrap.
    pub stable: Option<Arm>,
    /// The Revision on its way.
    pub candidate: Arm,
    /// The candidate's share of the traffic, in thousandths, as the gateway has confirmed it.
    pub weight: u32,
    /// The steps.
    pub steps: Vec<RolloutStep>,
    /// When it gives up and rolls back.
    pub deadline: Option<Timestamp>,
    /// The judge's verdict.
    pub verdict: VerdictView,
    /// Milliseconds from the verdict (or the order) until no new request reached the candidate.
    pub time_to_safe_ms: Option<u64>,
    /// Where the page finds new measurements each second; `None` once the Rollout has ended.
    pub polls: bool,
    /// Measurements so far.
    pub series: Series,
}

/// One of the two Revisions in a Rollout.
#[derive(Debug, Clone)]
pub struct Arm {
    /// Which.
    pub revision: RevisionName,
    /// Instances that are ready.
    pub ready: u32,
    /// Instances that shall run.
    pub desired: u32,
    /// Requests since the Rollout started.
    pub requests: u64,
    /// Errors among them.
    pub errors: u64,
}

/// A step of a Rollout.
#[derive(Debug, Clone)]
pub struct RolloutStep {
    /// The candidate's share, in thousandths.
    pub weight: u32,
    /// How it is.
    pub state: State,
    /// How long it lasts at least: `5m`.
    pub lasts: String,
    /// When it can end at the earliest, while it runs.
    pub ends: Option<Timestamp>,
}

/// What the judge says.
#[derive(Debug, Clone)]
pub struct VerdictView {
    /// Healthy, unhealthy or unknown; none where nothing is judged.
    pub state: Option<State>,
    /// Why, in plain words.
    pub reason: String,
    /// Each test.
    pub tests: Vec<JudgeTest>,
}

/// One sequential test of the judge.
#[derive(Debug, Clone)]
pub struct JudgeTest {
    /// `error rate`, `traffic share`.
    pub name: String,
    /// What it says.
    pub state: State,
    /// Why, in plain words.
    pub reason: String,
    /// The evidence that the candidate is worse.
    pub e_worse: Option<f64>,
    /// The evidence that it is fine.
    pub e_fine: Option<f64>,
    /// At how much evidence the judge is sure.
    pub threshold: f64,
}

/// A check of the verification.
#[derive(Debug, Clone)]
pub struct CheckRow {
    /// What is checked.
    pub name: String,
    /// How it is.
    pub state: State,
    /// In words.
    pub detail: String,
    /// The address of its log, if it has one.
    pub log: Option<String>,
}

/// A decision.
#[derive(Debug, Clone)]
pub struct DecisionRow {
    /// When.
    pub at: Timestamp,
    /// Who: a login, `judge`, `towpath`.
    pub by: String,
    /// What kind of news it is.
    pub state: State,
    /// In words.
    pub text: String,
}

/// Measurements of both Revisions. `GET /promotions/{id}/series` answers with it as JSON.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Series {
    /// The server's clock, in milliseconds since 1970.
    pub now: i64,
    /// Whether there is more to come.
    pub live: bool,
    /// The Revision that served before; empty for a bootstrap.
    pub stable: Vec<Point>,
    /// The Revision on its way.
    pub candidate: Vec<Point>,
}

/// What one Revision did in one interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// The end of the interval, in milliseconds since 1970.
    pub t: i64,
    /// Requests per second.
    pub rate: f64,
    /// Errors among all answers, 0 to 1; absent without requests.
    pub errors: Option<f64>,
    /// Median latency in milliseconds.
    pub p50: Option<f64>,
    /// 99th percentile of latency in milliseconds.
    pub p99: Option<f64>,
}
