//! `towpath notify`: who of a project is told of what.

use std::path::PathBuf;
use std::process::ExitCode;

use reqwest::Method;
use towpath_api::rest::{AppliedNotifications, Apply, Delivery, Notifications};
use towpath_config::file::read_pipeline_file;
use towpath_config::{has_errors, parse_notifications_bytes};

use super::local::print_diagnostics;
use crate::client::{Client, part};
use crate::context::Remote;
use crate::{output, prompt};

/// Says who of a project is told of what.
#[derive(Debug, clap::Subcommand)]
pub enum Args {
    /// Applies the project's notification document, after it showed what changes.
    Apply {
        /// The project.
        project: String,
        /// The YAML file.
        file: PathBuf,
        /// Only shows what would change.
        #[arg(long)]
        dry_run: bool,
        /// Applies without asking.
        #[arg(short, long)]
        yes: bool,
    },
    /// Prints the notification document in force.
    Show {
        /// The project.
        project: String,
    },
    /// Sends a test to a channel, and says whether it was taken.
    Test {
        /// The project.
        project: String,
        /// The channel's name in the document.
        channel: String,
    },
    /// Lists what was told lately, newest first, and what could not be.
    Log {
        /// The project.
        project: String,
    },
}

/// Runs the command. Exits with 1 where a file has errors.
///
/// # Errors
/// Fails where a file cannot be read, the server refuses it, or a channel does not take a test.
pub async fn run(args: Args, remote: &Remote) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote)?;
    match args {
        Args::Apply { project, file, dry_run, yes } => {
            let name = file.display().to_string();
            let bytes = read_pipeline_file(&file)?;
            let (_, diagnostics) = parse_notifications_bytes(&name, &bytes);
            print_diagnostics(&diagnostics);
            if has_errors(&diagnostics) {
                return Ok(ExitCode::from(1));
            }
            let text = String::from_utf8_lossy(&bytes).into_owned();
            return apply(
                &client,
                &project,
                Apply { file: name, text, dry_run: true },
                (dry_run, yes),
                remote,
            )
            .await;
        }
        Args::Show { project } => {
            let found: Notifications = client.get(&path(&project, "")).await?;
            if remote.json {
                output::json(&found)?;
            } else {
                anstream::print!("{}", found.text);
            }
        }
        Args::Test { project, channel } => {
            let test = path(&project, &format!("/channels/{}/test", part(&channel)));
            client.tell(Method::POST, &test, &()).await?;
            if !remote.json {
                anstream::println!("{channel} took the test");
            }
        }
        Args::Log { project } => {
            let told: Vec<Delivery> = client.get(&path(&project, "/deliveries")).await?;
            if remote.json {
                output::json(&told)?;
            } else {
                told.iter().for_each(show);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn path(project: &str, rest: &str) -> String {
    format!("/api/v1/projects/{}/notifications{rest}", part(project))
}

async fn apply(
    client: &Client,
    project: &str,
    request: Apply,
    (dry_run, yes): (bool, bool),
    remote: &Remote,
) -> anyhow::Result<ExitCode> {
    let planned: AppliedNotifications = client.send(Method::POST, &path(project, ""), &request).await?;
    if !remote.json {
        for change in &planned.changes {
            anstream::println!("  ~ {change}");
        }
        for secret in &planned.unset {
            anstream::println!("  ! secret {secret} is not set: towpath secret set {project} {secret}");
        }
        for warning in &planned.warnings {
            anstream::println!("  ! {warning}");
        }
    }
    if dry_run || planned.changes.is_empty() {
        if remote.json {
            output::json(&planned)?;
        } else if planned.changes.is_empty() {
            anstream::println!(
                "notifications of {project} stay at version {}: nothing changes",
                planned.version
            );
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !prompt::confirm("Apply this?", yes)? {
        anstream::eprintln!("nothing was changed");
        return Ok(ExitCode::from(1));
    }
    let request = Apply { dry_run: false, ..request };
    let applied: AppliedNotifications = client.send(Method::POST, &path(project, ""), &request).await?;
    if remote.json {
        output::json(&applied)?;
    } else {
        anstream::println!("notifications of {project} are now version {}", applied.version);
    }
    Ok(ExitCode::SUCCESS)
}

fn show(delivery: &Delivery) {
    let Delivery {
        channel: _,
        recipient: _,
        event: _,
        title,
        promotion: _,
        state,
        error,
        created_at,
        ended_at: _,
    } = delivery;
    let why = if error.is_empty() { String::new() } else { format!(" ({})", output::words(error)) };
    let whom = delivery.whom();
    anstream::println!("{}  {state:<7}  {whom:<12} {}{why}", output::time(*created_at), output::words(title));
}
