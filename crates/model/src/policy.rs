//! What an Environment demands: the checked content of an environment document.
//!
//! Documents are trusted. They change only by `towpath apply`, versioned and recorded.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::intake::Intake;
use crate::pipeline::{Gate, SecretName};
use crate::{EnvironmentKey, EnvironmentName, ProjectName};

/// The checked environment document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentDocument {
    /// The Environment's name.
    pub environment: EnvironmentName,
    /// Its Project.
    pub project: ProjectName,
    /// What starts and stops Instances.
    pub target: Target,
    /// Where the gateway listens for it.
    pub listen: SocketAddr,
    /// How `listen` is encrypted; `None` for plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Where a candidate is reached before users reach it: plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<SocketAddr>,
    /// What may be promoted here at all.
    pub allow: Allow,
    /// How Releases come in, and what becomes of those that wait.
    #[serde(default, skip_serializing_if = "Intake::is_usual")]
    pub intake: Intake,
    /// Gates of the Environment; a Stage can add to them, never remove one.
    pub gates: Vec<Gate>,
    /// Values of the configuration, given to Instances as environment.
    pub values: BTreeMap<String, String>,
    /// Secrets granted to Instances.
    pub secrets: Vec<SecretName>,
}

impl EnvironmentDocument {
    /// Which Environment it is about.
    #[must_use]
    pub fn key(&self) -> EnvironmentKey {
        EnvironmentKey { project: self.project.clone(), environment: self.environment.clone() }
    }

    /// All addresses that a gateway listens at for it; `listen` is the first.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        [Some(self.listen), self.tls.as_ref().and_then(|tls| tls.redirect), self.preview]
            .into_iter()
            .flatten()
    }

    /// How users' requests are made: `http` or `https`.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// How a listener is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// Where its certificates come from.
    pub certificates: Certificates,
    /// Where plain HTTP is answered with the encrypted address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<SocketAddr>,
}

/// Where a listener's certificates come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Certificates {
    /// From files on the gateway's machine.
    Files(Vec<CertificateFiles>),
    /// The instance's own authority makes one for these host names or addresses.
    Names(Vec<String>),
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFiles {
    /// The server's certificate and those between it and its root.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// What starts and stops Instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Deploy agents that have all of these labels.
    pub hosts: BTreeMap<String, String>,
    /// Instances of each Workload, spread over the hosts.
    pub instances: u32,
    /// How long a host may be lost until its Instances get successors on other hosts.
    #[serde(default = "replace_after")]
    pub replace_after: SignedDuration,
}

/// How long a host may be lost unless its Environment says otherwise: longer than a reboot, or an upgrade of its agent.
pub const REPLACE_AFTER: SignedDuration = SignedDuration::from_mins(5);

const fn replace_after() -> SignedDuration {
    REPLACE_AFTER
}

/// What may be promoted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allow {
    /// Patterns of full refs: `refs/heads/main`, `refs/tags/v*`.
    pub refs: Vec<String>,
}

impl Default for Allow {
    fn default() -> Self {
        Self { refs: vec!["refs/heads/main".to_owned(), "refs/tags/v*".to_owned()] }
    }
}
