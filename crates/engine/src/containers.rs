//! What an Attempt is told of its containers.

use std::collections::BTreeMap;

use towpath_api::agent::{ArtifactOrder, Assignment, Poll};
use towpath_api::containers::{Containers, ImageOrder, ServiceOrder};
use towpath_artifact::ReleaseManifest;
use towpath_model::container::ServiceSource;
use towpath_model::pipeline::{ArtifactDeclaration, Job, SecretName};
use towpath_model::run::{Scope, Trust};
use towpath_store::core::releases;

use crate::error::blocking;
use crate::order::values;
use crate::unit::Unit;
use crate::{Engine, EngineError};

impl Engine {
    /// Tells for each image to build which one of the newest Release has layers that may serve. Only sealed images are
    /// named, so that no contribution puts layers into a build that is sealed.
    pub(crate) async fn add_layers(
        &self,
        unit: &mut Unit<'_>,
        assignment: &mut Assignment,
    ) -> Result<(), EngineError> {
        if assignment.artifacts.iter().all(|artifact| artifact.image.is_none()) {
            return Ok(());
        }
        let newest = releases::page(&mut unit.tx, &assignment.project, None, 1).await?.into_iter().next();
        let Some(release) = newest else { return Ok(()) };
        let engine = self.clone();
        let manifest = blocking("reading a Release", move || {
            Ok::<_, EngineError>(engine.content().read(release.digest, MAX_RELEASE)?)
        });
        let manifest: Option<ReleaseManifest> = serde_json::from_slice(&manifest.await?).ok();
        let Some(manifest) = manifest else { return Ok(()) };
        for artifact in &mut assignment.artifacts {
            if let Some(image) = &mut artifact.image {
                image.layers = manifest.artifacts.get(&artifact.name).copied();
            }
        }
        Ok(())
    }
}

/// The longest Release manifest.
const MAX_RELEASE: u64 = 4 << 20;

/// The label that an agent with a container engine has.
const CONTAINERS: &str = "containers";

/// The label that says which engine it is.
const ENGINE: &str = "container_engine";

/// The image of a Job's Steps, and the Services beside them.
pub(crate) fn of_job(engine: &Engine, job: &Job, scope: &Scope<'_>) -> Result<Containers, EngineError> {
    let mut services = Vec::with_capacity(job.services.len());
    for service in &job.services {
        services.push(ServiceOrder {
            name: service.name.clone(),
            source: service.source.clone(),
            env: values(engine, &service.env, scope)?,
            ports: service.ports.clone(),
            health: service.health.clone(),
        });
    }
    Ok(Containers {
        image: job.image.clone(),
        services,
        passwords: BTreeMap::new(),
        limits: job.limits.of_container(),
    })
}

/// The secrets that registries ask for. Only what a protected ref says gets secrets.
pub(crate) fn passwords(containers: &Containers, trust: Trust) -> Vec<SecretName> {
    if trust != Trust::Protected {
        return Vec::new();
    }
    let credentials = containers.images().filter_map(|image| image.credentials.as_ref());
    let mut names: Vec<SecretName> = credentials.map(|credentials| credentials.password.clone()).collect();
    names.sort();
    names.dedup();
    names
}

/// What a Job shall leave. Which earlier layers may serve is told when it is given away.
pub(crate) fn artifact(declared: &ArtifactDeclaration) -> ArtifactOrder {
    let image = declared.image.clone().map(|build| ImageOrder { build, layers: None });
    ArtifactOrder { name: declared.name.clone(), files: declared.files.clone(), image }
}

/// What an agent must have besides what the Job asks for.
pub(crate) fn required(job: &Job) -> BTreeMap<String, String> {
    let mut labels = job.runs_on.clone();
    let by_image = job.services.iter().any(|service| matches!(service.source, ServiceSource::Image { .. }));
    let builds = job.artifacts.iter().any(|artifact| artifact.image.is_some());
    if job.image.is_some() || by_image || builds {
        labels.insert(CONTAINERS.to_owned(), "true".to_owned());
    }
    labels
}

/// An agent's labels, with what it found on its host.
pub(crate) fn labels(poll: &Poll) -> BTreeMap<String, String> {
    let mut labels = poll.labels.clone();
    // What it says of its engine counts; a label of that name does not.
    labels.remove(CONTAINERS);
    labels.remove(ENGINE);
    if let Some(engine) = &poll.engine {
        labels.insert(CONTAINERS.to_owned(), "true".to_owned());
        labels.insert(ENGINE.to_owned(), engine.split(' ').next().unwrap_or_default().to_owned());
    }
    labels
}
