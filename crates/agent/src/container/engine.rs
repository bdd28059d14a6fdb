//! A container engine on this host: Docker, or Podman, which speaks the same API.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::http::{self, Answer, Body, Request, Wait};

/// The version of the API that is asked for, where the engine has it.
const API: (u32, u32) = (1, 41);

/// How long an engine may take to say what it is.
const PROBE: Duration = Duration::from_secs(5);

/// Which engine it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// Docker, or what calls itself so.
    Docker,
    /// Podman.
    Podman,
}

impl EngineKind {
    /// Its name in labels and messages.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }
}

/// A container engine that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    socket: PathBuf,
    kind: EngineKind,
    version: String,
    api: String,
    rootless: bool,
    /// Whether it limits memory, processors and processes: some kernels and rootless set-ups cannot.
    limits: bool,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rootless = if self.rootless { ", rootless" } else { "" };
        write!(f, "{} {}{rootless} at {}", self.kind.word(), self.version, self.socket.display())
    }
}

/// No container engine can be used on this host.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "no container engine answers on this host: {tried}. Install Docker (Debian, Ubuntu: `apt install docker.io`) or Podman \
     (`apt install podman`, then `systemctl enable --now podman.socket`) and let the agent's user use its socket, \
     or name another socket with DOCKER_HOST=unix:///path"
)]
pub struct NoEngine {
    tried: String,
}

impl NoEngine {
    /// Nobody looked for one.
    pub(super) fn not_wanted() -> Self {
        Self { tried: "none was looked for".to_owned() }
    }
}

