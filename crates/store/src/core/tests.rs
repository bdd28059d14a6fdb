//! What is remembered of each test of a Project: its history, its failures, its quarantine.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sqlx::{QueryBuilder, Row as _, Sqlite};
use towpath_model::test_history::TestHistory;
use towpath_model::{JobName, ProjectName};

use super::evidence::Source;
use super::{Connection, decode, encode, parse};
use crate::time::{from_micros, to_micros};

/// How many rows one statement writes or asks for: nine values each stay far below SQLite's bound.
const BATCH: usize = 500;

/// How many failures of one test are kept.
const FAILURES_KEPT: i64 = 20;

/// A test with its history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownTest {
    /// Its identity within the Project.
    pub id: String,
    /// The last Job that ran it.
    pub job: JobName,
    /// The file that it stands in.
    pub file: Option<String>,
    /// The number of the last Run that had it.
    pub run: u64,
    /// When that was.
    pub seen_at: Timestamp,
    /// Its history.
    pub history: TestHistory,
}

/// One failure of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestFailure {
    /// The test.
    pub test: String,
    /// Where it happened.
    pub source: Source,
    /// When.
    pub at: Timestamp,
    /// Whether the test was in quarantine.
    pub quarantined: bool,
    /// Whether it passed when it was tried again.
    pub retried: bool,
    /// Message, text and place, as JSON.
    pub body: String,
}

/// A test whose failures fail nothing for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantine {
    /// The test.
    pub test: String,
    /// Who sees to it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// Who put it there.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

/// In which order tests are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Flaky and failing ones first.
    Health,
    /// The slowest first.
    Slowest,
    /// By name.
    Name,
}

/// The histories of some tests, by identity.
///
/// # Errors
/// When the database refuses.
pub async fn find(
    db: &mut Connection,
    project: &ProjectName,
    ids: &[&str],
) -> sqlx::Result<BTreeMap<String, KnownTest>> {
    let mut known = BTreeMap::new();
    for ids in ids.chunks(BATCH) {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM tests WHERE project = ");
        query.push_bind(project.as_str()).push(" AND id IN (");
        let mut list = query.separated(", ");
        for id in ids {
            list.push_bind(*id);
        }
        query.push(")");
        for row in query.build().fetch_all(&mut *db).await? {
            let test = test(&row)?;
            known.insert(test.id.clone(), test);
        }
    }
    Ok(known)
}

/// Writes tests with their histories.
///
/// # Errors
/// When the database refuses.
pub async fn put(db: &mut Connection, project: &ProjectName, tests: &[KnownTest]) -> sqlx::Result<()> {
    for tests in tests.chunks(BATCH) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT INTO tests (project, id, job, file, run, seen_at, health, millis, body) ",
        );
        let mut rows = Vec::with_capacity(tests.len());
        for test in tests {
            rows.push((test, encode(&test.history)?));
        }
        query.push_values(rows, |mut row, (test, body)| {
            let millis = test.history.expected_millis().map(u64::cast_signed);
            row.push_bind(project.as_str())
                .push_bind(&test.id)
                .push_bind(test.job.as_str())
                .push_bind(&test.file)
                .push_bind(test.run.cast_signed())
                .push_bind(to_micros(test.seen_at))
                .push_bind(test.history.health().word())
                .push_bind(millis)
                .push_bind(body);
        });
        query.push(
            " ON CONFLICT (project, id) DO UPDATE SET job = excluded.job, file = excluded.file, run = excluded.run, \
             seen_at = excluded.seen_at, health = excluded.health, millis = excluded.millis, body = excluded.body",
        );
        query.build().execute(&mut *db).await?;
    }
    Ok(())
}

/// Up to `limit` tests whose name contains `like`, from `offset` on.
///
/// # Errors
/// When the database refuses.
pub async fn list(
    db: &mut Connection,
    project: &ProjectName,
    like: &str,
    order: Order,
    offset: u32,
    limit: u32,
) -> sqlx::Result<Vec<KnownTest>> {
    let order = match order {
        Order::Health => {
            "CASE health WHEN 'flaky' THEN 0 WHEN 'failing' THEN 1 WHEN 'stable' THEN 2 ELSE 3 END, millis DESC, id"
        }
        Order::Slowest => "millis DESC, id",
        Order::Name => "id",
    };
    let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM tests WHERE project = ");
    query.push_bind(project.as_str());
    if !like.is_empty() {
        // No pattern language: what is looked for may hold `%` and `_` itself.
        query.push(" AND instr(lower(id), ").push_bind(like.to_lowercase()).push(") > 0");
    }
    query.push(" ORDER BY ").push(order).push(" LIMIT ").push_bind(i64::from(limit));
    query.push(" OFFSET ").push_bind(i64::from(offset));
    query.build().fetch_all(db).await?.iter().map(test).collect()
}

