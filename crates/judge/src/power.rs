//! What a rollout will be able to see, told before it starts.

use serde::{Deserialize, Serialize};

use crate::counts::Counts;
use crate::judge::REGRESSION_SHARE;
use crate::likelihood::{comparison, excess_over};
use crate::policy::Policy;
use crate::safety::{Safety, absolute_limit, allowed_ratio, growth_per_failure, growth_per_request};

/// The traffic that a step can expect, and the regression that one would like it to find.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// Requests per second of both arms together.
    pub requests_per_second: f64,
    /// The candidate's part of them, 0 to 1.
    pub candidate_share: f64,
    /// Stable's share of failures.
    pub stable_error_rate: f64,
    /// The candidate's share of failures, if it is bad.
    pub regressed_error_rate: f64,
}

/// How long a step needs, on average.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Power {
    /// Requests of the candidate until the regression is proven; none if it never will be.
    pub requests_to_unhealthy: Option<f64>,
    /// Seconds until then, blocks included.
    pub seconds_to_unhealthy: Option<f64>,
    /// Requests of the candidate until one that fails as often as stable is healthy; none if it never will be.
    pub requests_to_healthy: Option<f64>,
    /// Seconds until then.
    pub seconds_to_healthy: Option<f64>,
}

/// Evidence beyond the threshold: the price of betting on eight alternatives with half of the capital.
const OVERHEAD: f64 = std::f64::consts::LN_2 + 1.5;

/// Estimates how many requests and how much time a verdict takes. An estimate, not a promise: half take longer.
#[must_use]
pub fn power(policy: &Policy, traffic: &Traffic) -> Power {
    let Traffic { requests_per_second, candidate_share, .. } = *traffic;
    let candidate_rate = requests_per_second * candidate_share;
    let seconds = |requests: f64| (candidate_rate > 0.0).then(|| requests / candidate_rate);
    let requests_to_unhealthy = unhealthy(policy, traffic);
    let requests_to_healthy = healthy(policy, traffic);
    Power {
        requests_to_unhealthy,
        seconds_to_unhealthy: requests_to_unhealthy
            .and_then(seconds)
            .map(|seconds| seconds.max(least_blocks(policy) * policy.block_seconds)),
        requests_to_healthy,
        seconds_to_healthy: requests_to_healthy.and_then(seconds),
    }
}

/// The whole blocks that must be full before the one in which the threshold can be reached.
fn least_blocks(policy: &Policy) -> f64 {
    (threshold(policy) / policy.block_evidence).ceil() - 1.0
}

fn threshold(policy: &Policy) -> f64 {
    let share = if policy.compares() { REGRESSION_SHARE } else { 1.0 };
    -(policy.alpha * share).ln()
}

fn unhealthy(policy: &Policy, traffic: &Traffic) -> Option<f64> {
    let Traffic { candidate_share: share, stable_error_rate, regressed_error_rate, .. } = *traffic;
    let phi = policy.phi();
    let growth = if policy.compares() {
        let failures = (regressed_error_rate * share, stable_error_rate * (1.0 - share));
        let growths = comparison(failures.0, share, failures.1, 1.0 - share, policy.tolerated_ratio, phi);
        growths.fold(f64::MIN, f64::max) / share
    } else {
        excess_over(policy.bootstrap_limit, regressed_error_rate, 1.0, phi).fold(f64::MIN, f64::max)
    };
    let material = !policy.compares() || regressed_error_rate - stable_error_rate > policy.negligible;
    (growth > 0.0 && growth.is_finite() && material).then(|| (threshold(policy) + OVERHEAD) / growth)
}

fn healthy(policy: &Policy, traffic: &Traffic) -> Option<f64> {
    let Traffic { candidate_share: theta, stable_error_rate: rate, .. } = *traffic;
    // Stable's share of failures is taken as known well: from a thousand failures or requests.
    let seen = 1_000.0 / rate.max(1e-3);
    let past = Counts::ended(seen as u64, (rate * seen) as u64);
    let alike = if policy.compares() && theta > 0.0 && theta < 1.0 {
        growth_per_failure(theta, allowed_ratio(policy, &past)) * rate / theta
    } else {
        0.0
    };
    let low = absolute_limit(policy).map_or(0.0, |limit| growth_per_request(limit, rate));
    let growth = alike.max(low) / policy.phi();
    let needed = Safety::needed(policy) + OVERHEAD / 2.0;
    (growth > 0.0 && theta > 0.0).then(|| (needed / growth).max(policy.minimum_requests as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(share: f64, stable: f64, bad: f64, rate: f64) -> Power {
        let traffic = Traffic {
            requests_per_second: rate,
            candidate_share: share,
            stable_error_rate: stable,
            regressed_error_rate: bad,
        };
        power(&Policy::default(), &traffic)
    }

    /// The published speed law is 8 nats / (p1 ln(p1/p0) - (p1 - p0)) requests, with stable's share known; the
    /// kernel's threshold here is 4.8 + 2.2 = 7 nats.
    #[test]
    fn agrees_with_the_speed_law() {
        for (stable, bad, law) in [(0.01, 0.05, 200.0), (0.01, 0.015, 7_400.0), (0.001, 0.002, 20_700.0)] {
            let requests = estimate(0.05, stable, bad, 100.0).requests_to_unhealthy.unwrap();
            assert!(
                (0.7..1.3).contains(&(requests / law)),
                "{requests} for {stable} -> {bad}, the law says {law}"
            );
        }
    }

    #[test]
    fn a_large_fault_takes_the_blocks_that_it_must_and_no_regression_is_never_found() {
        assert_eq!(estimate(0.1, 0.002, 0.2, 1_500.0).seconds_to_unhealthy, Some(10.0));
        assert_eq!(estimate(0.1, 0.002, 0.002, 1_500.0).requests_to_unhealthy, None);
        assert_eq!(estimate(0.0, 0.002, 0.2, 1_500.0).seconds_to_unhealthy, None);
    }

    #[test]
    fn a_good_candidate_takes_seconds_with_much_traffic_and_zero_failures_take_the_rule_of_three() {
        let seconds = estimate(0.1, 0.002, 0.2, 1_500.0).seconds_to_healthy.unwrap();
        assert!((5.0..20.0).contains(&seconds), "{seconds}");
        let requests = estimate(0.1, 0.0, 0.2, 1_500.0).requests_to_healthy.unwrap();
        assert!((600.0..1_200.0).contains(&requests), "{requests}");
    }
}
