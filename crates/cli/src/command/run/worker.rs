//! A thread that runs one Attempt after another, and what it says of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use towpath_agent::executor::{Ended, LogLine, Sink};
use towpath_agent::local::{LocalEnd, LocalJob, LocalRunner, SourceTree};
use towpath_api::agent::{AttemptEvent, AttemptOutcome, StepOutcome};
use towpath_model::AttemptId;

use super::order::Work;
use super::queue::Queue;
use super::show::Show;

/// How many lines of a failing Step are repeated at the end.
const TAIL: usize = 20;

/// What the workers, and the terminal, say to the one who decides.
#[derive(Debug)]
pub enum Message {
    /// A worker took an Attempt.
    Taken(AttemptId),
    /// Something happened in an Attempt.
    Event {
        /// Which.
        attempt: AttemptId,
        /// 1, 2, 3 … within it.
        sequence: u64,
        /// When.
        at: Timestamp,
        /// What.
        event: AttemptEvent,
    },
    /// The last lines of a Step that did not pass.
    Tail {
        /// Its Attempt.
        attempt: AttemptId,
        /// The lines.
        lines: Vec<String>,
    },
    /// A worker waits, until this is dropped, for the decision on what it reported before.
    Settle(Sender<()>),
    /// A person wants all to end.
    Interrupted,
}

/// Runs Attempts until the queue is closed.
pub fn work(
    queue: &Queue,
    runner: &LocalRunner,
    source: &SourceTree,
    directory: &str,
    show: &Show,
    to: &Sender<Message>,
) {
    while let Some(work) = queue.take() {
        let sink = Reporter::new(&work, show, to);
        sink.tell(Message::Taken(work.attempt));
        sink.event(AttemptEvent::Started { isolation: runner.isolation.name().to_owned() });
        let job = LocalJob {
            attempt: work.attempt,
            title: work.job.as_str(),
            source,
            directory,
            steps: &work.steps,
            env: &work.env,
            secrets: &work.secrets,
            inputs: &work.inputs,
            artifacts: &work.artifacts,
            junit: &work.junit,
            network: work.network,
            timeout: work.timeout,
        };
        let LocalEnd { ended: Ended { outcome, message, outputs }, artifacts, tests } =
            runner.run_job(&job, &work.cancel, &sink);
        let passed = outcome == AttemptOutcome::Passed;
        sink.event(AttemptEvent::Finished { outcome, message, outputs, artifacts, tests, log_bytes: 0 });
        if !passed {
            // A failure may hold the next Attempt back, so it is not taken before that is decided.
            let (settled, decision) = channel();
            sink.tell(Message::Settle(settled));
            let _dropped = decision.recv();
        }
    }
}

/// Shows lines at once, passes events on, and remembers the last lines.
struct Reporter<'a> {
    work: &'a Work,
    show: &'a Show,
    to: &'a Sender<Message>,
    sequence: AtomicU64,
    tail: Mutex<VecDeque<String>>,
}

impl<'a> Reporter<'a> {
    const fn new(work: &'a Work, show: &'a Show, to: &'a Sender<Message>) -> Self {
        Self { work, show, to, sequence: AtomicU64::new(0), tail: Mutex::new(VecDeque::new()) }
    }

    fn tell(&self, message: Message) {
        // The receiver outlives the workers; were it gone, nobody would be left to tell.
        let _heard = self.to.send(message);
    }

    fn step_name(&self, step: u32) -> &str {
        self.work.steps.get(step as usize).map_or("", |step| step.name.as_str())
    }
}

impl Sink for Reporter<'_> {
    fn line(&self, line: LogLine<'_>) {
        self.show.line(&self.work.job, line);
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(line.text.to_owned());
    }

    fn event(&self, event: AttemptEvent) {
        let at = Timestamp::now();
        match &event {
            AttemptEvent::StepStarted { step } => {
                self.tail.lock().unwrap_or_else(PoisonError::into_inner).clear();
                self.show.step_started(&self.work.job, self.step_name(*step), at);
            }
            AttemptEvent::StepFinished { step: _, outcome } => match outcome {
                StepOutcome::Failed { .. } | StepOutcome::Killed { .. } | StepOutcome::TimedOut => {
                    let lines = self.tail.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
                    self.tell(Message::Tail { attempt: self.work.attempt, lines });
                }
                StepOutcome::Passed | StepOutcome::Skipped => {}
            },
            AttemptEvent::Started { .. } | AttemptEvent::Finished { .. } => {}
        }
        // One thread runs the Attempt, so numbers and messages come in the same order.
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        self.tell(Message::Event { attempt: self.work.attempt, sequence, at, event });
    }
}

/// The last lines of failed Steps, by Attempt.
pub type Tails = BTreeMap<AttemptId, Vec<String>>;
