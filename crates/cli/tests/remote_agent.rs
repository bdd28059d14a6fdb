//! An agent of another host, as an operator sees it: the real program, real TLS, a real Release, and what happens when
//! the agent is killed or revoked.

#![allow(clippy::unwrap_used, reason = "a failed helper fails the test")]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// What the shop of this test is: it says hello from where it runs.
const SHOP: &str = r#"
use std::io::{Read, Write};
fn main() {
    let host = std::env::var("HOST").unwrap();
    let address = format!("{host}:{}", std::env::var("PORT").unwrap());
    for stream in std::net::TcpListener::bind(address).unwrap().incoming() {
        let mut stream = stream.unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let body = format!("hello from {host}, process {}", std::process::id());
        let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        let _ = stream.write_all(format!("{head}{body}").as_bytes());
    }
}
"#;

const PIPELINE: &str = "\
name: shop
on:
  push: { branches: [main] }
jobs:
  build:
    steps: [{ run: 'test -x shop' }]
    artifacts: { shop: { files: [shop] } }
workloads:
  shop: { artifact: shop, command: ./shop, health: { ready: / } }
stages:
  - name: edge
    environments: [edge]
    deploy: { strategy: recreate }
";

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait().map(drop));
    }
}

/// One server, one agent of "another host", and the files of both.
struct World {
    root: tempfile::TempDir,
    server: Option<Process>,
}

impl World {
    /// Starts a server whose certificates for agents last some seconds only.
    fn start() -> Self {
        let mut world = Self { root: tempfile::tempdir().unwrap(), server: None };
        std::fs::create_dir(world.path("data")).unwrap();
        std::fs::write(world.path("data/server.yaml"), "agent_certificate_seconds: 6\n").unwrap();
        let listen = format!("0.0.0.0:{}", free_port());
        let server = world.spawn("server", &["serve", "--listen", &listen, "--no-agent"]);
        world.server = Some(server);
        world.eventually("the server is up", || world.path("data/run/local.json").exists());
        world.eventually("it answers", || world.run(&["whoami"]).status.success());
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.root.path())
            .env("TOWPATH_DATA_DIR", self.path("data"))
            .env("TOWPATH_ALLOW_UNSANDBOXED", "true")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must succeed, and returns what it printed.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// Starts a process whose log is `name.log`.
    fn spawn(&self, name: &str, arguments: &[&str]) -> Process {
        let log = File::options().create(true).append(true).open(self.path(&format!("{name}.log"))).unwrap();
        let child = self.command(arguments).stdout(log.try_clone().unwrap()).stderr(log).spawn();
        Process(child.unwrap())
    }

    fn agent(&self) -> Process {
        let directory = self.path("edge");
        self.spawn("agent", &["agent", "run", "--dir", text(&directory), "--address", "127.0.0.2"])
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default()
    }

