//! `towpath gateway`: the traffic-splitting proxy, as a process of its own.

use std::path::PathBuf;
use std::process::ExitCode;

use towpath_gateway::{GatewayOptions, control};

use crate::failure::{Failure, Kind};

/// Runs the gateway of a data directory. `towpath serve` starts one where none runs.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Ask>,
    /// The data directory of the server.
    #[arg(long, env = "TOWPATH_DATA_DIR", value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
    /// Takes the listeners over from a gateway that runs, without losing a request.
    #[arg(long)]
    take_over: bool,
    /// How many threads serve; else as many as there are cores, four at the most.
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(Debug, clap::Subcommand)]
enum Ask {
    /// Says whether a gateway runs. Exits with 1 where none does.
    Status,
    /// Ends the gateway: its listeners close once their requests are answered.
    Stop,
}

/// Runs the command.
///
/// # Errors
/// Fails where the gateway cannot start.
pub async fn run(args: Args, stop: impl Future<Output = ()>) -> anyhow::Result<ExitCode> {
    let Args { command, data_dir, take_over, threads } = args;
    let data = data_dir.or_else(towpath_server::options::default_data_dir);
    let data = data
        .ok_or_else(|| Failure::new(Kind::Usage, "no data directory is known; give one with --data-dir"))?;
    match command {
        None => {
            let version = env!("CARGO_PKG_VERSION");
            let options = GatewayOptions { take_over, threads, ..GatewayOptions::new(data, version) };
            towpath_gateway::run(options, stop).await?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Ask::Status) => match control::probe(&data).await? {
            Some(presence) => {
                anstream::println!("process {} serves, version {}", presence.pid, presence.version);
                Ok(ExitCode::SUCCESS)
            }
            None => {
                anstream::println!("no gateway serves {}", data.display());
                Ok(ExitCode::from(1))
            }
        },
        Some(Ask::Stop) => {
            let was = control::shutdown(&data).await?;
            anstream::println!(
                "{}",
                if was.is_some() { "the gateway drains and ends" } else { "no gateway was running" }
            );
            Ok(ExitCode::SUCCESS)
        }
    }
}
