//! Runs Steps, streams logs, deploys and supervises Instances.
//!
//! [`executor`] runs the Steps of one Attempt and knows nothing of a server; [`sandbox`] confines
//! them; [`local`] is what `towpath run` calls. All three are synchronous: one thread per Attempt,
//! no runtime. [`process`] is the agent itself, [`instances`] what it deploys.

pub mod executor;
pub mod instances;
pub mod local;
pub mod process;
pub mod processes;
pub mod sandbox;
pub mod sweep;
