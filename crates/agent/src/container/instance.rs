//! The container of an Instance: made, found again by its name, looked at, signalled and removed.
//!
//! When it is started and ended is decided by the Instance's supervisor; this is only the way to the engine.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use towpath_model::pipeline::Limits;
use towpath_model::policy::Docker;
use towpath_model::{Digest, EnvironmentKey, InstanceId, WorkloadName};

use super::engine::{Engine, EngineError, encoded, text};
use super::http::{Body, Wait};
use super::spec::{limit, tcp};
use crate::executor::Stream;

/// Which agent a container, network or image of an Instance belongs to. Not the label of Jobs' containers: those are
/// removed when their agent starts, these are not.
pub(crate) const DEPLOYER: &str = "dev.towpath.deployer";

/// What it is of.
pub(crate) const INSTANCE: &str = "dev.towpath.instance";
const PROJECT: &str = "dev.towpath.project";
const ENVIRONMENT: &str = "dev.towpath.environment";
const WORKLOAD: &str = "dev.towpath.workload";
const REVISION: &str = "dev.towpath.revision";

/// How often the Instance was started before.
const START: &str = "dev.towpath.start";

/// How long the engine may take for a small thing.
pub(crate) const CALL: Duration = Duration::from_secs(30);

/// How often a container is tried to be started whose network is taken away at that moment.
const START_TRIES: u32 = 5;

/// As much as one directory in memory may hold.
const TMPFS: &str = "rw,nosuid,nodev,mode=1777,size=512m";

/// The longest piece of output that an engine sends at once; they cut lines at 16 KiB.
const LONGEST_FRAME: usize = 1 << 20;

/// What a container is made from.
#[derive(Debug)]
pub(crate) struct Making<'a> {
    pub(crate) deployer: &'a str,
    pub(crate) instance: InstanceId,
    pub(crate) environment: &'a EnvironmentKey,
    pub(crate) workload: &'a WorkloadName,
    pub(crate) revision: Digest,
    /// How often it was started before.
    pub(crate) start: u32,
    /// The image's id, which no tag can move.
    pub(crate) image: &'a str,
    /// In place of what the image runs.
    pub(crate) command: Option<&'a str>,
    pub(crate) env: BTreeMap<&'a str, &'a str>,
    /// Where it listens, and where of the host that is.
    pub(crate) port: u16,
    pub(crate) published: std::net::SocketAddr,
    pub(crate) network: &'a str,
    pub(crate) docker: &'a Docker,
    pub(crate) limits: &'a Limits,
}

/// How a container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) id: String,
    pub(crate) running: bool,
    /// Its first process, as the host numbers it.
    pub(crate) pid: i32,
    /// Changes with every start.
    pub(crate) started_at: String,
    /// The port of the host that is its own.
    pub(crate) published: Option<u16>,
    /// What its image wants to be told to end.
    pub(crate) stop_signal: Option<String>,
    /// How it ended the last time, for people.
    pub(crate) ended: String,
    /// What its image's HEALTHCHECK says; `None` where it has none.
    pub(crate) health: Option<Result<(), String>>,
    instance: String,
}

/// The container's name: one Instance never has two.
pub(crate) fn name(environment: &EnvironmentKey, workload: &WorkloadName, instance: InstanceId) -> String {
    let EnvironmentKey { project, environment } = environment;
    format!("towpath-{project}-{environment}-{workload}-{instance}").replace('/', "-")
}