    fn eventually(&self, what: &str, mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !done() {
            let logs = || format!("{}\n--- agent\n{}", self.log("server"), self.log("agent"));
            assert!(Instant::now() < deadline, "did not happen within 60 s: {what}\n--- server\n{}", logs());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The only agent there is.
    fn only_agent(&self) -> Value {
        self.json(&["agent", "list"])[0].clone()
    }

    fn git(&self, arguments: &[&str]) {
        let mut git = Command::new("git");
        git.current_dir(self.path("shop"))
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"])
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_SSL_CAINFO", self.path("data/keys/authority.pem"));
        let output = git.output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", stderr(&output));
    }

    /// Makes the project, lets the Environment be on hosts with `role: edge`, and pushes.
    fn push_shop(&self, listener: &str) {
        self.ok(&["project", "create", "shop"]);
        let document = format!(
            "environment: edge\nproject: shop\ntarget: {{ hosts: {{ role: edge }}, instances: 1 }}\n\
             listen: {listener}\nallow: {{ refs: [refs/heads/main] }}\n"
        );
        std::fs::write(self.path("edge.yaml"), document).unwrap();
        self.ok(&["apply", "shop", text(&self.path("edge.yaml")), "--yes"]);
        let url = self.someone_who_pushes();
        std::fs::create_dir(self.path("shop")).unwrap();
        std::fs::write(self.path("shop.rs"), SHOP).unwrap();
        let rustc = Command::new("rustc")
            .args(["--edition=2024", "-Cdebuginfo=0", "-Cstrip=symbols", "-o"])
            .args([self.path("shop/shop"), self.path("shop.rs")])
            .status();
        assert!(rustc.unwrap().success());
        std::fs::write(self.path("shop/towpath.yaml"), PIPELINE).unwrap();
        self.git(&["init", "-q", "-b", "main"]);
        self.git(&["add", "."]);
        self.git(&["commit", "-q", "-m", "one"]);
        self.git(&["push", "-q", &url, "main"]);
    }

    /// Makes a developer, and returns the repository's address with their login in it.
    fn someone_who_pushes(&self) -> String {
        let local: Value =
            serde_json::from_slice(&std::fs::read(self.path("data/run/local.json")).unwrap()).unwrap();
        let (url, token) = (local["url"].as_str().unwrap(), local["token"].as_str().unwrap());
        let authority = reqwest::Certificate::from_pem(local["authority"].as_str().unwrap().as_bytes());
        let user = json!({
            "login": "dora", "password": "correct-horse-battery",
            "roles": [{"role": "developer", "project": "shop"}],
        });
        let _ = rustls::crypto::ring::default_provider().install_default();
        let made = async {
            let http = reqwest::Client::builder().tls_certs_only([authority.unwrap()]).build().unwrap();
            http.post(format!("{url}api/v1/users")).bearer_auth(token).json(&user).send().await.unwrap()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        assert!(runtime.block_on(made).status().is_success());
        format!("{}git/shop.git", url.replace("https://", "https://dora:correct-horse-battery@"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The gateway and the supervisors outlive those who started them.
        let _stopped = self.run(&["shutdown"]);
        end_supervisors(&self.path("edge"));
    }
}

/// Ends what an agent that was not let stop in order left running below its directory.
fn end_supervisors(directory: &Path) {
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let arguments = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).into_owned();
        let pid = process.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw)
            && arguments.contains("supervise")
            && arguments.contains(text(directory))
        {
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What the shop answers through the gateway, if it does.
fn visit(address: &str) -> Option<String> {
    let address: SocketAddr = address.parse().unwrap();
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let at = answer.find("hello from")?;
    Some(answer[at..].trim_end().to_owned())
}

#[test]
fn an_agent_joins_deploys_survives_and_is_revoked() {
    let world = World::start();
    let edge = world.path("edge");
    let created = world.json(&["agent", "token", "create", "--label", "role=edge"]);
    let token = created["token"].as_str().unwrap();
    world.ok(&["agent", "join", token, "--dir", text(&edge), "--label", "role=web", "--label", "zone=a"]);
    let again = world.run(&["agent", "join", token, "--dir", text(&world.path("other"))]);
    assert!(!again.status.success() && stderr(&again).contains("was used at"), "{}", stderr(&again));
    assert!(!world.path("other/identity").exists());

    let agent = world.agent();
    world.eventually("the agent is connected", || world.only_agent()["online"] == true);
    let listed = world.only_agent();
    assert_eq!(listed["labels"]["role"], "edge", "the token's label counts");
    assert_eq!(listed["labels"]["zone"], "a");
    assert_eq!(listed["address"], "127.0.0.2");
    let listener = format!("127.0.0.1:{}", free_port());
    world.push_shop(&listener);
    let mut first = None;
    world.eventually("the shop serves", || {
        first = visit(&listener);
        first.is_some()
    });
    assert!(first.as_ref().unwrap().starts_with("hello from 127.0.0.2,"), "{first:?}");

    // Its certificate lasts six seconds: what is connected after that has renewed.
    let ends = listed["certificate_ends"].as_str().unwrap().to_owned();
    world.eventually("the certificate is renewed", || world.only_agent()["certificate_ends"] != *ends);
    drop(agent);
    let agent = world.agent();
    world.eventually("the agent is back", || world.only_agent()["online"] == true);
    assert_eq!(visit(&listener), first, "the same process serves on: it was adopted");

    let id = listed["id"].as_str().unwrap();
    world.ok(&["agent", "revoke", "--yes", id]);
    world.eventually("the agent is told", || world.log("agent").contains("was revoked at"));
    assert_eq!(world.only_agent()["online"], false);
    drop(agent);
    let agent = world.agent();
    world.eventually("it stays out", || world.log("agent").matches("was revoked at").count() > 1);
    drop(agent);
}

#[test]
fn a_token_of_another_server_sends_nothing() {
    let world = World::start();
    let created = world.json(&["agent", "token", "create"]);
    let mut token: towpath_artifact::JoinToken = created["token"].as_str().unwrap().parse().unwrap();
    token.authority = towpath_model::Digest::of(b"another");
    let refused = world.run(&["agent", "join", &token.expose(), "--dir", text(&world.path("edge"))]);
    let said = stderr(&refused);
    assert!(
        !refused.status.success() && said.contains("is not the server that made this join token"),
        "{said}"
    );
    assert!(said.contains("nothing was sent"), "{said}");
    let used = &world.json(&["agent", "token", "list"])[0]["used_at"];
    assert!(used.is_null(), "{used}");
}

#[test]
fn an_agent_that_was_away_too_long_is_told_to_join_again() {
    let world = World::start();
    let created = world.json(&["agent", "token", "create"]);
    let token = created["token"].as_str().unwrap();
    world.ok(&["agent", "join", token, "--dir", text(&world.path("edge"))]);
    let ends: jiff::Timestamp = world.only_agent()["certificate_ends"].as_str().unwrap().parse().unwrap();
    world.eventually("its certificate ends", || jiff::Timestamp::now() > ends);
    let _agent = world.agent();
    world.eventually("the agent says why", || world.log("agent").contains("certificate ended at"));
    assert_eq!(world.only_agent()["online"], false);
    world.eventually("so does the server", || world.log("server").contains("certificate was refused"));
}
