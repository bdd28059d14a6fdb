//! What the SQL of a migration does to a database that running code still uses.
//!
//! A text is cut into statements, each is parsed, and `rules` says in which phase it belongs and what it risks: data, code
//! that runs now, or everybody's waiting for a lock. A comment can declare the phase of a file, and allow a risk with a
//! reason. Which files there are, and what follows from a risk, is left to others. Pure: text in, values out.
//!
//! ```
//! use towpath_model::migration::{Dialect, Phase};
//! let script = towpath_sql::read(Dialect::Postgresql, "ALTER TABLE orders DROP COLUMN note;");
//! assert_eq!(script.phase(), Phase::Contract);
//! assert_eq!(script.statements[0].risks[0].kind, towpath_sql::RiskKind::DataLoss);
//! ```

mod directive;
mod rules;
mod split;

use std::ops::Range;

use towpath_model::migration::{Dialect, Phase};

/// A migration's file, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The phase that a comment declares, and where: `-- towpath: phase contract`.
    pub declared: Option<(Phase, Range<usize>)>,
    /// Its statements in their order.
    pub statements: Vec<Statement>,
    /// Comments that speak to Towpath and cannot be understood.
    pub misunderstood: Vec<Misunderstood>,
}

impl Script {
    /// The declared phase, else the latest that a statement belongs to.
    #[must_use]
    pub fn phase(&self) -> Phase {
        let needed = || self.statements.iter().map(|statement| statement.phase).max();
        self.declared.as_ref().map(|(phase, _)| *phase).or_else(needed).unwrap_or(Phase::Expand)
    }
}

/// A statement and what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its bytes in the text.
    pub span: Range<usize>,
    /// Where it belongs.
    pub phase: Phase,
    /// What may go wrong. Empty for most.
    pub risks: Vec<Risk>,
}

/// What may go wrong when a statement runs while code uses the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Risk {
    /// Of which kind.
    pub kind: RiskKind,
    /// What happens, to what.
    pub what: String,
    /// What to write instead.
    pub instead: String,
    /// Why the author takes it: `-- towpath: allow lock, the table has 40 rows`.
    pub allowed: Option<String>,
}

/// Kinds of risk, by the word that a comment allows them with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RiskKind {
    /// `data-loss`: data is gone, and no undo script brings it back.
    DataLoss,
    /// `break`: code that runs now fails, or may.
    Break,
    /// `lock`: others wait while it runs, longer the larger the table.
    Lock,
    /// `unread`: nobody here knows what it does.
    Unread,
}

impl RiskKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::DataLoss, Self::Break, Self::Lock, Self::Unread];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::DataLoss => "data-loss",
            Self::Break => "break",
            Self::Lock => "lock",
            Self::Unread => "unread",
        }
    }
}

/// A comment that speaks to Towpath and cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misunderstood {
    /// Its bytes in the text.
    pub span: Range<usize>,
    /// Why.
    pub reason: String,
}

/// Reads the text of a migration.
#[must_use]
pub fn read(dialect: Dialect, text: &str) -> Script {
    let mut script = Script { declared: None, statements: Vec::new(), misunderstood: Vec::new() };
    let mut rules = rules::Rules::new(dialect);
    for piece in split::split(dialect, text) {
        let directives = directive::read(&piece.comments);
        script.misunderstood.extend(directives.misunderstood);
        script.declared = script.declared.or(directives.phase);
        let Some(outcome) = rules.judge(&piece) else { continue };
        let mut statement = Statement { span: piece.span, phase: outcome.phase, risks: outcome.risks };
        for risk in &mut statement.risks {
            let allowance = directives.allowed.iter().find(|(kind, _)| *kind == risk.kind);
            risk.allowed = allowance.map(|(_, reason)| reason.clone());
        }
        script.statements.push(statement);
    }
    script
}
