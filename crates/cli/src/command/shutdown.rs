//! `towpath shutdown`: ends everything that runs for a data directory.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use towpath_agent::instances::InstanceDirectory;
use towpath_artifact::LockFile;
use towpath_gateway::control;

use crate::failure::{Failure, Kind};

/// Ends the server, the agent, agents of pools, every instance and the gateway of this host. Traffic stops.
///
/// `towpath serve` leaves agent, instances and gateway running when it ends, so that nobody notices a restart. This
/// command is for when somebody shall notice.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The data directory of the server.
    #[arg(long, env = "TOWPATH_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Leaves the instances and the gateway running: users notice nothing.
    #[arg(long)]
    keep_serving: bool,
}

/// How long each part may take to end.
const PATIENCE: Duration = Duration::from_secs(40);

/// Runs the command.
///
/// # Errors
/// Fails where something does not end in time.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let data = args.data_dir.or_else(towpath_server::options::default_data_dir);
    let data = data
        .ok_or_else(|| Failure::new(Kind::Usage, "no data directory is known; give one with --data-dir"))?;
    everything(&data, args.keep_serving).await?;
    Ok(ExitCode::SUCCESS)
}

/// Ends what runs for a data directory, in the order in which nothing is started again.
pub async fn everything(data: &Path, keep_serving: bool) -> anyhow::Result<()> {
    end("server", &data.join("towpath.lock"))?;
    end("agent", &data.join("agent/lock"))?;
    end_pools(&data.join("pools"))?;
    if keep_serving {
        return Ok(());
    }
    end_instances(&data.join("agent/instances"))?;
    if let Some(process) = control::shutdown(data).await? {
        wait("gateway", || !LockFile::is_held(&data.join("gateway/lock")) && has_ended(process))?;
        anstream::println!("the gateway has ended");
    }
    Ok(())
}

/// Ends the agents that pools of the server started on this host: `pools/POOL/MEMBER`.
fn end_pools(directory: &Path) -> anyhow::Result<()> {
    for pool in entries(directory)? {
        for member in entries(&pool)? {
            end("agent of a pool", &member.join("agent/lock"))?;
        }
    }
    Ok(())
}

/// What lies in a directory; nothing where there is none.
fn entries(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("failed to read {}", directory.display())),
    };
    Ok(entries.collect::<std::io::Result<Vec<_>>>()?.into_iter().map(|entry| entry.path()).collect())
}

/// Ends the process that holds a lock file and wrote its id there.
fn end(what: &str, lock: &Path) -> anyhow::Result<()> {
    if !LockFile::is_held(lock) {
        return Ok(());
    }
    let text = std::fs::read_to_string(lock).with_context(|| format!("failed to read {}", lock.display()))?;
    let pid = text.trim().parse().ok().and_then(Pid::from_raw);
    let pid = pid.with_context(|| format!("{} names no process; end the {what} by hand", lock.display()))?;
    kill_process(pid, Signal::TERM).with_context(|| format!("failed to end the {what}, process {text}"))?;
    wait(what, || !LockFile::is_held(lock))?;
    anstream::println!("the {what} has ended");
    Ok(())
}

/// Whether a process is no more. One that nobody has reaped yet has ended too.
fn has_ended(process: i32) -> bool {
    let Some(pid) = Pid::from_raw(process) else { return true };
    let Ok(descriptor) = pidfd_open(pid, PidfdFlags::empty()) else { return true };
    let mut ended = [PollFd::new(&descriptor, PollFlags::IN)];
    poll(&mut ended, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

fn end_instances(directory: &Path) -> anyhow::Result<()> {
    let mut ending = Vec::new();
    for path in entries(directory)? {
        let instance = InstanceDirectory { path };
        if !instance.is_supervised() {
            continue;
        }
        if let Some(pid) = instance.status().and_then(|status| Pid::from_raw(status.supervisor)) {
            // It may end between the look and the signal, which is what was wanted.
            let _ = kill_process(pid, Signal::TERM);
        }
        ending.push(instance);
    }
    let count = ending.len();
    wait("instances", || ending.iter().all(|instance| !instance.is_supervised()))?;
    if count > 0 {
        anstream::println!("{count} instances have ended");
    }
    Ok(())
}

fn wait(what: &str, done: impl Fn() -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        if Instant::now() >= deadline {
            let text = format!(
                "the {what} did not end within {} s; look at its log, then end it by hand",
                PATIENCE.as_secs()
            );
            return Err(Failure::new(Kind::Failed, text).into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
