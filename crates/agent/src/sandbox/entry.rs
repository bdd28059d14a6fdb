//! The last stage before a Step: takes up what was handed over, raises the walls that are raised from inside, and
//! becomes the Step's program.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use crate::executor::chain;
use crate::sandbox::landlocked::Rules;
use crate::sandbox::limits::ProcessLimits;
use crate::sandbox::{landlocked, seccomp, supervise};

/// The hidden command.
pub(super) const SUBCOMMAND: &str = "sandbox-exec";

/// The exit code for "the sandbox could not be made", as shells use it for "could not be executed".
const CANNOT_EXECUTE: u8 = 126;

/// What is still to be done.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Watch over the Step, and end what it leaves behind; for where no process namespace does.
    pub(super) supervise: bool,
    /// Control groups to join.
    pub(super) entrances: Vec<PathBuf>,
    pub(super) process: ProcessLimits,
    /// Only for a Step that is not confined at all.
    pub(super) keeps_capabilities: bool,
    pub(super) landlock: Option<Rules>,
    pub(super) sockets: Option<seccomp::Sockets>,
}

/// Puts everything into a file without a name, so that no secret is in a command line or on a disk. It becomes the
/// standard input of the next stage.
pub(super) fn hand_over(entry: &Entry, environment: &BTreeMap<OsString, OsString>) -> io::Result<File> {
    let mut bytes = serde_json::to_vec(entry)?;
    bytes.push(b'\n');
    for (name, value) in environment {
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(b'=');
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0);
    }
    let mut file = File::from(memfd_create("towpath", MemfdFlags::CLOEXEC)?);
    file.write_all(&bytes)?;
    file.rewind()?;
    Ok(file)
}

fn take_over() -> Result<(Entry, BTreeMap<OsString, OsString>), String> {
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .read_to_end(&mut bytes)
        .map_err(|error| format!("nothing was handed over: {error}"))?;
    let end = bytes.iter().position(|&byte| byte == b'\n').ok_or("nothing was handed over")?;
    let entry = serde_json::from_slice(&bytes[..end])
        .map_err(|error| format!("what was handed over cannot be read: {error}"))?;
    let pairs = bytes[end + 1..].split(|&byte| byte == 0).filter_map(|pair| {
        // A name may begin with `=`, never be empty.
        let equals = pair.iter().skip(1).position(|&byte| byte == b'=')? + 1;
        let part = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        Some((part(&pair[..equals]), part(&pair[equals + 1..])))
    });
    Ok((entry, pairs.collect()))
}

/// What the hidden command `sandbox-exec -- PROGRAM ARGUMENT…` does; `arguments` are those
/// after `sandbox-exec`.
#[must_use]
pub fn exec_main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let reason = match arguments.as_slice() {
        [dashes, program, rest @ ..] if dashes == "--" => match take_over() {
            Ok((entry, environment)) if entry.supervise => {
                match supervise::supervise(entry, &environment, &arguments) {
                    Ok(code) => return code,
                    Err(reason) => reason,
                }
            }
            Ok((entry, environment)) => match enter(&entry, &environment, program, rest) {
                Ok(never) => match never {},
                Err(reason) => reason,
            },
            Err(reason) => reason,
        },
        _ => "`sandbox-exec` is started by the agent, with `-- PROGRAM ARGUMENT…`".to_owned(),
    };
    eprintln!("towpath: the sandbox could not be entered, so the step was not run: {reason}");
    ExitCode::from(CANNOT_EXECUTE)
}

fn enter(
    entry: &Entry,
    environment: &BTreeMap<OsString, OsString>,
    program: &OsStr,
    arguments: &[OsString],
) -> Result<Infallible, String> {
    let Entry { supervise: _, entrances, process, keeps_capabilities, landlock, sockets } = entry;
    let tied = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    tied.map_err(|error| format!("not tied to what watches over it: {error}"))?;
    for entrance in entrances {
        std::fs::write(entrance, "0").map_err(|error| format!("{}: {error}", entrance.display()))?;
    }
    // Without a session of its own a Step could type into the terminal that `towpath run` was started from.
    let _already_leader = rustix::process::setsid();
    limit(*process).map_err(|error| format!("the limits were refused: {error}"))?;
    if !keeps_capabilities {
        landlocked::drop_capabilities()
            .map_err(|error| format!("capabilities cannot be dropped: {error}"))?;
    }
    if let Some(rules) = landlock {
        landlocked::restrict(rules).map_err(|error| format!("Landlock refused: {}", chain(&error)))?;
    }
    if let Some(sockets) = sockets {
        seccomp::install(*sockets).map_err(|error| chain(&error))?;
    }
    let error =
        Command::new(program).args(arguments).env_clear().envs(environment).stdin(Stdio::null()).exec();
    Err(format!("`{}` cannot be executed: {error}", program.to_string_lossy()))
}

/// A limit is never raised by this. Core dumps would put secrets on the disk.
fn limit(limits: ProcessLimits) -> rustix::io::Result<()> {
    let ProcessLimits { file, memory, processes } = limits;
    let wanted = [
        (Resource::Core, Some(0)),
        (Resource::Fsize, file),
        (Resource::Data, memory),
        (Resource::Nproc, processes),
    ];
    for (resource, wanted) in wanted {
        let Some(wanted) = wanted else { continue };
        let limit = Some(getrlimit(resource).maximum.map_or(wanted, |maximum| maximum.min(wanted)));
        setrlimit(resource, Rlimit { current: limit, maximum: limit })?;
    }
    Ok(())
}
