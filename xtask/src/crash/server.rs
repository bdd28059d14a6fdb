//! The server that is killed and started again on the same data.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::processes::{Scratch, poll};

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Grace's password, and how HTTP writes `grace:PASSWORD`.
const PASSWORD: &str = "correct-horse-battery";
const LOGIN: &str = "Z3JhY2U6Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5";

/// The server, and how to start it.
pub(super) struct Server {
    binary: PathBuf,
    pub(super) data: PathBuf,
    log: PathBuf,
    address: String,
    child: Option<Child>,
}

/// The way in, for whoever lives longer than one process of the server.
#[derive(Clone)]
pub(super) struct Access {
    data: PathBuf,
    pub(super) address: String,
}

impl Server {
    /// Chooses a place and a port.
    pub(super) fn new(binary: &Path, scratch: &Scratch) -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let (data, log) = (scratch.0.join("data"), scratch.0.join("server.log"));
        Ok(Self { binary: binary.to_owned(), data, log, address, child: None })
    }

    /// Starts it and waits until it answers.
    pub(super) fn start(&mut self) -> Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        let child = Command::new(&self.binary)
            .args(["serve", "--listen", &self.address, "--data-dir"])
            .arg(&self.data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.binary.display()))?;
        self.child = Some(child);
        poll("an answer of the server", Duration::from_secs(60), || self.get("/readyz").ok()).map(drop)
    }

    /// Kills it with -9. Says which process it was.
    pub(super) fn kill(&mut self) -> Result<u32> {
        let mut child = self.child.take().context("no server runs")?;
        child.kill()?;
        child.wait()?;
        Ok(child.id())
    }

    /// Ends everything as a person does.
    pub(super) fn stop(&mut self) -> Result<()> {
        let mut command = Command::new(&self.binary);
        command.args(["shutdown", "--data-dir"]).arg(&self.data).stdout(Stdio::null());
        let mut child = self.child.take().context("no server runs")?;
        let reaper = std::thread::spawn(move || child.wait());
        let output = command.output()?;
        ensure!(output.status.success(), "towpath shutdown: {}", String::from_utf8_lossy(&output.stderr));
        reaper.join().ok().context("the server did not end")??;
        Ok(())
    }

    /// The way in.
    pub(super) fn access(&self) -> Access {
        Access { data: self.data.clone(), address: self.address.clone() }
    }

    /// Gets JSON.
    pub(super) fn get(&self, path: &str) -> Result<Value> {
        self.access().get(path)
    }
}

impl Access {
    /// What lets this user in; new at each start of the server.
    pub(super) fn token(&self) -> Result<String> {
        let text = fs::read(self.data.join("run/local.json"))?;
        let access: Value = serde_json::from_slice(&text)?;
        Ok(access["token"].as_str().context("local.json holds no token")?.to_owned())
    }

    /// Gets JSON.
    pub(super) fn get(&self, path: &str) -> Result<Value> {
        let body = self.call("GET", path, b"")?;
        Ok(serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// Sends JSON and gets JSON.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let answer = self.call("POST", path, body.to_string().as_bytes())?;
        Ok(serde_json::from_slice(&answer).unwrap_or(Value::Null))
    }

    /// Makes somebody who may approve: the server's own user is nobody in particular. Says what lets them in.
    pub(super) fn hire(&self) -> Result<String> {
        let roles = json!([{ "role": "release-manager", "project": "crash" }]);
        let person = json!({
            "login": "grace", "display_name": "Grace", "email": "grace@example.com", "password": PASSWORD,
            "roles": roles,
        });
        self.post("/api/v1/users", &person)?;
        let token = json!({ "name": "crash", "scopes": ["write"], "expires_in": null });
        let answer =
            self.send(&format!("Basic {LOGIN}"), "POST", "/api/v1/tokens", token.to_string().as_bytes())?;
        let created: Value = serde_json::from_slice(&answer)?;
        Ok(format!("Bearer {}", created["secret"].as_str().context("a token without a secret")?))
    }

    /// One call of this user on a connection of its own; anything but 2xx is an error.
    pub(super) fn call(&self, method: &str, path: &str, body: &[u8]) -> Result<Vec<u8>> {
        self.send(&format!("Bearer {}", self.token()?), method, path, body)
    }

    /// One call of anybody.
    pub(super) fn send(&self, who: &str, method: &str, path: &str, body: &[u8]) -> Result<Vec<u8>> {
        let address = &self.address;
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // HTTP/1.0, so that the answer ends where the connection does.
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: {who}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").context("no answer")?;
        let (head, body) = (String::from_utf8_lossy(&answer[..end]).into_owned(), answer.split_off(end + 4));
        let status = head.split(' ').nth(1).unwrap_or_default();
        ensure!(status.starts_with('2'), "{method} {path}: {status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }
}
