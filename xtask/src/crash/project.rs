//! The project of the story, as a git repository whose remote is the server.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::json;

use super::processes::Scratch;
use super::server::{Access, Server};

/// How many lines a Job writes, each with its number.
pub(super) const LINES: u32 = 400;

const SERVICE: &str = include_str!("service.txt");

const PIPELINE: &str = "
name: crash
on: { push: main }
jobs:
  build:
    steps:
      - 'n=0; while [ $n -lt 400 ]; do n=$((n+1)); echo \"line $n.\"; [ $((n % 100)) -ne 0 ] || sleep 0.2; done'
      - rustc --edition 2021 -o service service.rs
    artifacts: { service: service }
workloads:
  service:
    artifact: service
    command: exec ./service
    health: { ready: /ready, period: 1s, start_within: 60s }
    stop: { signal: TERM, grace: 5s }
stages:
  - name: dev
    environments: [dev]
    deploy: { strategy: recreate }
    verify: [{ http: { path: /ready, contains: version } }]
  - name: production
    needs: [dev]
    environments: [production]
    deploy:
      strategy: canary
      steps: [{ weight: 20%, for: 2s, max: 60s }, { weight: 60%, for: 2s, max: 60s }]
    analysis: { error_rate: { max_increase: 10pp, block: 1s } }
    verify: [{ http: { path: /ready, contains: version } }]
    deadline: 5m
";

/// The repository, and where production listens.
#[derive(Clone)]
pub(super) struct Project {
    directory: PathBuf,
    pub(super) listen: SocketAddr,
    /// What lets in who approves.
    pub(super) approver: String,
}

impl Project {
    /// Makes the Project, its Environments and an empty repository.
    pub(super) fn create(server: &Server, scratch: &Scratch) -> Result<Self> {
        let held = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
        let (dev, listen) = (held[0].local_addr()?, held[1].local_addr()?);
        drop(held);
        let access = server.access();
        access.post("/api/v1/projects", &json!({ "name": "crash" }))?;
        let text = format!(
            "environment: dev\nproject: crash\nlisten: {dev}\ntarget: {{ instances: 1 }}\n---\n\
             environment: production\nproject: crash\nlisten: {listen}\ntarget: {{ instances: 2 }}\n\
             gates: [{{ approval: {{ by: [release-manager], count: 1 }} }}]\n"
        );
        access.post("/api/v1/projects/crash/apply", &json!({ "file": "environments.yaml", "text": text }))?;
        let approver = access.hire()?;
        let project = Self { directory: scratch.0.join("work"), listen, approver };
        fs::create_dir_all(&project.directory)?;
        project.git(&["init", "--quiet", "--initial-branch", "main"])?;
        project.git(&["remote", "add", "origin", &format!("http://{}/git/crash.git", access.address)])?;
        Ok(project)
    }

    /// Commits a version. Says the commit.
    pub(super) fn commit(&self, version: u32, fails: bool) -> Result<String> {
        let service = SERVICE
            .replace("VERSION: u64 = 0", &format!("VERSION: u64 = {version}"))
            .replace("FAILS: bool = false", &format!("FAILS: bool = {fails}"));
        fs::write(self.directory.join("service.rs"), service)?;
        fs::write(self.directory.join("towpath.yaml"), PIPELINE)?;
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", &format!("version {version}")])?;
        self.git(&["rev-parse", "HEAD"])
    }

    /// Pushes `main`. Pushing again what arrived already does no harm.
    pub(super) fn push(&self, access: &Access) -> Result<()> {
        let header = format!("http.extraHeader=Authorization: Bearer {}", access.token()?);
        self.git(&["-c", &header, "push", "--quiet", "origin", "main"]).map(drop)
    }

    fn git(&self, words: &[&str]) -> Result<String> {
        let output = Command::new("git")
            .args(["-c", "user.name=Crash", "-c", "user.email=crash@example.com"])
            .args(words)
            .current_dir(&self.directory)
            .env("GIT_TERMINAL_PROMPT", "0")
            .output()?;
        let words = words.last().copied().unwrap_or_default();
        ensure!(output.status.success(), "git … {words}: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}
