//! Why a command failed, told once: the causes, what to do next, and an exit code.
//!
//! The codes are part of the interface; `docs/reference/exit-codes.md` lists them.

use std::fmt;
use std::process::ExitCode;

use towpath_api::rest::ProblemBody;

/// What kind of failure it is, as the exit code tells scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The operation failed, or its answer is no.
    Failed,
    /// The command line or a configuration file is wrong.
    Usage,
    /// There is no such thing.
    NotFound,
    /// The caller may not, or is not signed in.
    NotAllowed,
    /// The server cannot be reached.
    Unreachable,
    /// What was waited for did not happen in the time that was given.
    TimedOut,
}

impl Kind {
    /// The exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::NotAllowed => 4,
            Self::Unreachable => 5,
            Self::TimedOut => 6,
        }
    }
}

/// A failure with its kind, and what to do about it.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    what: String,
    hint: Option<String>,
    reasons: Vec<String>,
}

impl Failure {
    /// Says what happened.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), hint: None, reasons: Vec::new() }
    }

    /// Says what to do next.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Whether an error says that the server is not there, or not any more.
pub fn is_unreachable(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Failure>().is_some_and(|failure| failure.kind == Kind::Unreachable)
}

impl From<ProblemBody> for Failure {
    fn from(problem: ProblemBody) -> Self {
        let ProblemBody { kind: _, title: _, status, detail, hint, reasons } = problem;
        let kind = match status {
            401 | 403 => Kind::NotAllowed,
            404 => Kind::NotFound,
            400 | 413 | 422 => Kind::Usage,
            503 => Kind::Unreachable,
            _ => Kind::Failed,
        };
        Self { kind, what: detail, hint, reasons }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}

/// Prints an error once and gives its exit code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    let bold = anstyle::Style::new().bold();
    let red = bold.fg_color(Some(anstyle::AnsiColor::Red.into()));
    anstream::eprintln!("{red}error{red:#}: {error:#}");
    let Some(failure) = error.downcast_ref::<Failure>() else {
        return ExitCode::from(Kind::Usage.code());
    };
    for reason in &failure.reasons {
        anstream::eprintln!("  - {reason}");
    }
    if let Some(hint) = &failure.hint {
        anstream::eprintln!("{bold}hint{bold:#}: {hint}");
    }
    ExitCode::from(failure.kind.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_decides_the_exit_code() {
        let code = |status| {
            let problem = ProblemBody {
                kind: String::new(),
                title: String::new(),
                status,
                detail: String::new(),
                hint: None,
                reasons: Vec::new(),
            };
            Failure::from(problem).kind.code()
        };
        assert_eq!([401, 403, 404, 409, 422, 500, 503].map(code), [4, 4, 3, 1, 2, 1, 5]);
    }
}
