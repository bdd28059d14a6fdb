//! `towpath agent`: runs jobs and Instances on this host.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use towpath_agent::executor::Limits;
use towpath_agent::process::{AgentOptions, Credentials};

use crate::failure::{Failure, Kind};

/// Runs jobs and instances on this host, for the server of the same user. `towpath serve` starts one where none runs.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The data directory of the server.
    #[arg(long, env = "TOWPATH_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A label by which environments find this host, as `role=web`; may be repeated.
    #[arg(long = "label", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Where instances listen and can be reached.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    address: IpAddr,
    /// How many attempts run at once.
    #[arg(long, default_value_t = 2)]
    capacity: u32,
    /// Takes no attempts.
    #[arg(long)]
    no_runner: bool,
    /// Runs no instances.
    #[arg(long)]
    no_deployer: bool,
    /// Runs jobs even where neither bubblewrap nor Landlock can confine them.
    #[arg(long, env = "TOWPATH_ALLOW_UNSANDBOXED")]
    allow_unsandboxed: bool,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write a label as `role=web`")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Runs the command until `stop`; instances go on running.
///
/// # Errors
/// Fails where the agent cannot start.
pub async fn run(args: Args, stop: impl Future<Output = ()>) -> anyhow::Result<ExitCode> {
    let Args { data_dir, labels, address, capacity, no_runner, no_deployer, allow_unsandboxed } = args;
    let data = data_dir.or_else(towpath_server::options::default_data_dir);
    let data = data
        .ok_or_else(|| Failure::new(Kind::Usage, "no data directory is known; give one with --data-dir"))?;
    let options = AgentOptions {
        directory: data.join("agent"),
        credentials: Credentials::Local { file: data.join("run/local.json") },
        release_key: data.join("keys/release.pub"),
        data,
        labels: labels.into_iter().collect::<BTreeMap<_, _>>(),
        runner: !no_runner,
        deployer: !no_deployer,
        address,
        capacity,
        program: std::env::current_exe().context("failed to find this program's own file")?,
        allow_unsandboxed,
        limits: Limits::default(),
    };
    towpath_agent::process::run(options, stop).await?;
    Ok(ExitCode::SUCCESS)
}
