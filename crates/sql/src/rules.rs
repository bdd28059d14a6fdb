//! What each statement does: its phase, and what it risks.
//!
//! The locks are those of the manuals: PostgreSQL 17 (13.3 Explicit Locking, ALTER TABLE, CREATE INDEX), MySQL 8.4 (17.12
//! InnoDB and Online DDL), SQLite (Making Other Kinds Of Table Schema Changes). What a file creates itself is nobody's yet, so it may
//! change it as it likes.

mod table;

use std::collections::BTreeSet;

use sqlparser::ast::{
    AlterTypeOperation, CreateIndex, Delete, FromTable, ObjectName, ObjectType, Statement, TableFactor,
};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan};
use towpath_model::migration::{Dialect, Phase};

use crate::split::{Piece, grammar};
use crate::{Risk, RiskKind};

/// What a statement does.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) phase: Phase,
    pub(crate) risks: Vec<Risk>,
}

impl Outcome {
    /// Old and new code both live with it.
    fn harmless(phase: Phase) -> Self {
        Self { phase, risks: Vec::new() }
    }

    fn risk(mut self, kind: RiskKind, what: impl Into<String>, instead: impl Into<String>) -> Self {
        self.risks.push(Risk { kind, what: what.into(), instead: instead.into(), allowed: None });
        self
    }

    /// Takes on what another part of the same statement does.
    fn and(mut self, other: Self) -> Self {
        self.phase = self.phase.max(other.phase);
        self.risks.extend(other.risks);
        self
    }
}

/// Judges the statements of one file in their order.
pub(crate) struct Rules {
    dialect: Dialect,
    /// What earlier statements of the file have created.
    made: BTreeSet<String>,
}

