//! What a local run prints while it runs: lines with the name of their Job, or JSON events.

use std::io::{self, IsTerminal as _, Stdout, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use serde_json::{Value, json};
use towpath_agent::executor::{LogLine, Stream};
use towpath_model::JobName;
use towpath_model::pipeline::Pipeline;
use towpath_model::run::{JobRun, JobState};
use towpath_terminal::group::{heading_of, is_silent};

use super::between;
use crate::escape;

/// The colours of Jobs, in turn. Red is for failures.
const COLOURS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Blue,
    AnsiColor::Magenta,
    AnsiColor::BrightGreen,
    AnsiColor::BrightBlue,
];

/// Prints what happens, from any thread, one whole line at a time.
#[derive(Debug)]
pub struct Show {
    json: bool,
    terminal: bool,
    jobs: Vec<JobName>,
    width: usize,
    out: Mutex<AutoStream<Stdout>>,
}

impl Show {
    /// Makes it for the Jobs of `pipeline`.
    pub fn new(pipeline: &Pipeline, json: bool) -> Self {
        let jobs: Vec<JobName> = pipeline.jobs.iter().map(|job| job.name.clone()).collect();
        let width = jobs.iter().map(|job| job.as_str().len()).max().unwrap_or(0);
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        Self { json, terminal, jobs, width, out: Mutex::new(AutoStream::auto(stdout)) }
    }

    /// Whether programs read it.
    pub const fn is_json(&self) -> bool {
        self.json
    }

    /// Shows one line of log.
    pub fn line(&self, job: &JobName, line: LogLine<'_>) {
        let LogLine { at, step, stream, text } = line;
        if self.json {
            let stream = match stream {
                Stream::Stdout => "stdout",
                Stream::Stderr => "stderr",
                Stream::Towpath => "towpath",
            };
            let event = json!({ "event": "line", "at": at, "job": job, "step": step, "stream": stream, "text": text });
            self.event(&event);
            return;
        }
        if is_silent(text) {
            return;
        }
        if let Some(title) = heading_of(text) {
            return self.prefixed(job, &format!("▸ {title}"));
        }
        // Of a line that was written over, as progress bars do, the end is what a terminal would show.
        let text = text.rsplit('\r').find(|part| !part.is_empty()).unwrap_or("");
        let text = escape::for_stdout(text);
        let close = if text.contains('\u{1b}') { "\u{1b}[0m" } else { "" };
        self.prefixed(job, &format!("{text}{close}"));
    }

    /// Shows that a Step began.
    pub fn step_started(&self, job: &JobName, step: &str, at: Timestamp) {
        if self.json {
            self.event(&json!({ "event": "step-started", "at": at, "job": job, "step": step }));
        } else if self.terminal {
            let dim = Style::new().dimmed();
            self.prefixed(job, &format!("{dim}$ {step}{dim:#}"));
        } else {
            self.prefixed(job, &format!("$ {step}"));
        }
    }

    /// Shows that a Job gets another try.
    pub fn tried_again(&self, job: &JobRun) {
        if self.json {
            let attempt = job.attempts.len();
            self.event(
                &json!({ "event": "job-retried", "job": job.name, "attempt": attempt, "reason": job.reason }),
            );
        } else {
            self.prefixed(&job.name, &job.reason);
        }
    }

    /// Shows how a Job ended.
    pub fn job_ended(&self, job: &JobRun) {
        let took = time_of(job);
        if self.json {
            self.event(&json!({
                "event": "job-finished",
                "job": job.name,
                "state": job.state.word(),
                "reason": job.reason,
                "attempts": job.attempts.len(),
                "milliseconds": took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
                "tests": job.attempts.last().and_then(|attempt| attempt.tests),
            }));
            return;
        }
        let style = style_of(job.state);
        let word = job.state.word();
        let text = match (job.state, took) {
            (JobState::Passed, Some(took)) => format!("{style}{word}{style:#} in {}", seconds(took)),
            _ => format!("{style}{word}{style:#}: {}", job.reason),
        };
        self.prefixed(&job.name, &text);
    }

    /// Says something about the whole run.
    pub fn notice(&self, text: &str) {
        if self.json {
            self.event(&json!({ "event": "notice", "text": text }));
        } else {
            self.write(&format!("{text}\n"));
        }
    }

    /// Prints an event as one line of JSON.
    pub fn event(&self, event: &Value) {
        self.write(&format!("{event}\n"));
    }

    /// Prints text as it is; colours go where nobody would see them.
    pub fn write(&self, text: &str) {
        // A reader that has gone, as `head` does, does not end the Jobs.
        let _gone = self.lock().write_all(text.as_bytes());
    }

    /// The name of a Job in its colour, padded.
    pub fn name(&self, job: &JobName) -> String {
        let index = self.jobs.iter().position(|known| known == job).unwrap_or(0);
        let style = Style::new().fg_color(Some(COLOURS[index % COLOURS.len()].into()));
        format!("{style}{:width$}{style:#}", job.as_str(), width = self.width)
    }

    fn prefixed(&self, job: &JobName, text: &str) {
        self.write(&format!("{} | {text}\n", self.name(job)));
    }

    fn lock(&self) -> MutexGuard<'_, AutoStream<Stdout>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The colour of a state.
pub fn style_of(state: JobState) -> Style {
    let colour = match state {
        JobState::Passed => AnsiColor::Green,
        JobState::Failed => AnsiColor::Red,
        JobState::Cancelled | JobState::Skipped => AnsiColor::Yellow,
        JobState::Blocked | JobState::Waiting | JobState::Active => return Style::new(),
    };
    Style::new().bold().fg_color(Some(colour.into()))
}

/// From the start of the first Attempt to the end of the last; `None` where none began.
pub fn time_of(job: &JobRun) -> Option<Duration> {
    let begun = job.attempts.first()?.started_at?;
    Some(between(begun, job.attempts.last()?.finished_at?))
}

/// A time for people.
pub fn seconds(time: Duration) -> String {
    match time.as_secs() {
        0..60 => format!("{:.2} s", time.as_secs_f64()),
        whole => format!("{} min {:02} s", whole / 60, whole % 60),
    }
}
