//! The `git` program, kept from reading anything but what it is given.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::host::GitError;

/// How long a command that only looks or makes may take.
const SHORT: Duration = Duration::from_secs(60);

/// Settings that hold for every repository, whatever its own file says.
const SETTINGS: &[&str] = &[
    // No hook runs on the server: a pushed repository must not bring code along.
    "core.hooksPath=/dev/null",
    // What was acknowledged survives a power cut.
    "core.fsync=committed,loose-object,reference",
    // Large files are streamed, not held in memory.
    "core.bigFileThreshold=8m",
    "pack.windowMemory=64m",
    "pack.threads=1",
    "receive.fsckObjects=true",
    "receive.advertisePushOptions=false",
    "uploadpack.allowFilter=true",
    "gc.autoDetach=false",
];

/// Prepares `git` with a bare environment and our settings.
pub(super) fn git() -> Command {
    let mut command = Command::new("git");
    command.env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "C")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0");
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs a short command to its end and returns what it printed.
pub(super) async fn output(mut command: Command, what: &'static str) -> Result<Vec<u8>, GitError> {
    let output = tokio::time::timeout(SHORT, command.output())
        .await
        .map_err(|_| GitError::TimedOut { what })?
        .map_err(GitError::Start)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().chars().take(2000).collect();
    Err(GitError::Failed { what, message })
}

/// Whether a `Git-Protocol` header is one that may become an environment variable.
pub(super) fn protocol(header: Option<&http::HeaderValue>) -> Option<&str> {
    let text = header?.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'=' | b':');
    (text.len() < 64 && text.bytes().all(plain)).then_some(text)
}
