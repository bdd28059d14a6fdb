//! The files by which agent and supervisor of one Instance know each other.
//!
//! The agent writes `spec.json`, the supervisor writes `status.json`; each is replaced as a whole. Who
//! holds the lock on `lock` is the one supervisor of the Instance.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use towpath_api::agent::Secret;
use towpath_api::containers::ContainerOrder;
use towpath_artifact::LockFile;
use towpath_model::pipeline::{Health, Limits, Protocol, Stop};
use towpath_model::{Digest, EnvironmentKey, InstanceId, WorkloadName};

/// What a supervisor runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InstanceSpec {
    /// Its identity; marks its processes.
    pub instance: InstanceId,
    /// Where it belongs.
    pub environment: EnvironmentKey,
    /// Which Workload.
    pub workload: WorkloadName,
    /// Its Revision.
    pub revision: Digest,
    /// The Artifact's manifest; names the directory that it was unpacked into.
    pub artifact: Digest,
    /// Where the Artifact was unpacked; the command starts there. Empty for a container.
    pub directory: PathBuf,
    /// For `sh -c`; without one, an image says what it runs.
    pub command: Option<String>,
    /// Set where it is a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerSpec>,
    /// The Workload's defaults and the Environment's values.
    pub env: BTreeMap<String, String>,
    /// Granted secrets; they go to the process's environment and nowhere else.
    pub secrets: BTreeMap<String, Secret>,
    /// Where it listens.
    pub host: IpAddr,
    /// The port the agent chose. A later start may get another.
    pub port: u16,
    /// Probes.
    pub health: Health,
    /// How it ends.
    pub stop: Stop,
    /// What it may use.
    pub limits: Limits,
    /// What its port speaks.
    #[serde(default)]
    pub protocol: Protocol,
}

/// What a supervisor needs to make an Instance's container, and the agent to bring its image again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// The socket of the engine.
    pub socket: PathBuf,
    /// Which agent it belongs to.
    pub deployer: String,
    /// The image, by the engine's id.
    pub image: String,
    /// The name that keeps the image.
    pub tag: String,
    /// The image's own name, where it is one of a registry and not an Artifact.
    pub reference: Option<String>,
    /// Whether the image has a HEALTHCHECK of its own.
    pub has_healthcheck: bool,
    /// The port that the program listens on inside.
    pub port: u16,
    /// The network that it joins.
    pub network: String,
    /// The Release that it is of; keeps the image.
    pub release: Digest,
    /// What the Environment's document says, and the passwords of its registries.
    pub order: ContainerOrder,
}

/// What a supervisor says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupervisorStatus {
    /// The supervisor's own process.
    pub supervisor: i32,
    /// What the command does.
    pub state: ChildState,
    /// How often the command was started again.
    pub restarts: u32,
    /// How the command ended the last time.
    pub last_exit: Option<String>,
    /// Whether the engine has lost its image, so that the agent must bring it again.
    #[serde(default)]
    pub lacks_image: bool,
}

/// What an Instance's command does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ChildState {
    /// It runs.
    Running {
        /// Its process.
        pid: i32,
        /// The port it was given.
        port: u16,
        /// Since when.
        since: Timestamp,
    },
    /// It ended and is started again then.
    Waiting {
        /// When.
        until: Timestamp,
    },
    /// It got its stop signal.
    Stopping,
    /// It ended, as wanted; the supervisor is gone.
    Stopped,
}

/// The directory of one Instance.
#[derive(Debug, Clone)]
pub struct InstanceDirectory {
    /// The directory.
    pub path: PathBuf,
}

impl InstanceSpec {
    /// The name of its container, where it is one.
    #[must_use]
    pub fn container_name(&self) -> String {
        crate::container::instance::name(&self.environment, &self.workload, self.instance)
    }
}

impl InstanceDirectory {
    /// Names the directory of `instance` below `instances`.
    #[must_use]
    pub fn new(instances: &Path, instance: InstanceId) -> Self {
        Self { path: instances.join(instance.to_string()) }
    }

    /// Where the command's output goes.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Reads what shall run.
    ///
    /// # Errors
    ///
    /// Fails when there is no such file or it is not a spec.
    pub fn spec(&self) -> io::Result<InstanceSpec> {
        read_json(&self.path.join("spec.json"))
    }

    /// Says what shall run; only this user can read it.
    ///
    /// # Errors
    ///
    /// Fails when the disk refuses.
    pub fn write_spec(&self, spec: &InstanceSpec) -> io::Result<()> {
        write_json(&self.path, "spec.json", spec)
    }

    /// Forgets what shall run, and with it the secrets.
    ///
    /// # Errors
    ///
    /// Fails when the disk refuses.
    pub fn remove_spec(&self) -> io::Result<()> {
        fs::remove_file(self.path.join("spec.json"))
    }

    /// Reads what the supervisor said last.
    #[must_use]
    pub fn status(&self) -> Option<SupervisorStatus> {
        read_json(&self.path.join("status.json")).ok()
    }

    pub(super) fn write_status(&self, status: &SupervisorStatus) -> io::Result<()> {
        write_json(&self.path, "status.json", status)
    }

    /// Takes the lock, or returns `None` while another holds it.
    ///
    /// # Errors
    ///
    /// Fails when the lock file cannot be opened.
    pub fn try_lock(&self) -> io::Result<Option<LockFile>> {
        LockFile::take(&self.path.join("lock"))
    }

    /// Whether a supervisor runs.
    #[must_use]
    pub fn is_supervised(&self) -> bool {
        LockFile::is_held(&self.path.join("lock"))
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    serde_json::from_slice(&fs::read(path)?).map_err(io::Error::from)
}

/// Replaces a file as a whole: a reader sees the old one or the new one, after a crash too.
pub(crate) fn write_json<T: Serialize>(directory: &Path, name: &str, value: &T) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    serde_json::to_writer(&mut file, value)?;
    file.flush()?;
    file.as_file().sync_data()?;
    file.persist(directory.join(name))?;
    Ok(())
}
