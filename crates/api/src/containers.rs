//! What an agent is told of the containers of an Attempt: the image of its Steps, and the Services beside them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use towpath_model::Digest;
use towpath_model::container::{HealthCheck, Image, ImageBuild, ServiceSource};
use towpath_model::pipeline::{Limits, SecretName};
use towpath_model::policy::Docker;

use crate::agent::Secret;

/// The containers of an Attempt; empty for one that has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Containers {
    /// The image that the Steps run in; without one, they run in the sandbox or on the host.
    pub image: Option<Image>,
    /// What runs beside the Steps.
    pub services: Vec<ServiceOrder>,
    /// Passwords of registries; masked in the log, and in no environment.
    pub passwords: BTreeMap<SecretName, Secret>,
    /// What the Steps' container may use.
    pub limits: Limits,
}

impl Containers {
    /// Whether an engine is needed for them.
    #[must_use]
    pub fn need_engine(&self) -> bool {
        let by_image = |service: &ServiceOrder| matches!(service.source, ServiceSource::Image { .. });
        self.image.is_some() || self.services.iter().any(by_image)
    }

    /// Every image.
    pub fn images(&self) -> impl Iterator<Item = &Image> {
        self.image.iter().chain(self.services.iter().filter_map(|service| match &service.source {
            ServiceSource::Image { image, command: _ } => Some(image),
            ServiceSource::Command { run: _ } => None,
        }))
    }
}

/// A Service to run beside the Steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceOrder {
    /// Its name.
    pub name: String,
    /// What it is started from.
    pub source: ServiceSource,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// Ports that it listens on.
    pub ports: Vec<u16>,
    /// How to know that it can be used.
    pub health: HealthCheck,
}

/// How an Instance's container is made, from the Environment's document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerOrder {
    /// What the document says.
    pub docker: Docker,
    /// The passwords of its registries.
    #[serde(default)]
    pub passwords: BTreeMap<SecretName, Secret>,
}

/// An image that an Attempt shall leave as an Artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageOrder {
    /// What to build.
    pub build: ImageBuild,
    /// The manifest of an image that was built before, whose layers may serve again.
    pub layers: Option<Digest>,
}
