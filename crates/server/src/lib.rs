//! The HTTP edge: authentication, REST, events, git, agents, page.
//!
//! Thin by intent: it finds out who calls, whether they may, and hands over to the engine or the
//! store. Nothing is decided here that a test of the core could not see.

mod agent_api;
pub mod app;
pub mod auth;
mod compose;
mod doctor;
mod events;
mod gateway_api;
pub mod git;
mod hooks;
mod layers;
mod listen;
mod listener_certificates;
mod local;
mod metrics;
pub mod options;
mod page;
mod pools;
mod problem;
mod push_note;
mod rest;
mod scrape;
mod serve;
mod subject;
mod tls;

pub use local::LocalAccess;
pub use options::{Overrides, ServeOptions};
pub use problem::Problem;
pub use rest::openapi;
pub use serve::{ServeError, Server, serve};
