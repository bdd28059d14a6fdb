//! `towpath token`: your own API tokens.

use std::process::ExitCode;

use reqwest::Method;
use towpath_api::rest::{CreatedToken, NewToken, Token};

use crate::client::{Client, part};
use crate::context::Remote;
use crate::output;

/// Makes, lists and revokes your API tokens.
#[derive(Debug, clap::Subcommand)]
pub enum Args {
    /// Makes a token and prints its secret, this once.
    Create {
        /// What it is for.
        name: String,
        /// What it may be used for: metrics, read, write or admin; each includes the ones before it.
        #[arg(long = "scope", default_value = "write")]
        scopes: Vec<String>,
        /// How many days it lives.
        #[arg(long, default_value_t = 90)]
        days: u64,
    },
    /// Lists your tokens.
    List,
    /// Ends a token.
    Revoke {
        /// Its id, as `list` shows it.
        id: String,
    },
}

/// Runs the command.
///
/// # Errors
/// Fails where the server refuses.
pub async fn run(args: Args, remote: &Remote) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote)?;
    match args {
        Args::Create { name, scopes, days } => {
            let new = NewToken { name, scopes, expires_in: Some(days.saturating_mul(24 * 60 * 60)) };
            let created: CreatedToken = client.send(Method::POST, "/api/v1/tokens", &new).await?;
            if remote.json {
                output::json(&created)?;
            } else {
                anstream::eprintln!("keep it safe, it is not shown again:");
                anstream::println!("{}", created.secret);
            }
        }
        Args::List => {
            let tokens: Vec<Token> = client.all("/api/v1/tokens").await?;
            if remote.json {
                output::json(&tokens)?;
            } else {
                let time = |at: Option<jiff::Timestamp>| at.map_or_else(|| "never".to_owned(), output::time);
                let row = |token: Token| {
                    let Token { id, name, scopes, created_at: _, expires_at, last_used_at } = token;
                    [id, name, scopes.join(" "), time(expires_at), time(last_used_at)]
                };
                let header = ["id", "name", "scopes", "ends", "last used"];
                output::table(header, tokens.into_iter().map(row).collect(), "you have no tokens");
            }
        }
        Args::Revoke { id } => {
            client.delete(&format!("/api/v1/tokens/{}", part(&id))).await?;
            anstream::eprintln!("revoked {id}");
        }
    }
    Ok(ExitCode::SUCCESS)
}
