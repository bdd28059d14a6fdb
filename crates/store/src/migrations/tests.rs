//! Each step meets a database that its forerunners filled. `migrations/samples` has the rows that each brings; a step that was
//! released keeps them, so that the next one meets what is out there.

use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{AssertSqlSafe, Row as _};
use towpath_model::{EnvironmentKey, PromotionId, RunId};
use uuid::Uuid;

use super::*;
use crate::Db;
use crate::core::{agents, environments, promotions, releases, runs};

/// The file in `migrations/samples` that belongs to a step.
fn sample(version: i64) -> Option<PathBuf> {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/samples");
    let start = format!("{version:04}_");
    let mut files = std::fs::read_dir(samples).unwrap().map(|entry| entry.unwrap().path());
    files.find(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&start)))
}

async fn create(path: &Path) -> SqlitePool {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).foreign_keys(true);
    SqlitePool::connect_with(options).await.unwrap()
}

/// Runs the steps up to `last` one at a time, and adds the sample rows of each behind it.
async fn fill(pool: &SqlitePool, last: i64) {
    let steps = migrator();
    for step in steps.iter().filter(|step| step.version <= last) {
        let until = steps.iter().filter(|other| other.version <= step.version).cloned().collect();
        Migrator::with_migrations(until)
            .run(pool)
            .await
            .unwrap_or_else(|error| panic!("step {} fails on a filled database: {error}", step.version));
        if let Some(file) = sample(step.version) {
            let rows = std::fs::read_to_string(&file).unwrap();
            let inserted = sqlx::raw_sql(AssertSqlSafe(rows)).execute(pool).await;
            inserted.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
    }
}

#[test]
fn steps_are_in_order_and_each_table_has_sample_rows() {
    let versions: Vec<i64> = STEPS.iter().map(|(version, _, _)| *version).collect();
    assert!(versions.is_sorted_by(|one, next| one < next), "{versions:?}");
    for (version, name, sql) in STEPS {
        let needed = sql.contains("CREATE TABLE");
        assert!(
            !needed || sample(*version).is_some(),
            "step {version} ({name}) makes a table; put rows for it into migrations/samples/{version:04}_….sql"
        );
    }
}

#[tokio::test]
async fn every_step_keeps_what_the_earlier_ones_hold() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("towpath.db");
    let pool = create(&path).await;
    fill(&pool, newest()).await;
    let broken = sqlx::query("PRAGMA foreign_key_check").fetch_all(&pool).await.unwrap();
    assert!(broken.is_empty(), "{} rows point at nothing", broken.len());
    let tables =
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name";
    for table in sqlx::query(tables).fetch_all(&pool).await.unwrap() {
        let table: String = table.get(0);
        let count = format!("SELECT count(*) FROM \"{table}\"");
        let count: i64 = sqlx::query(AssertSqlSafe(count)).fetch_one(&pool).await.unwrap().get(0);
        assert!(count > 0, "table {table} has no sample rows");
    }
    pool.close().await;
    read_all(&Db::open(&path).await.unwrap()).await;
}

/// What an older Towpath wrote is understood by this one.
async fn read_all(db: &Db) {
    let mut reader = db.reader().await.unwrap();
    let shop = "shop".parse().unwrap();
    let production =
        EnvironmentKey { project: "shop".parse().unwrap(), environment: "production".parse().unwrap() };
    let run = runs::find(&mut reader, RunId(Uuid::from_u128(1))).await.unwrap().unwrap();
    assert_eq!((run.number, run.cause.subject.as_str()), (1, "ä …"));
    let release = releases::by_version(&mut reader, &shop, "1.0.0").await.unwrap().unwrap();
    assert_eq!(release.route.directory, "service");
    let environment = environments::find(&mut reader, &production).await.unwrap().unwrap();
    assert_eq!(environment.policy.version, 1);
    let promotion = promotions::find(&mut reader, PromotionId(Uuid::from_u128(1))).await.unwrap().unwrap();
    assert_eq!(promotion.revision.version, "1.0.0");
    assert_eq!(agents::all(&mut reader).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_database_of_any_older_form_opens_and_keeps_its_rows() {
    for (version, _, _) in STEPS {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("towpath.db");
        let pool = create(&path).await;
        fill(&pool, *version).await;
        pool.close().await;
        let db = Db::open(&path).await.unwrap_or_else(|error| panic!("from {version}: {error}"));
        let mut reader = db.reader().await.unwrap();
        let users: i64 =
            sqlx::query("SELECT count(*) FROM users").fetch_one(&mut *reader).await.unwrap().get(0);
        assert_eq!(users, 2, "from {version}");
    }
}
