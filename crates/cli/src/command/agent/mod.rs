//! `towpath agent`: runs jobs and Instances on this host, and lets other hosts do so.

mod join;
mod manage;
mod pools;
mod token;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use towpath_agent::executor::Limits;
use towpath_agent::process::{AgentOptions, Credentials};

use crate::context::Remote;
use crate::failure::{Failure, Kind};

/// Runs jobs and instances on this host, for the server of the same user. `towpath serve` starts one where none runs.
/// The subcommands let agents of other hosts join.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<AgentCommand>,
    /// The data directory of the server.
    #[arg(long, env = "TOWPATH_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where instances listen and can be reached.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    address: IpAddr,
    #[command(flatten)]
    work: Work,
}

/// What is done about agents of other hosts.
#[derive(Debug, clap::Subcommand)]
enum AgentCommand {
    /// Makes, lists and revokes join tokens; each lets one agent in.
    Token {
        #[command(subcommand)]
        args: token::Args,
        #[command(flatten)]
        remote: Remote,
    },
    Join(join::JoinArgs),
    Run(join::RunArgs),
    /// Lists the agents of a server.
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// Shows the pools of agents that a server starts and stops by its queue: how large each is and should be, and why.
    Pools {
        #[command(flatten)]
        remote: Remote,
    },
    /// Lets an agent finish what it has, and gives it no more jobs. Its instances go on.
    Drain {
        /// Its id as `list` shows it, the beginning of that, or its host.
        id: String,
        /// Why, for the timeline.
        #[arg(short = 'm', long, default_value = "")]
        comment: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Gives an agent jobs again that was drained, or held because two processes had its identity.
    Undrain {
        /// Its id as `list` shows it, the beginning of that, or its host.
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Lets an agent in no more. What it runs goes on until it is stopped on its host.
    Revoke {
        /// Its id as `list` shows it, the beginning of that, or its host.
        id: String,
        /// Does it without asking.
        #[arg(short, long)]
        yes: bool,
        #[command(flatten)]
        remote: Remote,
    },
}

/// What an agent takes on.
#[derive(Debug, clap::Args)]
struct Work {
    /// A label by which environments find this host, as `role=web`; may be repeated.
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// How many attempts run at once.
    #[arg(long, default_value_t = 2)]
    capacity: u32,
    /// Ends after one attempt, so that nothing of it is left for the next.
    #[arg(long, conflicts_with = "no_runner")]
    one_job: bool,
    /// Takes no attempts.
    #[arg(long)]
    no_runner: bool,
    /// Runs no instances.
    #[arg(long)]
    no_deployer: bool,
    /// Runs jobs even where neither bubblewrap nor Landlock can confine them.
    #[arg(long, env = "TOWPATH_ALLOW_UNSANDBOXED")]
    allow_unsandboxed: bool,
    /// Runs jobs of contributions from outside in containers too, whose engine has all rights of this host.
    #[arg(long)]
    allow_fork_containers: bool,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write a label as `role=web`")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Args {
    /// Whether this goes on until it is stopped, and so keeps a log.
    pub const fn runs_an_agent(&self) -> bool {
        match &self.command {
            None | Some(AgentCommand::Run(_)) => true,
            Some(AgentCommand::Join(join)) => join.runs(),
            Some(
                AgentCommand::Token { .. }
                | AgentCommand::List { .. }
                | AgentCommand::Pools { .. }
                | AgentCommand::Drain { .. }
                | AgentCommand::Undrain { .. }
                | AgentCommand::Revoke { .. },
            ) => false,
        }
    }
}

/// Runs the command; an agent until `stop`, and its instances go on running.
///
/// # Errors
/// Fails where the agent cannot start, or the server refuses.
pub async fn run(args: Args, stop: impl Future<Output = ()>) -> anyhow::Result<ExitCode> {
    let Args { command, data_dir, address, work } = args;
    match command {
        None => local(data_dir, address, work, stop).await,
        Some(AgentCommand::Token { args, remote }) => token::run(args, &remote).await,
        Some(AgentCommand::Join(args)) => join::join(args, stop).await,
        Some(AgentCommand::Run(args)) => join::run(args, stop).await,
        Some(AgentCommand::List { remote }) => manage::list(&remote).await,
        Some(AgentCommand::Pools { remote }) => pools::run(&remote).await,
        Some(AgentCommand::Drain { id, comment, remote }) => manage::drain(&id, comment, &remote).await,
        Some(AgentCommand::Undrain { id, remote }) => manage::undrain(&id, &remote).await,
        Some(AgentCommand::Revoke { id, yes, remote }) => manage::revoke(&id, yes, &remote).await,
    }
}

/// Runs the agent of the server's own host and user.
async fn local(
    data_dir: Option<PathBuf>,
    address: IpAddr,
    work: Work,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<ExitCode> {
    let data = data_dir.or_else(towpath_server::options::default_data_dir);
    let data = data
        .ok_or_else(|| Failure::new(Kind::Usage, "no data directory is known; give one with --data-dir"))?;
    let credentials = Credentials::Local { file: data.join("run/local.json") };
    let release_key = data.join("keys/release.pub");
    until(work.options(data, credentials, release_key, address)?, stop).await
}

async fn until(options: AgentOptions, stop: impl Future<Output = ()>) -> anyhow::Result<ExitCode> {
    towpath_agent::process::run(options, stop).await?;
    Ok(ExitCode::SUCCESS)
}

impl Work {
    fn options(
        self,
        data: PathBuf,
        credentials: Credentials,
        release_key: PathBuf,
        address: IpAddr,
    ) -> anyhow::Result<AgentOptions> {
        let Self {
            labels,
            capacity,
            one_job,
            no_runner,
            no_deployer,
            allow_unsandboxed,
            allow_fork_containers,
        } = self;
        Ok(AgentOptions {
            directory: data.join("agent"),
            credentials,
            release_key,
            data,
            labels: labels.into_iter().collect(),
            runner: !no_runner,
            deployer: !no_deployer,
            address,
            capacity: if one_job { 1 } else { capacity },
            one_job,
            program: std::env::current_exe().context("failed to find this program's own file")?,
            allow_unsandboxed,
            allow_fork_containers,
            limits: Limits::default(),
        })
    }
}
