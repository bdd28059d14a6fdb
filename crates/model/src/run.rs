//! One execution of the pipeline file at one commit.

mod again;
mod resume;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::attempt::{Applied, Attempt, AttemptReport, AttemptState, Finished, Resume};
use crate::origin::Origin;
use crate::owed::{self, Asking, Bases, Finding, Owed, Verdict};
use crate::pipeline::{Condition, EnvValue, Job, Pipeline, RunWhen};
use crate::retry::{RetryNote, Spending};
use crate::timeline::{Actor, Entry};
use crate::{AgentId, ArtifactName, AttemptId, Digest, JobName, ProjectName, RunId};

/// One execution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its identity.
    pub id: RunId,
    /// Its Project.
    pub project: ProjectName,
    /// 1, 2, 3 … within the Project.
    pub number: u64,
    /// Where in the repository the Project lives; empty for the root.
    pub directory: String,
    /// What it was started for.
    pub cause: Cause,
    /// What may be done with what it makes.
    pub trust: Trust,
    /// The pipeline at that commit; absent where the file is broken.
    pub pipeline: Option<Pipeline>,
    /// Digest of the pipeline file's bytes.
    pub pipeline_digest: Option<Digest>,
    /// What is wrong with the pipeline file, rendered for people.
    pub diagnostics: Vec<String>,
    /// The source tree, once it is packed.
    pub source: Option<Digest>,
    /// Where it is in its life.
    pub state: RunState,
    /// For people: why it is in this state.
    pub reason: String,
    /// Its Jobs, in the order of the file.
    pub jobs: Vec<JobRun>,
    /// The last verdicts of its Jobs with `paths`, as they were when the source was packed.
    #[serde(default)]
    pub bases: Bases,
    /// The retries that its Project had in the week before the last end of an Attempt.
    #[serde(default)]
    pub spending: Vec<Spending>,
    /// The Release that it sealed.
    pub release: Option<SealedRelease>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// What a Run was started for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// `push`, `tag`, `manual`, `pull_request`, `schedule` or `release`.
    pub event: String,
    /// The full ref: `refs/heads/main`.
    pub reference: String,
    /// The commit, in hexadecimal digits.
    pub commit: String,
    /// Its subject line.
    pub subject: String,
    /// `Name <mail>` of its author.
    pub author: String,
    /// Everybody whose approval would be their own: logins of pusher and, where their mail is known, author and co-authors.
    pub makers: Vec<String>,
    /// Who pushed or pressed the button.
    pub actor: Actor,
    /// What was said at the start: the inputs that the pipeline declares.
    #[serde(default)]
    pub inputs: BTreeMap<String, String>,
    /// What stands behind it, where that is not a push.
    #[serde(default)]
    pub origin: Option<Origin>,
}

impl Cause {
    /// The first seven digits of the commit.
    #[must_use]
    pub fn short_commit(&self) -> &str {
        self.commit.get(..7).unwrap_or(&self.commit)
    }

    /// The ref without `refs/heads/` or `refs/tags/`.
    #[must_use]
    pub fn short_reference(&self) -> &str {
        let reference = self.reference.as_str();
        reference
            .strip_prefix("refs/heads/")
            .or_else(|| reference.strip_prefix("refs/tags/"))
            .or_else(|| reference.strip_prefix("refs/"))
            .unwrap_or(reference)
    }
}

/// What may be done with what a Run makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// A push or tag on a protected ref: may seal, gets secrets.
    Protected,
    /// Another ref of the repository.
    Internal,
    /// A contribution from outside.
    Fork,
}

impl Trust {
    /// The word for people and for conditions.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::Internal => "internal",
            Self::Fork => "fork",
        }
    }
}

/// Where a Run is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// The pipeline file is broken; nothing was run.
    Invalid,
    /// Somebody has to say that it may run.
    AwaitingApproval,
    /// The source is being packed.
    Preparing,
    /// Jobs wait or run.
    Running,
    /// Every Job is done and the Release is being sealed.
    Sealing,
    /// Everything that was needed passed.
    Passed,
    /// Something that was needed did not pass.
    Failed,
    /// Somebody, or a newer Run, ended it.
    Cancelled,
}

impl RunState {
    /// Whether nothing more happens to it by itself.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::AwaitingApproval | Self::Preparing | Self::Running | Self::Sealing => false,
            Self::Invalid | Self::Passed | Self::Failed | Self::Cancelled => true,
        }
    }

    /// The word for people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::AwaitingApproval => "awaiting-approval",
            Self::Preparing => "preparing",
            Self::Running => "running",
            Self::Sealing => "sealing",
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A Job of a Run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRun {
    /// Its name.
    pub name: JobName,
    /// Where it is in its life.
    pub state: JobState,
    /// For people: why it is in this state.
    pub reason: String,
    /// For people: why it runs, where it has `paths`.
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
    /// Artifacts of the Attempt that passed.
    pub artifacts: BTreeMap<ArtifactName, Digest>,
    /// Until when it waits before it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_until: Option<Timestamp>,
}

