//! What an Attempt is told of its containers.

use std::collections::BTreeMap;

use towpath_api::agent::{Assignment, Poll};
use towpath_api::containers::Containers;
use towpath_artifact::ReleaseManifest;
use towpath_model::container::ServiceSource;
use towpath_model::pipeline::{Job, SecretName};
use towpath_model::policy::ENGINE_LABEL;
use towpath_model::run::Trust;
use towpath_store::core::releases;

use crate::error::blocking;
use crate::told::Told;
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

/// The label that says which engine it is.
const ENGINE: &str = "container_engine";

/// The image of a Job's Steps, and the Services beside them.
pub(crate) fn of_job(job: &Job, told: &Told<'_>) -> Result<Containers, EngineError> {
    Ok(Containers {
        image: job.image.clone(),
        services: told.services().map_err(EngineError::invalid)?,
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

/// What an agent must have besides what the Job asks for.
pub(crate) fn required(job: &Job) -> BTreeMap<String, String> {
    let mut labels = job.runs_on.clone();
    let by_image = job.services.iter().any(|service| matches!(service.source, ServiceSource::Image { .. }));
    let builds = job.artifacts.iter().any(|artifact| artifact.image.is_some());
    if job.image.is_some() || by_image || builds {
        labels.insert(ENGINE_LABEL.to_owned(), "true".to_owned());
    }
    labels
}

/// An agent's labels, with what it found on its host.
pub(crate) fn labels(poll: &Poll) -> BTreeMap<String, String> {
    let mut labels = poll.labels.clone();
    // What it says of its engine counts; a label of that name does not.
    labels.remove(ENGINE_LABEL);
    labels.remove(ENGINE);
    if let Some(engine) = &poll.engine {
        labels.insert(ENGINE_LABEL.to_owned(), "true".to_owned());
        labels.insert(ENGINE.to_owned(), engine.split(' ').next().unwrap_or_default().to_owned());
    }
    labels
}
