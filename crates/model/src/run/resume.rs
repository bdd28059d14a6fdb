//! Another try of one Job, from a Step on, in the workspace that an earlier try left.

use jiff::Timestamp;

use super::{Handled, JobRun, JobState, Run, RunEffect, RunState};
use crate::JobName;
use crate::attempt::Resume;
use crate::timeline::{Actor, Entry};

impl Run {
    /// Why a Job cannot be resumed; `None` where it can.
    #[must_use]
    pub fn cannot_resume(&self, name: &JobName) -> Option<String> {
        let title = self.title();
        if self.release.is_some() {
            return Some(format!(
                "{title} sealed a Release, and what it is made of stays as it is; push again"
            ));
        }
        let Some(job) = self.job(name) else { return Some(format!("{title} has no job `{name}`")) };
        let ended = matches!(self.state, RunState::Failed | RunState::Cancelled | RunState::Passed);
        if !ended || !job.state.is_final() {
            return Some(format!("{title} still runs; wait until it has ended, or cancel it"));
        }
        job.attempts.is_empty().then(|| format!("job `{name}` of {title} was never tried: {}", job.reason))
    }

    /// Whether a command was edited in it: what it makes did not come from its commit, and is never sealed.
    #[must_use]
    pub fn is_edited(&self) -> bool {
        let mut attempts = self.jobs.iter().flat_map(|job| &job.attempts);
        attempts.any(|attempt| attempt.resume.as_ref().is_some_and(|resume| resume.run.is_some()))
    }

    pub(super) fn resume(
        &mut self,
        name: &JobName,
        resume: Resume,
        actor: Actor,
        now: Timestamp,
        handled: &mut Handled<RunEffect>,
    ) {
        if self.cannot_resume(name).is_some() {
            return;
        }
        let (id, title) = (self.id, self.title());
        let how = if resume.run.is_some() {
            " with an edited command, so nothing will be sealed of it"
        } else {
            ""
        };
        let text = format!("{} resumed {title} {name} from step {}{how}", actor.name(), resume.from + 1);
        handled.entry(Entry::new("job-resumed", actor, text));
        // What did not run because of this Job has another chance.
        let held_back = |job: &&mut JobRun| matches!(job.state, JobState::Skipped | JobState::Cancelled);
        for job in self.jobs.iter_mut().filter(|job| job.name != *name).filter(held_back) {
            job.state = JobState::Blocked;
            job.group_granted = false;
            job.earlier_attempts = job.attempts.len();
            job.reason = format!("waits for `{name}`, which was resumed");
        }
        if let Some(job) = self.jobs.iter_mut().find(|job| job.name == *name) {
            job.earlier_attempts = job.attempts.len();
            job.queue_attempt(id, now, handled);
            job.reason = format!("resumed from step {}", resume.from + 1);
            if let Some(attempt) = job.attempts.last_mut() {
                attempt.resume = Some(resume);
            }
        }
        self.state = RunState::Running;
        self.finished_at = None;
        "jobs run".clone_into(&mut self.reason);
    }
}
