//! Runs, their Jobs and their Attempts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use towpath_model::container::ImageUsed;
use towpath_model::retry::{RetryClass, RetryNote};
use towpath_model::{attempt, run as model};
use utoipa::ToSchema;

use super::shape::run as shape;

/// One execution of the pipeline file at one commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// Its Project.
    pub project: String,
    /// 1, 2, 3 … within the Project.
    pub number: u64,
    /// Where in the repository the Project lives; empty for the root.
    pub directory: String,
    /// What it was started for.
    #[schema(value_type = shape::Cause)]
    pub cause: model::Cause,
    /// `protected`, `internal` or `fork`.
    #[schema(value_type = String)]
    pub trust: model::Trust,
    /// Digest of the pipeline file's bytes.
    pub pipeline_digest: Option<String>,
    /// What is wrong with the pipeline file, rendered for people.
    pub diagnostics: Vec<String>,
    /// The source tree, once it is packed.
    pub source: Option<String>,
    /// `invalid`, `preparing`, `running`, `sealing`, `passed`, `failed` or `cancelled`.
    #[schema(value_type = String)]
    pub state: model::RunState,
    /// For people: why it is in this state.
    pub reason: String,
    /// Its Jobs, in the order of the file.
    pub jobs: Vec<Job>,
    /// The Release that it sealed.
    #[schema(value_type = Option<shape::SealedRelease>)]
    pub release: Option<model::SealedRelease>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
}

/// A Job of a Run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// The Jobs that must be done before it.
    #[serde(default)]
    pub needs: Vec<String>,
    /// `blocked`, `waiting`, `active`, `passed`, `failed`, `skipped` or `cancelled`.
    #[schema(value_type = String)]
    pub state: model::JobState,
    /// For people: why it is in this state.
    pub reason: String,
    /// For people: why it ran, where it has `paths`.
    #[serde(default)]
    pub why: String,
    /// The names of its Steps.
    pub steps: Vec<String>,
    /// Whether its concurrency group was given to it.
    pub group_granted: bool,
    /// Its Attempts, oldest first.
    pub attempts: Vec<Attempt>,
    /// How many of them belong to earlier rounds, before somebody asked for another try.
    #[serde(default)]
    pub earlier_attempts: usize,
    /// Outputs of the Attempt that passed.
    pub outputs: BTreeMap<String, String>,
    /// Artifacts of the Attempt that passed, by name.
    pub artifacts: BTreeMap<String, String>,
    /// Where it passed only after another Attempt did not: the class of that failure.
    #[schema(value_type = Option<String>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed_on_retry: Option<RetryClass>,
    /// Until when it waits before it is tried again.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_until: Option<Timestamp>,
}

/// One try of a Job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// Its id.
    pub id: String,
    /// 1, 2, 3 … within its Job.
    pub number: u32,
    /// `queued`, `leased`, `running`, `passed`, `failed`, `timed-out`, `cancelled`, `errored` or `lost`.
    #[schema(value_type = String)]
    pub state: attempt::AttemptState,
    /// How often it was handed out; reports under an earlier fence are refused.
    pub fence: u64,
    /// The agent that runs or ran it.
    pub agent: Option<String>,
    /// The confinement in use.
    pub isolation: Option<String>,
    /// The images that it used, by the bytes that they were.
    #[schema(value_type = Vec<shape::ImageUsed>)]
    #[serde(default)]
    pub images: Vec<ImageUsed>,
    /// Its Steps, in order.
    #[schema(value_type = Vec<shape::StepProgress>)]
    pub steps: Vec<attempt::StepProgress>,
    /// When it was queued.
    #[schema(value_type = String, format = DateTime)]
    pub queued_at: Timestamp,
    /// When an agent took it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
    /// For people: how it ended.
    pub message: String,
    /// How many reports of its agent were taken.
    pub reported: u64,
    /// Counts of its tests, where it has JUnit files.
    #[schema(value_type = Option<shape::TestCounts>)]
    pub tests: Option<attempt::TestCounts>,
    /// Bytes of log.
    pub log_bytes: u64,
    /// Where it went on, instead of from the source tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<String>,
    /// Where it did not pass: its class (`lost`, `image_pull`, `network`, `timeout`, `exit_code`, `pattern`), and whether it was tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<AttemptRetry>,
}

