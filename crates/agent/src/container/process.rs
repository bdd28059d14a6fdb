//! A Service that is a command beside Steps which run without a container: confined as they are, on ports of its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use towpath_api::containers::ServiceOrder;
use towpath_model::container::Probe;

use super::health::{self, Target};
use super::http::Wait;
use super::service::Faulty;
use crate::executor::{Attempt, base_environment};
use crate::processes::{Marker, SERVICE_MARKER};
use crate::sandbox::{Cell, Group, Isolation, Policy, Refusal};

/// How much of a failed Service's log is shown.
const TAIL: usize = 8 * 1024;

/// A Service's process.
pub(super) struct ProcessService {
    pub(super) name: String,
    child: Child,
    marker: Marker,
    log: PathBuf,
    ports: Vec<(u16, u16)>,
    env: BTreeMap<OsString, OsString>,
    grace: Duration,
    probe: PathBuf,
    confine: Box<Confine>,
}

/// How to start another command as confined as the Service.
struct Confine {
    isolation: Isolation,
    policy: Policy,
    /// Its own: that of the Steps is emptied after each of them.
    group: Option<Arc<Group>>,
    directory: PathBuf,
}

impl ProcessService {
    pub(super) fn start(attempt: &Attempt<'_>, order: &ServiceOrder, run: &str) -> Result<Self, Faulty> {
        let broken = |error: &dyn std::error::Error| Faulty::Broken(crate::executor::chain(error));
        let place = attempt.scratch.join("services");
        std::fs::create_dir_all(&place).map_err(|error| broken(&error))?;
        let script = place.join(format!("{}.sh", order.name));
        std::fs::write(&script, run).map_err(|error| broken(&error))?;
        let log = place.join(format!("{}.log", order.name));
        let output = File::create(&log).map_err(|error| broken(&error))?;
        let errors = output.try_clone().map_err(|error| broken(&error))?;
        let ports = free_ports(&order.ports).map_err(|error| broken(&error))?;
        let marker = format!("{} {}", attempt.id, order.name);
        let mut env = base_environment(attempt);
        env.insert("HOST".into(), "127.0.0.1".into());
        env.extend(ports.first().map(|(_, port)| ("PORT".into(), port.to_string().into())));
        env.extend(
            ports.iter().map(|(inside, port)| (format!("PORT_{inside}").into(), port.to_string().into())),
        );
        env.extend(order.env.iter().map(|(name, value)| (name.into(), value.into())));
        env.insert(SERVICE_MARKER.into(), marker.clone().into());
        let policy = Policy { scripts: Some(place.clone()), ..attempt.policy.clone() };
        let name = format!("{}-{}", attempt.id, order.name);
        let group =
            Cell::new(attempt.isolation, &policy, &name).map_err(|error| broken(&error))?.into_group();
        let confine = Box::new(Confine {
            isolation: attempt.isolation.clone(),
            policy,
            group,
            directory: attempt.directory.to_owned(),
        });
        let mut command = confine.command(&script, &env).map_err(|error| broken(&error))?;
        command.stdout(output).stderr(errors);
        let child = command.spawn().map_err(|error| broken(&error))?;
        let (name, grace) = (order.name.clone(), attempt.limits.grace);
        let marker = Marker::new(SERVICE_MARKER, &marker);
        let probe = place.join(format!("{}.health.sh", order.name));
        Ok(Self { name, child, marker, log, ports, env, grace, probe, confine })
    }

    /// Its ports, and which of the host's each of them is.
    pub(super) fn ports(&self) -> Vec<(u16, u16)> {
        self.ports.clone()
    }

    /// Tries the probe until it passes.
    pub(super) fn wait_until_healthy(&mut self, order: &ServiceOrder, wait: Wait<'_>) -> Result<(), Faulty> {
        health::until_ready(order, wait, || match self.exit_code() {
            Some(code) => Err(Faulty::Ended(code)),
            None => Ok(self.probe(&order.health.probe, wait)),
        })
    }

    fn probe(&self, probe: &Probe, wait: Wait<'_>) -> Result<(), String> {
        match probe {
            Probe::None => Ok(()),
            Probe::Command { run } => self.probe_by_command(run, wait.at_most(Duration::from_secs(10))),
            Probe::Tcp { port } => health::tcp(&self.target(*port)),
            Probe::Http { port, path } => health::http(&self.target(*port), path),
        }
    }

    fn probe_by_command(&self, run: &str, wait: Wait<'_>) -> Result<(), String> {
        let failed = |error: &dyn std::error::Error| format!("`{run}`: {error}");
        std::fs::write(&self.probe, run).map_err(|error| failed(&error))?;
        let mut command = self.confine.command(&self.probe, &self.env).map_err(|error| failed(&error))?;
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| failed(&error))?;
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(_)) => return Err(format!("`{run}` does not pass")),
                Ok(None) if wait.sleep(Duration::from_millis(10)).is_ok() => {}
                Ok(None) | Err(_) => {
                    let _gone = kill_process_group(Pid::from_child(&child), Signal::KILL);
                    let _reaped = child.wait();
                    return Err(format!("`{run}` takes too long"));
                }
            }
        }
    }

    fn target(&self, port: u16) -> Target {
        let own = self.ports.iter().find(|(inside, _)| *inside == port).map_or(port, |(_, own)| *own);
        Target { host: "127.0.0.1".to_owned(), port: own }
    }

    /// How it ended, where it has.
    pub(super) fn exit_code(&mut self) -> Option<i64> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(status.code().map_or(-1, i64::from))
    }

    /// What it printed last.
    pub(super) fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        let from = bytes.len().saturating_sub(TAIL);
        String::from_utf8_lossy(&bytes[from..]).into_owned()
    }
}

impl Drop for ProcessService {
    fn drop(&mut self) {
        // The first process of a sandbox would take the others down without grace.
        let wrapper = matches!(self.confine.isolation, Isolation::Bubblewrap { .. });
        self.marker.signal(Signal::TERM, wrapper.then(|| Pid::from_child(&self.child)));
        let until = Instant::now() + self.grace;
        while Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _gone = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        self.marker.kill_all();
        let _reaped = self.child.wait();
    }
}

impl Confine {
    fn command(&self, script: &Path, env: &BTreeMap<OsString, OsString>) -> Result<Command, Refusal> {
        let words = ["-eu".to_owned(), script.to_string_lossy().into_owned()];
        let cell = Cell::beside(&self.isolation, &self.policy, self.group.clone())?;
        let mut command = cell.command(&self.directory, "/bin/sh", &words, env)?;
        command.process_group(0);
        Ok(command)
    }
}

/// Ports of the loopback address that nobody has; all are held until each is known, so that they differ.
fn free_ports(wanted: &[u16]) -> std::io::Result<Vec<(u16, u16)>> {
    let held: Vec<TcpListener> =
        wanted.iter().map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
    wanted.iter().zip(&held).map(|(&port, held)| Ok((port, held.local_addr()?.port()))).collect()
}
