//! What an agent and the server say to each other.
//!
//! The agent always calls; nothing connects in to it.
//!
//! | call | request | response |
//! |---|---|---|
//! | `POST /agent/v1/enrol` | [`Enrol`] | [`Enrolled`] |
//! | `POST /agent/v1/renew` | [`Renew`] | [`Enrolled`] |
//! | `POST /agent/v1/poll` | [`Poll`] | [`Orders`] |
//! | `POST /agent/v1/attempts/{attempt}/events` | [`AttemptReport`] | `204` |
//! | `PUT /agent/v1/attempts/{attempt}/log?fence=&offset=` | raw log bytes | [`LogAcknowledged`] |
//! | `POST /agent/v1/instances` | [`InstanceReport`] | `204` |
//! | `HEAD,GET,PUT /agent/v1/blobs/{digest}` | raw bytes | raw bytes |
//!
//! A call about an Attempt carries its fence; `409` with a [`Fenced`] body means that the lease
//! was given to another, and the agent kills what it runs for it and says no more about it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use towpath_model::container::ImageUsed;
use towpath_model::reports::{ReportDeclaration, ReportFile};
use towpath_model::retry::RetryClass;
use towpath_model::{
    AgentId, ArtifactName, AttemptId, Digest, EnvironmentKey, InstanceId, JobLimits, JobName, ProjectName,
    WorkloadName,
};
use uuid::Uuid;

use crate::containers::{ContainerOrder, Containers, ImageOrder};

/// What an agent names among the protocols of its TLS handshake (ALPN), so that it is shown the certificate of the
/// authority that it pinned, whatever other certificate the server has for people. It is never chosen.
pub const TLS_PROTOCOL: &[u8] = b"towpath-agent";

/// Asks for a certificate with a one-use join token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Enrol {
    /// The secret part of the join token.
    pub token: String,
    /// A PKCS#10 request in PEM, made with the agent's own key.
    pub request: String,
    /// The host's name, for people.
    pub hostname: String,
    /// Labels the agent wants to be found by.
    pub labels: BTreeMap<String, String>,
}

/// Asks for a new certificate over a connection that the old one still authenticates.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Renew {
    /// A PKCS#10 request in PEM.
    pub request: String,
}

/// A certificate for the agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Enrolled {
    /// The agent's identity; also the common name of the certificate.
    pub agent: AgentId,
    /// The certificate chain in PEM, leaf first.
    pub certificate: String,
    /// The instance CA's certificate in PEM.
    pub authority: String,
    /// The release public key in PEM (SPKI, P-256).
    pub release_key: String,
    /// When the certificate ends. The agent renews after two thirds of its life.
    pub not_after: Timestamp,
}

/// "Here I am, this is what I hold, what next?" Answered at once if there is news, else after `wait_ms`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Poll {
    /// The agent.
    pub agent: AgentId,
    /// Drawn anew at each start of the process: two processes with one identity are told apart.
    pub session: Uuid,
    /// The agent's version of Towpath.
    pub version: String,
    /// The host's name.
    pub hostname: String,
    /// Labels, as `role: web`.
    pub labels: BTreeMap<String, String>,
    /// Whether it takes Attempts.
    pub runner: bool,
    /// Whether it runs Instances.
    pub deployer: bool,
    /// The address at which its Instances can be reached.
    pub address: IpAddr,
    /// The container engine that it can use, as `docker 28.2.2`.
    #[serde(default)]
    pub engine: Option<String>,
    /// How many more Attempts it can take now.
    pub capacity: u32,
    /// Every Attempt that it holds. A lease not named here is lost.
    pub held: Vec<Lease>,
    /// The generation of [`DesiredInstances`] that it last applied; 0 if none.
    pub instances_generation: u64,
    /// How long the server may hold the answer, in milliseconds; at most 30,000.
    pub wait_ms: u32,
    /// Whether it ends after one Attempt.
    #[serde(default)]
    pub one_job: bool,
}

/// A claim on an Attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// The Attempt.
    pub attempt: AttemptId,
    /// Grows with each time the Attempt is given away; the server refuses what carries an older one.
    pub fence: u64,
}

/// What the server wants of the agent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Orders {
    /// Attempts to start. The agent answers with [`AttemptEvent::Started`] or stays silent and loses them.
    pub assignments: Vec<Assignment>,
    /// Attempts to end now.
    pub cancel: Vec<Cancel>,
    /// The Instances that shall run on this agent; absent where `instances_generation` is current.
    pub instances: Option<DesiredInstances>,
    /// How long a lease lasts after a poll that named it, in milliseconds.
    pub lease_ms: u32,
    /// How long the server held this answer, in milliseconds: the lease counts from the question plus this.
    #[serde(default)]
    pub waited_ms: u32,
    /// Why the agent is given no Attempts, where it should know: it is too old, or drained.
    #[serde(default)]
    pub notice: Option<String>,
}

