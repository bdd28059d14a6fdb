//! Likelihood ratios: how much more likely a tick is under each alternative than if nothing were wrong.

/// The regressions that are bet on: times as many failures.
pub(crate) const RATIOS: [f64; 8] = [1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0];

/// The parts of its due traffic that a starved candidate may get. The last is next to nothing, but not nothing,
/// so that one stray request does not refute it altogether.
pub(crate) const SHORTFALLS: [f64; 3] = [0.5, 0.1, 0.001];

/// Of the failures of a tick, how many fell on the candidate? Anything that hits both arms cancels.
///
/// Under "no worse than `tolerated` times" each failure is the candidate's with chance
/// `theta = tolerated nc / (tolerated nc + nb)`, whatever made it happen.
pub(crate) fn comparison(
    xc: f64,
    nc: f64,
    xb: f64,
    nb: f64,
    tolerated: f64,
    phi: f64,
) -> impl Iterator<Item = f64> {
    let weighted = tolerated * nc;
    let theta = if weighted + nb > 0.0 { weighted / (weighted + nb) } else { 0.0 };
    let failures = xc + xb;
    RATIOS.into_iter().map(move |ratio| (ratio.ln() * xc - failures * (theta * (ratio - 1.0)).ln_1p()) / phi)
}

/// Does the candidate fail more than `limit` of its requests? Alternatives are the ratios, as odds.
pub(crate) fn excess_over(limit: f64, xc: f64, nc: f64, phi: f64) -> impl Iterator<Item = f64> {
    RATIOS.into_iter().map(move |ratio| {
        let odds = ratio * limit / (1.0 - limit);
        share_ratio(odds / (1.0 + odds), limit, xc, nc) / phi
    })
}

/// Does the candidate get less than the `due` share of what is started?
pub(crate) fn starvation(due: f64, candidate: f64, stable: f64) -> impl Iterator<Item = f64> {
    SHORTFALLS.into_iter().map(move |part| share_ratio(part * due, due, candidate, candidate + stable))
}

/// The logarithm of the likelihood ratio of `x` in `n` under a share of `to` against a share of `from`.
pub(crate) fn share_ratio(to: f64, from: f64, x: f64, n: f64) -> f64 {
    x * (to / from).ln() + (n - x) * ((1.0 - to) / (1.0 - from)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With failures dealt to the arms at random (hypergeometric), the expected ratio is at most 1 however
    /// common failures are. The values are the ones that the research behind the method computed with scipy.
    #[test]
    fn the_expected_ratio_is_at_most_one_if_failures_are_dealt_at_random() {
        for (nc, nb, failures, ratio_index) in
            [(25, 475, 3, 7), (25, 475, 250, 7), (50, 50, 60, 4), (5, 5, 5, 1)]
        {
            let expected: f64 = (0..=failures.min(nc))
                .map(|xc| {
                    let chance = (ln_choose(nc, xc) + ln_choose(nb, failures - xc)
                        - ln_choose(nc + nb, failures))
                    .exp();
                    let mut ratios = comparison(
                        f64::from(xc),
                        f64::from(nc),
                        f64::from(failures - xc),
                        f64::from(nb),
                        1.0,
                        1.0,
                    );
                    chance * ratios.nth(ratio_index).unwrap().exp()
                })
                .sum();
            assert!(expected <= 1.0 + 1e-9, "{expected} for {failures} failures of {} requests", nc + nb);
        }
    }

    fn ln_choose(n: u32, k: u32) -> f64 {
        if k > n {
            return f64::NEG_INFINITY;
        }
        (1..=k).map(|i| (f64::from(n - k + i) / f64::from(i)).ln()).sum()
    }

    #[test]
    fn one_arm_alone_is_no_evidence() {
        for (xc, nc, xb, nb) in [(50.0, 100.0, 0.0, 0.0), (0.0, 0.0, 50.0, 100.0), (0.0, 0.0, 0.0, 0.0)] {
            assert!(comparison(xc, nc, xb, nb, 1.0, 1.0).all(|log_ratio| log_ratio.abs() < 1e-9));
        }
    }
}
