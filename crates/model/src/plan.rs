//! What a Run would do, before it does it, and why.
//!
//! The plan is a pure function of the pipeline, the occasion and the environment documents, so it
//! can be compared with the plan of another commit. [`lint`](crate::plan_lint) checks it again, by other means.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::intake::{self, Promote};
use crate::matrix::Cell;
use crate::origin::Origin;
use crate::owed::{self, Change};
use crate::pattern::fits;
use crate::pipeline::{
    CanaryStep, Condition, Gate, Job, OnFailure, Pipeline, RunWhen, Stage, Strategy, Verification,
};
use crate::policy::EnvironmentDocument;
use crate::run::Trust;
use crate::{ArtifactName, EnvironmentName, JobName, ProjectName, StageName, Weight, WorkloadName};

/// What happened that may start a Run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occasion {
    /// `push`, `tag`, `manual`, `pull_request`, `schedule` or `release`.
    pub event: String,
    /// The full ref.
    pub reference: String,
    /// Paths that changed, where that is known.
    pub changed: Option<Vec<String>>,
    /// What the ref is trusted with.
    pub trust: Trust,
    /// What stands behind it, where that is not a push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// What can be said of a condition before the Run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreseen {
    /// It will hold.
    Holds,
    /// It will not.
    Fails,
    /// It depends on what the Run finds.
    Unknown(String),
}

/// Looks at conditions before the Run. `config` implements it.
pub trait Foresight {
    /// Whether the condition of a Job will hold. `fates` has the Jobs that were planned before it.
    fn foresee(
        &self,
        condition: &Condition,
        job: &Job,
        occasion: &Occasion,
        fates: &BTreeMap<JobName, Fate>,
    ) -> Foreseen;
}

/// What will become of a Job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It runs, unless one before it fails.
    Runs,
    /// It is skipped.
    Skipped,
    /// It reports success without running: nothing that it reads has changed.
    Unchanged,
    /// The Run decides.
    Undecided,
}

/// The plan of a Run.
#[must_use = "an unread report helps nobody"]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanReport {
    /// The Project.
    pub project: ProjectName,
    /// What it is planned for.
    pub occasion: Occasion,
    /// Whether that starts a Run.
    pub starts: bool,
    /// Why it does, or does not.
    pub reason: String,
    /// The Jobs in an order in which they could run one by one.
    pub jobs: Vec<PlannedJob>,
    /// The Release.
    pub seal: PlannedSeal,
    /// The Stages in an order of the route.
    pub stages: Vec<PlannedStage>,
    /// What a person should know before.
    pub warnings: Vec<String>,
}

/// A Job of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedJob {
    /// Its name.
    pub name: JobName,
    /// 1 for the Jobs that start at once, 2 for those that wait for these, and so on.
    pub batch: usize,
    /// What will become of it.
    pub fate: Fate,
    /// Why.
    pub reason: String,
    /// Jobs before it.
    pub needs: Vec<JobName>,
    /// The names of its Steps.
    pub steps: Vec<String>,
    /// The Artifacts that it makes.
    pub artifacts: Vec<ArtifactName>,
    /// Its place in a matrix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell: Option<Cell>,
}

/// What would be sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedSeal {
    /// Whether a Release is sealed, if every Job passes.
    pub seals: bool,
    /// Why, or why not.
    pub reason: String,
    /// What it holds.
    pub artifacts: Vec<ArtifactName>,
    /// What is started from it.
    pub workloads: Vec<WorkloadName>,
}

/// A Stage of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStage {
    /// Its name.
    pub name: StageName,
    /// Its place on the route, from 1.
    pub batch: usize,
    /// Stages before it.
    pub needs: Vec<StageName>,
    /// What starts it.
    pub starts: String,
    /// One for each Environment.
    pub promotions: Vec<PlannedPromotion>,
    /// Checks after the deployment.
    pub verify: Vec<String>,
    /// The checks through the preview address before the candidate gets any user's request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
    /// What happens on failure.
    pub on_failure: OnFailure,
    /// The time of Rollout and checks.
    pub deadline: SignedDuration,
}

