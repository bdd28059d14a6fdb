//! What `pools` in the server's configuration file may say.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;
use towpath_model::container::Pull;
use towpath_model::pipeline::Limits;
use towpath_model::pool::PoolSettings;

use crate::rest::check_labels;

/// The most agents of one pool. Each costs a look at the database every few seconds.
const MOST: u32 = 200;

/// The most Jobs at once of one agent.
const MOST_CAPACITY: u32 = 256;

/// The longest name: a member's name begins with it, and may be that of a container or a host, so of 63 bytes.
const LONGEST_NAME: usize = 30;

/// A pool of agents that grows and shrinks with the queue.
#[derive(Debug, Clone)]
pub struct PoolOptions {
    pub(crate) name: String,
    pub(crate) settings: PoolSettings,
    /// How many Jobs one agent runs at once.
    pub(crate) capacity: u32,
    /// Whether an agent ends after one Job.
    pub(crate) one_job: bool,
    /// What starts and stops agents.
    pub(crate) kind: DriverKind,
}

/// What starts and stops the agents of a pool.
#[derive(Debug, Clone)]
pub(crate) enum DriverKind {
    /// This program, on the server's own host.
    Process,
    /// Commands.
    Command(Hooks),
    /// A container engine.
    Docker(DockerFile),
}

impl DriverKind {
    /// As the file names it.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Command(_) => "command",
            Self::Docker(_) => "docker",
        }
    }
}

/// The container that an agent runs in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DockerFile {
    /// Its reference; by digest it means the same tomorrow.
    pub(super) image: String,
    #[serde(default)]
    pub(super) pull: Pull,
    /// The engine's socket, where it is not the usual one.
    pub(super) socket: Option<PathBuf>,
    /// The network that it is in; `host` is the host's own.
    pub(super) network: Option<String>,
    /// Bytes.
    memory: Option<String>,
    /// Processors.
    cpus: Option<f64>,
    processes: Option<u32>,
    /// A program of this host that takes the place of `towpath` in the image.
    pub(super) program: Option<PathBuf>,
    /// Whether Jobs run in it without a sandbox of their own.
    #[serde(default)]
    pub(super) unsandboxed: bool,
}

impl DockerFile {
    /// What the container may use.
    ///
    /// # Errors
    /// In words, where something cannot be a limit.
    pub(super) fn limits(&self) -> Result<Limits, &'static str> {
        let memory = match &self.memory {
            None => None,
            Some(text) => Some(towpath_config::size(text).ok_or("needs a `memory` like `2GiB`")?),
        };
        let cpu = match self.cpus {
            None => None,
            Some(cpus) if (0.01..=1024.0).contains(&cpus) => Some((cpus * 1000.0).round() as u32),
            Some(_) => return Err("needs `cpus` from 0.01 to 1024"),
        };
        if self.processes == Some(0) {
            return Err("needs 1 or more `processes`");
        }
        Ok(Limits { memory, cpu, processes: self.processes })
    }
}

/// Commands that start, stop and list agents.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hooks {
    pub(super) start: Vec<String>,
    pub(super) stop: Vec<String>,
    pub(super) list: Vec<String>,
    timeout: Option<SignedDuration>,
}

