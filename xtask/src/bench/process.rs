//! Processes that end with the benchmark, and the places they work in.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// Clock ticks per second in `/proc/PID/stat`, the same on every Linux since 2.6.
const TICKS: f64 = 100.0;

/// A child that ends with this program.
pub(super) struct Process(pub(super) Child);

impl Process {
    /// Processor time so far, in user and in kernel mode.
    pub(super) fn cpu_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let tick = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
        let (user, system) = tick(11).zip(tick(12)).context("no processor time")?;
        Ok((user + system) / TICKS)
    }

    /// The memory that it holds.
    pub(super) fn rss_kib(&self) -> Result<u64> {
        rss_kib(self.0.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; nothing else is to be done about it here.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The memory that a process holds.
pub(super) fn rss_kib(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// A directory that ends with this program.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    /// Where this program's is.
    pub(super) fn path() -> PathBuf {
        std::env::temp_dir().join(format!("towpath-bench-{}", std::process::id()))
    }

    /// Makes an empty one.
    pub(super) fn new() -> Result<Self> {
        let path = Self::path();
        fs::create_dir_all(path.join("gateway"))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Starts a process whose output nobody reads.
pub(super) fn spawn(command: &mut Command) -> Result<Process> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    Ok(Process(child.with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?))
}

/// Whether a tool is installed.
pub(super) fn is_there(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(["/usr/sbin".into()]).any(|directory| directory.join(tool).is_file())
}

/// An address of this machine on which nobody listens just now.
pub(super) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Waits until somebody listens.
pub(super) fn wait_for(address: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(error) = TcpStream::connect(address) {
        ensure!(Instant::now() < deadline, "{address}: {error}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