/// A Promotion of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedPromotion {
    /// Where.
    pub environment: EnvironmentName,
    /// Whether the Release may come here at all.
    pub admitted: bool,
    /// Why, or why not.
    pub reason: String,
    /// How it comes in, where that is not the usual way, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intake: Vec<String>,
    /// What it waits for before it starts.
    pub gates: Vec<PlannedGate>,
    /// How traffic moves.
    pub rollout: PlannedRollout,
}

/// A Gate of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedGate {
    /// Who demands it.
    pub origin: GateOrigin,
    /// `approval`, `window`, `freeze`, `soak` or `evidence`.
    pub kind: String,
    /// What it waits for, with its kind.
    pub waits_for: String,
}

/// Who demands a Gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateOrigin {
    /// The Environment's policy, which no commit can loosen.
    Environment,
    /// The commit.
    Stage,
}

/// How traffic moves to the new Revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedRollout {
    /// `recreate`, `canary`, `rolling` or `blue-green`.
    pub strategy: String,
    /// The steps at which the candidate is judged; those of a rolling replacement depend on the number of Instances.
    pub steps: Vec<PlannedStep>,
    /// Who gets which requests beside the weights, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routing: Vec<String>,
    /// The least time until the new Revision has everything and was judged, if nobody pauses it.
    pub until_full: SignedDuration,
    /// What users would see of a bad Revision that is noticed only at the very end, as time of the full traffic.
    pub exposure: SignedDuration,
}

/// A step of a Rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// The candidate's share.
    pub weight: Weight,
    /// When it begins, from the start of the Rollout.
    pub at: SignedDuration,
    /// Its least time.
    pub duration: SignedDuration,
    /// Its most time.
    pub max: SignedDuration,
    /// Whether a person must go on.
    pub pause: bool,
}

/// Plans a Run.
pub fn plan(
    pipeline: &Pipeline,
    occasion: &Occasion,
    documents: &[EnvironmentDocument],
    foresight: &dyn Foresight,
) -> PlanReport {
    let (starts, reason) = starts(pipeline, occasion);
    let jobs = plan_jobs(pipeline, occasion, foresight);
    let seal = plan_seal(pipeline, occasion, &jobs);
    let documents: Vec<&EnvironmentDocument> =
        documents.iter().filter(|document| document.project == pipeline.name).collect();
    let stages = plan_stages(pipeline, occasion, &seal, &documents);
    let warnings = warnings(pipeline, &jobs, &documents);
    PlanReport {
        project: pipeline.name.clone(),
        occasion: occasion.clone(),
        starts,
        reason,
        jobs,
        seal,
        stages,
        warnings,
    }
}

/// Whether an occasion starts a Run, and why.
#[must_use]
pub fn starts(pipeline: &Pipeline, occasion: &Occasion) -> (bool, String) {
    let triggers = &pipeline.triggers;
    let named =
        |prefix: &str| occasion.reference.strip_prefix(prefix).unwrap_or(&occasion.reference).to_owned();
    match occasion.event.as_str() {
        "pull_request" => by_pull_request(pipeline, occasion),
        "schedule" => match (&occasion.origin, triggers.schedules.first()) {
            (Some(origin), _) => (true, origin.words()),
            (None, Some(schedule)) => (true, format!("its schedule {} starts it", schedule.cron)),
            (None, None) => (false, "`on` names no schedule".to_owned()),
        },
        "release" => match (&occasion.origin, triggers.releases.first()) {
            (Some(origin), _) => (true, origin.words()),
            (None, Some(release)) => (true, format!("a Release of {} starts it", release.project)),
            (None, None) => (false, "`on` names no releases of other projects".to_owned()),
        },
        "manual" if triggers.manual => (true, "a person starts it".to_owned()),
        "manual" => (false, "`on` says `manual: false`".to_owned()),
        "tag" => match &triggers.tag {
            None => (false, "`on` names no tags".to_owned()),
            Some(tag) => by_pattern("tag", &named("refs/tags/"), &tag.patterns),
        },
        _ => match &triggers.push {
            None => (false, "`on` names no pushes".to_owned()),
            Some(push) => {
                let (branch, reason) = by_pattern("branch", &named("refs/heads/"), &push.branches);
                match (&occasion.changed, branch) {
                    (Some(changed), true) if !push.paths.is_empty() => {
                        by_paths(changed, &push.paths, &reason)
                    }
                    _ => (branch, reason),
                }
            }
        },
    }
}

