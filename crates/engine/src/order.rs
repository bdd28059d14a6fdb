//! What an agent is told of an Attempt. Secret values are added when it is given away, never stored.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use towpath_api::agent::{Assignment, ExecutorKind, Input, Lease, StepOrder};
use towpath_api::containers::Containers;
use towpath_api::reuse::{CacheOrder, KeyOrder, ResumeOrder, ReuseOrder};
use towpath_model::attempt::Resume;
use towpath_model::environment::{Environment, Promotion};
use towpath_model::pipeline::{Executor, Job, Network, SecretName, Step, Verification};
use towpath_model::reports::ReportDeclaration;
use towpath_model::reuse::{CacheDeclaration, KeepWorkspace, KeyPart};
use towpath_model::run::{Evaluator, Run, Scope, Trust};
use towpath_model::{AttemptId, JobLimits, JobName};
use towpath_store::core::attempts::{Owner, Place, QueuedAttempt};

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
    let mut env = job_env(engine, run, &scope)?;
    env.extend(values(engine, &job.env, &scope)?);
    let mut steps = Vec::with_capacity(job.steps.len());
    for step in &job.steps {
        steps.push(step_order(engine, step, &scope)?);
    }
    let mut reuse = reuse(engine, job, &scope)?;
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
        artifacts: job.artifacts.iter().map(containers::artifact).collect(),
        reports: job.reports.clone(),
        quarantine: Vec::new(),
        executor: executor(engine, run, job)?,
        network: job.network == Network::Full,
        limits: job.limits,
        timeout_ms: millis(job.timeout),
        containers: containers::of_job(engine, job, &scope)?,
        reuse,
    };
    // Only what a protected ref says gets secrets.
    let secrets = if run.trust == Trust::Protected { job.secrets.clone() } else { Vec::new() };
    let passwords = containers::passwords(&assignment.containers, run.trust);
    let body = AttemptBody { assignment, secrets, passwords, environment: String::new() };
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
    let mut env = job_env(engine, run, &scope)?;
    env.extend(values(engine, &job.env, &scope)?);
    Ok(env)
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
    let url = crate::checks::url_of(environment.policy.document.listen);
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
        executor: ExecutorKind::Sandbox,
        network: true,
        limits: JobLimits::default(),
        timeout_ms: millis(check.timeout),
        containers: Containers::default(),
        reuse: ReuseOrder { workspace: KeepWorkspace::Never, ..ReuseOrder::default() },
    };
    let secrets = check.secrets.clone();
    let environment = key.environment.to_string();
    let body = AttemptBody { assignment, secrets, passwords: Vec::new(), environment };
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

fn job_env(engine: &Engine, run: &Run, scope: &Scope<'_>) -> Result<BTreeMap<String, String>, EngineError> {
    let cause = &run.cause;
    let mut env = BTreeMap::from([
        ("TOWPATH_PROJECT".to_owned(), run.project.to_string()),
        ("TOWPATH_RUN".to_owned(), run.number.to_string()),
        ("TOWPATH_COMMIT".to_owned(), cause.commit.clone()),
        ("TOWPATH_REF".to_owned(), cause.reference.clone()),
        ("TOWPATH_TRUST".to_owned(), run.trust.word().to_owned()),
        ("TOWPATH_URL".to_owned(), engine.public_url().to_owned()),
    ]);
    env.extend(towpath_model::origin::environment(cause));
    if let Some(pipeline) = &run.pipeline {
        env.extend(values(engine, &pipeline.env, scope)?);
    }
    Ok(env)
}

pub(crate) fn values(
    engine: &Engine,
    env: &BTreeMap<String, towpath_model::pipeline::EnvValue>,
    scope: &Scope<'_>,
) -> Result<BTreeMap<String, String>, EngineError> {
    env.iter()
        .map(|(name, value)| match engine.0.evaluator.value(value, scope) {
            Ok(value) => Ok((name.clone(), value)),
            Err(why) => Err(EngineError::invalid(format!("the value of `{name}` cannot be told: {why}"))),
        })
        .collect()
}

fn step_order(engine: &Engine, step: &Step, scope: &Scope<'_>) -> Result<StepOrder, EngineError> {
    Ok(StepOrder {
        name: step.name.clone(),
        run: step.run.clone(),
        shell: step.shell.clone(),
        env: values(engine, &step.env, scope)?,
        directory: step.directory.clone(),
        timeout_ms: step.timeout.map(millis),
        always: step.always,
        inputs: step.inputs.clone(),
    })
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

/// What a Job reuses and leaves, with every `${{ }}` replaced.
fn reuse(engine: &Engine, job: &Job, scope: &Scope<'_>) -> Result<ReuseOrder, EngineError> {
    let text = |value: &towpath_model::pipeline::EnvValue| {
        engine.0.evaluator.value(value, scope).map_err(|why| {
            EngineError::invalid(format!("the key `{}` of a cache cannot be told: {why}", value.0))
        })
    };
    let part = |part: &KeyPart| match part {
        KeyPart::Text(value) => text(value).map(KeyOrder::Text),
        KeyPart::Files(files) => Ok(KeyOrder::Files(files.clone())),
    };
    let cache = |cache: &CacheDeclaration| {
        Ok(CacheOrder {
            key: cache.key.iter().map(part).collect::<Result<_, EngineError>>()?,
            restore: cache.restore.iter().map(text).collect::<Result<_, EngineError>>()?,
            paths: cache.paths.clone(),
            save: cache.save,
        })
    };
    let caches = job.caches.iter().map(cache).collect::<Result<_, EngineError>>()?;
    Ok(ReuseOrder { caches, workspace: job.workspace, resume: None })
}

/// The Artifacts of the Jobs that this one needs.
fn inputs(run: &Run, job: &Job) -> Vec<Input> {
    let needed = job.needs.iter().filter_map(|name| run.job(name));
    needed
        .flat_map(|needed| &needed.artifacts)
        .map(|(name, manifest)| Input { name: name.clone(), manifest: *manifest })
        .collect()
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

fn millis(duration: SignedDuration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(0)
}
