//! `towpath login`: signs in and keeps a token.

use std::process::ExitCode;

use anyhow::Context as _;
use reqwest::Method;
use towpath_api::rest::{CreatedToken, NewToken, User};
use url::Url;

use crate::client;
use crate::context::{Access, Contexts};
use crate::prompt;

/// Signs in to a server with login and password, and keeps an API token of 90 days for later commands.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server's address, as `https://towpath.example.com`
    server: Url,
    /// The login; asked for if absent.
    #[arg(long)]
    login: Option<String>,
    /// A file with the certificate authority of the server, where the system does not know it.
    #[arg(long, value_name = "FILE")]
    ca: Option<std::path::PathBuf>,
    /// Reads an API token from standard input instead of asking for a password.
    #[arg(long)]
    with_token: bool,
}

/// Runs the command.
///
/// # Errors
/// Fails where the server does not let the caller in.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { server, login, ca, with_token } = args;
    let authority = match ca {
        Some(path) => Some(
            std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?,
        ),
        None => None,
    };
    let http = client::http(authority.as_deref())?;
    let token = if with_token {
        prompt::secret("Token")?
    } else {
        let login = login.map_or_else(|| prompt::line("Login"), Ok)?;
        let password = prompt::secret("Password")?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let new =
            NewToken { name: format!("towpath on {host}"), scopes: vec!["admin".into()], expires_in: None };
        let request = http.request(Method::POST, server.join("/api/v1/tokens")?);
        let created: CreatedToken =
            client::json(request.basic_auth(login, Some(password)).json(&new)).await?;
        created.secret
    };
    let me: User = client::json(http.get(server.join("/api/v1/me")?).bearer_auth(&token)).await?;
    let mut contexts = Contexts::read()?;
    contexts.current = Some(server.to_string());
    contexts.servers.insert(server.to_string(), Access { url: server.clone(), token, authority });
    contexts.write()?;
    anstream::eprintln!("signed in to {server} as {}", me.login);
    Ok(ExitCode::SUCCESS)
}
