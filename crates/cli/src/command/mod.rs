//! The commands, one file each: its arguments and what it does with them.
//!
//! A command returns its exit code: 0 where all is well, 1 where it found what it looks for (a
//! broken file, a failed job), 2 where it could not do its work; [`crate::failure`] has the others.

mod against;
pub mod agent;
pub mod apply;
pub mod cache;
pub mod completions;
pub mod decide;
pub mod doctor;
pub mod env;
pub mod evidence;
pub mod export;
pub mod gateway;
pub mod imported;
pub mod incident;
mod include;
pub mod init;
pub mod insights;
pub mod lift;
pub mod lint;
pub mod load;
pub mod local;
pub mod login;
pub mod logout;
pub mod logs;
pub mod notify;
pub mod occasion;
pub mod open;
pub mod plan;
pub mod policy;
pub mod project;
pub mod queue;
pub mod releases;
pub mod resume;
pub mod revoke;
pub mod run;
pub mod runs;
pub mod schema;
pub mod search;
pub mod secret;
pub mod serve;
pub mod shell;
pub mod shutdown;
pub mod source;
pub mod status;
pub mod test_history;
pub mod test_split;
pub mod timeline;
pub mod token;
pub mod user;
pub mod version;
pub mod wait;
pub mod whoami;
