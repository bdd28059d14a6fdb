//! `towpath run`: the Jobs of a pipeline on this machine, by the parser, the planner, the state machine and
//! the executor of the server. Stages are planned and shown; nothing is sealed.

mod drive;
mod order;
mod queue;
mod secrets;
mod select;
mod show;
mod summary;
mod surroundings;
mod worker;

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum;
use jiff::Timestamp;
use towpath_agent::container::{ContainerHost, Owner};
use towpath_agent::executor::Limits;
use towpath_agent::local::LocalRunner;
use towpath_agent::sandbox::{Isolation, Watch};
use towpath_agent::sweep::Sweeper;
use towpath_config::{has_errors, render};
use towpath_model::input;
use towpath_model::pipeline::Pipeline;
use towpath_model::plan::{Fate, Occasion, PlanReport};
use towpath_model::run::{Admission, Cause, NewRun, RunState};
use towpath_model::timeline::Actor;
use towpath_model::{Digest, JobName, RunId};
use towpath_server::options::default_data_dir;

use self::drive::{Drive, Finished};
use self::order::{Contained, Orders};
use self::show::Show;
use self::surroundings::{Known, Surroundings};
use super::include::IncludeArgs;
use super::local::{find_project, print_diagnostics, read_project};
use super::occasion::OccasionArgs;
use crate::failure::{Failure, Kind};
use crate::output;

/// The exit code of shells for what SIGINT ended.
const INTERRUPTED: u8 = 130;

/// Runs jobs on this machine, as a server would: all of them, or those named and what they need.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Jobs to run, together with the jobs that they need; without any, all.
    #[arg(value_name = "JOB")]
    names: Vec<String>,
    #[command(flatten)]
    occasion: OccasionArgs,
    #[command(flatten)]
    include: IncludeArgs,
    /// How jobs are confined; without it, as the file says: in a container where a job has an image, else in a sandbox.
    #[arg(long, value_enum)]
    executor: Option<Executor>,
    /// How many jobs run at once; without it, one for each processor.
    #[arg(long, short, value_name = "N")]
    jobs: Option<NonZero<usize>>,
    /// A secret to ask for; may be given several times. Those that nothing gives are asked for on a terminal.
    #[arg(long = "secret", value_name = "NAME")]
    secrets: Vec<String>,
    /// A file of secrets, one `NAME=value` in a line.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// An environment variable over those of pipeline and job; may be given several times.
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// An input that `on.manual` declares; may be given several times.
    #[arg(long = "input", value_name = "NAME=VALUE", value_parser = crate::command::runs::input)]
    inputs: Vec<(String, String)>,
    /// Goes on after a failure with every job that does not need what failed.
    #[arg(long)]
    keep_going: bool,
    /// Prints what happens as JSON, one event in a line.
    #[arg(long)]
    json: bool,
    /// Lists the jobs and what would become of them, and runs nothing.
    #[arg(long, conflicts_with = "dry_run")]
    list: bool,
    /// Shows the whole plan and runs nothing.
    #[arg(long)]
    dry_run: bool,
}

/// How Jobs are confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Executor {
    /// Bubblewrap where present, else Landlock.
    Sandbox,
    /// In containers, which every job must have an image for.
    Container,
    /// Landlock, even where bubblewrap is present.
    Landlock,
    /// Not at all: with all rights of this user.
    Host,
}

/// Runs the command. Exits with 0 where all is well, 1 where a Job failed, 2 where the files are broken, 130
/// where somebody interrupted it.
///
/// # Errors
/// Fails where a file cannot be read, a name is unknown, or the machine cannot confine Jobs.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let directory = find_project(&std::env::current_dir()?)?;
    let surroundings = Surroundings::look_up(&directory);
    let local = read_project(&directory, &args.include)?;
    print_diagnostics(&local.diagnostics);
    let pipeline = local.pipeline.filter(|_| !has_errors(&local.diagnostics));
    let Some(pipeline) = pipeline else { return Ok(ExitCode::from(Kind::Usage.code())) };
    let mut pipeline = select::select(pipeline, &args.names)?;
    let occasion = args.occasion.resolve(&directory, &local.documents)?;
    let report = towpath_config::plan(&pipeline, &occasion, &local.documents);
    if args.list || args.dry_run {
        preview(args, &report)?;
        return Ok(ExitCode::SUCCESS);
    }
    let wanted =
        |name: &JobName| report.jobs.iter().any(|job| job.name == *name && job.fate != Fate::Skipped);
    let asking = pipeline.jobs.iter().filter(|job| wanted(&job.name));
    let secrets = secrets::gather(asking, &args.secrets, args.secret_file.as_deref(), occasion.trust)?;
    let show = Show::new(&pipeline, args.json);
    let place = tempfile::Builder::new().prefix("towpath-run-").tempdir();
    let place =
        place.context("failed to make a directory for workspaces; TMPDIR names another place for it")?;
    let Known { below, source, commit } = surroundings.known()?;
    let executor = args.executor.unwrap_or(Executor::Sandbox);
    let contained = match args.executor {
        None => Contained::AsTheFileSays,
        Some(Executor::Container) => Contained::Yes,
        Some(Executor::Sandbox | Executor::Landlock | Executor::Host) => Contained::No,
    };
    let runner = runner(executor, place.path(), &pipeline)?;
    let orders = Orders {
        secrets: &secrets,
        env: args.env.iter().cloned().collect::<BTreeMap<_, _>>(),
        unconfined: executor == Executor::Host,
        contained,
    };
    let inputs = inputs(&pipeline, &occasion, &args.inputs)?;
    // Without workloads the state machine has nothing to seal, and ends when the Jobs have ended.
    pipeline.workloads.clear();
    pipeline.stages.clear();
    let new = NewRun {
        id: RunId(uuid::Uuid::now_v7()),
        project: pipeline.name.clone(),
        number: 1,
        directory: below,
        trust: occasion.trust,
        cause: cause(&occasion, inputs, commit),
        pipeline: Ok((pipeline, Digest::of(&[]))),
        admission: Admission::Free,
    };
    let parallel = args.jobs.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZero::get);
    let drive = Drive { runner: &runner, source: &source, orders, show: &show, keep_going: args.keep_going };
    let finished = drive.run(new, parallel)?;
    summary::print(&finished, &report, &show);
    Ok(exit_code(&finished))
}

