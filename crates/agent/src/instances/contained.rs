//! The supervisor of an Instance that is a container.
//!
//! The engine runs the container, also when the supervisor is gone; the next one finds it by its name and takes it over.
//! Its output goes from the engine into the Instance's log. An engine that restarts is waited for.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use towpath_api::agent::Secret;

use super::log::{SharedLog, last_printed};
use super::spec::{ChildState, ContainerSpec, InstanceSpec};
use super::supervise::{Supervisor, Wish};
use crate::container::instance::{self, Making, State};
use crate::container::{Engine, EngineError, Wait};
use crate::executor::{Lines, Masker, Stream};

/// How long output is followed at once. Then the engine is asked how the container is: some lose a log that they rotate.
const FOLLOW: Duration = Duration::from_secs(30);

/// How long the rest of the output of a container that ended is read.
const REST: Duration = Duration::from_secs(10);

/// The pause before an engine that does not answer is asked again.
const AWAY: Duration = Duration::from_secs(1);

/// The pause before output is followed again that broke off.
const BROKEN_OFF: Duration = Duration::from_millis(100);

/// How a container ended.
enum Ended {
    /// By itself, or by a signal.
    Exited(String),
    /// Somebody else started it anew.
    Anew,
}

impl Supervisor {
    /// Runs the container until it has ended. Says what was asked for meanwhile.
    pub(super) fn run_container(
        &mut self,
        spec: &InstanceSpec,
        container: &ContainerSpec,
    ) -> io::Result<Option<Wish>> {
        loop {
            let launched = Engine::at(&container.socket)
                .and_then(|engine| Ok((self.launch(&engine, spec, container)?, engine)));
            let (state, engine) = match launched {
                Ok(launched) => launched,
                Err(error) => {
                    self.lacks_image = is_without_image(&error);
                    let why = format!("could not be started: {error}");
                    self.log.line("towpath", &why);
                    self.last_exit = Some(why);
                    return Ok(None);
                }
            };
            (self.began, self.lacks_image) = (true, false);
            let port = state.published.unwrap_or(spec.port);
            self.say(ChildState::Running { pid: state.pid, port, since: Timestamp::now() })?;
            let (wish, ended) = self.attend_container(&engine, spec, state)?;
            match ended {
                Ended::Exited(why) => {
                    self.log.line("towpath", &why);
                    self.last_exit = Some(why);
                    return Ok(wish);
                }
                Ended::Anew => {
                    let why = "somebody else started the container anew";
                    self.log.line("towpath", why);
                    self.last_exit = Some(why.to_owned());
                    if wish.is_some() {
                        return Ok(wish);
                    }
                    self.restarts += 1;
                }
            }
        }
    }

    /// Takes over the container that runs, or makes one.
    fn launch(
        &mut self,
        engine: &Engine,
        spec: &InstanceSpec,
        container: &ContainerSpec,
    ) -> Result<State, EngineError> {
        let name = spec.container_name();
        let found = instance::find(engine, &name)?;
        if !self.began && found.is_some() {
            // An earlier supervisor of this Instance counted so far.
            self.restarts = self.directory.status().map_or(0, |status| status.restarts);
        }
        match found {
            Some(state) if state.running && state.is_of(spec.instance) => {
                self.log.line("towpath", &format!("goes on with the running container {name}"));
                return Ok(state);
            }
            Some(state) => {
                if !self.began {
                    self.restarts += 1;
                    self.log.line("towpath", &state.ended);
                }
                instance::remove(engine, &name)?;
            }
            None => {}
        }
        let state = instance::start(engine, &making(spec, container, self.restarts))?;
        let image = container.reference.as_deref().unwrap_or(&container.image);
        self.log.line("towpath", &format!("started {image} as {name} on {}:{}", spec.host, spec.port));
        Ok(state)
    }

    fn attend_container(
        &mut self,
        engine: &Engine,
        spec: &InstanceSpec,
        state: State,
    ) -> io::Result<(Option<Wish>, Ended)> {
        let name = spec.container_name();
        let signal = match (spec.stop.signal.as_str(), &state.stop_signal) {
            ("TERM", Some(own)) => own.clone(),
            (signal, _) => format!("SIG{signal}"),
        };
        let (exit, follower) = self.follow(engine, spec, state)?;
        let mut ending: Option<(Wish, Instant)> = None;
        loop {
            let until = ending.map_or(Duration::from_secs(3600), |(_, kill_at)| {
                kill_at.saturating_duration_since(Instant::now())
            });
            if self.wait_for(Some(&exit), &mut [], until)? {
                break;
            }
            if let Some((wish, kill_at)) = &mut ending {
                if Instant::now() >= *kill_at {
                    self.tell(engine, &name, "SIGKILL");
                    *kill_at = Instant::now() + Duration::from_secs(1);
                }
                if self.signals.wish() == Some(Wish::Stop) {
                    *wish = Wish::Stop;
                }
            } else if let Some(wish) = self.signals.wish() {
                self.say(ChildState::Stopping)?;
                let grace = spec.stop.grace;
                self.log.line("towpath", &format!("sending {signal} to the container, SIGKILL in {grace:#}"));
                self.tell(engine, &name, &signal);
                ending = Some((wish, Instant::now() + grace.unsigned_abs()));
            }
        }
        let ended =
            follower.join().map_err(|_| io::Error::other("the thread that follows the log failed"))?;
        Ok((ending.map(|(wish, _)| wish), ended))
    }

