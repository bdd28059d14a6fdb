//! What an agent is told of an Attempt. Secret values are added when it is given away, never stored.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use towpath_api::agent::{Assignment, ExecutorKind, Lease, StepOrder};
use towpath_api::containers::Containers;
use towpath_api::reuse::{ResumeOrder, ReuseOrder};
use towpath_model::attempt::Resume;
use towpath_model::environment::{Environment, Promotion};
use towpath_model::pipeline::{Executor, Job, Network, SecretName, Verification};
use towpath_model::reports::ReportDeclaration;
use towpath_model::reuse::KeepWorkspace;
use towpath_model::run::{Run, Scope, Trust};
use towpath_model::{AttemptId, JobLimits, JobName};
use towpath_store::core::attempts::{Owner, Place, QueuedAttempt};

use crate::told::{Told, artifacts, inputs, millis};
use crate::{Engine, EngineError, containers};

/// The body of a queued Attempt.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AttemptBody {
    /// Without secrets.
    pub(crate) assignment: Assignment,
    /// Secrets to add.
    pub(crate) secrets: Vec<SecretName>,
    /// Secrets that registries of images ask for; they reach no Step.
    #[serde(default)]
    pub(crate) passwords: Vec<SecretName>,
    /// The Environment whose secrets they are; empty for those of the Project's Jobs.
    pub(crate) environment: String,
    /// The Job in the file and the Run of a cell that does a part of its work.
    #[serde(default)]
    pub(crate) split: Option<(JobName, u64)>,
}

/// The Attempt of a Job.
pub(crate) fn for_job(
    engine: &Engine,
    run: &Run,
    name: &JobName,
    id: AttemptId,
) -> Result<QueuedAttempt, EngineError> {
    let job = run.pipeline.as_ref().and_then(|pipeline| pipeline.job(name));
    let job = job.ok_or_else(|| EngineError::not_found(format!("job {name} of {}", run.title())))?;
    let source =
        run.source.ok_or_else(|| EngineError::not_found(format!("the source of {}", run.title())))?;
    let scope = Scope { run, job };
    let told = Told { evaluator: &engine.0.evaluator, scope: &scope };
    let env = told.env(engine.public_url()).map_err(EngineError::invalid)?;
    let mut steps = told.steps().map_err(EngineError::invalid)?;
    let caches = told.caches().map_err(EngineError::invalid)?;
    let mut reuse = ReuseOrder { caches, workspace: job.workspace, resume: None };
    if let Some(resume) = run.attempt(id).and_then(|(_, attempt)| attempt.resume.as_ref()) {
        resumed(resume, &mut reuse, &mut steps);
    }
    let assignment = Assignment {
        lease: Lease { attempt: id, fence: 0 },
        title: format!("{} {name}", run.title()),
        project: run.project.clone(),
        job: Some(name.clone()),
        source,
        directory: run.directory.clone(),
        steps,
        env,
        secrets: BTreeMap::new(),
        inputs: inputs(run, job),
        artifacts: artifacts(job),
        reports: job.reports.clone(),
        quarantine: Vec::new(),
        test_times: None,
        executor: executor(engine, run, job)?,
        network: job.network == Network::Full,
        limits: job.limits,
        timeout_ms: millis(job.timeout),
        containers: containers::of_job(job, &told)?,
        reuse,
    };
    // Only what a protected ref says gets secrets.
    let secrets = if run.trust == Trust::Protected { job.secrets.clone() } else { Vec::new() };
    let passwords = containers::passwords(&assignment.containers, run.trust);
    let divided = job.cell.as_ref().filter(|cell| cell.share.is_some());
    let split = divided.map(|cell| (cell.of.clone(), run.number));
    let body = AttemptBody { assignment, secrets, passwords, environment: String::new(), split };
    let place = Place {
        title: body.assignment.title.clone(),
        job: name.to_string(),
        run: run.number,
        reference: run.cause.reference.clone(),
        priority: job.priority,
        group: job.concurrency.clone().map(|group| (group, job.concurrency_limit)),
        queued_at: Timestamp::UNIX_EPOCH,
        leased_at: None,
        estimate: None,
    };
    queued(id, Owner::Run(run.id), containers::required(job), place, &body)
}

/// The environment of a Job's Steps, without secrets and without what a Step sets for itself.
pub(crate) fn env_of(
    engine: &Engine,
    run: &Run,
    name: &JobName,
) -> Result<BTreeMap<String, String>, EngineError> {
    let job = run.pipeline.as_ref().and_then(|pipeline| pipeline.job(name));
    let job = job.ok_or_else(|| EngineError::not_found(format!("job {name} of {}", run.title())))?;
    let scope = Scope { run, job };
    let told = Told { evaluator: &engine.0.evaluator, scope: &scope };
    told.env(engine.public_url()).map_err(EngineError::invalid)
}

