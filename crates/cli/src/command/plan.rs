//! `towpath plan`: what would run, be sealed and be promoted, and why.

use std::path::Path;
use std::process::{Command, ExitCode};

use clap::ValueEnum;
use towpath_config::render;
use towpath_model::pattern::fits;
use towpath_model::plan::Occasion;
use towpath_model::policy::{Allow, EnvironmentDocument};
use towpath_model::run::Trust;

use super::local::{find_project, print_diagnostics, read_project};

/// Shows what a push, a tag or a manual start would do, and why.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What happens.
    #[arg(long, value_enum)]
    event: Option<Event>,
    /// The ref: `main`, `v1.2.0`, `refs/heads/main`. Without it, the branch that is checked out, or `main`.
    #[arg(long = "ref", value_name = "REF")]
    reference: Option<String>,
    /// A file that changed, for `on: { push: { paths } }`; may be given several times.
    #[arg(long = "changed", value_name = "PATH")]
    changed: Vec<String>,
    /// How far the ref is trusted. Without it, refs that an environment document allows are protected.
    #[arg(long, value_enum)]
    trust: Option<TrustWord>,
    /// How the plan is shown.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
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

/// How the plan is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// A flowchart for Markdown.
    Mermaid,
    /// A picture.
    Svg,
}

/// Runs the command. Exits with 1 where a file has errors.
///
/// # Errors
/// Fails where a file cannot be read.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let directory = find_project(&std::env::current_dir()?)?;
    let local = read_project(&directory)?;
    print_diagnostics(&local.diagnostics);
    let Some(pipeline) = local.pipeline else { return Ok(ExitCode::from(1)) };
    if towpath_config::has_errors(&local.diagnostics) {
        return Ok(ExitCode::from(1));
    }
    let occasion = occasion(args, &directory, &local.documents);
    let report = towpath_config::plan(&pipeline, &occasion, &local.documents);
    let shown = match args.format {
        Format::Text => render::text(&report),
        Format::Json => render::json(&report),
        Format::Mermaid => render::mermaid(&report),
        Format::Svg => render::svg(&report),
    };
    anstream::print!("{shown}");
    Ok(ExitCode::SUCCESS)
}

fn occasion(args: &Args, directory: &Path, documents: &[EnvironmentDocument]) -> Occasion {
    let tagged = args.reference.as_deref().is_some_and(|reference| reference.starts_with("refs/tags/"));
    let event = args.event.unwrap_or(if tagged { Event::Tag } else { Event::Push });
    let named =
        args.reference.clone().or_else(|| checked_out(directory)).unwrap_or_else(|| "main".to_owned());
    let reference = match event {
        _ if named.starts_with("refs/") => named,
        Event::Tag => format!("refs/tags/{named}"),
        Event::Push | Event::Manual => format!("refs/heads/{named}"),
    };
    let trust = match args.trust {
        Some(TrustWord::Protected) => Trust::Protected,
        Some(TrustWord::Internal) => Trust::Internal,
        Some(TrustWord::Fork) => Trust::Fork,
        None if is_allowed(&reference, documents) => Trust::Protected,
        None => Trust::Internal,
    };
    let event = match event {
        Event::Push => "push",
        Event::Tag => "tag",
        Event::Manual => "manual",
    };
    let changed = (!args.changed.is_empty()).then(|| args.changed.clone());
    Occasion { event: event.to_owned(), reference, changed, trust }
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
