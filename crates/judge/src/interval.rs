//! How many times as many failures the candidate has: an interval that may be looked at all the time.

use serde::{Deserialize, Serialize};

use crate::assessment::RatioInterval;

/// Ratios from 1/32 to 32, each 19 % above the one before.
const POINTS: usize = 41;
const WIDEST: f64 = 32.0;

/// The log-likelihood of each ratio on the grid.
///
/// Against each ratio bets the mixture of all others, so the ratios that are not yet refuted at 95 % are a
/// confidence sequence: it covers the true one at all times together, with a chance of 95 %.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RatioBelief {
    log_likelihoods: Vec<f64>,
}

fn ratio(index: usize) -> f64 {
    WIDEST.powf(2.0 * index as f64 / (POINTS - 1) as f64 - 1.0)
}

impl RatioBelief {
    pub(crate) fn new() -> Self {
        Self { log_likelihoods: vec![0.0; POINTS] }
    }

    pub(crate) fn learn(&mut self, xc: f64, nc: f64, xb: f64, nb: f64, phi: f64) {
        if nc == 0.0 || nb == 0.0 {
            return;
        }
        let theta = nc / (nc + nb);
        for (index, log_likelihood) in self.log_likelihoods.iter_mut().enumerate() {
            let ratio = ratio(index);
            *log_likelihood += (xc * ratio.ln() - (xc + xb) * (theta * (ratio - 1.0)).ln_1p()) / phi;
        }
    }

    /// The ratios that are not refuted; an end that lies outside of the grid is `None`.
    pub(crate) fn interval(&self) -> RatioInterval {
        let most = self.log_likelihoods.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mean = self.log_likelihoods.iter().map(|value| (value - most).exp()).sum::<f64>() / POINTS as f64;
        let refuted_below = most + mean.ln() - 20f64.ln();
        let kept = |index: &usize| self.log_likelihoods[*index] > refuted_below;
        let lowest = (0..POINTS).find(kept).unwrap_or(0);
        let highest = (0..POINTS).rfind(kept).unwrap_or(POINTS - 1);
        RatioInterval {
            // The neighbour outside, because the truth lies between grid points.
            lower: lowest.checked_sub(1).map(ratio),
            upper: (highest + 1 < POINTS).then(|| ratio(highest + 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_nothing_at_first_and_closes_in_on_the_truth() {
        let mut belief = RatioBelief::new();
        assert_eq!(belief.interval(), RatioInterval { lower: None, upper: None });
        for _ in 0..200 {
            belief.learn(3.0, 100.0, 9.0, 900.0, 1.0);
        }
        let RatioInterval { lower, upper } = belief.interval();
        assert!((2.0..3.0).contains(&lower.unwrap()), "{lower:?}");
        assert!((3.0..4.5).contains(&upper.unwrap()), "{upper:?}");
    }

    #[test]
    fn a_stable_that_never_fails_leaves_the_upper_end_open() {
        let mut belief = RatioBelief::new();
        belief.learn(40.0, 100.0, 0.0, 900.0, 1.0);
        let RatioInterval { lower, upper } = belief.interval();
        assert!(lower.unwrap() > 5.0);
        assert_eq!(upper, None);
    }
}
