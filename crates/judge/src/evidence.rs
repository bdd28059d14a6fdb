//! Evidence as capital: a bettor who starts with 1, can only lose on average if nothing is wrong, and gets rich
//! if something is.
//!
//! If the capital ever reaches 1/a, something is wrong, or a chance of at most a has come true (Ville's
//! inequality); that holds at all looks together, so looking often costs nothing.

use serde::{Deserialize, Serialize};

/// So that a block of overwhelming evidence stays a finite number. The cap makes the rest meaningless anyway.
const MOST: f64 = 1e200;

/// One bettor's stakes, one for each alternative that it bets on. Its cash is in the `Schedule`, shared by all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Capital {
    stakes: Vec<f64>,
    /// The capital when the present block began.
    block_start: f64,
}

impl Capital {
    pub(crate) fn new(alternatives: usize) -> Self {
        Self { stakes: vec![0.0; alternatives], block_start: 1.0 }
    }

    /// Ends a block and begins the next with a new stake.
    ///
    /// What the cap cut off is lost; what is left is spread so that the stakes that won most are cut first, and
    /// cash is never touched. So neither a burst's winners, when they lose again, nor its sheer size can make the
    /// judge blind to a later fault.
    pub(crate) fn open_block(&mut self, cash_before: f64, stake: f64, cap: f64) {
        let capital = self.value(cash_before, cap);
        level(&mut self.stakes, capital - cash_before);
        self.block_start = capital;
        let each = stake / self.stakes.len() as f64;
        self.stakes.iter_mut().for_each(|held| *held += each);
    }

    /// Pays out: each stake times the likelihood ratio of its alternative, given as logarithms.
    pub(crate) fn settle(&mut self, log_ratios: impl Iterator<Item = f64>) {
        for (stake, log_ratio) in self.stakes.iter_mut().zip(log_ratios) {
            *stake = (*stake * log_ratio.exp()).min(MOST);
        }
    }

    /// The capital now, with `cap` the factor by which it may grow within one block.
    ///
    /// What earlier blocks lost may be won back beyond the cap: it limits evidence, not recovery.
    pub(crate) fn value(&self, cash: f64, cap: f64) -> f64 {
        (self.stakes.iter().sum::<f64>() + cash).min(self.block_start.max(1.0) * cap)
    }

    /// The capital's logarithm: the evidence in nats.
    pub(crate) fn nats(&self, cash: f64, cap: f64) -> f64 {
        self.value(cash, cap).max(f64::MIN_POSITIVE).ln()
    }
}

/// Cuts the largest stakes down to one level so that all sum to `total`, if they sum to more.
fn level(stakes: &mut [f64], total: f64) {
    if stakes.iter().sum::<f64>() <= total {
        return;
    }
    let mut ascending = stakes.to_vec();
    ascending.sort_by(f64::total_cmp);
    let mut left = total.max(0.0);
    let mut highest = 0.0;
    for (index, stake) in ascending.iter().enumerate() {
        let sharers = (ascending.len() - index) as f64;
        highest = left / sharers;
        if *stake > highest {
            break;
        }
        left -= stake;
    }
    stakes.iter_mut().for_each(|stake| *stake = stake.min(highest));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::likelihood::{RATIOS, comparison};

    /// The series and the numbers of the reference kernel (grid mixture with restarts, no cap), computed
    /// independently in Python from: R_k <- (R_k + w/K) exp(d_k x_c - m ln(1 + theta (e^d_k - 1))).
    #[test]
    fn agrees_with_the_reference_kernel() {
        let series = [
            (0.0, 25.0, 3.0, 475.0, 0.5),
            (1.0, 27.0, 2.0, 470.0, 0.1),
            (2.0, 24.0, 4.0, 480.0, 0.1),
            (1.0, 25.0, 3.0, 475.0, 0.1),
            (3.0, 26.0, 2.0, 474.0, 0.1),
        ];
        let expected =
            [0.780414798506185, 1.098512457241371, 4.619194925785241, 9.260122604251418, 684.9275680146794];
        let mut capital = Capital::new(RATIOS.len());
        let mut cash = 1.0;
        for ((xc, nc, xb, nb, stake), expected) in series.into_iter().zip(expected) {
            capital.open_block(cash, stake, f64::INFINITY);
            cash -= stake;
            capital.settle(comparison(xc, nc, xb, nb, 1.0, 1.0));
            let value = capital.value(cash, f64::INFINITY);
            assert!((value / expected - 1.0).abs() < 1e-12, "{value} is not {expected}");
        }
    }

    #[test]
    fn one_block_adds_at_most_its_cap_and_a_second_can_add_again() {
        let cap = 2.5f64.exp();
        let mut capital = Capital::new(8);
        capital.open_block(1.0, 0.5, cap);
        for _ in 0..100 {
            capital.settle([30.0; 8].into_iter());
        }
        assert!((capital.nats(0.5, cap) - 2.5).abs() < 1e-9);
        capital.open_block(0.5, 0.0, cap);
        assert!((capital.nats(0.5, cap) - 2.5).abs() < 1e-9);
        capital.settle([30.0; 8].into_iter());
        assert!((capital.nats(0.5, cap) - 5.0).abs() < 1e-9);
    }

    #[test]
    fn a_burst_that_ends_leaves_the_cash() {
        let cap = 2.5f64.exp();
        let mut capital = Capital::new(8);
        capital.open_block(1.0, 0.5, cap);
        capital.settle([300.0; 8].into_iter());
        capital.open_block(0.5, 0.0, cap);
        capital.settle([-300.0; 8].into_iter());
        assert!((capital.value(0.5, cap) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn levelling_cuts_the_largest_first() {
        let mut stakes = [1.0, 10.0, 100.0, 2.0];
        level(&mut stakes, 13.0);
        assert_eq!(stakes, [1.0, 5.0, 5.0, 2.0]);
    }
}
