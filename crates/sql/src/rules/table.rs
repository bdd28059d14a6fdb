//! What the operations of an `ALTER TABLE` do.

use sqlparser::ast::{
    AlterColumnOperation, AlterTableOperation, ColumnDef, ColumnOption, DataType, Expr, TableConstraint,
};
use towpath_model::migration::{Dialect, Phase};

use super::{Outcome, gone, lost, renamed};
use crate::RiskKind;

/// Functions whose value is the same for every row, so that PostgreSQL stores it once instead of writing the table anew.
const STABLE: &[&str] =
    &["now", "current_timestamp", "current_date", "transaction_timestamp", "statement_timestamp"];

/// Types of PostgreSQL that are a sequence behind the scenes.
const SERIAL: &[&str] = &["serial", "bigserial", "smallserial"];

/// Judges one operation on a table that others use.
pub(super) fn alter(dialect: Dialect, table: &str, operation: &AlterTableOperation) -> Outcome {
    use AlterTableOperation as Op;
    let expand = || Outcome::harmless(Phase::Expand);
    match operation {
        Op::AddColumn { column_def, .. } => add_column(dialect, table, column_def),
        Op::AddConstraint { constraint, not_valid } => add_constraint(dialect, table, constraint, *not_valid),
        Op::DropColumn { column_names, .. } => {
            let names = column_names.iter().map(|name| lost(&format!("column {name} of {table}")));
            names.fold(expand(), Outcome::and)
        }
        Op::DropPartitions { .. } => lost(&format!("a partition of {table}")),
        Op::DetachPartition { .. } => gone(&format!("a partition of {table}")),
        Op::DropPrimaryKey { .. } => gone(&format!("the primary key of {table}")),
        Op::RenameColumn { old_column_name, .. } => renamed(&format!("column {old_column_name} of {table}")),
        Op::RenameTable { .. } | Op::SwapWith { .. } => renamed(&format!("table {table}")),
        Op::ChangeColumn { old_name, new_name, .. } if old_name != new_name => {
            renamed(&format!("column {old_name} of {table}")).and(rewritten(table))
        }
        Op::ChangeColumn { old_name: column, .. } | Op::ModifyColumn { col_name: column, .. } => {
            retyped(table, &column.to_string())
        }
        Op::AlterColumn { column_name, op } => alter_column(dialect, table, &column_name.to_string(), op),
        Op::EnableRowLevelSecurity | Op::ForceRowLevelSecurity => {
            gone(&format!("rows of {table} that the policies hide"))
        }
        Op::SetLogged | Op::SetUnlogged => expand().and(rewritten(table)),
        Op::AddPartitions { .. }
        | Op::AttachPartition { .. }
        | Op::DropConstraint { .. }
        | Op::DropForeignKey { .. }
        | Op::DropIndex { .. }
        | Op::RenameConstraint { .. }
        | Op::ValidateConstraint { .. }
        | Op::NoForceRowLevelSecurity
        | Op::DisableRowLevelSecurity
        | Op::DisableRule { .. }
        | Op::DisableTrigger { .. }
        | Op::EnableRule { .. }
        | Op::EnableTrigger { .. }
        | Op::EnableAlwaysRule { .. }
        | Op::EnableAlwaysTrigger { .. }
        | Op::EnableReplicaRule { .. }
        | Op::EnableReplicaTrigger { .. }
        | Op::OwnerTo { .. }
        | Op::ReplicaIdentity { .. }
        | Op::AutoIncrement { .. }
        | Op::Algorithm { .. }
        | Op::Lock { .. }
        | Op::SetOptionsParens { .. }
        | Op::SetTblProperties { .. } => expand(),
        _ => super::unread("Towpath does not know this change of a table"),
    }
}

fn add_column(dialect: Dialect, table: &str, column: &ColumnDef) -> Outcome {
    let options = || column.options.iter().map(|option| &option.option);
    let filled = options().any(|option| {
        matches!(
            option,
            ColumnOption::Default(_) | ColumnOption::Generated { .. } | ColumnOption::Identity(_)
        )
    });
    let is_serial = SERIAL.contains(&column.data_type.to_string().to_lowercase().as_str());
    let mut outcome = Outcome::harmless(Phase::Expand);
    if options().any(|option| matches!(option, ColumnOption::NotNull)) && !filled && !is_serial {
        outcome.phase = Phase::Contract;
        outcome = outcome.risk(
            RiskKind::Break,
            format!("code that runs now inserts rows into {table} without {}, and they are refused", column.name),
            "give the column a DEFAULT, or add it without NOT NULL, fill it, and set NOT NULL in a later Release",
        );
    }
    let unique =
        options().any(|option| matches!(option, ColumnOption::Unique(_) | ColumnOption::PrimaryKey(_)));
    let computed =
        options().any(|option| matches!(option, ColumnOption::Generated { generation_expr: Some(_), .. }));
    let varies = options().any(|option| matches!(option, ColumnOption::Default(value) if varies(value)));
    if dialect == Dialect::Postgresql && (computed || varies || is_serial) {
        outcome = outcome.and(rewritten(table));
    } else if dialect == Dialect::Postgresql && unique {
        outcome = outcome.risk(
            RiskKind::Lock,
            format!("nobody can use {table} until the index behind UNIQUE is built"),
            "add the column, then CREATE UNIQUE INDEX CONCURRENTLY",
        );
    }
    outcome
}