/// Whether a pull request starts a Run: what happened to it, the branch that it wants to change, what it changes.
fn by_pull_request(pipeline: &Pipeline, occasion: &Occasion) -> (bool, String) {
    let Some(trigger) = &pipeline.triggers.pull_request else {
        return (false, "`on` names no pull requests".to_owned());
    };
    let Some(Origin::PullRequest(request)) = &occasion.origin else {
        return (true, "pull requests start a Run".to_owned());
    };
    if !trigger.types.contains(&request.action) {
        let types = trigger.types.join("`, `");
        return (
            false,
            format!("pull request {} was {}; only `{types}` start a Run", request.number, request.action),
        );
    }
    let (fits, reason) = by_pattern("branch", &request.base, &trigger.branches);
    let reason =
        if fits { format!("pull request {} was {}", request.number, request.action) } else { reason };
    match (&occasion.changed, fits) {
        (Some(changed), true) if !trigger.paths.is_empty() => by_paths(changed, &trigger.paths, &reason),
        _ => (fits, reason),
    }
}

fn by_pattern(what: &str, name: &str, patterns: &[String]) -> (bool, String) {
    if patterns.is_empty() {
        return (true, format!("every {what} starts a Run"));
    }
    match patterns.iter().find(|pattern| fits(pattern, name)) {
        Some(pattern) => (true, format!("{what} `{name}` fits `{pattern}`")),
        None => (false, format!("{what} `{name}` fits none of `{}`", patterns.join("`, `"))),
    }
}

fn by_paths(changed: &[String], patterns: &[String], branch: &str) -> (bool, String) {
    let hit = changed.iter().find(|path| patterns.iter().any(|pattern| fits(pattern, path)));
    match hit {
        Some(path) => (true, format!("{branch}, and `{path}` changed")),
        None => (false, format!("{branch}, but no changed file fits `{}`", patterns.join("`, `"))),
    }
}

/// The longest chain before each name, plus one, and the names in that order. Names in a cycle are left out.
fn batches<'p>(nodes: &[(&'p str, Vec<&'p str>)]) -> Vec<(&'p str, usize)> {
    let mut done: BTreeMap<&str, usize> = BTreeMap::new();
    let mut order = Vec::with_capacity(nodes.len());
    for batch in 1..=nodes.len() {
        let ready: Vec<&str> = nodes
            .iter()
            .filter(|(name, needs)| {
                !done.contains_key(name) && needs.iter().all(|need| done.contains_key(need))
            })
            .map(|(name, _)| *name)
            .collect();
        for name in ready {
            done.insert(name, batch);
            order.push((name, batch));
        }
    }
    order
}

fn plan_jobs(pipeline: &Pipeline, occasion: &Occasion, foresight: &dyn Foresight) -> Vec<PlannedJob> {
    let nodes: Vec<(&str, Vec<&str>)> = pipeline
        .jobs
        .iter()
        .map(|job| (job.name.as_str(), job.needs.iter().map(JobName::as_str).collect()))
        .collect();
    let mut fates = BTreeMap::new();
    let mut jobs = Vec::new();
    for (name, batch) in batches(&nodes) {
        let Some(job) = pipeline.jobs.iter().find(|job| job.name.as_str() == name) else { continue };
        let is_skipped = |name: &JobName| fates.get(name) == Some(&Fate::Skipped);
        let needs: Vec<JobName> = pipeline.needs_that_matter(job, is_skipped).cloned().collect();
        let (fate, reason) = fate(job, &needs, occasion, &fates, foresight);
        fates.insert(job.name.clone(), fate);
        jobs.push(PlannedJob {
            name: job.name.clone(),
            batch,
            fate,
            reason,
            needs: job.needs.clone(),
            steps: job.steps.iter().map(|step| step.name.clone()).collect(),
            artifacts: job.artifacts.iter().map(|artifact| artifact.name.clone()).collect(),
            cell: job.cell.clone(),
        });
    }
    jobs
}

