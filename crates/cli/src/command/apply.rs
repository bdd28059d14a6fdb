//! `towpath apply`: changes environment documents, with the difference shown first.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use reqwest::Method;
use towpath_api::rest::{AppliedDocument, Apply, PendingDocument};
use towpath_config::file::read_pipeline_file;
use towpath_config::{has_errors, parse_environments_bytes};

use super::local::print_diagnostics;
use crate::client::{Client, part};
use crate::context::Remote;
use crate::failure::{Failure, Kind};
use crate::{output, prompt};

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
    /// Applies without asking.
    #[arg(short, long)]
    yes: bool,
}

/// Runs the command. Exits with 1 where a file has errors.
///
/// # Errors
/// Fails where a file cannot be read or the server refuses it.
pub async fn run(args: Args, remote: &Remote) -> anyhow::Result<ExitCode> {
    let Args { project, files, dry_run, yes } = args;
    let path = format!("/api/v1/projects/{}/apply", part(&project));
    let mut requests = Vec::new();
    for file in &files {
        match read(file)? {
            Some(request) => requests.push(request),
            None => return Ok(ExitCode::from(1)),
        }
    }
    let client = Client::new(remote)?;
    let planned = send(&client, &path, &requests, true).await?;
    if dry_run {
        show(&planned, "would become", remote)?;
        return Ok(ExitCode::SUCCESS);
    }
    if !remote.json {
        show(&planned, "would become", remote)?;
    }
    if planned.iter().all(|document| document.changes.is_empty()) {
        if remote.json {
            output::json(&planned)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !prompt::confirm("Apply this?", yes)? {
        anstream::eprintln!("nothing was changed");
        return Ok(ExitCode::from(1));
    }
    let applied = send(&client, &path, &requests, false).await?;
    if remote.json {
        output::json(&applied)?;
        return Ok(ExitCode::SUCCESS);
    }
    for AppliedDocument { environment, version, pending, .. } in applied {
        match pending {
            None => anstream::println!("{environment} is now version {version}"),
            Some(PendingDocument { number, needs, expires_at }) => {
                anstream::println!(
                    "{environment} stays at version {version}; policy change {number} waits for {} until {}",
                    needs.join("; "),
                    output::time(expires_at)
                );
                anstream::println!(
                    "  they sign with: towpath approve {project}/{environment} --policy {number}"
                );
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a file; `None` where it has errors, which were shown.
fn read(file: &Path) -> anyhow::Result<Option<Apply>> {
    let name = file.display().to_string();
    let bytes = read_pipeline_file(file)?;
    let (documents, diagnostics) = parse_environments_bytes(&name, &bytes);
    print_diagnostics(&diagnostics);
    if has_errors(&diagnostics) {
        return Ok(None);
    }
    if documents.is_empty() {
        return Err(Failure::new(Kind::Usage, format!("{name} holds no environment document")).into());
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Some(Apply { file: name, text, dry_run: true }))
}

/// Each file is a change of its own, in the order in which they were given.
async fn send(
    client: &Client,
    path: &str,
    requests: &[Apply],
    dry_run: bool,
) -> anyhow::Result<Vec<AppliedDocument>> {
    let mut documents = Vec::new();
    for request in requests {
        let body = Apply { dry_run, ..request.clone() };
        let sent: Vec<AppliedDocument> = client.send(Method::POST, path, &body).await?;
        documents.extend(sent);
    }
    Ok(documents)
}

fn show(documents: &[AppliedDocument], becomes: &str, remote: &Remote) -> anyhow::Result<()> {
    if remote.json {
        return output::json(&documents);
    }
    let warning = Style::new().bold().fg_color(Some(AnsiColor::Yellow.into()));
    for AppliedDocument { environment, version, changes, loosens, pending, unpassable } in documents {
        if changes.is_empty() {
            anstream::println!("{environment} stays at version {version}: nothing changes");
            continue;
        }
        match pending {
            None => anstream::println!("{environment} {becomes} version {version}"),
            Some(_) => {
                anstream::println!("{environment} stays at version {version} until others have signed")
            }
        }
        for change in changes {
            anstream::println!("  ~ {change}");
        }
        for loosened in loosens {
            anstream::println!("  {warning}! loosens: {loosened}{warning:#}");
        }
        for gate in unpassable {
            anstream::println!("  {warning}! nobody can open a gate: {gate}{warning:#}");
        }
        for need in pending.iter().flat_map(|pending| &pending.needs) {
            anstream::println!("  {warning}! takes effect with {need}{warning:#}");
        }
    }
    Ok(())
}
