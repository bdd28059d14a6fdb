//! What an Attempt is told of its Job, with every `${{ }}` replaced: the same by a server and by `towpath run`.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use towpath_api::agent::{ArtifactOrder, Input, StepOrder};
use towpath_api::containers::{ImageOrder, ServiceOrder};
use towpath_api::reuse::{CacheOrder, KeyOrder};
use towpath_model::pipeline::{ArtifactDeclaration, EnvValue, Job, Step};
use towpath_model::reuse::{CacheDeclaration, KeyPart};
use towpath_model::run::{Evaluator, Run, Scope};

/// Tells one Attempt.
#[derive(Clone, Copy)]
pub struct Told<'a> {
    /// Replaces expressions.
    pub evaluator: &'a dyn Evaluator,
    /// What they see.
    pub scope: &'a Scope<'a>,
}

impl Told<'_> {
    /// The environment of a Job's Steps, without secrets, and without what a Step sets for itself. `url` is the server's.
    ///
    /// # Errors
    /// Says in words which value cannot be told.
    pub fn env(&self, url: &str) -> Result<BTreeMap<String, String>, String> {
        let Scope { run, job } = *self.scope;
        let cause = &run.cause;
        let mut env = BTreeMap::from([
            ("TOWPATH_PROJECT".to_owned(), run.project.to_string()),
            ("TOWPATH_RUN".to_owned(), run.number.to_string()),
            ("TOWPATH_COMMIT".to_owned(), cause.commit.clone()),
            ("TOWPATH_REF".to_owned(), cause.reference.clone()),
            ("TOWPATH_TRUST".to_owned(), run.trust.word().to_owned()),
            ("TOWPATH_URL".to_owned(), url.to_owned()),
        ]);
        env.extend(towpath_model::origin::environment(cause));
        if let Some(pipeline) = &run.pipeline {
            env.extend(self.values(&pipeline.env)?);
        }
        env.extend(self.values(&job.env)?);
        Ok(env)
    }

    /// Values by their names.
    ///
    /// # Errors
    /// Says in words which value cannot be told.
    pub fn values(&self, env: &BTreeMap<String, EnvValue>) -> Result<BTreeMap<String, String>, String> {
        let value = |(name, value): (&String, &EnvValue)| {
            // Plain text needs no view of the whole Run, which would be made for each value.
            if !value.is_expression() {
                return Ok((name.clone(), value.0.clone()));
            }
            let told = self.evaluator.value(value, self.scope);
            told.map(|told| (name.clone(), told))
                .map_err(|why| format!("the value of `{name}` cannot be told: {why}"))
        };
        env.iter().map(value).collect()
    }

    /// The Steps.
    ///
    /// # Errors
    /// Says in words which value cannot be told.
    pub fn steps(&self) -> Result<Vec<StepOrder>, String> {
        self.scope.job.steps.iter().map(|step| self.step(step)).collect()
    }

    fn step(&self, step: &Step) -> Result<StepOrder, String> {
        Ok(StepOrder {
            name: step.name.clone(),
            run: step.run.clone(),
            shell: step.shell.clone(),
            env: self.values(&step.env)?,
            directory: step.directory.clone(),
            timeout_ms: step.timeout.map(millis),
            always: step.always,
            inputs: step.inputs.clone(),
        })
    }

    /// The Services beside them.
    ///
    /// # Errors
    /// Says in words which value cannot be told.
    pub fn services(&self) -> Result<Vec<ServiceOrder>, String> {
        let service = |service: &towpath_model::container::Service| {
            Ok(ServiceOrder {
                name: service.name.clone(),
                source: service.source.clone(),
                env: self.values(&service.env)?,
                ports: service.ports.clone(),
                health: service.health.clone(),
            })
        };
        self.scope.job.services.iter().map(service).collect()
    }

    /// The caches.
    ///
    /// # Errors
    /// Says in words which key cannot be told.
    pub fn caches(&self) -> Result<Vec<CacheOrder>, String> {
        self.scope.job.caches.iter().map(|cache| self.cache(cache)).collect()
    }

    fn cache(&self, cache: &CacheDeclaration) -> Result<CacheOrder, String> {
        let text = |value: &EnvValue| {
            let told = self.evaluator.value(value, self.scope);
            told.map_err(|why| format!("the key `{}` of a cache cannot be told: {why}", value.0))
        };
        let part = |part: &KeyPart| match part {
            KeyPart::Text(value) => text(value).map(KeyOrder::Text),
            KeyPart::Files(files) => Ok(KeyOrder::Files(files.clone())),
        };
        Ok(CacheOrder {
            key: cache.key.iter().map(part).collect::<Result<_, String>>()?,
            restore: cache.restore.iter().map(text).collect::<Result<_, String>>()?,
            paths: cache.paths.clone(),
            save: cache.save,
        })
    }
}

/// The Artifacts of the Jobs that this one needs.
#[must_use]
pub fn inputs(run: &Run, job: &Job) -> Vec<Input> {
    let needed = job.needs.iter().filter_map(|name| run.job(name)).flat_map(|needed| &needed.artifacts);
    needed.map(|(name, manifest)| Input { name: name.clone(), manifest: *manifest }).collect()
}

/// What a Job shall leave. Which earlier layers of an image may serve is told when it is given away.
#[must_use]
pub fn artifacts(job: &Job) -> Vec<ArtifactOrder> {
    let order = |declared: &ArtifactDeclaration| ArtifactOrder {
        name: declared.name.clone(),
        files: declared.files.clone(),
        image: declared.image.clone().map(|build| ImageOrder { build, layers: None }),
    };
    job.artifacts.iter().map(order).collect()
}

pub(crate) fn millis(duration: SignedDuration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(0)
}
