//! The model as a whole: scripted scenarios, properties, and a simulated world with faults.

mod fixture;
mod gates;
mod owed;
mod policy_change;
mod pool;
mod prng;
mod properties;
mod queue;
mod retry;
mod run;
mod scenarios;
mod simulation;
mod world;
