//! Verdicts from measurements: is the candidate as good as what runs now?
//!
//! A [`Judge`] is fed disjoint [`Tick`]s of counts and says, at any moment and as often as it is asked, whether
//! the candidate is healthy, unhealthy or not yet known, with the reason and the numbers ([`Assessment`]). Its
//! false-alarm rate is one stated budget for a whole rollout, however often somebody looks. `docs/judge.md`
//! explains the method. Everything here is a function of its arguments: no clock, no files, no chance.
//!
//! What a verdict leads to (hold, next step, way back) is decided by `model`, not here.

mod assessment;
mod counts;
mod evidence;
mod interval;
mod judge;
mod likelihood;
mod policy;
mod power;
mod safety;
mod schedule;

pub use assessment::{Assessment, Evidence, RatioInterval, Reason, Verdict};
pub use counts::{Arm, Counts, MAX_COUNT, Refused, Tally, Tick};
pub use judge::Judge;
pub use policy::{Compare, HealthScope, InvalidPolicy, Margin, Policy};
pub use power::{Power, Traffic, power};
