//! The database file: how it is opened, written and read.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Sqlite, Transaction};

use crate::lock::{DataLock, LockError};
use crate::migrations;

/// A transaction that may write. Dropping it without `commit` undoes it.
pub type WriteTx = Transaction<'static, Sqlite>;

/// A connection that only reads.
pub type Reader = PoolConnection<Sqlite>;

/// How many connections read at once. Each costs about a megabyte of cache.
const READERS: u32 = 3;

/// How long a writer or reader waits for its turn before that is an error.
const TURN: Duration = Duration::from_secs(30);

/// The open database. Clones share it.
#[derive(Debug, Clone)]
pub struct Db {
    writer: SqlitePool,
    readers: SqlitePool,
    _lock: Arc<DataLock>,
}

impl Db {
    /// Opens the database at `path`, creates or migrates it, and locks it against a second server.
    ///
    /// # Errors
    /// When another process has it, when it was written by a newer Towpath, or when SQLite fails.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        let lock = Arc::new(DataLock::take(&path.with_extension("lock"))?);
        let failed = |source| OpenError::Open { path: path.to_owned(), source };
        let options = options(path);
        let writer =
            pool(1).connect_with(options.clone().pragma("cache_size", "-4096")).await.map_err(failed)?;
        migrate(&writer, path).await?;
        let readers = options.read_only(true).pragma("cache_size", "-1024");
        let readers = pool(READERS).connect_with(readers).await.map_err(failed)?;
        Ok(Self { writer, readers, _lock: lock })
    }

    /// Begins a transaction that may write, once no other one is open.
    ///
    /// # Errors
    /// When the turn does not come in time, or SQLite fails.
    pub async fn begin_write(&self) -> sqlx::Result<WriteTx> {
        // IMMEDIATE: a transaction that starts by reading and then writes would else be refused
        // without waiting when something was committed in between.
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }

    /// Lends a connection for reading. Each statement on it sees the newest commit.
    ///
    /// # Errors
    /// When the turn does not come in time.
    pub async fn reader(&self) -> sqlx::Result<Reader> {
        self.readers.acquire().await
    }

    /// Begins a transaction whose reads all see the same state.
    ///
    /// # Errors
    /// When the turn does not come in time.
    pub async fn snapshot(&self) -> sqlx::Result<Transaction<'static, Sqlite>> {
        self.readers.begin().await
    }

    /// Closes every connection after its current work; the WAL is folded into the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // What was acknowledged survives a power cut: every commit is on the disk.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        .pragma("journal_size_limit", "16777216")
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(TURN)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

async fn migrate(writer: &SqlitePool, path: &Path) -> Result<(), OpenError> {
    migrations::migrator().run(writer).await.map_err(|error| match error {
        MigrateError::VersionMissing(found) if found > migrations::newest() => {
            OpenError::Newer { path: path.to_owned(), found, known: migrations::newest() }
        }
        source => OpenError::Migrate { path: path.to_owned(), source },
    })
}

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// A newer Towpath wrote it.
    #[error(
        "{} was written by a newer Towpath (its schema is {found}, this program knows up to {known}); nothing was \
         changed; start the newer program, or restore a backup made before the upgrade",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The schema version in the file.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// A migration failed. It was undone.
    #[error("failed to migrate {}", path.display())]
    Migrate {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: MigrateError,
    },
    /// SQLite could not open the file.
    #[error("failed to open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn commits_are_seen_by_readers_and_rollbacks_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("towpath.db")).await.unwrap();
        for (name, commit) in [("kept", true), ("dropped", false)] {
            let mut tx = db.begin_write().await.unwrap();
            sqlx::query("INSERT INTO git_refs VALUES ('shop', $1, 'abc', 0)")
                .bind(name)
                .execute(&mut *tx)
                .await
                .unwrap();
            if commit {
                tx.commit().await.unwrap();
            }
        }
        let mut reader = db.reader().await.unwrap();
        let names: Vec<(String,)> =
            sqlx::query_as("SELECT name FROM git_refs").fetch_all(&mut *reader).await.unwrap();
        assert_eq!(names, [("kept".to_owned(),)]);
        let refused = sqlx::query("DELETE FROM git_refs").execute(&mut *reader).await;
        assert!(refused.is_err(), "a reader wrote");
    }

    #[tokio::test]
    async fn two_servers_do_not_share_a_database() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("towpath.db");
        let first = Db::open(&path).await.unwrap();
        assert!(matches!(Db::open(&path).await, Err(OpenError::Locked(LockError::Held { .. }))));
        first.close().await;
        drop(first);
        Db::open(&path).await.unwrap();
    }

    #[tokio::test]
    async fn refuses_a_database_from_the_future() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("towpath.db");
        let db = Db::open(&path).await.unwrap();
        let mut tx = db.begin_write().await.unwrap();
        sqlx::query(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (9000, 'future', TRUE, X'00', 0)",
        )
        .execute(&mut *tx)
        .await
        .unwrap();
        tx.commit().await.unwrap();
        db.close().await;
        drop(db);
        let refused = Db::open(&path).await.unwrap_err();
        assert!(matches!(refused, OpenError::Newer { found: 9000, .. }), "{refused}");
    }
}