fn fate(
    job: &Job,
    needs: &[JobName],
    occasion: &Occasion,
    fates: &BTreeMap<JobName, Fate>,
    foresight: &dyn Foresight,
) -> (Fate, String) {
    let (fate, reason) = fate_by_needs(job, needs, occasion, fates, foresight);
    if fate == Fate::Skipped || job.paths.is_empty() || occasion.event == "manual" {
        return (fate, reason);
    }
    let patterns = job.paths.join("`, `");
    match owed::change(&job.paths, occasion.changed.as_deref()) {
        Change::Path { path } => (fate, format!("{reason}; `{path}` has changed")),
        Change::Nothing => {
            (Fate::Unchanged, format!("reports success without running: no changed file fits `{patterns}`"))
        }
        Change::Unknown => (
            fate,
            format!("{reason}; not where nothing that fits `{patterns}` has changed since its last verdict"),
        ),
    }
}

/// What becomes of a Job by what comes before it and by its condition.
fn fate_by_needs(
    job: &Job,
    needs: &[JobName],
    occasion: &Occasion,
    fates: &BTreeMap<JobName, Fate>,
    foresight: &dyn Foresight,
) -> (Fate, String) {
    let after = match needs {
        [] => "at once".to_owned(),
        needs => format!("after {}", list(needs)),
    };
    let with = |wanted: Fate| {
        let matters = |need: &&JobName| wanted != Fate::Skipped || !job.optional_needs.contains(*need);
        needs.iter().filter(matters).find(|need| fates.get(*need) == Some(&wanted))
    };
    let asks = job.condition.as_ref().is_some_and(Condition::asks_for_outcomes);
    let needs_all = job.run_when == RunWhen::AllPassed && !asks;
    if let Some(need) = with(Fate::Skipped).filter(|_| needs_all) {
        return (Fate::Skipped, format!("it needs `{need}`, which is skipped"));
    }
    let after = match job.run_when {
        RunWhen::AllPassed => after,
        RunWhen::AnyFailed => format!("{after}, if a job before it failed"),
        RunWhen::Always => format!("{after}, however that ends"),
    };
    let sure = if job.run_when == RunWhen::AnyFailed { Fate::Undecided } else { Fate::Runs };
    let Some(condition) = &job.condition else {
        return match with(Fate::Undecided).filter(|_| needs_all) {
            Some(need) => (Fate::Undecided, format!("if `{need}` runs")),
            None => (sure, after),
        };
    };
    match foresight.foresee(condition, job, occasion, fates) {
        Foreseen::Holds => match with(Fate::Undecided).filter(|_| needs_all) {
            Some(need) => (Fate::Undecided, format!("if `{need}` runs; `{}` holds", condition.0)),
            None => (sure, format!("{after}; `{}` holds", condition.0)),
        },
        Foreseen::Fails => (Fate::Skipped, format!("`{}` does not hold", condition.0)),
        Foreseen::Unknown(why) => (Fate::Undecided, format!("{after}, if `{}`: {why}", condition.0)),
    }
}

