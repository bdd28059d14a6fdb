//! `towpath whoami`: who the server takes you for.

use std::process::ExitCode;

use towpath_api::rest::{RoleGrant, User};

use crate::client::Client;
use crate::context::Remote;
use crate::output;

/// Runs the command.
///
/// # Errors
/// Fails where the server does not let the caller in.
pub async fn run(remote: &Remote) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote)?;
    let me: User = client.get("/api/v1/me").await?;
    if remote.json {
        output::json(&me)?;
    } else {
        anstream::println!("{} on {}", me.login, client.url());
        for RoleGrant { role, project } in &me.roles {
            anstream::println!("  {role} in {}", project.as_deref().unwrap_or("every project"));
        }
    }
    Ok(ExitCode::SUCCESS)
}