/// Ends an Attempt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cancel {
    /// Which.
    pub lease: Lease,
    /// Why, for the log.
    pub reason: String,
}

/// One Attempt, with all that is needed to run it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Assignment {
    /// The claim.
    pub lease: Lease,
    /// For people: `shop#12 test`.
    pub title: String,
    /// The Project.
    pub project: ProjectName,
    /// The Job; `None` for a verification.
    pub job: Option<JobName>,
    /// The source tree: an uncompressed tar with this digest.
    pub source: Digest,
    /// Where in the source tree the Project lives; steps start there.
    pub directory: String,
    /// The Steps, in order.
    pub steps: Vec<StepOrder>,
    /// Environment of every Step.
    pub env: BTreeMap<String, String>,
    /// Secrets, given as environment; their values are masked in the log.
    pub secrets: BTreeMap<String, Secret>,
    /// Artifacts of earlier Jobs, unpacked at the root of the workspace before the first Step.
    pub inputs: Vec<Input>,
    /// Artifacts to pack when every Step has passed.
    pub artifacts: Vec<ArtifactOrder>,
    /// Reports to send when the Steps have ended, passed or not.
    #[serde(default)]
    pub reports: Vec<ReportDeclaration>,
    /// Tests in quarantine: where no other failed, their failure does not fail a Step.
    #[serde(default)]
    pub quarantine: Vec<String>,
    /// How long tests took before, one JSON object a line, where the Job divides its tests.
    #[serde(default)]
    pub test_times: Option<Digest>,
    /// How to confine the Steps.
    pub executor: ExecutorKind,
    /// Whether the Steps may use the network.
    pub network: bool,
    /// What the Attempt may use.
    #[serde(default)]
    pub limits: JobLimits,
    /// The whole Attempt's time, in milliseconds.
    pub timeout_ms: u64,
    /// The image of its Steps and the Services beside them.
    #[serde(default)]
    pub containers: Containers,
    /// What it reuses of earlier Attempts, and leaves for later ones.
    #[serde(default)]
    pub reuse: crate::reuse::ReuseOrder,
}

/// One Step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepOrder {
    /// For people.
    pub name: String,
    /// A script for `sh -eu` (or for `shell`).
    pub run: String,
    /// Another interpreter and its arguments, such as `["bash", "-euo", "pipefail"]`; the script follows as a file.
    pub shell: Option<Vec<String>>,
    /// Environment of this Step over that of the Attempt.
    pub env: BTreeMap<String, String>,
    /// Directory relative to the Attempt's.
    pub directory: Option<String>,
    /// This Step's time, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Whether it runs though an earlier Step failed.
    pub always: bool,
    /// What it reads and makes, where it can be left out.
    #[serde(default)]
    pub inputs: Option<towpath_model::reuse::StepInputs>,
}

/// An Artifact that an Attempt starts with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Input {
    /// Its name.
    pub name: ArtifactName,
    /// Its OCI manifest.
    pub manifest: Digest,
}

/// An Artifact that an Attempt shall leave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ArtifactOrder {
    /// Its name.
    pub name: ArtifactName,
    /// Patterns relative to the Project's directory: `target/release/shop`, `dist/**`.
    pub files: Vec<String>,
    /// An image to build instead.
    #[serde(default)]
    pub image: Option<ImageOrder>,
}

/// How Steps are confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExecutorKind {
    /// Bubblewrap where present, else Landlock.
    Sandbox,
    /// In a container of an image.
    Container,
    /// Not at all.
    Host,
}

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    #[must_use]
    pub const fn new(value: String) -> Self {
        Self(value)
    }

    /// The value itself. Every call is a place to look at in a review.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("****")
    }
}

/// News of one Attempt, in order. Repeating a sequence number changes nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AttemptReport {
    /// The fence of the lease.
    pub fence: u64,
    /// What happened.
    pub events: Vec<SequencedEvent>,
}

/// One numbered event.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SequencedEvent {
    /// 1, 2, 3 … within the Attempt and fence.
    pub sequence: u64,
    /// When it happened, by the agent's clock.
    pub at: Timestamp,
    /// What happened.
    pub event: AttemptEvent,
}

/// What happens to an Attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum AttemptEvent {
    /// The agent has taken it and prepares the workspace.
    Started {
        /// The confinement in use: executor, layers and limits, as `bubblewrap, landlock 6, seccomp, no network, memory 2 GiB`.
        isolation: String,
    },
    /// The images that it uses, by the bytes that they are on this agent.
    Images {
        /// Each with what it is for.
        images: Vec<ImageUsed>,
    },
    /// Something that is not the Job's fault keeps it from being run.
    Hindered {
        /// What: `lost` or `image_pull`.
        by: RetryClass,
    },
    /// A Step's process started.
    StepStarted {
        /// Index into the Assignment's Steps.
        step: u32,
    },
    /// A Step's process ended, or was not run.
    StepFinished {
        /// Index into the Assignment's Steps.
        step: u32,
        /// How.
        outcome: StepOutcome,
    },
    /// The Attempt ended. The log is complete and acknowledged before this is sent.
    Finished {
        /// How.
        outcome: AttemptOutcome,
        /// For people: the step and why.
        message: String,
        /// What Steps wrote to `$TOWPATH_OUTPUT` as `NAME=value`.
        outputs: BTreeMap<String, String>,
        /// The manifest of each packed Artifact; every blob was uploaded before.
        artifacts: BTreeMap<ArtifactName, Digest>,
        /// What the JUnit files say, as the agent read them. For a Job the server reads them itself.
        tests: Option<TestCounts>,
        /// The reports; the bytes of each were uploaded before.
        #[serde(default)]
        reports: Vec<ReportFile>,
        /// Bytes of log that were acknowledged.
        log_bytes: u64,
    },
}

