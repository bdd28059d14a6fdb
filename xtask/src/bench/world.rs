//! A real server on loopback with the agent and the gateway that it starts, in a directory of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::process::{Process, Scratch, spawn};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The server and the way in.
pub(super) struct World {
    server: Process,
    address: String,
    token: String,
    /// Its data directory and everything else that was made; the last to go.
    scratch: Scratch,
}

impl World {
    /// Starts a server and waits until it answers.
    pub(super) fn start(binary: &Path) -> Result<Self> {
        let scratch = Scratch::new()?;
        let data = scratch.0.join("data");
        let log = fs::File::create(scratch.0.join("server.log"))?;
        let mut command = Command::new(binary);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&data).stderr(log);
        let server = spawn(&mut command)?;
        let mut world = Self { scratch, server, address: String::new(), token: String::new() };
        let access = poll("the server's address", || {
            let text = fs::read(data.join("run/local.json")).ok()?;
            serde_json::from_slice::<Value>(&text).ok()
        })?;
        let url = access["url"].as_str().context("local.json names no url")?;
        world.address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        world.token = access["token"].as_str().context("local.json holds no token")?.to_owned();
        poll("an answer of the server", || world.get("/readyz").ok())?;
        Ok(world)
    }

    /// Where benchmarks may make files.
    pub(super) fn scratch(&self) -> &Path {
        &self.scratch.0
    }

    /// Gets JSON.
    pub(super) fn get(&self, path: &str) -> Result<Value> {
        let body = self.call("GET", path, "application/json", b"")?;
        Ok(serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// Sends JSON and gets JSON.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let answer = self.call("POST", path, "application/json", body.to_string().as_bytes())?;
        Ok(serde_json::from_slice(&answer).unwrap_or(Value::Null))
    }

    /// One call on a connection of its own; anything but 2xx is an error.
    pub(super) fn call(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Result<Vec<u8>> {
        let Self { address, token, .. } = self;
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // HTTP/1.0, so that the answer ends where the connection does.
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
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

    /// A connection that is kept, as an agent's is.
    pub(super) fn connect(&self) -> Result<Kept> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let head = format!("Host: {}\r\nAuthorization: Bearer {}\r\n", self.address, self.token);
        Ok(Kept { stream: BufReader::new(stream), head })
    }

    /// Processor time and memory (KiB) of the server so far.
    pub(super) fn server_usage(&self) -> Result<(f64, u64)> {
        Ok((self.server.cpu_seconds()?, self.server.rss_kib()?))
    }

    /// Makes a Project, and a repository that pushes to it.
    pub(super) fn project(&self, name: &str) -> Result<Repository> {
        self.post("/api/v1/projects", &serde_json::json!({ "name": name }))?;
        let directory = self.scratch.0.join(name);
        fs::create_dir_all(&directory)?;
        let repository = Repository { directory };
        repository.git(&["init", "--quiet", "--initial-branch", "main"])?;
        repository.git(&["remote", "add", "origin", &format!("http://{}/git/{name}.git", self.address)])?;
        let header = format!("Authorization: Bearer {}", self.token);
        repository.git(&["config", "http.extraHeader", &header])?;
        Ok(repository)
    }

    /// Memory of each process that works for this server, by its kind, in KiB.
    pub(super) fn memory(&self) -> Result<BTreeMap<&'static str, u64>> {
        let mut memory = BTreeMap::from([("server", self.server.rss_kib()?)]);
        for (process, words) in self.companions() {
            for kind in ["agent", "gateway"] {
                if words.iter().any(|word| word == kind) {
                    memory.insert(kind, super::process::rss_kib(process)?);
                }
            }
        }
        Ok(memory)
    }

    /// The processes that the server started and that outlive it: they name this directory on their command line.
    fn companions(&self) -> Vec<(u32, Vec<String>)> {
        let here = self.scratch.0.to_string_lossy().into_owned();
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let processes = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        let named = processes.filter_map(|process| {
            let line = fs::read(format!("/proc/{process}/cmdline")).ok()?;
            let words: Vec<String> =
                line.split(|byte| *byte == 0).map(|w| String::from_utf8_lossy(w).into()).collect();
            words.iter().any(|word| word.contains(&here)).then_some((process, words))
        });
        named.filter(|(process, _)| *process != self.server.0.id()).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The server first, so that it starts nothing again.
        let _ = self.server.0.kill();
        let _ = self.server.0.wait();
        for (process, _) in self.companions() {
            let _ = Command::new("kill").args(["-9", &process.to_string()]).stderr(Stdio::null()).status();
        }
    }
}

/// One connection for many calls.
pub(super) struct Kept {
    stream: BufReader<TcpStream>,
    head: String,
}

impl Kept {
    /// Sends bytes and reads JSON; anything but 200 is an error.
    pub(super) fn call(&mut self, method: &str, path: &str, kind: &str, body: &[u8]) -> Result<Value> {
        let Self { stream, head } = self;
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{head}Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.get_mut().write_all(request.as_bytes())?;
        stream.get_mut().write_all(body)?;
        let (mut status, mut length) = (String::new(), 0);
        stream.read_line(&mut status)?;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            let Some((name, value)) = line.split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        ensure!(status.contains(" 200 "), "{} {}", status.trim(), String::from_utf8_lossy(&body));
        Ok(serde_json::from_slice(&body)?)
    }
}

/// A working copy whose remote is the server.
pub(super) struct Repository {
    directory: PathBuf,
}

impl Repository {
    /// Writes files and commits them.
    pub(super) fn commit(&self, files: &[(&str, &str)], message: &str) -> Result<()> {
        for (path, text) in files {
            let path = self.directory.join(path);
            fs::create_dir_all(path.parent().context("a file without a directory")?)?;
            fs::write(path, text)?;
        }
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message])
    }

    /// Pushes `main`.
    pub(super) fn push(&self) -> Result<()> {
        self.git(&["push", "--quiet", "origin", "main"])
    }

    pub(super) fn git(&self, words: &[&str]) -> Result<()> {
        let output = Command::new("git")
            .args(["-c", "user.name=Bench", "-c", "user.email=bench@example.com"])
            .args(words)
            .current_dir(&self.directory)
            .output()
            .context("cannot run git")?;
        let words = words.join(" ");
        ensure!(output.status.success(), "git {words}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

/// Asks every few milliseconds until there is an answer.
pub(super) fn poll<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            bail!("waited {} s in vain for {what}", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