/// Where a Job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// A Job that it needs is not done.
    Blocked,
    /// Another Job of its concurrency group runs, or it pauses before it is tried again.
    Waiting,
    /// An Attempt is queued or running.
    Active,
    /// It passed.
    Passed,
    /// It did not pass.
    Failed,
    /// Its condition did not hold, or a Job that it needs did not pass.
    Skipped,
    /// Somebody, or a newer Run, ended it.
    Cancelled,
}

impl JobState {
    /// Whether nothing more happens to it by itself.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Blocked | Self::Waiting | Self::Active => false,
            Self::Passed | Self::Failed | Self::Skipped | Self::Cancelled => true,
        }
    }

    /// The word for people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Waiting => "waiting",
            Self::Active => "running",
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The Release that a Run sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedRelease {
    /// The manifest's digest.
    pub digest: Digest,
    /// Its version.
    pub version: String,
}

/// What a condition can see.
#[derive(Debug)]
pub struct Scope<'a> {
    /// The Run, with the outcomes and outputs of its Jobs so far.
    pub run: &'a Run,
    /// The Job that asks.
    pub job: &'a Job,
}

/// Evaluates conditions and values. `config` implements it; the model only asks.
pub trait Evaluator {
    /// Whether a condition holds.
    ///
    /// # Errors
    /// Says in words why it cannot be told.
    fn holds(&self, condition: &Condition, scope: &Scope<'_>) -> Result<bool, String>;

    /// A value with every `${{ }}` in it replaced.
    ///
    /// # Errors
    /// Says in words why it cannot be told.
    fn value(&self, value: &EnvValue, scope: &Scope<'_>) -> Result<String, String>;

    /// Whether a text has something in it that a regular expression matches.
    fn matches(&self, pattern: &str, text: &str) -> bool;
}

/// What happens to a Run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum RunEvent {
    /// The source tree is in the content store.
    SourcePrepared {
        /// Its tar.
        source: Digest,
        /// The last verdicts of Jobs with `paths`, and what has changed since.
        #[serde(default)]
        bases: Bases,
    },
    /// The source tree could not be packed.
    SourceFailed {
        /// Why.
        message: String,
    },
    /// An agent took an Attempt.
    AttemptLeased {
        /// Which.
        attempt: AttemptId,
        /// Who.
        agent: AgentId,
        /// Under which fence.
        fence: u64,
    },
    /// An agent said something of an Attempt.
    AttemptReported {
        /// Which.
        attempt: AttemptId,
        /// Under which fence.
        fence: u64,
        /// The number of the report.
        sequence: u64,
        /// When, by the agent's clock.
        at: Timestamp,
        /// What.
        report: AttemptReport,
    },
    /// What is known when an Attempt is about to end.
    AttemptEnding {
        /// Which.
        attempt: AttemptId,
        /// The line of its log that says what went wrong.
        words: Option<String>,
        /// The retries that its Project had in the last week.
        spending: Vec<Spending>,
    },
    /// The pause before a retry is over.
    PauseOver {
        /// The Attempt that it followed.
        attempt: AttemptId,
    },
    /// The agent that held an Attempt went silent.
    AttemptLost {
        /// Which.
        attempt: AttemptId,
        /// The fence that was lost.
        fence: u64,
        /// What is known.
        message: String,
    },
    /// An Attempt could not be put together: a value cannot be told, or the server forbids its executor.
    AttemptRefused {
        /// Which.
        attempt: AttemptId,
        /// Why.
        message: String,
    },
    /// The queue of the agents sees to a concurrency group.
    GroupLeftToQueue {
        /// Which.
        group: String,
    },
    /// A concurrency group became free.
    GroupFreed {
        /// Which.
        group: String,
    },
    /// Somebody, or a newer Run, wants it to end.
    CancelRequested {
        /// Who.
        actor: Actor,
        /// Why.
        reason: String,
    },
    /// Somebody looked at what a fork wants to run, and lets it.
    Approved {
        /// Who.
        actor: Actor,
    },
    /// Somebody wants the Jobs that did not pass to be tried again.
    RerunRequested {
        /// Who.
        actor: Actor,
    },
    /// Somebody wants a Job to go on from a Step.
    ResumeRequested {
        /// Who.
        actor: Actor,
        /// Which.
        job: JobName,
        /// From where.
        resume: Resume,
    },
    /// The Release is in the content store, signed.
    Sealed {
        /// It.
        release: SealedRelease,
    },
    /// The Release could not be sealed.
    SealFailed {
        /// Why.
        message: String,
    },
}

/// What should happen because of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum RunEffect {
    /// Pack the source tree; answer with `SourcePrepared` or `SourceFailed`.
    PrepareSource,
    /// Put an Attempt into the queue of the agents.
    QueueAttempt {
        /// The Job.
        job: JobName,
        /// Which.
        attempt: AttemptId,
    },
    /// Ask whether the group is free; answer with `GroupFreed` when it is.
    AwaitGroup {
        /// The Job that waits.
        job: JobName,
        /// Which.
        group: String,
    },
    /// Remember what a Job with `paths` found out about the commit.
    RememberVerdict {
        /// The Job.
        job: JobName,
        /// It.
        verdict: Verdict,
    },
    /// Remember how long a Job took that passed, so that others can be told when theirs may begin.
    RememberDuration {
        /// The Job.
        job: JobName,
        /// How long.
        took: SignedDuration,
    },
    /// Answer with `PauseOver` when it is time.
    Pause {
        /// The Attempt that did not pass.
        attempt: AttemptId,
        /// When.
        until: Timestamp,
    },
    /// Remember what became of an Attempt that did not pass, where it could be tried again.
    RememberRetry {
        /// The Job.
        job: JobName,
        /// The Attempt.
        attempt: AttemptId,
        /// What.
        note: RetryNote,
    },
    /// Remember whether the Attempt that followed passed.
    RememberHelp {
        /// The Attempt that did not pass.
        attempt: AttemptId,
        /// Whether the next one did.
        helped: bool,
    },
    /// End an Attempt wherever it is.
    CancelAttempt {
        /// Which.
        attempt: AttemptId,
        /// Why.
        reason: String,
    },
    /// Seal the Release; answer with `Sealed` or `SealFailed`.
    Seal,
    /// Offer the Release to the first Stages.
    Offer {
        /// It.
        release: Digest,
    },
}