impl Hooks {
    /// How long one may take.
    pub(super) fn timeout(&self) -> Duration {
        const USUAL: Duration = Duration::from_mins(1);
        self.timeout.and_then(|timeout| timeout.try_into().ok()).unwrap_or(USUAL)
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DriverName {
    #[default]
    Process,
    Command,
    Docker,
}

/// A pool as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PoolFile {
    #[serde(default)]
    driver: DriverName,
    hooks: Option<Hooks>,
    docker: Option<DockerFile>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    minimum: u32,
    maximum: u32,
    waiting_per_agent: Option<u32>,
    scale_up_after: Option<SignedDuration>,
    cool_down: Option<SignedDuration>,
    idle_limit: Option<SignedDuration>,
    capacity: Option<u32>,
    #[serde(default)]
    one_job: bool,
}

/// Why a pool was not taken.
#[derive(Debug, thiserror::Error)]
#[error("the pool `{name}` in the configuration file {what}")]
pub struct PoolError {
    name: String,
    what: String,
}

impl PoolFile {
    /// Checks what the file says of the pool `name`.
    pub(crate) fn check((name, file): (String, Self)) -> Result<PoolOptions, PoolError> {
        let wrong = |what: &str| Err(PoolError { name: name.clone(), what: what.to_owned() });
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(plain) {
            return wrong("needs another name: 1 to 30 lower-case letters, digits and `-`");
        }
        let Self {
            driver,
            hooks,
            docker,
            labels,
            minimum,
            maximum,
            waiting_per_agent,
            scale_up_after,
            cool_down,
            idle_limit,
            capacity,
            one_job,
        } = file;
        if let Err(problem) = check_labels(&labels) {
            return wrong(&format!("has a label that cannot be one: {}", problem.detail()));
        }
        if maximum == 0 || maximum > MOST || minimum > maximum {
            return wrong("needs a `maximum` from 1 to 200 and a `minimum` that is not larger");
        }
        if waiting_per_agent == Some(0) || capacity.is_some_and(|most| most == 0 || most > MOST_CAPACITY) {
            return wrong("needs a `waiting_per_agent` of 1 or more and a `capacity` from 1 to 256");
        }
        if one_job && capacity.is_some_and(|most| most > 1) {
            return wrong("has agents for one job, so a `capacity` of more than 1 means nothing");
        }
        let times = [scale_up_after, cool_down, idle_limit, hooks.as_ref().and_then(|hooks| hooks.timeout)];
        if times.iter().flatten().any(SignedDuration::is_negative) {
            return wrong("has a time that is negative");
        }
        let kind = match (driver, hooks, docker) {
            (DriverName::Process, None, None) => DriverKind::Process,
            (DriverName::Process | DriverName::Docker, Some(_), _) => {
                return wrong("has `hooks`, which need `driver: command`");
            }
            (DriverName::Process | DriverName::Command, _, Some(_)) => {
                return wrong("has `docker`, which needs `driver: docker`");
            }
            (DriverName::Command, None, None) => {
                return wrong("needs `hooks: { start: […], stop: […], list: […] }` for `driver: command`");
            }
            (DriverName::Command, Some(hooks), None) => {
                if [&hooks.start, &hooks.stop, &hooks.list].iter().any(|hook| hook.is_empty()) {
                    return wrong("has an empty hook; write each as a list of the program and its arguments");
                }
                DriverKind::Command(hooks)
            }
            (DriverName::Docker, None, None) => {
                return wrong("needs `docker: { image: … }` for `driver: docker`");
            }
            (DriverName::Docker, None, Some(docker)) => {
                if let Err(what) = docker.limits() {
                    return wrong(what);
                }
                let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
                if !docker.image.starts_with(|c: char| c.is_ascii_alphanumeric())
                    || !docker.image.chars().all(plain)
                {
                    return wrong(
                        "needs an `image` that can be one: `debian:bookworm`, `registry/tool@sha256:…`",
                    );
                }
                if docker.program.as_ref().is_some_and(|program| !program.is_absolute()) {
                    return wrong("needs a `program` with its full path");
                }
                DriverKind::Docker(docker)
            }
        };
        let capacity = if one_job { 1 } else { capacity.unwrap_or(1) };
        Ok(PoolOptions {
            settings: PoolSettings {
                labels,
                minimum,
                maximum,
                waiting_per_agent: waiting_per_agent.unwrap_or(capacity),
                scale_up_after: scale_up_after.unwrap_or(SignedDuration::from_secs(5)),
                cool_down: cool_down.unwrap_or(SignedDuration::from_mins(1)),
                idle_limit: idle_limit.unwrap_or(SignedDuration::from_mins(10)),
            },
            name,
            capacity,
            one_job,
            kind,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<PoolOptions, String> {
        let file: PoolFile = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        PoolFile::check(("linux".to_owned(), file)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_pool_has_times_for_people_and_says_what_is_wrong_with_it() {
        let pool = check("{ maximum: 4, capacity: 2, idle_limit: 90s, cool_down: 2m }").expect("a good pool");
        let PoolSettings { minimum, waiting_per_agent, idle_limit, cool_down, .. } = pool.settings;
        assert_eq!((minimum, waiting_per_agent), (0, 2));
        assert_eq!((idle_limit.as_secs(), cool_down.as_secs()), (90, 120));
        let hooks = "hooks: { start: [up], stop: [down], list: [ls] }";
        assert!(check(&format!("{{ maximum: 1, driver: command, {hooks} }}")).is_ok());
        let docker =
            "docker: { image: a, pull: never, network: host, memory: 2GiB, cpus: 1.5, processes: 100 }";
        let pool = check(&format!("{{ maximum: 1, driver: docker, {docker} }}")).expect("a good pool");
        let DriverKind::Docker(docker) = pool.kind else { panic!("another driver") };
        let limits = Limits { memory: Some(2 << 30), cpu: Some(1500), processes: Some(100) };
        assert_eq!(docker.limits(), Ok(limits));
        for (text, why) in [
            ("{ maximum: 0 }", "`maximum` from 1"),
            ("{ maximum: 1, minimum: 2 }", "not larger"),
            ("{ maximum: 1, labels: { os: 'a b' } }", "cannot be a label"),
            ("{ maximum: 1, driver: command }", "needs `hooks"),
            ("{ maximum: 1, driver: command, hooks: { start: [], stop: [a], list: [b] } }", "empty hook"),
            (&format!("{{ maximum: 1, {hooks} }}"), "need `driver: command`"),
            ("{ maximum: 1, driver: docker }", "needs `docker: {"),
            ("{ maximum: 1, docker: { image: a } }", "needs `driver: docker`"),
            ("{ maximum: 1, driver: docker, docker: { image: 'a b' } }", "`image` that can be one"),
            ("{ maximum: 1, driver: docker, docker: { image: a, memory: much } }", "`2GiB`"),
            ("{ maximum: 1, driver: docker, docker: { image: a, cpus: 0 } }", "`cpus`"),
            ("{ maximum: 1, driver: docker, docker: { image: a, program: bin/towpath } }", "full path"),
            ("{ maximum: 1, driver: docker, docker: { image: a, privileged: true } }", "privileged"),
            ("{ maximum: 1, idle_limit: -1s }", "negative"),
            ("{ maximum: 1, one_job: true, capacity: 2 }", "means nothing"),
            ("{ maximum: 1, driver: cloud }", "command"),
            ("{ minimum: 1 }", "maximum"),
        ] {
            let said = check(text).err().unwrap_or_default();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
