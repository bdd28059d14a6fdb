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
    /// Set where Instances are containers; without it they are processes of their hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docker: Option<Docker>,
}

/// The label of an agent that has a container engine. It says so itself; nobody can claim it.
pub const ENGINE_LABEL: &str = "containers";

impl Target {
    /// What the labels of an agent must be for it to take Instances: those that the document names, and an engine where they
    /// are containers.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.hosts.clone();
        if self.docker.is_some() {
            labels.insert(ENGINE_LABEL.to_owned(), "true".to_owned());
        }
        labels
    }

    /// Which agents take its Instances, for people: `a deploy agent with role=web`.
    #[must_use]
    pub fn hosts_in_words(&self) -> String {
        let labels: Vec<String> = self.hosts.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let engine = self.docker.as_ref().map(|_| "a container engine".to_owned());
        let wanted: Vec<String> = engine.into_iter().chain(labels).collect();
        if wanted.is_empty() { "any labels".to_owned() } else { wanted.join(", ") }
    }
}

/// How the containers of an Environment are made. What is not said here, a container may not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Docker {
    /// The network that they join, where they find each other by the names of their Workloads; one of the Environment's own
    /// where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Whether a program may write outside of `tmpfs`, into a layer that goes with its container.
    #[serde(default)]
    pub writable: bool,
    /// Directories in memory that it may write to.
    #[serde(default)]
    pub tmpfs: Vec<String>,
    /// Capabilities of Linux that it keeps; all others are dropped.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// Limits of its processes, as `nofile`.
    #[serde(default)]
    pub ulimits: BTreeMap<String, u64>,
    /// Who asks which registry for images.
    #[serde(default)]
    pub registries: Vec<Registry>,
}

impl Docker {
    /// What is set, for people: `network shop, read-only, tmpfs /tmp`.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { network, writable, tmpfs, capabilities, ulimits, registries } = self;
        let mut words: Vec<String> = network.iter().map(|network| format!("network {network}")).collect();
        words.push(if *writable { "writable" } else { "read-only" }.to_owned());
        words.extend(tmpfs.iter().map(|path| format!("tmpfs {path}")));
        words.extend(capabilities.iter().map(|capability| format!("capability {capability}")));
        words.extend(ulimits.iter().map(|(name, value)| format!("ulimit {name} {value}")));
        words.extend(registries.iter().map(|Registry { host, username, password }| {
            format!("registry {host} as {username} with secret {password}")
        }));
        words.join(", ")
    }

    /// Who asks for an image, where its registry wants to know.
    #[must_use]
    pub fn registry_of(&self, image: &str) -> Option<&Registry> {
        self.registries.iter().find(|registry| registry.host == registry_host(image))
    }
}

/// A registry that wants to know who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// Its host, with the port where there is one, as references of images begin: `registry.example.com:5000`.
    pub host: String,
    /// The name.
    pub username: String,
    /// The Environment's secret that holds the password or token.
    pub password: SecretName,
}

/// The registry of an image, as Docker reads its reference: the first part where that looks like a host.
#[must_use]
pub fn registry_host(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "docker.io",
    }
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
