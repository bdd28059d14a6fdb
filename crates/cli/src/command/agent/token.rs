//! `towpath agent token`: what lets an agent of another host in.

use std::process::ExitCode;

use jiff::SignedDuration;
use reqwest::Method;
use towpath_api::rest::{CreatedJoinToken, JoinToken, NewJoinToken};

use crate::client::{Client, part};
use crate::context::Remote;
use crate::output;

/// Makes, lists and revokes join tokens.
#[derive(Debug, clap::Subcommand)]
pub enum Args {
    /// Makes a token and prints it, this once, with what to run on the other host.
    Create {
        /// A label of the agent, as `role=web`, whatever it says itself; may be repeated.
        #[arg(long = "label", value_name = "NAME=VALUE", value_parser = super::label)]
        labels: Vec<(String, String)>,
        /// Lets it run jobs; without this and `--deployer`, it may do both.
        #[arg(long)]
        runner: bool,
        /// Lets it run instances.
        #[arg(long)]
        deployer: bool,
        /// How long the token can be used, at most 7 days.
        #[arg(long, default_value = "1h", value_name = "TIME")]
        expires: SignedDuration,
        /// Where the other host finds the server, as `https://10.0.0.5:7878/`, if not where the server thinks.
        #[arg(long, value_name = "URL")]
        server_url: Option<String>,
    },
    /// Lists tokens, newest first.
    List,
    /// Ends a token that was not used.
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
        Args::Create { labels, runner, deployer, expires, server_url } => {
            let is_either = runner || deployer;
            let new = NewJoinToken {
                labels: labels.into_iter().collect(),
                runner: runner || !is_either,
                deployer: deployer || !is_either,
                expires_in: Some(expires.as_secs().unsigned_abs()),
                url: server_url,
            };
            let created: CreatedJoinToken = client.send(Method::POST, "/api/v1/agents/tokens", &new).await?;
            if remote.json {
                output::json(&created)?;
            } else {
                let ends = output::time(created.join_token.expires_at);
                anstream::eprintln!("run this on the other host; it works once, until {ends}:");
                anstream::println!("{}", created.command);
            }
        }
        Args::List => {
            let tokens: Vec<JoinToken> = client.get("/api/v1/agents/tokens").await?;
            if remote.json {
                output::json(&tokens)?;
            } else {
                let header = ["id", "labels", "may", "ends", "used by"];
                output::table(header, tokens.into_iter().map(row).collect(), "there are no join tokens");
            }
        }
        Args::Revoke { id } => {
            client.delete(&format!("/api/v1/agents/tokens/{}", part(&id))).await?;
            anstream::eprintln!("revoked {id}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(token: JoinToken) -> [String; 5] {
    let JoinToken { id, labels, runner, deployer, created_at: _, expires_at, used_at: _, used_by } = token;
    let used = used_by.unwrap_or_else(|| "nobody".to_owned());
    [
        id,
        super::manage::labels(&labels),
        super::manage::roles(runner, deployer),
        output::time(expires_at),
        used,
    ]
}
