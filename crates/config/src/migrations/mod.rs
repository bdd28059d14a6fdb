//! The migrations of a database: which files there are, in which order, and what is wrong with them.
//!
//! `crates/sql` says what a statement does. Here follows what comes of it: a migration that loses data, breaks running code or locks a table
//! stands in the way of a Release, unless it says that it is one for the phase `contract`, or why it takes the risk.

mod name;

use std::cmp::Ordering;
use std::ops::Range;

use towpath_model::Digest;
use towpath_model::migration::{Database, Migration, Phase};
use towpath_sql::{Risk, RiskKind, Script};

use self::name::{Named, Purpose};
use crate::diagnostic::{Diagnostic, Problem, Report};

/// The most files of a directory that are read.
pub const MAX_FILES: usize = 10_000;

/// A longer migration is a dump, and nobody reads it here.
pub const MAX_FILE: usize = 4 << 20;

/// A file in the directory of migrations.
#[derive(Debug, Clone)]
pub struct MigrationFile {
    /// Its name, without directories.
    pub name: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// Reads the migrations of a database in their order into `found`, and says what is wrong with them. Files that are no SQL are
/// passed over.
#[must_use]
pub fn read_migrations(database: &mut Database, files: &[MigrationFile]) -> Vec<Diagnostic> {
    let mut reading = Reading { database, found: Vec::new(), undo: Vec::new(), diagnostics: Vec::new() };
    let mut files: Vec<&MigrationFile> = files.iter().filter(|file| file.name.ends_with(".sql")).collect();
    files.sort_by(|one, other| one.name.cmp(&other.name));
    for file in files {
        reading.file(file);
    }
    let (found, diagnostics) = reading.finish();
    database.found = found;
    diagnostics
}

struct Reading<'d> {
    database: &'d Database,
    found: Vec<(String, Named, Migration)>,
    undo: Vec<(String, Named, Digest)>,
    diagnostics: Vec<Diagnostic>,
}

impl Reading<'_> {
    fn file(&mut self, file: &MigrationFile) {
        let path = format!("{}/{}", self.database.migrations, file.name);
        let Some(named) = name::read(&file.name) else {
            let problem = Problem::error("migration-name", "the name of this file does not say where it stands in the order")
                .hint("for example `0007_add_note.sql`, with `0007_add_note.down.sql` to take it back; or Flyway's `V7__add_note.sql`");
            return self.whole_file(&path, problem);
        };
        let Some(text) = std::str::from_utf8(&file.bytes).ok().filter(|text| text.len() <= MAX_FILE) else {
            let problem = Problem::error(
                "migration-text",
                format!("this file is no UTF-8 text, or longer than {MAX_FILE} bytes"),
            )
            .hint("move data into files of their own, and load them");
            return self.whole_file(&path, problem);
        };
        let digest = Digest::of(&file.bytes);
        if named.purpose == Purpose::Undo {
            self.undo.push((path, named, digest));
            return;
        }
        let script = towpath_sql::read(self.database.dialect, text);
        let report = Report::new(&path, text);
        judge(&script, &report);
        self.diagnostics.extend(report.finish());
        let migration = Migration {
            version: named.version.clone(),
            name: named.name.clone(),
            phase: script.phase(),
            apply: digest,
            undo: None,
            repeatable: named.purpose == Purpose::Repeat,
        };
        self.found.push((path, named, migration));
    }

    fn finish(mut self) -> (Vec<Migration>, Vec<Diagnostic>) {
        // What repeats comes last, as Flyway has it.
        self.found.sort_by(|(_, one, _), (_, other, _)| {
            let repeats = |named: &Named| named.purpose == Purpose::Repeat;
            let by_version =
                || if repeats(one) { Ordering::Equal } else { name::order(&one.version, &other.version) };
            repeats(one).cmp(&repeats(other)).then_with(by_version).then_with(|| one.name.cmp(&other.name))
        });
        self.twice();
        for (path, named, digest) in std::mem::take(&mut self.undo) {
            let same = |known: &Named| {
                known.purpose == Purpose::Apply && name::order(&known.version, &named.version).is_eq()
            };
            match self.found.iter_mut().find(|(_, known, _)| same(known)) {
                Some((_, _, migration)) => migration.undo = Some(digest),
                None => {
                    let problem = Problem::error(
                        "migration-undo",
                        "this file takes back a migration that is not there",
                    )
                    .hint(format!("add the one that applies version {}, or remove this file", named.version));
                    self.whole_file(&path, problem);
                }
            }
        }
        (self.found.into_iter().map(|(_, _, migration)| migration).collect(), self.diagnostics)
    }

    fn twice(&mut self) {
        let mut problems = Vec::new();
        for pair in self.found.windows(2) {
            let [(first, one, _), (second, other, _)] = pair else { continue };
            if one.purpose == Purpose::Apply
                && other.purpose == Purpose::Apply
                && name::order(&one.version, &other.version).is_eq()
            {
                problems.push((second.clone(), format!("version {} is also that of {first}", other.version)));
            }
        }
        for (path, message) in problems {
            let problem =
                Problem::error("migration-twice", message).hint("give the later one the next free version");
            self.whole_file(&path, problem);
        }
    }

    fn whole_file(&mut self, path: &str, problem: Problem) {
        let report = Report::new(path, "");
        report.file_wide(problem);
        self.diagnostics.extend(report.finish());
    }
}

