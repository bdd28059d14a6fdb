//! What was measured: counts of requests and failures in disjoint intervals.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The most that one count of one tick may be. More is taken for a broken source.
pub const MAX_COUNT: u64 = 1_000_000_000_000;

/// What one arm did in one interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests that were given to the arm in the interval, ended or not. The traffic test reads these, so that
    /// a slow arm is not taken for one without traffic. A source that counts only ended requests gives
    /// `requests + in flight at the end - in flight at the start`.
    pub started: u64,
    /// Requests that ended in the interval.
    pub requests: u64,
    /// Of `requests`: those that failed.
    pub errors: u64,
}

impl Counts {
    /// Counts whose requests all started in the interval in which they ended.
    #[must_use]
    pub const fn ended(requests: u64, errors: u64) -> Self {
        Self { started: requests, requests, errors }
    }

    /// The share of requests that failed; 0 if there were none.
    #[must_use]
    pub fn error_rate(&self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.errors as f64 / self.requests as f64 }
    }

    fn add(&mut self, other: &Self) {
        let Self { started, requests, errors } = other;
        self.started = self.started.saturating_add(*started);
        self.requests = self.requests.saturating_add(*requests);
        self.errors = self.errors.saturating_add(*errors);
    }

    fn check(&self, arm: Arm) -> Result<(), Refused> {
        let Self { started, requests, errors } = *self;
        if errors > requests {
            return Err(Refused::MoreErrorsThanRequests { arm, requests, errors });
        }
        match [started, requests].into_iter().find(|count| *count > MAX_COUNT) {
            Some(count) => Err(Refused::Implausible { arm, count }),
            None => Ok(()),
        }
    }
}

/// Both arms' counts over the same time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The candidate's.
    pub candidate: Counts,
    /// Those of the arm that it is compared with.
    pub stable: Counts,
}

impl Tally {
    pub(crate) fn add(&mut self, tick: &Tick) {
        self.candidate.add(&tick.candidate);
        self.stable.add(&tick.stable);
    }

    /// How much larger the candidate's share of failures is.
    #[must_use]
    pub fn excess(&self) -> f64 {
        self.candidate.error_rate() - self.stable.error_rate()
    }
}

/// What both arms did in one interval. Ticks must be disjoint: no request may be counted in two of them.
///
/// Several gateways each give their own ticks; these may overlap in time, because their requests differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// Start of the interval, in microseconds since 1970.
    pub from: i64,
    /// End of the interval, in microseconds since 1970.
    pub to: i64,
    /// The candidate's counts.
    pub candidate: Counts,
    /// The counts of the arm that it is compared with: stable, or the baseline.
    pub stable: Counts,
    /// The candidate's weight in force at `to`, in thousandths.
    pub candidate_weight: u16,
    /// The weight of the arm that it is compared with, in thousandths: of stable the rest, of a baseline its own.
    pub stable_weight: u16,
}

impl Tick {
    /// Checks what can be checked of a tick alone.
    ///
    /// # Errors
    /// Says which count or time cannot be.
    pub fn check(&self) -> Result<(), Refused> {
        let Self { from, to, candidate, stable, candidate_weight, stable_weight } = *self;
        if from > to {
            return Err(Refused::Reversed { from, to });
        }
        if candidate_weight.max(stable_weight) > 1000 {
            return Err(Refused::Weight { weight: candidate_weight.max(stable_weight) });
        }
        candidate.check(Arm::Candidate)?;
        stable.check(Arm::Stable)
    }

    /// The share of the two arms' traffic that is due to the candidate.
    pub(crate) fn due_share(&self) -> f64 {
        let total = f64::from(self.candidate_weight) + f64::from(self.stable_weight);
        if total > 0.0 { f64::from(self.candidate_weight) / total } else { 0.0 }
    }
}

/// One side of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// The Revision on its way in.
    Candidate,
    /// What it is compared with.
    Stable,
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Candidate => "candidate",
            Self::Stable => "stable",
        })
    }
}

/// Why a tick was refused. Nothing of it was counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// More failures than requests.
    #[error("measurement refused: {arm} reports {errors} failed of {requests} requests")]
    MoreErrorsThanRequests {
        /// Whose.
        arm: Arm,
        /// The requests.
        requests: u64,
        /// The failures.
        errors: u64,
    },
    /// An interval that ends before it starts.
    #[error("measurement refused: its interval ends at {to} µs, before its start at {from} µs")]
    Reversed {
        /// The start.
        from: i64,
        /// The end.
        to: i64,
    },
    /// A weight above 1000 thousandths.
    #[error("measurement refused: a weight of {weight} thousandths; the most is 1000")]
    Weight {
        /// What was given.
        weight: u16,
    },
    /// A count above [`MAX_COUNT`].
    #[error("measurement refused: {arm} reports {count} requests in one interval; the most is {MAX_COUNT}")]
    Implausible {
        /// Whose.
        arm: Arm,
        /// What was given.
        count: u64,
    },
}
