//! Brings up one Instance, watches it, and takes it down.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch::Receiver;
use towpath_api::agent::{InstanceOrder, InstancePhase};
use towpath_model::InstanceId;

use super::probe::{Door, probe};
use super::release::{Installed, Obstacle, Place};
use super::spec::{ChildState, InstanceDirectory, InstanceSpec, SupervisorStatus};
use super::{About, Shared, retire};
use crate::processes::{INSTANCE_MARKER, Marker};

/// How often the supervisor's word is read.
const TICK: Duration = Duration::from_millis(200);

/// Time between readiness probes while an Instance starts: short at first, so that a quick one is
/// seen at once.
const FIRST_PROBES: Duration = Duration::from_millis(50);
const STARTING_PROBES: Duration = Duration::from_secs(1);

/// How long a supervisor may take to end after its grace period and before it is killed.
const SUPERVISOR_PATIENCE: Duration = Duration::from_secs(5);

/// How long an Instance that was ready goes on before it gets its stop signal.
///
/// The server wants it gone only after every gateway has confirmed that no new request goes there. What is in
/// flight ends in this time even where the program drops its connections at the signal.
const DRAIN: Duration = Duration::from_secs(1);

/// How often a container is tried to be removed whose engine does not answer.
const REMOVE_AGAIN: Duration = Duration::from_secs(1);

/// Time between attempts to fetch.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// One Instance and what is known of it.
pub(super) struct Watch {
    shared: Arc<Shared>,
    instance: InstanceId,
    directory: InstanceDirectory,
    order: Option<InstanceOrder>,
    stop: Receiver<bool>,
    supervisor: Option<Child>,
    about: About,
    /// When an image that the engine has lost is brought again.
    bring_at: Instant,
}

/// What probing has shown since the command was started.
struct Health {
    /// The start that this is about.
    start: Option<(i32, u32)>,
    begun: Instant,
    ready: Option<bool>,
    was_ready: bool,
    failures: u32,
    pause: Duration,
    next: Instant,
}

impl Watch {
    /// An Instance that the server wants.
    pub(super) fn ordered(
        shared: Arc<Shared>,
        directory: InstanceDirectory,
        order: InstanceOrder,
        stop: Receiver<bool>,
    ) -> Self {
        let about = About {
            environment: order.environment.clone(),
            revision: order.revision,
            port: None,
            restarts: 0,
        };
        Self {
            shared,
            instance: order.instance,
            directory,
            order: Some(order),
            stop,
            supervisor: None,
            about,
            bring_at: Instant::now(),
        }
    }

    /// An Instance that an earlier agent left.
    pub(super) fn adopted(
        shared: Arc<Shared>,
        directory: InstanceDirectory,
        spec: InstanceSpec,
        stop: Receiver<bool>,
    ) -> Self {
        let about = About {
            environment: spec.environment,
            revision: spec.revision,
            port: Some(spec.port),
            restarts: 0,
        };
        let (instance, bring_at) = (spec.instance, Instant::now());
        Self { shared, instance, directory, order: None, stop, supervisor: None, about, bring_at }
    }

    /// Runs until the Instance was stopped.
    pub(super) async fn run(mut self) {
        let failed = match self.bring_up().await {
            Ok(Some(spec)) => self.attend(spec).await,
            Ok(None) => Ok(()),
            Err(reason) => Err(reason),
        };
        if let Err(reason) = failed {
            self.say(InstancePhase::Failed, reason);
            // It stays listed as failed until the server does not want it any more.
            let _stop_or_agent_ends = self.stop.wait_for(|stop| *stop).await;
        }
        if *self.stop.borrow() {
            self.take_down().await;
        }
    }

    fn say(&self, phase: InstancePhase, message: impl Into<String>) {
        self.shared.report(self.instance, &self.about, phase, message.into());
    }

