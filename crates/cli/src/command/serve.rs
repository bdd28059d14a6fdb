//! `towpath serve`: the server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use towpath_server::{Overrides, ServeOptions, Server};
use url::Url;

use crate::children::Children;

/// Serves projects, their page and their API. What is not said by a flag is taken from the environment, then from
/// `server.yaml` in the data directory, then from the defaults.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file.
    #[arg(long, env = "TOWPATH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where all state lives; else ~/.local/share/towpath.
    #[arg(long, env = "TOWPATH_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where to listen; else 127.0.0.1:7878.
    #[arg(long, env = "TOWPATH_LISTEN", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Where agents of other hosts may call, over HTTPS; for a server that itself listens on this machine only.
    #[arg(long, env = "TOWPATH_AGENT_LISTEN", value_name = "ADDRESS")]
    agent_listen: Option<SocketAddr>,
    /// How the outside reaches this server, where that is another address.
    #[arg(long, env = "TOWPATH_PUBLIC_URL", value_name = "URL")]
    public_url: Option<Url>,
    /// The certificate chain for HTTPS, in PEM.
    #[arg(long, env = "TOWPATH_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The key of the certificate, in PEM.
    #[arg(long, env = "TOWPATH_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Runs jobs even where neither bubblewrap nor Landlock can confine them.
    #[arg(long, env = "TOWPATH_ALLOW_UNSANDBOXED")]
    allow_unsandboxed: bool,
    /// A label of this host's own agent, as `role=web`; may be repeated.
    #[arg(long = "agent-label", value_name = "NAME=VALUE")]
    agent_labels: Vec<String>,
    /// Runs no agent on this host.
    #[arg(long)]
    no_agent: bool,
    /// Runs no gateway on this host.
    #[arg(long)]
    no_gateway: bool,
}

/// Runs the command until it is told to stop.
///
/// # Errors
/// Fails where the server cannot start.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args {
        config, data_dir, listen, agent_listen, public_url, tls_cert, tls_key, allow_unsandboxed, ..
    } = args;
    let mut agent: Vec<String> = args.agent_labels.iter().map(|label| format!("--label={label}")).collect();
    if allow_unsandboxed {
        agent.push("--allow-unsandboxed".to_owned());
    }
    let given = Overrides {
        config,
        data_dir,
        listen,
        agent_listen,
        public_url,
        tls_cert,
        tls_key,
        allow_unsandboxed,
    };
    let options = ServeOptions::resolve(given)?;
    let server = Server::start(options, Timestamp::now).await?;
    anstream::println!("towpath serves {}", server.app().public_url);
    if let Some(link) = server.setup_link() {
        anstream::println!("\nmake the first admin (this link works once, for 24 hours):\n  {link}\n");
    }
    let stop = CancellationToken::new();
    let mut term = signal(SignalKind::terminate()).context("failed to wait for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to wait for signals")?;
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        anstream::eprintln!("stopping: requests in flight may end; a second signal stops at once");
        told.cancel();
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        std::process::exit(1);
    });
    let children = Children {
        data: server.app().data_dir.clone(),
        program: std::env::current_exe().context("failed to find this program's own file")?,
        agent: (!args.no_agent).then_some(agent),
        gateway: !args.no_gateway,
    };
    let children = tokio::spawn(children.keep());
    server.run(stop).await;
    children.abort();
    Ok(ExitCode::SUCCESS)
}
