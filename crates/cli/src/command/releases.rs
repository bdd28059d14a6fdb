//! `towpath releases`: what was sealed, and how far each has got.

use std::process::ExitCode;

use towpath_api::rest::{JourneyStep, Page, Release};

use crate::client::{Client, part};
use crate::context::Remote;
use crate::output;

/// Lists releases, or shows the journey of one.
///
/// # Errors
/// Fails where the server refuses.
pub async fn run(project: &str, version: Option<&str>, remote: &Remote) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote)?;
    let path = format!("/api/v1/projects/{}/releases", part(project));
    match version {
        Some(version) => journey(client.get(&format!("{path}/{}", part(version))).await?, remote)?,
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
        [release.version, commit, output::time(release.created_at), release.digest]
    };
    let rows = page.items.into_iter().map(row).collect();
    output::table(["version", "commit", "sealed", "digest"], rows, "no release was sealed yet");
    Ok(())
}

fn journey(steps: Vec<JourneyStep>, remote: &Remote) -> anyhow::Result<()> {
    if remote.json {
        return output::json(&steps);
    }
    for step in steps {
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
    Ok(())
}