/// What handling an event came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "effects that nobody performs never happen"]
pub struct Handled<E> {
    /// What should happen.
    pub effects: Vec<E>,
    /// What is written down.
    pub entries: Vec<Entry>,
}

impl<E> Default for Handled<E> {
    fn default() -> Self {
        Self { effects: Vec::new(), entries: Vec::new() }
    }
}

impl<E> Handled<E> {
    pub(crate) fn effect(&mut self, effect: E) {
        self.effects.push(effect);
    }

    pub(crate) fn entry(&mut self, entry: Entry) {
        self.entries.push(entry);
    }
}

/// Derives the identity of an Attempt from what it is a try of, so that the core draws no random numbers.
#[must_use]
pub fn attempt_id(owner: uuid::Uuid, name: &str, number: u32) -> AttemptId {
    AttemptId(crate::ids::derived("attempt", &format!("{owner}\0{name}\0{number}")))
}

/// What a Run is made from.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its identity.
    pub id: RunId,
    /// Its Project.
    pub project: ProjectName,
    /// Its number within the Project.
    pub number: u64,
    /// Where in the repository the Project lives; empty for the root.
    pub directory: String,
    /// What it was started for.
    pub cause: Cause,
    /// What may be done with what it makes.
    pub trust: Trust,
    /// The checked pipeline, or what is wrong with the file.
    pub pipeline: Result<(Pipeline, Digest), Vec<String>>,
    /// Whether it may start at once.
    pub admission: Admission,
}

/// Whether a Run may start at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Free,
    /// Somebody has to look at it first, for this reason.
    NeedsApproval(String),
}

impl Run {
    /// Makes a Run and says what to do first.
    pub fn start(new: NewRun, now: Timestamp) -> (Self, Handled<RunEffect>) {
        let NewRun { id, project, number, directory, cause, trust, pipeline, admission } = new;
        let (pipeline, pipeline_digest, diagnostics) = match pipeline {
            Ok((pipeline, digest)) => (Some(pipeline), Some(digest), Vec::new()),
            Err(diagnostics) => (None, None, diagnostics),
        };
        let jobs = pipeline.iter().flat_map(|pipeline| &pipeline.jobs).map(JobRun::blocked).collect();
        let mut run = Self {
            id,
            project,
            number,
            directory,
            cause,
            trust,
            pipeline,
            pipeline_digest,
            diagnostics,
            source: None,
            bases: Bases::new(),
            state: RunState::Preparing,
            reason: "the source is being packed".to_owned(),
            jobs,
            spending: Vec::new(),
            release: None,
            created_at: now,
            finished_at: None,
        };
        let mut handled = Handled::default();
        let mut what = format!("{} of {}", run.cause.short_commit(), run.cause.short_reference());
        if let Some(origin) = &run.cause.origin {
            what = format!("{what}: {}", origin.words());
        }
        handled.entry(
            Entry::new(
                "run-created",
                run.cause.actor.clone(),
                format!("{} was started for {what}", run.title()),
            )
            .fact("commit", &run.cause.commit)
            .fact("ref", &run.cause.reference)
            .fact("trust", run.trust.word()),
        );
        if run.pipeline.is_some() {
            match admission {
                Admission::Free => handled.effect(RunEffect::PrepareSource),
                Admission::NeedsApproval(reason) => {
                    run.state = RunState::AwaitingApproval;
                    run.reason = format!(
                        "{reason}; look at it, then let it run: `towpath allow {} {}`, or the button on its page",
                        run.project, run.number
                    );
                }
            }
        } else {
            let count = run.diagnostics.len();
            run.finish(
                RunState::Invalid,
                format!("the pipeline file has {count} {}", if count == 1 { "mistake" } else { "mistakes" }),
                now,
                &mut handled,
            );
        }
        (run, handled)
    }