    /// The spec of an Instance whose supervisor runs; `None` if it was stopped before.
    async fn bring_up(&mut self) -> Result<Option<InstanceSpec>, String> {
        if let Some(order) = self.order.take() {
            let Some(installed) = self.install(&order).await? else { return Ok(None) };
            let unwritable = |error: std::io::Error| {
                format!("{} cannot be written: {error}", self.directory.path.display())
            };
            fs::create_dir_all(&self.directory.path).map_err(unwritable)?;
            let spec = spec_of(order, installed, self.shared.address)?;
            self.directory.write_spec(&spec).map_err(unwritable)?;
        }
        let spec = self.directory.spec().map_err(|error| format!("its spec cannot be read: {error}"))?;
        self.about.port = Some(spec.port);
        if !self.directory.is_supervised() {
            self.start_supervisor()?;
        }
        Ok(Some(spec))
    }

    /// Fetches, verifies and unpacks; tries again while the server is away.
    async fn install(&mut self, order: &InstanceOrder) -> Result<Option<Installed>, String> {
        self.say(InstancePhase::Fetching, format!("fetching release {}", order.release.short()));
        let mut pause = FIRST_RETRY;
        loop {
            let installed = tokio::select! {
                installed = self.shared.installer.install(order) => installed,
                _ = self.stop.wait_for(|stop| *stop) => return Ok(None),
            };
            match installed {
                Ok(installed) => return Ok(Some(installed)),
                Err(Obstacle::Lasting(reason)) => return Err(reason),
                Err(Obstacle::Passing(reason)) => {
                    self.say(InstancePhase::Fetching, format!("{reason}; it is tried again"))
                }
            }
            if tokio::time::timeout(pause, self.stop.wait_for(|stop| *stop)).await.is_ok() {
                return Ok(None);
            }
            pause = (pause * 2).min(LONGEST_RETRY);
        }
    }