/// What became of an Attempt that did not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttemptRetry {
    /// Its class.
    #[schema(value_type = String)]
    pub class: RetryClass,
    /// What makes it one of that class.
    pub why: String,
    /// Whether it was tried again.
    pub again: bool,
    /// All of it for people.
    pub words: String,
}

impl From<&RetryNote> for AttemptRetry {
    fn from(note: &RetryNote) -> Self {
        Self { class: note.class, why: note.why.clone(), again: note.again.is_some(), words: note.words() }
    }
}

impl From<&attempt::Attempt> for Attempt {
    fn from(attempt: &attempt::Attempt) -> Self {
        let attempt::Attempt {
            id,
            number,
            state,
            fence,
            agent,
            isolation,
            images,
            steps,
            queued_at,
            started_at,
            finished_at,
            message,
            reported,
            tests,
            log_bytes,
            resume,
            hindered_by: _,
            words: _,
            retry,
        } = attempt;
        Self {
            id: id.to_string(),
            number: *number,
            state: *state,
            fence: *fence,
            agent: agent.map(|agent| agent.to_string()),
            isolation: isolation.clone(),
            images: images.clone(),
            steps: steps.clone(),
            queued_at: *queued_at,
            started_at: *started_at,
            finished_at: *finished_at,
            message: message.clone(),
            reported: *reported,
            tests: *tests,
            log_bytes: *log_bytes,
            resumed: resume.as_ref().map(|resume| {
                let edited = if resume.run.is_some() { ", with an edited command" } else { "" };
                format!("from step {}{edited}", resume.from + 1)
            }),
            retry: retry.as_ref().map(AttemptRetry::from),
        }
    }
}

impl Job {
    fn new(job: &model::JobRun, needs: Vec<String>) -> Self {
        let model::JobRun {
            name,
            state,
            reason,
            why,
            steps,
            group_granted,
            attempts,
            earlier_attempts,
            outputs,
            artifacts,
            paused_until,
        } = job;
        Self {
            name: name.to_string(),
            needs,
            state: *state,
            reason: reason.clone(),
            why: why.clone(),
            steps: steps.clone(),
            group_granted: *group_granted,
            attempts: attempts.iter().map(Attempt::from).collect(),
            earlier_attempts: *earlier_attempts,
            outputs: outputs.clone(),
            artifacts: artifacts
                .iter()
                .map(|(name, digest)| (name.to_string(), digest.to_string()))
                .collect(),
            passed_on_retry: job.passed_on_retry(),
            paused_until: *paused_until,
        }
    }
}

impl From<&model::Run> for Run {
    fn from(run: &model::Run) -> Self {
        let model::Run {
            id,
            project,
            number,
            directory,
            cause,
            trust,
            pipeline,
            pipeline_digest,
            diagnostics,
            source,
            state,
            reason,
            jobs,
            bases: _,
            spending: _,
            release,
            created_at,
            finished_at,
        } = run;
        let needs = |job: &model::JobRun| {
            let planned = pipeline.iter().flat_map(|pipeline| &pipeline.jobs);
            let planned = planned.into_iter().find(|planned| planned.name == job.name);
            planned.map(|planned| planned.needs.iter().map(ToString::to_string).collect()).unwrap_or_default()
        };
        Self {
            id: id.to_string(),
            project: project.to_string(),
            number: *number,
            directory: directory.clone(),
            cause: cause.clone(),
            trust: *trust,
            pipeline_digest: pipeline_digest.map(|digest| digest.to_string()),
            diagnostics: diagnostics.clone(),
            source: source.map(|digest| digest.to_string()),
            state: *state,
            reason: reason.clone(),
            jobs: jobs.iter().map(|job| Job::new(job, needs(job))).collect(),
            release: release.clone(),
            created_at: *created_at,
            finished_at: *finished_at,
        }
    }
}
