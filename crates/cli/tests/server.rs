//! The commands that talk to a server, against a real one, as a person runs them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const DOCUMENT: &str = "
project: shop
environment: production
listen: 127.0.0.1:18199
target:
  hosts: { role: web }
gates:
  - approval:
      by: [release-manager]
";

/// A server of its own, without agent and gateway, and a home of its own.
struct World {
    directory: tempfile::TempDir,
    server: Child,
    url: String,
}

/// What a command came to.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

fn program(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("NO_COLOR", "1").env("TZ", "UTC");
    command.env("HOME", directory).current_dir(directory).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl World {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = program(directory.path());
        command.args(["serve", "--listen", "127.0.0.1:0", "--no-agent", "--no-gateway", "--data-dir"]);
        let mut server = command
            .arg(directory.path().join("data"))
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut first = String::new();
        let mut out = BufReader::new(server.stdout.take().unwrap());
        out.read_line(&mut first).unwrap();
        // Whatever else it says is read, so that it never waits for a reader.
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        let url = first.trim().strip_prefix("towpath serves ").unwrap().to_owned();
        Self { directory, server, url }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs a command with something to read.
    fn run(&self, arguments: &[&str], input: &str) -> Said {
        let mut command = program(self.directory.path());
        let mut child = command.args(arguments).stdin(Stdio::piped()).spawn().unwrap();
        // A command that fails early reads nothing, which is its right.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&self.url, "URL/");
        Said { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Runs a command that must do.
    fn done(&self, arguments: &[&str], input: &str) -> String {
        let said = self.run(arguments, input);
        assert_eq!(said.code, 0, "{arguments:?}: {said:?}");
        said.out
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
            .args(arguments)
            .current_dir(self.path("work"))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Makes an admin, and signs in as them.
    fn signed_in() -> Self {
        let world = Self::start();
        let data = world.path("data");
        let mut command = program(world.directory.path());
        command.env("TOWPATH_DATA_DIR", data).args(["user", "create", "root", "--role", "admin"]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"correct horse battery\n").unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "root: admin\n");
        let said = world.run(&["login", &world.url, "--login", "root"], "correct horse battery\n");
        assert_eq!((said.code, said.out.as_str()), (0, ""), "{said:?}");
        assert!(said.err.ends_with("signed in to URL/ as root\n"), "{said:?}");
        world
    }

    fn memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn a_push_of_a_broken_file_shows_what_is_wrong_where_it_was_pushed() {
    let world = World::signed_in();
    let made = world.done(&["project", "create", "shop"], "");
    assert!(made.contains("URL/git/shop.git"), "{made}");
    fs::create_dir(world.path("work")).unwrap();
    fs::write(world.path("work/towpath.yaml"), "jobs:\n  build:\n    needs: [biuld]\n    steps: [make]\n")
        .unwrap();
    world.git(&["init", "-q", "-b", "main"]);
    world.git(&["add", "."]);
    world.git(&["commit", "-q", "-m", "Build the shop"]);
    let remote = format!(
        "http://root:correct%20horse%20battery@{}git/shop.git",
        world.url.trim_start_matches("http://")
    );
    let said = world.git(&["push", &remote, "main"]);
    assert!(said.contains("remote: ") && said.contains("towpath.yaml:3") && said.contains("biuld"), "{said}");

    let runs = world.done(&["runs", "shop"], "");
    assert!(
        runs.starts_with(" RUN  STATE") && runs.contains("invalid") && runs.contains("Build the shop"),
        "{runs}"
    );
    let run = world.run(&["runs", "shop", "1"], "");
    assert_eq!((run.code, run.err.as_str()), (1, "no job was made of it\n"));
    assert!(run.out.starts_with("shop#1 invalid: ") && run.out.contains("towpath.yaml:3"), "{run:?}");
    let json = world.run(&["runs", "shop", "1", "--json"], "");
    assert_eq!(json.code, 1);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json.out).unwrap()["state"], "invalid");
    let said = world.run(&["logs", "shop", "1", "build"], "");
    assert_eq!(said, Said { code: 3, out: String::new(), err: "error: run 1 has no job `build`\n".into() });
    assert_eq!(world.run(&["rerun", "shop", "1"], "").code, 1);
    assert_eq!(world.run(&["start", "shop", "--ref", "topic"], "").code, 3);
}

#[test]
fn documents_are_shown_before_they_are_applied() {
    let world = World::signed_in();
    world.done(&["project", "create", "shop"], "");
    fs::write(world.path("production.yaml"), DOCUMENT).unwrap();
    let would = "production would become version 1\n  ~ environment shop/production is new\n  \
                 ! nobody can open a gate: an approval takes 1 of release-manager, and there are 0 such people\n"
        .to_owned();
    assert_eq!(world.done(&["apply", "shop", "production.yaml", "--dry-run"], ""), would);
    let said = world.run(&["apply", "shop", "production.yaml"], "");
    assert_eq!((said.code, said.out.as_str()), (2, would.as_str()));
    assert!(said.err.contains("hint: say `--yes`"), "{said:?}");
    assert_eq!(
        world.done(&["apply", "shop", "production.yaml", "--yes"], ""),
        format!("{would}production is now version 1\n")
    );
    assert_eq!(
        world.done(&["apply", "shop", "production.yaml"], ""),
        "production stays at version 1: nothing changes\n"
    );
    fs::write(world.path("broken.yaml"), "projct: shop\n").unwrap();
    let said = world.run(&["apply", "shop", "broken.yaml"], "");
    assert!(said.code == 1 && said.err.contains("broken.yaml:1"), "{said:?}");

    let list = world.done(&["env", "list", "shop"], "");
    assert!(list.contains("production") && list.contains("127.0.0.1:18199"), "{list}");
    let status = world.done(&["status", "shop"], "");
    assert!(status.starts_with("production\n  serves     nothing\n"), "{status}");
    let said = world.run(&["approve", "shop/production"], "");
    assert_eq!(
        said,
        Said {
            code: 3,
            out: String::new(),
            err: "error: nothing waits for shop/production\nhint: `towpath status` shows what does\n".into()
        }
    );
    let said = world.run(&["promote", "9.9.9", "shop/production"], "");
    assert!(said.code == 3 && said.err.contains("9.9.9"), "{said:?}");
}

#[test]
fn secrets_tokens_and_the_doctor_answer_people_and_programs() {
    let world = World::signed_in();
    world.done(&["project", "create", "shop"], "");
    assert_eq!(world.done(&["secret", "set", "shop", "KEY"], "two\nlines\n"), "KEY is now version 1\n");
    let list = world.done(&["secret", "list", "shop"], "");
    assert!(list.contains("KEY") && list.contains("root") && !list.contains("lines"), "{list}");
    let created = world.done(&["token", "create", "ci", "--scope", "read"], "");
    let token = created.trim();
    assert!(token.starts_with("tp_"), "{created}");
    let said = world.run(&["--url", &world.url, "--token", token, "project", "create", "other"], "");
    assert_eq!(said.code, 2, "flags of a command stand behind it: {said:?}");
    let said = world.run(&["project", "create", "other", "--url", &world.url, "--token", token], "");
    assert!(said.code == 4 && said.out.is_empty(), "{said:?}");
    let said = world.run(&["doctor"], "");
    assert_eq!(said.code, 1, "no agent runs, which is bad: {said:?}");
    assert!(said.out.contains("no agent takes jobs"), "{said:?}");
    let said = world.run(&["status", "shop", "--url", "http://127.0.0.1:1/", "--token", "tp_x"], "");
    assert!(said.code == 5 && said.err.contains("hint: see that it runs"), "{said:?}");
    let findings: serde_json::Value =
        serde_json::from_str(&world.run(&["doctor", "--json"], "").out).unwrap();
    assert!(findings.as_array().unwrap().len() > 3);
}

#[test]
fn passwords_leave_no_memory_behind() {
    let world = World::signed_in();
    let before = world.memory_kib();
    for _ in 0..10 {
        assert_eq!(world.run(&["login", &world.url, "--login", "root"], "correct horse battery\n").code, 0);
    }
    let grown = world.memory_kib().saturating_sub(before);
    assert!(grown < 8 << 10, "ten logins left {grown} KiB behind; one takes 19 MiB while it lasts");
}
