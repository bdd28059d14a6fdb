//! What the judge says of a candidate, and the numbers that it rests on.

use serde::Deserialize;
use utoipa::ToSchema;

/// A verdict with all that it rests on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Assessment {
    /// Whether the candidate may go on.
    pub verdict: Verdict,
    /// Why.
    pub reason: VerdictReason,
    /// The numbers.
    pub evidence: VerdictEvidence,
}

/// Whether the candidate may go on. `unknown` never promotes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Worse than the margin is excluded, from real, fresh and sufficient data.
    Healthy,
    /// Harm is proven.
    Unhealthy,
    /// Neither.
    Unknown,
}

/// Why a verdict is what it is. Shares are fractions of requests; evidence is in nats.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum VerdictReason {
    /// Unhealthy: the candidate fails more than stable.
    Regression {
        /// The candidate's counts, over the time that shows it best.
        candidate: Counts,
        /// Stable's counts over the same time.
        stable: Counts,
        /// The evidence.
        nats: f64,
    },
    /// Unhealthy: the candidate fails more than the absolute limit.
    OverLimit {
        /// The candidate's counts, over the time that shows it best.
        candidate: Counts,
        /// The limit.
        limit: f64,
        /// The evidence.
        nats: f64,
    },
    /// Unhealthy: requests that were due to the candidate went elsewhere.
    Starved {
        /// Requests given to the candidate in the step.
        candidate: u64,
        /// Requests given to either.
        both: u64,
        /// The share that was due.
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
        /// How sure.
        confidence: f64,
    },
    /// Healthy: more than the limit is excluded.
    WithinLimit {
        /// The candidate's share of failures in the step.
        candidate: f64,
        /// The limit.
        limit: f64,
        /// How sure.
        confidence: f64,
    },
    /// Unknown: nothing was ever measured.
    NoMeasurements,
    /// Unknown: the newest measurement is too old.
    Stale {
        /// Its age.
        age_seconds: f64,
        /// The most that it may be.
        most_seconds: f64,
    },
    /// Unknown: the newest measurement is from the future.
    FromTheFuture {
        /// How far.
        ahead_seconds: f64,
    },
    /// Unknown: measurements arrive, and nobody sends requests.
    NoTraffic,
    /// Unknown: the candidate got no request in this step.
    NoCandidateTraffic {
        /// Requests of stable in the step.
        stable: u64,
    },
    /// Unknown: stable got no request in this step.
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

/// The numbers behind a verdict. Evidence is in nats.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerdictEvidence {
    /// That the candidate fails more than stable, or than the limit in a first deployment.
    pub harm: f64,
    /// What `harm` must reach for `unhealthy`.
    pub harm_needed: f64,
    /// That the candidate gets less traffic than its weight.
    pub starved: f64,
    /// What `starved` must reach for `unhealthy`.
    pub starved_needed: f64,
    /// That the candidate is within the margin.
    pub health: f64,
    /// What `health` must reach for `healthy`.
    pub health_needed: f64,
    /// How many times as many failures the candidate has, at 95 % for all looks together.
    pub ratio: RatioInterval,
    /// All that was seen since the Rollout began.
    pub rollout: Tally,
    /// All that was seen since the step began.
    pub step: Tally,
    /// How many more requests of the candidate `healthy` takes, if it is as good as stable.
    pub more_requests: Option<u64>,
}

/// A confidence interval of a ratio; an end that is not known is open.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RatioInterval {
    /// The lower end.
    pub lower: Option<f64>,
    /// The upper end.
    pub upper: Option<f64>,
}

/// Both sides' counts over the same time.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// The candidate's.
    pub candidate: Counts,
    /// Those of what it is compared with.
    pub stable: Counts,
}

/// What one side did.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Requests that were given to it, ended or not.
    pub started: u64,
    /// Requests that ended.
    pub requests: u64,
    /// Of these: those that failed.
    pub errors: u64,
}

#[cfg(test)]
mod tests {
    use towpath_judge as judge;
    use towpath_judge::{Counts, Verdict};

    use super::super::tests::reads;
    use super::Assessment;

    #[test]
    fn each_verdict_is_described() {
        let counts = Counts::ended(900, 9);
        let tally = judge::Tally { candidate: counts, stable: counts };
        let evidence = judge::Evidence {
            harm: 0.5,
            harm_needed: 5.0,
            starved: 0.0,
            starved_needed: 6.9,
            health: 3.1,
            health_needed: 3.0,
            ratio: judge::RatioInterval { lower: Some(0.8), upper: None },
            rollout: tally,
            step: tally,
            more_requests: Some(100),
        };
        for (verdict, reason) in [
            (Verdict::Unhealthy, judge::Reason::Regression { candidate: counts, stable: counts, nats: 5.0 }),
            (Verdict::Unhealthy, judge::Reason::OverLimit { candidate: counts, limit: 0.01, nats: 5.0 }),
            (Verdict::Unhealthy, judge::Reason::Starved { candidate: 1, both: 900, due: 0.1 }),
            (
                Verdict::Healthy,
                judge::Reason::WithinMargin {
                    candidate: 0.01,
                    stable: 0.01,
                    allowed: 0.02,
                    confidence: 0.95,
                },
            ),
            (Verdict::Healthy, judge::Reason::WithinLimit { candidate: 0.01, limit: 0.02, confidence: 0.95 }),
            (Verdict::Unknown, judge::Reason::NoMeasurements),
            (Verdict::Unknown, judge::Reason::Stale { age_seconds: 40.0, most_seconds: 30.0 }),
            (Verdict::Unknown, judge::Reason::FromTheFuture { ahead_seconds: 9.0 }),
            (Verdict::Unknown, judge::Reason::NoTraffic),
            (Verdict::Unknown, judge::Reason::NoCandidateTraffic { stable: 9 }),
            (Verdict::Unknown, judge::Reason::NoStableTraffic { candidate: 9 }),
            (Verdict::Unknown, judge::Reason::TooFewRequests { seen: 9, needed: 50 }),
            (
                Verdict::Unknown,
                judge::Reason::Undecided { candidate: 0.01, stable: None, more_requests: Some(9) },
            ),
        ] {
            reads::<Assessment>(&judge::Assessment { verdict, reason, evidence: evidence.clone() });
        }
    }
}
