//! What a changed pipeline would have done for events of the past.
//!
//! Facts of the past come from the server; the plan of the changed file is made wherever that file is. The comparison
//! is pure, so both sides can be looked at again.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::pipeline::{Gate, Pipeline};
use crate::plan::{Fate, Occasion, PlanReport};
use crate::run::{JobState, Run, RunState};
use crate::{EnvironmentName, JobName};

/// The most paths that are told of one event; of a change with more, none is told.
pub const MAX_PATHS: usize = 2_000;

/// Something that happened to a Project, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastEvent {
    /// When.
    pub at: Timestamp,
    /// What happened, as the planner asks for it.
    pub occasion: Occasion,
    /// The commit, in hexadecimal digits.
    pub commit: String,
    /// Its subject line, where it is known.
    pub subject: String,
    /// What was said at the start.
    pub inputs: BTreeMap<String, String>,
    /// The Run that it started.
    pub run: Option<PastRun>,
    /// For people: why its Run ended as it did, or why there was none.
    pub reason: String,
}

/// A Run of the past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastRun {
    /// Its number within the Project.
    pub number: u64,
    /// Where it is in its life.
    pub state: RunState,
    /// Its Jobs, in the order of its file.
    pub jobs: Vec<PastJob>,
    /// The version that it sealed.
    pub release: Option<String>,
    /// The Gates that its file added, in words, by Environment of its route.
    pub gates: Gates,
}

/// A Job of the past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastJob {
    /// Its name.
    pub name: JobName,
    /// Where it is in its life.
    pub state: JobState,
    /// Why.
    pub reason: String,
}

/// The Gates that a pipeline file adds, in words, by Environment of its route.
pub type Gates = BTreeMap<EnvironmentName, BTreeSet<String>>;

impl PastRun {
    /// What is told of a Run.
    #[must_use]
    pub fn of(run: &Run) -> Self {
        let job = |job: &crate::run::JobRun| PastJob {
            name: job.name.clone(),
            state: job.state,
            reason: job.reason.clone(),
        };
        Self {
            number: run.number,
            state: run.state,
            jobs: run.jobs.iter().map(job).collect(),
            release: run.release.as_ref().map(|release| release.version.clone()),
            gates: run.pipeline.as_ref().map(gates).unwrap_or_default(),
        }
    }
}

/// The Gates of a pipeline file. What an Environment's policy demands is not among them: no commit changes it.
#[must_use]
pub fn gates(pipeline: &Pipeline) -> Gates {
    let mut all = Gates::new();
    for stage in &pipeline.stages {
        for environment in &stage.environments {
            all.entry(environment.clone()).or_default().extend(stage.gates.iter().map(Gate::words));
        }
    }
    all
}

/// What a changed pipeline would have done for one event.
#[must_use = "an unread comparison helps nobody"]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retold {
    /// What happened, and what came of it.
    pub event: PastEvent,
    /// Whether it would have started a Run.
    pub starts: bool,
    /// Why, or why not.
    pub reason: String,
    /// The Jobs of either file; those of the changed one first, in its order.
    pub jobs: Vec<RetoldJob>,
    /// Whether a Release would have been sealed, if every Job had passed, and why.
    pub seals: bool,
    /// Why, or why not.
    pub seal_reason: String,
    /// What differs in the Gates of the file, by Environment. Empty where no Run is compared with no Run.
    pub gates: Vec<RetoldGates>,
}

/// A Job then and now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetoldJob {
    /// Its name.
    pub name: JobName,
    /// What the change means for it.
    pub change: Change,
    /// What became of it then; `None` if it was not there.
    pub then: Option<PastJob>,
    /// What would become of it; `None` if it is gone.
    pub now: Option<Fate>,
    /// For people: why.
    pub reason: String,
}

/// What the change of a file means for a Job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It ran and would run, or did not and would not.
    Same,
    /// It was not there.
    New,
    /// It is no longer there, or no Run would have started.
    Gone,
    /// It was skipped and would run.
    Runs,
    /// It ran and would be skipped.
    Skipped,
    /// It cannot be told before the Run.
    Undecided,
    /// It never got its turn then, so there is nothing to compare with.
    Unsettled,
}

