//! One try of a Job or of a verification.
//!
//! An Attempt is leased to an agent under a fence. Reports that carry another fence, or come twice,
//! change nothing. `lost` is an outcome of its own: nobody knows how far the Attempt came.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::container::ImageUsed;
use crate::reports::ReportFile;
use crate::retry::{RetryClass, RetryNote};
use crate::{AgentId, ArtifactName, AttemptId, Digest};

/// The most images that are remembered of one Attempt; the file cannot name as many.
const MAX_IMAGES: usize = 64;

/// One try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its identity.
    pub id: AttemptId,
    /// 1, 2, 3 … within its Job.
    pub number: u32,
    /// Where it is in its life.
    pub state: AttemptState,
    /// The fence of the current lease; 0 before the first.
    pub fence: u64,
    /// Who runs or ran it.
    pub agent: Option<AgentId>,
    /// The confinement in use.
    pub isolation: Option<String>,
    /// The images that it used.
    #[serde(default)]
    pub images: Vec<ImageUsed>,
    /// Its Steps, in order.
    pub steps: Vec<StepProgress>,
    /// When it was queued.
    pub queued_at: Timestamp,
    /// When an agent took it.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// For people: how it ended.
    pub message: String,
    /// The highest sequence number of a report that was applied.
    pub reported: u64,
    /// Counts of its tests, where it has JUnit files.
    pub tests: Option<TestCounts>,
    /// Bytes of log.
    pub log_bytes: u64,
    /// Where it goes on, instead of from the source tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
    /// What kept its agent from running it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hindered_by: Option<RetryClass>,
    /// The line of its log that says what went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
    /// Whether it was tried again, and why, where it did not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryNote>,
}

/// Where an Attempt goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The kept workspace; none where it begins with the first Step.
    pub snapshot: Option<Digest>,
    /// The index of the first Step to run.
    pub from: u32,
    /// For people, whose workspace it is: `attempt 1, after step 2`.
    pub title: String,
    /// The script that this Step runs instead of its own.
    pub run: Option<String>,
}

/// Where an Attempt is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttemptState {
    /// No agent has it yet.
    Queued,
    /// An agent has it.
    Leased,
    /// The agent runs it.
    Running,
    /// Every Step passed.
    Passed,
    /// A Step failed.
    Failed,
    /// Its time was up.
    TimedOut,
    /// Somebody, or something newer, ended it.
    Cancelled,
    /// The agent could not run it.
    Errored,
    /// The agent went silent.
    Lost,
}

impl AttemptState {
    /// Whether nothing more happens to it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Leased | Self::Running => false,
            Self::Passed | Self::Failed | Self::TimedOut | Self::Cancelled | Self::Errored | Self::Lost => {
                true
            }
        }
    }

    /// The word for people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Leased => "leased",
            Self::Running => "running",
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::TimedOut => "timed out",
            Self::Cancelled => "cancelled",
            Self::Errored => "errored",
            Self::Lost => "lost",
        }
    }
}

/// One Step as far as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepProgress {
    /// For people.
    pub name: String,
    /// Where it is.
    pub state: StepState,
    /// When its process started.
    pub started_at: Option<Timestamp>,
    /// When its process ended.
    pub finished_at: Option<Timestamp>,
}

/// Where a Step is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum StepState {
    /// Not yet.
    Pending,
    /// Its process runs.
    Running,
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
    /// It was not run.
    Skipped,
}

/// Counts over JUnit files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TestCounts {
    /// Passed.
    pub passed: u32,
    /// Failed or errored.
    pub failed: u32,
    /// Skipped.
    pub skipped: u32,
    /// Of those that passed: only when they were tried again.
    #[serde(default)]
    pub retried: u32,
    /// Of those that failed: in quarantine.
    #[serde(default)]
    pub quarantined: u32,
}

/// What an agent says of an Attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum AttemptReport {
    /// The agent prepares the workspace.
    Started {
        /// The confinement in use.
        isolation: String,
    },
    /// The images that it uses, in addition to those that it named before.
    Images {
        /// Each with what it is for.
        images: Vec<ImageUsed>,
    },
    /// Something that is not the Job's fault keeps it from being run.
    Hindered {
        /// What.
        by: RetryClass,
    },
    /// A Step's process started.
    StepStarted {
        /// Which.
        step: usize,
    },
    /// A Step's process ended or was not run.
    StepFinished {
        /// Which.
        step: usize,
        /// How.
        state: StepState,
    },
    /// The Attempt ended.
    Finished(Finished),
}

