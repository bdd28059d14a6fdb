//! What the gateways measured, summed over each second.

use jiff::Timestamp;
use sqlx::Row as _;
use towpath_model::{Digest, EnvironmentKey};

use super::{Connection, decode, encode, parse};

/// What one Revision did in one second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measurement {
    /// The second since 1970 in which the interval ended.
    pub second: i64,
    /// Who.
    pub revision: Digest,
    /// How they came there: `split`, `routed` or `preview`.
    pub way: String,
    /// Requests that ended.
    pub requests: u64,
    /// Of these, errors.
    pub errors: u64,
    /// Of these, errors of the gateway itself.
    pub gateway_errors: u64,
    /// The weight in force, in thousandths.
    pub weight: u16,
    /// Counts of the latency buckets.
    pub latency: Vec<u64>,
}

/// Sums over a longer time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Total {
    /// Who.
    pub revision: Digest,
    /// How they came there: `split`, `routed` or `preview`.
    pub way: String,
    /// Requests that ended.
    pub requests: u64,
    /// Of these, errors.
    pub errors: u64,
    /// Of these, errors of the gateway itself.
    pub gateway_errors: u64,
}

/// Adds what was measured to its second.
///
/// # Errors
/// When the database refuses.
pub async fn add(db: &mut Connection, key: &EnvironmentKey, measured: &Measurement) -> sqlx::Result<()> {
    let known = sqlx::query(
        "SELECT latency FROM measurements \
         WHERE project = $1 AND environment = $2 AND second = $3 AND revision = $4 AND way = $5",
    )
    .bind(key.project.as_str())
    .bind(key.environment.as_str())
    .bind(measured.second)
    .bind(measured.revision.to_string())
    .bind(&measured.way)
    .fetch_optional(&mut *db)
    .await?;
    let mut latency = measured.latency.clone();
    if let Some(row) = known {
        let before: Vec<u64> = decode(row.try_get("latency")?)?;
        latency.iter_mut().zip(before).for_each(|(sum, count)| *sum += count);
    }
    sqlx::query(
        "INSERT INTO measurements \
         (project, environment, second, revision, way, requests, errors, gateway_errors, weight, latency) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT (project, environment, second, revision, way) DO UPDATE \
         SET requests = measurements.requests + excluded.requests, errors = measurements.errors + excluded.errors, \
         gateway_errors = measurements.gateway_errors + excluded.gateway_errors, weight = excluded.weight, \
         latency = excluded.latency",
    )
    .bind(key.project.as_str())
    .bind(key.environment.as_str())
    .bind(measured.second)
    .bind(measured.revision.to_string())
    .bind(&measured.way)
    .bind(measured.requests.cast_signed())
    .bind(measured.errors.cast_signed())
    .bind(measured.gateway_errors.cast_signed())
    .bind(i64::from(measured.weight))
    .bind(encode(&latency)?)
    .execute(db)
    .await?;
    Ok(())
}

/// What was measured from a time on, oldest first, 10,000 rows at most.
///
/// # Errors
/// When the database refuses.
pub async fn since(
    db: &mut Connection,
    key: &EnvironmentKey,
    from: Timestamp,
) -> sqlx::Result<Vec<Measurement>> {
    let rows = sqlx::query(
        "SELECT * FROM measurements WHERE project = $1 AND environment = $2 AND second >= $3 \
         ORDER BY second, revision, way LIMIT 10000",
    )
    .bind(key.project.as_str())
    .bind(key.environment.as_str())
    .bind(from.as_second())
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Measurement {
                second: row.try_get("second")?,
                revision: parse(row.try_get("revision")?)?,
                way: row.try_get("way")?,
                requests: count(row, "requests")?,
                errors: count(row, "errors")?,
                gateway_errors: count(row, "gateway_errors")?,
                weight: u16::try_from(row.try_get::<i64, _>("weight")?).unwrap_or(0),
                latency: decode(row.try_get("latency")?)?,
            })
        })
        .collect()
}

/// Sums per Revision and way over all time that is kept.
///
/// # Errors
/// When the database refuses.
pub async fn totals(db: &mut Connection, key: &EnvironmentKey) -> sqlx::Result<Vec<Total>> {
    let rows = sqlx::query(
        "SELECT revision, way, sum(requests) AS requests, sum(errors) AS errors, sum(gateway_errors) AS gateway_errors \
         FROM measurements WHERE project = $1 AND environment = $2 GROUP BY revision, way \
         ORDER BY min(second), way DESC",
    )
    .bind(key.project.as_str())
    .bind(key.environment.as_str())
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Total {
                revision: parse(row.try_get("revision")?)?,
                way: row.try_get("way")?,
                requests: count(row, "requests")?,
                errors: count(row, "errors")?,
                gateway_errors: count(row, "gateway_errors")?,
            })
        })
        .collect()
}

/// Deletes what is older than a time.
///
/// # Errors
/// When the database refuses.
pub async fn forget(db: &mut Connection, before: Timestamp) -> sqlx::Result<u64> {
    let done = sqlx::query("DELETE FROM measurements WHERE second < $1")
        .bind(before.as_second())
        .execute(db)
        .await?;
    Ok(done.rows_affected())
}

fn count(row: &sqlx::sqlite::SqliteRow, column: &str) -> sqlx::Result<u64> {
    Ok(row.try_get::<i64, _>(column)?.unsigned_abs())
}
