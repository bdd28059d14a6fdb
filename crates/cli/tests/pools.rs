//! Pools of agents on the real program: an agent comes for a Job that waits, and goes when nothing is left to do.

#![allow(clippy::unwrap_used, reason = "a failed helper fails the test")]

mod support;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{World, free_port, text};

/// The server runs no agent of its own: only a pool can run the Job.
const ALONE: [&str; 2] = ["--no-agent", "--no-gateway"];

/// What the agents of the test with Docker run in, made here.
const IMAGE: &str = "localhost/towpath-agent:test";

/// Its Job sees the container, and nothing of the host.
const BOXED: &str = "\
name: shop
on: { push: { branches: [main] } }
jobs:
  build:
    executor: host
    runs_on: { pool: boxes }
    steps: [test -x /bin/busybox, 'test ! -e OUTSIDE', test ! -e /usr/share]
";

fn configuration(driver: &str) -> String {
    format!(
        "agent_listen: 127.0.0.1:{}\n\
         pools:\n  linux:\n    labels: {{ pool: linux }}\n    maximum: 2\n    scale_up_after: 0s\n    cool_down: 1s\n    \
         idle_limit: 2s\n{driver}",
        free_port()
    )
}

/// A Job that ends when the file `go` is there.
fn pipeline(go: &Path) -> String {
    format!(
        "name: shop\non: {{ push: {{ branches: [main] }} }}\njobs:\n  build:\n    executor: host\n    \
         runs_on: {{ pool: linux }}\n    steps: [{{ run: 'while [ ! -e {} ]; do sleep 0.1; done' }}]\n",
        go.display()
    )
}

/// An image that has what this program needs to run: a shell, and the libraries that it was linked with.
fn image(scratch: &Path) -> Result<(), String> {
    let docker = Command::new("docker").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !docker.is_ok_and(|status| status.success()) {
        return Err("no Docker engine answers; `apt install docker.io`, then start `dockerd`".to_owned());
    }
    let root = scratch.join("image");
    for directory in ["bin", "etc", "tmp", "dev", "proc", "sys", "root", "usr/local/bin"] {
        std::fs::create_dir_all(root.join(directory)).unwrap();
    }
    if std::fs::copy("/bin/busybox", root.join("bin/busybox")).is_err() {
        return Err("there is no busybox to make an image of; `apt install busybox-static`".to_owned());
    }
    for name in ["sh", "true", "sleep", "test", "cat", "mkdir", "rm", "touch"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    std::fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
    let linked = Command::new("ldd").arg(env!("CARGO_BIN_EXE_towpath")).output().unwrap();
    let linked = text(&linked.stdout);
    for path in linked.split_whitespace().filter(|word| word.starts_with('/')) {
        let place = root.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::copy(path, place).unwrap();
    }
    let tar = scratch.join("image.tar");
    let mut pack = Command::new("tar");
    pack.args(["--numeric-owner", "--owner=0", "--group=0", "-cf"]).arg(&tar).arg("-C").arg(&root).arg(".");
    assert!(pack.status().unwrap().success());
    let imported = Command::new("docker").arg("import").arg(&tar).arg(IMAGE).stdout(Stdio::null()).status();
    assert!(imported.unwrap().success());
    let runs = Command::new("docker").args(["run", "--rm", IMAGE, "true"]).output().unwrap();
    if runs.status.success() {
        Ok(())
    } else {
        Err(format!("Docker starts no container here: {}", text(&runs.stderr)))
    }
}

/// What Docker says.
fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    assert!(output.status.success(), "docker {arguments:?}: {}", text(&output.stderr));
    text(&output.stdout).trim().to_owned()
}

/// Removes what a failed test leaves.
struct Swept(String);

impl Drop for Swept {
    fn drop(&mut self) {
        let ids = docker(&["ps", "-aq", "--filter", &self.0]);
        for id in ids.lines() {
            let _gone = Command::new("docker").args(["rm", "-f", id]).output();
        }
    }
}

