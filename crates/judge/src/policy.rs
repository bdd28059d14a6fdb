//! What a rollout's judge is told: error budgets, margins, limits, and how long data stays fresh.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How sure to be, of what, and from which data. Every field has a default; [`Policy::check`] knows the bounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// What the candidate is compared with.
    pub compare: Compare,
    /// The chance that a candidate that is no worse is called unhealthy, over the whole rollout: all tests, all
    /// looks, all weights together. Default 1 %.
    pub alpha: f64,
    /// The chance that a candidate that is worse than the margin is called healthy in one step. Default 5 %.
    pub beta: f64,
    /// How much worse a candidate may be and still be healthy.
    pub margin: Margin,
    /// The share of failures that a candidate must stay under when there is nothing to compare with. Default 1 %.
    pub bootstrap_limit: f64,
    /// The share of failures that a good candidate is expected to have when there is nothing to compare with at the same
    /// time: what ran before had it. Without it only a candidate far under the limit can be shown to be within it.
    /// Default: none.
    pub expected: Option<f64>,
    /// A share of failures that makes the candidate unhealthy whatever stable does. Default: none.
    pub hard_limit: Option<f64>,
    /// A proven increase of the share of failures that is still too small to call unhealthy. Default 0.05 points.
    ///
    /// With much traffic any difference gets proven. Below this one the margin alone decides.
    pub negligible: f64,
    /// The times as many failures that count as no harm at all. Default 1: any harm is harm.
    pub tolerated_ratio: f64,
    /// The fewest requests of the candidate in a step before it can be healthy. Default 100.
    pub minimum_requests: u64,
    /// The age at which the newest measurement is too old for `healthy`, in seconds. Default 15.
    pub stale_after_seconds: f64,
    /// The time within which evidence for harm grows by at most `block_evidence`, in seconds. Default 10.
    ///
    /// It is the longest incident (a garbage collection, a restart of a dependency, one burst of retries) that
    /// must not alone be enough for `unhealthy`. At the defaults two blocks are the least, so a candidate that
    /// fails at once is unhealthy after about one block and a tick. Shorter is faster and trusts bursts more.
    pub block_seconds: f64,
    /// The most evidence for harm that one block can add, in nats (powers of e). Default 2.5: twelvefold.
    pub block_evidence: f64,
    /// How much more errors vary than independent ones would, from the service's own history. Default 1.
    ///
    /// Retries and sick hosts make errors come in clusters; evidence is divided by their mean size.
    pub dispersion: f64,
    /// Whether a client stays on its arm. Its errors then come in clusters and the split is no longer drawn for
    /// each request: `dispersion` is taken as at least 5 and the traffic test is off. Default no.
    pub sticky: bool,
    /// Whether evidence of health is gathered anew in each step. Default: yes.
    pub health: HealthScope,
}

/// What the candidate is compared with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compare {
    /// The stable Revision's Instances that serve at the same time.
    #[default]
    Stable,
    /// Fresh Instances of the stable Revision, started with the candidate's.
    Baseline,
    /// Nothing: a first deployment. The absolute limit and the minimum of requests decide.
    Nothing,
}

/// From when evidence of health counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthScope {
    /// Each step must show health by itself, so a fault that starts with a weight is not outvoted by earlier steps.
    #[default]
    Step,
    /// Evidence carries over from step to step: quicker where there is little traffic, slower to notice a late fault.
    Rollout,
}

/// How much worse a candidate may be: by `increase` or by `ratio`, whichever allows more.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Margin {
    /// A greater share of failures: 0.005 is half a percentage point.
    pub increase: f64,
    /// Times as many failures: 1.5 is half as many again.
    pub ratio: f64,
}

impl Margin {
    /// Allows a greater share of failures and nothing else: `max_increase: 0.5pp` is `Margin::increase(0.005)`.
    #[must_use]
    pub const fn increase(increase: f64) -> Self {
        Self { increase, ratio: 1.0 }
    }

    /// Allows times as many failures and nothing else: `max_increase: 20%` is `Margin::ratio(1.2)`.
    ///
    /// A service that never fails can then never be judged healthy: no number of good answers shows that failures
    /// have not doubled from none.
    #[must_use]
    pub const fn ratio(ratio: f64) -> Self {
        Self { increase: 0.0, ratio }
    }
}

