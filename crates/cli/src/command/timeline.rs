//! `towpath timeline`: who did what.

use std::process::ExitCode;

use towpath_api::rest::{Page, TimelineEntry};

use crate::client::{Client, part};
use crate::context::Remote;
use crate::output;

/// Shows who did what, newest first.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only of this project.
    #[arg(long)]
    project: Option<String>,
    /// How many entries.
    #[arg(long, default_value_t = 50)]
    limit: u32,
}

/// Runs the command.
///
/// # Errors
/// Fails where the server refuses.
pub async fn run(args: Args, remote: &Remote) -> anyhow::Result<ExitCode> {
    let project = args.project.map(|project| format!("&project={}", part(&project))).unwrap_or_default();
    let path = format!("/api/v1/timeline?limit={}{project}", args.limit);
    let page: Page<TimelineEntry> = Client::new(remote)?.get(&path).await?;
    if remote.json {
        output::json(&page)?;
    } else {
        let row = |entry: TimelineEntry| {
            let TimelineEntry { sequence, at, actor, kind, about, body, .. } = entry;
            // Entries about people and tokens have no words of their own.
            let words = body.get("text").and_then(|text| text.as_str()).filter(|text| !text.is_empty());
            let words = words.map_or(kind, str::to_owned);
            [sequence.to_string(), output::time(at), actor, about, words]
        };
        let rows = page.items.into_iter().map(row).collect();
        output::table(["no", "when", "who", "about", "what"], rows, "nothing has happened yet");
    }
    Ok(ExitCode::SUCCESS)
}
