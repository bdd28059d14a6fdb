//! What runs: Workloads, their probes, how they end, and what they may use.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::protocol::Protocol;
use crate::{ArtifactName, WorkloadName};

/// Something that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Its name.
    pub name: WorkloadName,
    /// The Artifact it is started from, unless it has an `image`.
    pub artifact: ArtifactName,
    /// An image of a registry, by digest, in place of an Artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// A command for `sh -c`, in the directory where the Artifact was unpacked. `HOST` and `PORT` are in its environment.
    /// Only an image can do without one: it says itself what it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The port that it listens on in its container; on hosts each Instance gets a free one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Defaults under the Environment's values.
    pub env: BTreeMap<String, String>,
    /// Probes.
    pub health: Health,
    /// How it ends.
    pub stop: Stop,
    /// What one Instance may use.
    pub limits: Limits,
    /// What its port speaks.
    #[serde(default, skip_serializing_if = "Protocol::is_http1")]
    pub protocol: Protocol,
}

/// What a Workload is started from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin<'a> {
    /// An Artifact of the same Release.
    Artifact(&'a ArtifactName),
    /// An image of a registry, by digest.
    Image(&'a str),
}

impl Workload {
    /// What it is started from.
    #[must_use]
    pub fn origin(&self) -> Origin<'_> {
        self.image.as_deref().map_or(Origin::Artifact(&self.artifact), Origin::Image)
    }

    /// The Artifact that it needs, if any.
    #[must_use]
    pub fn needed_artifact(&self) -> Option<&ArtifactName> {
        match self.origin() {
            Origin::Artifact(artifact) => Some(artifact),
            Origin::Image(_) => None,
        }
    }
}

/// The probes of a Workload. A probe is an HTTP GET that passes with 2xx; with [`Protocol::H2c`] it can be gRPC's health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Path of the readiness probe; without one, an Instance is ready when its port accepts.
    pub ready: Option<String>,
    /// Path of the liveness probe; without one, an Instance lives as long as its process.
    pub live: Option<String>,
    /// How long an Instance may take to become ready.
    pub start_within: SignedDuration,
    /// Time between probes.
    pub period: SignedDuration,
    /// Time of one probe.
    pub timeout: SignedDuration,
    /// Failed liveness probes in a row until the Instance is started again.
    pub failures: u32,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            ready: None,
            live: None,
            start_within: SignedDuration::from_secs(60),
            period: SignedDuration::from_secs(5),
            timeout: SignedDuration::from_secs(1),
            failures: 3,
        }
    }
}

/// How an Instance ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// The first signal: `TERM`, `INT`, `QUIT`, `HUP`, `USR1`, `USR2`.
    pub signal: String,
    /// Time until KILL.
    pub grace: SignedDuration,
}

impl Default for Stop {
    fn default() -> Self {
        Self { signal: "TERM".to_owned(), grace: SignedDuration::from_secs(20) }
    }
}

/// What one Instance may use; enforced where the host has cgroups.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Thousandths of a core.
    pub cpu: Option<u32>,
    /// Processes and threads.
    pub processes: Option<u32>,
}
