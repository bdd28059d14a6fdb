//! What a worker is told of an Attempt: the same that an agent would be told by a server.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use towpath_agent::executor::Cancel;
use towpath_api::agent::{ArtifactOrder, Input, Secret, StepOrder};
use towpath_api::containers::Containers;
use towpath_api::reuse::ReuseOrder;
use towpath_config::CelEvaluator;
use towpath_engine::told::{Told, artifacts, inputs};
use towpath_model::container::Image;
use towpath_model::pipeline::{Executor, Job, Network, RunWhen};
use towpath_model::reports::ReportDeclaration;
use towpath_model::reuse::KeepWorkspace;
use towpath_model::run::{Run, Scope};
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
        let told = Told { evaluator: &CelEvaluator, scope: &scope };
        let mut env = BTreeMap::from([("TOWPATH_LOCAL".to_owned(), "true".to_owned())]);
        env.extend(told.env("")?);
        env.extend(self.env.clone());
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
            steps: told.steps()?,
            env,
            secrets: secrets.collect(),
            inputs: inputs(run, job),
            artifacts: artifacts(job),
            reports: job.reports.clone(),
            network: job.network == Network::Full,
            containers: self.containers(job, &told)?,
            limits: job.limits,
            timeout: duration(job.timeout),
            // Workspaces are not kept: the person's own directory is at hand.
            reuse: ReuseOrder { caches: told.caches()?, workspace: KeepWorkspace::Never, resume: None },
            cancel: Cancel::new(),
        })
    }
}

impl Orders<'_> {
    fn containers(&self, job: &Job, told: &Told<'_>) -> Result<Containers, String> {
        let services = told.services()?;
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

fn duration(duration: SignedDuration) -> Duration {
    duration.try_into().unwrap_or_default()
}