/// Names for people: all of a few, else the first and how many more.
pub(crate) fn list<T: std::fmt::Display>(names: &[T]) -> String {
    const SHOWN: usize = 5;
    let kept = if names.len() > SHOWN + 1 { SHOWN } else { names.len() };
    let shown = names[..kept].iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.len() - kept {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn plan_seal(pipeline: &Pipeline, occasion: &Occasion, jobs: &[PlannedJob]) -> PlannedSeal {
    let maker = |artifact: &ArtifactName| jobs.iter().find(|job| job.artifacts.contains(artifact));
    let missing = pipeline.workloads.iter().find(|workload| {
        let lacks = |artifact| maker(artifact).is_none_or(|job: &PlannedJob| job.fate == Fate::Skipped);
        workload.needed_artifact().is_some_and(lacks)
    });
    let (seals, reason) = match (occasion.trust, missing) {
        _ if pipeline.workloads.is_empty() => (false, "there are no workloads to release".to_owned()),
        (Trust::Internal | Trust::Fork, _) => (false, "only a protected ref seals a Release".to_owned()),
        (Trust::Protected, Some(workload)) => (
            false,
            format!(
                "workload `{}` lacks its artifact `{}`, whose job is skipped",
                workload.name, workload.artifact
            ),
        ),
        (Trust::Protected, None) => (true, "when every job has passed".to_owned()),
    };
    let kept = jobs.iter().filter(|job| job.fate != Fate::Skipped);
    PlannedSeal {
        seals,
        reason,
        artifacts: kept.flat_map(|job| job.artifacts.iter().cloned()).collect(),
        workloads: pipeline.workloads.iter().map(|workload| workload.name.clone()).collect(),
    }
}

fn plan_stages(
    pipeline: &Pipeline,
    occasion: &Occasion,
    seal: &PlannedSeal,
    documents: &[&EnvironmentDocument],
) -> Vec<PlannedStage> {
    let nodes: Vec<(&str, Vec<&str>)> = pipeline
        .stages
        .iter()
        .map(|stage| (stage.name.as_str(), stage.needs.iter().map(StageName::as_str).collect()))
        .collect();
    let find = |name: &str| pipeline.stages.iter().find(|stage| stage.name.as_str() == name);
    let planned = batches(&nodes).into_iter().filter_map(|(name, batch)| Some((find(name)?, batch)));
    planned
        .map(|(stage, batch)| PlannedStage {
            name: stage.name.clone(),
            batch,
            needs: stage.needs.clone(),
            starts: stage_starts(stage),
            promotions: stage
                .environments
                .iter()
                .map(|environment| promotion(stage, environment, occasion, seal, documents))
                .collect(),
            verify: stage.verify.iter().map(check_named).collect(),
            before: stage.before.iter().map(check_named).collect(),
            on_failure: stage.on_failure,
            deadline: stage.deadline,
        })
        .collect()
}

fn stage_starts(stage: &Stage) -> String {
    match (&stage.promote, stage.needs.as_slice()) {
        (Promote::Manual, _) => "when a person promotes".to_owned(),
        (Promote::Automatic | Promote::Scheduled(_), []) => "when the Release is sealed".to_owned(),
        (Promote::Automatic | Promote::Scheduled(_), needs) => format!("when {} passed", list(needs)),
    }
}

fn check_named(verification: &Verification) -> String {
    match verification {
        Verification::Http(http) => format!("http {} gives {}", http.path, http.status),
        Verification::Run(run) => format!("run {}", run.name),
    }
}

fn promotion(
    stage: &Stage,
    environment: &EnvironmentName,
    occasion: &Occasion,
    seal: &PlannedSeal,
    documents: &[&EnvironmentDocument],
) -> PlannedPromotion {
    let document = documents.iter().find(|document| document.environment == *environment);
    let allowed = document
        .is_none_or(|document| document.allow.refs.iter().any(|pattern| fits(pattern, &occasion.reference)));
    let reason = match (seal.seals, allowed, document) {
        (false, _, _) => "no Release is sealed".to_owned(),
        (true, false, _) => format!("`{environment}` does not allow `{}`", occasion.reference),
        (true, true, Some(_)) => format!("`{environment}` allows `{}`", occasion.reference),
        (true, true, None) => format!("the document of `{environment}` is not at hand; it may demand more"),
    };
    let of_environment = document.map(|document| document.gates.as_slice()).unwrap_or_default();
    let gates = of_environment.iter().map(|gate| planned_gate(gate, GateOrigin::Environment));
    let gates = gates.chain(stage.gates.iter().map(|gate| planned_gate(gate, GateOrigin::Stage)));
    let own = document.is_some_and(|document| document.intake.promote != Promote::Automatic);
    let origin = if own { GateOrigin::Environment } else { GateOrigin::Stage };
    let document = document.copied();
    let schedule = intake::schedule(document, stage);
    let gates = gates.chain(schedule.iter().map(|gate| planned_gate(gate, origin))).collect();
    let by_hand = own && *intake::promote(document, stage) == Promote::Manual;
    let by_hand = by_hand.then(|| "a person promotes it here (`promote: manual`)".to_owned());
    let intake = document.map(|document| document.intake.words()).unwrap_or_default();
    PlannedPromotion {
        environment: environment.clone(),
        admitted: seal.seals && allowed,
        reason,
        intake: by_hand.into_iter().chain(intake).collect(),
        gates,
        rollout: rollout(&stage.strategy, document.map_or(1, |document| document.target.instances)),
    }
}

fn planned_gate(gate: &Gate, origin: GateOrigin) -> PlannedGate {
    PlannedGate { origin, kind: gate.kind().to_owned(), waits_for: gate.words() }
}

/// What a strategy comes to where there are so many Instances.
fn rollout(strategy: &Strategy, instances: u32) -> PlannedRollout {
    let mut at = SignedDuration::ZERO;
    let mut exposure = SignedDuration::ZERO;
    let mut steps = Vec::new();
    for step in strategy.steps(instances) {
        let CanaryStep { weight, duration, max, pause } = step;
        steps.push(PlannedStep { weight, at, duration, max, pause });
        at += duration;
        exposure += duration * i32::from(weight.permille()) / 1000;
    }
    let routing = match strategy {
        Strategy::Canary(canary) => canary.routing(),
        Strategy::Recreate | Strategy::Rolling(_) | Strategy::BlueGreen(_) => Vec::new(),
    };
    PlannedRollout { strategy: strategy.word().to_owned(), steps, routing, until_full: at, exposure }
}

fn warnings(pipeline: &Pipeline, jobs: &[PlannedJob], documents: &[&EnvironmentDocument]) -> Vec<String> {
    let mut warnings = Vec::new();
    let described =
        |environment: &EnvironmentName| documents.iter().any(|document| document.environment == *environment);
    for stage in &pipeline.stages {
        for environment in
            stage.environments.iter().filter(|environment| !documents.is_empty() && !described(environment))
        {
            warnings.push(format!(
                "stage `{}` deploys to `{environment}`, which no document describes",
                stage.name
            ));
        }
    }
    for stage in pipeline.stages.iter().filter(|stage| !stage.before.is_empty()) {
        let own = documents.iter().filter(|document| stage.environments.contains(&document.environment));
        for document in own.filter(|document| document.preview.is_none()) {
            warnings.push(format!(
                "stage `{}` has checks before the first request, and `{}` has no `preview` address for them",
                stage.name, document.environment
            ));
        }
    }
    for document in documents
        .iter()
        .filter(|document| !pipeline.stages.is_empty() && pipeline.stage_of(&document.environment).is_none())
    {
        warnings.push(format!("no stage deploys to `{}`", document.environment));
    }
    let used = |artifact: &ArtifactName| {
        pipeline.workloads.iter().any(|workload| workload.needed_artifact() == Some(artifact))
    };
    for artifact in jobs
        .iter()
        .flat_map(|job| &job.artifacts)
        .filter(|artifact| !pipeline.workloads.is_empty() && !used(artifact))
    {
        warnings.push(format!("no workload is started from artifact `{artifact}`"));
    }
    warnings
}
