//! What is supposed to have happened, for commands that plan or run without a server.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
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
    /// A commit or branch: what differs between it and the working tree counts as changed, for `paths`; a job with `paths` is
    /// planned as if it had passed there. For a pull request, the branch that it wants to change; without it, `main`.
    #[arg(long, value_name = "COMMIT")]
    base: Option<String>,
    /// A file that changed, for `paths`; may be given several times.
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
    ///
    /// # Errors
    /// Fails where git does not know the commit of `--base`.
    pub fn resolve(&self, directory: &Path, documents: &[EnvironmentDocument]) -> anyhow::Result<Occasion> {
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
            let base = self.base.clone().unwrap_or_else(|| "main".to_owned());
            let action = "opened".to_owned();
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
        let changed = match &self.base {
            _ if !self.changed.is_empty() => Some(self.changed.clone()),
            None => None,
            // The branch of a pull request need not be here.
            Some(base) if self.event == Some(Event::PullRequest) => changed_since(directory, base).ok(),
            Some(base) => Some(changed_since(directory, base)?),
        };
        Ok(Occasion { event: event.to_owned(), reference, changed, trust, origin })
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

/// Paths that differ between a commit and the working tree, with those that git does not track yet.
fn changed_since(directory: &Path, base: &str) -> anyhow::Result<Vec<String>> {
    let base = format!("{base}^{{commit}}");
    let commit = git(directory, &["rev-parse", "--verify", "--quiet", "--end-of-options", &base])
        .with_context(|| format!("git knows no commit `{}`", base.trim_end_matches("^{commit}")))?;
    let top = git(directory, &["rev-parse", "--show-toplevel"]).context("this is no git repository")?;
    let top = Path::new(top.trim());
    let differs = git(top, &["diff", "--name-only", "-z", "--no-renames", commit.trim(), "--"]);
    let new = git(top, &["ls-files", "-z", "--others", "--exclude-standard"]);
    let (differs, new) = differs.zip(new).context("git could not tell what has changed")?;
    let mut paths: Vec<String> = differs
        .split('\0')
        .chain(new.split('\0'))
        .filter(|path| !path.is_empty())
        .map(str::to_owned)
        .collect();
    paths.sort_unstable();
    Ok(paths)
}

/// What git answers; nothing where it refuses.
fn git(directory: &Path, words: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(directory).args(words).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
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
