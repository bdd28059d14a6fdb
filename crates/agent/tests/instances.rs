//! Instances with real processes: verification, readiness, adoption, restart, stop.

#![allow(clippy::unwrap_used, reason = "a failed helper fails the test")]

mod support;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use support::server::{Server, own_memory_kib};
use support::{eventually, helper};
use towpath_agent::instances::{ChildState, InstanceDirectory, SupervisorStatus};
use towpath_agent::processes::{INSTANCE_MARKER, Marker};
use towpath_api::agent::{DesiredInstances, InstanceOrder, InstancePhase, Secret};
use towpath_artifact::{ReleaseKey, ReleaseManifest, pack, sign_release};
use towpath_model::pipeline::{Health, Limits, Protocol, Stop, Workload};
use towpath_model::{Digest, EnvironmentKey, InstanceId, RunId};

/// Seals a Release whose one Workload answers `text`, and orders an Instance of it.
fn order(server: &Server, key: &ReleaseKey, text: &str) -> InstanceOrder {
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("answer"), text).unwrap();
    let packed = pack(files.path(), &["answer".to_owned()], &mut { server }).unwrap();
    let workload = Workload {
        name: "shop".parse().unwrap(),
        artifact: "shop".parse().unwrap(),
        image: None,
        command: Some(format!("exec '{}' http answer", helper().display())),
        port: None,
        env: BTreeMap::new(),
        health: Health {
            ready: Some("/ready".to_owned()),
            live: Some("/live".to_owned()),
            period: jiff::SignedDuration::from_millis(100),
            ..Health::default()
        },
        stop: Stop::default(),
        limits: Limits::default(),
        protocol: Protocol::Http1,
    };
    let manifest = ReleaseManifest {
        schema: 1,
        project: "shop".parse().unwrap(),
        version: "1.0.0".to_owned(),
        commit: "0123456789abcdef0123456789abcdef01234567".parse().unwrap(),
        reference: "refs/heads/main".to_owned(),
        source_tree: Digest::of(b"tree"),
        pipeline: Digest::of(b"pipeline"),
        run: RunId(uuid::Uuid::from_u128(7)),
        run_number: 1,
        artifacts: BTreeMap::from([("shop".parse().unwrap(), packed.manifest)]),
        workloads: vec![workload],
        databases: Vec::new(),
        executors: BTreeMap::new(),
    };
    let bytes = manifest.to_bytes();
    let envelope = sign_release(&bytes, key).unwrap();
    InstanceOrder {
        instance: InstanceId(uuid::Uuid::new_v4()),
        environment: EnvironmentKey { project: "shop".parse().unwrap(), environment: "dev".parse().unwrap() },
        workload: "shop".parse().unwrap(),
        revision: Digest::of(b"revision"),
        release: server.put(bytes),
        signature: server.put(envelope),
        values: BTreeMap::new(),
        secrets: BTreeMap::from([("TOKEN".to_owned(), Secret::new("hunter2-hunter2".to_owned()))]),
        container: None,
    }
}

fn trusted(server: &Server) -> ReleaseKey {
    let key = ReleaseKey::generate();
    std::fs::write(server.data.path().join("keys/release.pub"), key.public().to_pem()).unwrap();
    key
}

fn want(server: &Server, generation: u64, instances: Vec<InstanceOrder>) {
    server.with(|world| {
        world.desired = Some(DesiredInstances { generation, instances, keep: Default::default() })
    });
}

fn phase(server: &Server, instance: InstanceId) -> Option<InstancePhase> {
    server.status(instance).map(|status| status.phase)
}

fn supervisor(server: &Server, instance: InstanceId) -> SupervisorStatus {
    InstanceDirectory::new(&server.data.path().join("agent/instances"), instance).status().unwrap()
}

fn pid(status: &SupervisorStatus) -> i32 {
    match status.state {
        ChildState::Running { pid, .. } => pid,
        ref other => panic!("the command does not run: {other:?}"),
    }
}

fn kill(pid: i32) {
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
}

