//! Evidence of health: that the candidate is not worse than the margin allows.
//!
//! It bets against "worse than the margin". Three bets share the capital: one that the two arms fail alike, which
//! lives on failures, and two that the candidate hardly fails at all, which live on their absence. Where nothing serves
//! beside the candidate, the first is that it fails as often as is expected. Each is fair under "worse than the
//! margin", so their mean is.

use serde::{Deserialize, Serialize};

use crate::counts::{Counts, Tick};
use crate::likelihood::share_ratio;
use crate::policy::Policy;

/// The shares of failures that the absolute bets expect, as parts of the limit.
const LOW: [f64; 2] = [0.1, 1.0 / 3.0];
/// How far evidence may exceed what is needed, in nats, so that it cannot be hoarded against a later fault.
const HOARD: f64 = 3.0;
/// A larger ratio than this is never taken from a small estimate of stable's share.
const LARGEST_RATIO: f64 = 50.0;

/// The logarithms of the bets' capital.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Safety {
    alike: f64,
    low: [f64; 2],
}

/// The parts of the capital: of the bet on likeness, and of each absolute bet.
fn parts(policy: &Policy) -> (f64, f64) {
    match (policy.compares(), absolute_limit(policy)) {
        (true, None) => (1.0, 0.0),
        (true, Some(_)) => (0.5, 0.25),
        (false, _) if expected(policy).is_some() => (0.5, 0.25),
        (false, _) => (0.0, 0.5),
    }
}

/// What the candidate alone is expected to fail, where that is within its limit; never nothing, since one failure would
/// end the bet.
fn expected(policy: &Policy) -> Option<f64> {
    let least = LOW[0] * policy.bootstrap_limit;
    policy
        .expected
        .filter(|_| !policy.compares())
        .map(|share| share.max(least))
        .filter(|share| *share < policy.bootstrap_limit)
}

/// The share of failures that "worse than the margin" implies at the least.
pub(crate) fn absolute_limit(policy: &Policy) -> Option<f64> {
    let limit = if policy.compares() { policy.margin.increase } else { policy.bootstrap_limit };
    (limit > 0.0).then_some(limit)
}

/// The ratio that the margin allows, given all that stable did before: a high estimate of stable's share of
/// failures makes the allowed ratio low, so chance cannot make the margin wide.
pub(crate) fn allowed_ratio(policy: &Policy, past: &Counts) -> f64 {
    let failures = past.errors as f64 + 1.0;
    let high = (failures + 2.0 * failures.sqrt()) / (past.requests as f64).max(1.0);
    policy.margin.ratio.max(1.0 + policy.margin.increase / high).min(LARGEST_RATIO)
}

/// The expected growth of the comparison's bet in nats for each failure of either arm, if both fail alike.
pub(crate) fn growth_per_failure(theta: f64, ratio: f64) -> f64 {
    let worse = ratio * theta / (ratio * theta + 1.0 - theta);
    share_ratio(theta, worse, theta, 1.0)
}

/// The fastest expected growth of the absolute bets in nats for each request, at a share of failures.
pub(crate) fn growth_per_request(limit: f64, share: f64) -> f64 {
    LOW.iter().map(|part| share_ratio(part * limit, limit, share, 1.0)).fold(f64::MIN, f64::max)
}

impl Safety {
    /// Takes in a tick; `past` is all that stable did before it.
    pub(crate) fn learn(&mut self, tick: &Tick, past: &Counts, policy: &Policy) {
        let (xc, nc) = (tick.candidate.errors as f64, tick.candidate.requests as f64);
        let (xb, nb) = (tick.stable.errors as f64, tick.stable.requests as f64);
        let phi = policy.phi();
        let most = |part: f64| Self::needed(policy) - part.max(f64::MIN_POSITIVE).ln() + HOARD;
        let (comparison, each) = parts(policy);
        if policy.compares() && nc > 0.0 && nb > 0.0 && past.requests > 0 {
            let (same, ratio) = (nc / (nc + nb), allowed_ratio(policy, past));
            let worse = ratio * nc / (ratio * nc + nb);
            self.alike = (self.alike + share_ratio(same, worse, xc, xc + xb) / phi).min(most(comparison));
        }
        if let Some(share) = expected(policy) {
            let growth = share_ratio(share, policy.bootstrap_limit, xc, nc);
            self.alike = (self.alike + growth / phi).min(most(comparison));
        }
        if let Some(limit) = absolute_limit(policy) {
            for (bet, part) in self.low.iter_mut().zip(LOW) {
                *bet = (*bet + share_ratio(part * limit, limit, xc, nc) / phi).min(most(each));
            }
        }
    }

    /// The evidence in nats.
    pub(crate) fn nats(&self, policy: &Policy) -> f64 {
        let (comparison, each) = parts(policy);
        let [first, second] = self.low;
        let capital = comparison * self.alike.exp() + each * (first.exp() + second.exp());
        capital.max(f64::MIN_POSITIVE).ln()
    }

    /// The evidence that is enough.
    pub(crate) fn needed(policy: &Policy) -> f64 {
        -policy.beta.ln()
    }

    /// How many more requests of the candidate it takes, if both arms fail as often as they did all together.
    pub(crate) fn still_needed(&self, policy: &Policy, candidate: &Counts, stable: &Counts) -> Option<f64> {
        let requests = (candidate.requests + stable.requests) as f64;
        if candidate.requests == 0 {
            return None;
        }
        let share = (candidate.errors + stable.errors) as f64 / requests;
        let theta = candidate.requests as f64 / requests;
        let (comparison, each) = parts(policy);
        let phi = policy.phi();
        let wait = |held: f64, part: f64, growth: f64| {
            let missing = (Self::needed(policy) - part.ln() - held).max(0.0);
            if part > 0.0 && growth > 0.0 { missing * phi / growth } else { f64::INFINITY }
        };
        let alike = match expected(policy) {
            Some(expected) => share_ratio(expected, policy.bootstrap_limit, share, 1.0),
            None if theta < 1.0 => growth_per_failure(theta, allowed_ratio(policy, stable)) * share / theta,
            None => 0.0,
        };
        let mut least = wait(self.alike, comparison, alike);
        if let Some(limit) = absolute_limit(policy) {
            for (held, part) in self.low.iter().zip(LOW) {
                least = least.min(wait(*held, each, share_ratio(part * limit, limit, share, 1.0)));
            }
        }
        least.is_finite().then_some(least)
    }
}
