//! Runs the Steps of one Attempt in a workspace: bounded in time and output, cancellable at any
//! moment, leaving no process behind.
//!
//! Where the workspace comes from and where lines and events go is the caller's business, so
//! `towpath run` and the agent share every line of this.

mod annotations;
mod bound;
mod cancel;
mod contained;
mod disk;
mod environment;
mod lines;
mod mask;
mod outputs;
mod step;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use towpath_api::agent::{AttemptEvent, AttemptOutcome, Secret, StepOrder, StepOutcome};
use towpath_api::containers::Containers;
use towpath_model::AttemptId;

pub(crate) use self::annotations::say as say_annotations;
use self::bound::LogBound;
pub use self::cancel::{Cancel, CancelReason};
use self::contained::ContainedStep;
use self::disk::DiskWatch;
pub use self::environment::SHARED_VARIABLES;
pub(crate) use self::environment::{TEST_TIMES, base as base_environment};
pub use self::lines::{LONGEST_LINE, Lines};
pub use self::mask::{Masker, SHORTEST_SECRET};
pub use self::outputs::{OUTPUT_LIMIT, OutputError};
use self::step::{StepEnd, StepRun};
use crate::container::{ContainerHost, Opening, Room};
use crate::processes::{ATTEMPT_MARKER, Marker};
use crate::reports::Quarantine;
use crate::reuse::{Reuse, Session};
use crate::sandbox::{Cell, Isolation, Policy};

/// Which of a process's outputs a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Towpath itself, about the Attempt.
    Towpath,
}

/// One line of an Attempt's log: masked, valid UTF-8, without its line feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// When its bytes were read.
    pub at: Timestamp,
    /// The index of the Step that printed it; `None` where Towpath speaks of the Attempt.
    pub step: Option<u32>,
    /// Where it came from.
    pub stream: Stream,
    /// The text. Terminal escapes are in it as printed.
    pub text: &'a str,
}

/// Takes what happens in an Attempt, as it happens.
///
/// A slow sink slows the Steps down, so it must not wait for a network.
pub trait Sink: Send + Sync {
    /// Takes one line of log.
    fn line(&self, line: LogLine<'_>);
    /// Takes a Step's start or end.
    fn event(&self, event: AttemptEvent);
}

/// Bounds that hold for each Attempt.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of log that are kept from the beginning; of each later Step its last lines are kept too.
    pub log_bytes: u64,
    /// How long processes may take to end between TERM and KILL.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { log_bytes: 64 << 20, grace: Duration::from_secs(5) }
    }
}

/// What to run.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// Marks its processes.
    pub id: AttemptId,
    /// For people: `shop#12 test`.
    pub title: &'a str,
    /// Where the Steps start.
    pub directory: &'a Path,
    /// A directory of this Attempt only, for scripts, outputs, home and temporary files.
    pub scratch: &'a Path,
    /// The Steps, in order.
    pub steps: &'a [StepOrder],
    /// Environment of every Step.
    pub env: &'a BTreeMap<String, String>,
    /// Environment whose values are masked in the log.
    pub secrets: &'a BTreeMap<String, Secret>,
    /// The time of all Steps together.
    pub timeout: Duration,
    /// How the Steps are confined.
    pub isolation: &'a Isolation,
    /// What a confined Step may touch besides its own directories.
    pub policy: &'a Policy,
    /// The bounds.
    pub limits: Limits,
    /// The image that the Steps run in, where they do, and the Services beside them.
    pub containers: &'a Containers,
    /// What runs containers.
    pub host: &'a ContainerHost,
    /// What is reused of earlier Attempts, and left for later ones.
    pub reuse: Option<Reuse<'a>>,
    /// Tests whose failure does not fail a Step.
    pub(crate) quarantine: Option<&'a Quarantine<'a>>,
}

/// How an Attempt's Steps ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The outcome.
    pub outcome: AttemptOutcome,
    /// For people: the Step and why.
    pub message: String,
    /// What the Steps wrote to `$TOWPATH_OUTPUT`.
    pub outputs: BTreeMap<String, String>,
    /// What they wrote to `$TOWPATH_ANNOTATIONS`, and printed as such, masked; see [`towpath_report`].
    pub annotations: Vec<u8>,
}

impl Ended {
    /// One that left nothing.
    #[must_use]
    pub const fn bare(outcome: AttemptOutcome, message: String) -> Self {
        Self { outcome, message, outputs: BTreeMap::new(), annotations: Vec::new() }
    }
}

