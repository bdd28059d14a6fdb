//! A whole Towpath on this machine for a test: server, agent and gateway of the real program, in a directory of its own.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test binary uses another part; a failed helper fails the test"
)]

pub mod shop;

use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// A process that ends with the test.
pub struct Process(Child);

impl Process {
    /// Starts one that nobody listens to.
    pub fn silent(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait().map(drop));
    }
}

/// A running server with its agent and gateway. All of it ends with the test.
pub struct World {
    root: tempfile::TempDir,
    server: Child,
}

impl World {
    /// Starts it and waits until it answers.
    pub fn start() -> Self {
        Self::start_with(|_| String::new(), &[])
    }

    /// Starts it with a configuration file, which is told the directory of the test, and with more arguments. Where these
    /// do not say where to listen, it is a free port of the loopback.
    pub fn start_with(configuration: impl FnOnce(&Path) -> String, arguments: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let configuration = configuration(root.path());
        if !configuration.is_empty() {
            std::fs::create_dir(root.path().join("data")).unwrap();
            std::fs::write(root.path().join("data/server.yaml"), configuration).unwrap();
        }
        let server = serve(root.path(), arguments);
        let world = Self { root, server };
        world.eventually("the server answers", || world.run(&["whoami"]).status.success());
        world
    }

    /// Ends the server and starts it again.
    pub fn restart(&mut self, arguments: &[&str]) {
        self.restart_after(arguments, || ());
    }

    /// Ends the server, and starts it again when something was done without it.
    pub fn restart_after(&mut self, arguments: &[&str], meanwhile: impl FnOnce()) {
        let pid = rustix::process::Pid::from_raw(self.server.id().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.server.wait().unwrap();
        meanwhile();
        self.server = serve(self.root.path(), arguments);
        self.eventually("the server answers again", || self.run(&["whoami"]).status.success());
    }

    /// A path in the directory of the test.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The server's process.
    pub fn server(&self) -> u32 {
        self.server.id()
    }

    /// Runs a command of the program.
    pub fn run(&self, arguments: &[&str]) -> Output {
        program(self.root.path(), arguments).output().unwrap()
    }

    /// Runs a command that must succeed and is given something to read.
    pub fn tell(&self, arguments: &[&str], input: &str) {
        let mut command = program(self.root.path(), arguments);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    }

    /// Starts a process whose log is `name.log`.
    pub fn spawn(&self, name: &str, arguments: &[&str]) -> Process {
        Process(logged(self.root.path(), name, arguments))
    }

    /// What a process has logged so far.
    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default()
    }

    /// The server's address, with a slash at its end.
    pub fn url(&self) -> String {
        self.access()["url"].as_str().unwrap().to_owned()
    }

    fn access(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.path("data/run/local.json")).unwrap()).unwrap()
    }

    /// Runs a command that must succeed, and returns what it printed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs a command that must succeed, and reads the JSON that it printed.
    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// Waits for something, and shows the logs where it waits in vain.
    pub fn eventually(&self, what: &str, mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done() {
            let logs = || ["server", "agent"].map(|name| format!("--- {name}\n{}", self.log(name))).concat();
            assert!(Instant::now() < deadline, "did not happen within {PATIENCE:?}: {what}\n{}", logs());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Makes the project `shop` with an Environment.
    pub fn make_shop(&self, document: &str) {
        self.ok(&["project", "create", "shop"]);
        let file = self.path("environment.yaml");
        std::fs::write(&file, document).unwrap();
        self.ok(&["apply", "shop", file.to_str().unwrap(), "--yes"]);
    }

    /// The working copy of `shop`.
    pub fn work(&self) -> PathBuf {
        let work = self.path("work");
        if !work.exists() {
            std::fs::create_dir(&work).unwrap();
            self.git(&["init", "-q", "-b", "main"]);
        }
        work
    }

    /// Writes `files` into the working copy of `shop`, commits and pushes all of it to `main`.
    pub fn push(&self, files: &[(&str, &str)]) {
        self.commit(files);
        let access = self.access();
        let header = format!("http.extraHeader=Authorization: Bearer {}", access["token"].as_str().unwrap());
        self.git(&["-c", &header, "push", "-q", &format!("{}git/shop.git", self.url()), "main"]);
    }

    /// The same, by somebody with a password.
    pub fn push_as(&self, login: &str, password: &str, files: &[(&str, &str)]) {
        self.commit(files);
        let url = self.url().replacen("://", &format!("://{login}:{password}@"), 1);
        self.git(&["push", "-q", &format!("{url}git/shop.git"), "main"]);
    }

    fn commit(&self, files: &[(&str, &str)]) {
        for (name, content) in files {
            std::fs::write(self.work().join(name), content).unwrap();
        }
        self.git(&["add", "."]);
        self.git(&["commit", "-q", "-m", "a change"]);
    }

    fn git(&self, arguments: &[&str]) {
        let output = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"])
            .args(arguments)
            .current_dir(self.path("work"))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_SSL_CAINFO", self.path("data/keys/authority.pem"))
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", text(&output.stderr));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Agent, gateway and supervisors outlive the server that started them.
        let _ended = self.run(&["shutdown"]);
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn serve(home: &Path, arguments: &[&str]) -> Child {
    let listen: &[&str] = if arguments.contains(&"--listen") { &[] } else { &["--listen", "127.0.0.1:0"] };
    logged(home, "server", &[&["serve"], listen, arguments].concat())
}

fn logged(home: &Path, name: &str, arguments: &[&str]) -> Child {
    let log = File::options().create(true).append(true).open(home.join(format!("{name}.log"))).unwrap();
    program(home, arguments).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

fn program(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
    command
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", home)
        .env("TOWPATH_DATA_DIR", home.join("data"))
        .env("TOWPATH_ALLOW_UNSANDBOXED", "true")
        .stdin(Stdio::null());
    command
}

/// What a process printed.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A port on which nobody listens just now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
