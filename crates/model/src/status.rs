//! What a forge is told of a commit: a state, and the reason in words.

use serde::{Deserialize, Serialize};

use crate::origin::Origin;
use crate::run::{JobRun, JobState, Run, RunState};
use crate::source::{Source, Statuses};

/// The longest description that every forge takes.
const MAX_DESCRIPTION: usize = 140;

/// The most Jobs that get a status of their own.
const MAX_JOBS: usize = 100;

/// A state that every forge knows in some word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckState {
    /// Not decided.
    Pending,
    /// Good; also what was skipped, so that nothing that is required waits for ever.
    Success,
    /// Bad.
    Failure,
    /// Ended from outside.
    Cancelled,
}

/// One status of one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitStatus {
    /// The commit.
    pub commit: String,
    /// Its name: `towpath/push` or `towpath/push/JOB`.
    pub context: String,
    /// How it is.
    pub state: CheckState,
    /// Why.
    pub description: String,
    /// The Run's page.
    pub url: String,
    /// The Job that it is about; none where it is about the whole Run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
}

/// What the forge shall know of a Run now.
#[must_use]
pub fn statuses(run: &Run, source: &Source, url: &str) -> Vec<CommitStatus> {
    let name = format!("{}/{}", source.context, run.cause.event.replace('_', "-"));
    let status = |context: String, state, description: &str| CommitStatus {
        commit: run.cause.commit.clone(),
        context,
        state,
        description: cut(description),
        url: url.to_owned(),
        job: None,
    };
    let whole = || status(name.clone(), of_run(run.state), &run.reason);
    match source.statuses {
        Statuses::Off => Vec::new(),
        Statuses::Run => vec![whole()],
        Statuses::Jobs | Statuses::Checks => {
            let jobs = run.jobs.iter().take(MAX_JOBS).map(|job| {
                let (state, description) = of_job(run, job);
                let job_status = status(format!("{name}/{}", job.name), state, &description);
                CommitStatus { job: Some(job.name.to_string()), ..job_status }
            });
            std::iter::once(whole()).chain(jobs).collect()
        }
    }
}

/// What a pull request is told once its Run has ended: its number and the text.
#[must_use]
pub fn comment(run: &Run, source: &Source, url: &str) -> Option<(u64, String)> {
    let Some(Origin::PullRequest(request)) = &run.cause.origin else { return None };
    if !source.comments || !run.state.is_final() {
        return None;
    }
    let jobs = run.jobs.iter().take(MAX_JOBS).map(|job| {
        // Names are checked; reasons may quote a commit, so they become plain text.
        format!("- `{}` {}: {}\n", job.name, job.state.word(), plain(&job.reason))
    });
    let text = format!(
        "[{} {}]({url}) at {}: {}\n\n{}",
        run.title(),
        run.state.word(),
        run.cause.short_commit(),
        plain(&run.reason),
        jobs.collect::<String>()
    );
    Some((request.number, text.chars().take(10_000).collect()))
}

/// Text in which no sign of Markdown or HTML, and no `@name`, means anything.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars().take(500) {
        match c {
            c if c.is_control() => plain.push(' '),
            '@' => plain.push_str("@\u{200b}"),
            '<' => plain.push_str("&lt;"),
            '&' => plain.push_str("&amp;"),
            '*' | '_' | '[' | ']' | '(' | ')' | '#' | '!' | '|' | '~' | '\\' | '`' => {
                plain.push('\\');
                plain.push(c);
            }
            c => plain.push(c),
        }
    }
    plain
}

const fn of_run(state: RunState) -> CheckState {
    match state {
        RunState::AwaitingApproval | RunState::Preparing | RunState::Running | RunState::Sealing => {
            CheckState::Pending
        }
        RunState::Passed => CheckState::Success,
        RunState::Invalid | RunState::Failed => CheckState::Failure,
        RunState::Cancelled => CheckState::Cancelled,
    }
}

fn of_job(run: &Run, job: &JobRun) -> (CheckState, String) {
    let declared = run.pipeline.as_ref().and_then(|pipeline| pipeline.job(&job.name));
    let allowed = declared.is_some_and(|declared| declared.allow_failure);
    match job.state {
        JobState::Blocked | JobState::Waiting | JobState::Active => (CheckState::Pending, job.reason.clone()),
        JobState::Passed => (CheckState::Success, job.reason.clone()),
        JobState::Skipped => (CheckState::Success, format!("skipped: {}", job.reason)),
        JobState::Failed if allowed => {
            (CheckState::Success, format!("failed, which it is allowed to: {}", job.reason))
        }
        JobState::Failed => (CheckState::Failure, job.reason.clone()),
        JobState::Cancelled => (CheckState::Cancelled, job.reason.clone()),
    }
}

fn cut(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= MAX_DESCRIPTION {
        return line;
    }
    let mut short: String = line.chars().take(MAX_DESCRIPTION - 1).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_fit_every_forge_and_comments_carry_no_markup() {
        assert_eq!(cut("short\nline"), "short line");
        assert_eq!(cut(&"ä".repeat(300)).chars().count(), MAX_DESCRIPTION);
        assert_eq!(plain("[x](javascript:1) <b> @all"), "\\[x\\]\\(javascript:1\\) &lt;b> @\u{200b}all");
    }
}