#[test]
fn docker_containers_are_agents_found_again_by_their_labels() {
    let scratch = tempfile::tempdir().unwrap();
    if let Err(why) = image(scratch.path()) {
        writeln!(std::io::stderr(), "SKIPPED: agents in containers were not tested: {why}").unwrap();
        return;
    }
    let program = env!("CARGO_BIN_EXE_towpath");
    let configuration = |_: &Path| {
        format!(
            "agent_listen: 127.0.0.1:{}\n\
             pools:\n  boxes:\n    labels: {{ pool: boxes }}\n    minimum: 1\n    maximum: 2\n    cool_down: 1s\n    driver: docker\n    \
             docker: {{ image: '{IMAGE}', pull: never, network: host, memory: 512MiB, program: {program}, unsandboxed: true }}\n",
            free_port()
        )
    };
    let mut world = World::start_with(configuration, &ALONE);
    let label = format!("label=dev.towpath.pool={} boxes", world.path("data").display());
    let _swept = Swept(label.clone());
    let containers = || docker(&["ps", "-a", "--filter", &label, "--format", "{{.Names}}"]);
    let idle = |world: &World| {
        let members = members(world);
        let idle = members.iter().find(|member| member["doing"] == "idle")?;
        Some(idle["name"].as_str().unwrap().to_owned())
    };
    let mut first = None;
    world.eventually("an agent calls from its container", || {
        first = idle(&world);
        first.is_some()
    });
    let first = first.unwrap();
    assert_eq!(containers(), first);
    let made = docker(&["inspect", &first, "--format", "{{.HostConfig.Memory}} {{.HostConfig.Privileged}}"]);
    assert_eq!(made, format!("{} false", 512 << 20));

    world.ok(&["project", "create", "shop"]);
    world.push(&[("towpath.yaml", &BOXED.replace("OUTSIDE", world.path("data").to_str().unwrap()))]);
    world.eventually("there is a run", || world.run(&["runs", "shop", "1"]).status.success());
    let said = world.ok(&["wait", "shop#1", "--timeout", "2m"]);
    assert!(said.starts_with("shop#1 passed"), "{said}");

    world.restart(&ALONE);
    world.eventually("it is found again", || idle(&world).as_ref() == Some(&first));
    assert_eq!(containers(), first, "nobody was started beside it");

    let agent = members(&world)[0]["agent"].as_str().unwrap().to_owned();
    world.ok(&["agent", "drain", &agent]);
    let mut second = None;
    world.eventually("another one takes its place", || {
        second = idle(&world).filter(|name| *name != first);
        second.is_some() && containers() == second.as_deref().unwrap_or_default()
    });

    let second = second.unwrap();
    let gone = members(&world)[0]["agent"].as_str().unwrap().to_owned();
    world.restart_after(&ALONE, || drop(docker(&["rm", "-f", &second])));
    world.eventually("who vanished while no server looked is listed no more", || {
        let listed = world.json(&["agent", "list"]);
        let known = listed.as_array().unwrap().iter().any(|agent| agent["id"] == gone.as_str());
        !known && idle(&world).is_some_and(|third| third != second)
    });
}

fn members(world: &World) -> Vec<Value> {
    world.json(&["agent", "pools"])[0]["members"].as_array().unwrap().clone()
}

/// The member that has the Job, once there is one.
fn busy(world: &World) -> Option<String> {
    let members = members(world);
    let busy = members.iter().find(|member| member["doing"] == "busy")?;
    Some(busy["name"].as_str().unwrap().to_owned())
}

#[test]
fn an_agent_comes_for_a_job_survives_the_server_is_replaced_when_it_vanishes_and_goes() {
    let mut world = World::start_with(|_| configuration(""), &ALONE);
    let go = world.path("go");
    world.ok(&["project", "create", "shop"]);
    world.push(&[("towpath.yaml", &pipeline(&go))]);
    let mut first = None;
    world.eventually("an agent of the pool has the job", || {
        first = busy(&world);
        first.is_some()
    });
    let first = first.unwrap();
    let directory = world.path("data/pools/linux").join(&first);
    let arguments = std::fs::read_to_string(directory.join("agent/lock")).unwrap();
    let pid: i32 = arguments.trim().parse().unwrap();
    let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(!String::from_utf8_lossy(&arguments).contains("tpj_"), "the token is in nobody's sight");

    world.restart(&ALONE);
    world.eventually("the agent is adopted", || busy(&world).as_ref() == Some(&first));
    assert_eq!(members(&world).len(), 1, "nobody was started beside it");

    // As a spot machine goes: at once, and with its Job.
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    world.eventually("another one has the job", || busy(&world).is_some_and(|second| second != first));
    std::fs::write(&go, "").unwrap();
    let said = world.ok(&["wait", "shop#1", "--timeout", "2m"]);
    assert!(said.starts_with("shop#1 passed"), "{said}");
    let attempts = world.json(&["runs", "shop", "1"])["jobs"][0]["attempts"].clone();
    let states: Vec<&Value> = attempts.as_array().unwrap().iter().map(|attempt| &attempt["state"]).collect();
    assert_eq!(states, ["lost", "passed"], "{attempts}");

    world.eventually("nobody is left", || members(&world).is_empty());
    assert_eq!(world.json(&["agent", "list"]), Value::Array(Vec::new()));
    let pool = world.json(&["agent", "pools"])[0].clone();
    assert_eq!((&pool["wanted"], &pool["driver"]), (&0.into(), &"process".into()), "{pool}");
}