/// The end of an Attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// A final state, never `Lost`.
    pub state: AttemptState,
    /// For people.
    pub message: String,
    /// What Steps wrote to `$TOWPATH_OUTPUT`.
    pub outputs: BTreeMap<String, String>,
    /// The manifests of its Artifacts.
    pub artifacts: BTreeMap<ArtifactName, Digest>,
    /// Counts of its tests.
    pub tests: Option<TestCounts>,
    /// The reports that it left.
    #[serde(default)]
    pub reports: Vec<ReportFile>,
    /// Bytes of log.
    pub log_bytes: u64,
}

/// What a report did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// It was old, doubled or fenced off.
    Nothing,
    /// The Attempt goes on.
    Progress,
    /// The Attempt ended.
    Ended(Finished),
}

impl Attempt {
    /// Makes a queued Attempt.
    #[must_use]
    pub fn queued(
        id: AttemptId,
        number: u32,
        steps: impl IntoIterator<Item = String>,
        now: Timestamp,
    ) -> Self {
        let pending =
            |name| StepProgress { name, state: StepState::Pending, started_at: None, finished_at: None };
        Self {
            id,
            number,
            state: AttemptState::Queued,
            fence: 0,
            agent: None,
            isolation: None,
            images: Vec::new(),
            steps: steps.into_iter().map(pending).collect(),
            queued_at: now,
            started_at: None,
            finished_at: None,
            message: String::new(),
            reported: 0,
            tests: None,
            log_bytes: 0,
            resume: None,
            hindered_by: None,
            words: None,
            retry: None,
        }
    }

    /// Gives it to an agent. Says whether it was still to be had.
    pub fn lease(&mut self, agent: AgentId, fence: u64, now: Timestamp) -> bool {
        if self.state != AttemptState::Queued || fence <= self.fence {
            return false;
        }
        self.state = AttemptState::Leased;
        self.agent = Some(agent);
        self.fence = fence;
        self.started_at = Some(now);
        true
    }

    /// Applies one report of the agent that holds it.
    pub fn report(&mut self, fence: u64, sequence: u64, at: Timestamp, report: AttemptReport) -> Applied {
        let unleased = self.state == AttemptState::Queued;
        if unleased || self.state.is_final() || fence != self.fence || sequence <= self.reported {
            return Applied::Nothing;
        }
        self.reported = sequence;
        match report {
            AttemptReport::Started { isolation } => {
                self.state = AttemptState::Running;
                self.isolation = Some(isolation);
            }
            AttemptReport::Images { images } => {
                let room = MAX_IMAGES.saturating_sub(self.images.len());
                self.images.extend(images.into_iter().take(room));
            }
            // An agent may say that something else is to blame than the Job, but not that the Job is.
            AttemptReport::Hindered { by } => self.hindered_by = Some(by).filter(|by| !by.is_own()),
            AttemptReport::StepStarted { step } => {
                if let Some(progress) = self.steps.get_mut(step) {
                    progress.state = StepState::Running;
                    progress.started_at = Some(at);
                }
            }
            AttemptReport::StepFinished { step, state } => {
                if let Some(progress) = self.steps.get_mut(step) {
                    progress.state = state;
                    progress.finished_at = Some(at);
                }
            }
            AttemptReport::Finished(finished) => {
                self.end(finished.state, finished.message.clone(), at);
                self.tests = finished.tests;
                self.log_bytes = finished.log_bytes;
                return Applied::Ended(finished);
            }
        }
        Applied::Progress
    }

    /// Ends it, whatever it was doing. Steps that had not ended are skipped.
    pub fn end(&mut self, state: AttemptState, message: String, at: Timestamp) {
        self.state = state;
        self.message = message;
        self.finished_at = Some(at);
        for step in &mut self.steps {
            if matches!(step.state, StepState::Pending | StepState::Running) {
                step.state = StepState::Skipped;
            }
        }
    }
}