/// Whether a default may differ from row to row.
fn varies(value: &Expr) -> bool {
    match value {
        Expr::Function(function) => !STABLE.contains(&function.name.to_string().to_lowercase().as_str()),
        Expr::Cast { expr, .. } | Expr::Nested(expr) | Expr::UnaryOp { expr, .. } => varies(expr),
        Expr::BinaryOp { left, right, .. } => varies(left) || varies(right),
        _ => false,
    }
}

fn add_constraint(dialect: Dialect, table: &str, constraint: &TableConstraint, not_valid: bool) -> Outcome {
    let what = match constraint {
        TableConstraint::PrimaryKey(_) => "a primary key",
        TableConstraint::Unique(_) => "a unique key",
        TableConstraint::ForeignKey(_) => "a foreign key",
        TableConstraint::Check(_) => "a check",
        TableConstraint::PrimaryKeyUsingIndex(_) | TableConstraint::UniqueUsingIndex(_) => {
            return Outcome::harmless(Phase::Expand);
        }
        _ => return Outcome::harmless(Phase::Expand),
    };
    let mut outcome = Outcome::harmless(Phase::Contract).risk(
        RiskKind::Break,
        format!("{what} on {table} refuses rows that code that runs now may still write"),
        "release code that writes none of them first, and make this a migration of phase `contract`",
    );
    let instead = match constraint {
        TableConstraint::Check(_) | TableConstraint::ForeignKey(_) => {
            "add it NOT VALID, and VALIDATE CONSTRAINT in a migration after it"
        }
        _ => "CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT … USING INDEX",
    };
    if dialect == Dialect::Postgresql && !not_valid {
        let message = format!("nobody can write to {table} until every row has been looked at");
        outcome = outcome.risk(RiskKind::Lock, message, instead);
    }
    outcome
}

fn alter_column(dialect: Dialect, table: &str, column: &str, operation: &AlterColumnOperation) -> Outcome {
    match operation {
        AlterColumnOperation::SetNotNull => {
            let outcome = Outcome::harmless(Phase::Contract).risk(
                RiskKind::Break,
                format!("code that runs now may still write no {column} into {table}"),
                "release code that always writes it first, and make this a migration of phase `contract`",
            );
            if dialect != Dialect::Postgresql {
                return outcome;
            }
            outcome.risk(
                RiskKind::Lock,
                format!("nobody can use {table} until every row has been looked at"),
                format!("ADD CHECK ({column} IS NOT NULL) NOT VALID, VALIDATE CONSTRAINT, then SET NOT NULL, which trusts the check"),
            )
        }
        AlterColumnOperation::SetDataType { data_type, .. }
            if is_text(data_type) && dialect == Dialect::Postgresql =>
        {
            Outcome::harmless(Phase::Expand)
        }
        AlterColumnOperation::SetDataType { .. } => retyped(table, column),
        AlterColumnOperation::DropDefault => Outcome::harmless(Phase::Contract).risk(
            RiskKind::Break,
            format!(
                "code that runs now may insert rows into {table} without {column} and count on its default"
            ),
            "release code that always writes it first, and make this a migration of phase `contract`",
        ),
        AlterColumnOperation::DropNotNull
        | AlterColumnOperation::SetDefault { .. }
        | AlterColumnOperation::AddGenerated { .. } => Outcome::harmless(Phase::Expand),
    }
}

/// Text without a limit: PostgreSQL takes shorter text as it is.
fn is_text(kind: &DataType) -> bool {
    matches!(kind, DataType::Text | DataType::Varchar(None) | DataType::CharacterVarying(None))
}

fn retyped(table: &str, column: &str) -> Outcome {
    Outcome::harmless(Phase::Contract)
        .risk(
            RiskKind::Break,
            format!("code that runs now reads and writes {column} of {table} as it was"),
            "add a column of the new type, write both, copy what is there, and drop the old one in a later Release",
        )
        .and(rewritten(table))
}

fn rewritten(table: &str) -> Outcome {
    Outcome::harmless(Phase::Expand).risk(
        RiskKind::Lock,
        format!("{table} is written anew, and nobody can write to it until then"),
        "add a column without a default that varies, fill it in batches, and give it the default afterwards",
    )
}
