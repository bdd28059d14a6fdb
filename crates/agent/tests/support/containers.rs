//! Container engines for tests, and an image of nothing but busybox.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use towpath_agent::container::{Engine, EngineKind};

/// A small image, made here.
pub const BUSYBOX: &str = "localhost/towpath-busybox:test";

/// Where engines listen that tests may use. `TOWPATH_TEST_ENGINES` names others, separated by commas.
fn sockets() -> Vec<PathBuf> {
    let named = std::env::var("TOWPATH_TEST_ENGINES").ok();
    let named = named.as_deref().unwrap_or("/run/docker.sock,/run/podman/podman.sock");
    named.split(',').map(PathBuf::from).collect()
}

/// The engines that answer, each with the image. Without any, the test says that it is skipped.
pub fn engines() -> &'static [Engine] {
    static ENGINES: OnceLock<Vec<Engine>> = OnceLock::new();
    let found = ENGINES.get_or_init(|| {
        let engines = sockets().into_iter().filter_map(|socket| Some((Engine::at(&socket).ok()?, socket)));
        engines
            .filter(|(engine, socket)| prepare(engine, socket))
            .map(|(engine, _)| engine)
            .filter(works)
            .collect()
    });
    if found.is_empty() {
        eprintln!(
            "SKIPPED: no container engine answers at {:?} with busybox to make an image of; `apt install docker.io busybox-static`, then start `dockerd`",
            sockets()
        );
    }
    found
}

/// The command line of an engine.
pub fn command_line(engine: &Engine, socket: &std::path::Path) -> Command {
    match engine.kind() {
        EngineKind::Docker => {
            let mut command = Command::new("docker");
            command.arg("--host").arg(format!("unix://{}", socket.display()));
            command
        }
        EngineKind::Podman => {
            let mut command = Command::new("podman");
            command.arg("--remote").arg("--url").arg(format!("unix://{}", socket.display()));
            command
        }
    }
}

/// The command line of an engine that tests use.
pub fn command_of(engine: &Engine) -> Command {
    command_line(engine, engine.socket())
}

/// What a command prints.
pub fn output(mut command: Command) -> String {
    let output = command.output().expect("the command line of the engine is there");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Whether the engine can start a container here at all; some hosts let none.
fn works(engine: &Engine) -> bool {
    let mut run = command_of(engine);
    run.args(["run", "--rm", BUSYBOX, "true"]).stdout(Stdio::null());
    let ran = run.output().expect("the command line of the engine is there");
    if !ran.status.success() {
        eprintln!(
            "SKIPPED: {engine} starts no container here: {}",
            String::from_utf8_lossy(&ran.stderr).trim()
        );
    }
    ran.status.success()
}

fn prepare(engine: &Engine, socket: &std::path::Path) -> bool {
    let there = command_line(engine, socket)
        .args(["image", "inspect", BUSYBOX])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match there {
        Ok(status) if status.success() => true,
        Ok(_) => busybox_image(engine, socket),
        Err(_) => false,
    }
}

/// Packs the host's busybox, which needs no library, with a name for each of its commands.
fn busybox_image(engine: &Engine, socket: &std::path::Path) -> bool {
    let root = tempfile::tempdir().unwrap();
    let bin = root.path().join("bin");
    for directory in ["bin", "etc", "tmp", "dev", "proc", "sys"] {
        std::fs::create_dir_all(root.path().join(directory)).unwrap();
    }
    if std::fs::copy("/bin/busybox", bin.join("busybox")).is_err() {
        return false;
    }
    std::fs::write(
        root.path().join("etc/passwd"),
        "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
    )
    .unwrap();
    std::fs::write(root.path().join("etc/group"), "root:x:0:\nnobody:x:65534:\n").unwrap();
    let commands = Command::new("/bin/busybox").arg("--list").output().unwrap();
    for name in String::from_utf8_lossy(&commands.stdout).lines().filter(|&name| name != "busybox") {
        let _twice = std::os::unix::fs::symlink("busybox", bin.join(name));
    }
    let mut tar = Command::new("tar")
        .args(["--create", "--numeric-owner", "--owner=0", "--group=0", "--directory"])
        .arg(root.path())
        .arg(".")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut import = command_line(engine, socket);
    import.args(["import", "-", BUSYBOX]).stdin(tar.stdout.take().unwrap()).stdout(Stdio::null());
    let imported = import.status().is_ok_and(|status| status.success());
    tar.wait().unwrap();
    imported
}
