//! What values of the model look like as JSON, for the description of the API alone.
//!
//! The model describes nothing and serialises itself; these are its shapes, field by field. The test below reads what the
//! model writes into them, so that neither goes its own way. Runs and verdicts have files of their own.

use std::collections::BTreeMap;

use serde::Deserialize;
use utoipa::ToSchema;

pub mod intake;
pub mod run;
pub mod verdict;

pub use intake::{Bisection, Intake};

/// Who did it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Actor {
    /// Towpath itself, by a rule.
    Towpath,
    /// A person or a machine account.
    User {
        /// Their identity.
        id: String,
        /// Their login at that time.
        login: String,
    },
    /// An agent.
    Agent {
        /// Its host's name.
        name: String,
    },
}

/// How a Promotion ended.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outcome {
    /// The Revision runs and passed its verification.
    Succeeded,
    /// What ran before runs again.
    RolledBack {
        /// Why.
        reason: String,
        /// From the decision until no new request reached the candidate, in milliseconds.
        time_to_safe_ms: Option<i64>,
    },
    /// Somebody said no.
    Rejected {
        /// Who and why.
        reason: String,
    },
    /// Nobody said yes in time.
    Expired {
        /// Which Gate.
        reason: String,
    },
    /// A newer Revision took its place in the queue.
    Superseded {
        /// Its version.
        by: String,
    },
    /// Somebody withdrew it.
    Cancelled {
        /// Who and why.
        reason: String,
    },
}

/// What a Rollout does now.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Phase {
    /// The way back is checked before anything changes.
    Preparing,
    /// What ran before is stopped (recreate).
    Replacing,
    /// The candidate's Instances start.
    Starting,
    /// Some of the old Instances make room, and some of the candidate's start (rolling).
    Batch {
        /// Which, from 0.
        index: usize,
    },
    /// The candidate has the weight of a step.
    Step {
        /// Which, from 0.
        index: usize,
    },
    /// The candidate gets everything.
    Completing,
    /// A check runs.
    Verifying {
        /// Which, from 0.
        index: usize,
        /// The Attempt, where the check is a script.
        attempt: Option<Box<run::CheckAttempt>>,
    },
    /// Traffic goes back.
    Returning,
}

/// How clients stay with the side that they met first.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Sticky {
    /// The cookie that holds a client's number.
    pub cookie: String,
    /// How long a client keeps it.
    pub duration: String,
}

/// Requests with a certain header field or cookie go to one side.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Where to look.
    pub on: RouteField,
    /// What must stand there.
    pub equals: String,
    /// `candidate` or `stable`.
    pub to: String,
}

/// Where a rule looks.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum RouteField {
    /// In a header field, by its name.
    Header(String),
    /// In a cookie, by its name.
    Cookie(String),
}

/// What a Promotion is held to. Times are ISO 8601 durations: `PT30M`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PromotionPlan {
    /// The Stage on whose behalf.
    pub stage: String,
    /// The Environment's Gates, then the Stage's.
    pub gates: Vec<GateRule>,
    /// How the Workloads get there.
    pub strategy: Strategy,
    /// How the candidate is judged.
    pub analysis: Analysis,
    /// Checks: those before the first weight, then those after the deployment.
    pub verify: Vec<Verification>,
    /// How many of `verify` must pass before the candidate gets any user's request.
    #[serde(default)]
    pub before: usize,
    /// `rollback` or `hold`.
    pub on_failure: String,
    /// The time of Rollout and verification.
    pub deadline: String,
}

