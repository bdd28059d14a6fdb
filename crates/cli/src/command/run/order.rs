//! What a worker is told of an Attempt: the same that an agent would be told by a server.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use towpath_agent::executor::Cancel;
use towpath_api::agent::{ArtifactOrder, Input, Secret, StepOrder};
use towpath_api::containers::{Containers, ImageOrder, ServiceOrder};
use towpath_api::reuse::{CacheOrder, KeyOrder, ReuseOrder};
use towpath_config::CelEvaluator;
use towpath_model::container::Image;
use towpath_model::pipeline::{EnvValue, Executor, Job, Network, RunWhen, Step};
use towpath_model::reports::ReportDeclaration;
use towpath_model::reuse::{KeepWorkspace, KeyPart};
use towpath_model::run::{Evaluator as _, Run, Scope};
use towpath_model::{AttemptId, JobLimits, JobName};

use super::secrets::Secrets;

/// An Attempt, ready to run.
#[derive(Debug)]
pub struct Work {
    /// Its identity.
    pub attempt: AttemptId,
    /// Its Job.
    pub job: JobName,
    /// Whether a failure elsewhere leaves it be: a clean-up, or another try of what was started already.
    pub always: bool,
    /// The Steps.
    pub steps: Vec<StepOrder>,
    /// Environment of every Step.
    pub env: BTreeMap<String, String>,
    /// Environment whose values are masked.
    pub secrets: BTreeMap<String, Secret>,
    /// Artifacts of the Jobs that it needs.
    pub inputs: Vec<Input>,
    /// Artifacts that it leaves.
    pub artifacts: Vec<ArtifactOrder>,
    /// JUnit files.
    pub reports: Vec<ReportDeclaration>,
    /// Whether it has the network.
    pub network: bool,
    /// The image of its Steps, and the Services beside them.
    pub containers: Containers,
    /// What it may use.
    pub limits: JobLimits,
    /// Its time.
    pub timeout: Duration,
    /// What it reuses of earlier runs.
    pub reuse: ReuseOrder,
    /// Ends it.
    pub cancel: Cancel,
}

/// What all Attempts of a local run have in common.
#[derive(Debug)]
pub struct Orders<'a> {
    /// What the person gave.
    pub secrets: &'a Secrets,
    /// Environment over that of pipeline and Job.
    pub env: BTreeMap<String, String>,
    /// Whether the person allows Jobs without confinement.
    pub unconfined: bool,
    /// Which Jobs run in containers.
    pub contained: Contained,
}

impl Orders<'_> {
    /// Puts an Attempt together.
    ///
    /// # Errors
    /// Says in words why it cannot be.
    pub fn work(&self, run: &Run, name: &JobName, attempt: AttemptId) -> Result<Work, String> {
        let pipeline = run.pipeline.as_ref().ok_or("the run has no pipeline")?;
        let job = pipeline.job(name).ok_or_else(|| format!("there is no job `{name}`"))?;
        if job.executor == Executor::Host && !self.unconfined {
            return Err(
                "it asks for `executor: host`, all rights of this user; `--executor host` allows that"
                    .to_owned(),
            );
        }
        let scope = Scope { run, job };
        let mut env = own_env(run);
        env.extend(values(&pipeline.env, &scope)?);
        env.extend(values(&job.env, &scope)?);
        env.extend(self.env.clone());
        let steps = job.steps.iter().map(|step| step_order(step, &scope)).collect::<Result<_, _>>()?;
        let secrets = job
            .secrets
            .iter()
            .filter_map(|name| self.secrets.get(name).map(|secret| (name.to_string(), secret.clone())));
        let asks = job.condition.as_ref().is_some_and(|condition| condition.asks_for_outcomes())
            || job.run_when != RunWhen::AllPassed;
        let tries = run.job(name).map_or(0, |job| job.attempts.len());
        Ok(Work {
            attempt,
            job: name.clone(),
            always: asks || tries > 1,
            steps,
            env,
            secrets: secrets.collect(),
            inputs: inputs(run, job),
            artifacts: artifacts(job),
            reports: job.reports.clone(),
            network: job.network == Network::Full,
            containers: self.containers(job, &scope)?,
            limits: job.limits,
            timeout: duration(job.timeout),
            reuse: reuse(job, &scope)?,
            cancel: Cancel::new().map_err(|error| format!("it cannot be started: {error}"))?,
        })
    }
}

