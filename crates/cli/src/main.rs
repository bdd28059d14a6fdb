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
mod demo;
mod escape;
mod failure;
mod output;
mod prompt;
#[cfg(test)]
mod reference;

use command::decide::Way;
use command::env::{self, Place};
use context::Remote;
use towpath_api::rest::{NewPromotion, Rollback};

/// From git push to judged production.
#[derive(Debug, Parser)]
#[command(name = "towpath", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Init(command::init::Args),
    Lint(command::lint::Args),
    Plan(command::plan::Args),
    Run(command::run::Args),
    Schema(command::schema::Args),
    Serve(command::serve::Args),
    Shutdown(command::shutdown::Args),
    Agent(command::agent::Args),
    Gateway(command::gateway::Args),
    Login(command::login::Args),
    Logout(command::logout::Args),
    Load(command::load::Args),
    Open(command::open::Args),
    Completions(command::completions::Args),
    Demo(demo::Args),
    #[command(flatten)]
    Remote(RemoteCommand),
}

/// An environment and a comment.
#[derive(Debug, clap::Args)]
struct Said {
    /// The environment, as `shop/production`.
    place: Place,
    /// Why, for the timeline.
    #[arg(short = 'm', long, default_value = "")]
    comment: String,
    #[command(flatten)]
    remote: Remote,
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
    /// Looks for a text in the logs of a project, newest run first. Exits with 1 where nothing was found.
    Search {
        #[command(flatten)]
        args: command::search::Search,
        #[command(flatten)]
        remote: Remote,
    },
    /// Shows what fails in a project, the most frequent first.
    Failures {
        #[command(flatten)]
        args: command::search::Failures,
        #[command(flatten)]
        remote: Remote,
    },
    /// Opens, closes and lists what users met and should not have.
    Incident {
        #[command(subcommand)]
        args: command::incident::Args,
        #[command(flatten)]
        remote: Remote,
    },
    /// Shows what a project's jobs hide or waste.
    Insights {
        #[command(subcommand)]
        args: command::insights::Args,
        #[command(flatten)]
        remote: Remote,
    },
    /// Lists the tests of a project with their history, flaky ones first; with `--run`, what a run's reports say.
    Tests {
        #[command(flatten)]
        args: command::test_history::ListArgs,
        #[command(flatten)]
        remote: Remote,
    },
    /// Shows one test; puts it into quarantine and takes it out.
    Test {
        #[command(subcommand)]
        args: command::test_history::Args,
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
    /// Lists the newest runs of a project, or shows one: its jobs, their attempts, and why each is in its state.
    Runs {
        /// The project.
        project: String,
        /// The run's number.
        run: Option<u64>,
        /// How many are listed.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        #[command(flatten)]
        remote: Remote,
    },
    /// Waits until a run or a promotion has ended: exits with 0 where it passed, 1 where not, 6 where the time was up first.
    Wait {
        #[command(flatten)]
        args: command::wait::Args,
        #[command(flatten)]
        remote: Remote,
    },
    /// Shows the log of a job; `-f` goes on until it ends.
    Logs {
        #[command(flatten)]
        args: command::logs::Args,
        #[command(flatten)]
        remote: Remote,
    },
    /// Writes a run that has ended into one file with its logs and reports, for `towpath open`.
    Export {
        #[command(flatten)]
        args: command::export::Args,
        #[command(flatten)]
        remote: Remote,
    },
    /// Takes a run that another server exported into a project, to look at: it delivers nothing and counts nowhere.
    Import {
        #[command(flatten)]
        args: command::imported::ImportArgs,
        #[command(flatten)]
        remote: Remote,
    },
    /// Lists, shows and removes runs that other servers exported.
    Imported {
        #[command(subcommand)]
        args: command::imported::Args,
        #[command(flatten)]
        remote: Remote,
    },
    /// Lists, follows and revokes what is kept from one run for later ones.
    Cache {
        #[command(subcommand)]
        args: command::cache::Args,
        #[command(flatten)]
        remote: Remote,
    },
    /// Opens the workspace of a job as a step left it, in a shell with its environment. Secrets are left out.
    Shell {
        #[command(flatten)]
        args: command::shell::Args,
        #[command(flatten)]
        remote: Remote,
    },
    /// Starts a run by hand, where the pipeline says `on: { manual }`.
    Start {
        /// The project.
        project: String,
        /// The branch or full ref; the default branch if absent.
        #[arg(long = "ref", value_name = "REF", default_value = "")]
        reference: String,
        /// Waits until it has ended, as `towpath wait` does.
        #[arg(long)]
        wait: bool,
        /// An input that the pipeline declares under `on.manual.inputs`; may be given several times.
        #[arg(long = "input", value_name = "NAME=VALUE", value_parser = command::runs::input)]
        inputs: Vec<(String, String)>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Cancels a run.
    Cancel {
        /// The project.
        project: String,
        /// The run's number.
        run: u64,
        /// Why, for the timeline.
        #[arg(short = 'm', long, default_value = "")]
        comment: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Lets a run of a fork go on, after somebody has looked at its commit.
    Allow {
        /// The project.
        project: String,
        /// The run's number.
        run: u64,
        #[command(flatten)]
        remote: Remote,
    },
    /// Tries again what did not pass in a run.
    Rerun {
        /// The project.
        project: String,
        /// The run's number.
        run: u64,
        /// Waits until it has ended, as `towpath wait` does.
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Lists releases, or shows how far one has got and what it waits for.
    Releases {
        /// The project.
        project: String,
        /// The version.
        version: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Revokes a release: it starts nowhere any more, and what of it waits ends.
    Revoke {
        #[command(flatten)]
        args: command::revoke::Args,
        #[command(flatten)]
        remote: Remote,
    },
    /// Lets a revoked release start again.
    Unrevoke {
        #[command(flatten)]
        args: command::revoke::UnrevokeArgs,
        #[command(flatten)]
        remote: Remote,
    },
    /// Shows what serves in each environment of a project, since when, how it does, and what waits for what.
    Status {
        /// The project, or one of its environments as `shop/production`.
        place: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Shows environments, and what was promoted into them.
    Env {
        #[command(subcommand)]
        args: command::env::Args,
        #[command(flatten)]
        remote: Remote,
    },
    /// Promotes a release into an environment.
    Promote {
        /// The release's version.
        version: String,
        #[command(flatten)]
        said: Said,
        /// Takes a revision that was rolled back before.
        #[arg(long)]
        override_quarantine: bool,
        /// Waits until it has ended, as `towpath wait` does.
        #[arg(long)]
        wait: bool,
    },
    /// Approves what waits for an environment, after it showed it.
    Approve {
        #[command(flatten)]
        args: command::decide::Args,
        #[command(flatten)]
        remote: Remote,
    },
    /// Rejects what waits for an environment, after it showed it.
    Reject {
        #[command(flatten)]
        args: command::decide::Args,
        #[command(flatten)]
        remote: Remote,
    },
    /// Opens a `hold` gate of what waits for an environment.
    Lift {
        #[command(flatten)]
        args: command::lift::Args,
        #[command(flatten)]
        remote: Remote,
    },
    /// Withdraws what waits for an environment.
    Withdraw {
        #[command(flatten)]
        said: Said,
        /// Of several that wait, the one of this version.
        #[arg(long)]
        version: Option<String>,
    },
    /// Stops an environment where it is.
    Hold(Said),
    /// Lets a held environment go on; or tries a job again from the step that failed, in the workspace as it was before it.
    Resume {
        #[command(flatten)]
        args: command::resume::Args,
        #[command(flatten)]
        remote: Remote,
    },
    /// Goes back to an earlier revision.
    Rollback {
        /// The version to go back to; the one before if absent.
        #[arg(long)]
        to: Option<String>,
        /// Goes back although a migration of phase `contract` came after it: whoever says so knows that its code runs on
        /// the databases as they are now.
        #[arg(long)]
        anyway: bool,
        #[command(flatten)]
        said: Said,
    },
    /// Applies environment documents, after it showed what changes.
    Apply {
        #[command(flatten)]
        args: command::apply::Args,
        #[command(flatten)]
        remote: Remote,
    },
    /// Mirrors a repository that lives elsewhere.
    Source {
        #[command(subcommand)]
        args: command::source::Args,
        #[command(flatten)]
        remote: Remote,
    },
    /// Says who of a project is told of what: Slack, Teams, mail, webhooks, markers in charts.
    Notify {
        #[command(subcommand)]
        args: command::notify::Args,
        #[command(flatten)]
        remote: Remote,
    },
    /// Sets, lists and removes secrets.
    Secret {
        #[command(subcommand)]
        args: command::secret::Args,
        #[command(flatten)]
        remote: Remote,
    },
    /// Shows what waits for agents, why and until when, and what runs.
    Queue {
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
        Command::Run(args) => command::run::run(&args),
        Command::Schema(args) => command::schema::run(&args),
        Command::Completions(args) => Ok(command::completions::run(&args)),
        Command::Logout(args) => command::logout::run(&args),
        Command::Open(args) => command::open::run(&args),
        Command::Load(args) => small(async { command::load::run(args, told_to_stop()?).await }),
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
            if args.runs_an_agent() {
                log_to_stderr();
            }
            small(async { command::agent::run(args, told_to_stop()?).await })
        }
        Command::Demo(args) => {
            // The load generator keeps its rate while the rest of the machine builds.
            let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(async { demo::run(args, told_to_stop()?).await })
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
        RemoteCommand::Search { args, remote } => command::search::search(args, &remote).await,
        RemoteCommand::Failures { args, remote } => command::search::failures(args, &remote).await,
        RemoteCommand::Incident { args, remote } => command::incident::run(args, &remote).await,
        RemoteCommand::Insights { args, remote } => command::insights::run(args, &remote).await,
        RemoteCommand::Tests { args, remote } => command::test_history::list(args, &remote).await,
        RemoteCommand::Test { args, remote } => command::test_history::run(args, &remote).await,
        RemoteCommand::Timeline { args, remote } => command::timeline::run(args, &remote).await,
        RemoteCommand::Runs { project, run: Some(run), limit: _, remote } => {
            command::runs::show(&project, run, &remote).await
        }
        RemoteCommand::Runs { project, run: None, limit, remote } => {
            command::runs::list(&project, limit, &remote).await
        }
        RemoteCommand::Start { project, reference, inputs, wait, remote } => {
            command::runs::start(&project, reference, inputs, wait, &remote).await
        }
        RemoteCommand::Wait { args, remote } => command::wait::run(args, &remote).await,
        RemoteCommand::Cache { args, remote } => command::cache::run(args, &remote).await,
        RemoteCommand::Shell { args, remote } => command::shell::run(args, &remote).await,
        RemoteCommand::Logs { args, remote } => command::logs::run(args, &remote).await,
        RemoteCommand::Export { args, remote } => command::export::run(args, &remote).await,
        RemoteCommand::Import { args, remote } => command::imported::import(args, &remote).await,
        RemoteCommand::Imported { args, remote } => command::imported::run(args, &remote).await,
        RemoteCommand::Cancel { project, run, comment, remote } => {
            command::runs::cancel(&project, run, comment, &remote).await
        }
        RemoteCommand::Allow { project, run, remote } => command::runs::allow(&project, run, &remote).await,
        RemoteCommand::Rerun { project, run, wait, remote } => {
            command::runs::rerun(&project, run, wait, &remote).await
        }
        RemoteCommand::Releases { project, version, remote } => {
            command::releases::run(&project, version.as_deref(), &remote).await
        }
        RemoteCommand::Status { place, remote } => command::status::run(&place, &remote).await,
        RemoteCommand::Env { args, remote } => env::run(args, &remote).await,
        RemoteCommand::Promote {
            version,
            said: Said { place, comment, remote },
            override_quarantine,
            wait,
        } => {
            env::promote(&place, &NewPromotion { version, comment, override_quarantine }, wait, &remote).await
        }
        RemoteCommand::Notify { args, remote } => command::notify::run(args, &remote).await,
        RemoteCommand::Lift { args, remote } => command::lift::run(args, &remote).await,
        RemoteCommand::Approve { args, remote } => command::decide::run(args, Way::Approve, &remote).await,
        RemoteCommand::Reject { args, remote } => command::decide::run(args, Way::Reject, &remote).await,
        RemoteCommand::Revoke { args, remote } => command::revoke::revoke(args, &remote).await,
        RemoteCommand::Unrevoke { args, remote } => command::revoke::unrevoke(args, &remote).await,
        RemoteCommand::Withdraw { said: Said { place, comment, remote }, version } => {
            env::withdraw(&place, version.as_deref(), comment, &remote).await
        }
        RemoteCommand::Hold(Said { place, comment, remote }) => env::hold(&place, comment, &remote).await,
        RemoteCommand::Resume { args, remote } => command::resume::run(args, &remote).await,
        RemoteCommand::Rollback { to, anyway, said: Said { place, comment, remote } } => {
            env::rollback(&place, &Rollback { to, anyway, comment }, &remote).await
        }
        RemoteCommand::Apply { args, remote } => command::apply::run(args, &remote).await,
        RemoteCommand::Source { args, remote } => command::source::run(args, &remote).await,
        RemoteCommand::Secret { args, remote } => command::secret::run(args, &remote).await,
        RemoteCommand::Queue { remote } => command::queue::run(&remote).await,
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
