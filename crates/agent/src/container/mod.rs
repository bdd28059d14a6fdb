//! Steps in containers, and Services beside them, through the API of Docker or Podman.
//!
//! One container serves all Steps of an Attempt, each as a command in it, so that what one installs the next one finds. It
//! has a network of its own, no right that reaches the host, and no way to the engine. `room::Room` is what an Attempt
//! has; `engine` and `http` are the way to the engine; `instance` and `instance_image` are what Environments run; `build` makes images; `sweep` clears away what a
//! killed agent left. `agents` is about whole agents in containers.

mod agents;
mod build;
mod context;
mod dockerfile;
mod engine;
mod exec;
mod frames;
mod health;
mod http;
mod image;
pub(crate) mod instance;
pub(crate) mod instance_image;
mod process;
mod room;
mod service;
mod spec;
mod sweep;
mod usage;

pub use self::agents::{AgentContainer, AgentContainers, AgentsError};
pub(crate) use self::build::{Build, Built};
pub use self::engine::{Engine, EngineError, EngineKind, NoEngine};
pub(crate) use self::exec::ExecEnd;
pub(crate) use self::http::Wait;
pub use self::room::ContainerHost;
pub(crate) use self::room::{Opening, Refusal, Room};
pub(crate) use self::spec::{CACHE, SCRATCH};
pub use self::sweep::Owner;
