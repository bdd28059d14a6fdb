//! `towpath logout`: forgets a server's token.

use std::process::ExitCode;

use url::Url;

use crate::context::Contexts;
use crate::failure::{Failure, Kind};

/// Forgets the token of a server. On the server it ends when it expires, or with `towpath token revoke`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server's address; else the one of the last `towpath login`.
    server: Option<Url>,
}

/// Runs the command.
///
/// # Errors
/// Fails where there is nothing to forget.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut contexts = Contexts::read()?;
    let server = args.server.as_ref().map(Url::to_string).or_else(|| contexts.current.clone());
    let Some(server) = server.filter(|server| contexts.servers.remove(server).is_some()) else {
        return Err(Failure::new(Kind::NotFound, "you are not signed in there").into());
    };
    if contexts.current.as_ref() == Some(&server) {
        contexts.current = contexts.servers.keys().next().cloned();
    }
    contexts.write()?;
    anstream::eprintln!("signed out of {server}");
    Ok(ExitCode::SUCCESS)
}