    fn tell(&self, engine: &Engine, name: &str, signal: &str) {
        if let Err(error) = instance::signal(engine, name, signal) {
            self.log.line("towpath", &format!("{signal} could not be sent: {error}"));
        }
    }

    /// Follows the output in a thread of its own. The descriptor can be read when the container has ended.
    fn follow(
        &self,
        engine: &Engine,
        spec: &InstanceSpec,
        state: State,
    ) -> io::Result<(OwnedFd, std::thread::JoinHandle<Ended>)> {
        let (ours, theirs) = UnixStream::pair()?;
        let follower = Follower {
            engine: engine.clone(),
            last: last_printed(&self.directory.log()).unwrap_or(Timestamp::UNIX_EPOCH),
            log: self.log.clone(),
            secrets: spec.secrets.clone(),
            state,
        };
        let thread = std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            let ended = follower.run();
            drop(theirs);
            ended
        })?;
        Ok((ours.into(), thread))
    }

    /// Removes the container. Where the engine does not do it now, the agent sees to it.
    pub(super) fn remove_container(&self, spec: &InstanceSpec) {
        let Some(container) = &spec.container else { return };
        let removed = Engine::at(&container.socket).and_then(|engine| {
            instance::remove(&engine, &spec.container_name())?;
            // Engines keep a network that another container is in.
            instance::remove_networks(&engine, &container.deployer, |name| name != container.network)
        });
        if let Err(error) = removed {
            self.log.line("towpath", &format!("the container could not be removed: {error}"));
        }
    }
}

/// What a container is made from.
fn making<'a>(spec: &'a InstanceSpec, container: &'a ContainerSpec, start: u32) -> Making<'a> {
    let InstanceSpec { instance, environment, workload, revision, command, host, port, limits, .. } = spec;
    Making {
        deployer: &container.deployer,
        instance: *instance,
        environment,
        workload,
        revision: *revision,
        start,
        image: &container.image,
        command: command.as_deref(),
        env: variables(spec),
        port: container.port,
        published: SocketAddr::new(*host, *port),
        network: &container.network,
        docker: &container.order.docker,
        limits,
    }
}

/// What the program finds in its environment; the agent has put the rest into the spec.
fn variables(spec: &InstanceSpec) -> BTreeMap<&str, &str> {
    let values = spec.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let secrets = spec.secrets.iter().map(|(name, value)| (name.as_str(), value.expose()));
    values.chain(secrets).collect()
}

/// Whether the engine does not know the image that a container was to be made from.
fn is_without_image(error: &EngineError) -> bool {
    match error {
        EngineError::Refused { action, status: 404, message } => {
            *action == "create a container" && message.to_lowercase().contains("image")
        }
        EngineError::Refused { .. } | EngineError::Unreachable { .. } | EngineError::Unreadable { .. } => {
            false
        }
    }
}

/// Brings the output of a container from the engine into the log.
struct Follower {
    engine: Engine,
    log: SharedLog,
    secrets: BTreeMap<String, Secret>,
    state: State,
    /// When the last line was printed that the log has.
    last: Timestamp,
}

impl Follower {
    fn run(mut self) -> Ended {
        let secrets = std::mem::take(&mut self.secrets);
        let masker = Masker::new(secrets.values().map(Secret::expose));
        let mut lines = [Lines::resume(&masker, Vec::new()), Lines::resume(&masker, Vec::new())];
        loop {
            let begun = Instant::now();
            // How it broke off is not asked: what counts is how the container is.
            let _broken_off = self.copy(&mut lines, true, Wait::patiently(FOLLOW));
            match instance::find(&self.engine, &self.state.id) {
                Ok(Some(now)) if now.running && now.started_at == self.state.started_at => {
                    std::thread::sleep(BROKEN_OFF.saturating_sub(begun.elapsed()));
                }
                Ok(Some(now)) if now.running => return Ended::Anew,
                Ok(Some(now)) => {
                    let _rest = self.copy(&mut lines, false, Wait::patiently(REST));
                    let [out, err] = &mut lines;
                    out.finish(&mut |text| self.log.line_of(self.last, "out", text));
                    err.finish(&mut |text| self.log.line_of(self.last, "err", text));
                    return Ended::Exited(now.ended);
                }
                Ok(None) => return Ended::Exited("somebody else removed the container".to_owned()),
                Err(_away) => std::thread::sleep(AWAY),
            }
        }
    }

    fn copy(
        &mut self,
        [out, err]: &mut [Lines<'_>; 2],
        follow: bool,
        wait: Wait<'_>,
    ) -> Result<(), EngineError> {
        let Self { engine, log, state, last, .. } = self;
        let known = *last;
        let mut is_known = true;
        instance::output(engine, &state.id, known, follow, wait, &mut |stream, at, bytes| {
            // The log keeps microseconds, and the engine gives again what was printed at the moment that is asked for.
            is_known &= at.as_microsecond() <= known.as_microsecond();
            if is_known {
                return;
            }
            *last = at.max(*last);
            let (name, lines) = match stream {
                Stream::Stderr => ("err", &mut *err),
                Stream::Stdout | Stream::Towpath => ("out", &mut *out),
            };
            lines.push(bytes, &mut |text| log.line_of(at, name, text));
        })
    }
}
