//! Who calls, and what they may do.

pub mod authorize;
pub mod csrf;
pub mod invitation;
pub mod limiter;
pub mod password;
pub mod principal;
pub mod secret;
pub mod setup;
pub mod sign_in;

pub use authorize::{Action, Forbidden, Permit, Role, Scope, authorize};
pub use principal::{Principal, Proof};
pub use secret::Secret;