/// Runs every Step and reports to `sink`. No process of the Attempt is left when it returns.
pub fn run(attempt: &Attempt<'_>, cancel: &Cancel, sink: &dyn Sink) -> Ended {
    let errored = |message| Ended::bare(AttemptOutcome::Errored, message);
    let cell = match attempt.containers.image {
        Some(_) => Ok(Cell::elsewhere(attempt.isolation, attempt.policy)),
        None => Cell::new(attempt.isolation, attempt.policy, &attempt.id.to_string()),
    };
    let cell = match cell {
        Ok(cell) => cell,
        Err(refusal) => return errored(format!("{} was not run: {}", attempt.title, chain(&refusal))),
    };
    let mut running = match Running::start(attempt, &cell, cancel, sink) {
        Ok(running) => running,
        Err(error) => {
            let place = attempt.scratch.display();
            return errored(format!("{} could not be prepared in {place}: {error}", attempt.title));
        }
    };
    running.begin_reuse();
    let _watch = DiskWatch::start(attempt, cancel);
    running.open_room();
    for (index, step) in attempt.steps.iter().enumerate() {
        running.step(u32::try_from(index).unwrap_or(u32::MAX), step);
    }
    running.close_room();
    running.end_reuse();
    running.say_what_was_enforced();
    let (outcome, message) =
        running.verdict.unwrap_or((AttemptOutcome::Passed, "every step passed".to_owned()));
    Ended { outcome, message, outputs: running.outputs, annotations: running.bound.annotations() }
}

struct Running<'a> {
    attempt: &'a Attempt<'a>,
    cell: &'a Cell<'a>,
    cancel: &'a Cancel,
    sink: &'a dyn Sink,
    bound: LogBound<'a>,
    marker: Marker,
    deadline: Instant,
    outputs: BTreeMap<String, String>,
    verdict: Option<(AttemptOutcome, String)>,
    room: Option<Room<'a>>,
    reuse: Option<Session<'a>>,
}

impl<'a> Running<'a> {
    fn start(
        attempt: &'a Attempt<'a>,
        cell: &'a Cell<'a>,
        cancel: &'a Cancel,
        sink: &'a dyn Sink,
    ) -> std::io::Result<Self> {
        // Unconfined Steps keep the home of their user.
        let own_home = !attempt.isolation.is_host() || attempt.containers.image.is_some();
        let home = own_home.then_some("home");
        for directory in ["tmp", "outputs"].into_iter().chain(home) {
            make_directory(&attempt.scratch.join(directory))?;
        }
        let secrets = attempt.secrets.values().chain(attempt.containers.passwords.values());
        let masker = Masker::new(secrets.map(Secret::expose));
        let reuse = attempt.reuse.as_ref().map(|reuse| Session::new(attempt, reuse));
        Ok(Self {
            attempt,
            cell,
            cancel,
            sink,
            bound: LogBound::new(masker, attempt.limits.log_bytes, sink),
            marker: Marker::new(ATTEMPT_MARKER, &attempt.id.to_string()),
            deadline: Instant::now() + attempt.timeout,
            outputs: BTreeMap::new(),
            verdict: None,
            room: None,
            reuse,
        })
    }

    /// Makes the containers and Services ready, where the Attempt has some.
    fn open_room(&mut self) {
        let Containers { image, services, .. } = self.attempt.containers;
        if image.is_none() && services.is_empty() {
            return;
        }
        let opening = Opening { cancel: self.cancel, deadline: self.deadline, sink: self.sink };
        let bound = &mut self.bound;
        match Room::open(self.attempt, &opening, &mut |text| bound.notice(text)) {
            Ok(room) => self.room = Some(room),
            Err(crate::container::Refusal { outcome, message }) => {
                self.bound.notice(&message);
                self.verdict = Some((outcome, message));
            }
        }
    }

    /// Says which Services did not live as long as the Steps, and removes all of them.
    fn close_room(&mut self) {
        let Some(mut room) = self.room.take() else { return };
        for ended in room.ended_services() {
            self.bound.notice(&ended);
        }
    }

    fn step(&mut self, index: u32, step: &StepOrder) {
        // `always` is for cleaning up after a failure; after a cancellation or at the deadline nothing is started.
        let roomless = self.room.is_none() && self.needs_room();
        let failed_only = matches!(self.verdict, Some((AttemptOutcome::Failed, _))) && !roomless;
        let runs = self.verdict.is_none() || (step.always && failed_only);
        if !runs || self.stopped_before(step) {
            self.sink.event(AttemptEvent::StepFinished { step: index, outcome: StepOutcome::Skipped });
            return;
        }
        if self.reused(index, step) {
            return;
        }
        let began = SystemTime::now();
        let mut excused = false;
        let outcome = match self.run_step(index, step) {
            Ok(end) => {
                excused = self.excused(step, &end, began);
                if excused { StepOutcome::Passed } else { self.judge(step, end) }
            }
            Err(error) => {
                let message = format!("step `{}` could not be started: {}", step.name, chain(&error));
                self.bound.notice(&message);
                self.fail(AttemptOutcome::Errored, message);
                StepOutcome::Skipped
            }
        };
        // What passed only because its failures are hushed is nothing that a later Attempt may take over.
        self.after_step(index, step, outcome == StepOutcome::Passed && !excused);
        self.sink.event(AttemptEvent::StepFinished { step: index, outcome });
    }

