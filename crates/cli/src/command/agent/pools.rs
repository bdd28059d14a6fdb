//! `towpath agent pools`: pools of agents that grow and shrink with the queue.

use std::process::ExitCode;

use towpath_api::rest::AgentPool;

use super::manage::labels;
use crate::client::Client;
use crate::context::Remote;
use crate::output;

/// Shows the pools.
///
/// # Errors
/// Fails where the server refuses.
pub async fn run(remote: &Remote) -> anyhow::Result<ExitCode> {
    let pools: Vec<AgentPool> = Client::new(remote)?.get("/api/v1/agents/pools").await?;
    if remote.json {
        output::json(&pools)?;
        return Ok(ExitCode::SUCCESS);
    }
    let header = ["pool", "driver", "labels", "there", "wanted", "least", "most", "because"];
    output::table(header, pools.into_iter().map(row).collect(), "server.yaml has no `pools`");
    Ok(ExitCode::SUCCESS)
}

fn row(pool: AgentPool) -> [String; 8] {
    let AgentPool { name, driver, labels: with, minimum, maximum, wanted, why, members, looked_at: _ } = pool;
    let there = members.len().to_string();
    [name, driver, labels(&with), there, wanted.to_string(), minimum.to_string(), maximum.to_string(), why]
}
