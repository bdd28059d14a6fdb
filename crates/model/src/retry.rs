//! Whether a Job is tried again after an Attempt that did not pass, and what that says of it.
//!
//! Each failure has a [class](RetryClass). A class is retried within the Job's own maximum, and within the budget that the
//! Project has for it in a week: beyond that a retry would hide what has to be mended. Pauses grow and are spread by a
//! share that comes from the Attempt's identity, so the core draws no random numbers.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::AttemptId;
use crate::attempt::{Attempt, AttemptState, StepState};

/// Over which time the retries of a Project are counted against its budgets.
pub const BUDGET_SPAN: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The most characters that are kept of what a failed Step said.
pub const WORDS: usize = 300;

/// Why an Attempt did not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryClass {
    /// The agent went silent, or could not run it.
    Lost,
    /// An image could not be fetched.
    ImagePull,
    /// The Step that failed speaks of the network.
    Network,
    /// Its time was up.
    Timeout,
    /// A Step ended with another exit code than 0, or by a signal.
    ExitCode,
    /// The Step that failed said what a pattern of the pipeline file waits for.
    Pattern,
}

impl RetryClass {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Lost, Self::ImagePull, Self::Network, Self::Timeout, Self::ExitCode, Self::Pattern];

    /// The word of files, tables and people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::ImagePull => "image_pull",
            Self::Network => "network",
            Self::Timeout => "timeout",
            Self::ExitCode => "exit_code",
            Self::Pattern => "pattern",
        }
    }

    /// Whether the Job itself failed. The others say nothing about the commit.
    #[must_use]
    pub const fn is_own(self) -> bool {
        match self {
            Self::Lost | Self::ImagePull => false,
            Self::Network | Self::Timeout | Self::ExitCode | Self::Pattern => true,
        }
    }

    /// How many retries of the class a Project has in a week where nobody says otherwise.
    ///
    /// A test that fails every other time must be noticed within days; hosts that come and go by the hour must not.
    #[must_use]
    pub const fn usual_budget(self) -> u32 {
        match self {
            Self::Lost => 1000,
            Self::ImagePull | Self::Network => 200,
            Self::Timeout | Self::ExitCode | Self::Pattern => 50,
        }
    }

    /// The first pause where the Job names none. What another host or a minute mends is not asked again at once.
    const fn usual_pause(self) -> SignedDuration {
        match self {
            Self::ImagePull | Self::Network => SignedDuration::from_secs(10),
            Self::Lost | Self::Timeout | Self::ExitCode | Self::Pattern => SignedDuration::ZERO,
        }
    }
}

impl fmt::Display for RetryClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for RetryClass {
    type Err = UnknownClass;

    fn from_str(text: &str) -> Result<Self, UnknownClass> {
        let found = Self::ALL.into_iter().find(|class| class.word() == text);
        found.ok_or_else(|| UnknownClass { text: text.chars().take(100).collect() })
    }
}

/// A word that names no class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no class of retries; there are lost, image_pull, network, timeout, exit_code and pattern"
)]
pub struct UnknownClass {
    /// What was given, cut to 100 characters.
    pub text: String,
}

/// What happens after an Attempt that did not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Attempts in all after failures that are the Job's own; 1 means no retry.
    pub attempts: u32,
    /// Attempts in all after `lost` and `image_pull`, which are not the Job's fault.
    pub attempts_lost: u32,
    /// Which failures of its own are retried; empty means all.
    #[serde(default)]
    pub when: Vec<When>,
    /// The pauses before retries, where the Job names them.
    #[serde(default)]
    pub backoff: Option<Backoff>,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 1, attempts_lost: 3, when: Vec::new(), backoff: None }
    }
}

/// A failure that is retried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Every one of a class.
    Class(RetryClass),
    /// Of class `exit_code`, this code.
    ExitCode(i32),
    /// The line of its log that says what went wrong matches a regular expression.
    Pattern(String),
}

/// How long to wait before a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// Before the first one. Each later pause is twice as long.
    pub first: SignedDuration,
    /// No pause is longer.
    pub longest: SignedDuration,
}

impl Backoff {
    /// The longest pause where nothing else is said.
    pub const LONGEST: SignedDuration = SignedDuration::from_mins(5);

    /// The pause before the `nth` retry, from 1: between half and all of what the doubling says.
    #[must_use]
    pub fn pause(self, nth: u32, attempt: AttemptId) -> SignedDuration {
        let doubled = self.first.saturating_mul(1 << nth.saturating_sub(1).min(20)).min(self.longest);
        let [.., high, low] = attempt.0.into_bytes();
        let share = i32::from(u16::from_be_bytes([high, low]));
        let half = doubled / 2;
        // Retries that failed together must not come back together.
        half.saturating_add(half / i32::from(u16::MAX) * share)
    }
}

/// How many retries of one class a Project had in the last week, and may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spending {
    /// Which.
    pub class: RetryClass,
    /// How many it had.
    pub spent: u32,
    /// How many it may have.
    pub budget: u32,
}

/// What became of an Attempt that did not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryNote {
    /// Its class.
    pub class: RetryClass,
    /// What makes it one of that class.
    pub why: String,
    /// How long the next Attempt waits for; `None` where there is none.
    pub again: Option<SignedDuration>,
    /// Why there is none.
    pub refusal: String,
}

