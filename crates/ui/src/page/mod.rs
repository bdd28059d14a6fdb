//! One function for each page: a view model in, a whole HTML document out.

mod account;
mod agents;
mod approvals;
mod caches;
mod doctor;
mod environment;
mod error;
mod logs;
mod overview;
mod project;
mod promotion;
mod queue;
mod release;
mod run;
mod sign_in;
mod tests;
mod timeline;
mod users;

pub use account::account;
pub use agents::agents;
pub use approvals::approvals;
pub use caches::caches;
pub use doctor::doctor;
pub use environment::environment;
pub use error::error;
pub use logs::logs;
pub use overview::overview;
pub use project::project;
pub use promotion::promotion;
pub use queue::queue;
pub use release::release;
pub use run::run;
pub use sign_in::{setup, sign_in};
pub use tests::{test, tests};
pub use timeline::timeline;
pub use users::users;
