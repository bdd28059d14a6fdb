//! `towpath revoke` and `unrevoke`: takes a release back for good, and lets it start again.

use std::process::ExitCode;

use reqwest::Method;
use towpath_api::rest::{Comment, Revoke, Revoked};

use crate::client::{Client, part};
use crate::context::Remote;
use crate::output;

/// Takes a release back for good.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The project.
    project: String,
    /// The release's version.
    version: String,
    /// Why: it stands wherever the release is asked for.
    #[arg(short = 'm', long)]
    reason: String,
    /// Goes back to the newest release that is not revoked, wherever it serves or is rolled out; without it, a running rollout stays at
    /// its weight.
    #[arg(long)]
    rollback: bool,
}

/// Lets a revoked release start again.
#[derive(Debug, clap::Args)]
pub struct UnrevokeArgs {
    /// The project.
    project: String,
    /// The release's version.
    version: String,
    /// Why, for the timeline.
    #[arg(short = 'm', long, default_value = "")]
    comment: String,
}

/// Runs `towpath revoke`.
///
/// # Errors
/// Fails where the server refuses.
pub async fn revoke(args: Args, remote: &Remote) -> anyhow::Result<ExitCode> {
    let Args { project, version, reason, rollback } = args;
    let client = Client::new(remote)?;
    let path = format!("/api/v1/projects/{}/releases/{}/revoke", part(&project), part(&version));
    let revoked: Revoked = client.send(Method::POST, &path, &Revoke { reason, rollback }).await?;
    if remote.json {
        output::json(&revoked)?;
        return Ok(ExitCode::SUCCESS);
    }
    anstream::println!("{version} of {project} is revoked: it starts nowhere any more");
    for place in &revoked.places {
        anstream::println!("  {}: {}", place.environment, output::words(&place.text));
    }
    if revoked.places.is_empty() {
        anstream::println!("  it serves nowhere");
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `towpath unrevoke`.
///
/// # Errors
/// Fails where the server refuses.
pub async fn unrevoke(args: UnrevokeArgs, remote: &Remote) -> anyhow::Result<ExitCode> {
    let UnrevokeArgs { project, version, comment } = args;
    let client = Client::new(remote)?;
    let path = format!("/api/v1/projects/{}/releases/{}/unrevoke", part(&project), part(&version));
    let revoked: Revoked = client.send(Method::POST, &path, &Comment { comment }).await?;
    if remote.json {
        output::json(&revoked)?;
        return Ok(ExitCode::SUCCESS);
    }
    match revoked.revocation {
        None => anstream::println!("{version} of {project} may start again; nothing of it starts by itself"),
        Some(revocation) => {
            anstream::println!(
                "{version} of {project} stays revoked: {}",
                revocation.waits.unwrap_or_default()
            );
            anstream::println!("  they agree with: towpath unrevoke {project} {version}");
        }
    }
    Ok(ExitCode::SUCCESS)
}
