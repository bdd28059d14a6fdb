//! What a commit asks for: the checked content of `towpath.yaml`.
//!
//! These values are complete and consistent: `config` refuses what is not. They are still
//! untrusted: an Environment's [`policy`](crate::policy) may demand more, never less.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::container::{Image, ImageBuild, Service};
use crate::cron::Cron;
use crate::evidence::EvidenceGate;
use crate::gate::LONG_PATIENCE;
pub use crate::gate::{DelayGate, ExpressionGate, HoldGate, MetricGate, UpstreamGate, WebhookGate, When};
use crate::input::Input;
use crate::intake::Promote;
use crate::matrix::Cell;
use crate::migration::Database;
use crate::origin::{PullRequestTrigger, ReleaseTrigger};
pub use crate::protocol::Protocol;
use crate::reports::ReportDeclaration;
pub use crate::retry::Retry;
use crate::reuse::{CacheDeclaration, KeepWorkspace, StepInputs};
use crate::schedule::ScheduleTrigger;
pub use crate::strategy::{
    Amount, BlueGreen, Canary, CanaryStep, Rolling, Route, RouteField, Side, Sticky, Strategy,
};
pub use crate::workload::{Health, Limits, Origin, Stop, Workload};
use crate::{ArtifactName, EnvironmentName, JobLimits, JobName, ProjectName, StageName, WorkloadName};

/// The checked pipeline file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pipeline {
    /// The Project's name as the file gives it.
    pub name: ProjectName,
    /// What starts a Run.
    pub triggers: Triggers,
    /// Environment of every Job.
    pub env: BTreeMap<String, EnvValue>,
    /// Whether a newer Run of the same ref cancels an older one that has sealed nothing yet.
    pub cancel_superseded: bool,
    /// Jobs in the order of the file.
    pub jobs: Vec<Job>,
    /// Workloads in the order of the file.
    pub workloads: Vec<Workload>,
    /// Databases whose migrations the Release brings, in the order of the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<Database>,
    /// Stages in the order of the file; `needs` gives the real order.
    pub stages: Vec<Stage>,
}

impl Pipeline {
    /// Finds a Job.
    #[must_use]
    pub fn job(&self, name: &JobName) -> Option<&Job> {
        self.jobs.iter().find(|job| job.name == *name)
    }

    /// Whether a Workload is an image, made by a Job or of a registry.
    #[must_use]
    pub fn is_image(&self, workload: &Workload) -> bool {
        let built = |name: &ArtifactName| {
            let mut made = self.jobs.iter().flat_map(|job| &job.artifacts);
            made.any(|artifact| artifact.name == *name && artifact.image.is_some())
        };
        match workload.origin() {
            Origin::Artifact(artifact) => built(artifact),
            Origin::Image(_) => true,
        }
    }

    /// Finds a Workload.
    #[must_use]
    pub fn workload(&self, name: &WorkloadName) -> Option<&Workload> {
        self.workloads.iter().find(|workload| workload.name == *name)
    }

    /// Finds the Stage that lists an Environment.
    #[must_use]
    pub fn stage_of(&self, environment: &EnvironmentName) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.environments.contains(environment))
    }
}

/// What starts a Run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Triggers {
    /// A push to a branch.
    pub push: Option<PushTrigger>,
    /// A pushed tag.
    pub tag: Option<TagTrigger>,
    /// `towpath start`, the button, the API.
    pub manual: bool,
    /// What a person may say when they start it.
    #[serde(default)]
    pub inputs: Vec<Input>,
    /// A pull request of the forge that the Project is mirrored from.
    #[serde(default)]
    pub pull_request: Option<PullRequestTrigger>,
    /// Times.
    #[serde(default)]
    pub schedules: Vec<ScheduleTrigger>,
    /// Releases of other Projects.
    #[serde(default)]
    pub releases: Vec<ReleaseTrigger>,
}

/// Which pushes to branches.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PushTrigger {
    /// Branch patterns with `*`; empty means all.
    pub branches: Vec<String>,
    /// Only when one of these path patterns changed; empty means always.
    pub paths: Vec<String>,
}

/// Which pushed tags.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TagTrigger {
    /// Tag patterns with `*`; empty means all.
    pub patterns: Vec<String>,
}

/// The value of an environment variable: plain text, or text with `${{ }}` in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EnvValue(pub String);

