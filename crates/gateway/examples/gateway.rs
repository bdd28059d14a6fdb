//! A gateway without the rest of Towpath: `gateway DATA_DIRECTORY THREADS`.
//!
//! For measuring it alone; it serves `DATA_DIRECTORY/gateway/routes.json` and whatever server it finds there.

use towpath_gateway::{GatewayError, GatewayOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let data = arguments.next().ok_or("usage: gateway DATA_DIRECTORY THREADS")?;
    let threads = arguments.next().ok_or("usage: gateway DATA_DIRECTORY THREADS")?.parse()?;
    let mut options = GatewayOptions::new(data, env!("CARGO_PKG_VERSION"));
    options.threads = Some(threads);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result: Result<(), GatewayError> =
        runtime.block_on(towpath_gateway::run(options, std::future::pending()));
    Ok(result?)
}