impl Rules {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self { dialect, made: BTreeSet::new() }
    }

    /// What a piece does; `None` where it is only comments.
    pub(crate) fn judge(&mut self, piece: &Piece) -> Option<Outcome> {
        if let Some(message) = &piece.broken {
            return Some(unread(message));
        }
        if piece.tokens.is_empty() {
            return None;
        }
        if word(&piece.tokens, 0, "pragma") {
            // Settings of SQLite; the grammar knows only some of their values.
            return Some(Outcome::harmless(Phase::Expand));
        }
        Some(match self.parse(&piece.tokens) {
            Ok((statement, concurrently)) => self.statement(&statement, concurrently),
            Err(message) => unread(&message),
        })
    }

    /// Parses one statement, and says whether it is a `DROP INDEX CONCURRENTLY`: the grammar has no such word.
    fn parse(&self, tokens: &[TokenWithSpan]) -> Result<(Statement, bool), String> {
        let concurrently =
            word(tokens, 0, "drop") && word(tokens, 1, "index") && word(tokens, 2, "concurrently");
        let mut tokens = tokens.to_vec();
        if concurrently {
            tokens.remove(2);
        }
        let grammar = grammar(self.dialect);
        let mut parser = Parser::new(&*grammar).with_tokens_with_locations(tokens);
        let statement = parser.parse_statement().map_err(|error| error.to_string())?;
        match parser.peek_token().token {
            Token::EOF => Ok((statement, concurrently)),
            other => Err(format!("there is `{other}` after its end")),
        }
    }

    fn statement(&mut self, statement: &Statement, concurrently: bool) -> Outcome {
        match statement {
            Statement::CreateTable(table) => self.create(&table.name),
            Statement::CreateView(view) => self.create(&view.name),
            Statement::CreateType { name, .. } | Statement::CreateSequence { name, .. } => self.create(name),
            Statement::CreateIndex(index) => self.create_index(index),
            Statement::AlterTable(alter) => {
                let table = alter.name.to_string();
                let known = self.is_made(&alter.name);
                let operations = alter.operations.iter();
                operations
                    .filter(|_| !known)
                    .map(|operation| table::alter(self.dialect, &table, operation))
                    .fold(Outcome::harmless(Phase::Expand), Outcome::and)
            }
            Statement::AlterType(alter) => match &alter.operation {
                AlterTypeOperation::AddValue(_) => Outcome::harmless(Phase::Expand),
                AlterTypeOperation::Rename(_) | AlterTypeOperation::RenameValue(_) => {
                    renamed(&format!("type {}", alter.name))
                }
            },
            Statement::RenameTable(tables) => {
                let tables = tables.iter().filter(|table| !self.is_made(&table.old_name));
                let renamed = tables.map(|table| renamed(&format!("table {}", table.old_name)));
                renamed.fold(Outcome::harmless(Phase::Expand), Outcome::and)
            }
            Statement::Drop { object_type, names, .. } => {
                let dropped = names.iter().map(|name| self.drop(*object_type, name, concurrently));
                dropped.fold(Outcome::harmless(Phase::Expand), Outcome::and)
            }
            Statement::DropFunction(_) | Statement::DropProcedure { .. } => gone("a function"),
            Statement::DropDomain(_) => gone("a domain"),
            Statement::DropExtension(_) => gone("an extension"),
            Statement::DropTrigger(_) => gone("a trigger"),
            Statement::DropPolicy(_) => gone("a policy"),
            Statement::Revoke(_) => gone("a right"),
            Statement::Truncate(truncate) => {
                let kept = truncate.table_names.iter().filter(|target| !self.is_made(&target.name));
                kept.map(|target| emptied(&target.name.to_string()))
                    .fold(Outcome::harmless(Phase::Migrate), Outcome::and)
            }
            Statement::Delete(delete) => self.delete(delete),
            Statement::Update(update) => {
                let table = update.table.relation.to_string();
                let outcome = Outcome::harmless(Phase::Migrate);
                if update.selection.is_some() || self.has_made(&table) || self.dialect == Dialect::Sqlite {
                    return outcome;
                }
                outcome.risk(
                    RiskKind::Lock,
                    format!("it writes every row of {table} in one transaction; other writers of those rows wait until its end"),
                    "update in batches of some thousand rows: `WHERE id BETWEEN …`",
                )
            }
            Statement::Insert(_)
            | Statement::Merge(_)
            | Statement::Copy { .. }
            | Statement::LoadData { .. } => Outcome::harmless(Phase::Migrate),
            Statement::Lock(_) | Statement::LockTables { .. } => Outcome::harmless(Phase::Expand).risk(
                RiskKind::Lock,
                "it locks whole tables until the end of the transaction",
                "let the statements take the locks that they need",
            ),
            Statement::Vacuum(vacuum) if vacuum.full => Outcome::harmless(Phase::Expand).risk(
                RiskKind::Lock,
                "VACUUM FULL writes the table anew; nobody can read or write it until then",
                "plain VACUUM, or pg_repack",
            ),
            other if is_harmless(other) => Outcome::harmless(Phase::Expand),
            _ => unread("Towpath does not know this statement"),
        }
    }

    fn create(&mut self, name: &ObjectName) -> Outcome {
        self.made.insert(plain(&name.to_string()));
        Outcome::harmless(Phase::Expand)
    }

    fn create_index(&self, index: &CreateIndex) -> Outcome {
        let table = &index.table_name;
        if self.is_made(table) {
            return Outcome::harmless(Phase::Expand);
        }
        let mut outcome = Outcome::harmless(Phase::Expand);
        if index.unique {
            outcome.phase = Phase::Contract;
            outcome = outcome.risk(
                RiskKind::Break,
                format!("from then on {table} refuses duplicates, which code that runs now may still write"),
                "release code that writes none first, and make the index `contract`",
            );
        }
        if self.dialect == Dialect::Postgresql && !index.concurrently {
            outcome = outcome.risk(
                RiskKind::Lock,
                format!("nobody can write to {table} until the index is built"),
                "CREATE INDEX CONCURRENTLY, in a migration of its own and outside a transaction",
            );
        }
        outcome
    }

    fn drop(&self, kind: ObjectType, name: &ObjectName, concurrently: bool) -> Outcome {
        if self.is_made(name) {
            return Outcome::harmless(Phase::Expand);
        }
        let what = format!("{} {name}", kind.to_string().to_lowercase());
        match kind {
            ObjectType::Table | ObjectType::Schema | ObjectType::Database => lost(&what),
            ObjectType::Index if self.dialect == Dialect::Postgresql && !concurrently => Outcome::harmless(
                Phase::Expand,
            )
            .risk(
                RiskKind::Lock,
                format!(
                    "nobody can use the table of {what} while it waits for those that do, and then drops it"
                ),
                "DROP INDEX CONCURRENTLY, in a migration of its own and outside a transaction",
            ),
            ObjectType::Index => Outcome::harmless(Phase::Expand),
            _ => gone(&what),
        }
    }

    fn delete(&self, delete: &Delete) -> Outcome {
        let (FromTable::WithFromKeyword(tables) | FromTable::WithoutKeyword(tables)) = &delete.from;
        let outcome = Outcome::harmless(Phase::Migrate);
        let kept = |factor: &TableFactor| !self.has_made(&factor.to_string());
        match tables.first() {
            Some(table) if delete.selection.is_none() && delete.limit.is_none() && kept(&table.relation) => {
                outcome.and(emptied(&table.relation.to_string()))
            }
            _ => outcome,
        }
    }

    fn is_made(&self, name: &ObjectName) -> bool {
        self.has_made(&name.to_string())
    }

    fn has_made(&self, name: &str) -> bool {
        self.made.contains(&plain(name))
    }
}

