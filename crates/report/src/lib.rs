//! Readers of reports that tools write: tests, coverage, findings, load tests, contracts.
//!
//! What a report says is a claim of the code under test: it is read with bounds on everything, never believed
//! further than it goes, and nothing in it (entities, document types, addresses) is resolved. Readers are
//! functions of bytes, without I/O. A report that breaks off gives what was read, and says that it broke off.

mod annotations;
mod contract;
mod coverage;
mod error_line;
mod failure;
mod findings;
mod json;
mod junit;
mod load;
mod tests;
mod xml;

pub use annotations::may_annotate;
pub use contract::{Contract, Interaction};
pub use coverage::{Coverage, FileCoverage, Share};
pub use error_line::{ErrorLine, Found, signature};
pub use failure::place;
pub use findings::{Finding, Findings, Level};
pub use load::{Load, LoadTool};
pub use towpath_model::reports::ReportKind as Kind;

pub use tests::{Counts, Failure, Outcome, TestCase, TestReport};

/// The largest report that is read, in bytes.
pub const MAX_BYTES: usize = 64 << 20;

/// What a report says.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// Tests.
    Tests(TestReport),
    /// Coverage.
    Coverage(Coverage),
    /// Findings.
    Findings(Findings),
    /// A load test.
    Load(Load),
    /// A contract.
    Contract(Contract),
    /// What Steps say of places in the source.
    Annotations(Findings),
}

/// Why a report cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// It is larger than [`MAX_BYTES`].
    #[error("it has {bytes} bytes, and more than {MAX_BYTES} are not read")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// It is none of the known formats.
    #[error("it is none of {expected}{}", .found.as_ref().map(|found| format!(", but {found}")).unwrap_or_default())]
    Unknown {
        /// The formats that are read.
        expected: &'static str,
        /// What it looks like instead.
        found: Option<String>,
    },
    /// It is of a known format, but broken.
    #[error("{what}")]
    Broken {
        /// What is wrong and where.
        what: String,
    },
}

impl ReportError {
    pub(crate) fn unknown(expected: &'static str, found: impl Into<Option<String>>) -> Self {
        Self::Unknown { expected, found: found.into() }
    }

    pub(crate) fn broken(what: impl Into<String>) -> Self {
        Self::Broken { what: what.into() }
    }
}

/// Reads a report of a known kind. Its format within the kind is told from its content.
///
/// # Errors
/// When nothing of it can be used.
pub fn read(kind: Kind, bytes: &[u8]) -> Result<Report, ReportError> {
    if bytes.len() > MAX_BYTES {
        return Err(ReportError::TooLarge { bytes: bytes.len() });
    }
    match kind {
        Kind::Junit => junit::read(bytes).map(Report::Tests),
        Kind::Coverage => coverage::read(bytes).map(Report::Coverage),
        Kind::Sarif => findings::read(bytes).map(Report::Findings),
        Kind::Load => load::read(bytes).map(Report::Load),
        Kind::Contract => contract::read(bytes).map(Report::Contract),
        Kind::Annotations => annotations::read(bytes).map(Report::Annotations),
    }
}

/// Reads JUnit XML in any dialect.
///
/// # Errors
/// When it is no JUnit XML, or too large.
pub fn read_junit(bytes: &[u8]) -> Result<TestReport, ReportError> {
    if bytes.len() > MAX_BYTES {
        return Err(ReportError::TooLarge { bytes: bytes.len() });
    }
    junit::read(bytes)
}

/// The first `limit` bytes of a text, cut between characters, with what people should not be shown taken out.
pub(crate) fn clip(text: &str, limit: usize) -> String {
    let clean = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    let mut clipped = String::with_capacity(text.len().min(limit));
    for c in text.chars().filter(|c| clean(*c)) {
        if clipped.len() + c.len_utf8() > limit {
            clipped.push('…');
            break;
        }
        clipped.push(c);
    }
    clipped
}