impl EnvValue {
    /// Whether it has to be evaluated before use.
    #[must_use]
    pub fn is_expression(&self) -> bool {
        self.0.contains("${{")
    }
}

/// A condition in CEL, checked when the file was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Condition(pub String);

impl Condition {
    /// Whether it asks how other Jobs ended. Then it alone decides, also after a failure.
    #[must_use]
    pub fn asks_for_outcomes(&self) -> bool {
        self.0.contains("outcome")
    }
}

/// A node of the Run's graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its name.
    pub name: JobName,
    /// Jobs that must have passed before.
    pub needs: Vec<JobName>,
    /// Those of `needs` that may be skipped or not there at all; they only have to be done.
    #[serde(default)]
    pub optional_needs: BTreeSet<JobName>,
    /// What the Jobs that it needs must have come to.
    #[serde(default)]
    pub run_when: RunWhen,
    /// Patterns of the paths that it reads; empty means all. See [`owed`](crate::owed).
    #[serde(default)]
    pub paths: Vec<String>,
    /// Runs only where this holds.
    pub condition: Option<Condition>,
    /// Environment of every Step.
    pub env: BTreeMap<String, EnvValue>,
    /// Secrets given as environment.
    pub secrets: Vec<SecretName>,
    /// Its Steps.
    pub steps: Vec<Step>,
    /// Artifacts that it leaves.
    pub artifacts: Vec<ArtifactDeclaration>,
    /// Files that are reports.
    #[serde(default)]
    pub reports: Vec<ReportDeclaration>,
    /// Labels an agent must have.
    pub runs_on: BTreeMap<String, String>,
    /// How it is confined.
    pub executor: Executor,
    /// The image that its Steps run in.
    #[serde(default)]
    pub image: Option<Image>,
    /// What runs beside its Steps.
    #[serde(default)]
    pub services: Vec<Service>,
    /// Whether it has the network.
    pub network: Network,
    /// What an Attempt may use.
    #[serde(default, skip_serializing_if = "JobLimits::is_empty")]
    pub limits: JobLimits,
    /// The time of one Attempt.
    pub timeout: SignedDuration,
    /// What happens after a failed Attempt.
    pub retry: Retry,
    /// No more than `concurrency_limit` Jobs with the same group run at a time in a Project.
    pub concurrency: Option<String>,
    /// How many that are.
    #[serde(default = "one")]
    pub concurrency_limit: u32,
    /// Which of a Project's waiting Jobs goes first, from 0 to 100: the higher one.
    #[serde(default = "default_priority")]
    pub priority: u8,
    /// A failure of this Job does not fail the Run.
    pub allow_failure: bool,
    /// Its place in a matrix, if it comes from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell: Option<Cell>,
    /// What is kept for later Runs.
    #[serde(default)]
    pub caches: Vec<CacheDeclaration>,
    /// Whether the workspace is kept after each Step.
    #[serde(default)]
    pub workspace: KeepWorkspace,
}

impl Job {
    /// The priority of a Job that names none.
    pub const DEFAULT_PRIORITY: u8 = 50;
}

const fn default_priority() -> u8 {
    Job::DEFAULT_PRIORITY
}

const fn one() -> u32 {
    1
}

/// What the Jobs that a Job needs must have come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunWhen {
    /// Each of them passed.
    #[default]
    AllPassed,
    /// One of them, or one that these needed, failed.
    AnyFailed,
    /// They are done, however they ended.
    Always,
}

impl RunWhen {
    /// The word of the pipeline file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::AllPassed => "all_passed",
            Self::AnyFailed => "any_failed",
            Self::Always => "always",
        }
    }
}

/// How a Job is confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Executor {
    /// Bubblewrap where present, else Landlock.
    Sandbox,
    /// In a container of the Job's image.
    Container,
    /// Not at all; only where the server allows it.
    Host,
}

/// Whether Steps have the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// Whatever the agent has.
    Full,
    /// None.
    None,
}

/// One command of a Job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// For people; the command's first line where the file gives none.
    pub name: String,
    /// The script.
    pub run: String,
    /// Another interpreter with its arguments.
    pub shell: Option<Vec<String>>,
    /// Environment over that of the Job.
    pub env: BTreeMap<String, EnvValue>,
    /// Directory relative to the Project's.
    pub directory: Option<String>,
    /// Its time.
    pub timeout: Option<SignedDuration>,
    /// Whether it runs though an earlier Step failed.
    pub always: bool,
    /// What it reads and makes, where it can be left out.
    #[serde(default)]
    pub inputs: Option<StepInputs>,
}