    /// The name for people: `shop#12`.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{}#{}", self.project, self.number)
    }

    /// Finds an Attempt and its Job.
    #[must_use]
    pub fn attempt(&self, id: AttemptId) -> Option<(&JobRun, &Attempt)> {
        self.jobs
            .iter()
            .find_map(|job| job.attempts.iter().find(|a| a.id == id).map(|attempt| (job, attempt)))
    }

    /// Finds a Job.
    #[must_use]
    pub fn job(&self, name: &JobName) -> Option<&JobRun> {
        self.jobs.iter().find(|job| job.name == *name)
    }

    /// Whether what had not passed can be tried again.
    #[must_use]
    pub fn can_rerun(&self) -> bool {
        matches!(self.state, RunState::Failed | RunState::Cancelled) && self.pipeline.is_some()
    }

    /// Whether a Release may be made of it.
    #[must_use]
    pub fn seals(&self) -> bool {
        self.trust == Trust::Protected
            && !self.is_edited()
            && self.pipeline.as_ref().is_some_and(|p| !p.workloads.is_empty())
    }

    /// Applies one event. An event that no longer fits changes nothing.
    pub fn handle(
        &mut self,
        event: RunEvent,
        evaluator: &dyn Evaluator,
        now: Timestamp,
    ) -> Handled<RunEffect> {
        let mut handled = Handled::default();
        match event {
            RunEvent::SourcePrepared { source, bases } => self.source_prepared(source, bases),
            RunEvent::SourceFailed { message } => {
                if self.state == RunState::Preparing {
                    self.finish(RunState::Failed, message, now, &mut handled);
                }
            }
            RunEvent::AttemptLeased { attempt, agent, fence } => {
                if let Some((job, index)) = self.locate(attempt)
                    && job.attempts[index].lease(agent, fence, now)
                {
                    job.reason = "an agent runs it".to_owned();
                }
            }
            RunEvent::AttemptReported { attempt, fence, sequence, at, report } => {
                self.attempt_reported((attempt, fence, sequence), at, report, evaluator, &mut handled);
            }
            RunEvent::AttemptEnding { attempt, words, spending } => {
                self.attempt_ending(attempt, words, spending);
            }
            RunEvent::PauseOver { attempt } => self.pause_over(attempt, now, &mut handled),
            RunEvent::AttemptLost { attempt, fence, message } => {
                self.attempt_lost((attempt, fence), message, evaluator, now, &mut handled);
            }
            RunEvent::AttemptRefused { attempt, message } => self.attempt_refused(attempt, message, now),
            RunEvent::GroupLeftToQueue { group } => self.group_left_to_queue(&group),
            RunEvent::GroupFreed { group } => self.group_freed(&group),
            RunEvent::CancelRequested { actor, reason } => self.cancel(actor, reason, now, &mut handled),
            RunEvent::Approved { actor } => self.approved(actor, &mut handled),
            RunEvent::RerunRequested { actor } => self.rerun(actor, &mut handled),
            RunEvent::ResumeRequested { actor, job, resume } => {
                self.resume(&job, resume, actor, now, &mut handled);
            }
            RunEvent::Sealed { release } => self.sealed(release, now, &mut handled),
            RunEvent::SealFailed { message } => {
                if self.state == RunState::Sealing {
                    self.finish(
                        RunState::Failed,
                        format!("the Release was not sealed: {message}"),
                        now,
                        &mut handled,
                    );
                }
            }
        }
        self.advance(evaluator, now, &mut handled);
        handled
    }

    fn source_prepared(&mut self, source: Digest, bases: Bases) {
        if self.state == RunState::Preparing {
            self.source = Some(source);
            self.bases = bases;
            self.state = RunState::Running;
            self.reason = "jobs run".to_owned();
        }
    }

    fn locate(&mut self, id: AttemptId) -> Option<(&mut JobRun, usize)> {
        self.jobs.iter_mut().find_map(|job| {
            let index = job.attempts.iter().position(|attempt| attempt.id == id)?;
            Some((job, index))
        })
    }

    fn declared(&self, name: &JobName) -> Option<&Job> {
        self.pipeline.as_ref().and_then(|pipeline| pipeline.job(name))
    }

    fn attempt_reported(
        &mut self,
        (id, fence, sequence): (AttemptId, u64, u64),
        at: Timestamp,
        report: AttemptReport,
        evaluator: &dyn Evaluator,
        handled: &mut Handled<RunEffect>,
    ) {
        let title = self.title();
        let Some((job, index)) = self.locate(id) else { return };
        let Applied::Ended(finished) = job.attempts[index].report(fence, sequence, at, report) else {
            return;
        };
        if job.state != JobState::Active {
            return;
        }
        let text = format!("{title} {} {}: {}", job.name, finished.state.word(), finished.message);
        handled.entry(Entry::new("job-attempt-finished", Actor::Towpath, text).fact("attempt", id));
        let name = job.name.clone();
        self.attempt_ended(&name, finished, at, evaluator, handled);
    }

    fn attempt_lost(
        &mut self,
        (id, fence): (AttemptId, u64),
        message: String,
        evaluator: &dyn Evaluator,
        now: Timestamp,
        handled: &mut Handled<RunEffect>,
    ) {
        let title = self.title();
        let Some((job, index)) = self.locate(id) else { return };
        let attempt = &mut job.attempts[index];
        if attempt.state.is_final() || attempt.fence != fence {
            return;
        }
        attempt.end(AttemptState::Lost, message.clone(), now);
        if job.state != JobState::Active {
            return;
        }
        let text = format!("{title} {} was lost: {message}", job.name);
        handled.entry(Entry::new("job-attempt-lost", Actor::Towpath, text).fact("attempt", id));
        let finished = Finished {
            state: AttemptState::Lost,
            message,
            outputs: BTreeMap::new(),
            artifacts: BTreeMap::new(),
            tests: None,
            reports: Vec::new(),
            log_bytes: 0,
        };
        let name = job.name.clone();
        self.attempt_ended(&name, finished, now, evaluator, handled);
    }

    fn attempt_refused(&mut self, id: AttemptId, message: String, now: Timestamp) {
        let Some((job, index)) = self.locate(id) else { return };
        if job.attempts[index].state.is_final() || job.state != JobState::Active {
            return;
        }
        job.attempts[index].end(AttemptState::Failed, message.clone(), now);
        job.state = JobState::Failed;
        job.reason = message;
    }

    fn group_left_to_queue(&mut self, group: &str) {
        let Some(pipeline) = &self.pipeline else { return };
        let waits = |job: &&mut JobRun| {
            let declared = pipeline.job(&job.name).and_then(|declared| declared.concurrency.as_deref());
            job.state == JobState::Waiting && job.paused_until.is_none() && declared == Some(group)
        };
        for job in self.jobs.iter_mut().filter(waits) {
            job.state = JobState::Blocked;
            job.group_granted = true;
        }
    }

    fn group_freed(&mut self, group: &str) {
        let Some(pipeline) = &self.pipeline else { return };
        let in_group = |job: &JobRun| {
            pipeline.job(&job.name).and_then(|declared| declared.concurrency.as_deref()) == Some(group)
        };
        // Said twice, or for another Job of this Run, it must not let two in.
        if self.jobs.iter().any(|job| in_group(job) && job.group_granted && !job.state.is_final()) {
            return;
        }
        let waits = |job: &JobRun| job.state == JobState::Waiting && job.paused_until.is_none();
        if let Some(job) = self.jobs.iter_mut().find(|job| waits(job) && in_group(job)) {
            job.state = JobState::Blocked;
            job.group_granted = true;
        }
    }

    fn cancel(&mut self, actor: Actor, reason: String, now: Timestamp, handled: &mut Handled<RunEffect>) {
        if self.state.is_final() || self.state == RunState::Sealing {
            return;
        }
        for job in &mut self.jobs {
            if job.state.is_final() {
                continue;
            }
            job.cancel(&reason, now, handled);
        }
        let text = format!("{} was cancelled: {reason}", self.title());
        handled.entry(Entry::new("run-cancelled", actor, text));
        self.finish(RunState::Cancelled, reason, now, handled);
    }

    fn approved(&mut self, actor: Actor, handled: &mut Handled<RunEffect>) {
        if self.state != RunState::AwaitingApproval {
            return;
        }
        let commit = self.cause.short_commit();
        let text = format!("{} let {} run: commit {commit}", actor.name(), self.title());
        handled.entry(Entry::new("run-approved", actor, text).fact("commit", &self.cause.commit));
        self.state = RunState::Preparing;
        "the source is being packed".clone_into(&mut self.reason);
        handled.effect(RunEffect::PrepareSource);
    }

    fn rerun(&mut self, actor: Actor, handled: &mut Handled<RunEffect>) {
        if !self.can_rerun() {
            return;
        }
        for job in self.jobs.iter_mut().filter(|job| job.state != JobState::Passed) {
            job.state = JobState::Blocked;
            job.group_granted = false;
            job.earlier_attempts = job.attempts.len();
            job.reason = format!("{} asked for another try", actor.name());
        }
        let text = format!("{} asked {} to try again what had not passed", actor.name(), self.title());
        handled.entry(Entry::new("run-rerun", actor, text));
        self.finished_at = None;
        if self.source.is_some() {
            self.state = RunState::Running;
            self.reason = "jobs run".to_owned();
        } else {
            self.state = RunState::Preparing;
            self.reason = "the source is being packed".to_owned();
            handled.effect(RunEffect::PrepareSource);
        }
    }

    fn sealed(&mut self, release: SealedRelease, now: Timestamp, handled: &mut Handled<RunEffect>) {
        if self.state != RunState::Sealing {
            return;
        }
        let text =
            format!("{} sealed Release {} ({})", self.title(), release.version, release.digest.short());
        handled.entry(
            Entry::new("release-sealed", Actor::Towpath, text)
                .fact("release", release.digest)
                .fact("version", &release.version),
        );
        handled.effect(RunEffect::Offer { release: release.digest });
        let reason = format!("sealed Release {}", release.version);
        self.release = Some(release);
        self.finish(RunState::Passed, reason, now, handled);
    }

    fn finish(
        &mut self,
        state: RunState,
        mut reason: String,
        now: Timestamp,
        handled: &mut Handled<RunEffect>,
    ) {
        self.state = state;
        if let Some(jobs) = self.passed_on_retry().filter(|_| state == RunState::Passed) {
            reason = format!("{reason}; passed on retry: {jobs}");
        }
        self.finished_at = Some(now);
        if state != RunState::Cancelled {
            let text = format!("{} {}: {reason}", self.title(), state.word());
            handled.entry(
                Entry::new("run-finished", Actor::Towpath, text)
                    .fact("state", state.word())
                    .fact("run", self.number),
            );
        }
        self.reason = reason;
    }

    /// Starts every Job that can start, and ends the Run when none is left.
    fn advance(&mut self, evaluator: &dyn Evaluator, now: Timestamp, handled: &mut Handled<RunEffect>) {
        if self.state != RunState::Running {
            return;
        }
        // A skipped Job can unblock the next one, so this goes on until nothing moves.
        loop {
            self.end_failed_matrices(now, handled);
            let Some((index, next)) = self.next_move(evaluator) else { break };
            let run = self.id;
            let job = &mut self.jobs[index];
            match next {
                Move::Queue { because } => {
                    job.queue_attempt(run, now, handled);
                    job.why = because;
                    "waits for an agent".clone_into(&mut job.reason);
                }
                Move::AwaitGroup(group) => {
                    job.state = JobState::Waiting;
                    job.reason = format!("waits until no other job of group `{group}` runs");
                    handled.effect(RunEffect::AwaitGroup { job: job.name.clone(), group });
                }
                Move::Pass { verdict, because } => {
                    let Verdict { outputs, artifacts, .. } = *verdict;
                    job.state = JobState::Passed;
                    job.reason = because;
                    (job.outputs, job.artifacts) = (outputs, artifacts);
                }
                Move::Skip(reason) => {
                    job.state = JobState::Skipped;
                    job.reason = reason;
                }
                Move::Fail(reason) => {
                    job.state = JobState::Failed;
                    job.reason = reason;
                }
            }
        }
        self.explain_matrices();
        if self.jobs.iter().all(|job| job.state.is_final()) {
            self.conclude(now, handled);
        }
    }

    /// Ends the cells of every matrix with `fail_fast` of which one has failed.
    fn end_failed_matrices(&mut self, now: Timestamp, handled: &mut Handled<RunEffect>) {
        for (name, reason) in self.ended_by_matrix() {
            if let Some(job) = self.jobs.iter_mut().find(|job| job.name == name) {
                job.cancel(&reason, now, handled);
            }
        }
    }

    /// Says of each cell that could start why it does not.
    fn explain_matrices(&mut self) {
        let ready = |job: &Job| {
            let done = |name| self.job(name).is_some_and(|needed| needed.state.is_final());
            job.cell.as_ref().is_some_and(|cell| cell.max_parallel.is_some()) && job.needs.iter().all(done)
        };
        let jobs = self.pipeline.iter().flat_map(|pipeline| &pipeline.jobs).filter(|job| ready(job));
        let held: Vec<_> =
            jobs.filter_map(|job| Some((job.name.clone(), self.held_by_matrix(job)?))).collect();
        for (name, reason) in held {
            if let Some(job) = self.jobs.iter_mut().find(|job| job.name == name)
                && job.state == JobState::Blocked
            {
                job.reason = reason;
            }
        }
    }

    fn conclude(&mut self, now: Timestamp, handled: &mut Handled<RunEffect>) {
        let fatal = |job: &&JobRun| {
            let allowed = self.declared(&job.name).is_some_and(|declared| declared.allow_failure);
            matches!(job.state, JobState::Failed | JobState::Cancelled) && !allowed
        };
        // What failed is the cause, and what was cancelled because of it is not.
        let failed = self.jobs.iter().filter(fatal).find(|job| job.state == JobState::Failed);
        if let Some(job) = failed.or_else(|| self.jobs.iter().find(fatal)) {
            let reason = format!("`{}` {}: {}", job.name, job.state.word(), job.reason);
            self.finish(RunState::Failed, reason, now, handled);
        } else if self.seals() {
            self.state = RunState::Sealing;
            "the Release is being sealed".clone_into(&mut self.reason);
            handled.effect(RunEffect::Seal);
        } else {
            let reason = match self.trust {
                _ if self.is_edited() => "all jobs are done; nothing is sealed, since a command was edited",
                Trust::Protected => "all jobs are done; nothing to release, since there are no workloads",
                Trust::Internal | Trust::Fork => "all jobs are done; only a protected ref seals a Release",
            };
            self.finish(RunState::Passed, reason.to_owned(), now, handled);
        }
    }

    fn next_move(&self, evaluator: &dyn Evaluator) -> Option<(usize, Move)> {
        self.jobs.iter().enumerate().find_map(|(index, job)| {
            (job.state == JobState::Blocked)
                .then(|| self.decide(job, evaluator))
                .flatten()
                .map(|next| (index, next))
        })
    }

    fn decide(&self, job: &JobRun, evaluator: &dyn Evaluator) -> Option<Move> {
        let declared = self.declared(&job.name)?;
        let needed: Vec<&JobRun> = declared.needs.iter().filter_map(|name| self.job(name)).collect();
        if needed.iter().any(|job| !job.state.is_final()) {
            return None;
        }
        let tolerated =
            |job: &JobRun| self.declared(&job.name).is_some_and(|declared| declared.allow_failure);
        // A condition that says nothing of outcomes adds to the rule that needed Jobs must have passed;
        // `if: branch == 'main'` must not release what its tests refused.
        let asks = declared.condition.as_ref().is_some_and(Condition::asks_for_outcomes);
        let is_skipped = |name: &JobName| self.job(name).is_some_and(|job| job.state == JobState::Skipped);
        let ignored =
            |job: &JobRun| job.state == JobState::Skipped && declared.optional_needs.contains(&job.name);
        let pipeline = self.pipeline.as_ref()?;
        let mut needed = pipeline.needs_that_matter(declared, is_skipped).filter_map(|name| self.job(name));
        let missing = needed.find(|job| job.state != JobState::Passed && !tolerated(job) && !ignored(job));
        match declared.run_when {
            RunWhen::AllPassed => {
                if let Some(missing) = missing.filter(|_| !asks) {
                    let reason = format!("it needs `{}`, which {}", missing.name, missing.state.word());
                    return Some(Move::Skip(reason));
                }
            }
            RunWhen::AnyFailed if !self.any_failed_before(declared) => {
                return Some(Move::Skip("it runs when a job before it failed, and none did".to_owned()));
            }
            RunWhen::AnyFailed | RunWhen::Always => {}
        }
        if let Some(condition) = &declared.condition {
            match evaluator.holds(condition, &Scope { run: self, job: declared }) {
                Ok(true) => {}
                Ok(false) => {
                    return Some(Move::Skip(format!("its condition `{}` does not hold", condition.0)));
                }
                Err(message) => return Some(Move::Fail(format!("its condition cannot be told: {message}"))),
            }
        }
        let because = match self.owed(declared) {
            Owed::Yes { because } => because,
            Owed::No { verdict, because } => return Some(Move::Pass { verdict, because }),
        };
        if self.held_by_matrix(declared).is_some() {
            return None;
        }
        match &declared.concurrency {
            Some(group) if !job.group_granted => Some(Move::AwaitGroup(group.clone())),
            _ => Some(Move::Queue { because }),
        }
    }

    /// Whether a Job that this one needs, directly or not, did not pass though it ran.
    fn any_failed_before(&self, job: &Job) -> bool {
        let mut open: Vec<&JobName> = job.needs.iter().collect();
        let mut seen: BTreeSet<&JobName> = BTreeSet::new();
        while let Some(name) = open.pop() {
            if !seen.insert(name) {
                continue;
            }
            if self.job(name).is_some_and(|job| job.state == JobState::Failed) {
                return true;
            }
            open.extend(self.declared(name).into_iter().flat_map(|job| &job.needs));
        }
        false
    }

    fn owed(&self, job: &Job) -> Owed {
        let inputs = self.inputs(job);
        let asking = Asking {
            event: &self.cause.event,
            trust: self.trust,
            definition: self.definition(job),
            inputs: &inputs,
        };
        owed::decide(job, self.bases.get(&job.name), asking)
    }

    fn definition(&self, job: &Job) -> Digest {
        let none = BTreeMap::new();
        owed::definition(job, self.pipeline.as_ref().map_or(&none, |pipeline| &pipeline.env))
    }

    /// The Artifacts that a Job starts with: those of the Jobs that it needs.
    #[must_use]
    pub fn inputs(&self, job: &Job) -> BTreeMap<ArtifactName, Digest> {
        let needed = job.needs.iter().filter_map(|name| self.job(name));
        needed.flat_map(|job| &job.artifacts).map(|(name, digest)| (name.clone(), *digest)).collect()
    }

    /// What a Job that just ran to its end found out.
    fn remember(&self, name: &JobName, handled: &mut Handled<RunEffect>) {
        let (Some(declared), Some(job)) = (self.declared(name), self.job(name)) else { return };
        let last = job.attempts.last();
        let span = last.and_then(|last| Some((last.started_at?, last.finished_at?)));
        if let (JobState::Passed, Some((started, finished))) = (job.state, span) {
            let took = finished.duration_since(started).max(SignedDuration::ZERO);
            handled.effect(RunEffect::RememberDuration { job: name.clone(), took });
        }
        // A Job that was lost or could not be begun has found out nothing.
        let ran = last.is_some_and(|last| {
            matches!(last.state, AttemptState::Passed | AttemptState::Failed | AttemptState::TimedOut)
        });
        let finding = match job.state {
            JobState::Passed => Finding::Passed,
            JobState::Failed if ran => Finding::Failed,
            JobState::Blocked
            | JobState::Waiting
            | JobState::Active
            | JobState::Failed
            | JobState::Skipped
            | JobState::Cancelled => return,
        };
        // What an edited command found out is not about the commit.
        if declared.paths.is_empty() || self.is_edited() {
            return;
        }
        let verdict = Verdict {
            run: self.number,
            commit: self.cause.commit.clone(),
            finding,
            trust: self.trust,
            definition: self.definition(declared),
            inputs: self.inputs(declared),
            outputs: job.outputs.clone(),
            artifacts: job.artifacts.clone(),
        };
        handled.effect(RunEffect::RememberVerdict { job: name.clone(), verdict });
    }
}

