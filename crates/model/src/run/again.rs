//! What becomes of a Job whose Attempt ended: done, failed, or tried again.

use jiff::{SignedDuration, Timestamp};

use super::{Evaluator, Handled, JobRun, JobState, Run, RunEffect};
use crate::attempt::{AttemptState, Finished};
use crate::retry::{self, RetryClass, Spending};
use crate::timeline::{Actor, Entry};
use crate::{AttemptId, JobName};

impl Run {
    /// Takes in what is known of an Attempt that is about to end.
    pub(super) fn attempt_ending(
        &mut self,
        id: AttemptId,
        words: Option<String>,
        mut spending: Vec<Spending>,
    ) {
        let Some((job, index)) = self.locate(id) else { return };
        let attempt = &mut job.attempts[index];
        if attempt.state.is_final() {
            return;
        }
        attempt.words = words.map(|words| words.trim().chars().take(retry::WORDS).collect());
        spending.truncate(RetryClass::ALL.len());
        self.spending = spending;
    }

    /// Decides what becomes of a Job whose Attempt ended.
    pub(super) fn attempt_ended(
        &mut self,
        name: &JobName,
        finished: Finished,
        now: Timestamp,
        evaluator: &dyn Evaluator,
        handled: &mut Handled<RunEffect>,
    ) {
        let policy = self.declared(name).map(|job| job.retry.clone()).unwrap_or_default();
        let (run, title) = (self.id, self.title());
        let Some(job) = self.jobs.iter_mut().find(|job| job.name == *name) else { return };
        let Finished { state, message, outputs, artifacts, tests: _, reports: _, log_bytes: _ } = finished;
        job.say_whether_it_helped(state, handled);
        match state {
            AttemptState::Passed => {
                job.state = JobState::Passed;
                job.reason = match job.passed_on_retry() {
                    Some(class) => format!("{message}, on try {} after {class}", job.round().len()),
                    None => message,
                };
                job.outputs = outputs;
                job.artifacts = artifacts;
            }
            AttemptState::Cancelled => {
                job.state = JobState::Cancelled;
                job.reason = message;
            }
            AttemptState::Queued
            | AttemptState::Leased
            | AttemptState::Running
            | AttemptState::Failed
            | AttemptState::TimedOut
            | AttemptState::Errored
            | AttemptState::Lost => {
                let says = |pattern: &str, text: &str| evaluator.matches(pattern, text);
                let Some(note) = retry::decide(&policy, job.round(), &self.spending, &says) else { return };
                let Some(last) = job.attempts.last_mut() else { return };
                let attempt = last.id;
                last.retry = Some(note.clone());
                match note.again {
                    Some(pause) => {
                        let text = format!("{title} {name} is tried again as {}", note.words());
                        let entry = Entry::new("job-retried", Actor::Towpath, text);
                        handled.entry(entry.fact("attempt", attempt).fact("class", note.class));
                        job.try_again(run, pause, now, handled);
                        let waits = if pause.is_zero() { "" } else { " after a pause" };
                        job.reason = format!(
                            "try {}{waits} because the last one {} ({}): {message}",
                            job.round().len() + usize::from(!pause.is_zero()),
                            state.word(),
                            note.class
                        );
                    }
                    None => {
                        job.state = JobState::Failed;
                        job.reason = match note.refusal.as_str() {
                            "" => message,
                            refusal => format!("{message}; not tried again: {refusal}"),
                        };
                    }
                }
                // Where no retry was wanted there is nothing to learn about retries.
                if note.again.is_some() || !note.refusal.is_empty() {
                    handled.effect(RunEffect::RememberRetry { job: name.clone(), attempt, note });
                }
            }
        }
        self.remember(name, handled);
    }

    /// Queues the Attempt that waited for the end of a pause.
    pub(super) fn pause_over(&mut self, id: AttemptId, now: Timestamp, handled: &mut Handled<RunEffect>) {
        let run = self.id;
        let Some((job, index)) = self.locate(id) else { return };
        // Told twice, or after somebody cancelled it, the end of a pause starts nothing.
        let waits = job.state == JobState::Waiting && job.paused_until.is_some();
        if !waits || index + 1 != job.attempts.len() {
            return;
        }
        job.paused_until = None;
        job.queue_attempt(run, now, handled);
    }

    /// The Jobs that passed only because they were tried again, each with the class of the failure before.
    pub(super) fn passed_on_retry(&self) -> Option<String> {
        let own = self.jobs.iter().filter_map(|job| {
            let class = job.passed_on_retry().filter(|class| class.is_own())?;
            Some(format!("`{}` ({class})", job.name))
        });
        let jobs: Vec<String> = own.take(20).collect();
        (!jobs.is_empty()).then(|| jobs.join(", "))
    }
}

impl JobRun {
    /// The Attempts since somebody last asked for another try.
    #[must_use]
    pub fn round(&self) -> &[crate::attempt::Attempt] {
        self.attempts.get(self.earlier_attempts..).unwrap_or_default()
    }

    /// Why it had to be tried again before it passed: a failure of its own where there was one.
    #[must_use]
    pub fn passed_on_retry(&self) -> Option<RetryClass> {
        if self.state != JobState::Passed {
            return None;
        }
        let notes = || self.round().iter().rev().filter_map(|attempt| attempt.retry.as_ref());
        let own = notes().find(|note| note.class.is_own());
        own.or_else(|| notes().next()).map(|note| note.class)
    }

    fn say_whether_it_helped(&self, state: AttemptState, handled: &mut Handled<RunEffect>) {
        if let [.., before, _] = self.round()
            && before.retry.as_ref().is_some_and(|note| note.again.is_some())
        {
            let helped = state == AttemptState::Passed;
            handled.effect(RunEffect::RememberHelp { attempt: before.id, helped });
        }
    }

    fn try_again(
        &mut self,
        run: crate::RunId,
        pause: SignedDuration,
        now: Timestamp,
        handled: &mut Handled<RunEffect>,
    ) {
        let last = self.attempts.last().map(|attempt| attempt.id);
        match (now.checked_add(pause), last) {
            (Ok(until), Some(attempt)) if !pause.is_zero() => {
                self.state = JobState::Waiting;
                self.paused_until = Some(until);
                handled.effect(RunEffect::Pause { attempt, until });
            }
            _ => self.queue_attempt(run, now, handled),
        }
    }
}
