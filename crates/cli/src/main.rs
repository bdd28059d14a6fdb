//! The one binary: server, agent, gateway and command line.

use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

mod children;
mod client;
mod command;
mod context;
mod failure;
mod output;
mod prompt;

use context::Remote;

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
    Serve(command::serve::Args),
    Shutdown(command::shutdown::Args),
    Agent(command::agent::Args),
    Gateway(command::gateway::Args),
    Login(command::login::Args),
    Logout(command::logout::Args),
    Completions(command::completions::Args),
    #[command(flatten)]
    Remote(RemoteCommand),
}

/// What is asked of a server.
#[derive(Debug, clap::Subcommand)]
enum RemoteCommand {
    /// Shows who the server takes you for, and what you may do.
    Whoami {
        #[command(flatten)]
        remote: Remote,
    },
    /// Makes and shows projects.
    Project {
        #[command(subcommand)]
        args: command::project::Args,
        #[command(flatten)]
        remote: Remote,
    },
    /// Makes, changes and lists users.
    User {
        #[command(subcommand)]
        args: command::user::Args,
        #[command(flatten)]
        remote: Remote,
    },
    /// Makes, lists and revokes your API tokens.
    Token {
        #[command(subcommand)]
        args: command::token::Args,
        #[command(flatten)]
        remote: Remote,
    },
    /// Shows who did what, newest first.
    Timeline {
        #[command(flatten)]
        args: command::timeline::Args,
        #[command(flatten)]
        remote: Remote,
    },
    /// Examines the server. Exits with 1 where something does not work.
    Doctor {
        #[command(flatten)]
        remote: Remote,
    },
    /// Shows the version of this program, and of the server where one can be reached.
    Version {
        #[command(flatten)]
        remote: Remote,
    },
}

fn main() -> ExitCode {
    // These two are started by Towpath itself and pass arguments on that are not ours to read.
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_deref().and_then(|name| name.to_str()) {
        Some("sandbox-exec") => return towpath_agent::sandbox::exec_main(arguments),
        Some("supervise") => return towpath_agent::instances::supervise_main(arguments),
        _ => {}
    }
    let Cli { command } = Cli::parse();
    run(command).unwrap_or_else(|error| failure::report(&error))
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Init(args) => command::init::run(&args),
        Command::Lint(args) => command::lint::run(&args),
        Command::Plan(args) => command::plan::run(&args),
        Command::Schema(args) => command::schema::run(&args),
        Command::Completions(args) => Ok(command::completions::run(&args)),
        Command::Logout(args) => command::logout::run(&args),
        Command::Login(args) => small(command::login::run(args)),
        Command::Remote(command) => small(ask(command)),
        Command::Serve(args) => {
            log_to_stderr();
            // Two threads serve hundreds of agents, and each more would cost memory while idle.
            let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(command::serve::run(args))
        }
        Command::Shutdown(args) => small(command::shutdown::run(args)),
        Command::Agent(args) => {
            log_to_stderr();
            small(async { command::agent::run(args, told_to_stop()?).await })
        }
        Command::Gateway(args) => {
            log_to_stderr();
            small(async { command::gateway::run(args, told_to_stop()?).await })
        }
    }
}

async fn ask(command: RemoteCommand) -> anyhow::Result<ExitCode> {
    match command {
        RemoteCommand::Whoami { remote } => command::whoami::run(&remote).await,
        RemoteCommand::Project { args, remote } => command::project::run(args, &remote).await,
        RemoteCommand::User { args, remote } => command::user::run(args, &remote).await,
        RemoteCommand::Token { args, remote } => command::token::run(args, &remote).await,
        RemoteCommand::Timeline { args, remote } => command::timeline::run(args, &remote).await,
        RemoteCommand::Doctor { remote } => command::doctor::run(&remote).await,
        RemoteCommand::Version { remote } => command::version::run(&remote).await,
    }
}

/// Runs what needs one thread only.
fn small(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Completes at SIGTERM or SIGINT.
fn told_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Sends the log to standard error: for people on a terminal, as JSON lines elsewhere. `TOWPATH_LOG` filters.
fn log_to_stderr() {
    use std::io::IsTerminal as _;

    let filter = EnvFilter::try_from_env("TOWPATH_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.with_target(false).init();
    } else {
        builder.json().init();
    }
}
