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
    /// The YAML file.
    file: PathBuf,
    /// Only shows what would change.
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command.
///
/// # Errors
/// Fails where the file cannot be read or the server refuses it.
pub async fn run(args: Args, remote: &Remote) -> anyhow::Result<ExitCode> {
    let Args { project, file, dry_run } = args;
    let text =
        std::fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))?;
    let body = Apply { file: file.display().to_string(), text, dry_run };
    let path = format!("/api/v1/projects/{}/apply", part(&project));
    let applied: Vec<AppliedDocument> = Client::new(remote)?.send(Method::POST, &path, &body).await?;
    if remote.json {
        output::json(&applied)?;
        return Ok(ExitCode::SUCCESS);
    }
    for document in applied {
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
    Ok(ExitCode::SUCCESS)
}