fn word(tokens: &[TokenWithSpan], place: usize, expected: &str) -> bool {
    matches!(tokens.get(place).map(|it| &it.token), Some(Token::Word(it)) if it.value.eq_ignore_ascii_case(expected))
}

/// A name as it is compared: without quotes, in lower case.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '"' | '`' | '[' | ']')).collect::<String>().to_lowercase()
}

fn unread(reason: &str) -> Outcome {
    Outcome::harmless(Phase::Expand).risk(
        RiskKind::Unread,
        format!(
            "it cannot be read, so nobody knows what it does: {}",
            reason.trim_start_matches("sql parser error: ")
        ),
        "put it into a migration of its own, and say what you know: `-- towpath: allow unread, it only …`",
    )
}

fn lost(what: &str) -> Outcome {
    Outcome::harmless(Phase::Contract)
        .risk(
            RiskKind::DataLoss,
            format!("{what} and all that it holds is gone; no undo script brings it back"),
            "keep it until no code reads it, then drop it in a migration of phase `contract`",
        )
        .risk(
            RiskKind::Break,
            format!("code that runs now may still use {what}"),
            "release code that does not use it first",
        )
}

fn emptied(table: &str) -> Outcome {
    Outcome::harmless(Phase::Contract).risk(
        RiskKind::DataLoss,
        format!("every row of {table} is gone; no undo script brings them back"),
        "keep the rows until no code reads them, or say which go: `WHERE …`",
    )
}

fn gone(what: &str) -> Outcome {
    Outcome::harmless(Phase::Contract).risk(
        RiskKind::Break,
        format!("code that runs now may still need {what}"),
        "release code that does not need it first, and make this a migration of phase `contract`",
    )
}

fn renamed(what: &str) -> Outcome {
    Outcome::harmless(Phase::Contract).risk(
        RiskKind::Break,
        format!("code that runs now asks for {what} by its old name"),
        "add the new one, write both, copy what is there, and drop the old one in a later Release",
    )
}

/// Statements that no running code notices.
fn is_harmless(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::Analyze(_)
            | Statement::Set(_)
            | Statement::Query(_)
            | Statement::CreateVirtualTable { .. }
            | Statement::CreateRole(_)
            | Statement::CreatePolicy(_)
            | Statement::CreateOperator(_)
            | Statement::CreateExtension(_)
            | Statement::CreateCollation(_)
            | Statement::CreateSchema { .. }
            | Statement::CreateDatabase { .. }
            | Statement::CreateFunction(_)
            | Statement::CreateTrigger(_)
            | Statement::CreateProcedure { .. }
            | Statement::CreateDomain(_)
            | Statement::CreateUser(_)
            | Statement::AlterView { .. }
            | Statement::AlterIndex { .. }
            | Statement::Comment { .. }
            | Statement::StartTransaction { .. }
            | Statement::Commit { .. }
            | Statement::Rollback { .. }
            | Statement::Savepoint { .. }
            | Statement::ReleaseSavepoint { .. }
            | Statement::Grant(_)
            | Statement::Vacuum(_)
            | Statement::UnlockTables
            | Statement::Use(_)
            | Statement::Reset(_)
    )
}