/// Looks at a container; `None` where there is none.
pub(crate) fn find(engine: &Engine, name: &str) -> Result<Option<State>, EngineError> {
    let path = format!("/containers/{}/json", encoded(name));
    match engine.get::<Value>("look at a container", &path, Wait::patiently(CALL)) {
        Ok(said) => Ok(Some(State::of(&said))),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes a container and starts it. What cannot be started is removed.
pub(crate) fn start(engine: &Engine, making: &Making<'_>) -> Result<State, EngineError> {
    let mut tries = 1..START_TRIES;
    loop {
        match start_once(engine, making) {
            // The last Instance of its network has just taken that away.
            Err(EngineError::Refused { status: 404, message, .. })
                if message.contains("network") && tries.next().is_some() => {}
            done => return done,
        }
    }
}

fn start_once(engine: &Engine, making: &Making<'_>) -> Result<State, EngineError> {
    let name = name(making.environment, making.workload, making.instance);
    let network = network_of(engine, making.network, making.deployer)?;
    let path = format!("/containers/create?name={}", encoded(&name));
    let body = making.to_json(&network, engine.has_limits());
    engine.post("create a container", &path, Some(&body), Wait::patiently(CALL))?;
    let path = format!("/containers/{}/start", encoded(&name));
    let started = engine.post("start a container", &path, None, Wait::patiently(CALL));
    let state = started.and_then(|_| find(engine, &name));
    match state {
        Ok(Some(state)) => Ok(state),
        Ok(None) => Err(EngineError::Refused {
            action: "start a container",
            status: 404,
            message: "somebody removed it at once".to_owned(),
        }),
        Err(error) => {
            remove(engine, &name)?;
            Err(error)
        }
    }
}

/// Sends a signal; a container that does not run needs none.
pub(crate) fn signal(engine: &Engine, name: &str, signal: &str) -> Result<(), EngineError> {
    let path = format!("/containers/{}/kill?signal={}", encoded(name), encoded(signal));
    match engine.post("signal a container", &path, None, Wait::patiently(CALL)) {
        // 409: it does not run. Podman says 500 for the same.
        Err(EngineError::Refused { status: 404 | 409 | 500, .. }) | Ok(_) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes a container with all that it wrote, running or not.
pub(crate) fn remove(engine: &Engine, name: &str) -> Result<(), EngineError> {
    let path = format!("/containers/{}?force=true&v=true", encoded(name));
    match engine.delete("remove a container", &path, Wait::patiently(CALL)) {
        // 409: it is being removed already.
        Err(EngineError::Refused { status: 409, .. }) => Ok(()),
        done => done,
    }
}

/// Every Instance whose container belongs to this agent, and the container's name.
pub(crate) fn list(engine: &Engine, deployer: &str) -> Result<Vec<(String, String)>, EngineError> {
    let filter = json!({ "label": [format!("{DEPLOYER}={deployer}")] }).to_string();
    let path = format!("/containers/json?all=true&filters={}", encoded(&filter));
    let all: Vec<Value> = engine.get("list containers", &path, Wait::patiently(CALL))?;
    // Engines that do not know the filter list everything.
    let own = all.iter().filter(|container| container["Labels"][DEPLOYER] == deployer);
    let of = |container: &Value| {
        (text(&container["Labels"][INSTANCE]).to_owned(), text(&container["Id"]).to_owned())
    };
    Ok(own.map(of).collect())
}

/// The id of the network of this name; it is made where there is none.
///
/// Engines take a name twice when two ask at once. The oldest one counts then, whoever looks, and the other goes again.
fn network_of(engine: &Engine, name: &str, deployer: &str) -> Result<String, EngineError> {
    if let Some(there) = oldest_network(engine, name)? {
        return Ok(there);
    }
    let body = json!({
        "Name": name,
        "Driver": "bridge",
        "CheckDuplicate": true,
        "Labels": { DEPLOYER: deployer },
    });
    let made = match engine.post("make a network", "/networks/create", Some(&body), Wait::patiently(CALL)) {
        Ok(made) => text(&made["Id"]).to_owned(),
        // Another Instance made it meanwhile.
        Err(EngineError::Refused { status: 409, .. }) => String::new(),
        Err(error) => return Err(error),
    };
    let Some(oldest) = oldest_network(engine, name)? else {
        let message = format!("{name} was removed at once");
        return Err(EngineError::Refused { action: "make a network", status: 404, message });
    };
    if oldest != made && !made.is_empty() {
        let path = format!("/networks/{}", encoded(&made));
        engine.delete("remove a network", &path, Wait::patiently(CALL))?;
    }
    Ok(oldest)
}

fn oldest_network(engine: &Engine, name: &str) -> Result<Option<String>, EngineError> {
    let filter = json!({ "name": [name] }).to_string();
    let path = format!("/networks?filters={}", encoded(&filter));
    let all: Vec<Value> = engine.get("list networks", &path, Wait::patiently(CALL))?;
    // The filter finds parts of names, too.
    let of_it = all.iter().filter(|network| network["Name"] == name);
    let age = |network: &&Value| {
        let created = text(&network["Created"]).parse::<Timestamp>().unwrap_or(Timestamp::MAX);
        (created, text(&network["Id"]).to_owned())
    };
    Ok(of_it.min_by_key(age).map(|network| text(&network["Id"]).to_owned()))
}

/// Removes networks that this agent made and no Instance of it joins any more; says how many.
pub(crate) fn remove_networks(
    engine: &Engine,
    deployer: &str,
    is_used: impl Fn(&str) -> bool,
) -> Result<usize, EngineError> {
    let filter = json!({ "label": [format!("{DEPLOYER}={deployer}")] }).to_string();
    let path = format!("/networks?filters={}", encoded(&filter));
    let all: Vec<Value> = engine.get("list networks", &path, Wait::patiently(CALL))?;
    let mut removed = 0;
    for network in all.iter().filter(|network| network["Labels"][DEPLOYER] == deployer) {
        let name = text(&network["Name"]);
        if is_used(name) {
            continue;
        }
        let path = format!("/networks/{}", encoded(text(&network["Id"])));
        match engine.delete("remove a network", &path, Wait::patiently(CALL)) {
            Ok(()) => removed += 1,
            // Somebody else's container is in it.
            Err(EngineError::Refused { status: 403 | 409, .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}

/// Gives on what a container printed from a moment on, with the time of each piece; with `follow`, until it ends.
pub(crate) fn output(
    engine: &Engine,
    id: &str,
    since: Timestamp,
    follow: bool,
    wait: Wait<'_>,
    take: &mut dyn FnMut(Stream, Timestamp, &[u8]),
) -> Result<(), EngineError> {
    let since = format!("{}.{:09}", since.as_second().max(0), since.subsec_nanosecond().max(0));
    let path = format!(
        "/containers/{id}/logs?stdout=true&stderr=true&timestamps=true&follow={follow}&since={since}"
    );
    let mut answer = engine.open("read a log", "GET", &path, Vec::new(), Body::None, wait)?;
    let mut header = [0; 8];
    let mut piece = Vec::new();
    loop {
        match answer.read(&mut header[..1]) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(engine.unreachable(error)),
        }
        let whole = answer.read_exact(&mut header[1..]).and_then(|()| {
            let [stream, _, _, _, a, b, c, d] = header;
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            if length > LONGEST_FRAME {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a piece of a log is too long"));
            }
            piece.resize(length, 0);
            answer.read_exact(&mut piece)?;
            Ok(if stream == 2 { Stream::Stderr } else { Stream::Stdout })
        });
        let stream = whole.map_err(|error| engine.unreachable(error))?;
        let space = piece.iter().position(|byte| *byte == b' ').unwrap_or(piece.len());
        let at = std::str::from_utf8(&piece[..space]).ok().and_then(|text| text.parse().ok());
        match at {
            Some(at) => take(stream, at, piece.get(space + 1..).unwrap_or_default()),
            None => take(stream, Timestamp::now(), &piece),
        }
    }
}

impl State {
    fn of(said: &Value) -> Self {
        let state = &said["State"];
        let ports = said["NetworkSettings"]["Ports"].as_object();
        let published =
            ports.into_iter().flatten().find_map(|(_, bound)| text(&bound[0]["HostPort"]).parse().ok());
        let stop_signal = said["Config"]["StopSignal"].as_str().filter(|signal| !signal.is_empty());
        Self {
            id: text(&said["Id"]).to_owned(),
            running: state["Running"].as_bool().unwrap_or(false),
            pid: state["Pid"].as_i64().and_then(|pid| pid.try_into().ok()).unwrap_or(0),
            started_at: text(&state["StartedAt"]).to_owned(),
            published,
            stop_signal: stop_signal.map(str::to_owned),
            ended: end_in_words(state),
            health: health(state),
            instance: text(&said["Config"]["Labels"][INSTANCE]).to_owned(),
        }
    }

    /// Whether it is this Instance's container, and not one that only has its name.
    pub(crate) fn is_of(&self, instance: InstanceId) -> bool {
        self.instance == instance.to_string()
    }
}

fn end_in_words(state: &Value) -> String {
    let code = state["ExitCode"].as_i64().unwrap_or(-1);
    let said = text(&state["Error"]).trim();
    match (state["OOMKilled"] == true, said.is_empty()) {
        (true, _) => format!("the container ran out of memory (exit code {code})"),
        (false, true) => format!("the container ended with exit code {code}"),
        (false, false) => format!("the container ended with exit code {code}: {said}"),
    }
}

fn health(state: &Value) -> Option<Result<(), String>> {
    // Podman says it under another name, and "" where there is none.
    let health = [&state["Health"], &state["Healthcheck"]].into_iter().find(|health| health.is_object())?;
    match text(&health["Status"]) {
        "" | "none" => None,
        "healthy" => Some(Ok(())),
        "starting" => Some(Err("its image's HEALTHCHECK has not passed yet".to_owned())),
        other => {
            let last = health["Log"].as_array().and_then(|log| log.last());
            let said = last.map(|last| text(&last["Output"])).unwrap_or_default();
            let said: String = said.trim().chars().take(200).collect();
            Some(Err(format!("its image's HEALTHCHECK says {other}: {said}")))
        }
    }
}

impl Making<'_> {
    /// The body of the request.
    fn to_json(&self, network: &str, enforce: bool) -> Value {
        let Self {
            deployer,
            instance,
            environment,
            workload,
            revision,
            start,
            image,
            command,
            env,
            port,
            published,
            network: _,
            docker,
            limits,
        } = self;
        // Passwords of registries are the engine's alone.
        let Docker { network: _, writable, tmpfs, capabilities, ulimits, registries: _ } = docker;
        let ulimits: Vec<Value> = ulimits
            .iter()
            .map(|(name, value)| json!({ "Name": name, "Soft": value, "Hard": value }))
            .collect();
        let tmpfs: Map<_, _> = tmpfs.iter().map(|path| (path.clone(), json!(TMPFS))).collect();
        let bound =
            json!([{ "HostIp": published.ip().to_string(), "HostPort": published.port().to_string() }]);
        let ports = Map::from_iter([(tcp(*port), bound)]);
        let mut host = json!({
            "CapDrop": ["ALL"],
            "CapAdd": capabilities,
            "SecurityOpt": ["no-new-privileges"],
            "Privileged": false,
            "IpcMode": "private",
            "ReadonlyRootfs": !writable,
            "Tmpfs": tmpfs,
            "Ulimits": ulimits,
            // Its supervisor starts it again, and knows when to stop doing so.
            "RestartPolicy": { "Name": "no" },
            // As much as an Instance's own log keeps, for the time that nobody follows it.
            "LogConfig": { "Type": "json-file", "Config": { "max-size": "8m", "max-file": "2" } },
            "PortBindings": ports,
            "NetworkMode": network,
        });
        if enforce {
            limit(&mut host, limits);
        }
        let EnvironmentKey { project, environment } = environment;
        let endpoints = Map::from_iter([(network.to_owned(), json!({ "Aliases": [workload] }))]);
        let mut body = json!({
            "Image": image,
            "Env": env.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>(),
            "Labels": {
                DEPLOYER: deployer, INSTANCE: instance.to_string(), PROJECT: project, ENVIRONMENT: environment,
                WORKLOAD: workload, REVISION: revision.to_string(), START: start.to_string(),
            },
            "Tty": false,
            "OpenStdin": false,
            "ExposedPorts": Map::from_iter([(tcp(*port), json!({}))]),
            "NetworkingConfig": { "EndpointsConfig": endpoints },
            "HostConfig": host,
        });
        if let Some(command) = command {
            body["Entrypoint"] = json!([]);
            body["Cmd"] = json!(["sh", "-c", command]);
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(docker: &Docker, enforce: bool) -> Value {
        let environment =
            EnvironmentKey { project: "shop".parse().unwrap(), environment: "edge".parse().unwrap() };
        let making = Making {
            deployer: "agent /srv on h",
            instance: InstanceId(uuid::Uuid::from_u128(1)),
            environment: &environment,
            workload: &"web".parse().unwrap(),
            revision: Digest::of(b"revision"),
            start: 2,
            image: "sha256:1",
            command: None,
            env: BTreeMap::from([("PORT", "8080")]),
            port: 8080,
            published: "192.0.2.7:31000".parse().unwrap(),
            network: "shop",
            docker,
            limits: &Limits { memory: Some(64 << 20), cpu: Some(500), processes: None },
        };
        making.to_json("0123", enforce)
    }

    #[test]
    fn a_container_starts_with_no_right_that_its_document_does_not_name() {
        let body = body(&Docker { tmpfs: vec!["/tmp".to_owned()], ..Docker::default() }, true);
        let host = &body["HostConfig"];
        assert_eq!((&host["CapDrop"], &host["CapAdd"]), (&json!(["ALL"]), &json!([])));
        assert_eq!((&host["Privileged"], &host["ReadonlyRootfs"]), (&json!(false), &json!(true)));
        assert_eq!(host["SecurityOpt"], json!(["no-new-privileges"]));
        assert_eq!((&host["Memory"], &host["NanoCpus"]), (&json!(64 << 20), &json!(500_000_000)));
        assert_eq!(host["PidsLimit"], json!(super::super::spec::PROCESSES));
        assert_eq!(host["PortBindings"]["8080/tcp"][0]["HostIp"], "192.0.2.7");
        assert_eq!(host["RestartPolicy"]["Name"], "no");
        assert_eq!(body["NetworkingConfig"]["EndpointsConfig"]["0123"]["Aliases"], json!(["web"]));
        assert_eq!(body["Labels"][START], "2");
        assert!(body["Cmd"].is_null() && body["Entrypoint"].is_null(), "the image says what it runs");
        let text = body.to_string();
        for outside in ["docker.sock", "podman.sock", "\"Binds\"", "\"Mounts\"", "\"host\""] {
            assert!(!text.contains(outside), "{outside} in {text}");
        }
    }

    #[test]
    fn what_the_document_names_is_there_and_no_password() {
        let docker = Docker {
            writable: true,
            capabilities: vec!["CHOWN".to_owned()],
            ulimits: BTreeMap::from([("nofile".to_owned(), 65_536)]),
            registries: vec![towpath_model::policy::Registry {
                host: "r.example.com".to_owned(),
                username: "robot".to_owned(),
                password: "TOKEN".parse().unwrap(),
            }],
            ..Docker::default()
        };
        let body = body(&docker, false);
        let host = &body["HostConfig"];
        assert_eq!((&host["ReadonlyRootfs"], &host["CapAdd"]), (&json!(false), &json!(["CHOWN"])));
        assert_eq!(host["Ulimits"], json!([{ "Name": "nofile", "Soft": 65_536, "Hard": 65_536 }]));
        assert!(host["Memory"].is_null(), "an engine that holds no limits is asked for none");
        assert!(!body.to_string().contains("robot"), "{body}");
    }

    #[test]
    fn reads_how_a_container_is() {
        let said = json!({
            "Id": "abc", "Config": { "StopSignal": "SIGQUIT", "Labels": { INSTANCE: "x" } },
            "State": { "Running": false, "Pid": 0, "ExitCode": 137, "OOMKilled": true, "StartedAt": "t",
                "Health": { "Status": "unhealthy", "Log": [{ "Output": "no database\n" }] } },
            "NetworkSettings": { "Ports": { "9000/tcp": null, "8080/tcp": [{ "HostIp": "127.0.0.1", "HostPort": "31000" }] } },
        });
        let state = State::of(&said);
        assert_eq!((state.published, state.stop_signal.as_deref()), (Some(31000), Some("SIGQUIT")));
        assert_eq!(state.ended, "the container ran out of memory (exit code 137)");
        assert_eq!(state.health, Some(Err("its image's HEALTHCHECK says unhealthy: no database".to_owned())));
        assert_eq!(
            State::of(&json!({ "State": { "ExitCode": 3 } })).ended,
            "the container ended with exit code 3"
        );
        assert_eq!(
            State::of(&json!({ "State": { "Health": { "Status": "healthy" } } })).health,
            Some(Ok(()))
        );
        assert_eq!(State::of(&json!({})).health, None);
    }
}
