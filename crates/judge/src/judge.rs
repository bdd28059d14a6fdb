//! The judge of one rollout: takes in ticks, keeps a few numbers, says the verdict.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::assessment::{Assessment, Evidence, Reason, Verdict};
use crate::counts::{Refused, Tally, Tick};
use crate::evidence::Capital;
use crate::interval::RatioBelief;
use crate::likelihood::{RATIOS, SHORTFALLS, comparison, excess_over, starvation};
use crate::policy::{HealthScope, InvalidPolicy, Policy, duration_micros};
use crate::safety::{Safety, absolute_limit, allowed_ratio};
use crate::schedule::Schedule;

/// The comparison's part of the false-alarm budget. The three parts sum to 1.
pub(crate) const REGRESSION_SHARE: f64 = 0.8;
/// The hard limit's part.
const LIMIT_SHARE: f64 = 0.1;
/// The traffic test's part.
const TRAFFIC_SHARE: f64 = 0.1;

/// Judges one rollout of one candidate, from its first request to its last.
///
/// Make one per rollout and keep it: a new one for each step or look would spend the false-alarm budget again.
/// Its size does not grow, and it can be stored between any two calls (serde).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judge {
    policy: Policy,
    schedule: Schedule,
    regression: Capital,
    limit: Capital,
    traffic: Capital,
    safety: Safety,
    ratio: RatioBelief,
    rollout: Tally,
    step: Tally,
    block: Tally,
    /// Ticks that end before it belong to an earlier step.
    step_from: Option<i64>,
    block_from: Option<i64>,
    latest: Option<i64>,
    weights: Option<Weights>,
    proof: Option<Reason>,
}

/// The weights of the latest tick, and since when they are known to be in force.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Weights {
    candidate: u16,
    stable: u16,
    since: i64,
}

impl Judge {
    /// Makes the judge of a rollout that is planned to take so long. It judges on if the rollout takes longer.
    ///
    /// # Errors
    /// Refuses a policy that is out of bounds.
    pub fn new(policy: Policy, planned: Duration) -> Result<Self, InvalidPolicy> {
        policy.check()?;
        Ok(Self {
            schedule: Schedule::new(duration_micros(planned), policy.block()),
            policy,
            regression: Capital::new(RATIOS.len()),
            limit: Capital::new(RATIOS.len()),
            traffic: Capital::new(SHORTFALLS.len()),
            safety: Safety::default(),
            ratio: RatioBelief::new(),
            rollout: Tally::default(),
            step: Tally::default(),
            block: Tally::default(),
            step_from: None,
            block_from: None,
            latest: None,
            weights: None,
            proof: None,
        })
    }

    /// The policy that it follows.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The end of the newest measurement, in microseconds since 1970.
    #[must_use]
    pub fn latest(&self) -> Option<i64> {
        self.latest
    }

    /// Notes that a step has begun: the weight is in force, and health must be shown anew.
    ///
    /// Evidence of harm goes on: it is one budget for the whole rollout.
    pub fn step_started(&mut self, at: i64) {
        self.step = Tally::default();
        self.step_from = Some(at);
        self.schedule.hasten();
        match self.policy.health {
            HealthScope::Step => self.safety = Safety::default(),
            HealthScope::Rollout => {}
        }
    }

    /// Takes in what was measured in one interval. Intervals must be disjoint and may come late.
    ///
    /// # Errors
    /// Refuses a tick that cannot be true; then nothing of it is counted.
    pub fn observe(&mut self, tick: &Tick) -> Result<(), Refused> {
        tick.check()?;
        self.keep_time(tick);
        self.bet(tick);
        self.count(tick);
        self.look(tick);
        Ok(())
    }

    /// Says what is known at a time, in microseconds since 1970.
    pub fn verdict(&self, now: i64) -> Assessment {
        let (verdict, reason) = match &self.proof {
            Some(proof) => (Verdict::Unhealthy, proof.clone()),
            None => match self.obstacle(now) {
                Some(reason) => (Verdict::Unknown, reason),
                None => (Verdict::Healthy, self.health_reason()),
            },
        };
        Assessment { verdict, reason, evidence: self.evidence() }
    }