/// What a Job that is not blocked any more does.
enum Move {
    Queue {
        because: String,
    },
    /// Nothing that it reads has changed.
    Pass {
        verdict: Box<Verdict>,
        because: String,
    },
    AwaitGroup(String),
    Skip(String),
    Fail(String),
}

impl JobRun {
    fn blocked(job: &Job) -> Self {
        let reason = if job.needs.is_empty() {
            "waits for the source".to_owned()
        } else {
            format!("waits for {}", crate::plan::list(&job.needs))
        };
        Self {
            name: job.name.clone(),
            state: JobState::Blocked,
            reason,
            why: String::new(),
            steps: job.steps.iter().map(|step| step.name.clone()).collect(),
            group_granted: false,
            attempts: Vec::new(),
            earlier_attempts: 0,
            outputs: BTreeMap::new(),
            artifacts: BTreeMap::new(),
            paused_until: None,
        }
    }

    fn cancel(&mut self, reason: &str, now: Timestamp, handled: &mut Handled<RunEffect>) {
        for attempt in self.attempts.iter_mut().filter(|attempt| !attempt.state.is_final()) {
            attempt.end(AttemptState::Cancelled, reason.to_owned(), now);
            handled.effect(RunEffect::CancelAttempt { attempt: attempt.id, reason: reason.to_owned() });
        }
        self.state = JobState::Cancelled;
        self.paused_until = None;
        reason.clone_into(&mut self.reason);
    }

    fn queue_attempt(&mut self, run: RunId, now: Timestamp, handled: &mut Handled<RunEffect>) {
        let number = u32::try_from(self.attempts.len()).unwrap_or(u32::MAX).saturating_add(1);
        let id = attempt_id(run.0, self.name.as_str(), number);
        self.attempts.push(Attempt::queued(id, number, self.steps.iter().cloned(), now));
        self.state = JobState::Active;
        handled.effect(RunEffect::QueueAttempt { job: self.name.clone(), attempt: id });
    }
}