/// Why the engine did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// It was not reached, or its answer broke off.
    #[error("the container engine at {} did not answer: {source}", socket.display())]
    Unreachable {
        /// Its socket.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It refused.
    #[error("the container engine refused to {action}: {message}")]
    Refused {
        /// What was asked for.
        action: &'static str,
        /// The status of HTTP.
        status: u16,
        /// What it said.
        message: String,
    },
    /// Its answer cannot be understood.
    #[error("the container engine's answer to {action} cannot be read")]
    Unreadable {
        /// What was asked for.
        action: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl EngineError {
    /// Whether there is no such thing.
    pub(super) const fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Whether the Attempt was cancelled while the engine worked.
    pub(super) fn is_cancelled(&self) -> bool {
        matches!(self, Self::Unreachable { source, .. } if source.kind() == io::ErrorKind::ConnectionAborted)
    }
}

impl Engine {
    /// Finds the first engine that answers: where DOCKER_HOST or CONTAINER_HOST says, else at the usual sockets.
    ///
    /// # Errors
    /// Says what was tried.
    pub fn detect() -> Result<Self, NoEngine> {
        let mut tried = Vec::new();
        for socket in sockets() {
            match Self::at(&socket) {
                Ok(engine) => return Ok(engine),
                Err(EngineError::Unreachable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    tried.push(format!("{} does not exist", socket.display()));
                }
                Err(error) => tried.push(error.to_string()),
            }
        }
        Err(NoEngine { tried: tried.join("; ") })
    }

    /// The engine at this socket.
    ///
    /// # Errors
    /// Fails where it does not answer.
    pub fn at(socket: &Path) -> Result<Self, EngineError> {
        let mut engine = Self {
            socket: socket.to_owned(),
            kind: EngineKind::Docker,
            version: String::new(),
            api: String::new(),
            rootless: false,
            limits: true,
        };
        let wait = || Wait::patiently(PROBE);
        let version: Value = engine.get("say its version", "/version", wait())?;
        let podman = version["Components"]
            .as_array()
            .is_some_and(|parts| parts.iter().any(|part| text(&part["Name"]).starts_with("Podman")));
        engine.kind = if podman { EngineKind::Podman } else { EngineKind::Docker };
        engine.version = text(&version["Version"]).to_owned();
        engine.api = api_of(text(&version["MinAPIVersion"]), text(&version["ApiVersion"]));
        let info: Value = engine.get("describe itself", "/info", wait())?;
        engine.rootless = info["SecurityOptions"]
            .as_array()
            .is_some_and(|options| options.iter().any(|option| text(option).contains("rootless")));
        engine.limits = info["MemoryLimit"].as_bool().unwrap_or(true);
        Ok(engine)
    }

    /// Which engine it is.
    #[must_use]
    pub const fn kind(&self) -> EngineKind {
        self.kind
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether root in a container is an ordinary user of the host.
    pub(super) const fn is_rootless(&self) -> bool {
        self.rootless
    }

    /// Whether limits hold.
    pub(super) const fn has_limits(&self) -> bool {
        self.limits
    }

    pub(super) fn get<T: DeserializeOwned>(
        &self,
        action: &'static str,
        path: &str,
        wait: Wait<'_>,
    ) -> Result<T, EngineError> {
        let bytes = self.ask(action, "GET", path, Body::None, wait)?;
        serde_json::from_slice(&bytes).map_err(|source| EngineError::Unreadable { action, source })
    }

    pub(super) fn post(
        &self,
        action: &'static str,
        path: &str,
        body: Option<&Value>,
        wait: Wait<'_>,
    ) -> Result<Value, EngineError> {
        let body = body.map_or(Body::None, |body| Body::Json(body.to_string().into_bytes()));
        let bytes = self.ask(action, "POST", path, body, wait)?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Value::Null);
        }
        // Podman ends some answers without JSON where Docker has none at all.
        Ok(serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// Removes something; what is gone already is removed.
    pub(super) fn delete(&self, action: &'static str, path: &str, wait: Wait<'_>) -> Result<(), EngineError> {
        match self.ask(action, "DELETE", path, Body::None, wait) {
            Err(error) if !error.is_missing() => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn ask(
        &self,
        action: &'static str,
        method: &'static str,
        path: &str,
        body: Body<'_>,
        wait: Wait<'_>,
    ) -> Result<Vec<u8>, EngineError> {
        let answer = self.open(action, method, path, Vec::new(), body, wait)?;
        answer.whole().map_err(|source| self.unreachable(source))
    }

    /// Sends a request; an answer that is no refusal is left to be read.
    pub(super) fn open<'a>(
        &self,
        action: &'static str,
        method: &'static str,
        path: &str,
        headers: Vec<(&'static str, String)>,
        body: Body<'_>,
        wait: Wait<'a>,
    ) -> Result<Answer<'a>, EngineError> {
        let path = if self.api.is_empty() { path.to_owned() } else { format!("/v{}{path}", self.api) };
        let request = Request { method, path, headers, body };
        let answer = http::send(&self.socket, request, wait).map_err(|source| self.unreachable(source))?;
        let status = answer.status;
        if status < 400 {
            return Ok(answer);
        }
        let mut said = Vec::new();
        // A refusal whose words break off is a refusal all the same.
        let _cut = answer.take(64 * 1024).read_to_end(&mut said);
        let json: Option<Value> = serde_json::from_slice(&said).ok();
        let message = json
            .and_then(|json| json["message"].as_str().or(json["cause"].as_str()).map(str::to_owned))
            .unwrap_or_else(|| String::from_utf8_lossy(&said).trim().to_owned());
        Err(EngineError::Refused { action, status, message })
    }

    pub(super) fn unreachable(&self, source: io::Error) -> EngineError {
        EngineError::Unreachable { socket: self.socket.clone(), source }
    }
}

/// A JSON text, or nothing.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Encodes a part of a path or a query.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte))
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// The version to ask for: [`API`], within what the engine has.
fn api_of(least: &str, most: &str) -> String {
    let parse = |text: &str| -> Option<(u32, u32)> {
        let (major, minor) = text.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    let least = parse(least).unwrap_or(API);
    let most = parse(most).unwrap_or(API);
    let (major, minor) = API.max(least).min(most);
    format!("{major}.{minor}")
}

/// Where engines usually listen.
fn sockets() -> Vec<PathBuf> {
    let named = ["DOCKER_HOST", "CONTAINER_HOST"];
    let named: Vec<PathBuf> = named
        .iter()
        .filter_map(|name| std::env::var(name).ok()?.strip_prefix("unix://").map(PathBuf::from))
        .collect();
    if !named.is_empty() {
        return named;
    }
    let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let below = |name: &str| own.as_ref().map(|own| own.join(name));
    [
        Some(PathBuf::from("/run/docker.sock")),
        below("docker.sock"),
        below("podman/podman.sock"),
        Some(PathBuf::from("/run/podman/podman.sock")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_for_a_version_that_the_engine_has() {
        assert_eq!(api_of("1.12", "1.41"), "1.41");
        assert_eq!(api_of("1.44", "1.52"), "1.44");
        assert_eq!(api_of("1.24", "1.40"), "1.40");
        assert_eq!(api_of("", "nonsense"), "1.41");
    }

    #[test]
    fn encodes_what_would_change_a_path() {
        assert_eq!(encoded("a/b?c&d=é"), "a%2Fb%3Fc%26d%3D%C3%A9");
    }
}
