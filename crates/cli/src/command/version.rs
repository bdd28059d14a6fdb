//! `towpath version`: this program's and the server's.

use std::process::ExitCode;

use serde_json::json;
use towpath_api::rest::ServerVersion;

use crate::client::Client;
use crate::context::Remote;
use crate::output;

/// Runs the command.
///
/// # Errors
/// Fails where the output cannot be written.
pub async fn run(remote: &Remote) -> anyhow::Result<ExitCode> {
    let own = env!("CARGO_PKG_VERSION");
    let server = async { Client::new(remote)?.get::<ServerVersion>("/api/v1/version").await };
    let server = server.await.ok().map(|server| server.version);
    if remote.json {
        output::json(&json!({"client": own, "server": server}))?;
    } else {
        anstream::println!("client {own}\nserver {}", server.as_deref().unwrap_or("cannot be reached"));
    }
    Ok(ExitCode::SUCCESS)
}