    fn start_supervisor(&mut self) -> Result<(), String> {
        self.marker().kill_all();
        // Its standard files lead nowhere: it outlives whatever they would lead to.
        let child = Command::new(&self.shared.program)
            .arg("supervise")
            .arg(&self.directory.path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{} cannot be started: {error}", self.shared.program.display()))?;
        self.supervisor = Some(child);
        self.say(InstancePhase::Starting, "the supervisor was started");
        Ok(())
    }

    fn marker(&self) -> Marker {
        Marker::new(INSTANCE_MARKER, &self.instance.to_string())
    }

    /// Watches until the stop is wanted.
    async fn attend(&mut self, mut spec: InstanceSpec) -> Result<(), String> {
        let mut health = Health::new();
        loop {
            self.reap();
            if !self.directory.is_supervised() && !self.is_starting_up() {
                tracing::warn!(instance = %self.instance, "its supervisor is gone and is started again");
                self.start_supervisor()?;
            }
            if let Some(status) = self.directory.status() {
                self.consider(&status, &mut spec, &mut health).await?;
            }
            let pause = TICK.min(health.next.saturating_duration_since(Instant::now()));
            if tokio::time::timeout(pause, self.stop.wait_for(|stop| *stop)).await.is_ok() {
                return Ok(());
            }
        }
    }

    /// Takes the exit status of a supervisor that ended, so that no zombie stays.
    fn reap(&mut self) {
        if self.supervisor.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None))) {
            self.supervisor = None;
        }
    }

    /// Between its start and its lock a supervisor is on its way.
    const fn is_starting_up(&self) -> bool {
        self.supervisor.is_some()
    }

    async fn consider(
        &mut self,
        status: &SupervisorStatus,
        spec: &mut InstanceSpec,
        health: &mut Health,
    ) -> Result<(), String> {
        self.about.restarts = status.restarts;
        let why = status.last_exit.as_deref().unwrap_or("the command ended");
        match &status.state {
            ChildState::Running { pid, port, .. } => {
                self.about.port = Some(*port);
                if health.start != Some((*pid, status.restarts)) {
                    *health = Health { start: Some((*pid, status.restarts)), ..Health::new() };
                }
                if Instant::now() >= health.next {
                    self.probe(spec, *port, status.supervisor, health).await;
                }
            }
            ChildState::Waiting { until } => {
                self.say(InstancePhase::Restarting, format!("{why}; it is started again at {until:.0}"));
                self.change_taken_port(spec)?;
                if status.lacks_image && Instant::now() >= self.bring_at {
                    self.bring_again(spec).await?;
                }
            }
            ChildState::Stopping => self.say(InstancePhase::Restarting, "it is ended and started again"),
            ChildState::Stopped => self.say(InstancePhase::Restarting, why),
        }
        Ok(())
    }

    /// Chooses another port while the command is down, if somebody else has taken the old one.
    fn change_taken_port(&self, spec: &mut InstanceSpec) -> Result<(), String> {
        if TcpListener::bind((spec.host, spec.port)).is_ok() {
            return Ok(());
        }
        spec.port = free_port(spec.host)?;
        self.directory.write_spec(spec).map_err(|error| format!("its spec cannot be written: {error}"))
    }

    /// Brings the image again that somebody has removed from the engine.
    async fn bring_again(&mut self, spec: &InstanceSpec) -> Result<(), String> {
        self.bring_at = Instant::now() + LONGEST_RETRY;
        match self.shared.installer.bring_again(spec).await {
            Ok(()) => Ok(()),
            Err(Obstacle::Lasting(reason)) => Err(reason),
            Err(Obstacle::Passing(reason)) => {
                self.say(InstancePhase::Restarting, format!("{reason}; it is tried again"));
                Ok(())
            }
        }
    }

    /// Asks the program, and its image's own HEALTHCHECK where there is one.
    async fn ask(&self, spec: &InstanceSpec, address: SocketAddr, path: Option<&str>) -> Result<(), String> {
        let door = if spec.container.is_some() { Door::Engine } else { Door::Program };
        probe(address, path, spec.protocol, spec.health.timeout.unsigned_abs(), door).await?;
        if !spec.container.as_ref().is_some_and(|container| container.has_healthcheck) {
            return Ok(());
        }
        let (containers, spec) = (Arc::clone(&self.shared.containers), spec.clone());
        let looked = tokio::task::spawn_blocking(move || containers.look(&spec)).await;
        match looked {
            Ok(Ok(Some(state))) => state.health.unwrap_or(Ok(())),
            Ok(Ok(None)) => Err("its container is gone".to_owned()),
            // The engine may be restarting while its containers go on, and the program has just answered.
            Ok(Err(_)) | Err(_) => Ok(()),
        }
    }

    async fn probe(&self, spec: &InstanceSpec, port: u16, supervisor: i32, health: &mut Health) {
        let address = SocketAddr::new(spec.host, port);
        let ready = self.ask(spec, address, spec.health.ready.as_deref()).await;
        health.ready = Some(ready.is_ok());
        match &ready {
            Ok(()) => self.say(InstancePhase::Ready, "the readiness probe passes"),
            Err(reason) if health.was_ready => self.say(InstancePhase::NotReady, reason.clone()),
            Err(reason) => self.say(InstancePhase::Starting, reason.clone()),
        }
        health.was_ready |= ready.is_ok();
        let period = spec.health.period.unsigned_abs();
        health.pause =
            if health.was_ready { period } else { (health.pause * 2).min(STARTING_PROBES).min(period) };
        health.next = Instant::now() + health.pause;
        if let Some(reason) = self.too_ill(spec, address, health).await {
            tracing::warn!(instance = %self.instance, "it is started anew: {reason}");
            signal(supervisor, Signal::HUP);
            health.next = Instant::now() + period;
        }
    }

    /// Why the command must be started anew, if it must.
    async fn too_ill(&self, spec: &InstanceSpec, address: SocketAddr, health: &mut Health) -> Option<String> {
        if !health.was_ready {
            let limit = spec.health.start_within.unsigned_abs();
            return (health.begun.elapsed() > limit).then(|| format!("it was not ready within {limit:?}"));
        }
        let has_healthcheck = spec.container.as_ref().is_some_and(|container| container.has_healthcheck);
        let path = spec.health.live.as_deref();
        if path.is_none() && !has_healthcheck {
            return None;
        }
        match self.ask(spec, address, path).await {
            Ok(()) => health.failures = 0,
            Err(reason) => {
                health.failures += 1;
                if health.failures >= spec.health.failures {
                    return Some(format!("the liveness probe failed {} times: {reason}", health.failures));
                }
            }
        }
        None
    }

    /// Stops the supervisor, which stops the command, and clears up.
    async fn take_down(&mut self) {
        if let Ok(spec) = self.directory.spec() {
            self.stop_supervisor(&spec).await;
            self.marker().kill_all();
            self.remove_container(&spec).await;
            if let Err(error) = retire(&self.shared, &self.directory, self.instance) {
                tracing::warn!(instance = %self.instance, "its directory could not be put away: {error}");
            }
        }
        self.say(InstancePhase::Stopped, "stopped, as wanted");
    }

    /// Sees to it that the container is gone, whatever became of its supervisor.
    async fn remove_container(&self, spec: &InstanceSpec) {
        if spec.container.is_none() {
            return;
        }
        loop {
            let (containers, own) = (Arc::clone(&self.shared.containers), spec.clone());
            let removed = tokio::task::spawn_blocking(move || containers.remove(&own)).await;
            let why = match removed {
                Ok(Ok(())) => return,
                Ok(Err(why)) => why,
                Err(error) => error.to_string(),
            };
            self.say(InstancePhase::Stopping, format!("its container is not removed yet: {why}"));
            tokio::time::sleep(REMOVE_AGAIN).await;
        }
    }

    async fn stop_supervisor(&mut self, spec: &InstanceSpec) {
        let grace = spec.stop.grace.unsigned_abs();
        if self.shared.is_ready(self.instance) {
            self.say(InstancePhase::Stopping, "no new request goes there; those in flight end");
            tokio::time::sleep(DRAIN).await;
        }
        self.say(InstancePhase::Stopping, format!("it got {} and has {grace:?} to end", spec.stop.signal));
        let deadline = Instant::now() + grace + SUPERVISOR_PATIENCE;
        let mut asked = None;
        while self.directory.is_supervised() || self.supervisor.is_some() {
            // Its number is known once it has said it; before, from the agent's own child.
            let own = self.supervisor.as_ref().and_then(|child| i32::try_from(child.id()).ok());
            let pid = own.or_else(|| self.directory.status().map(|status| status.supervisor));
            let late = Instant::now() > deadline;
            if let Some(pid) = pid.filter(|pid| asked != Some(*pid) || late) {
                signal(pid, if late { Signal::KILL } else { Signal::TERM });
                asked = Some(pid);
            }
            self.reap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Health {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            start: None,
            begun: now,
            ready: None,
            was_ready: false,
            failures: 0,
            pause: FIRST_PROBES,
            next: now,
        }
    }
}

