//! The one binary: server, agent, gateway and command line.

use std::process::ExitCode;

use clap::Parser;

mod command;

/// From git push to judged production.
#[derive(Debug, Parser)]
#[command(name = "towpath", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Init(command::init::Args),
    Lint(command::lint::Args),
    Plan(command::plan::Args),
    Schema(command::schema::Args),
}

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let result = match command {
        Command::Init(args) => command::init::run(&args),
        Command::Lint(args) => command::lint::run(&args),
        Command::Plan(args) => command::plan::run(&args),
        Command::Schema(args) => command::schema::run(&args),
    };
    result.unwrap_or_else(|error| {
        anstream::eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}