    fn needs_room(&self) -> bool {
        self.attempt.containers.image.is_some() || !self.attempt.containers.services.is_empty()
    }

    /// Restores what the Attempt begins with.
    fn begin_reuse(&mut self) {
        let Some(mut session) = self.reuse.take() else { return };
        if let Err(message) = session.begin(&mut |text| self.bound.notice(text)) {
            self.bound.notice(&message);
            self.fail(AttemptOutcome::Errored, message);
        }
        self.reuse = Some(session);
    }

    /// Leaves a Step out where it need not run. Says whether it did.
    fn reused(&mut self, index: u32, step: &StepOrder) -> bool {
        let Some(session) = &mut self.reuse else { return false };
        if session.is_before_resume(index) {
            self.sink.event(AttemptEvent::StepFinished { step: index, outcome: StepOutcome::Skipped });
            return true;
        }
        match session.before_step(index, step, &self.outputs, &mut |text| self.bound.notice(text)) {
            Some(outputs) => {
                self.outputs.extend(outputs);
                // A later Attempt may go on from here, as after a Step that was run.
                self.after_step(index, step, true);
                self.sink.event(AttemptEvent::StepFinished { step: index, outcome: StepOutcome::Passed });
                true
            }
            None => false,
        }
    }

    fn after_step(&mut self, index: u32, step: &StepOrder, passed: bool) {
        let Some(session) = &mut self.reuse else { return };
        let last = index as usize + 1 == self.attempt.steps.len();
        session.after_step(index, step, passed, last, &self.outputs, &mut |text| self.bound.notice(text));
    }

    /// Leaves what later Attempts may reuse.
    fn end_reuse(&mut self) {
        let Some(mut session) = self.reuse.take() else { return };
        if matches!(self.cancel.reason(), Some(CancelReason::Abandoned(_))) {
            return;
        }
        let outcome = self.verdict.as_ref().map_or(AttemptOutcome::Passed, |(outcome, _)| *outcome);
        session.end(outcome, &mut |text| self.bound.notice(text));
    }

    /// Whether the Attempt ends before this Step begins.
    fn stopped_before(&mut self, step: &StepOrder) -> bool {
        if let Some(reason) = self.cancel.reason() {
            self.fail(outcome_of(self.cancel), cancelled(reason, &step.name));
            return true;
        }
        if Instant::now() >= self.deadline {
            self.fail(AttemptOutcome::TimedOut, self.timed_out(&step.name));
            return true;
        }
        false
    }

    fn run_step(&mut self, index: u32, step: &StepOrder) -> Result<StepEnd, step::StepError> {
        self.bound.begin_annotations(&step.name);
        let own = step.timeout_ms.map(|time| Instant::now() + Duration::from_millis(time));
        let deadline = own.map_or(self.deadline, |own| own.min(self.deadline));
        if let Some(room) = self.room.as_ref().filter(|room| room.has_container()) {
            let Self { attempt, cancel, sink, .. } = *self;
            let contained =
                ContainedStep { attempt, room, index, step, deadline, cancel, sink, bound: &mut self.bound };
            return contained.run(&mut self.outputs);
        }
        let services = self.room.as_ref().map(Room::env);
        let mut prepared = step::prepare(self.attempt, self.cell, index, step, services)?;
        let child = prepared.spawn()?;
        self.sink.event(AttemptEvent::StepStarted { step: index });
        let run = StepRun {
            child,
            step: index,
            deadline,
            grace: self.attempt.limits.grace,
            cancel: self.cancel,
            marker: &self.marker,
            cell: self.cell,
        };
        let end = run.supervise(&mut self.bound)?;
        self.bound.finish_step(index);
        self.bound.take_annotations(&step::annotations_of(&prepared.output_file));
        outputs::read(&prepared.output_file, &mut self.outputs).map_err(step::StepError::Outputs)?;
        Ok(end)
    }

    /// Whether a Step failed only for tests in quarantine. Says so in the log.
    fn excused(&mut self, step: &StepOrder, end: &StepEnd, began: SystemTime) -> bool {
        let StepEnd::Exited(code @ (i32::MIN..=-1 | 1..)) = end else { return false };
        let excuse = self.attempt.quarantine.and_then(|quarantine| quarantine.excuses(began));
        if let Some(excuse) = &excuse {
            self.bound.notice(&format!("step `{}` ended with exit code {code}: {excuse}", step.name));
        }
        excuse.is_some()
    }

