//! Runs Steps, streams logs, deploys and supervises Instances.
//!
//! [`executor`] runs the Steps of one Attempt and knows nothing of a server; [`sandbox`] confines
//! them; [`local`] is what `towpath run` calls. All three are synchronous: one thread per Attempt,
//! no runtime.

pub mod executor;
pub mod local;
pub mod processes;
pub mod sandbox;