impl Orders<'_> {
    fn containers(&self, job: &Job, scope: &Scope<'_>) -> Result<Containers, String> {
        let mut services = Vec::with_capacity(job.services.len());
        for service in &job.services {
            let (name, source) = (service.name.clone(), service.source.clone());
            let (ports, health) = (service.ports.clone(), service.health.clone());
            services.push(ServiceOrder { name, source, env: values(&service.env, scope)?, ports, health });
        }
        let limits = job.limits.of_container();
        let mut containers =
            Containers { image: self.image_of(job)?, services, limits, ..Containers::default() };
        let asked = containers.images().filter_map(|image| image.credentials.as_ref());
        let given =
            asked.filter_map(|by| Some((by.password.clone(), self.secrets.get(&by.password)?.clone())));
        containers.passwords = given.collect();
        Ok(containers)
    }

    /// The image of a Job's Steps, where they run in one.
    fn image_of(&self, job: &Job) -> Result<Option<Image>, String> {
        match self.contained {
            Contained::AsTheFileSays => Ok(job.image.clone()),
            Contained::No => Ok(None),
            Contained::Yes => match &job.image {
                Some(image) => Ok(Some(image.clone())),
                None => {
                    Err("it has no `image`, and `--executor container` runs nothing without one".to_owned())
                }
            },
        }
    }
}

/// Which Jobs run in containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contained {
    /// Those that have an image.
    AsTheFileSays,
    /// None.
    No,
    /// All.
    Yes,
}

fn own_env(run: &Run) -> BTreeMap<String, String> {
    let cause = &run.cause;
    let mut env = BTreeMap::from([
        ("TOWPATH_PROJECT".to_owned(), run.project.to_string()),
        ("TOWPATH_RUN".to_owned(), run.number.to_string()),
        ("TOWPATH_COMMIT".to_owned(), cause.commit.clone()),
        ("TOWPATH_REF".to_owned(), cause.reference.clone()),
        ("TOWPATH_TRUST".to_owned(), run.trust.word().to_owned()),
        ("TOWPATH_URL".to_owned(), String::new()),
        ("TOWPATH_LOCAL".to_owned(), "true".to_owned()),
    ]);
    env.extend(towpath_model::origin::environment(cause));
    env
}

/// Workspaces are not kept: the person's own directory is at hand.
fn reuse(job: &Job, scope: &Scope<'_>) -> Result<ReuseOrder, String> {
    let text = |value: &EnvValue| CelEvaluator.value(value, scope);
    let mut caches = Vec::with_capacity(job.caches.len());
    for cache in &job.caches {
        let mut key = Vec::with_capacity(cache.key.len());
        for part in &cache.key {
            key.push(match part {
                KeyPart::Text(value) => KeyOrder::Text(text(value)?),
                KeyPart::Files(files) => KeyOrder::Files(files.clone()),
            });
        }
        let restore = cache.restore.iter().map(text).collect::<Result<_, _>>()?;
        caches.push(CacheOrder { key, restore, paths: cache.paths.clone(), save: cache.save });
    }
    Ok(ReuseOrder { caches, workspace: KeepWorkspace::Never, resume: None })
}

fn values(env: &BTreeMap<String, EnvValue>, scope: &Scope<'_>) -> Result<BTreeMap<String, String>, String> {
    let value = |(name, value): (&String, &EnvValue)| {
        // Plain text needs no view of the whole Run, which would be made for each value.
        if !value.is_expression() {
            return Ok((name.clone(), value.0.clone()));
        }
        let told = CelEvaluator.value(value, scope);
        told.map(|told| (name.clone(), told))
            .map_err(|why| format!("the value of `{name}` cannot be told: {why}"))
    };
    env.iter().map(value).collect()
}

fn step_order(step: &Step, scope: &Scope<'_>) -> Result<StepOrder, String> {
    Ok(StepOrder {
        name: step.name.clone(),
        run: step.run.clone(),
        shell: step.shell.clone(),
        env: values(&step.env, scope)?,
        directory: step.directory.clone(),
        timeout_ms: step.timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(0)),
        always: step.always,
        inputs: step.inputs.clone(),
    })
}

fn inputs(run: &Run, job: &Job) -> Vec<Input> {
    let needed = job.needs.iter().filter_map(|name| run.job(name)).flat_map(|needed| &needed.artifacts);
    needed.map(|(name, manifest)| Input { name: name.clone(), manifest: *manifest }).collect()
}

fn artifacts(job: &Job) -> Vec<ArtifactOrder> {
    let order = |artifact: &towpath_model::pipeline::ArtifactDeclaration| ArtifactOrder {
        name: artifact.name.clone(),
        files: artifact.files.clone(),
        image: artifact.image.clone().map(|build| ImageOrder { build, layers: None }),
    };
    job.artifacts.iter().map(order).collect()
}

fn duration(duration: SignedDuration) -> Duration {
    duration.try_into().unwrap_or_default()
}
