//! Databases and the directories of their migrations.

use towpath_model::DatabaseName;
use towpath_model::migration::{Database, Dialect};

use super::check_relative;
use crate::diagnostic::Report;
use crate::fields::Fields;
use crate::spec::pipeline::DATABASE;
use crate::tree::Entry;

/// Lowers one database.
pub(super) fn lower(name: DatabaseName, entry: &Entry, report: &Report<'_>) -> Option<Database> {
    let mut fields = Fields::open(&entry.value, &entry.key_span, &DATABASE, report)?;
    let dialect = fields.choice("dialect").map(|word| match word {
        "postgresql" => Dialect::Postgresql,
        "mysql" => Dialect::Mysql,
        _ => Dialect::Sqlite,
    });
    let migrations = fields.text("migrations");
    if let Some(directory) = &migrations {
        check_relative(directory, "migrations", report);
    }
    fields.close();
    let directory = migrations?.value;
    let migrations = directory.trim_end_matches('/').to_owned();
    Some(Database { name, dialect: dialect?, migrations, found: Vec::new() })
}
