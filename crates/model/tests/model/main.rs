//! The model as a whole: scripted scenarios, properties, and a simulated world with faults.

mod fixture;
mod prng;
mod properties;
mod run;
mod scenarios;
mod simulation;
mod world;