/// Reports what stands in the way of a migration.
fn judge(script: &Script, report: &Report<'_>) {
    for comment in &script.misunderstood {
        let problem = Problem::error(
            "migration-comment",
            format!("this comment to Towpath cannot be understood: {}", comment.reason),
        )
        .hint("there are `-- towpath: phase expand|migrate|contract` and `-- towpath: allow RISK, REASON`");
        report.at(&comment.span, problem);
    }
    let declared = script.declared.as_ref().map(|(phase, _)| *phase);
    for statement in &script.statements {
        for risk in statement.risks.iter().filter(|risk| risk.allowed.is_none()) {
            report.at(&statement.span, problem(risk, declared));
        }
    }
    mixed(script, report);
}

fn problem(risk: &Risk, declared: Option<Phase>) -> Problem {
    let code = match risk.kind {
        RiskKind::DataLoss => "migration-data-loss",
        RiskKind::Break => "migration-break",
        RiskKind::Lock => "migration-lock",
        RiskKind::Unread => "migration-unread",
    };
    let expected = declared == Some(Phase::Contract);
    let problem = match risk.kind {
        RiskKind::DataLoss | RiskKind::Break if expected => {
            Problem::warning(code, format!("{}; after it there is no way back", risk.what))
        }
        RiskKind::Lock if expected => Problem::warning(code, risk.what.clone()),
        _ => Problem::error(code, risk.what.clone()),
    };
    if expected && matches!(risk.kind, RiskKind::DataLoss | RiskKind::Break) {
        return problem;
    }
    let problem = problem.hint(risk.instead.clone());
    match risk.kind {
        RiskKind::Unread => problem,
        RiskKind::Lock => problem.hint(format!(
            "or say why it does no harm, in a line before it: `-- towpath: allow {}, REASON`",
            risk.kind.word()
        )),
        RiskKind::DataLoss | RiskKind::Break => problem.hint(
            "once no code needs it any more: `-- towpath: phase contract` in the first line of the migration",
        ),
    }
}

/// A migration that contracts holds nothing that must come before the traffic: it would come too late.
fn mixed(script: &Script, report: &Report<'_>) {
    let Some((Phase::Contract, span)) = &script.declared else { return };
    let contracts = |statement: &towpath_sql::Statement| statement.phase == Phase::Contract;
    if !script.statements.is_empty() && !script.statements.iter().any(contracts) {
        let Range { start, end } = span.clone();
        let problem = Problem::warning(
            "migration-phase",
            "nothing in this migration has to wait for the old code to go",
        )
        .hint("remove the comment, and it runs before the traffic moves");
        report.at(&(start..end), problem);
    }
}
