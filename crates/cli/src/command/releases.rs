//! `towpath releases`: what was sealed, and how far each has got.

use std::process::ExitCode;

use towpath_api::rest::{JourneyStep, Page, Release};

use crate::client::{Client, part};
use crate::context::Remote;
use crate::{escape, output};

/// Lists releases, or shows one: what confined its jobs, and its journey.
///
/// # Errors
/// Fails where the server refuses.
pub async fn run(project: &str, version: Option<&str>, remote: &Remote) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote)?;
    let path = format!("/api/v1/projects/{}/releases", part(project));
    match version {
        Some(version) => {
            let path = format!("{path}/{}", part(version));
            let journey: Vec<JourneyStep> = client.get(&path).await?;
            match remote.json {
                true => output::json(&journey)?,
                false => show(&client.get(&format!("{path}/sealed")).await?, journey),
            }
        }
        None => list(client.get(&path).await?, remote)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(page: Page<Release>, remote: &Remote) -> anyhow::Result<()> {
    if remote.json {
        return output::json(&page.items);
    }
    let row = |release: Release| {
        let commit = release.commit.chars().take(8).collect();
        let revoked =
            release.revoked.map(|revoked| format!("revoked: {}", revoked.reason)).unwrap_or_default();
        [release.version, commit, output::time(release.created_at), release.digest, revoked]
    };
    let rows = page.items.into_iter().map(row).collect();
    output::table(["version", "commit", "sealed", "digest", ""], rows, "no release was sealed yet");
    Ok(())
}

fn show(release: &Release, journey: Vec<JourneyStep>) {
    let Release { version, digest, commit, created_at, executors, artifacts, revoked } = release;
    anstream::println!("{version}, sealed {}", output::time(*created_at));
    if let Some(revoked) = revoked {
        let waits = revoked.waits.as_ref().map(|waits| format!("; {waits}")).unwrap_or_default();
        anstream::println!(
            "  revoked by {} {}: {}{waits}",
            revoked.by,
            output::time(revoked.at),
            revoked.reason
        );
    }
    anstream::println!("  digest  {digest}");
    anstream::println!("  commit  {commit}");
    for (name, manifest) in artifacts {
        anstream::println!("  {name}  {manifest}");
    }
    for (job, executor) in executors {
        // What an agent told of itself.
        anstream::println!("  {job}  {}", escape::for_stdout(executor));
    }
    for step in journey {
        let state = match &step.promotion {
            None => "not there yet".to_owned(),
            Some(promotion) => match &promotion.outcome {
                None => promotion.state.clone(),
                Some(outcome) => format!("{}: {}", promotion.state, outcome.reason()),
            },
        };
        anstream::println!("{} / {}: {state}", step.stage, step.environment);
        for wait in step.waits {
            anstream::println!("  - {wait}");
        }
    }
}
