//! What is wrong with a file, where, and what to write instead.
//!
//! A [`Diagnostic`] carries the lines that it marks, so that it can be stored, sent over the
//! wire and rendered where the file is not at hand. Drawing it is left to `render.rs`.

use std::ops::Range;

use serde::{Deserialize, Serialize};

mod render;
mod report;

pub use render::{Colour, render, render_all, summary};
pub use report::closest;
pub(crate) use report::{Problem, Report, quote};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used; it probably does not say what its author meant.
    Warning,
}

/// One mistake, its place and advice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable, searchable name of this kind of mistake: `unknown-key`.
    pub code: String,
    /// What is wrong, in one line.
    pub message: String,
    /// The file as it was named to the parser.
    pub file: String,
    /// Where; absent where the mistake is not in the text, as with a file that cannot be read.
    pub place: Option<Place>,
    /// What to do about it.
    pub hints: Vec<String>,
    /// What mends it, where that is sure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<Edit>,
}

/// Other text for some bytes of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// The bytes.
    pub span: Range<usize>,
    /// What stands there afterwards.
    pub text: String,
}

impl Edit {
    pub(crate) fn new(span: &Range<usize>, text: impl Into<String>) -> Self {
        Self { span: span.clone(), text: text.into() }
    }
}

/// A place in a file, with the text around it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The marked bytes of the file.
    pub span: Range<usize>,
    /// The lines that the mark touches.
    pub excerpt: String,
    /// The marked bytes of `excerpt`.
    pub mark: Range<usize>,
    /// What is written under the mark; may be empty.
    pub label: String,
}

/// Whether any of them makes the file unusable.
#[must_use]
pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
}
