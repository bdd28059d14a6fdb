//! `towpath completions`: for the shell.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

/// Prints a completion script for a shell: `towpath completions bash > /etc/bash_completion.d/towpath`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which shell.
    shell: Shell,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    clap_complete::generate(args.shell, &mut crate::Cli::command(), "towpath", &mut std::io::stdout());
    ExitCode::SUCCESS
}
