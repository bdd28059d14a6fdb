//! A Service that runs in a container beside the Steps.

use std::io::Read as _;
use std::time::Duration;

use serde_json::Value;
use towpath_api::containers::ServiceOrder;
use towpath_model::container::Probe;

use super::engine::{Engine, text};
use super::exec::Container;
use super::frames::Frames;
use super::health::{self, Target};
use super::http::{Body, Wait};
use super::room::inspect;
use super::spec::tcp;
use super::usage::Usage;

/// How long the engine may take for a small thing.
const CALL: Duration = Duration::from_secs(60);

/// How long one probe by a command may take.
const PROBE: Duration = Duration::from_secs(10);

/// How many lines of a failed Service are shown.
const LINES: usize = 40;

/// Why a Service cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Faulty {
    /// The agent could not start it.
    Broken(String),
    /// It ended by itself.
    Ended(i64),
    /// Its time was up; the last probe's words.
    NotReady(String),
    /// The Attempt ended meanwhile.
    Cancelled,
}

/// A container that was started for a Service.
pub(super) struct ContainerService {
    pub(super) name: String,
    /// Its address in the Attempt's network.
    pub(super) address: Option<String>,
    container: Container,
    state: Value,
}

impl ContainerService {
    pub(super) fn start(
        engine: &Engine,
        name: &str,
        id: String,
        network: Option<&str>,
        wait: Wait<'_>,
    ) -> Result<Self, Faulty> {
        let broken = |error: super::engine::EngineError| {
            if error.is_cancelled() { Faulty::Cancelled } else { Faulty::Broken(error.to_string()) }
        };
        let path = format!("/containers/{id}/start");
        engine.post("start a service", &path, None, wait.at_most(CALL)).map_err(broken)?;
        let state = inspect(engine, &id).map_err(broken)?;
        let networks = &state["NetworkSettings"]["Networks"];
        let address = network.map(|network| text(&networks[network]["IPAddress"]).to_owned());
        let usage = Usage::of(state["State"]["Pid"].as_u64().unwrap_or(0));
        let container = Container { engine: engine.clone(), id, usage };
        Ok(Self {
            name: name.to_owned(),
            address: address.filter(|address| !address.is_empty()),
            container,
            state,
        })
    }

    /// Tries the probe until it passes.
    pub(super) fn wait_until_healthy(&mut self, order: &ServiceOrder, wait: Wait<'_>) -> Result<(), Faulty> {
        health::until_ready(order, wait, || match self.exit_code() {
            Some(code) => Err(Faulty::Ended(code)),
            None => Ok(self.probe(&order.health.probe)),
        })
    }

    fn probe(&self, probe: &Probe) -> Result<(), String> {
        match probe {
            Probe::None => Ok(()),
            Probe::Command { run } => {
                let words = ["sh", "-c", run].map(str::to_owned).to_vec();
                match self.container.passes(words, None, PROBE) {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(format!("`{run}` does not pass")),
                    Err(error) => Err(error.to_string()),
                }
            }
            Probe::Tcp { port } => health::tcp(&self.target(*port)),
            Probe::Http { port, path } => health::http(&self.target(*port), path),
        }
    }

    /// Where the agent reaches a port: published on the loopback address, else in the Attempt's network.
    fn target(&self, port: u16) -> Target {
        match self.published(port) {
            Some(published) => Target { host: "127.0.0.1".to_owned(), port: published },
            None => Target { host: self.address.clone().unwrap_or_default(), port },
        }
    }

    fn published(&self, port: u16) -> Option<u16> {
        text(&self.state["NetworkSettings"]["Ports"][tcp(port)][0]["HostPort"]).parse().ok()
    }

    /// Where Steps outside of containers reach it.
    pub(super) fn host(&self) -> String {
        "127.0.0.1".to_owned()
    }

    /// Its ports, and which of the host's each of them is.
    pub(super) fn ports(&self, order: &ServiceOrder) -> Vec<(u16, u16)> {
        order.ports.iter().filter_map(|&port| Some((port, self.published(port)?))).collect()
    }

    /// How it ended, where it has.
    pub(super) fn exit_code(&self) -> Option<i64> {
        let state = inspect(&self.container.engine, &self.container.id).ok()?;
        let ended = state["State"]["Running"] == false && state["State"]["Status"] != "created";
        ended.then(|| state["State"]["ExitCode"].as_i64().unwrap_or(-1))
    }

    /// What it printed last.
    pub(super) fn log(&self) -> String {
        log_of(&self.container.engine, &self.container.id)
    }
}

/// The last lines of a container's output; empty where they cannot be had.
pub(super) fn log_of(engine: &Engine, id: &str) -> String {
    let path = format!("/containers/{id}/logs?stdout=true&stderr=true&tail={LINES}");
    let answer = engine.open("read a log", "GET", &path, Vec::new(), Body::None, Wait::patiently(CALL));
    let Ok(answer) = answer else { return String::new() };
    let (mut bytes, mut said) = (Vec::new(), Vec::new());
    // A log that breaks off is shown as far as it came.
    let _cut = answer.take(1 << 20).read_to_end(&mut bytes);
    Frames::default().push(&bytes, &mut |_, part| said.extend_from_slice(part));
    String::from_utf8_lossy(&said).into_owned()
}