fn ask(server: &Server, instance: InstanceId) -> String {
    let mut stream = std::net::TcpStream::connect(server.status(instance).unwrap().address.unwrap()).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn an_instance_outlives_its_agent_and_is_adopted_not_restarted() {
    let server = Server::start();
    let order = order(&server, &trusted(&server), "hello");
    let instance = order.instance;
    let mut agent = server.agent();
    want(&server, 1, vec![order]);
    eventually("it is ready", || phase(&server, instance) == Some(InstancePhase::Ready));
    assert!(ask(&server, instance).ends_with("hello"));
    let before = supervisor(&server, instance);
    let (of_agent, of_supervisor) =
        (own_memory_kib(agent.0.id()), own_memory_kib(before.supervisor.unsigned_abs()));
    assert!(
        of_agent < 10 << 10 && of_supervisor < 3 << 10,
        "agent {of_agent} KiB, supervisor {of_supervisor} KiB"
    );

    agent.0.kill().unwrap();
    agent.0.wait().unwrap();
    assert!(ask(&server, instance).ends_with("hello"), "it died with its agent");
    // The new agent hears nothing of Instances: it must not stop what it was not told to stop.
    server.with(|world| (world.desired.take(), world.statuses.clear(), world.polls.clear()));
    let _next = server.agent();
    eventually("it is ready again", || phase(&server, instance) == Some(InstancePhase::Ready));
    eventually("the agent has polled twice", || server.with(|world| world.polls.len() > 2));
    assert_eq!(supervisor(&server, instance), before, "it was started anew");

    want(&server, 1, Vec::new());
    eventually("it is stopped", || phase(&server, instance) == Some(InstancePhase::Stopped));
    assert_eq!(Marker::new(INSTANCE_MARKER, &instance.to_string()).processes(), []);
    let stopped = server.data.path().join("agent/stopped");
    let kept = std::fs::read_dir(stopped).unwrap().next().unwrap().unwrap().path();
    let log = std::fs::read_to_string(kept.join("log")).unwrap();
    assert!(log.contains("listening; token ****") && !log.contains("hunter2"), "{log}");
    assert!(!kept.join("spec.json").exists(), "secrets stay on the disk");
}

#[test]
fn a_command_that_dies_is_started_again() {
    let server = Server::start();
    let order = order(&server, &trusted(&server), "hello");
    let instance = order.instance;
    let _agent = server.agent();
    want(&server, 1, vec![order]);
    eventually("it is ready", || phase(&server, instance) == Some(InstancePhase::Ready));
    kill(pid(&supervisor(&server, instance)));
    eventually("it is seen to be down", || phase(&server, instance) == Some(InstancePhase::Restarting));
    eventually("it is ready again", || phase(&server, instance) == Some(InstancePhase::Ready));
    assert_eq!(server.status(instance).unwrap().restarts, 1);
    want(&server, 2, Vec::new());
    eventually("it is stopped", || phase(&server, instance) == Some(InstancePhase::Stopped));
}

#[test]
fn a_killed_supervisor_leaves_no_orphan_and_is_replaced() {
    let server = Server::start();
    let order = order(&server, &trusted(&server), "hello");
    let instance = order.instance;
    let _agent = server.agent();
    want(&server, 1, vec![order]);
    eventually("it is ready", || phase(&server, instance) == Some(InstancePhase::Ready));
    let before = supervisor(&server, instance);
    kill(before.supervisor);
    eventually("another supervisor runs it", || {
        let now = supervisor(&server, instance);
        now.supervisor != before.supervisor && matches!(now.state, ChildState::Running { .. })
    });
    let marked = Marker::new(INSTANCE_MARKER, &instance.to_string()).processes();
    assert!(marked.iter().all(|marked| marked.as_raw_nonzero().get() != pid(&before)), "an orphan was left");
    eventually("it is ready again", || phase(&server, instance) == Some(InstancePhase::Ready));
    want(&server, 2, Vec::new());
    eventually("it is stopped", || phase(&server, instance) == Some(InstancePhase::Stopped));
}

#[test]
fn a_release_signed_by_another_key_is_refused() {
    let server = Server::start();
    trusted(&server);
    let order = order(&server, &ReleaseKey::generate(), "evil");
    let instance = order.instance;
    let _agent = server.agent();
    want(&server, 1, vec![order]);
    eventually("it is refused", || phase(&server, instance) == Some(InstancePhase::Failed));
    let message = server.status(instance).unwrap().message;
    assert!(message.contains("signature"), "{message}");
    assert_eq!(std::fs::read_dir(server.data.path().join("agent/artifacts")).unwrap().count(), 0);
    want(&server, 2, Vec::new());
    eventually("it is gone", || phase(&server, instance) == Some(InstancePhase::Stopped));
}

#[test]
fn a_tampered_or_unsigned_release_is_refused_for_its_own_reason() {
    let server = Server::start();
    let key = trusted(&server);
    let (good, other) = (order(&server, &key, "good"), order(&server, &key, "other"));
    let mut manifest = server.with(|world| world.blobs[&good.release].clone());
    let at = manifest.windows(5).position(|text| text == b"1.0.0").unwrap();
    manifest[at] = b'9';
    let new = || InstanceId(uuid::Uuid::new_v4());
    let tampered = InstanceOrder { instance: new(), release: server.put(manifest), ..good.clone() };
    let swapped = InstanceOrder { instance: new(), signature: other.signature, ..good.clone() };
    let unsigned = InstanceOrder { instance: new(), signature: server.put(b"{}".to_vec()), ..good.clone() };
    let lost = InstanceOrder { instance: new(), signature: Digest::of(b"nowhere"), ..good };
    let _agent = server.agent();
    let orders = vec![tampered.clone(), swapped.clone(), unsigned.clone(), lost.clone()];
    want(&server, 1, orders);
    for (order, reason) in [
        (tampered, "the signature is for"),
        (swapped, "the signature is for"),
        (unsigned, "not a DSSE envelope"),
        (lost, "404"),
    ] {
        eventually("it is refused", || phase(&server, order.instance) == Some(InstancePhase::Failed));
        let message = server.status(order.instance).unwrap().message;
        assert!(message.contains(reason), "wanted `{reason}`: {message}");
    }
    let unpacked = std::fs::read_dir(server.data.path().join("agent/artifacts"));
    assert_eq!(unpacked.map_or(0, Iterator::count), 0, "something was unpacked");
}

#[test]
fn a_failing_liveness_probe_starts_the_command_anew() {
    let server = Server::start();
    let mut order = order(&server, &trusted(&server), "hello");
    let instance = order.instance;
    let ill = server.data.path().join("ill");
    order.values.insert("ILL".to_owned(), ill.display().to_string());
    let _agent = server.agent();
    want(&server, 1, vec![order]);
    eventually("it is ready", || phase(&server, instance) == Some(InstancePhase::Ready));
    let before = supervisor(&server, instance);
    std::fs::write(&ill, "").unwrap();
    eventually("it is started anew", || supervisor(&server, instance).restarts == 1);
    std::fs::remove_file(&ill).unwrap();
    eventually("it is ready again", || phase(&server, instance) == Some(InstancePhase::Ready));
    let after = supervisor(&server, instance);
    assert_eq!(after.supervisor, before.supervisor);
    assert_ne!(pid(&after), pid(&before));
    want(&server, 2, Vec::new());
    eventually("it is stopped", || phase(&server, instance) == Some(InstancePhase::Stopped));
}

#[test]
fn a_taken_port_is_exchanged_at_the_next_start() {
    let server = Server::start();
    let order = order(&server, &trusted(&server), "hello");
    let instance = order.instance;
    let _agent = server.agent();
    want(&server, 1, vec![order]);
    eventually("it is ready", || phase(&server, instance) == Some(InstancePhase::Ready));
    let taken = server.status(instance).unwrap().address.unwrap();
    kill(pid(&supervisor(&server, instance)));
    eventually("the port is free", || match std::net::TcpListener::bind(taken) {
        // Held for the rest of the test.
        Ok(listener) => {
            std::mem::forget(listener);
            true
        }
        Err(_) => false,
    });
    eventually("it is ready on another port", || {
        let status = server.status(instance).unwrap();
        status.phase == InstancePhase::Ready && status.address != Some(taken)
    });
    assert!(ask(&server, instance).ends_with("hello"));
    want(&server, 2, Vec::new());
    eventually("it is stopped", || phase(&server, instance) == Some(InstancePhase::Stopped));
}
