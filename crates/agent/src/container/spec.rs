//! What a container may do and see: the request that makes it, decided here and sent elsewhere.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value, json};
use towpath_model::pipeline::Limits;

/// Where a Job's container sees its workspace, whatever the path on the host: caches that hold paths stay valid.
pub(super) const SOURCE: &str = "/towpath/source";

/// Where it sees scripts, outputs, home and temporary files.
pub(crate) const SCRATCH: &str = "/towpath/scratch";

/// Where it sees the downloads of package managers that outlive the Attempt.
pub(crate) const CACHE: &str = "/towpath/cache";

/// How many processes a container may have where the Job says nothing.
pub(super) const PROCESSES: u32 = 4096;

/// What root in a container may do besides using its own files: enough to install packages and to end processes,
/// nothing that reaches the host. No process gets more than this, whatever file it runs.
pub(super) const CAPABILITIES: &[&str] = &["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID"];

/// Keeps a Job's container while its Steps come and go, by nothing but the shell: `read` waits for an input that never
/// comes. Code 97 says that the engine's files are not the agent's.
pub(super) const KEEPER: &str = "[ -d /towpath/scratch/tmp ] || exit 97; read -r _";

/// The exit code of [`KEEPER`] where the engine does not see the workspace.
pub(super) const NO_WORKSPACE: i64 = 97;

/// How a container reaches others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Net {
    /// Not at all.
    None,
    /// By the Attempt's own network.
    Own {
        name: String,
        /// Under which name others reach it.
        alias: String,
        /// Whether its ports are to be had on the host's loopback address.
        publish: bool,
    },
}

/// A container to make.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    /// By its id, so that no tag can move.
    pub(super) image: String,
    /// In place of the image's own.
    pub(super) entrypoint: Option<Vec<String>>,
    pub(super) command: Vec<String>,
    pub(super) user: Option<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) directory: Option<String>,
    /// Host path and path in the container.
    pub(super) mounts: Vec<(PathBuf, &'static str)>,
    pub(super) net: Net,
    pub(super) ports: Vec<u16>,
    /// Name and address of each Service that is there already.
    pub(super) hosts: Vec<(String, String)>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) limits: Limits,
    /// Whether the engine can hold limits at all.
    pub(super) enforce: bool,
}

/// Writes limits into the `HostConfig` of a container.
pub(super) fn limit(host: &mut Value, limits: &Limits) {
    host["PidsLimit"] = json!(limits.processes.unwrap_or(PROCESSES));
    if let Some(memory) = limits.memory {
        host["Memory"] = json!(memory);
        // The same number: no swap, so that the limit is one.
        host["MemorySwap"] = json!(memory);
    }
    if let Some(thousandths) = limits.cpu {
        host["NanoCpus"] = json!(u64::from(thousandths) * 1_000_000);
    }
}

impl Spec {
    /// The body of the request.
    pub(super) fn to_json(&self) -> Value {
        let Self {
            image,
            entrypoint,
            command,
            user,
            env,
            directory,
            mounts,
            net,
            ports,
            hosts,
            labels,
            limits,
            enforce,
        } = self;
        let mut host = json!({
            "CapDrop": ["ALL"],
            "CapAdd": CAPABILITIES,
            "SecurityOpt": ["no-new-privileges"],
            "Privileged": false,
            "IpcMode": "private",
            "RestartPolicy": { "Name": "no" },
            "Mounts": mounts.iter().map(|(from, to)| json!({ "Type": "bind", "Source": from, "Target": to })).collect::<Vec<_>>(),
            "ExtraHosts": hosts.iter().map(|(name, address)| format!("{name}:{address}")).collect::<Vec<_>>(),
        });
        if *enforce {
            limit(&mut host, limits);
        }
        let mut body = json!({
            "Image": image,
            "Cmd": command,
            "Env": env.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>(),
            "Labels": labels,
            "Tty": false,
            "OpenStdin": true,
        });
        if let Some(entrypoint) = entrypoint {
            body["Entrypoint"] = json!(entrypoint);
        }
        if let Some(user) = user {
            body["User"] = json!(user);
        }
        if let Some(directory) = directory {
            body["WorkingDir"] = json!(directory);
        }
        match net {
            Net::None => host["NetworkMode"] = json!("none"),
            Net::Own { name, alias, publish } => {
                host["NetworkMode"] = json!(name);
                let mut endpoints = Map::new();
                endpoints.insert(name.clone(), json!({ "Aliases": [alias] }));
                body["NetworkingConfig"] = json!({ "EndpointsConfig": endpoints });
                if *publish {
                    let exposed: Map<_, _> = ports.iter().map(|port| (tcp(*port), json!({}))).collect();
                    let bindings: Map<_, _> = ports
                        .iter()
                        .map(|port| (tcp(*port), json!([{ "HostIp": "127.0.0.1", "HostPort": "" }])))
                        .collect();
                    body["ExposedPorts"] = Value::Object(exposed);
                    host["PortBindings"] = Value::Object(bindings);
                }
            }
        }
        body["HostConfig"] = host;
        body
    }
}

/// A port as engines name it.
pub(super) fn tcp(port: u16) -> String {
    format!("{port}/tcp")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        Spec {
            image: "sha256:1".to_owned(),
            entrypoint: None,
            command: vec!["sh".to_owned()],
            user: Some("0:0".to_owned()),
            env: BTreeMap::from([("A".to_owned(), "b=c".to_owned())]),
            directory: None,
            mounts: vec![(PathBuf::from("/srv/a:b/source"), SOURCE)],
            net: Net::None,
            ports: vec![5432],
            hosts: Vec::new(),
            labels: BTreeMap::new(),
            limits: Limits { memory: Some(64 << 20), cpu: Some(500), processes: None },
            enforce: true,
        }
    }

    #[test]
    fn takes_every_right_away_that_a_job_does_not_need() {
        let body = spec().to_json();
        let host = &body["HostConfig"];
        assert_eq!(host["CapDrop"], json!(["ALL"]));
        assert_eq!(host["SecurityOpt"], json!(["no-new-privileges"]));
        assert_eq!(host["Privileged"], false);
        assert_eq!(host["NetworkMode"], "none");
        assert_eq!((&host["Memory"], &host["MemorySwap"]), (&json!(64 << 20), &json!(64 << 20)));
        assert_eq!((&host["NanoCpus"], &host["PidsLimit"]), (&json!(500_000_000), &json!(4096)));
        assert_eq!(host["Mounts"][0]["Source"], "/srv/a:b/source");
        let text = body.to_string();
        for outside in ["docker.sock", "podman.sock", "SYS_ADMIN", "\"host\""] {
            assert!(!text.contains(outside), "{outside} in {text}");
        }
        assert_eq!(body["Env"], json!(["A=b=c"]));
    }

    #[test]
    fn publishes_ports_on_the_loopback_address_only() {
        let own = |publish| Net::Own { name: "n".to_owned(), alias: "db".to_owned(), publish };
        let body = Spec { net: own(true), ..spec() }.to_json();
        assert_eq!(body["HostConfig"]["PortBindings"]["5432/tcp"][0]["HostIp"], "127.0.0.1");
        assert_eq!(body["NetworkingConfig"]["EndpointsConfig"]["n"]["Aliases"], json!(["db"]));
        let body = Spec { net: own(false), ..spec() }.to_json();
        assert!(body["HostConfig"]["PortBindings"].is_null());
    }
}
