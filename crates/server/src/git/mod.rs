//! The git host: smart HTTP in front of the real `git`.
//!
//! Git itself checks packs, quarantines what it refuses and updates refs. What this adds: who may,
//! bounds on bytes, processes and time, and the engine's answer to a push on the user's terminal.

mod body;
mod command;
mod fetch;
mod handlers;
mod host;
mod packet;
mod push;
mod reconcile;
mod refs;

pub use handlers::router;
pub use host::{GitError, GitHost, GitLimits, PushSink};
pub use reconcile::reconcile;
pub use refs::RefUpdate;