impl Change {
    /// The word for people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::New => "new",
            Self::Gone => "gone",
            Self::Runs => "now runs",
            Self::Skipped => "now skipped",
            Self::Undecided => "perhaps",
            Self::Unsettled => "no verdict",
        }
    }
}

/// What differs in the Gates before an Environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetoldGates {
    /// The Environment.
    pub environment: EnvironmentName,
    /// `Same` where it is on both routes, `New` or `Gone` where it is on one.
    pub route: Change,
    /// Gates that only the changed file has.
    pub added: Vec<String>,
    /// Gates that only the old one had.
    pub removed: Vec<String>,
}

impl Retold {
    /// Whether anything would have been otherwise.
    #[must_use]
    pub fn differs(&self) -> bool {
        self.starts != self.event.run.is_some()
            || !self.gates.is_empty()
            || self.jobs.iter().any(|job| !matches!(job.change, Change::Same | Change::Unsettled))
    }
}

/// Compares what happened with the plan that a changed pipeline makes of the same event.
pub fn retell(event: PastEvent, pipeline: &Pipeline, plan: &PlanReport) -> Retold {
    let then = event.run.as_ref();
    let planned = if plan.starts { plan.jobs.as_slice() } else { &[] };
    let old = |name: &JobName| then.and_then(|run| run.jobs.iter().find(|job| job.name == *name));
    let mut jobs: Vec<RetoldJob> = planned
        .iter()
        .map(|job| RetoldJob {
            name: job.name.clone(),
            change: change(old(&job.name), job.fate),
            then: old(&job.name).cloned(),
            now: Some(job.fate),
            reason: job.reason.clone(),
        })
        .collect();
    let is_gone = |job: &&PastJob| !planned.iter().any(|planned| planned.name == job.name);
    let gone = then.iter().flat_map(|run| &run.jobs).filter(is_gone);
    let why = if plan.starts { "the file has it no more" } else { "no Run would have started" };
    jobs.extend(gone.map(|job| RetoldJob {
        name: job.name.clone(),
        change: Change::Gone,
        then: Some(job.clone()),
        now: None,
        reason: why.to_owned(),
    }));
    let gates = match then {
        Some(run) if plan.starts && run.state != RunState::Invalid => compare(&run.gates, &gates(pipeline)),
        Some(_) | None => Vec::new(),
    };
    Retold {
        starts: plan.starts,
        reason: plan.reason.clone(),
        jobs,
        seals: plan.starts && plan.seal.seals,
        seal_reason: if plan.starts {
            plan.seal.reason.clone()
        } else {
            "no Run would have started".to_owned()
        },
        gates,
        event,
    }
}

fn change(then: Option<&PastJob>, now: Fate) -> Change {
    match (then.map(|job| job.state), now) {
        (None, _) => Change::New,
        (Some(_), Fate::Undecided) => Change::Undecided,
        (Some(JobState::Skipped), Fate::Runs) => Change::Runs,
        (Some(JobState::Passed | JobState::Failed | JobState::Active), Fate::Skipped | Fate::Unchanged) => {
            Change::Skipped
        }
        (Some(JobState::Skipped), Fate::Skipped | Fate::Unchanged)
        | (Some(JobState::Passed | JobState::Failed | JobState::Active), Fate::Runs) => Change::Same,
        (Some(JobState::Cancelled | JobState::Blocked | JobState::Waiting), _) => Change::Unsettled,
    }
}

fn compare(then: &Gates, now: &Gates) -> Vec<RetoldGates> {
    let names: BTreeSet<&EnvironmentName> = then.keys().chain(now.keys()).collect();
    let none = BTreeSet::new();
    let differs = names.into_iter().map(|name| {
        let (old, new) = (then.get(name).unwrap_or(&none), now.get(name).unwrap_or(&none));
        let route = match (then.contains_key(name), now.contains_key(name)) {
            (true, false) => Change::Gone,
            (false, true) => Change::New,
            _ => Change::Same,
        };
        RetoldGates {
            environment: name.clone(),
            route,
            added: new.difference(old).cloned().collect(),
            removed: old.difference(new).cloned().collect(),
        }
    });
    differs
        .filter(|gates| gates.route != Change::Same || !gates.added.is_empty() || !gates.removed.is_empty())
        .collect()
}
