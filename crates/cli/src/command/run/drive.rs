//! Drives the state machine of a Run in memory: its effects go to workers, what they say comes back as events.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use towpath_agent::executor::{Cancel, CancelReason};
use towpath_agent::local::{LocalRunner, SourceTree};
use towpath_api::agent::{AttemptEvent, StepOutcome};
use towpath_config::CelEvaluator;
use towpath_engine::model_report;
use towpath_model::attempt::{self, AttemptState};
use towpath_model::run::{Handled, JobRun, JobState, NewRun, Run, RunEffect, RunEvent};
use towpath_model::timeline::Actor;
use towpath_model::{AgentId, AttemptId, Digest, JobName};
use towpath_report::ErrorLine;

use super::order::{Orders, Work};
use super::queue::{Closing, Queue};
use super::show::Show;
use super::worker::{self, Message, Tails};

/// The only lease that an Attempt gets here.
const FENCE: u64 = 1;

/// What a local run needs.
pub struct Drive<'a> {
    /// Runs Jobs.
    pub runner: &'a LocalRunner,
    /// What they get a copy of.
    pub source: &'a SourceTree,
    /// Puts Attempts together.
    pub orders: Orders<'a>,
    /// Shows what happens.
    pub show: &'a Show,
    /// Whether a failure leaves other Jobs be.
    pub keep_going: bool,
}

/// A local run that has ended.
pub struct Finished {
    /// The Run.
    pub run: Run,
    /// The last lines of Steps that did not pass.
    pub tails: Tails,
}

impl Drive<'_> {
    /// Runs everything, `parallel` Jobs at a time. No process of a Job is left when it returns.
    ///
    /// # Errors
    /// Fails where signals cannot be heard.
    pub fn run(&self, new: NewRun, parallel: usize) -> anyhow::Result<Finished> {
        let (sender, receiver) = channel();
        listen_for_signals(sender.clone())?;
        let (queue, directory) = (Queue::default(), new.directory.clone());
        Ok(thread::scope(|scope| {
            let _closing = Closing(&queue);
            for _ in 0..parallel {
                let (sender, queue, directory) = (sender.clone(), &queue, directory.as_str());
                scope.spawn(move || {
                    worker::work(queue, self.runner, self.source, directory, self.show, &sender)
                });
            }
            let (run, handled) = Run::start(new, Timestamp::now());
            let mut going = Going::new(self, run, &queue, sender.clone());
            going.perform_all(handled);
            going.until_ended(receiver)
        }))
    }
}

/// Sends [`Message::Interrupted`] when a person or the system wants this program to end.
fn listen_for_signals(to: Sender<Message>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let entered = runtime.enter();
    let signals = kinds.map(signal);
    drop(entered);
    let [interrupt, terminate, hangup] = signals;
    let (mut interrupt, mut terminate, mut hangup) = (interrupt?, terminate?, hangup?);
    let wait = move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        });
        // Whoever would hear it may have ended meanwhile.
        let _heard = to.send(Message::Interrupted);
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait).context("failed to start a thread")?;
    Ok(())
}

/// A Run on its way.
struct Going<'a> {
    drive: &'a Drive<'a>,
    run: Run,
    queue: &'a Queue,
    /// Attempts that are queued or running.
    open: BTreeMap<AttemptId, Cancel>,
    /// Concurrency groups that a Job waits for.
    groups: Vec<String>,
    /// What was shown of each Job: its state, and how many Attempts.
    shown: Vec<(JobState, usize)>,
    /// The first Job that failed the Run; after it nothing is begun.
    stopped_by: Option<JobName>,
    tails: Tails,
    /// Tells when a pause is over.
    clock: Sender<Message>,
}

