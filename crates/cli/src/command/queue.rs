//! `towpath queue`: what waits for agents, why and until when.

use std::process::ExitCode;

use towpath_api::rest::{Queue, Running, Waiting};

use crate::client::Client;
use crate::context::Remote;
use crate::output::{self, count};

/// Shows the queue.
///
/// # Errors
/// Fails where the server refuses.
pub async fn run(remote: &Remote) -> anyhow::Result<ExitCode> {
    let queue: Queue = Client::new(remote)?.get("/api/v1/queue").await?;
    if remote.json {
        output::json(&queue)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Queue { waiting, waiting_in_all, running, agents, free } = queue;
    anstream::println!(
        "{} with room for {free} more; {} running, {waiting_in_all} waiting",
        count(usize::try_from(agents).unwrap_or(usize::MAX), "agent"),
        count(running.len(), "job")
    );
    if !running.is_empty() {
        output::table(["runs", "since", "usually takes"], running.into_iter().map(runs).collect(), "");
    }
    let hidden = waiting_in_all.saturating_sub(waiting.len() as u64);
    if !waiting.is_empty() {
        let header = ["waits", "since", "may begin", "priority", "because"];
        output::table(header, waiting.into_iter().map(waits).collect(), "");
    }
    if hidden > 0 {
        anstream::println!("{hidden} more wait, in projects that you do not see or further back");
    }
    Ok(ExitCode::SUCCESS)
}

fn runs(running: Running) -> [String; 3] {
    let usually =
        running.usually.map_or_else(|| "not known yet".to_owned(), |seconds| format!("{seconds} s"));
    [running.title, output::time(running.started_at), usually]
}

fn waits(waiting: Waiting) -> [String; 5] {
    let eta = waiting.eta.map_or_else(|| "not known".to_owned(), output::time);
    [waiting.title, output::time(waiting.queued_at), eta, waiting.priority.to_string(), waiting.reason]
}
