//! `towpath agent join` and `run`: an agent on a host that is not the server's.

use std::net::{IpAddr, ToSocketAddrs as _, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use towpath_agent::process::Credentials;
use url::Url;

use super::{Work, until};
use crate::failure::{Failure, Kind};

/// Joins a server with the token that `towpath agent token create` printed there.
#[derive(Debug, clap::Args)]
pub struct JoinArgs {
    /// The join token; it works once.
    #[arg(env = "TOWPATH_JOIN_TOKEN", hide_env_values = true)]
    token: String,
    /// Goes on to run the agent.
    #[arg(long)]
    run: bool,
    #[command(flatten)]
    agent: RunArgs,
}

/// Runs an agent that has joined, until it is stopped.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Where the agent keeps its identity and what it runs; else ~/.local/share/towpath-agent.
    #[arg(long, env = "TOWPATH_AGENT_DIR", value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Where instances listen and can be reached; else the address from which this host reaches the server.
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
    /// What jobs never see besides the agent's directory: the data directory of a server on the same host.
    #[arg(long, value_name = "DIR")]
    hide: Option<PathBuf>,
    #[command(flatten)]
    work: Work,
}

impl JoinArgs {
    /// Whether the agent is run, too.
    pub const fn runs(&self) -> bool {
        self.run
    }
}

/// Joins, and runs the agent if that was asked for.
///
/// # Errors
/// Fails where the server does not let it join, or is not the one that made the token.
pub async fn join(args: JoinArgs, stop: impl Future<Output = ()>) -> anyhow::Result<ExitCode> {
    let JoinArgs { token, run: goes_on, agent } = args;
    let directory = directory(agent.dir.as_deref())?;
    if identity(&directory).join("server.json").exists() {
        let url = joined_to(&directory).map(|url| url.to_string()).unwrap_or_default();
        return Err(Failure::new(
            Kind::Usage,
            format!("the agent in {} has joined {url} already", directory.display()),
        )
        .hint(format!(
            "run it with `towpath agent run`; to let it join anew, remove {}",
            identity(&directory).display()
        ))
        .into());
    }
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let labels = agent.work.labels.iter().cloned().collect();
    let id = towpath_agent::process::join(&token, &identity(&directory), hostname, labels).await?;
    anstream::eprintln!("joined as agent {id}; its identity is in {}", directory.display());
    if goes_on {
        return run(agent, stop).await;
    }
    anstream::eprintln!("start it with `towpath agent run --dir {}`", directory.display());
    Ok(ExitCode::SUCCESS)
}

/// Runs the agent.
///
/// # Errors
/// Fails where it has not joined or cannot start.
pub async fn run(args: RunArgs, stop: impl Future<Output = ()>) -> anyhow::Result<ExitCode> {
    let RunArgs { dir, address, hide, work } = args;
    let data = directory(dir.as_deref())?;
    let url = joined_to(&data)?;
    let address = match address {
        Some(address) => address,
        None => outward_address(&url).with_context(|| {
            format!("failed to find the address from which this host reaches {url}; give one with --address")
        })?,
    };
    let identity = identity(&data);
    let release_key = identity.join("release.pub");
    let mut options = work.options(data, Credentials::Remote { identity }, release_key, address)?;
    if let Some(hide) = hide {
        // Only where all of the agent lies beneath it does hiding the one hide the other.
        if !options.data.starts_with(&hide) {
            let text = format!("--hide {} does not contain {}", hide.display(), options.data.display());
            return Err(Failure::new(Kind::Usage, text).into());
        }
        options.data = hide;
    }
    until(options, stop).await
}

fn identity(directory: &Path) -> PathBuf {
    directory.join("identity")
}

fn directory(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let default =
        || towpath_server::options::default_data_dir().map(|data| data.with_file_name("towpath-agent"));
    let directory = given.map(Path::to_owned).or_else(default).ok_or_else(|| {
        Failure::new(Kind::Usage, "no directory for the agent is known; give one with --dir")
    })?;
    Ok(std::path::absolute(&directory).unwrap_or(directory))
}

/// The server that the agent in `directory` has joined.
fn joined_to(directory: &Path) -> anyhow::Result<Url> {
    #[derive(serde::Deserialize)]
    struct Server {
        url: String,
    }
    let path = identity(directory).join("server.json");
    let text = std::fs::read(&path).map_err(|error| {
        let what = format!("no agent has joined in {} ({error})", directory.display());
        Failure::new(Kind::Usage, what)
            .hint("run `towpath agent join TOKEN` first, or give its directory with --dir")
    })?;
    let damaged = || format!("{} is damaged", path.display());
    let server: Server = serde_json::from_slice(&text).with_context(damaged)?;
    server.url.parse().with_context(damaged)
}

/// The address from which this host reaches the server. Choosing a route sends nothing.
fn outward_address(url: &Url) -> anyhow::Result<IpAddr> {
    let host = url.host_str().context("the server's address names no host")?;
    let port = url.port_or_known_default().unwrap_or(443);
    let server = (host.trim_matches(['[', ']']), port).to_socket_addrs()?.next();
    let server = server.with_context(|| format!("`{host}` has no address"))?;
    let unspecified = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(unspecified)?;
    socket.connect(server)?;
    Ok(socket.local_addr()?.ip())
}
