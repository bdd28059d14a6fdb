//! Runs Steps, streams logs, deploys and supervises Instances.
//!
//! [`executor`] runs the Steps of one Attempt and knows nothing of a server; [`sandbox`] and
//! [`container`] confine them; [`local`] is what `towpath run` calls. All of these are synchronous: one thread per Attempt,
//! no runtime. [`process`] is the agent itself, [`instances`] what it deploys.

pub mod container;
pub mod executor;
mod inputs;
pub mod instances;
pub mod local;
pub mod process;
pub mod processes;
mod reports;
pub mod reuse;
pub mod sandbox;
pub mod sweep;
