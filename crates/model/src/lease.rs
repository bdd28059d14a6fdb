//! How long an agent may work for a lease, and when the server may give its Attempts to another.
//!
//! The agent stops first, with time to spare. Both count from the same call, each by its own clock:
//!
//! ```text
//! agent asks ──► server hears ──► server answers ──► agent hears
//!    │               │ (waited)        │
//!    │               │                 └─ the lease counts from here: LEASE later the agent kills what it runs
//!    └─ the agent cannot know when that was, so it counts from its own question plus what the server says it waited:
//!       never later than the answer
//!                                      └─ LEASE + GRACE later, without another word, the server gives the Attempt away
//! ```
//!
//! So between the last moment at which the agent begins to kill and the first at which another may begin lies at
//! least `GRACE`, however late the answer came. It must cover the killing ([`KILLING`]) and clocks
//! that do not run alike.

use std::time::Duration;

use jiff::SignedDuration;

/// How long a lease lasts after the agent was last heard of.
pub const LEASE: SignedDuration = SignedDuration::from_secs(30);

/// Time on top before the server gives an Attempt to another.
pub const GRACE: SignedDuration = SignedDuration::from_secs(15);

/// The longest that it takes an agent to end what it runs: the Steps' own grace, and then the signal nobody survives.
pub const KILLING: SignedDuration = SignedDuration::from_secs(6);

/// How long after its question an agent may work for the leases that the answer confirmed.
#[must_use]
pub fn works_for(waited: Duration, lease: Duration) -> Duration {
    waited.saturating_add(lease)
}

/// Whether the server may give the Attempts of an agent to others that was silent for so long.
#[must_use]
pub fn may_take_back(silent: SignedDuration) -> bool {
    silent >= LEASE.saturating_add(GRACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(duration: SignedDuration) -> f64 {
        duration.as_secs_f64()
    }

    /// Whatever the network does to a call, and with clocks one in a hundred apart, the agent is done before.
    #[test]
    fn a_partitioned_agent_is_done_before_its_lease_is_given_away() {
        let lease = LEASE.unsigned_abs();
        for on_its_way in [0.0, 0.001, 1.0, 9.0, 20.0, 29.0, 600.0] {
            for waited in [0.0, 0.5, 10.0, 20.0] {
                for back in [0.0, 0.1, 5.0, 10.0, 29.0, 300.0] {
                    for fast in [0.99, 1.0, 1.01] {
                        // True time 0: the agent asks. Then it is cut off for good.
                        let heard = on_its_way + waited;
                        let answer = heard + back;
                        let works = works_for(Duration::from_secs_f64(waited), lease).as_secs_f64() / fast;
                        let begins_to_kill = works.max(0.0);
                        let is_done = begins_to_kill + seconds(KILLING);
                        let given_away = heard + seconds(LEASE + GRACE);
                        // An answer after that is not begun at all.
                        let began = answer < begins_to_kill;
                        assert!(!began || is_done < given_away, "{on_its_way} {waited} {back} {fast}");
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_is_taken_back_early() {
        assert!(!may_take_back(LEASE));
        assert!(!may_take_back(SignedDuration::from_millis(44_999)));
        assert!(may_take_back(SignedDuration::from_secs(45)));
    }
}
