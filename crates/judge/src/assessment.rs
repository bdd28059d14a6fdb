//! What a judge says: the verdict, the reason in plain words, and the numbers behind it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::counts::{Counts, Tally};

/// Whether the candidate may go on. `Unknown` never promotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Worse than the margin is excluded, from real, fresh and sufficient data.
    Healthy,
    /// Harm is proven. It stays so for the rest of the rollout.
    Unhealthy,
    /// Neither.
    Unknown,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Unknown => "unknown",
        })
    }
}

/// A verdict with all that it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[must_use = "a verdict that nobody reads protects nobody"]
pub struct Assessment {
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The numbers.
    pub evidence: Evidence,
}

/// The numbers behind a verdict. Evidence is in nats: e to its power is the bettor's capital.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// For harm: that the candidate fails more than stable, or than the limit in a first deployment.
    pub harm: f64,
    /// What `harm` must reach for `unhealthy`.
    pub harm_needed: f64,
    /// That the candidate gets less traffic than its weight.
    pub starved: f64,
    /// What `starved` must reach for `unhealthy`.
    pub starved_needed: f64,
    /// For health: that the candidate is within the margin.
    pub health: f64,
    /// What `health` must reach for `healthy`.
    pub health_needed: f64,
    /// How many times as many failures the candidate has, at 95 % for all looks together.
    pub ratio: RatioInterval,
    /// All that was seen since the rollout began.
    pub rollout: Tally,
    /// All that was seen since the step began.
    pub step: Tally,
    /// How many more requests of the candidate `healthy` takes, if it is as good as stable. None: not foreseeable.
    pub more_requests: Option<u64>,
}

/// A confidence interval of a ratio; an end that is not known is open.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RatioInterval {
    /// The lower end.
    pub lower: Option<f64>,
    /// The upper end.
    pub upper: Option<f64>,
}

impl fmt::Display for RatioInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.lower, self.upper) {
            (None, None) => f.write_str("unknown"),
            (None, Some(upper)) => write!(f, "at most {upper:.1}x"),
            (Some(lower), None) => write!(f, "at least {lower:.1}x"),
            (Some(lower), Some(upper)) => write!(f, "{lower:.1}x to {upper:.1}x"),
        }
    }
}

/// Why a verdict is what it is. Its `Display` is for a person at 3 a.m.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reason {
    /// Unhealthy: the candidate fails more than stable.
    Regression {
        /// The candidate's counts, over the time that shows it best.
        candidate: Counts,
        /// Stable's counts over the same time.
        stable: Counts,
        /// The evidence, in nats.
        nats: f64,
    },
    /// Unhealthy: the candidate fails more than the absolute limit.
    OverLimit {
        /// The candidate's counts, over the time that shows it best.
        candidate: Counts,
        /// The limit, as a share.
        limit: f64,
        /// The evidence, in nats.
        nats: f64,
    },
    /// Unhealthy: requests that were due to the candidate went elsewhere.
    Starved {
        /// Requests given to the candidate in the step.
        candidate: u64,
        /// Requests given to either.
        both: u64,
        /// The share that was due, in the latest tick.
        due: f64,
    },
    /// Healthy: worse than the margin is excluded.
    WithinMargin {
        /// The candidate's share of failures in the step.
        candidate: f64,
        /// Stable's share of failures in the step.
        stable: f64,
        /// The share that would have been too much.
        allowed: f64,
        /// How sure, as a share.
        confidence: f64,
    },
    /// Healthy: more than the limit is excluded.
    WithinLimit {
        /// The candidate's share of failures in the step.
        candidate: f64,
        /// The limit, as a share.
        limit: f64,
        /// How sure, as a share.
        confidence: f64,
    },
    /// Unknown: nothing was ever measured.
    NoMeasurements,
    /// Unknown: the newest measurement is too old.
    Stale {
        /// Its age in seconds.
        age_seconds: f64,
        /// The most that it may be.
        most_seconds: f64,
    },
    /// Unknown: the newest measurement is from the future.
    FromTheFuture {
        /// How far, in seconds.
        ahead_seconds: f64,
    },
    /// Unknown: measurements arrive, and nobody sends requests.
    NoTraffic,
    /// Unknown: the candidate got no request in this step; too few to say that it is starved.
    NoCandidateTraffic {
        /// Requests of stable in the step.
        stable: u64,
    },
    /// Unknown: stable got no request in this step, so there is nothing to compare with.
    NoStableTraffic {
        /// Requests of the candidate in the step.
        candidate: u64,
    },
    /// Unknown: fewer requests than the policy asks for.
    TooFewRequests {
        /// Requests of the candidate in the step.
        seen: u64,
        /// What the policy asks for.
        needed: u64,
    },
    /// Unknown: neither harm nor health is proven yet.
    Undecided {
        /// The candidate's share of failures in the step.
        candidate: f64,
        /// Stable's, where there is one.
        stable: Option<f64>,
        /// How many more requests of the candidate it takes if it is good.
        more_requests: Option<u64>,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Regression { candidate, stable, nats } => write!(
                f,
                "candidate fails {} of its requests, stable {}: {} more likely under a regression than under none",
                percent(candidate.error_rate()),
                percent(stable.error_rate()),
                times(*nats),
            ),
            Self::OverLimit { candidate, limit, nats } => write!(
                f,
                "candidate fails {} of its requests, more than the limit of {}: {} more likely than within it",
                percent(candidate.error_rate()),
                percent(*limit),
                times(*nats),
            ),
            Self::Starved { candidate: 0, both, due } => write!(
                f,
                "no traffic reaches the candidate: it was given none of {both} requests, {} were due; \
                 look at its Instances' health and at the gateway",
                percent(*due),
            ),
            Self::Starved { candidate, both, due } => write!(
                f,
                "too little traffic reaches the candidate: it was given {candidate} of {both} requests, {} were \
                 due; look at its Instances' health and at the gateway",
                percent(*due),
            ),
            Self::WithinMargin { candidate, stable, allowed, confidence } => write!(
                f,
                "candidate fails {} of its requests, stable {}: more than the allowed {} is excluded with {} \
                 confidence",
                percent(*candidate),
                percent(*stable),
                percent(*allowed),
                percent(*confidence),
            ),
            Self::WithinLimit { candidate, limit, confidence } => write!(
                f,
                "candidate fails {} of its requests: more than the limit of {} is excluded with {} confidence",
                percent(*candidate),
                percent(*limit),
                percent(*confidence),
            ),
            _ => self.fmt_unknown(f),
        }
    }
}