/// Files, or an image to build, that become an Artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactDeclaration {
    /// Its name.
    pub name: ArtifactName,
    /// Patterns relative to the Project's directory; none where it is an image.
    pub files: Vec<String>,
    /// The image to build.
    #[serde(default)]
    pub image: Option<ImageBuild>,
}

/// The name of a secret, written as an environment variable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretName(String);

impl SecretName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for SecretName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

impl std::str::FromStr for SecretName {
    type Err = InvalidSecretName;

    fn from_str(text: &str) -> Result<Self, InvalidSecretName> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_uppercase() || c == '_');
        let allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        if starts_well && text.len() <= 128 && text.chars().all(allowed) && !text.starts_with("TOWPATH_") {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSecretName { text: text.chars().take(100).collect() })
        }
    }
}

impl TryFrom<String> for SecretName {
    type Error = InvalidSecretName;
    fn try_from(text: String) -> Result<Self, InvalidSecretName> {
        text.parse()
    }
}

impl From<SecretName> for String {
    fn from(name: SecretName) -> Self {
        name.0
    }
}

/// A text that cannot name a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` cannot name a secret; use A-Z, 0-9 and `_`, start with a letter, and not with `TOWPATH_`")]
pub struct InvalidSecretName {
    /// What was given, cut to 100 characters.
    pub text: String,
}

/// A step of the route to production.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Its name.
    pub name: StageName,
    /// Stages that a Revision must have passed before.
    pub needs: Vec<StageName>,
    /// Where it deploys; one Promotion each.
    pub environments: Vec<EnvironmentName>,
    /// Whether a Release is promoted here by itself once `needs` have passed.
    #[serde(default, alias = "automatic", deserialize_with = "crate::intake::read")]
    pub promote: Promote,
    /// Gates that the commit adds to the Environment's own.
    pub gates: Vec<Gate>,
    /// How the Workloads get there.
    pub strategy: Strategy,
    /// How the candidate is judged.
    pub analysis: Analysis,
    /// Checks through the preview address; the candidate gets no user's request before all pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Verification>,
    /// Checks after the deployment; the Promotion succeeds only when all pass.
    pub verify: Vec<Verification>,
    /// What happens on failure.
    pub on_failure: OnFailure,
    /// The whole time of a Promotion's Rollout and verification; then it is rolled back.
    pub deadline: SignedDuration,
}

/// A condition for a Promotion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Gate {
    /// People say yes.
    Approval(ApprovalGate),
    /// Only in certain hours.
    Window(WindowGate),
    /// Not in a certain time.
    Freeze(FreezeGate),
    /// The Release has run elsewhere for a time.
    Soak(SoakGate),
    /// The reports of the Release's Run say what is demanded.
    Evidence(EvidenceGate),
    /// Another system says yes.
    Webhook(WebhookGate),
    /// A measurement is within bounds.
    Metric(MetricGate),
    /// An expression is true.
    Expression(ExpressionGate),
    /// Somebody lifts it.
    Hold(HoldGate),
    /// A time has passed, or a moment has come.
    Delay(DelayGate),
    /// Another Environment is far enough.
    Upstream(UpstreamGate),
    /// What comes by itself starts at the next of these times. No `gates` write it: `promote: { schedule: … }` does.
    Schedule(Cron),
}

impl Gate {
    /// The approval that it is, if it is one.
    #[must_use]
    pub const fn approval(&self) -> Option<&ApprovalGate> {
        match self {
            Self::Approval(gate) => Some(gate),
            Self::Window(_)
            | Self::Freeze(_)
            | Self::Soak(_)
            | Self::Evidence(_)
            | Self::Webhook(_)
            | Self::Metric(_)
            | Self::Expression(_)
            | Self::Hold(_)
            | Self::Delay(_)
            | Self::Upstream(_)
            | Self::Schedule(_) => None,
        }
    }

