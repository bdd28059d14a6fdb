//! `towpath runs`, `cancel` and `rerun`.

use std::process::ExitCode;

use reqwest::Method;
use serde_json::Value;
use towpath_api::rest::{Comment, Page};

use crate::client::{Client, part};
use crate::context::Remote;
use crate::output;

/// Lists the newest runs of a project.
///
/// # Errors
/// Fails where the server refuses.
pub async fn list(project: &str, limit: u32, remote: &Remote) -> anyhow::Result<ExitCode> {
    let path = format!("/api/v1/projects/{}/runs?limit={limit}", part(project));
    let page: Page<Value> = Client::new(remote)?.get(&path).await?;
    if remote.json {
        output::json(&page.items)?;
    } else {
        let row = |run: &Value| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let commit: String = text(&run["cause"]["commit"]).chars().take(8).collect();
            [
                run["number"].to_string(),
                text(&run["state"]),
                commit,
                text(&run["cause"]["subject"]),
                text(&run["reason"]),
            ]
        };
        let rows = page.items.iter().map(row).collect();
        output::table(
            ["run", "state", "commit", "subject", "why"],
            rows,
            "there is no run yet; push something",
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Cancels a run.
///
/// # Errors
/// Fails where the server refuses.
pub async fn cancel(
    project: &str,
    number: u64,
    comment: String,
    remote: &Remote,
) -> anyhow::Result<ExitCode> {
    let path = format!("/api/v1/projects/{}/runs/{number}/cancel", part(project));
    let run: Value = Client::new(remote)?.send(Method::POST, &path, &Comment { comment }).await?;
    said(&run, &format!("{project}#{number} is being cancelled"), remote)
}

/// Runs the same commit again.
///
/// # Errors
/// Fails where the server refuses.
pub async fn rerun(project: &str, number: u64, remote: &Remote) -> anyhow::Result<ExitCode> {
    let path = format!("/api/v1/projects/{}/runs/{number}/rerun", part(project));
    let run: Value = Client::new(remote)?.send(Method::POST, &path, &Comment::default()).await?;
    said(&run, &format!("{project}#{} runs", run["number"]), remote)
}

/// Prints the answer as JSON, or one sentence.
pub fn said(answer: &Value, sentence: &str, remote: &Remote) -> anyhow::Result<ExitCode> {
    if remote.json {
        output::json(answer)?;
    } else {
        anstream::println!("{sentence}");
    }
    Ok(ExitCode::SUCCESS)
}
