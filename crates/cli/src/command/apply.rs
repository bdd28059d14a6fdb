//! `towpath apply`: changes environment documents, with the difference shown first.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use reqwest::Method;
use towpath_api::rest::{AppliedDocument, Apply};

use crate::client::{Client, part};
use crate::context::Remote;
use crate::output;

/// Applies environment documents.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The project.
    project: String,
    /// The YAML files; each may hold several documents.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Only shows what would change.
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command.
///
/// # Errors
/// Fails where the file cannot be read or the server refuses it.
pub async fn run(args: Args, remote: &Remote) -> anyhow::Result<ExitCode> {
    let Args { project, files, dry_run } = args;
    let client = Client::new(remote)?;
    let path = format!("/api/v1/projects/{}/apply", part(&project));
    let mut all = Vec::new();
    for file in &files {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
        let body = Apply { file: file.display().to_string(), text, dry_run };
        let applied: Vec<AppliedDocument> = client.send(Method::POST, &path, &body).await?;
        // Each file is a change of its own; what was applied is told even where the next one fails.
        if remote.json {
            all.extend(applied);
        } else {
            applied.iter().for_each(|document| show(document, dry_run));
        }
    }
    if remote.json {
        output::json(&all)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(document: &AppliedDocument, dry_run: bool) {
    let AppliedDocument { environment, version, changes, loosens } = document;
    let word = if dry_run { "would become" } else { "is now" };
    anstream::println!("{environment} {word} version {version}");
    if changes.is_empty() {
        anstream::println!("  nothing changes");
    }
    for change in changes {
        anstream::println!("  ~ {change}");
    }
    for loosened in loosens {
        anstream::println!("  ! loosens: {loosened}");
    }
}
