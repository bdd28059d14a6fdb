//! What the reports of Jobs say: read when an Attempt ends, kept with its end in one transaction.
//!
//! The agent sends bytes by digest. They are parsed here, before the transaction and off the threads that serve
//! others; what the agent itself says of tests counts only where it sent no report.

mod compare;
mod demand;
mod keep;
mod query;
mod read;
mod split;

pub(crate) use query::hushed;

/// How much of a failure's text is kept in the database. All of it is in the report.
const MAX_DETAIL: usize = 4 << 10;

/// The most failures of one Attempt that are kept one by one. All of them count.
const MAX_FAILURES: usize = 500;

/// The most findings and files of one Attempt that are kept one by one. All of them count.
const MAX_LISTED: usize = 2000;

/// A path below the workspace of an Attempt without the way there, which says nothing to people.
fn shorten(path: &str, attempt: towpath_model::AttemptId) -> String {
    let marker = format!("{attempt}/source/");
    let within = path.split_once(&marker).map_or(path, |(_, within)| within);
    within.trim_start_matches("./").to_owned()
}