impl Reason {
    fn fmt_unknown(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMeasurements => f.write_str("nothing was measured yet; is the gateway connected?"),
            Self::Stale { age_seconds, most_seconds } => write!(
                f,
                "the newest measurement is {age_seconds:.0} s old, the most is {most_seconds:.0} s; is the \
                 gateway connected?"
            ),
            Self::FromTheFuture { ahead_seconds } => write!(
                f,
                "the newest measurement is {ahead_seconds:.0} s in the future; compare the clocks of the gateway \
                 and the server"
            ),
            Self::NoTraffic => {
                f.write_str("no requests have been measured, so nothing can be said of the candidate")
            }
            Self::NoCandidateTraffic { stable } => {
                write!(f, "the candidate got no request in this step yet, stable got {stable}")
            }
            Self::NoStableTraffic { candidate } => write!(
                f,
                "stable got no request in this step, the candidate got {candidate}: there is nothing to compare \
                 with"
            ),
            Self::TooFewRequests { seen, needed } => {
                write!(f, "the candidate got {seen} requests in this step; the policy asks for {needed}")
            }
            Self::Undecided { candidate, stable, more_requests } => {
                write!(f, "candidate fails {} of its requests", percent(*candidate))?;
                if let Some(stable) = stable {
                    write!(f, ", stable {}", percent(*stable))?;
                }
                match more_requests {
                    Some(more) => write!(f, ": not decided yet; if it is good, that takes about {more} more"),
                    None => f.write_str(": not decided yet, and more of the same will not decide it"),
                }
            }
            _ => Ok(()),
        }
    }
}

/// A share as a percentage with two digits that count.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let decimals = match percent {
        p if p == 0.0 || p >= 99.95 => 0,
        p if p >= 1.0 => 1,
        p if p >= 0.1 => 2,
        _ => 3,
    };
    let text = format!("{percent:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} %")
}

/// Capital in words: two digits that count, up to a million.
fn times(nats: f64) -> String {
    if nats > 1e6f64.ln() {
        return "over a million times".to_owned();
    }
    let capital = nats.exp();
    let unit = 10f64.powf((capital.max(1.0).log10().floor() - 1.0).max(0.0));
    format!("{:.0} times", (capital / unit).round() * unit)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(reason: Reason, expected: Expect) {
        expected.assert_eq(&reason.to_string());
    }

    #[test]
    fn reasons_speak_plainly() {
        let (candidate, stable) = (Counts::ended(1_000, 51), Counts::ended(9_000, 9));
        check(
            Reason::Regression { candidate, stable, nats: 7.6 },
            expect![
                "candidate fails 5.1 % of its requests, stable 0.1 %: 2000 times more likely under a regression than under none"
            ],
        );
        check(
            Reason::OverLimit { candidate, limit: 0.01, nats: 40.0 },
            expect![
                "candidate fails 5.1 % of its requests, more than the limit of 1 %: over a million times more likely than within it"
            ],
        );
        check(
            Reason::Starved { candidate: 0, both: 950, due: 0.05 },
            expect![
                "no traffic reaches the candidate: it was given none of 950 requests, 5 % were due; look at its Instances' health and at the gateway"
            ],
        );
        check(
            Reason::Starved { candidate: 12, both: 950, due: 0.05 },
            expect![
                "too little traffic reaches the candidate: it was given 12 of 950 requests, 5 % were due; look at its Instances' health and at the gateway"
            ],
        );
        check(
            Reason::WithinMargin { candidate: 0.0021, stable: 0.002, allowed: 0.007, confidence: 0.95 },
            expect![
                "candidate fails 0.21 % of its requests, stable 0.2 %: more than the allowed 0.7 % is excluded with 95 % confidence"
            ],
        );
        check(
            Reason::WithinLimit { candidate: 0.0, limit: 0.01, confidence: 0.95 },
            expect![
                "candidate fails 0 % of its requests: more than the limit of 1 % is excluded with 95 % confidence"
            ],
        );
        check(
            Reason::Stale { age_seconds: 61.2, most_seconds: 15.0 },
            expect!["the newest measurement is 61 s old, the most is 15 s; is the gateway connected?"],
        );
        check(
            Reason::TooFewRequests { seen: 12, needed: 100 },
            expect!["the candidate got 12 requests in this step; the policy asks for 100"],
        );
        check(
            Reason::Undecided { candidate: 0.00051, stable: Some(0.0), more_requests: Some(740) },
            expect![
                "candidate fails 0.051 % of its requests, stable 0 %: not decided yet; if it is good, that takes about 740 more"
            ],
        );
    }
}
