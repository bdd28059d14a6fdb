//! The hidden commands of `towpath` that tests start as processes.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_deref().and_then(|name| name.to_str()) {
        Some("sandbox-exec") => towpath_agent::sandbox::exec_main(arguments),
        other => {
            eprintln!("unknown command {other:?}");
            ExitCode::from(2)
        }
    }
}