fn spec_of(order: InstanceOrder, installed: Installed, host: IpAddr) -> Result<InstanceSpec, String> {
    let InstanceOrder {
        instance,
        environment,
        workload,
        revision,
        release: _,
        signature: _,
        values,
        secrets,
        container: _,
    } = order;
    let Installed { workload: what, artifact, place } = installed;
    let mut env = what.env;
    env.extend(values);
    let (directory, container) = match place {
        Place::Directory(directory) => (directory, None),
        Place::Container(container) => (PathBuf::new(), Some(*container)),
    };
    if let Some(container) = &container {
        // Inside, it listens for whoever reaches its network; outside, only the published port is there.
        env.insert("HOST".to_owned(), "0.0.0.0".to_owned());
        env.insert("PORT".to_owned(), container.port.to_string());
        env.insert("TOWPATH_ENVIRONMENT".to_owned(), environment.to_string());
        env.insert("TOWPATH_WORKLOAD".to_owned(), workload.to_string());
        env.insert("TOWPATH_REVISION".to_owned(), revision.to_string());
    }
    let (health, stop, limits, protocol) = (what.health, what.stop, what.limits, what.protocol);
    let port = free_port(host)?;
    let command = what.command;
    Ok(InstanceSpec {
        instance,
        environment,
        workload,
        revision,
        artifact,
        directory,
        command,
        container,
        env,
        secrets,
        host,
        port,
        health,
        stop,
        limits,
        protocol,
    })
}

/// A port that is free now. Should another take it before the command does, the next start gets another.
fn free_port(host: IpAddr) -> Result<u16, String> {
    TcpListener::bind((host, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| format!("no port can be had on {host}: {error}"))
}

fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It may have ended by itself.
        let _gone = kill_process(pid, signal);
    }
}