/// A condition for a Promotion.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum GateRule {
    /// People say yes.
    Approval {
        /// Roles, groups or `@login`.
        by: Vec<String>,
        /// How many different people.
        count: u32,
        /// How long a request waits.
        expires: String,
        /// `deny` or `allow`.
        self_approval: String,
        /// Shown to the approver.
        instructions: String,
        /// What it is needed for; absent where that is everything.
        when: Option<ApprovalCondition>,
        /// `required` where an approver has to say why; absent where they may.
        comment: Option<String>,
    },
    /// Only in certain hours.
    Window {
        /// `mon-thu`, `daily`.
        days: String,
        /// `09:00-16:00`.
        hours: String,
        /// An IANA time zone.
        timezone: String,
    },
    /// Not in a certain time.
    Freeze {
        /// Its start.
        from: String,
        /// Its end.
        until: String,
        /// An IANA time zone.
        timezone: String,
        /// Why, for people.
        reason: String,
    },
    /// The Release has run elsewhere for a time.
    Soak {
        /// Where.
        environment: String,
        /// How long.
        duration: String,
        /// How long it may not run there.
        expires: String,
    },
    /// What the Run reported of the Release is good enough.
    Evidence(EvidenceRule),
    /// Another system says yes.
    Webhook {
        /// Where the question goes.
        url: String,
        /// The secret that signs it.
        secret: Option<String>,
        /// The longest pause between two questions.
        every: String,
        /// How long it may stay shut.
        expires: String,
    },
    /// What Prometheus answers is within bounds.
    Metric {
        /// Its address.
        prometheus: String,
        /// The query.
        query: String,
        /// The least value.
        min: Option<f64>,
        /// The greatest value.
        max: Option<f64>,
        /// The secret that is sent as bearer token.
        token: Option<String>,
        /// The pause between two questions.
        every: String,
        /// How long it may stay shut.
        expires: String,
    },
    /// An expression is true.
    Expression {
        /// CEL.
        holds: String,
        /// What it is for.
        reason: String,
        /// How long it may stay shut.
        expires: String,
    },
    /// Shut until somebody lifts it.
    Hold {
        /// What it is called.
        name: String,
        /// Who may lift it.
        by: Vec<String>,
        /// Why it is there.
        reason: String,
        /// How long it may stay shut.
        expires: String,
    },
    /// Opens by itself.
    Delay {
        /// After this time.
        duration: Option<String>,
        /// At this moment.
        until: Option<String>,
        /// An IANA time zone.
        timezone: String,
    },
    /// Another Environment is far enough.
    Upstream {
        /// Its Project, where that is another one.
        project: Option<String>,
        /// It.
        environment: String,
        /// It runs this version or a later one.
        at_least: Option<String>,
        /// It runs the same commit.
        same_commit: bool,
        /// How long it may stay shut.
        expires: String,
    },
    /// What comes by itself starts at the next of these times.
    Schedule {
        /// As cron has it.
        cron: String,
        /// An IANA time zone.
        timezone: String,
    },
}

/// What an approval is needed for: any of these.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalCondition {
    /// Patterns of paths.
    pub paths: Vec<String>,
    /// Database migrations.
    pub migrations: bool,
    /// More files than this.
    pub more_files_than: Option<u64>,
    /// More lines than this.
    pub more_lines_than: Option<u64>,
}

/// What is demanded of the Evidence of a Release. What is absent is not looked at.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EvidenceRule {
    /// Of its tests.
    pub tests: Option<TestsDemand>,
    /// Of its coverage.
    pub coverage: Option<CoverageDemand>,
    /// Of what scanners and linters found.
    pub sarif: Option<FindingsDemand>,
    /// Of its load tests.
    pub load: Option<LoadDemand>,
    /// Whether every contract must have been verified, and kept.
    pub contract: bool,
    /// How long it may be missing.
    pub expires: String,
}

/// What is demanded of tests.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestsDemand {
    /// How many may have failed, those in quarantine aside.
    pub max_failed: u32,
    /// `allow` or `refuse`: whether one may have failed and passed when it was tried again.
    pub passed_on_retry: String,
    /// How many may have failed in quarantine.
    pub max_quarantined: Option<u32>,
    /// How many must have passed at least.
    pub min_passed: u32,
}

/// What is demanded of coverage, in hundredths of a percent of lines.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CoverageDemand {
    /// At least.
    pub min: Option<u64>,
    /// How much less than what runs in the Environment.
    pub max_drop: Option<u64>,
}

/// How many findings there may be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FindingsDemand {
    /// Errors.
    pub max_errors: u64,
    /// Warnings.
    pub max_warnings: Option<u64>,
    /// Notes.
    pub max_notes: Option<u64>,
}

/// What is demanded of every load test; times are ISO 8601 durations.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoadDemand {
    /// The median may take so long.
    pub p50: Option<String>,
    /// The 95th percentile may take so long.
    pub p95: Option<String>,
    /// The 99th percentile may take so long.
    pub p99: Option<String>,
    /// How many of the requests may have failed, in hundredths of a percent.
    pub max_failed: Option<u64>,
}

