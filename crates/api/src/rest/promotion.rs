//! Promotions, and what they are held to.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use towpath_model::environment as model;
use utoipa::ToSchema;

use super::rollout::Rollout;
use super::shape;

/// One Revision on its way into an Environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Promotion {
    /// Its id.
    pub id: String,
    /// For people: `1.2.0 to shop/production`.
    pub title: String,
    /// Where it is in its life, in a word or two: `waiting`, `canary`, `rolled back`.
    pub state: String,
    /// Where to.
    pub environment: EnvironmentRef,
    /// What.
    pub revision: Revision,
    /// Why it exists.
    pub kind: PromotionKind,
    /// What it is held to, as in the pipeline file and the Environment's document.
    #[schema(value_type = shape::PromotionPlan)]
    pub plan: model::PromotionPlan,
    /// The version of the Environment's document that it is pinned to.
    pub policy: u64,
    /// What an approval given now is bound to. It changes with Revision, plan and document.
    pub binding: String,
    /// Logins whose approval would be their own.
    pub makers: Vec<String>,
    /// Who asked for it.
    #[schema(value_type = shape::Actor)]
    pub requested_by: towpath_model::timeline::Actor,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub requested_at: Timestamp,
    /// Since when approvals are asked for: the request, or the change of the document that voided them.
    #[schema(value_type = String, format = DateTime)]
    pub asked_at: Timestamp,
    /// What people said, oldest first.
    pub votes: Vec<Vote>,
    /// How each Gate stands.
    pub gates: Vec<Gate>,
    /// Indexes of soak Gates that were once fulfilled.
    #[serde(default)]
    pub soaked: Vec<usize>,
    /// What outside systems said of its Gates.
    #[serde(default)]
    pub answers: Vec<GateAnswer>,
    /// Who lifted which of its holds.
    #[serde(default)]
    pub lifted: Vec<Lifted>,
    /// What it changes, where a Gate asks.
    #[serde(default)]
    pub change: Option<Change>,
    /// When the Rollout started.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// The Rollout, once it started.
    pub rollout: Option<Rollout>,
    /// How it ended; absent while it has not.
    #[schema(value_type = Option<shape::Outcome>)]
    pub outcome: Option<model::Outcome>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
}

/// An Environment of a Project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnvironmentRef {
    /// The Project.
    pub project: String,
    /// The Environment.
    pub environment: String,
}

impl From<&towpath_model::EnvironmentKey> for EnvironmentRef {
    fn from(key: &towpath_model::EnvironmentKey) -> Self {
        let towpath_model::EnvironmentKey { project, environment } = key;
        Self { project: project.to_string(), environment: environment.to_string() }
    }
}

/// Why a Promotion exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum PromotionKind {
    /// A Release came along the route.
    Release,
    /// The Environment's configuration changed.
    Configuration,
    /// Somebody wants an earlier Revision back. Exempt from every Gate.
    Rollback,
}

/// What an Environment runs: a Release with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Revision {
    /// Digest over Release and configuration.
    pub digest: String,
    /// The Release manifest.
    pub release: String,
    /// The DSSE envelope over it.
    pub signature: String,
    /// The configuration.
    pub config: String,
    /// The Release's version.
    pub version: String,
    /// The commit it was made from.
    pub commit: String,
    /// The sealed source tree.
    pub source: String,
    /// Where in it the Project lives; empty for the root.
    pub directory: String,
    /// What runs, as in the pipeline file. The first one takes the listener's traffic.
    #[schema(value_type = Vec<Object>)]
    pub workloads: Vec<towpath_model::pipeline::Workload>,
    /// The databases that it migrates, each migration with its phase and digest.
    #[schema(value_type = Vec<Object>)]
    pub databases: Vec<towpath_model::migration::Database>,
}

impl From<&model::Revision> for Revision {
    fn from(revision: &model::Revision) -> Self {
        let model::Revision {
            digest,
            release,
            signature,
            config,
            version,
            commit,
            source,
            directory,
            workloads,
            databases,
        } = revision;
        Self {
            digest: digest.to_string(),
            release: release.to_string(),
            signature: signature.to_string(),
            config: config.to_string(),
            version: version.clone(),
            commit: commit.clone(),
            source: source.to_string(),
            directory: directory.clone(),
            workloads: workloads.clone(),
            databases: databases.clone(),
        }
    }
}

/// What one person said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Vote {
    /// Who, by id.
    pub user: String,
    /// Their login.
    pub login: String,
    /// Their roles in the Project at that time.
    pub roles: Vec<String>,
    /// Yes or no.
    pub approve: bool,
    /// Their words.
    pub comment: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The binding that they said it of.
    pub binding: String,
}

