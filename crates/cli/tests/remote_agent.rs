//! An agent of another host, as an operator sees it: the real program, real TLS, a real Release, and what happens when
//! the agent is killed or revoked.

#![allow(clippy::unwrap_used, reason = "a failed helper fails the test")]

mod support;

use std::path::Path;

use serde_json::Value;
use support::{Process, World, free_port, shop, text};

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

/// One server, one agent of "another host", and the files of both.
struct Hosts(World);

impl Hosts {
    /// Starts a server whose certificates for agents last some seconds only.
    fn start() -> Self {
        let configuration = |_: &Path| "agent_certificate_seconds: 6\n".to_owned();
        let listen = format!("0.0.0.0:{}", free_port());
        Self(World::start_with(configuration, &["--listen", &listen, "--no-agent"]))
    }

    /// Where the agent keeps its own.
    fn edge(&self) -> String {
        self.0.path("edge").to_str().unwrap().to_owned()
    }

    fn agent(&self) -> Process {
        self.0.spawn("agent", &["agent", "run", "--dir", &self.edge(), "--address", "127.0.0.2"])
    }

    /// The only agent there is.
    fn only_agent(&self) -> Value {
        self.0.json(&["agent", "list"])[0].clone()
    }

    /// Makes the project, lets the Environment be on hosts with `role: edge`, and pushes.
    fn push_shop(&self, listener: &str) {
        let world = &self.0;
        world.make_shop(&shop::document(listener, "hosts: { role: edge }, instances: 1"));
        shop::compile(world, SHOP, &world.work().join("shop"));
        let stage = "deploy: { strategy: recreate }";
        world.push(&[(
            "towpath.yaml",
            &shop::pipeline("shop", "command: ./shop, health: { ready: / }", stage),
        )]);
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        end_supervisors(&self.edge());
    }
}

/// Ends what an agent that was not let stop in order left running below its directory.
fn end_supervisors(directory: &str) {
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let arguments = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).into_owned();
        let pid = process.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw)
            && arguments.contains("supervise")
            && arguments.contains(directory)
        {
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }
}

/// What the shop answers through the gateway, if it does.
fn visit(address: &str) -> Option<String> {
    let answer = text(&shop::request(address, b"").ok()?.body);
    answer.starts_with("hello from").then_some(answer)
}

#[test]
fn an_agent_joins_deploys_survives_and_is_revoked() {
    let hosts = Hosts::start();
    let world = &hosts.0;
    let edge = hosts.edge();
    let created = world.json(&["agent", "token", "create", "--label", "role=edge"]);
    let token = created["token"].as_str().unwrap();
    world.ok(&["agent", "join", token, "--dir", &edge, "--label", "role=web", "--label", "zone=a"]);
    let again = world.run(&["agent", "join", token, "--dir", world.path("other").to_str().unwrap()]);
    assert!(
        !again.status.success() && text(&again.stderr).contains("was used at"),
        "{}",
        text(&again.stderr)
    );
    assert!(!world.path("other/identity").exists());

    let agent = hosts.agent();
    world.eventually("the agent is connected", || hosts.only_agent()["online"] == true);
    let listed = hosts.only_agent();
    assert_eq!(listed["labels"]["role"], "edge", "the token's label counts");
    assert_eq!(listed["labels"]["zone"], "a");
    assert_eq!(listed["address"], "127.0.0.2");
    let listener = format!("127.0.0.1:{}", free_port());
    hosts.push_shop(&listener);
    let mut first = None;
    world.eventually("the shop serves", || {
        first = visit(&listener);
        first.is_some()
    });
    assert!(first.as_ref().unwrap().starts_with("hello from 127.0.0.2,"), "{first:?}");

    // Its certificate lasts six seconds: what is connected after that has renewed.
    let ends = listed["certificate_ends"].as_str().unwrap().to_owned();
    world.eventually("the certificate is renewed", || hosts.only_agent()["certificate_ends"] != *ends);
    drop(agent);
    let agent = hosts.agent();
    world.eventually("the agent is back", || hosts.only_agent()["online"] == true);
    assert_eq!(visit(&listener), first, "the same process serves on: it was adopted");

    let id = listed["id"].as_str().unwrap();
    world.ok(&["agent", "revoke", "--yes", id]);
    world.eventually("the agent is told", || world.log("agent").contains("was revoked at"));
    assert_eq!(hosts.only_agent()["online"], false);
    drop(agent);
    let agent = hosts.agent();
    world.eventually("it stays out", || world.log("agent").matches("was revoked at").count() > 1);
    drop(agent);
}

#[test]
fn a_token_of_another_server_sends_nothing() {
    let hosts = Hosts::start();
    let world = &hosts.0;
    let created = world.json(&["agent", "token", "create"]);
    let mut token: towpath_artifact::JoinToken = created["token"].as_str().unwrap().parse().unwrap();
    token.authority = towpath_model::Digest::of(b"another");
    let refused = world.run(&["agent", "join", &token.expose(), "--dir", &hosts.edge()]);
    let said = text(&refused.stderr);
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
    let hosts = Hosts::start();
    let world = &hosts.0;
    let created = world.json(&["agent", "token", "create"]);
    let token = created["token"].as_str().unwrap();
    world.ok(&["agent", "join", token, "--dir", &hosts.edge()]);
    let ends: jiff::Timestamp = hosts.only_agent()["certificate_ends"].as_str().unwrap().parse().unwrap();
    world.eventually("its certificate ends", || jiff::Timestamp::now() > ends);
    let _agent = hosts.agent();
    world.eventually("the agent says why", || world.log("agent").contains("certificate ended at"));
    assert_eq!(hosts.only_agent()["online"], false);
    world.eventually("so does the server", || world.log("server").contains("certificate was refused"));
}