    fn judge(&mut self, step: &StepOrder, end: StepEnd) -> StepOutcome {
        match end {
            StepEnd::Exited(0) => StepOutcome::Passed,
            StepEnd::Exited(code) => {
                self.fail(
                    AttemptOutcome::Failed,
                    format!("step `{}` failed with exit code {code}", step.name),
                );
                StepOutcome::Failed { code }
            }
            StepEnd::Killed(signal) => {
                self.fail(
                    AttemptOutcome::Failed,
                    format!("step `{}` was killed by signal {signal}", step.name),
                );
                StepOutcome::Killed { signal }
            }
            StepEnd::OutOfMemory => {
                let message = self.out_of_memory(&step.name);
                self.bound.notice(&message);
                self.fail(AttemptOutcome::Failed, message);
                StepOutcome::Killed { signal: rustix::process::Signal::KILL.as_raw() }
            }
            StepEnd::TimedOut => {
                let message = match step.timeout_ms.filter(|_| Instant::now() < self.deadline) {
                    Some(time) => format!(
                        "step `{}` was ended after its {}",
                        step.name,
                        seconds(Duration::from_millis(time))
                    ),
                    None => self.timed_out(&step.name),
                };
                self.bound.notice(&message);
                self.fail(AttemptOutcome::TimedOut, message);
                StepOutcome::TimedOut
            }
            StepEnd::Cancelled(signal) => {
                let message =
                    self.cancel.reason().map_or_else(String::new, |reason| cancelled(reason, &step.name));
                self.bound.notice(&message);
                self.fail(outcome_of(self.cancel), message);
                StepOutcome::Killed { signal }
            }
        }
    }

    fn out_of_memory(&self, step: &str) -> String {
        match self.attempt.containers.limits.memory {
            Some(limit) => format!(
                "step `{step}` ran out of memory: its container may use {} MiB, and the kernel killed a process that wanted more",
                limit >> 20
            ),
            None => format!("step `{step}` ran out of memory: the kernel killed a process of its container"),
        }
    }

    /// A process that was killed for want of memory leaves no word of its own.
    fn say_what_was_enforced(&mut self) {
        let Some(words) = self.cell.enforced() else { return };
        self.bound.notice(&words);
        if let Some((AttemptOutcome::Failed, message)) = &mut self.verdict {
            message.push_str(&format!(" ({words})"));
        }
    }

    fn timed_out(&self, step: &str) -> String {
        format!("step `{step}` was ended: the attempt's {} were up", seconds(self.attempt.timeout))
    }

    /// Keeps the first reason: a failed clean-up step does not hide what failed before it, except
    /// that a cancellation or a deadline ends everything.
    fn fail(&mut self, outcome: AttemptOutcome, message: String) {
        if self.verdict.is_none() || outcome != AttemptOutcome::Failed {
            self.verdict = Some((outcome, message));
        }
    }
}

/// Makes a directory, and those above it only where they are missing.
pub(crate) fn make_directory(path: &Path) -> std::io::Result<()> {
    match std::fs::create_dir(path) {
        Err(_) => std::fs::create_dir_all(path),
        made => made,
    }
}

fn cancelled(reason: &CancelReason, step: &str) -> String {
    match reason {
        CancelReason::Cancelled(why) | CancelReason::Abandoned(why) => {
            format!("cancelled at step `{step}`: {why}")
        }
        CancelReason::Exceeded(why) => format!("step `{step}` was ended: {why}"),
    }
}

/// What becomes of an Attempt that was ended: using too much is its own failure.
fn outcome_of(cancel: &Cancel) -> AttemptOutcome {
    match cancel.reason() {
        Some(CancelReason::Exceeded(_)) => AttemptOutcome::Failed,
        Some(CancelReason::Cancelled(_) | CancelReason::Abandoned(_)) | None => AttemptOutcome::Cancelled,
    }
}

fn seconds(time: Duration) -> String {
    if time.subsec_millis() == 0 {
        format!("{} s", time.as_secs())
    } else {
        format!("{:.3} s", time.as_secs_f64())
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The directories of one Attempt below a common one: `source/` and `scratch/`.
#[derive(Debug, Clone)]
pub struct AttemptDirectory {
    /// The one that holds both; writable for the Attempt.
    pub root: PathBuf,
    /// The source tree.
    pub source: PathBuf,
    /// Scripts, outputs, home, temporary files.
    pub scratch: PathBuf,
}

impl AttemptDirectory {
    /// Names the directories of `attempt` below `work`.
    #[must_use]
    pub fn new(work: &Path, attempt: AttemptId) -> Self {
        let root = work.join(attempt.to_string());
        Self { source: root.join("source"), scratch: root.join("scratch"), root }
    }
}
