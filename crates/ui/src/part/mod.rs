//! Pieces that several pages are made of.

pub mod action;
pub mod frame;
pub mod graph;
pub mod icon;
pub mod matrix;
pub mod policy_change;
pub mod reports;
pub mod route;
pub mod small;
pub mod triggers;
