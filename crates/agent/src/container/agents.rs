//! Whole agents as containers, for pools that grow and shrink: made, found again by their labels, and removed.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use towpath_model::container::Image;
use towpath_model::pipeline::Limits;

use super::engine::{Engine, EngineError, NoEngine, encoded, text};
use super::http::Wait;
use super::image::{self, ImageError};
use super::spec::{CAPABILITIES, limit};

/// Which pool a container belongs to, and as whom. No other label of Towpath: an agent that clears away after killed ones
/// must not see it.
const POOL: &str = "dev.towpath.pool";
const MEMBER: &str = "dev.towpath.member";

/// Where the host's own program is in a container.
const PROGRAM: &str = "/usr/local/bin/towpath";

/// How long an engine may take for one thing, and for an image.
const CALL: Duration = Duration::from_secs(30);
const PULL: Duration = Duration::from_secs(20 * 60);

/// How many seconds an agent that has nothing to do may take to end.
const GRACE: u64 = 10;

/// How long a container that ended by itself is kept, for its log.
const KEPT: Duration = Duration::from_secs(60 * 60);

/// What the agents of a pool run in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentContainer {
    /// Tells the containers of this pool from all others of the host.
    pub pool: String,
    /// The image, and when it is asked for.
    pub image: Image,
    /// The network; the engine's own where nothing is said.
    pub network: Option<String>,
    /// What one may use.
    pub limits: Limits,
    /// A program of this host that takes the place of `towpath` in the image.
    pub program: Option<PathBuf>,
    /// Arguments of `towpath agent join`.
    pub arguments: Vec<String>,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum AgentsError {
    /// There is no engine.
    #[error(transparent)]
    None(#[from] NoEngine),
    /// The engine did not do it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// There is no image.
    #[error("{0}")]
    Image(String),
}

impl From<ImageError> for AgentsError {
    fn from(error: ImageError) -> Self {
        Self::Image(crate::executor::chain(&error))
    }
}

/// The agents of one pool on one engine.
#[derive(Debug)]
pub struct AgentContainers {
    container: AgentContainer,
    socket: Option<PathBuf>,
    /// Found when it is first needed, and again after it was away.
    engine: Mutex<Option<Engine>>,
}

impl AgentContainers {
    /// Nothing is asked of an engine before it is needed.
    #[must_use]
    pub const fn new(container: AgentContainer, socket: Option<PathBuf>) -> Self {
        Self { container, socket, engine: Mutex::new(None) }
    }

    /// The members whose containers are there and have not ended. What is left of those that ended a while ago is removed.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn list(&self) -> Result<Vec<String>, AgentsError> {
        self.with(|engine| {
            let filter = json!({ "label": [format!("{POOL}={}", self.container.pool)] }).to_string();
            let path = format!("/containers/json?all=true&filters={}", encoded(&filter));
            let containers: Vec<Value> = engine.get("list containers", &path, Wait::patiently(CALL))?;
            let mut members = Vec::new();
            for container in &containers {
                let labels = &container["Labels"];
                // Engines that do not know the filter list everything.
                if labels[POOL] != self.container.pool.as_str() {
                    continue;
                }
                match text(&container["State"]) {
                    "exited" | "dead" | "stopped" => {
                        if is_old(container["Created"].as_u64().unwrap_or(0)) {
                            remove(engine, text(&container["Id"]))?;
                        }
                    }
                    _ => members.push(text(&labels[MEMBER]).to_owned()),
                }
            }
            Ok(members)
        })
    }

    /// Starts a member, whose agent joins with a token.
    ///
    /// # Errors
    /// When there is no image, or the engine fails; nothing is left then.
    pub fn start(&self, member: &str, token: &str) -> Result<(), AgentsError> {
        self.with(|engine| {
            let image = &self.container.image;
            let resolved = image::resolve(engine, image, None, Wait::patiently(PULL), &mut |_| ())?;
            let body = self.container.to_json(&resolved.id, member, token, engine.has_limits());
            let path = format!("/containers/create?name={}", encoded(member));
            let made = engine.post("create a container", &path, Some(&body), Wait::patiently(CALL))?;
            let id = text(&made["Id"]);
            let path = format!("/containers/{id}/start");
            match engine.post("start a container", &path, None, Wait::patiently(CALL)) {
                Ok(_) => Ok(()),
                Err(error) => {
                    remove(engine, id)?;
                    Err(error.into())
                }
            }
        })
    }

    /// Stops a member and removes its container; one that is not there is fine.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn stop(&self, member: &str) -> Result<(), AgentsError> {
        self.with(|engine| {
            let path = format!("/containers/{}/stop?t={GRACE}", encoded(member));
            let wait = Wait::patiently(CALL + Duration::from_secs(GRACE));
            match engine.post("stop a container", &path, None, wait) {
                Err(error) if !error.is_missing() => return Err(error.into()),
                Ok(_) | Err(_) => {}
            }
            Ok(remove(engine, member)?)
        })
    }

    fn with<T>(&self, work: impl FnOnce(&Engine) -> Result<T, AgentsError>) -> Result<T, AgentsError> {
        let mut known = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        let engine = match known.take() {
            Some(engine) => engine,
            None => match &self.socket {
                Some(socket) => Engine::at(socket)?,
                None => Engine::detect()?,
            },
        };
        let done = work(&engine);
        if !matches!(done, Err(AgentsError::Engine(EngineError::Unreachable { .. }))) {
            *known = Some(engine);
        }
        done
    }
}

