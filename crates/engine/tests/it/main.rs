//! The engine on real files: a SQLite database, a content store, a git repository that real git commits to.
//! Agents and gateways are simulated in-process; the clock moves by hand.

#![allow(clippy::unwrap_used, reason = "a failed helper fails the test")]

mod agent;
mod bad_luck;
mod canary;
mod crashes;
mod delivery;
mod docker;
mod documents;
mod evidence;
mod forge;
mod gates;
mod gateway;
mod history;
mod hosts;
mod incidents;
mod includes;
mod insights;
mod intake;
mod kept;
mod mail_server;
mod migrations;
mod notify;
mod owed;
mod pushes;
mod queue;
mod receiver;
mod retries;
mod revoked;
mod runs;
mod sources;
mod triggers;
mod world;
