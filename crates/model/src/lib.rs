//! The pure core of Towpath: what a Run, a Promotion and a Rollout do next.
//!
//! Nothing here reads a clock, draws a random number, touches a file or waits. Time is an
//! argument; what should happen is a return value. `engine` stores it and makes it true.

pub mod attempt;
pub mod calendar;
pub mod container;
pub mod cron;
pub mod delivery;
pub mod digest;
pub mod environment;
pub mod evidence;
pub mod gate;
pub mod history;
pub mod ids;
pub mod incident;
pub mod input;
pub mod intake;
mod job_limits;
pub mod lease;
pub mod matrix;
pub mod migration;
pub mod names;
pub mod notify;
pub mod origin;
pub mod owed;
pub mod pattern;
pub mod pipeline;
pub mod plan;
pub mod plan_lint;
pub mod policy;
pub mod policy_change;
pub mod pool;
mod protocol;
pub mod queue;
pub mod reports;
pub mod retry;
pub mod reuse;
pub mod revocation;
pub mod run;
pub mod schedule;
pub mod source;
pub mod split;
pub mod standing;
pub mod status;
pub mod strategy;
pub mod test_history;
pub mod timeline;
pub mod weight;
pub mod workload;

pub use digest::Digest;
pub use ids::*;
pub use job_limits::JobLimits;
pub use names::*;
pub use weight::Weight;