/// What somebody may write for machines of a cloud; here, they are processes.
const HOOKS: &str = r#"#!/bin/sh
set -eu
cd "$(dirname "$0")"
mkdir -p members
case $1 in
start)
    nohup "$2" agent join --run --no-deployer --dir "$PWD/agents/$TOWPATH_MEMBER" >/dev/null 2>&1 &
    echo $! > "members/$TOWPATH_MEMBER" ;;
stop)
    kill "$(cat "members/$TOWPATH_MEMBER")" || true
    rm "members/$TOWPATH_MEMBER" ;;
list)
    printf '{"members": ['
    separator=
    for name in $(ls members); do printf '%s{"name": "%s"}' "$separator" "$name"; separator=,; done
    printf ']}' ;;
esac
"#;

#[test]
fn commands_start_stop_and_list_agents() {
    let configuration = |root: &Path| {
        std::fs::write(root.join("hooks"), HOOKS).unwrap();
        let hook = |verb: &str| {
            format!("[sh, {}, {verb}, {}]", root.join("hooks").display(), env!("CARGO_BIN_EXE_towpath"))
        };
        let hooks = format!("{{ start: {}, stop: {}, list: {} }}", hook("start"), hook("stop"), hook("list"));
        configuration(&format!("    driver: command\n    hooks: {hooks}\n"))
    };
    let world = World::start_with(configuration, &ALONE);
    let go = world.path("go");
    std::fs::write(&go, "").unwrap();
    world.ok(&["project", "create", "shop"]);
    world.push(&[("towpath.yaml", &pipeline(&go))]);
    world.eventually("there is a run", || world.run(&["runs", "shop", "1"]).status.success());
    let said = world.ok(&["wait", "shop#1", "--timeout", "2m"]);
    assert!(said.starts_with("shop#1 passed"), "{said}");
    let left = || std::fs::read_dir(world.path("members")).unwrap().count();
    world.eventually("the stop hook is called", || left() == 0);
    world.eventually("nobody is left", || members(&world).is_empty());
}

/// A Job that finds nothing of the server and of its own agent.
const CURIOUS: &str = "\
name: shop
on: { push: { branches: [main] } }
jobs:
  build:
    runs_on: { pool: linux }
    steps:
      - run: |
          for place in DATA/towpath.db DATA/server.yaml DATA/keys/master.key DATA/run/local.json; do
            if [ -e \"$place\" ]; then echo \"$place is there\"; exit 9; fi
          done
          for place in DATA/pools/linux/*/agent.log DATA/pools/linux/*/agent/identity*; do
            if [ -e \"$place\" ]; then echo \"$place is there\"; exit 8; fi
          done
          echo nothing is there
";

#[test]
fn a_confined_job_of_a_pool_sees_neither_server_nor_agent() {
    let world = World::start_with(|_| configuration(""), &ALONE);
    world.ok(&["project", "create", "shop"]);
    world.push(&[("towpath.yaml", &CURIOUS.replace("DATA", world.path("data").to_str().unwrap()))]);
    world.eventually("there is a run", || world.run(&["runs", "shop", "1"]).status.success());
    let waited = world.run(&["wait", "shop#1", "--timeout", "2m"]);
    let attempt = world.json(&["runs", "shop", "1"])["jobs"][0]["attempts"][0].clone();
    if attempt["isolation"].as_str().is_some_and(|isolation| isolation.starts_with("host")) {
        let words = "SKIPPED: what a confined job of a pool sees was not tested: this host confines nothing; `apt install bubblewrap`";
        writeln!(std::io::stderr(), "{words}").unwrap();
        return;
    }
    let log = text(&world.run(&["logs", "shop", "1", "build"]).stdout);
    assert!(waited.status.success() && log.contains("nothing is there"), "{attempt}\n{log}");
}
