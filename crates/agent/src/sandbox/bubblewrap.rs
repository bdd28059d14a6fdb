//! Confinement by the program `bwrap`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::sandbox::Policy;

/// How long the trial may take.
const PROBE: Duration = Duration::from_secs(5);

/// Namespaces and habits of every sandbox.
const ALWAYS: &[&str] = &[
    "--unshare-pid",
    "--unshare-ipc",
    "--unshare-uts",
    "--die-with-parent",
    "--new-session",
    "--cap-drop",
    "ALL",
    "--proc",
    "/proc",
    "--dev",
    "/dev",
];

/// Finds `bwrap` and runs it once the way that Steps are run: in containers it is often there and
/// may not make namespaces.
pub(super) fn probe() -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = std::env::split_paths(&path)
        .map(|directory| directory.join("bwrap"))
        .find(|program| program.is_file())
        .ok_or_else(|| "is not installed".to_owned())?;
    let mut child = Command::new(&program)
        .args(["--ro-bind", "/", "/"])
        .args(ALWAYS)
        .args(["--unshare-net", "--", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("({}) does not start: {error}", program.display()))?;
    let deadline = Instant::now() + PROBE;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(program),
            Ok(Some(status)) => {
                return Err(format!("({}) may not make namespaces here ({status})", program.display()));
            }
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
            Ok(None) | Err(_) => {
                let _ended = child.kill().and_then(|()| child.wait());
                return Err(format!("({}) hangs", program.display()));
            }
        }
    }
}

/// `bwrap` with all its options; the caller adds `--` and the program.
pub(super) fn command(bwrap: &Path, policy: &Policy, directory: &Path) -> Command {
    let mut command = Command::new(bwrap);
    command.args(ALWAYS);
    if !policy.network {
        command.arg("--unshare-net");
    }
    command.arg("--bind").arg(&policy.tmp).arg("/tmp");
    for path in policy.carved_readable() {
        show(&mut command, &path);
    }
    for path in &policy.writable {
        command.arg("--bind").arg(path).arg(path);
    }
    command.arg("--chdir").arg(directory);
    command
}

/// Shows a path read-only; a symbolic link, such as `/bin` on most systems, stays one.
fn show(command: &mut Command, path: &Path) {
    match std::fs::read_link(path) {
        Ok(target) => command.arg("--symlink").arg(target).arg(path),
        Err(_) => command.arg("--ro-bind").arg(path).arg(path),
    };
}
