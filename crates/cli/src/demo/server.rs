//! The real `towpath serve`, as a child process in a scratch directory.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use url::Url;

/// How long the server may take to start.
const START_WITHIN: Duration = Duration::from_secs(30);

/// A server that runs.
pub(super) struct Server {
    child: Child,
    /// Its data directory.
    pub(super) data: PathBuf,
    /// Where it is.
    pub(super) url: Url,
    /// The link that makes the first admin.
    pub(super) setup: Url,
}

impl Server {
    /// Starts a server on a loopback port; 0 for a free one.
    pub(super) async fn start(scratch: &Path, port: u16) -> anyhow::Result<Self> {
        let data = scratch.join("data");
        let log = log(scratch);
        let program = std::env::current_exe().context("failed to find this program's own file")?;
        let mut command = Command::new(program);
        command.args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"]).arg(&data);
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_setting(name)) {
            command.env_remove(name);
        }
        // Its own group: Ctrl-C on the terminal is for the demo alone, which then stops it in order.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(File::create(&log).with_context(|| format!("failed to make {}", log.display()))?);
        let mut child = command.spawn().context("failed to start the server")?;
        let output = child.stdout.take().context("the server has no output")?;
        match tokio::time::timeout(START_WITHIN, read_addresses(output)).await {
            Ok(Ok((url, setup))) => Ok(Self { child, data, url, setup }),
            Ok(Err(error)) => Err(error.context(format!("its log is {}", log.display()))),
            Err(_) => bail!("the server did not start in {START_WITHIN:?}; its log is {}", log.display()),
        }
    }

    /// Fails once the server has ended by itself.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait().context("failed to look after the server")? {
            Some(status) => bail!("the server ended with {status}"),
            None => Ok(()),
        }
    }
}

/// Where the server's log is.
fn log(scratch: &Path) -> PathBuf {
    scratch.join("server.log")
}

/// Whether a variable would change the demo's own server or reach another one.
fn is_setting(name: &std::ffi::OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with("TOWPATH_") && name != "TOWPATH_LOG")
}

/// Reads what the server prints at its start.
async fn read_addresses(output: tokio::process::ChildStdout) -> anyhow::Result<(Url, Url)> {
    let mut lines = BufReader::new(output).lines();
    let mut url = None;
    while let Some(line) = lines.next_line().await.context("failed to read the server's output")? {
        if let Some(address) = line.strip_prefix("towpath serves ") {
            url = Some(address.trim().parse().context("the server told an address that is not one")?);
        }
        if let Some(url) = &url
            && line.contains("/setup/")
        {
            let setup = line.trim().parse().context("the server told a link that is not one")?;
            let url = Url::clone(url);
            // It goes on printing, and must not block on a full pipe.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok((url, setup));
        }
    }
    bail!("the server ended before it listened")
}