/// How many tests of a Project are in which health.
///
/// # Errors
/// When the database refuses.
pub async fn counts(db: &mut Connection, project: &ProjectName) -> sqlx::Result<BTreeMap<String, u64>> {
    let rows = sqlx::query("SELECT health, count(*) AS tests FROM tests WHERE project = $1 GROUP BY health")
        .bind(project.as_str())
        .fetch_all(db)
        .await?;
    let count = |row: &sqlx::sqlite::SqliteRow| {
        Ok((row.try_get("health")?, row.try_get::<i64, _>("tests")?.unsigned_abs()))
    };
    rows.iter().map(count).collect()
}

/// How long each test of a Job is expected to take, in milliseconds.
///
/// # Errors
/// When the database refuses.
pub async fn times(
    db: &mut Connection,
    project: &ProjectName,
    limit: u32,
) -> sqlx::Result<Vec<(String, Option<String>, u64)>> {
    let rows = sqlx::query(
        "SELECT id, file, millis FROM tests WHERE project = $1 AND millis IS NOT NULL ORDER BY seen_at DESC, id LIMIT $2",
    )
    .bind(project.as_str())
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    let time = |row: &sqlx::sqlite::SqliteRow| {
        Ok((row.try_get("id")?, row.try_get("file")?, row.try_get::<i64, _>("millis")?.unsigned_abs()))
    };
    rows.iter().map(time).collect()
}

/// Forgets tests that no Run has had since `before`.
///
/// # Errors
/// When the database refuses.
pub async fn forget(db: &mut Connection, project: &ProjectName, before: Timestamp) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM tests WHERE project = $1 AND seen_at < $2")
        .bind(project.as_str())
        .bind(to_micros(before))
        .execute(db)
        .await?;
    Ok(())
}

/// Writes a failure down, and forgets the oldest ones of the test.
///
/// # Errors
/// When the database refuses.
pub async fn failed(db: &mut Connection, failure: &TestFailure) -> sqlx::Result<()> {
    let TestFailure { test, source, at, quarantined, retried, body } = failure;
    sqlx::query(
        "INSERT INTO test_failures (project, test, run, job, attempt, number, at, quarantined, retried, body) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (attempt, test) DO NOTHING",
    )
    .bind(source.project.as_str())
    .bind(test)
    .bind(source.run.cast_signed())
    .bind(source.job.as_str())
    .bind(source.attempt.to_string())
    .bind(i64::from(source.number))
    .bind(to_micros(*at))
    .bind(quarantined)
    .bind(retried)
    .bind(body)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "DELETE FROM test_failures WHERE project = $1 AND test = $2 AND at < \
         (SELECT at FROM test_failures WHERE project = $1 AND test = $2 ORDER BY at DESC LIMIT 1 OFFSET $3)",
    )
    .bind(source.project.as_str())
    .bind(test)
    .bind(FAILURES_KEPT - 1)
    .execute(db)
    .await?;
    Ok(())
}

/// Notes that a test which failed in an earlier Attempt of the Job passed in a later one.
///
/// # Errors
/// When the database refuses.
pub async fn retried(db: &mut Connection, source: &Source, test: &str) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE test_failures SET retried = TRUE WHERE project = $1 AND run = $2 AND job = $3 AND test = $4 AND number < $5",
    )
    .bind(source.project.as_str())
    .bind(source.run.cast_signed())
    .bind(source.job.as_str())
    .bind(test)
    .bind(i64::from(source.number))
    .execute(db)
    .await?;
    Ok(())
}