/// The Attempt of a check of a Promotion.
pub(crate) fn for_check(
    engine: &Engine,
    environment: &Environment,
    promotion: &Promotion,
    index: usize,
    id: AttemptId,
) -> Result<QueuedAttempt, EngineError> {
    let Some(Verification::Run(check)) = promotion.plan.verify.get(index) else {
        return Err(EngineError::not_found(format!("script check {index} of {}", promotion.title())));
    };
    let key = &environment.key;
    let url =
        crate::checks::url_of_check(environment, &promotion.plan, index).map_err(EngineError::not_found)?;
    let env = BTreeMap::from([
        ("URL".to_owned(), url),
        ("TOWPATH_PROJECT".to_owned(), key.project.to_string()),
        ("TOWPATH_ENVIRONMENT".to_owned(), key.environment.to_string()),
        ("TOWPATH_VERSION".to_owned(), promotion.revision.version.clone()),
        ("TOWPATH_COMMIT".to_owned(), promotion.revision.commit.clone()),
        ("TOWPATH_URL".to_owned(), engine.public_url().to_owned()),
    ]);
    let step = StepOrder {
        name: check.name.clone(),
        run: check.run.clone(),
        shell: None,
        env: BTreeMap::new(),
        directory: None,
        timeout_ms: None,
        always: false,
        inputs: None,
    };
    let assignment = Assignment {
        lease: Lease { attempt: id, fence: 0 },
        title: format!("check {} of {}", index + 1, promotion.title()),
        project: key.project.clone(),
        job: None,
        source: promotion.revision.source,
        directory: promotion.revision.directory.clone(),
        steps: vec![step],
        env,
        secrets: BTreeMap::new(),
        inputs: Vec::new(),
        artifacts: Vec::new(),
        reports: ReportDeclaration::junit(&check.junit),
        quarantine: Vec::new(),
        test_times: None,
        executor: ExecutorKind::Sandbox,
        network: true,
        limits: JobLimits::default(),
        timeout_ms: millis(check.timeout),
        containers: Containers::default(),
        reuse: ReuseOrder { workspace: KeepWorkspace::Never, ..ReuseOrder::default() },
    };
    let secrets = check.secrets.clone();
    let environment = key.environment.to_string();
    let body = AttemptBody { assignment, secrets, passwords: Vec::new(), environment, split: None };
    let place = Place::of_check(body.assignment.title.clone());
    queued(id, Owner::Environment(key.environment.clone()), BTreeMap::new(), place, &body)
}

fn queued(
    id: AttemptId,
    owner: Owner,
    labels: BTreeMap<String, String>,
    place: Place,
    body: &AttemptBody,
) -> Result<QueuedAttempt, EngineError> {
    let project = body.assignment.project.clone();
    let body = serde_json::to_string(body)
        .map_err(|error| EngineError::internal("an Attempt could not be written", error))?;
    Ok(QueuedAttempt { id, project, owner, labels, place, fence: 0, agent: None, cancel: None, body })
}

/// Lets an Attempt go on from a kept workspace. What it makes did not come from its source alone, so that it leaves
/// nothing for others.
fn resumed(resume: &Resume, reuse: &mut ReuseOrder, steps: &mut [StepOrder]) {
    reuse.caches.clear();
    steps.iter_mut().for_each(|step| step.inputs = None);
    reuse.resume = resume.snapshot.map(|snapshot| ResumeOrder {
        snapshot,
        from: resume.from,
        title: resume.title.clone(),
    });
    if let (Some(run), Some(step)) = (&resume.run, steps.get_mut(resume.from as usize)) {
        step.run.clone_from(run);
    }
}

fn executor(engine: &Engine, run: &Run, job: &Job) -> Result<ExecutorKind, EngineError> {
    match job.executor {
        Executor::Sandbox => Ok(ExecutorKind::Sandbox),
        Executor::Container => Ok(ExecutorKind::Container),
        Executor::Host if run.trust == Trust::Fork => Err(EngineError::invalid(format!(
            "job `{}` asks for `executor: host`, and this Run is of a contribution from outside: its code would have all \
             rights of the agent's user. Remove `executor: host`, or push the commit to a branch of this repository after a review",
            job.name
        ))),
        Executor::Host if engine.0.parts.allow_host_executor => Ok(ExecutorKind::Host),
        Executor::Host => Err(EngineError::invalid(format!(
            "job `{}` asks for `executor: host`, which this server does not allow; remove it, or start the server \
             with `--allow-unsandboxed`",
            job.name
        ))),
    }
}
