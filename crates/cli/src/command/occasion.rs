//! What is supposed to have happened, for commands that plan or run without a server.

use std::path::Path;
use std::process::Command;

use clap::ValueEnum;
use towpath_model::origin::{Origin, PullRequest};
use towpath_model::pattern::fits;
use towpath_model::plan::Occasion;
use towpath_model::policy::{Allow, EnvironmentDocument};
use towpath_model::run::Trust;

/// The options by which a person says what happened.
#[derive(Debug, clap::Args)]
pub struct OccasionArgs {
    /// What happens.
    #[arg(long, value_enum)]
    event: Option<Event>,
    /// The ref: `main`, `v1.2.0`, `refs/heads/main`. Without it, the branch that is checked out, or `main`.
    #[arg(long = "ref", value_name = "REF")]
    reference: Option<String>,
    /// The branch that a pull request wants to change.
    #[arg(long, value_name = "BRANCH", default_value = "main")]
    base: String,
    /// A file that changed, for `on: { push: { paths } }`; may be given several times.
    #[arg(long = "changed", value_name = "PATH")]
    changed: Vec<String>,
    /// How far the ref is trusted. Without it, refs that an environment document allows are protected.
    #[arg(long, value_enum)]
    trust: Option<TrustWord>,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Event {
    /// A push to a branch.
    Push,
    /// A pushed tag.
    Tag,
    /// A person starts it.
    Manual,
    /// A pull request.
    PullRequest,
    /// A schedule is due.
    Schedule,
    /// Another project sealed a release.
    Release,
}

/// How far a ref is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TrustWord {
    /// A protected ref.
    Protected,
    /// Another ref of the repository.
    Internal,
    /// A contribution from outside.
    Fork,
}

impl OccasionArgs {
    /// The occasion that the words mean for the project in `directory`.
    pub fn resolve(&self, directory: &Path, documents: &[EnvironmentDocument]) -> Occasion {
        let tagged = self.reference.as_deref().is_some_and(|reference| reference.starts_with("refs/tags/"));
        let event = self.event.unwrap_or(if tagged { Event::Tag } else { Event::Push });
        let named =
            self.reference.clone().or_else(|| checked_out(directory)).unwrap_or_else(|| "main".to_owned());
        let reference = match event {
            _ if named.starts_with("refs/") => named,
            Event::Tag => format!("refs/tags/{named}"),
            // Not a ref of the repository itself, so nothing protects it.
            Event::PullRequest => "refs/pull/1/head".to_owned(),
            Event::Push | Event::Manual | Event::Schedule | Event::Release => format!("refs/heads/{named}"),
        };
        let trust = match self.trust {
            Some(TrustWord::Protected) => Trust::Protected,
            Some(TrustWord::Internal) => Trust::Internal,
            Some(TrustWord::Fork) => Trust::Fork,
            None if event == Event::PullRequest => Trust::Fork,
            None if is_allowed(&reference, documents) => Trust::Protected,
            None => Trust::Internal,
        };
        let origin = (event == Event::PullRequest).then(|| {
            let (base, action) = (self.base.clone(), "opened".to_owned());
            Origin::PullRequest(PullRequest { number: 1, base, action, trust })
        });
        let event = match event {
            Event::PullRequest => "pull_request",
            Event::Schedule => "schedule",
            Event::Release => "release",
            Event::Push => "push",
            Event::Tag => "tag",
            Event::Manual => "manual",
        };
        let changed = (!self.changed.is_empty()).then(|| self.changed.clone());
        Occasion { event: event.to_owned(), reference, changed, trust, origin }
    }
}

/// Whether some Environment takes the ref; without documents, whether one would by default.
fn is_allowed(reference: &str, documents: &[EnvironmentDocument]) -> bool {
    let default = Allow::default();
    let allowed: Vec<&Allow> = match documents {
        [] => vec![&default],
        documents => documents.iter().map(|document| &document.allow).collect(),
    };
    allowed.iter().any(|allow| allow.refs.iter().any(|pattern| fits(pattern, reference)))
}

/// The branch that is checked out, where git can tell.
fn checked_out(directory: &Path) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(["symbolic-ref", "--short", "-q", "HEAD"])
        .output()
        .ok()?;
    let branch = String::from_utf8(output.stdout).ok()?;
    Some(branch.trim().to_owned()).filter(|branch| output.status.success() && !branch.is_empty())
}
