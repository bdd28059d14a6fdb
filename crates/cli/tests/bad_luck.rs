//! The real program where things go wrong around it: said clearly, nothing lost, nothing half done.

#![allow(clippy::unwrap_used, reason = "a failed helper fails the test")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_towpath");

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server without agent and gateway, which ends with the test.
struct Server {
    child: Child,
    /// Its data directory, as this test sees it.
    data: PathBuf,
    _scratch: TempDir,
}

impl Server {
    fn start() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let data = scratch.path().join("data");
        let child = serve(Command::new(PROGRAM).arg("serve"), &data, "127.0.0.1:0").spawn().unwrap();
        Self::wait_for(child, data, scratch)
    }

    fn wait_for(child: Child, data: PathBuf, scratch: TempDir) -> Self {
        let server = Self { child, data, _scratch: scratch };
        until("the server", || server.get("/readyz").contains("200 OK"));
        server
    }

    fn access(&self) -> Option<(String, String)> {
        let text = std::fs::read(self.data.join("run/local.json")).ok()?;
        let access: serde_json::Value = serde_json::from_slice(&text).ok()?;
        let url = access["url"].as_str()?.trim_start_matches("http://").trim_end_matches('/');
        Some((url.to_owned(), access["token"].as_str()?.to_owned()))
    }

    fn get(&self, path: &str) -> String {
        self.call("GET", path, "", "").unwrap_or_default()
    }

    fn post(&self, path: &str, body: &str) -> String {
        self.call("POST", path, "Content-Type: application/json\r\n", body).unwrap()
    }

    /// One call. The answer is read to its end.
    fn call(&self, method: &str, path: &str, headers: &str, body: &str) -> Option<String> {
        let mut stream = self.begin(method, path, headers, body.len())?;
        stream.write_all(body.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// Sends the head of a call.
    fn begin(&self, method: &str, path: &str, headers: &str, length: usize) -> Option<TcpStream> {
        let (address, token) = self.access()?;
        let mut stream = TcpStream::connect(&address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n{headers}\
             Content-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).ok()?;
        Some(stream)
    }

    /// Pushes a commit with one file of so many random bytes.
    fn push(&self, directory: &Path, bytes: usize) -> Output {
        let (address, token) = self.access().unwrap();
        let random = std::fs::File::open("/dev/urandom").unwrap();
        let mut content = Vec::new();
        random.take(bytes as u64).read_to_end(&mut content).unwrap();
        std::fs::write(directory.join("file"), content).unwrap();
        git(directory, &["add", "file"]);
        git(directory, &["commit", "--quiet", "--message", "a file"]);
        let header = format!("http.extraHeader=Authorization: Bearer {token}");
        let url = format!("http://{address}/git/shop.git");
        git(directory, &["-c", &header, "push", &url, "HEAD:refs/heads/main"])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve<'c>(command: &'c mut Command, data: &Path, listen: &str) -> &'c mut Command {
    command.args(["--no-agent", "--no-gateway", "--listen", listen, "--data-dir"]).arg(data);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped())
}

fn git(directory: &Path, words: &[&str]) -> Output {
    Command::new("git")
        .args(["-c", "user.name=Dev", "-c", "user.email=dev@example.com"])
        .args(words)
        .current_dir(directory)
        .env("GIT_TERMINAL_PROMPT", "0")
        .output()
        .unwrap()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_second_server_on_one_data_directory_is_refused_and_the_first_serves_on() {
    let first = Server::start();
    let second = serve(Command::new(PROGRAM).arg("serve"), &first.data, "127.0.0.1:0").output().unwrap();
    assert!(!second.status.success());
    let said = words(&second);
    assert!(said.contains(&first.data.display().to_string()), "{said}");
    assert!(first.get("/readyz").contains("200 OK"));
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let refused = serve(Command::new(PROGRAM).arg("serve"), &data, &address).output().unwrap();
    assert!(!refused.status.success());
    assert!(words(&refused).contains(&address), "{}", words(&refused));
}

#[test]
fn a_client_that_goes_away_in_the_middle_of_a_push_leaves_nothing_half_done() {
    let server = Server::start();
    server.post("/api/v1/projects", r#"{"name":"shop"}"#);
    let work = tempfile::tempdir().unwrap();
    git(work.path(), &["init", "--quiet", "--initial-branch", "main"]);
    for part in [0, 30, 200] {
        let headers = "Content-Type: application/x-git-receive-pack-request\r\n";
        let mut stream = server.begin("POST", "/git/shop.git/git-receive-pack", headers, 100_000).unwrap();
        let zeros = "0".repeat(40);
        let command = format!("{zeros} {} refs/heads/main\0 report-status side-band-64k", "1".repeat(40));
        let mut body = format!("{:04x}{command}0000PACK", command.len() + 4).into_bytes();
        body.resize(body.len().max(part), 0);
        stream.write_all(&body[..part]).unwrap();
        drop(stream);
    }
    assert!(server.get("/api/v1/projects/shop/runs").contains(r#""items":[]"#));
    let pushed = server.push(work.path(), 100);
    assert!(pushed.status.success(), "{}", words(&pushed));
    assert!(server.get("/api/v1/projects/shop/runs").contains(r#""number":1"#));
}

#[test]
fn a_full_disk_refuses_what_does_not_fit_and_goes_on() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    std::fs::create_dir(&data).unwrap();
    // A small disk that only the server sees.
    let script = "mount -t tmpfs -o size=24m,mode=0700 none \"$1\" && shift && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(&data);
    let child = serve(command.arg(PROGRAM).arg("serve"), &data, "127.0.0.1:0").spawn().unwrap();
    let seen = PathBuf::from(format!("/proc/{}/root{}", child.id(), data.display()));
    let probe = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs none /mnt"])
        .output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        eprintln!("SKIPPED: without user namespaces no small disk can be made for this test");
        drop(Server { child, data: seen, _scratch: scratch });
        return;
    }
    let server = Server::wait_for(child, seen, scratch);
    server.post("/api/v1/projects", r#"{"name":"shop"}"#);
    let work = tempfile::tempdir().unwrap();
    git(work.path(), &["init", "--quiet", "--initial-branch", "main"]);
    let refused = server.push(work.path(), 40 << 20);
    assert!(!refused.status.success(), "40 MB fit on a disk of 24 MB");
    assert!(server.get("/api/v1/projects/shop/runs").contains(r#""items":[]"#));
    git(work.path(), &["update-ref", "-d", "HEAD"]);
    let pushed = server.push(work.path(), 100);
    assert!(pushed.status.success(), "{}", words(&pushed));
    assert!(server.get("/api/v1/projects/shop/runs").contains(r#""number":1"#));
}