impl RetryNote {
    /// The note for people: `network: could not resolve host; tried again after 10s`.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { class, why, again, refusal } = self;
        match again {
            Some(pause) if pause.is_zero() => format!("{class}: {why}; tried again at once"),
            Some(pause) => format!("{class}: {why}; tried again after {} s", seconds(*pause)),
            None if refusal.is_empty() => format!("{class}: {why}"),
            None => format!("{class}: {why}; not tried again: {refusal}"),
        }
    }
}

/// A pause in whole seconds, never 0.
pub(crate) fn seconds(pause: SignedDuration) -> i64 {
    pause.as_secs().saturating_add(i64::from(pause.subsec_nanos() > 0))
}

/// What a network that does not work makes programs say.
const OF_THE_NETWORK: &[&str] = &[
    "could not resolve host",
    "couldn't resolve host",
    "temporary failure in name resolution",
    "temporary failure resolving",
    "name or service not known",
    "no address associated with hostname",
    "network is unreachable",
    "no route to host",
    "connection reset",
    "connection timed out",
    "connection refused",
    "connection aborted",
    "operation timed out",
    "tls handshake timeout",
    "i/o timeout",
    "remote end hung up unexpectedly",
    "unexpected disconnect while reading",
    "spurious network error",
    "failed to download",
    "failed to fetch",
    "econnreset",
    "econnrefused",
    "etimedout",
    "eai_again",
    "enotfound",
    "502 bad gateway",
    "503 service unavailable",
    "504 gateway time",
    "429 too many requests",
];

/// The class of an Attempt that did not pass, and why it is that one. `says` tells whether a pattern matches a text.
#[must_use]
pub fn classify(attempt: &Attempt, when: &[When], says: &dyn Fn(&str, &str) -> bool) -> (RetryClass, String) {
    let words = attempt.words.as_deref().unwrap_or_default();
    let message = attempt.message.clone();
    match attempt.state {
        AttemptState::TimedOut => return (RetryClass::Timeout, message),
        AttemptState::Lost | AttemptState::Errored => {
            return (attempt.hindered_by.unwrap_or(RetryClass::Lost), message);
        }
        AttemptState::Queued
        | AttemptState::Leased
        | AttemptState::Running
        | AttemptState::Passed
        | AttemptState::Failed
        | AttemptState::Cancelled => {}
    }
    let patterns = when.iter().filter_map(|when| match when {
        When::Pattern(pattern) => Some(pattern),
        When::Class(_) | When::ExitCode(_) => None,
    });
    if let Some(pattern) = patterns.into_iter().find(|pattern| says(pattern, words)) {
        return (RetryClass::Pattern, format!("`{words}` matches `{pattern}`"));
    }
    let lower = words.to_lowercase();
    if OF_THE_NETWORK.iter().any(|phrase| lower.contains(phrase)) {
        return (RetryClass::Network, format!("`{words}`"));
    }
    (RetryClass::ExitCode, message)
}

/// The exit code of the Step that failed.
fn exit_code(attempt: &Attempt) -> Option<i32> {
    attempt.steps.iter().find_map(|step| match step.state {
        StepState::Failed { code } => Some(code),
        // As a shell would say it.
        StepState::Killed { signal } => Some(signal.saturating_add(128)),
        StepState::Pending
        | StepState::Running
        | StepState::Passed
        | StepState::TimedOut
        | StepState::Skipped => None,
    })
}

/// Decides about the last Attempt of a round, which did not pass.
///
/// `spending` are the budgets of the Project; a class that is not among them has none.
#[must_use]
pub fn decide(
    retry: &Retry,
    round: &[Attempt],
    spending: &[Spending],
    says: &dyn Fn(&str, &str) -> bool,
) -> Option<RetryNote> {
    let last = round.last()?;
    let (class, why) = classify(last, &retry.when, says);
    let own = |attempt: &&Attempt| !matches!(attempt.state, AttemptState::Lost | AttemptState::Errored);
    let is_own = own(&last);
    let tried = u32::try_from(round.iter().filter(|attempt| own(attempt) == is_own).count());
    let tried = tried.unwrap_or(u32::MAX);
    let allowed = if is_own { retry.attempts } else { retry.attempts_lost };
    let refused = |refusal: String| Some(RetryNote { class, why: why.clone(), again: None, refusal });
    if allowed <= 1 {
        return refused(String::new());
    }
    if tried >= allowed {
        return refused(format!("it was tried {tried} times, and that is the most"));
    }
    if is_own && !retry.when.is_empty() && !wanted(&retry.when, class, last) {
        return refused("`retry.when` does not name this failure".to_owned());
    }
    let spent = spending.iter().find(|spending| spending.class == class);
    if let Some(Spending { spent, budget, .. }) = spent.filter(|spending| spending.spent >= spending.budget) {
        return refused(format!(
            "the project had {spent} retries of class {class} in the last 7 days, and may have {budget}; mend what \
             fails, or raise `retry_budget` of the server"
        ));
    }
    let backoff = match (retry.backoff, class) {
        // Another host has it, and that one did nothing yet.
        (_, RetryClass::Lost) | (None, _) => {
            Backoff { first: class.usual_pause(), longest: Backoff::LONGEST }
        }
        (Some(backoff), _) => backoff,
    };
    Some(RetryNote { class, why, again: Some(backoff.pause(tried, last.id)), refusal: String::new() })
}

fn wanted(when: &[When], class: RetryClass, last: &Attempt) -> bool {
    when.iter().any(|when| match when {
        When::Class(wanted) => *wanted == class,
        When::ExitCode(code) => class == RetryClass::ExitCode && exit_code(last) == Some(*code),
        When::Pattern(_) => class == RetryClass::Pattern,
    })
}