    /// Who can open it, and how many of them it takes; nobody where it does not depend on people.
    #[must_use]
    pub fn people(&self) -> Option<(&[String], u32)> {
        match self {
            Self::Approval(gate) => Some((&gate.by, gate.count)),
            Self::Hold(gate) => Some((&gate.by, 1)),
            Self::Window(_)
            | Self::Freeze(_)
            | Self::Soak(_)
            | Self::Evidence(_)
            | Self::Webhook(_)
            | Self::Metric(_)
            | Self::Expression(_)
            | Self::Delay(_)
            | Self::Upstream(_)
            | Self::Schedule(_) => None,
        }
    }
}

/// People say yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalGate {
    /// Roles, groups or `@login`.
    pub by: Vec<String>,
    /// How many different people.
    pub count: u32,
    /// How long a request waits until it is rejected.
    pub expires: SignedDuration,
    /// Whether author, co-author, pusher and recent editor of the policy count.
    pub self_approval: SelfApproval,
    /// Shown to the approver.
    pub instructions: String,
    /// What it is needed for, where not for everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// Whether an approver has to say why.
    #[serde(default, skip_serializing_if = "Comment::is_optional")]
    pub comment: Comment,
}

/// Whether who decides has to say why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Comment {
    /// They may.
    #[default]
    Optional,
    /// They have to.
    Required,
}

impl Comment {
    const fn is_optional(&self) -> bool {
        matches!(self, Self::Optional)
    }
}

/// Whether those who made a change may approve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SelfApproval {
    /// They may not.
    Deny,
    /// They may.
    Allow,
}

/// Only in certain hours. Several windows of one Environment: any of them opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowGate {
    /// `mon-thu`, `mon,wed,fri`, `daily`.
    pub days: String,
    /// `09:00-16:00`; may cross midnight.
    pub hours: String,
    /// An IANA time zone.
    pub timezone: String,
}

/// Not in a certain time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeGate {
    /// Its start, as a date or a date and time in `timezone`.
    pub from: String,
    /// Its end.
    pub until: String,
    /// An IANA time zone.
    pub timezone: String,
    /// Why, for people.
    pub reason: String,
}

/// The Release has run elsewhere for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoakGate {
    /// Where.
    pub environment: EnvironmentName,
    /// How long, counted from the end of its Promotion there, while it is still what runs there.
    pub duration: SignedDuration,
    /// How long it may stay shut while it does not run there.
    #[serde(default = "long_patience")]
    pub expires: SignedDuration,
}

pub(crate) const fn long_patience() -> SignedDuration {
    LONG_PATIENCE
}

/// How the candidate is judged.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Analysis {
    /// The error-rate test.
    pub error_rate: ErrorRate,
}

/// The error-rate test. Rates are fractions of requests: 0.005 is half a percentage point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorRate {
    /// How much higher than stable's the candidate's rate may be and still pass.
    pub max_increase: f64,
    /// The rate that is too high whatever stable does. By default there is none: where stable fails as much
    /// itself, going back would help nobody.
    pub max: Option<f64>,
    /// The chance that a good candidate is blamed, over the whole Rollout.
    pub false_alarm: f64,
    /// Requests that the candidate must have answered before any verdict.
    pub min_requests: u64,
    /// The time within which evidence may grow by 2.5 nats at most, so that one short incident is never enough.
    pub block: SignedDuration,
}

impl Default for ErrorRate {
    fn default() -> Self {
        Self {
            max_increase: 0.005,
            max: None,
            false_alarm: 0.01,
            min_requests: 50,
            block: SignedDuration::from_secs(10),
        }
    }
}

/// A check after the deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Verification {
    /// A request through the Environment's listener.
    Http(HttpVerification),
    /// A script on a runner, on the sealed source tree, with `URL` in its environment.
    Run(RunVerification),
}

/// A request through the Environment's listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpVerification {
    /// Path with a leading `/`.
    pub path: String,
    /// The status it must have.
    pub status: u16,
    /// A text that the body must contain.
    pub contains: Option<String>,
    /// How long it may be tried.
    pub within: SignedDuration,
}

/// A script on a runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunVerification {
    /// For people.
    pub name: String,
    /// The script.
    pub run: String,
    /// Secrets given as environment.
    pub secrets: Vec<SecretName>,
    /// JUnit files, as patterns.
    pub junit: Vec<String>,
    /// Its time.
    pub timeout: SignedDuration,
}

/// What happens when a Rollout or a verification fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// Traffic goes back to what ran before.
    Rollback,
    /// The weight stays and a person decides.
    Hold,
}
