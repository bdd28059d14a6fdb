//! Migrations of a database: their phases, which of them a Release brings, and until where the way back is open.
//!
//! The scheme is expand, migrate, contract: what old and new code both live with comes before the traffic moves; what only
//! the new code lives with comes after the old code has gone, and closes the way back. What a statement of SQL does is read
//! elsewhere (`crates/sql`).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{DatabaseName, Digest};

/// The SQL that a database understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// PostgreSQL.
    Postgresql,
    /// MySQL and MariaDB.
    Mysql,
    /// SQLite.
    Sqlite,
}

/// When a migration may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Before the new code: the old code does not notice it.
    Expand,
    /// Moves data; old and new code both run.
    Migrate,
    /// After the old code has gone: it could not run any more, or data is gone with it.
    Contract,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Expand => "expand",
            Self::Migrate => "migrate",
            Self::Contract => "contract",
        })
    }
}

/// A database of a Project, as `towpath.yaml` declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its name.
    pub name: DatabaseName,
    /// What it understands.
    pub dialect: Dialect,
    /// The directory of its migrations, from the Project's own.
    pub migrations: String,
    /// What is in that directory, in the order in which it applies. Empty until somebody has looked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<Migration>,
}

/// A migration as a Release holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// Its place in the order, as its file name gives it: `0007`, `20240315`, `1.2`.
    pub version: String,
    /// The rest of its file name: `add_nullable_column`.
    pub name: String,
    /// Declared in the file, else read from its statements.
    pub phase: Phase,
    /// The bytes of the file that applies it.
    pub apply: Digest,
    /// The bytes of the file that takes it back, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Digest>,
    /// Whether it runs again whenever its bytes change, as Flyway's `R__` files do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeatable: bool,
}

impl Migration {
    /// Version and name, as people say it.
    #[must_use]
    pub fn label(&self) -> String {
        match (self.version.as_str(), self.name.as_str()) {
            (version, "") => version.to_owned(),
            ("", name) => name.to_owned(),
            (version, name) => format!("{version} {name}"),
        }
    }
}

/// What a Release brings to one database that ran another Release before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Brought<'m> {
    /// To be applied, in their order.
    pub new: Vec<&'m Migration>,
    /// Applied before, and other bytes now.
    pub altered: Vec<&'m Migration>,
    /// Applied before, and not there any more.
    pub missing: Vec<&'m Migration>,
    /// New, and before one in the order that is already applied.
    pub late: Vec<&'m Migration>,
}

impl<'m> Brought<'m> {
    /// Compares the migrations of two Releases, `before` the one that runs.
    #[must_use]
    pub fn between(before: &'m [Migration], after: &'m [Migration]) -> Self {
        let find = |list: &'m [Migration], wanted: &Migration| {
            list.iter().find(|it| {
                it.version == wanted.version
                    && it.repeatable == wanted.repeatable
                    && (!it.repeatable || it.name == wanted.name)
            })
        };
        let mut brought = Self::default();
        let last_known = after.iter().rposition(|it| !it.repeatable && find(before, it).is_some());
        for (place, migration) in after.iter().enumerate() {
            match find(before, migration) {
                Some(known) if known.apply == migration.apply => {}
                Some(_) if migration.repeatable => brought.new.push(migration),
                Some(_) => brought.altered.push(migration),
                None => {
                    brought.new.push(migration);
                    if !migration.repeatable && last_known.is_some_and(|last| place < last) {
                        brought.late.push(migration);
                    }
                }
            }
        }
        brought.missing = before.iter().filter(|it| find(after, it).is_none()).collect();
        brought
    }

    /// The first of them after which the Release that ran before cannot come back.
    #[must_use]
    pub fn no_return(&self) -> Option<&'m Migration> {
        self.new.iter().copied().find(|migration| migration.phase == Phase::Contract)
    }
}

/// What each database gets after `before`, the databases that run now; one that they do not name gets everything.
fn brought<'m>(
    before: &'m [Database],
    after: &'m [Database],
) -> impl Iterator<Item = (&'m Database, Brought<'m>)> {
    after.iter().map(|database| {
        let known = before.iter().find(|known| known.name == database.name);
        (database, Brought::between(known.map_or(&[], |known| &known.found), &database.found))
    })
}

/// What `after` does to the databases of `before`, one sentence for each that changes.
#[must_use]
pub fn told(before: &[Database], after: &[Database]) -> Vec<String> {
    let says = |(database, brought): (&Database, Brought<'_>)| {
        let list = listed(&brought.new);
        (!brought.new.is_empty()).then(|| match brought.no_return() {
            Some(last) => {
                format!("database {} gets {list}; after {} there is no way back", database.name, last.label())
            }
            None => format!("database {} gets {list}; the way back stays open", database.name),
        })
    };
    brought(before, after).filter_map(says).collect()
}