    /// Opens a new block when the tick starts after the present one, and follows a clock that was set back.
    fn keep_time(&mut self, tick: &Tick) {
        let late = self.block_from.is_some_and(|from| from - tick.to > self.policy.stale_after());
        if late {
            // So much too late that the clock must have been set back. The block stays open, so this cannot add
            // evidence; all times begin anew, so that the judge does not wait for the clock to catch up.
            self.block_from = Some(tick.from);
            self.latest = Some(tick.to);
            self.step_from = self.step_from.map(|from| from.min(tick.from));
            self.weights = None;
        } else if self.block_from.is_none_or(|from| tick.from - from >= self.policy.block()) {
            self.block_from = Some(tick.from);
            self.open_block(tick.from);
        }
        self.latest = Some(self.latest.map_or(tick.to, |latest| latest.max(tick.to)));
    }

    fn open_block(&mut self, at: i64) {
        let cash = self.schedule.cash();
        let stake = self.schedule.stake(at);
        self.regression.open_block(cash, stake, self.policy.block_cap());
        self.limit.open_block(cash, stake, self.policy.block_cap());
        // Routing has no bursts: what is due and does not come is missing.
        self.traffic.open_block(cash, stake, f64::INFINITY);
        self.block = Tally::default();
    }

    fn bet(&mut self, tick: &Tick) {
        let (xc, nc) = (tick.candidate.errors as f64, tick.candidate.requests as f64);
        let (xb, nb) = (tick.stable.errors as f64, tick.stable.requests as f64);
        let phi = self.policy.phi();
        if self.policy.compares() {
            self.regression.settle(comparison(xc, nc, xb, nb, self.policy.tolerated_ratio, phi));
            self.ratio.learn(xc, nc, xb, nb, phi);
        }
        if let Some(limit) = self.harm_limit() {
            self.limit.settle(excess_over(limit, xc, nc, phi));
        }
        if self.weights_held(tick) && self.policy.compares() && !self.policy.sticky {
            let due = tick.due_share();
            if due > 0.0 && due < 1.0 {
                let (candidate, stable) = (tick.candidate.started as f64, tick.stable.started as f64);
                self.traffic.settle(starvation(due, candidate, stable));
            }
        }
        if self.in_step(tick) || self.policy.health == HealthScope::Rollout {
            self.safety.learn(tick, &self.rollout.stable, &self.policy);
        }
    }

    /// Whether the tick's weights were in force from its start to its end: a tick with a change in it mixes two.
    fn weights_held(&mut self, tick: &Tick) -> bool {
        let now = Weights { candidate: tick.candidate_weight, stable: tick.stable_weight, since: tick.to };
        match self.weights {
            Some(held) if (held.candidate, held.stable) == (now.candidate, now.stable) => {
                tick.from >= held.since
            }
            Some(_) | None => {
                self.weights = Some(now);
                false
            }
        }
    }

    fn in_step(&self, tick: &Tick) -> bool {
        self.step_from.is_none_or(|from| tick.to > from)
    }

    fn count(&mut self, tick: &Tick) {
        self.rollout.add(tick);
        self.block.add(tick);
        if self.in_step(tick) {
            self.step.add(tick);
        }
    }

    /// Looks whether a threshold is passed. What is proven stays proven: that is what the budget was paid for.
    fn look(&mut self, tick: &Tick) {
        if self.proof.is_some() {
            return;
        }
        let cap = self.policy.block_cap();
        let regression = self.regression.nats(self.schedule.cash(), cap);
        let limit = self.limit.nats(self.schedule.cash(), cap);
        let starved = self.traffic.nats(self.schedule.cash(), f64::INFINITY);
        let seen = self.worst(Tally::excess);
        self.proof = if self.policy.compares()
            && regression >= self.needed(REGRESSION_SHARE)
            && seen.excess() > self.policy.negligible
        {
            Some(Reason::Regression { candidate: seen.candidate, stable: seen.stable, nats: regression })
        } else if let Some(share) = self.harm_limit().filter(|_| limit >= self.needed(self.limit_share())) {
            let candidate = self.worst(|tally| tally.candidate.error_rate()).candidate;
            Some(Reason::OverLimit { candidate, limit: share, nats: limit })
        } else if starved >= self.needed(TRAFFIC_SHARE) {
            let Tally { candidate, stable } = self.step;
            let both = candidate.started + stable.started;
            Some(Reason::Starved { candidate: candidate.started, both, due: tick.due_share() })
        } else {
            None
        };
    }