/// How a Step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum StepOutcome {
    /// Exit code 0.
    Passed,
    /// Another exit code.
    Failed {
        /// It.
        code: i32,
    },
    /// Killed by a signal.
    Killed {
        /// Its number.
        signal: i32,
    },
    /// Its time was up.
    TimedOut,
    /// An earlier Step failed, or the Attempt was cancelled.
    Skipped,
}

/// How an Attempt ended, as the agent saw it. `lost` is the server's word, not the agent's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttemptOutcome {
    /// Every Step passed and every Artifact was packed.
    Passed,
    /// A Step failed, or an Artifact's files were not there.
    Failed,
    /// Its time was up.
    TimedOut,
    /// The server cancelled it.
    Cancelled,
    /// The agent could not run it: no sandbox, disk full, bad source. Not the Job's fault.
    Errored,
}

/// Counts over all JUnit files of an Attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TestCounts {
    /// Test cases that passed.
    pub passed: u32,
    /// Test cases that failed or errored.
    pub failed: u32,
    /// Test cases that were skipped.
    pub skipped: u32,
}

/// The log's length that is on disk, after an fsync.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct LogAcknowledged {
    /// In bytes. Where it differs from the end of what was sent, the agent goes on from here.
    pub length: u64,
}

/// The body of a `409`: somebody else holds the Attempt, or it is over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fenced {
    /// Why.
    pub reason: String,
}

/// Everything that shall run on one agent. What is not named is stopped.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DesiredInstances {
    /// Grows with each change. The agent ignores one that is not newer than what it applied.
    pub generation: u64,
    /// The Instances.
    pub instances: Vec<InstanceOrder>,
    /// Releases that may be started here again at any moment: their images stay.
    #[serde(default)]
    pub keep: BTreeSet<Digest>,
}

/// One Instance that shall run.
///
/// What to run (Artifact, command, health checks, stop signal, limits) is not said here: the agent
/// reads it from the Release, after it has checked the Release's digest and signature.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InstanceOrder {
    /// Its identity. A new one is a new process; the same one is never started twice.
    pub instance: InstanceId,
    /// Where it belongs.
    pub environment: EnvironmentKey,
    /// Which Workload of the Release.
    pub workload: WorkloadName,
    /// The Revision, for labels and logs.
    pub revision: Digest,
    /// The Release manifest.
    pub release: Digest,
    /// The DSSE envelope over the Release manifest.
    pub signature: Digest,
    /// The ConfigRevision's values.
    pub values: BTreeMap<String, String>,
    /// Secrets granted to the Environment; masked in logs.
    pub secrets: BTreeMap<String, Secret>,
    /// Set where it is a container; without it, a process of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerOrder>,
}

/// What runs on one agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InstanceReport {
    /// The agent.
    pub agent: AgentId,
    /// The process of the agent that says so.
    pub session: Uuid,
    /// The generation of [`DesiredInstances`] that this reflects.
    pub generation: u64,
    /// Every Instance that exists on the host, wanted or not.
    pub instances: Vec<InstanceStatus>,
}

/// One Instance as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// Which.
    pub instance: InstanceId,
    /// Where it belongs.
    pub environment: EnvironmentKey,
    /// Its Revision.
    pub revision: Digest,
    /// Where it is in its life.
    pub phase: InstancePhase,
    /// Where it listens, once a port was chosen.
    pub address: Option<SocketAddr>,
    /// How often its process was started again.
    pub restarts: u32,
    /// For people: what it waits for, or why it failed.
    pub message: String,
    /// Since when it is in this phase.
    pub since: Timestamp,
}

/// Where an Instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstancePhase {
    /// Bytes are fetched, verified and unpacked.
    Fetching,
    /// The process runs and the readiness probe has not passed yet.
    Starting,
    /// The readiness probe passes.
    Ready,
    /// It was ready and the readiness probe fails now.
    NotReady,
    /// The process ended and will be started again after a back-off.
    Restarting,
    /// It got its stop signal and drains.
    Stopping,
    /// It is gone, as wanted.
    Stopped,
    /// It will not be tried again: verification refused it, or it cannot start at all.
    Failed,
}
