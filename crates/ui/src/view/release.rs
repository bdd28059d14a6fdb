//! One Release and its journey.

use jiff::Timestamp;

use super::{Action, ArtifactRow, Commit, GateView, Shell, State};

/// A Release.
#[derive(Debug, Clone)]
pub struct ReleaseView {
    /// The frame.
    pub shell: Shell,
    /// The Project.
    pub project: String,
    /// Its version.
    pub version: String,
    /// Its digest.
    pub digest: String,
    /// The commit it was built from.
    pub commit: Commit,
    /// The Run that sealed it; `None` for one built elsewhere.
    pub run: Option<u64>,
    /// When it was sealed.
    pub sealed: Timestamp,
    /// Whether its signature holds, and in words.
    pub signature: (State, String),
    /// Why it starts nowhere any more, if so.
    pub revoked: Option<String>,
    /// What it consists of.
    pub artifacts: Vec<ArtifactRow>,
    /// What it runs as.
    pub workloads: Vec<WorkloadRow>,
    /// What is known of it.
    pub evidence: Vec<EvidenceRow>,
    /// Its way through the stages.
    pub journey: Vec<JourneyStage>,
    /// Promote, and what else this person may do.
    pub actions: Vec<Action>,
}

/// Something that runs.
#[derive(Debug, Clone)]
pub struct WorkloadRow {
    /// Its name.
    pub name: String,
    /// The Artifact it is made of.
    pub artifact: String,
    /// Its command line.
    pub command: String,
}

/// Something known of an Artifact.
#[derive(Debug, Clone)]
pub struct EvidenceRow {
    /// `tests`, `coverage`, `SBOM`, `provenance`, `signature`.
    pub kind: String,
    /// In words: `214 passed, 0 failed`.
    pub summary: String,
    /// Whether it speaks for the Artifact.
    pub state: State,
    /// The digest of the document.
    pub digest: Option<String>,
}

/// A stage on the journey.
#[derive(Debug, Clone)]
pub struct JourneyStage {
    /// Its name.
    pub name: String,
    /// One leg for each Environment.
    pub legs: Vec<Leg>,
}

/// The way into one Environment.
#[derive(Debug, Clone)]
pub struct Leg {
    /// The Environment.
    pub environment: String,
    /// The newest Promotion there, if it got so far.
    pub promotion: Option<String>,
    /// How it is.
    pub state: State,
    /// Why, in words.
    pub reason: Option<String>,
    /// Every Gate.
    pub gates: Vec<GateView>,
    /// The Rollout: state and words.
    pub rollout: Option<(State, String)>,
    /// The verification: state and words.
    pub verification: Option<(State, String)>,
    /// When it ended.
    pub finished: Option<Timestamp>,
}
