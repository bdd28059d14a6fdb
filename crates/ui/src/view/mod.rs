//! View models: everything a page shows, as plain data.
//!
//! The server fills them. Ids are strings, shares are thousandths, times are timestamps; nothing
//! here computes or decides.

mod account;
mod agents;
mod approvals;
mod caches;
mod common;
mod decide;
mod doctor;
mod environment;
mod error;
mod insights;
mod logs;
mod notifications;
mod overview;
mod policy_change;
mod project;
mod promotion;
mod queue;
mod release;
mod run;
mod sign_in;
mod tests;
mod timeline;
mod trigger;
mod users;

pub use account::*;
pub use agents::*;
pub use approvals::*;
pub use caches::*;
pub use common::*;
pub use decide::*;
pub use doctor::*;
pub use environment::*;
pub use error::*;
pub use insights::*;
pub use logs::*;
pub use notifications::*;
pub use overview::*;
pub use policy_change::*;
pub use project::*;
pub use promotion::*;
pub use queue::*;
pub use release::*;
pub use run::*;
pub use sign_in::*;
pub use tests::*;
pub use timeline::*;
pub use trigger::*;
pub use users::*;
