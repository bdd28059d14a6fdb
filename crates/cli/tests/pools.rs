//! Pools of agents on the real program: an agent comes for a Job that waits, and goes when nothing is left to do.

#![allow(clippy::unwrap_used, reason = "a failed helper fails the test")]

mod support;

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{World, free_port};

/// The server runs no agent of its own: only a pool can run the Job.
const ALONE: [&str; 2] = ["--no-agent", "--no-gateway"];

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
