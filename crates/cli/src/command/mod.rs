//! The commands, one file each: its arguments and what it does with them.
//!
//! A command returns its exit code: 0 where all is well, 1 where it found what it looks for (a
//! broken file, a failed job), 2 where it could not do its work.

pub mod init;
pub mod lint;
pub mod local;
pub mod plan;
pub mod schema;