/// How a Revision replaces another.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Strategy {
    /// Stop the old, start the new.
    Recreate,
    /// Both at once, traffic moved in steps.
    Canary {
        /// In order; weights rise.
        steps: Vec<CanaryStep>,
        /// How clients stay with the side that they met first.
        sticky: Option<Sticky>,
        /// Requests that go to one side whatever the weights say.
        #[serde(default)]
        routes: Vec<Route>,
    },
    /// A few Instances after the other.
    Rolling {
        /// How many Instances there may be beyond the wanted number.
        max_surge: Amount,
        /// How many of the wanted number may be missing.
        max_unavailable: Amount,
        /// The least time between one batch and the next.
        duration: String,
        /// The most time for the verdict on a batch.
        max: String,
    },
    /// All of the new beside all of the old, then all traffic at once.
    BlueGreen {
        /// How the candidate is watched after the switch.
        watch: Option<CanaryStep>,
        /// How long what ran before stays ready.
        warm: String,
    },
}

/// A number of Instances, or a share of them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Amount {
    /// So many.
    Count(u32),
    /// So many percent of the wanted number.
    Percent(u32),
}

/// One step of a canary.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CanaryStep {
    /// The candidate's share in thousandths.
    pub weight: u16,
    /// The least time of the step.
    pub duration: String,
    /// The most time: then the Rollout holds for a person.
    pub max: String,
    /// Waits for a person after the step.
    pub pause: bool,
}

/// How the candidate is judged.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Analysis {
    /// The error-rate test.
    pub error_rate: ErrorRate,
}

/// The error-rate test. Rates are fractions of requests.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorRate {
    /// How much higher than stable's the candidate's rate may be.
    pub max_increase: f64,
    /// The rate that is too high whatever stable does.
    pub max: Option<f64>,
    /// The chance that a good candidate is blamed.
    pub false_alarm: f64,
    /// Requests that the candidate must have answered before any verdict.
    pub min_requests: u64,
    /// The time within which evidence may grow by 2.5 nats at most.
    pub block: String,
}

/// A check after the deployment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Verification {
    /// A request through the Environment's listener.
    Http {
        /// Path with a leading `/`.
        path: String,
        /// The status it must have.
        status: u16,
        /// A text that the body must contain.
        contains: Option<String>,
        /// How long it may be tried.
        within: String,
    },
    /// A script on a runner.
    Run {
        /// For people.
        name: String,
        /// The script.
        run: String,
        /// Secrets given as environment.
        secrets: Vec<String>,
        /// JUnit files, as patterns.
        junit: Vec<String>,
        /// Its time.
        timeout: String,
    },
}

/// A version of an Environment's document.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// 1, 2, 3 …
    pub version: u64,
    /// The document.
    pub document: PolicyDocument,
    /// Logins of those who changed its rules lately.
    pub editors: Vec<String>,
}

/// What an Environment demands.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyDocument {
    /// The Environment's name.
    pub environment: String,
    /// Its Project.
    pub project: String,
    /// What starts and stops Instances.
    pub target: Target,
    /// Where the gateway listens for it.
    pub listen: String,
    /// How that is encrypted; absent for plain HTTP.
    pub tls: Option<Tls>,
    /// Where a candidate is reached before users reach it.
    pub preview: Option<String>,
    /// What may be promoted here at all.
    pub allow: Allow,
    /// How Releases come in, where that is not the usual way.
    pub intake: Option<Intake>,
    /// Its Gates.
    pub gates: Vec<GateRule>,
    /// Values of the configuration.
    pub values: BTreeMap<String, String>,
    /// Names of the secrets that are granted to Instances.
    pub secrets: Vec<String>,
}

/// How a listener is encrypted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Where its certificates come from.
    pub certificates: Certificates,
    /// Where plain HTTP is answered with the encrypted address.
    pub redirect: Option<String>,
}

/// Where a listener's certificates come from.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Certificates {
    /// From files on the gateway's machine.
    Files(Vec<CertificateFiles>),
    /// The instance's own authority makes one for these host names or addresses.
    Names(Vec<String>),
}

/// A certificate and its key, in PEM.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// The server's certificate and those between it and its root.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