/// Why the migrations of `after` do not fit those that `before` has applied, where they do not.
#[must_use]
pub fn contradiction(before: &[Database], after: &[Database]) -> Option<String> {
    brought(before, after).find_map(|(database, brought)| {
        let of =
            |migration: &Migration| format!("migration {} of database {}", migration.label(), database.name);
        if let Some(altered) = brought.altered.first() {
            let what = of(altered);
            return Some(format!(
                "{what} was changed after it had been applied; restore the file and write a new migration"
            ));
        }
        let missing = brought.missing.iter().find(|migration| !migration.repeatable)?;
        Some(format!("{} has been applied and is not in this Release; restore the file", of(missing)))
    })
}

/// Why code that was made for the databases of `earlier` cannot run on those of `now`.
#[must_use]
pub fn closed(earlier: &[Database], now: &[Database]) -> Option<String> {
    brought(earlier, now).find_map(|(database, brought)| {
        let last = brought.no_return()?;
        Some(format!(
            "migration {} ({}) of database {} came after it",
            last.label(),
            last.phase,
            database.name
        ))
    })
}

/// The first migrations by name, and how many more there are.
fn listed(migrations: &[&Migration]) -> String {
    const SHOWN: usize = 5;
    let mut names: Vec<String> = migrations
        .iter()
        .take(SHOWN)
        .map(|migration| format!("{} ({})", migration.label(), migration.phase))
        .collect();
    if let Some(more) = migrations.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        names.push(format!("{more} more"));
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migration(version: &str, phase: Phase) -> Migration {
        let apply = Digest::of(version.as_bytes());
        Migration {
            version: version.to_owned(),
            name: "x".to_owned(),
            phase,
            apply,
            undo: None,
            repeatable: false,
        }
    }

    fn database(found: Vec<Migration>) -> Vec<Database> {
        let name = "shop".parse().unwrap();
        vec![Database { name, dialect: Dialect::Sqlite, migrations: "db".to_owned(), found }]
    }

    #[test]
    fn tells_what_is_new_and_where_the_way_back_ends() {
        let before = database(vec![migration("1", Phase::Expand)]);
        let after = database(vec![
            migration("1", Phase::Expand),
            migration("2", Phase::Migrate),
            migration("3", Phase::Contract),
        ]);
        assert_eq!(
            told(&before, &after),
            ["database shop gets 2 x (migrate), 3 x (contract); after 3 x there is no way back"]
        );
        assert_eq!(told(&after, &after), [""; 0]);
        assert_eq!(
            closed(&before, &after).unwrap(),
            "migration 3 x (contract) of database shop came after it"
        );
        assert_eq!(closed(&database(after[0].found[..2].to_vec()), &before), None);
        let fresh = told(&[], &before);
        assert_eq!(fresh, ["database shop gets 1 x (expand); the way back stays open"]);
    }

    #[test]
    fn what_was_applied_stays_as_it_was() {
        let before = database(vec![migration("1", Phase::Expand), migration("2", Phase::Expand)]);
        let mut altered = before.clone();
        altered[0].found[1].apply = Digest::of(b"other");
        assert_eq!(
            contradiction(&before, &altered).unwrap(),
            "migration 2 x of database shop was changed after it had been applied; restore the file and write a new migration"
        );
        let missing = database(vec![migration("2", Phase::Expand)]);
        assert_eq!(
            contradiction(&before, &missing).unwrap(),
            "migration 1 x of database shop has been applied and is not in this Release; restore the file"
        );
        assert_eq!(contradiction(&before, &before), None);
        let late = database(vec![
            migration("1", Phase::Expand),
            migration("1.5", Phase::Expand),
            migration("2", Phase::Expand),
        ]);
        let late = Brought::between(&before[0].found, &late[0].found);
        assert_eq!(late.late.iter().map(|it| it.version.as_str()).collect::<Vec<_>>(), ["1.5"]);
    }

    #[test]
    fn what_repeats_is_new_whenever_it_changes() {
        let views = |bytes: &[u8]| Migration {
            repeatable: true,
            apply: Digest::of(bytes),
            ..migration("", Phase::Expand)
        };
        let (before, after) = (database(vec![views(b"a")]), database(vec![views(b"b")]));
        assert_eq!(told(&before, &after), ["database shop gets x (expand); the way back stays open"]);
        assert_eq!(contradiction(&before, &after), None);
    }
}
