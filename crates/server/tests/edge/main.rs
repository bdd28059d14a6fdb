//! The real server on a port of its own, with the real git and a real HTTP client.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod delivery;
mod git;
mod hooks;
mod imported;
mod metrics;
mod notifications;
mod observed;
mod openapi;
mod people;
mod world;