/// What starts and stops Instances.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Labels of the deploy agents.
    pub hosts: BTreeMap<String, String>,
    /// Instances of each Workload.
    pub instances: u32,
    /// How long a host may be lost until its Instances get successors.
    pub replace_after: String,
    /// Set where Instances are containers.
    pub docker: Option<Docker>,
}

/// How the containers of an Environment are made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Docker {
    /// The network that they join; one of the Environment's own where nothing is said.
    pub network: Option<String>,
    /// Whether a program may write outside of `tmpfs`.
    pub writable: bool,
    /// Directories in memory that it may write to.
    pub tmpfs: Vec<String>,
    /// Capabilities of Linux that it keeps.
    pub capabilities: Vec<String>,
    /// Limits of its processes.
    pub ulimits: BTreeMap<String, u64>,
    /// Who asks which registry for images.
    pub registries: Vec<Registry>,
}

/// A registry that wants to know who asks.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// Its host, with the port where there is one.
    pub host: String,
    /// The name.
    pub username: String,
    /// The secret that holds the password.
    pub password: String,
}

/// What may be promoted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    /// Patterns of full refs.
    pub refs: Vec<String>,
}

/// The Instances of an Environment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// How many groups of Instances were ever made.
    pub groups: u64,
    /// Those that are wanted, or not gone yet.
    pub instances: Vec<Instance>,
}

/// One running copy of a Workload.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// Its identity.
    pub id: String,
    /// Its Workload.
    pub workload: String,
    /// Its Revision's digest.
    pub revision: String,
    /// The agent of its host.
    pub host: String,
    /// Whether it shall run.
    pub wanted: bool,
    /// Set while its host is lost and a successor is on its way.
    pub moving: bool,
    /// Since when it gets no requests any more and waits to be stopped.
    #[schema(format = DateTime)]
    pub leaving: Option<String>,
    /// `ordered`, `fetching`, `starting`, `ready`, `not-ready`, `restarting`, `stopping`, `stopped` or `failed`.
    pub health: String,
    /// Where it listens.
    pub address: Option<String>,
    /// How often its process was started again.
    pub restarts: u32,
    /// For people.
    pub message: String,
    /// Since when it is so.
    #[schema(format = DateTime)]
    pub since: String,
}

/// Who gets which share of the requests, and whether gateways do it already.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// Grows with each change of `arms`.
    pub generation: u64,
    /// The desired split; empty where nothing serves.
    pub arms: Vec<TrafficArm>,
    /// How clients stay with the arm that they met first.
    pub sticky: Option<Sticky>,
    /// Requests that go to one arm whatever the weights say.
    #[serde(default)]
    pub rules: Vec<TrafficRule>,
    /// Who gets the requests of the preview address.
    pub preview: Option<TrafficArm>,
    /// Since when it is desired.
    #[schema(format = DateTime)]
    pub since: String,
    /// The generation that each gateway has in force.
    pub confirmed: BTreeMap<String, u64>,
    /// What gateways complain about.
    pub problems: BTreeMap<String, String>,
    /// The addresses of Instances that a gateway leaves alone for a while, because they fail what others do well.
    #[serde(default)]
    pub outliers: BTreeMap<String, Vec<String>>,
}

/// Requests that go to one arm whatever the weights say.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrafficRule {
    /// Where to look.
    pub on: RouteField,
    /// What must stand there.
    pub equals: String,
    /// The digest of the Revision that gets the request.
    pub revision: String,
}

/// One Revision's share.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrafficArm {
    /// The Revision's digest.
    pub revision: String,
    /// The Workload that takes the requests.
    pub workload: String,
    /// What it speaks: `http1` where nothing is said, or `h2c`.
    #[serde(default)]
    pub protocol: Option<String>,
    /// Its share in thousandths.
    pub weight: u16,
    /// Its Instances' addresses.
    pub endpoints: Vec<String>,
}

/// What is kept running without traffic.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Warm {
    /// The Revision's digest.
    pub revision: String,
    /// Until when.
    #[schema(format = DateTime)]
    pub until: String,
}

/// Why a Revision is not promoted again by itself.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Quarantine {
    /// Its version.
    pub version: String,
    /// Since when.
    #[schema(format = DateTime)]
    pub at: String,
    /// Why.
    pub reason: String,
}

#[cfg(test)]
mod tests;
