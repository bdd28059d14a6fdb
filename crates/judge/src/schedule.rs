//! When capital is put at stake: half at the start, the rest bit by bit, so that a late fault finds some left.

use serde::{Deserialize, Serialize};

/// What is bet at the first tick.
const FIRST: f64 = 0.5;
/// What is bet in equal parts over the planned duration.
const PLANNED: f64 = 0.4;
/// How many equal parts: one a minute in a rollout of half an hour.
const PARTS: i64 = 30;
/// The part of what is left that is bet each time after the planned duration, so that it never ends.
const LATER: f64 = 0.1;

/// The capital that has not been bet, and when the next bet is due.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Schedule {
    cash: f64,
    every: i64,
    parts: i64,
    made: i64,
    next: Option<i64>,
}

impl Schedule {
    pub(crate) fn new(planned: i64, block: i64) -> Self {
        let every = (planned / PARTS).max(block);
        Self { cash: 1.0, every, parts: (planned / every).max(1), made: 0, next: None }
    }

    /// The capital that nothing can lose.
    pub(crate) fn cash(&self) -> f64 {
        self.cash
    }

    /// Makes the next bet due now: a new weight is when faults start.
    pub(crate) fn hasten(&mut self) {
        self.next = None;
    }

    /// What is bet at a time, taken out of the cash. Depends on nothing but the time, so evidence stays honest.
    pub(crate) fn stake(&mut self, at: i64) -> f64 {
        if self.next.is_some_and(|next| at < next && next - at <= self.every) {
            return 0.0;
        }
        let stake = match self.made {
            0 => FIRST,
            made if made <= self.parts => PLANNED / self.parts as f64,
            _ => self.cash * LATER,
        };
        self.made += 1;
        self.next = Some(at.saturating_add(self.every));
        self.cash -= stake;
        stake
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn half_at_once_then_a_bet_a_minute_and_never_all() {
        let mut schedule = Schedule::new(1_800 * SECOND, 10 * SECOND);
        assert_eq!(schedule.stake(0), 0.5);
        assert_eq!(schedule.stake(10 * SECOND), 0.0);
        assert!((schedule.stake(60 * SECOND) - 0.4 / 30.0).abs() < 1e-12);
        for minute in 2..=1_000 {
            schedule.stake(minute * 60 * SECOND);
            assert!(schedule.cash() > 0.0);
        }
        assert!(schedule.cash() < 0.1);
    }

    #[test]
    fn a_step_hastens_the_next_bet() {
        let mut schedule = Schedule::new(1_800 * SECOND, 10 * SECOND);
        schedule.stake(0);
        schedule.hasten();
        assert!(schedule.stake(10 * SECOND) > 0.0);
        assert_eq!(schedule.stake(20 * SECOND), 0.0);
    }

    #[test]
    fn a_clock_that_steps_back_does_not_stop_the_bets() {
        let mut schedule = Schedule::new(1_800 * SECOND, 10 * SECOND);
        schedule.stake(7_200 * SECOND);
        assert!(schedule.stake(0) > 0.0);
    }
}