/// The failures of a Run, at most 1,000.
///
/// # Errors
/// When the database refuses.
pub async fn failures_of_run(
    db: &mut Connection,
    project: &ProjectName,
    run: u64,
) -> sqlx::Result<Vec<TestFailure>> {
    let rows = sqlx::query(
        "SELECT * FROM test_failures WHERE project = $1 AND run = $2 ORDER BY job, number, test LIMIT 1000",
    )
    .bind(project.as_str())
    .bind(run.cast_signed())
    .fetch_all(db)
    .await?;
    rows.iter().map(failure).collect()
}

/// The failures of a test, newest first.
///
/// # Errors
/// When the database refuses.
pub async fn failures_of_test(
    db: &mut Connection,
    project: &ProjectName,
    test: &str,
) -> sqlx::Result<Vec<TestFailure>> {
    let rows = sqlx::query(
        "SELECT * FROM test_failures WHERE project = $1 AND test = $2 ORDER BY at DESC, number DESC LIMIT 20",
    )
    .bind(project.as_str())
    .bind(test)
    .fetch_all(db)
    .await?;
    rows.iter().map(failure).collect()
}

/// Puts a test into quarantine, or changes how it is there.
///
/// # Errors
/// When the database refuses.
pub async fn quarantine(db: &mut Connection, project: &ProjectName, entry: &Quarantine) -> sqlx::Result<()> {
    let Quarantine { test, owner, reason, by, since, until } = entry;
    sqlx::query(
        "INSERT INTO quarantines (project, test, owner, reason, by_whom, since, until) VALUES ($1, $2, $3, $4, $5, $6, $7) \
         ON CONFLICT (project, test) DO UPDATE SET owner = excluded.owner, reason = excluded.reason, \
         by_whom = excluded.by_whom, until = excluded.until",
    )
    .bind(project.as_str())
    .bind(test)
    .bind(owner)
    .bind(reason)
    .bind(by)
    .bind(to_micros(*since))
    .bind(to_micros(*until))
    .execute(db)
    .await?;
    Ok(())
}

/// Takes a test out of quarantine. Says whether it was there.
///
/// # Errors
/// When the database refuses.
pub async fn release(db: &mut Connection, project: &ProjectName, test: &str) -> sqlx::Result<bool> {
    let done = sqlx::query("DELETE FROM quarantines WHERE project = $1 AND test = $2")
        .bind(project.as_str())
        .bind(test)
        .execute(db)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Every test that was put into quarantine and not taken out, also where its time is over.
///
/// # Errors
/// When the database refuses.
pub async fn quarantines(db: &mut Connection, project: &ProjectName) -> sqlx::Result<Vec<Quarantine>> {
    let rows = sqlx::query("SELECT * FROM quarantines WHERE project = $1 ORDER BY until, test LIMIT 1000")
        .bind(project.as_str())
        .fetch_all(db)
        .await?;
    let entry = |row: &sqlx::sqlite::SqliteRow| {
        Ok(Quarantine {
            test: row.try_get("test")?,
            owner: row.try_get("owner")?,
            reason: row.try_get("reason")?,
            by: row.try_get("by_whom")?,
            since: from_micros(row.try_get("since")?),
            until: from_micros(row.try_get("until")?),
        })
    };
    rows.iter().map(entry).collect()
}

fn test(row: &sqlx::sqlite::SqliteRow) -> sqlx::Result<KnownTest> {
    Ok(KnownTest {
        id: row.try_get("id")?,
        job: parse(row.try_get("job")?)?,
        file: row.try_get("file")?,
        run: row.try_get::<i64, _>("run")?.unsigned_abs(),
        seen_at: from_micros(row.try_get("seen_at")?),
        history: decode(row.try_get("body")?)?,
    })
}

fn failure(row: &sqlx::sqlite::SqliteRow) -> sqlx::Result<TestFailure> {
    Ok(TestFailure {
        test: row.try_get("test")?,
        source: Source {
            project: parse(row.try_get("project")?)?,
            run: row.try_get::<i64, _>("run")?.unsigned_abs(),
            job: parse(row.try_get("job")?)?,
            attempt: parse(row.try_get("attempt")?)?,
            number: u32::try_from(row.try_get::<i64, _>("number")?).unwrap_or(u32::MAX),
        },
        at: from_micros(row.try_get("at")?),
        quarantined: row.try_get("quarantined")?,
        retried: row.try_get("retried")?,
        body: row.try_get("body")?,
    })
}