impl AgentContainer {
    /// The body of the request that makes one.
    fn to_json(&self, image: &str, member: &str, token: &str, enforce: bool) -> Value {
        let Self { pool, image: _, network, limits, program, arguments } = self;
        let mut command: Vec<&str> = vec![
            if program.is_some() { PROGRAM } else { "towpath" },
            "agent",
            "join",
            "--run",
            "--no-deployer",
        ];
        command.extend(arguments.iter().map(String::as_str));
        let mut host = json!({
            "CapDrop": ["ALL"],
            "CapAdd": CAPABILITIES,
            "SecurityOpt": ["no-new-privileges"],
            "Privileged": false,
            "RestartPolicy": { "Name": "no" },
        });
        if let Some(network) = network {
            host["NetworkMode"] = json!(network);
        }
        if let Some(program) = program {
            host["Mounts"] =
                json!([{ "Type": "bind", "Source": program, "Target": PROGRAM, "ReadOnly": true }]);
        }
        if enforce {
            limit(&mut host, limits);
        }
        json!({
            "Image": image,
            "Entrypoint": [],
            "Cmd": command,
            "Env": [format!("TOWPATH_JOIN_TOKEN={token}")],
            "Labels": { POOL: pool, MEMBER: member },
            "HostConfig": host,
        })
    }
}

fn remove(engine: &Engine, name: &str) -> Result<(), EngineError> {
    let path = format!("/containers/{}?force=true&v=true", encoded(name));
    engine.delete("remove a container", &path, Wait::patiently(CALL))
}

/// Whether a container was made so long ago, in seconds since 1970, that nobody looks at its log any more.
fn is_old(created: u64) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    now.saturating_sub(created) > KEPT.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::spec::PROCESSES;

    #[test]
    fn a_container_has_no_right_that_reaches_the_host() {
        let container = AgentContainer {
            pool: "/data linux".into(),
            image: Image { name: "a".into(), pull: Default::default(), user: None, credentials: None },
            network: Some("host".into()),
            limits: Limits { memory: Some(1 << 30), cpu: Some(1500), processes: None },
            program: Some("/opt/towpath".into()),
            arguments: vec!["--one-job".into()],
        };
        let body = container.to_json("sha256:1", "linux-1", "tpj_x", true);
        let host = &body["HostConfig"];
        assert_eq!((&host["Privileged"], &host["CapDrop"]), (&json!(false), &json!(["ALL"])));
        assert_eq!(host["Mounts"][0]["ReadOnly"], true);
        assert_eq!((&host["Memory"], &host["NanoCpus"]), (&json!(1 << 30), &json!(1_500_000_000)));
        assert_eq!(host["PidsLimit"], PROCESSES);
        assert_eq!(body["Cmd"][0], PROGRAM);
        assert!(!body["Cmd"].to_string().contains("tpj_"), "the token is no argument");
        assert_eq!(body["Labels"][POOL], "/data linux");
        let without = container.to_json("sha256:1", "linux-1", "tpj_x", false);
        assert_eq!(
            without["HostConfig"]["PidsLimit"],
            Value::Null,
            "an engine that holds no limits is asked for none"
        );
    }
}
