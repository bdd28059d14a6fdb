//! Durable state.
//!
//! One SQLite file in WAL mode, one writer. Whatever changes does so in a transaction that also
//! carries its entry in the timeline. SQL is written so that PostgreSQL takes it too: ids are
//! TEXT, times are BIGINT microseconds, placeholders are `$1`.

pub mod core;
pub mod db;
pub mod git_refs;
pub mod identity;
pub mod lock;
mod migrations;
pub mod people;
pub mod time;
pub mod timeline;

pub use db::{Db, OpenError, Reader, WriteTx};
/// What a statement fails with.
pub use sqlx::Error as StoreError;

pub use lock::{DataLock, LockError};
