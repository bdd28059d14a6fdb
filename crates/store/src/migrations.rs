//! The numbered steps that bring a database from any older form to this one.
//!
//! A step that was released is never edited: the database remembers its checksum.

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// One line per file in `migrations/`, in order.
const STEPS: &[(i64, &str, &str)] = &[
    (1, "people", include_str!("../migrations/0001_people.sql")),
    (2, "timeline", include_str!("../migrations/0002_timeline.sql")),
    (3, "git refs", include_str!("../migrations/0003_git_refs.sql")),
    (4, "join tokens", include_str!("../migrations/0004_join_tokens.sql")),
    (5, "core", include_str!("../migrations/0005_core.sql")),
    (6, "agent certificates", include_str!("../migrations/0006_agent_certificates.sql")),
    (7, "gateway sessions", include_str!("../migrations/0007_gateway_sessions.sql")),
    (8, "invitations", include_str!("../migrations/0008_invitations.sql")),
    (10, "queue", include_str!("../migrations/0010_queue.sql")),
    (11, "agent standing", include_str!("../migrations/0011_agent_standing.sql")),
    (13, "kept", include_str!("../migrations/0013_kept.sql")),
    (16, "evidence", include_str!("../migrations/0016_evidence.sql")),
    (19, "standing triggers", include_str!("../migrations/0019_standing_triggers.sql")),
    (21, "sources", include_str!("../migrations/0021_sources.sql")),
    (22, "commit statuses", include_str!("../migrations/0022_commit_statuses.sql")),
    (23, "failures", include_str!("../migrations/0023_failures.sql")),
    (24, "policy changes", include_str!("../migrations/0024_policy_changes.sql")),
    (26, "retries", include_str!("../migrations/0026_retries.sql")),
    (28, "test splits", include_str!("../migrations/0028_test_splits.sql")),
    (31, "imported runs", include_str!("../migrations/0031_imported_runs.sql")),
    (32, "pool members", include_str!("../migrations/0032_pool_members.sql")),
    (33, "check runs", include_str!("../migrations/0033_check_runs.sql")),
    (34, "ways of requests", include_str!("../migrations/0034_ways_of_requests.sql")),
    (36, "notifications", include_str!("../migrations/0036_notifications.sql")),
    (37, "incidents", include_str!("../migrations/0037_incidents.sql")),
    (39, "revocations", include_str!("../migrations/0039_revocations.sql")),
];

/// Every step, ready to run.
pub(crate) fn migrator() -> Migrator {
    let step = |&(version, name, sql): &(i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(STEPS.iter().map(step).collect())
}

/// The newest version that this program knows.
pub(crate) fn newest() -> i64 {
    STEPS.last().map_or(0, |(version, _, _)| *version)
}

#[cfg(test)]
mod tests;