    /// The counts of the block, the step or the rollout: those that show something best.
    fn worst(&self, by: impl Fn(&Tally) -> f64) -> Tally {
        let mut worst = self.rollout;
        for tally in [self.step, self.block] {
            if by(&tally) > by(&worst) {
                worst = tally;
            }
        }
        worst
    }

    fn harm_limit(&self) -> Option<f64> {
        if self.policy.compares() { self.policy.hard_limit } else { Some(self.policy.bootstrap_limit) }
    }

    fn limit_share(&self) -> f64 {
        if self.policy.compares() { LIMIT_SHARE } else { 1.0 }
    }

    fn needed(&self, share: f64) -> f64 {
        -(self.policy.alpha * share).ln()
    }

    /// What stands between the candidate and `healthy`.
    fn obstacle(&self, now: i64) -> Option<Reason> {
        self.stale(now).or_else(|| self.missing_traffic()).or_else(|| {
            let seen = self.step.candidate.requests;
            let needed = self.policy.minimum_requests;
            if seen < needed {
                return Some(Reason::TooFewRequests { seen, needed });
            }
            (self.safety.nats(&self.policy) < Safety::needed(&self.policy)).then(|| Reason::Undecided {
                candidate: self.step.candidate.error_rate(),
                stable: self.policy.compares().then(|| self.step.stable.error_rate()),
                more_requests: self.more_requests(),
            })
        })
    }

    fn stale(&self, now: i64) -> Option<Reason> {
        let Some(latest) = self.latest else {
            return Some(Reason::NoMeasurements);
        };
        let age = now.saturating_sub(latest);
        if age > self.policy.stale_after() {
            let most_seconds = self.policy.stale_after_seconds;
            Some(Reason::Stale { age_seconds: age as f64 / 1e6, most_seconds })
        } else if -age > self.policy.stale_after() {
            Some(Reason::FromTheFuture { ahead_seconds: -age as f64 / 1e6 })
        } else {
            None
        }
    }

    fn missing_traffic(&self) -> Option<Reason> {
        let (candidate, stable) = (self.step.candidate.requests, self.step.stable.requests);
        match (candidate, stable) {
            (0, 0) => Some(Reason::NoTraffic),
            (0, _) if !self.policy.compares() => Some(Reason::NoTraffic),
            (0, stable) => Some(Reason::NoCandidateTraffic { stable }),
            (candidate, 0) if self.policy.compares() => Some(Reason::NoStableTraffic { candidate }),
            (_, _) => None,
        }
    }

    fn health_reason(&self) -> Reason {
        let confidence = 1.0 - self.policy.beta;
        let candidate = self.step.candidate.error_rate();
        if !self.policy.compares() {
            return Reason::WithinLimit { candidate, limit: self.policy.bootstrap_limit, confidence };
        }
        let stable = self.step.stable.error_rate();
        let known = self.rollout.stable;
        let by_ratio = known.error_rate() * allowed_ratio(&self.policy, &known);
        let allowed = absolute_limit(&self.policy).map_or(by_ratio, |limit| by_ratio.max(limit));
        Reason::WithinMargin { candidate, stable, allowed, confidence }
    }

    fn more_requests(&self) -> Option<u64> {
        let more = self.safety.still_needed(&self.policy, &self.step.candidate, &self.step.stable)?;
        let short = self.policy.minimum_requests.saturating_sub(self.step.candidate.requests);
        Some((more.ceil() as u64).max(short))
    }

    fn evidence(&self) -> Evidence {
        let cash = self.schedule.cash();
        let (harm, share) = if self.policy.compares() {
            (&self.regression, REGRESSION_SHARE)
        } else {
            (&self.limit, self.limit_share())
        };
        Evidence {
            harm: harm.nats(cash, self.policy.block_cap()),
            harm_needed: self.needed(share),
            starved: self.traffic.nats(cash, f64::INFINITY),
            starved_needed: self.needed(TRAFFIC_SHARE),
            health: self.safety.nats(&self.policy),
            health_needed: Safety::needed(&self.policy),
            ratio: self.ratio.interval(),
            rollout: self.rollout,
            step: self.step,
            more_requests: self.more_requests(),
        }
    }
}
