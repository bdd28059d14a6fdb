//! The expressions of the pipeline file: a subset of CEL.
//!
//! Literals, lists, maps, fields, indexes, operators with `in`, `? :`, `has()`, `size()`,
//! `startsWith`, `endsWith`, `contains`, `matches`, `lowerAscii`, and the macros `all`, `exists`, `filter` and
//! `map` on lists. Every evaluation ends: there is no recursion, and depth and steps are bounded.
//! What is not known yet, such as the outputs of a Job that has not run, is a value of its own,
//! [`Value::Unknown`]: `false && unknown` is false, `true && unknown` is unknown.

use std::collections::BTreeMap;
use std::ops::Range;

mod check;
mod evaluate;
mod inline;
mod lexer;
pub(crate) mod names;
mod parser;
mod template;
mod value;

pub use check::Names;
pub(crate) use inline::{Given, inline, settle};
pub use template::Template;
pub use value::Value;

use parser::Ast;

/// The longest expression, in bytes.
pub const MAX_LENGTH: usize = 4096;

/// A parsed expression.
#[derive(Debug, Clone)]
pub struct Expression {
    root: Ast,
}

impl Expression {
    /// Parses CEL.
    ///
    /// # Errors
    /// Fails with the place of the first mistake.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        if text.len() > MAX_LENGTH {
            return Err(ExpressionError::new("this expression is too long", 0..text.len())
                .hint("it may have 4096 bytes"));
        }
        parser::parse(text).map(|root| Self { root })
    }

    /// Checks every name in it, before anything runs.
    ///
    /// # Errors
    /// Fails with all names that do not exist, and the words that no name can be equal to.
    pub fn check(&self, names: &Names<'_>) -> Result<(), Vec<ExpressionError>> {
        check::check(&self.root, names)
    }

    /// The names and fields in it that are not among these.
    pub(crate) fn unknown_names(&self, known: &[names::Known]) -> Vec<ExpressionError> {
        names::unknown(&self.root, known)
    }

    /// Evaluates it.
    ///
    /// # Errors
    /// Fails on values that do not fit their operator, missing fields, and too many steps.
    pub fn evaluate(&self, scope: &Scope) -> Result<Value, ExpressionError> {
        evaluate::evaluate(&self.root, scope)
    }
}

/// The values of the names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scope {
    /// By name: `ref`, `branch`, `env`, `needs`.
    pub variables: BTreeMap<String, Value>,
}

impl Scope {
    /// Adds a name.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }
}

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    /// In one line.
    pub message: String,
    /// The bytes of the expression that are wrong.
    pub span: Range<usize>,
    /// What to write instead.
    pub hint: Option<String>,
}

impl ExpressionError {
    fn new(message: impl Into<String>, span: Range<usize>) -> Self {
        Self { message: message.into(), span, hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Moves the place, for an expression that is part of a longer text.
    fn shifted(self, by: usize) -> Self {
        Self { span: self.span.start + by..self.span.end + by, ..self }
    }
}

#[cfg(test)]
mod tests;
