//! A thread that runs one Attempt after another, and what it says of them.

use std::collections::{BTreeMap, VecDeque};
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
    /// All that happened in an Attempt, which has ended.
    Ended {
        /// Which.
        attempt: AttemptId,
        /// When and what, from the first event on.
        events: Vec<(Timestamp, AttemptEvent)>,
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
    /// The pause after an Attempt is over.
    PauseOver(AttemptId),
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
        let isolation = match runner.isolation.describe(&work.limits, work.network) {
            Ok(description) if work.containers.image.is_none() => description,
            // A limit that cannot be kept is refused where the Attempt begins.
            Ok(_) | Err(_) => runner.confinement(&work.containers),
        };
        sink.event(AttemptEvent::Started { isolation });
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
            reports: &work.reports,
            network: work.network,
            containers: &work.containers,
            limits: work.limits,
            timeout: work.timeout,
            reuse: &work.reuse,
        };
        let LocalEnd { ended: Ended { outcome, message, outputs, annotations: _ }, artifacts, tests } =
            runner.run_job(&job, &work.cancel, &sink);
        let passed = outcome == AttemptOutcome::Passed;
        sink.event(AttemptEvent::Finished {
            outcome,
            message,
            outputs,
            artifacts,
            tests,
            reports: Vec::new(),
            log_bytes: 0,
        });
        if !passed {
            // A failure may hold the next Attempt back, so it is not taken before that is decided.
            let (settled, decision) = channel();
            sink.tell(Message::Settle(settled));
            let _dropped = decision.recv();
        }
    }
}

/// Shows lines and Steps at once, passes events on at the end, and remembers the last lines.
struct Reporter<'a> {
    work: &'a Work,
    show: &'a Show,
    to: &'a Sender<Message>,
    /// Nothing is decided by the start or end of a Step, so the one who decides is not woken for it.
    events: Mutex<Vec<(Timestamp, AttemptEvent)>>,
    tail: Mutex<VecDeque<String>>,
}

impl<'a> Reporter<'a> {
    const fn new(work: &'a Work, show: &'a Show, to: &'a Sender<Message>) -> Self {
        Self { work, show, to, events: Mutex::new(Vec::new()), tail: Mutex::new(VecDeque::new()) }
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
            AttemptEvent::Started { .. }
            | AttemptEvent::Images { .. }
            | AttemptEvent::Hindered { .. }
            | AttemptEvent::Finished { .. } => {}
        }
        let is_last = matches!(event, AttemptEvent::Finished { .. });
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.push((at, event));
        if is_last {
            let events = std::mem::take(&mut *events);
            self.tell(Message::Ended { attempt: self.work.attempt, events });
        }
    }
}

/// The last lines of failed Steps, by Attempt.
pub type Tails = BTreeMap<AttemptId, Vec<String>>;