impl From<&model::Vote> for Vote {
    fn from(vote: &model::Vote) -> Self {
        let model::Vote { user, login, roles, approve, comment, at, binding } = vote;
        Self {
            user: user.to_string(),
            login: login.clone(),
            roles: roles.clone(),
            approve: *approve,
            comment: comment.clone(),
            at: *at,
            binding: binding.to_string(),
        }
    }
}

/// How one Gate stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gate {
    /// `approval`, `window`, `freeze`, `soak`, `evidence`, `webhook`, `metric`, `expression`, `hold`, `delay`, `upstream` or `schedule`.
    pub kind: String,
    /// `open`, `waiting` or `expired`.
    #[schema(value_type = String)]
    pub state: model::GateState,
    /// For people: what it waits for, or why it is open.
    pub reason: String,
    /// When it opens or ends by itself, where that is known.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next: Option<Timestamp>,
}

impl From<&model::GateStatus> for Gate {
    fn from(gate: &model::GateStatus) -> Self {
        let model::GateStatus { kind, state, reason, next } = gate;
        Self { kind: kind.clone(), state: *state, reason: reason.clone(), next: *next }
    }
}

/// What an outside system said of a Gate the last time that it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GateAnswer {
    /// The Gate's place in the plan, from 0.
    pub gate: usize,
    /// Whether it lets the Promotion through.
    pub opens: bool,
    /// What it said.
    pub words: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// When it is asked again, unless it opened for good.
    #[schema(value_type = String, format = DateTime)]
    pub again_at: Timestamp,
}

impl GateAnswer {
    fn of(gate: usize, probe: &model::Probe) -> Option<Self> {
        let model::Answer { opens, words, at, again_at } = probe.answer.clone()?;
        Some(Self { gate, opens, words, at, again_at })
    }
}

/// Somebody lifted a hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lifted {
    /// The Gate's place in the plan, from 0.
    pub gate: usize,
    /// Who.
    pub login: String,
    /// Their words.
    pub comment: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

impl Lifted {
    fn of(gate: usize, lift: &model::Lift) -> Self {
        let model::Lift { login, comment, at } = lift.clone();
        Self { gate, login, comment, at }
    }
}

/// What differs from what runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// The commit that it was compared with.
    pub from: String,
    /// How many files.
    pub files: u64,
    /// How many lines were added and removed.
    pub lines: u64,
    /// The paths; of very many the first.
    pub paths: Vec<String>,
    /// Why it is not known, if so.
    pub problem: Option<String>,
}

impl From<&model::ChangeRead> for Change {
    fn from(read: &model::ChangeRead) -> Self {
        let model::ChangeRead { from, changed } = read.clone();
        let (changed, problem) = match changed {
            Ok(changed) => (changed, None),
            Err(problem) => (towpath_model::gate::Changed::default(), Some(problem)),
        };
        let towpath_model::gate::Changed { paths, files, lines } = changed;
        Self { from, files, lines, paths, problem }
    }
}

impl From<&model::Promotion> for Promotion {
    fn from(promotion: &model::Promotion) -> Self {
        let (title, state) = (promotion.title(), promotion.state_word().to_owned());
        let binding = promotion.binding().to_string();
        let model::Promotion {
            id,
            environment,
            revision,
            kind,
            plan,
            policy,
            makers,
            requested_by,
            requested_at,
            asked_at,
            votes,
            gates,
            soaked,
            probes,
            lifted,
            change,
            comparing: _,
            called: _,
            started_at,
            rollout,
            outcome,
            finished_at,
        } = promotion;
        Self {
            id: id.to_string(),
            title,
            state,
            environment: environment.into(),
            revision: revision.into(),
            kind: match kind {
                model::PromotionKind::Release => PromotionKind::Release,
                model::PromotionKind::Configuration => PromotionKind::Configuration,
                model::PromotionKind::Rollback => PromotionKind::Rollback,
            },
            plan: plan.clone(),
            policy: *policy,
            binding,
            makers: makers.iter().cloned().collect(),
            requested_by: requested_by.clone(),
            requested_at: *requested_at,
            asked_at: *asked_at,
            votes: votes.iter().map(Vote::from).collect(),
            gates: gates.iter().map(Gate::from).collect(),
            soaked: soaked.iter().copied().collect(),
            answers: probes.iter().filter_map(|(gate, probe)| GateAnswer::of(*gate, probe)).collect(),
            lifted: lifted.iter().map(|(gate, lift)| Lifted::of(*gate, lift)).collect(),
            change: change.as_ref().map(Change::from),
            started_at: *started_at,
            rollout: rollout.as_ref().map(Rollout::from),
            outcome: outcome.clone(),
            finished_at: *finished_at,
        }
    }
}
