//! Wire types: what server, agent, gateway, command line and page say to each other.
//!
//! These are shapes, not behaviour. They are owned here so that the model may change without
//! breaking an agent of last month.

pub mod agent;
pub mod containers;
pub mod gateway;
pub mod rest;
pub mod reuse;
