//! Images, the Services beside a Job, and images to build: what a pipeline file says of containers.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::pipeline::{EnvValue, SecretName};

/// An image and how it is had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its reference: `debian:bookworm`, `registry.example.com/team/tool@sha256:…`.
    pub name: String,
    /// When it is asked for again.
    pub pull: Pull,
    /// Who the processes are, as `user`, `uid` or `uid:gid`; the agent's own user where nothing is said.
    pub user: Option<String>,
    /// Who asks the registry.
    pub credentials: Option<Credentials>,
}

impl Image {
    /// Whether the reference names its bytes, so that it means the same tomorrow.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        is_pinned(&self.name)
    }
}

/// Whether a reference names its bytes.
#[must_use]
pub fn is_pinned(reference: &str) -> bool {
    reference
        .rsplit_once("@sha256:")
        .is_some_and(|(_, digest)| digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// When an image is asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pull {
    /// Before every Attempt.
    Always,
    /// Where the agent's engine does not have it.
    #[default]
    IfMissing,
    /// Never: it was put there.
    Never,
}

/// Who asks a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The name.
    pub username: String,
    /// The secret that holds the password or token.
    pub password: SecretName,
}

/// Something that runs beside the Steps of a Job: a database, a queue, a browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name; Steps in a container reach it under this name.
    pub name: String,
    /// What it is started from.
    pub source: ServiceSource,
    /// Its environment.
    pub env: BTreeMap<String, EnvValue>,
    /// Ports that it listens on.
    pub ports: Vec<u16>,
    /// How to know that it can be used.
    pub health: HealthCheck,
}

/// What a Service is started from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum ServiceSource {
    /// An image, with another command where one is given.
    Image {
        /// Which.
        image: Image,
        /// Arguments in place of the image's own.
        command: Vec<String>,
    },
    /// A command for `sh`, confined as the Job's Steps are.
    Command {
        /// It.
        run: String,
    },
}

/// How to know that a Service can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// What is tried.
    pub probe: Probe,
    /// How long it may take until the probe passes.
    pub within: SignedDuration,
    /// Time between tries.
    pub period: SignedDuration,
}

/// What is tried to know that a Service can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Probe {
    /// Nothing: it is used at once.
    None,
    /// A command in the Service's container (or beside its process) exits with 0.
    Command {
        /// For `sh`.
        run: String,
    },
    /// A port takes a connection and keeps it.
    Tcp {
        /// Which.
        port: u16,
    },
    /// A GET is answered with 2xx.
    Http {
        /// On which port.
        port: u16,
        /// Which path.
        path: String,
    },
}

/// An image that a Job builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageBuild {
    /// The directory that is sent to the engine, relative to the Project's.
    pub context: String,
    /// The Dockerfile, relative to the context.
    pub dockerfile: String,
    /// The stage to stop at; the last where nothing is said.
    pub target: Option<String>,
    /// Values for `ARG`.
    pub args: BTreeMap<String, String>,
    /// Names that it is given in the engine of the agent.
    pub tags: Vec<String>,
}

/// An image that an Attempt used, by the bytes that it really was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageUsed {
    /// What for: `job`, `service db`, `base of shop`.
    pub role: String,
    /// The reference as the file has it.
    pub reference: String,
    /// What it was resolved to: `sha256:…`, of the manifest where a registry gave it, else of the image's configuration.
    pub digest: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_digest_pins() {
        assert!(is_pinned(&format!("debian@sha256:{}", "a".repeat(64))));
        assert!(is_pinned(&format!("r.example.com:5000/a/b:1@sha256:{}", "0".repeat(64))));
        for loose in [
            "debian",
            "debian:12",
            "debian@sha256:abc",
            "debian:sha256",
            &format!("debian@sha256:{}", "x".repeat(64)),
        ] {
            assert!(!is_pinned(loose), "{loose}");
        }
    }
}
