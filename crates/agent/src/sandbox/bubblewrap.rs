//! Confinement by the program `bwrap`.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::sandbox::Policy;

/// How long the trial may take.
const PROBE: Duration = Duration::from_secs(5);

/// Namespaces and habits of every sandbox.
const ALWAYS: &[&str] = &[
    "--unshare-user",
    "--unshare-pid",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup-try",
    "--die-with-parent",
    "--new-session",
    "--cap-drop",
    "ALL",
    "--proc",
    "/proc",
    "--dev",
    "/dev",
];

/// Files of `/proc` that belong to the whole host. Where the agent is root they would be writable, capabilities or not:
/// the kernel asks for the user alone.
const KERNEL_FILES: &[&str] = &["/proc/sys", "/proc/sysrq-trigger", "/proc/mtrr"];

/// Where the program that takes up the Step appears inside.
pub(super) const ENTRY: &str = "/.towpath";

/// A `bwrap` that works here.
#[derive(Debug)]
pub(super) struct Bubblewrap {
    /// Where it is.
    pub(super) program: PathBuf,
    /// Whether it can forbid user namespaces below its own; versions before 0.8 cannot.
    pub(super) forbids_nesting: bool,
}

/// Finds `bwrap` and runs it once the way that Steps are run: in containers it is often there and
/// may not make namespaces.
pub(super) fn probe() -> Result<Bubblewrap, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = std::env::split_paths(&path)
        .map(|directory| directory.join("bwrap"))
        .find(|program| program.is_file())
        .ok_or_else(|| "is not installed".to_owned())?;
    for forbids_nesting in [true, false] {
        match attempt(&program, forbids_nesting) {
            Ok(()) => return Ok(Bubblewrap { program, forbids_nesting }),
            Err(reason) if forbids_nesting => tracing::debug!("bubblewrap cannot forbid nesting: {reason}"),
            Err(reason) => return Err(format!("({}) {reason}", program.display())),
        }
    }
    Err(format!("({}) does not work", program.display()))
}

fn attempt(program: &Path, forbids_nesting: bool) -> Result<(), String> {
    let nesting: &[&str] = if forbids_nesting { &["--disable-userns"] } else { &[] };
    let mut child = Command::new(program)
        .args(["--ro-bind", "/", "/"])
        .args(ALWAYS)
        .args(kernel_files())
        .args(nesting)
        .args(["--unshare-net", "--", "/bin/true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("does not start: {error}"))?;
    let deadline = Instant::now() + PROBE;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("may not make namespaces here ({status})")),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
            Ok(None) | Err(_) => {
                let _ended = child.kill().and_then(|()| child.wait());
                return Err("hangs".to_owned());
            }
        }
    }
}

fn kernel_files() -> Vec<OsString> {
    let there = KERNEL_FILES.iter().filter(|path| Path::new(path).exists());
    there.flat_map(|path| ["--ro-bind", path, path].map(OsString::from)).collect()
}

/// The options of `bwrap`; the caller adds `--` and what runs inside.
pub(super) fn options(
    policy: &Policy,
    directory: &Path,
    helper: &Path,
    forbids_nesting: bool,
) -> Vec<OsString> {
    let mut options = Options(ALWAYS.iter().map(OsString::from).collect());
    options.0.extend(kernel_files());
    if forbids_nesting {
        options.add(&[&"--disable-userns"]);
    }
    if !policy.network {
        options.add(&[&"--unshare-net"]);
    }
    options.add(&[&"--bind", &policy.tmp, &"/tmp"]);
    for path in policy.carved_readable() {
        options.show(&path);
    }
    for path in policy.masked() {
        match path.is_dir() {
            true => options.add(&[&"--tmpfs", &path]),
            false => options.add(&[&"--ro-bind", &"/dev/null", &path]),
        }
    }
    for path in &policy.writable {
        options.add(&[&"--bind", path, path]);
    }
    if let Some(scripts) = policy.scripts.as_ref().filter(|scripts| scripts.is_dir()) {
        options.add(&[&"--ro-bind", scripts, scripts]);
    }
    options.add(&[&"--ro-bind", &helper, &ENTRY]);
    options.add(&[&"--remount-ro", &"/"]);
    options.add(&[&"--chdir", &directory]);
    options.0
}

struct Options(Vec<OsString>);

impl Options {
    fn add(&mut self, words: &[&dyn AsRef<OsStr>]) {
        self.0.extend(words.iter().map(|word| AsRef::<OsStr>::as_ref(*word).to_owned()));
    }

    /// Shows a path read-only; a symbolic link, such as `/bin` on most systems, stays one.
    fn show(&mut self, path: &Path) {
        match std::fs::read_link(path) {
            Ok(target) => self.add(&[&"--symlink", &target, &path]),
            Err(_) => self.add(&[&"--ro-bind", &path, &path]),
        }
    }
}
