//! `towpath load`: requests at a constant rate, or as fast as they go.

use std::process::ExitCode;
use std::time::Duration;

use towpath_load::{LoadPlan, VERSION_HEADER};

use crate::failure::{Failure, Kind};
use crate::output;

/// Sends requests to an address and says what came of them, for each version that answered.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to request: http://host:port/path
    url: String,
    /// Requests per second; without it, as many as the connections carry.
    #[arg(long)]
    rate: Option<f64>,
    /// Connections, and so the most requests at a time.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How long: `30s`, `5m`. Without it, until Ctrl-C.
    #[arg(long, value_parser = duration)]
    duration: Option<Duration>,
    /// How long one request may take.
    #[arg(long, value_parser = duration, default_value = "30s")]
    timeout: Duration,
    /// The header of the responses that names the version of the service; responses without it count as `-`.
    #[arg(long, value_name = "NAME", default_value = VERSION_HEADER)]
    version_header: String,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Reads `30s` or `5m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write `30s` or `5m`");
    let read: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(read).map_err(|_| wrong()).and_then(|read| {
        if read.is_zero() { Err("a duration must be longer than nothing".to_owned()) } else { Ok(read) }
    })
}

/// Runs the command. Exits with 1 where a request failed.
///
/// # Errors
/// Fails where the load cannot be made as it is asked for.
pub async fn run(args: Args, told_to_stop: impl Future<Output = ()>) -> anyhow::Result<ExitCode> {
    let Args { url, rate, connections, duration, timeout, version_header, json } = args;
    let plan = LoadPlan { rate, connections, duration, timeout, version_header, ..LoadPlan::new(url) };
    let load = towpath_load::start(plan).map_err(|error| Failure::new(Kind::Usage, error.to_string()))?;
    tokio::select! {
        () = told_to_stop => load.stop(),
        () = time_is_up(duration) => {}
    }
    let report = load.finish().await;
    if json {
        output::json(&report)?;
    } else {
        anstream::print!("{report}");
    }
    Ok(ExitCode::from(u8::from(report.failed > 0)))
}

async fn time_is_up(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}