fn exit_code(finished: &Finished) -> ExitCode {
    match finished.run.state {
        RunState::Passed => ExitCode::SUCCESS,
        RunState::Cancelled => ExitCode::from(INTERRUPTED),
        RunState::Invalid
        | RunState::AwaitingApproval
        | RunState::Preparing
        | RunState::Running
        | RunState::Sealing
        | RunState::Failed => ExitCode::from(Kind::Failed.code()),
    }
}

/// Shows what would happen.
fn preview(args: &Args, report: &PlanReport) -> anyhow::Result<()> {
    match (args.list, args.json) {
        (true, true) => output::json(&report.jobs)?,
        (true, false) => {
            let row = |job: &towpath_model::plan::PlannedJob| {
                let fate = match job.fate {
                    Fate::Runs => "runs",
                    Fate::Skipped => "skipped",
                    Fate::Undecided => "perhaps",
                    Fate::Unchanged => "same",
                };
                [job.name.to_string(), fate.to_owned(), job.reason.clone()]
            };
            output::table(["job", "", "why"], report.jobs.iter().map(row).collect(), "there are no jobs");
        }
        (false, true) => anstream::print!("{}", render::json(report)),
        (false, false) => anstream::print!("{}", render::text(report)),
    }
    Ok(())
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

fn runner(executor: Executor, place: &Path, pipeline: &Pipeline) -> anyhow::Result<LocalRunner> {
    let project = pipeline.name.as_str();
    let needs_engine = pipeline.jobs.iter().any(|job| {
        job.image.is_some()
            || !job.services.is_empty()
            || job.artifacts.iter().any(|artifact| artifact.image.is_some())
    });
    let owner = Owner::local();
    let containers = if needs_engine { ContainerHost::find(owner) } else { ContainerHost::none(owner) };
    let program = std::env::current_exe().context("failed to find this program itself")?;
    let isolation = match executor {
        // What runs beside a container, a command as a service, is in the sandbox where there is one.
        Executor::Container => {
            Ok(Isolation::detect(&program).unwrap_or_else(|_none| Isolation::host(&program, Watch::Stay)))
        }
        Executor::Sandbox => Isolation::detect(&program),
        Executor::Landlock => Isolation::landlock(&program),
        Executor::Host => Ok(Isolation::host(&program, Watch::Go)),
    };
    let isolation = isolation.map_err(|error| {
        Failure::new(Kind::Usage, error.to_string())
            .hint("for `towpath run`, that option is `--executor host`: jobs then have all your rights")
    })?;
    let data = std::env::var_os("TOWPATH_DATA_DIR").map(PathBuf::from).or_else(default_data_dir);
    Ok(LocalRunner {
        work: place.join("work"),
        isolation,
        cache: caches().map(|caches| caches.join("towpath/run").join(project)),
        data: data.unwrap_or_else(|| place.join("data")),
        artifacts: place.join("artifacts"),
        kept: caches().map(|caches| caches.join("towpath/kept").join(project)),
        limits: Limits::default(),
        sweeper: Sweeper::start().context("failed to start a thread")?,
        containers,
    })
}

fn caches() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))
}

/// The inputs: as a server would check them where a person starts the run, else the defaults under what is given.
fn inputs(
    pipeline: &Pipeline,
    occasion: &Occasion,
    given: &[(String, String)],
) -> anyhow::Result<BTreeMap<String, String>> {
    let declared = &pipeline.triggers.inputs;
    if given.is_empty() && occasion.event != "manual" {
        return Ok(input::defaults(declared));
    }
    let given = given.iter().cloned().collect();
    input::resolve(declared, &given).map_err(|problems| Failure::new(Kind::Usage, problems.join("\n")).into())
}

fn cause(occasion: &Occasion, inputs: BTreeMap<String, String>, commit: Option<String>) -> Cause {
    Cause {
        event: occasion.event.clone(),
        reference: occasion.reference.clone(),
        commit: commit.unwrap_or_else(|| "0".repeat(40)),
        subject: String::new(),
        author: String::new(),
        makers: Vec::new(),
        actor: Actor::Towpath,
        inputs,
        origin: None,
    }
}

/// The time between two moments, never negative.
fn between(from: Timestamp, until: Timestamp) -> std::time::Duration {
    until.duration_since(from).try_into().unwrap_or_default()
}
