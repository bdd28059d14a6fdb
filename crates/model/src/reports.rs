//! Which files of a Job are reports, and of which kind.

use serde::{Deserialize, Serialize};

/// What kind of report a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportKind {
    /// JUnit XML.
    Junit,
    /// LCOV, Cobertura or JaCoCo.
    Coverage,
    /// SARIF 2.1.0.
    Sarif,
    /// A summary of a load test.
    Load,
    /// Results of a contract's verification.
    Contract,
    /// What Steps say of places in the source.
    Annotations,
}

/// The name of the report that has what Steps wrote to `$TOWPATH_ANNOTATIONS`, and what they printed as such.
pub const ANNOTATIONS: &str = "TOWPATH_ANNOTATIONS";

impl ReportKind {
    /// Every kind, in the order of the reference.
    pub const ALL: [Self; 6] =
        [Self::Junit, Self::Coverage, Self::Sarif, Self::Load, Self::Contract, Self::Annotations];

    /// The key under `reports`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Junit => "junit",
            Self::Coverage => "coverage",
            Self::Sarif => "sarif",
            Self::Load => "load",
            Self::Contract => "contract",
            Self::Annotations => "annotations",
        }
    }
}

/// Files that are reports of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportDeclaration {
    /// Their kind.
    pub kind: ReportKind,
    /// Patterns relative to the Project's directory.
    pub files: Vec<String>,
}

impl ReportDeclaration {
    /// JUnit files, where there are any.
    #[must_use]
    pub fn junit(files: &[String]) -> Vec<Self> {
        let some = !files.is_empty();
        some.then(|| Self { kind: ReportKind::Junit, files: files.to_vec() }).into_iter().collect()
    }
}

/// A report that an Attempt left, as its agent says. Its content is read by nobody but the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportFile {
    /// Its kind.
    pub kind: ReportKind,
    /// Its path relative to the Project's directory.
    pub name: String,
    /// Its bytes, uploaded before this is said.
    pub digest: crate::Digest,
    /// How many.
    pub bytes: u64,
}