impl Default for Margin {
    fn default() -> Self {
        Self { increase: 0.005, ratio: 1.5 }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            compare: Compare::Stable,
            alpha: 0.01,
            beta: 0.05,
            margin: Margin::default(),
            bootstrap_limit: 0.01,
            expected: None,
            hard_limit: None,
            negligible: 0.0005,
            tolerated_ratio: 1.0,
            minimum_requests: 100,
            stale_after_seconds: 15.0,
            block_seconds: 10.0,
            block_evidence: 2.5,
            dispersion: 1.0,
            sticky: false,
            health: HealthScope::Step,
        }
    }
}

/// The least dispersion with sticky routing: about what retries of three in a row showed.
const STICKY_DISPERSION: f64 = 5.0;

impl Policy {
    /// The policy of a first deployment: as this one, with nothing to compare with.
    #[must_use]
    pub fn bootstrap(self) -> Self {
        Self { compare: Compare::Nothing, ..self }
    }

    /// Checks every field against its bounds.
    ///
    /// # Errors
    /// Names the first field that is out of bounds, with what it may be.
    pub fn check(&self) -> Result<(), InvalidPolicy> {
        let bounds = [
            ("alpha", self.alpha, 1e-6, 0.2),
            ("beta", self.beta, 1e-6, 0.5),
            ("margin.increase", self.margin.increase, 0.0, 0.5),
            ("margin.ratio", self.margin.ratio, 1.0, 50.0),
            ("bootstrap_limit", self.bootstrap_limit, 1e-5, 0.9),
            ("expected", self.expected.unwrap_or(0.0), 0.0, 0.9),
            ("hard_limit", self.hard_limit.unwrap_or(0.5), 1e-5, 0.9),
            ("negligible", self.negligible, 0.0, 0.5),
            ("tolerated_ratio", self.tolerated_ratio, 1.0, 10.0),
            ("minimum_requests", self.minimum_requests as f64, 1.0, 1e12),
            ("stale_after_seconds", self.stale_after_seconds, 1.0, 86_400.0),
            ("block_seconds", self.block_seconds, 1.0, 3_600.0),
            ("block_evidence", self.block_evidence, 0.5, 20.0),
            ("dispersion", self.dispersion, 1.0, 1_000.0),
        ];
        for (field, value, least, most) in bounds {
            // Written so that a NaN is out of bounds.
            if !(least..=most).contains(&value) {
                return Err(InvalidPolicy::OutOfBounds { field, value, least, most });
            }
        }
        if self.margin.increase == 0.0 && self.margin.ratio == 1.0 {
            return Err(InvalidPolicy::NoMargin);
        }
        Ok(())
    }

    pub(crate) fn phi(&self) -> f64 {
        if self.sticky { self.dispersion.max(STICKY_DISPERSION) } else { self.dispersion }
    }

    pub(crate) fn compares(&self) -> bool {
        self.compare != Compare::Nothing
    }

    pub(crate) fn stale_after(&self) -> i64 {
        micros(self.stale_after_seconds)
    }

    pub(crate) fn block(&self) -> i64 {
        micros(self.block_seconds)
    }

    /// The factor by which capital may grow in one block.
    pub(crate) fn block_cap(&self) -> f64 {
        self.block_evidence.exp()
    }
}

fn micros(seconds: f64) -> i64 {
    (seconds * 1e6) as i64
}

/// Microseconds of a duration; what does not fit is the greatest number.
pub(crate) fn duration_micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A policy that no judge can follow.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidPolicy {
    /// A number outside its bounds.
    #[error("the analysis policy's `{field}` is {value}; it can be {least} to {most}")]
    OutOfBounds {
        /// Which.
        field: &'static str,
        /// What was given.
        value: f64,
        /// The least.
        least: f64,
        /// The most.
        most: f64,
    },
    /// A margin that allows nothing: no amount of data proves that two things are equal.
    #[error(
        "the analysis policy's `margin` allows no increase at all, which no amount of traffic can show; allow some, such as 0.5pp"
    )]
    NoMargin,
}