impl<'a> Going<'a> {
    fn new(drive: &'a Drive<'a>, run: Run, queue: &'a Queue, clock: Sender<Message>) -> Self {
        let shown = run.jobs.iter().map(|job| (job.state, 0)).collect();
        Self {
            drive,
            run,
            queue,
            open: BTreeMap::new(),
            groups: Vec::new(),
            shown,
            stopped_by: None,
            tails: Tails::new(),
            clock,
        }
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "dropped at the end, it lets go of workers that wait for a decision"
    )]
    fn until_ended(mut self, messages: Receiver<Message>) -> Finished {
        while !self.run.state.is_final() || !self.open.is_empty() {
            let Ok(message) = messages.recv() else { break };
            match message {
                Message::Taken(attempt) => {
                    self.apply(leased(attempt));
                }
                Message::Ended { attempt, events } => {
                    self.open.remove(&attempt);
                    self.ending(attempt, &events);
                    for (sequence, (at, event)) in (1..).zip(events) {
                        let report = model_report(event);
                        self.apply(RunEvent::AttemptReported { attempt, fence: FENCE, sequence, at, report });
                    }
                }
                Message::Tail { attempt, lines } => {
                    self.tails.insert(attempt, lines);
                }
                Message::PauseOver(attempt) => self.apply(RunEvent::PauseOver { attempt }),
                Message::Settle(settled) => drop(settled),
                Message::Interrupted => self.interrupt(),
            }
        }
        Finished { run: self.run, tails: self.tails }
    }

    /// Says what the Step that failed said. There is no Project here that could have had retries.
    fn ending(&mut self, attempt: AttemptId, events: &[(Timestamp, AttemptEvent)]) {
        let failed = events.iter().find_map(|(_, event)| match event {
            AttemptEvent::StepFinished {
                step,
                outcome: StepOutcome::Failed { .. } | StepOutcome::Killed { .. } | StepOutcome::TimedOut,
            } => Some(*step),
            _ => None,
        });
        let Some(step) = failed else { return };
        let mut line = ErrorLine::of_step(step);
        let tail = self.tails.get(&attempt).map(Vec::as_slice).unwrap_or_default();
        for (number, text) in (1..).zip(tail) {
            line.look(number, step, text);
        }
        let words = line.found().map(|found| found.text.clone());
        self.apply(RunEvent::AttemptEnding { attempt, words, spending: Vec::new() });
    }

    fn interrupt(&mut self) {
        for work in self.queue.withdraw(|_| false) {
            self.open.remove(&work.attempt);
        }
        self.drive.show.notice("interrupted: ending what runs");
        let reason = "interrupted".to_owned();
        self.apply(RunEvent::CancelRequested { actor: Actor::Towpath, reason });
    }

    /// Applies an event and all that follows from it.
    fn apply(&mut self, event: RunEvent) {
        let handled = self.run.handle(event, &CelEvaluator, Timestamp::now());
        self.perform_all(handled);
    }

    fn perform_all(&mut self, handled: Handled<RunEffect>) {
        let mut effects = VecDeque::from(handled.effects);
        loop {
            while let Some(effect) = effects.pop_front() {
                if let Some(event) = self.perform(effect) {
                    effects.extend(self.run.handle(event, &CelEvaluator, Timestamp::now()).effects);
                }
            }
            self.announce();
            // A Job that ended may have stopped the Run or freed a group.
            let mut events = self.hold_back();
            events.extend(self.free_group());
            if events.is_empty() {
                return;
            }
            for event in events {
                effects.extend(self.run.handle(event, &CelEvaluator, Timestamp::now()).effects);
            }
        }
    }

    fn perform(&mut self, effect: RunEffect) -> Option<RunEvent> {
        match effect {
            // Jobs copy the working tree themselves; there is no tar whose digest could be told.
            RunEffect::PrepareSource => {
                Some(RunEvent::SourcePrepared { source: Digest::of(&[]), bases: BTreeMap::new() })
            }
            RunEffect::QueueAttempt { job, attempt } => {
                match self.drive.orders.work(&self.run, &job, attempt) {
                    Ok(work) => {
                        self.open.insert(attempt, work.cancel.clone());
                        self.queue.push(work);
                        None
                    }
                    Err(message) => Some(RunEvent::AttemptRefused { attempt, message }),
                }
            }
            RunEffect::AwaitGroup { job: _, group } => {
                self.groups.push(group);
                None
            }
            // A local run stands for no ref, and nobody waits for its Jobs.
            RunEffect::RememberVerdict { .. }
            | RunEffect::RememberDuration { .. }
            | RunEffect::RememberRetry { .. }
            | RunEffect::RememberHelp { .. } => None,
            RunEffect::Pause { attempt, until } => {
                self.wake_up(attempt, until);
                None
            }
            RunEffect::CancelAttempt { attempt, reason } => {
                if let Some(cancel) = self.open.get(&attempt) {
                    cancel.cancel(CancelReason::Cancelled(reason));
                }
                None
            }
            // Without workloads there is nothing to seal.
            RunEffect::Seal => Some(RunEvent::SealFailed { message: "a local run seals nothing".to_owned() }),
            RunEffect::Offer { release: _ } => None,
        }
    }

    /// Sends the end of a pause when it is time.
    fn wake_up(&self, attempt: AttemptId, until: Timestamp) {
        let clock = self.clock.clone();
        // The last Attempt's end may come after the pause's: nobody waits for a thread that only sleeps.
        thread::spawn(move || {
            let pause = until.duration_since(Timestamp::now());
            thread::sleep(Duration::try_from(pause).unwrap_or_default());
            let _heard = clock.send(Message::PauseOver(attempt));
        });
    }

    /// Once a Job has failed: the ends of Attempts that were not begun.
    fn hold_back(&mut self) -> Vec<RunEvent> {
        let Some(failed) = &self.stopped_by else { return Vec::new() };
        let message = format!("not begun, since `{failed}` failed; `--keep-going` goes on");
        let end = |Work { attempt, .. }: Work| {
            self.open.remove(&attempt);
            let finished = attempt::Finished {
                state: AttemptState::Cancelled,
                message: message.clone(),
                outputs: BTreeMap::new(),
                artifacts: BTreeMap::new(),
                tests: None,
                reports: Vec::new(),
                log_bytes: 0,
            };
            let (report, at) = (attempt::AttemptReport::Finished(finished), Timestamp::now());
            // Only what was leased can be reported to have ended.
            [leased(attempt), RunEvent::AttemptReported { attempt, fence: FENCE, sequence: 1, at, report }]
        };
        self.queue.withdraw(|work| work.always).into_iter().flat_map(end).collect()
    }

    fn free_group(&mut self) -> Option<RunEvent> {
        let index = self.groups.iter().position(|group| !self.is_taken(group))?;
        Some(RunEvent::GroupFreed { group: self.groups.remove(index) })
    }

    fn is_taken(&self, group: &str) -> bool {
        self.run.jobs.iter().any(|job| {
            let declared = self.run.pipeline.as_ref().and_then(|pipeline| pipeline.job(&job.name));
            let within = declared.is_some_and(|declared| declared.concurrency.as_deref() == Some(group));
            within && job.group_granted && !job.state.is_final()
        })
    }

    /// Shows what changed since the last time.
    fn announce(&mut self) {
        for (job, shown) in self.run.jobs.iter().zip(&mut self.shown) {
            let now = (job.state, job.attempts.len());
            if now == *shown {
                continue;
            }
            if now.1 > shown.1.max(1) {
                self.drive.show.tried_again(job);
            }
            if job.state.is_final() && !shown.0.is_final() {
                self.drive.show.job_ended(job);
                let stops =
                    job.state == JobState::Failed && !self.drive.keep_going && !may_fail(&self.run, job);
                if stops && self.stopped_by.is_none() {
                    self.stopped_by = Some(job.name.clone());
                }
            }
            *shown = now;
        }
    }
}

/// This machine takes an Attempt.
const fn leased(attempt: AttemptId) -> RunEvent {
    RunEvent::AttemptLeased { attempt, agent: AgentId(uuid::Uuid::nil()), fence: FENCE }
}

fn may_fail(run: &Run, job: &JobRun) -> bool {
    let declared = run.pipeline.as_ref().and_then(|pipeline| pipeline.job(&job.name));
    declared.is_some_and(|declared| declared.allow_failure)
}
