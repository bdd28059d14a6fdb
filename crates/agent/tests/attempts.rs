//! The agent process with a scripted server: leases, fences, lost connections, kill -9.

#![allow(clippy::unwrap_used, reason = "a failed helper fails the test")]

mod support;

use support::server::Server;
use support::{eventually, step};
use towpath_agent::processes::{ATTEMPT_MARKER, Marker};
use towpath_api::agent::{ArtifactOrder, AttemptEvent, AttemptOutcome, Cancel, Lease};
use towpath_model::AttemptId;
use towpath_model::reports::ReportDeclaration;

fn marker(attempt: AttemptId) -> Marker {
    Marker::new(ATTEMPT_MARKER, &attempt.to_string())
}

#[test]
fn log_events_and_artifacts_reach_the_server_whole() {
    let server = Server::start();
    let _agent = server.agent();
    let script = "seq 1 2000; printf bytes > app; printf '<testsuite><testcase/></testsuite>' > junit.xml; echo v=1 >> $TOWPATH_OUTPUT";
    let attempt = server.assign(vec![step(script)], |assignment| {
        assignment.artifacts =
            vec![ArtifactOrder { name: "shop".parse().unwrap(), files: vec!["app".to_owned()], image: None }];
        assignment.reports = ReportDeclaration::junit(&["junit.xml".to_owned()]);
    });
    eventually("the attempt finishes", || server.finished(attempt).is_some());
    let Some(AttemptEvent::Finished { outcome, message, outputs, artifacts, tests, reports, log_bytes }) =
        server.finished(attempt)
    else {
        unreachable!()
    };
    let report = &reports[0];
    assert_eq!((report.name.as_str(), reports.len()), ("junit.xml", 1));
    assert!(
        server.with(|world| world.blobs.contains_key(&report.digest)),
        "the server has its bytes before it hears of it"
    );
    assert_eq!(outcome, AttemptOutcome::Passed, "{message}");
    assert_eq!(outputs.get("v").map(String::as_str), Some("1"));
    assert_eq!(tests.unwrap().passed, 1);
    let manifest = artifacts.values().next().unwrap();
    assert!(server.with(|world| world.blobs.contains_key(manifest)), "the artifact was not uploaded before");
    let log = server.log(attempt);
    assert_eq!(log.len() as u64, log_bytes);
    let lines: Vec<&str> = log.lines().map(|line| &line[towpath_artifact::line::PREFIX..]).collect();
    let expected: Vec<String> = (1..=2000).map(|number| number.to_string()).collect();
    assert_eq!(lines, expected);
    eventually("the workspace is gone", || std::fs::read_dir(server.work()).unwrap().next().is_none());
}

#[test]
fn a_job_that_divides_its_tests_is_given_their_times() {
    let server = Server::start();
    let _agent = server.agent();
    let times = server.put(b"{\"id\":\"a\",\"ms\":7}\n".to_vec());
    let attempt = server.assign(vec![step("cat $TOWPATH_TEST_TIMES")], |assignment| {
        assignment.test_times = Some(times);
    });
    eventually("the attempt finishes", || server.finished(attempt).is_some());
    let log = server.log(attempt);
    assert!(log.contains("{\"id\":\"a\",\"ms\":7}"), "{log}");
}

#[test]
fn nothing_is_lost_while_the_server_is_away_for_less_than_a_lease() {
    let server = Server::start();
    let _agent = server.agent();
    let attempt = server.assign(vec![step("for i in $(seq 1 60); do echo $i; sleep 0.02; done")], |_| {});
    eventually("the log begins", || server.log(attempt).lines().count() > 3);
    server.with(|world| world.down = true);
    std::thread::sleep(std::time::Duration::from_millis(500));
    server.with(|world| world.down = false);
    eventually("the attempt finishes", || server.finished(attempt).is_some());
    let log = server.log(attempt);
    let lines: Vec<&str> = log.lines().map(|line| &line[towpath_artifact::line::PREFIX..]).collect();
    assert_eq!(lines, (1..=60).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_fenced_attempt_is_killed_and_nothing_more_is_said() {
    let server = Server::start();
    let _agent = server.agent();
    let attempt = server.assign(vec![step("echo ready; while :; do echo tick; sleep 0.05; done")], |_| {});
    eventually("the log begins", || server.log(attempt).contains("ready"));
    server.with(|world| world.fenced.insert(attempt));
    eventually("it is killed", || marker(attempt).processes().is_empty());
    eventually("it is not held any more", || {
        server.with(|world| world.polls.last().unwrap().held.is_empty())
    });
    assert_eq!(server.finished(attempt), None);
}

#[test]
fn a_server_away_for_longer_than_a_lease_ends_the_attempt() {
    let server = Server::start();
    server.with(|world| world.lease_ms = 1_000);
    let _agent = server.agent();
    let attempt = server.assign(vec![step("echo ready; sleep 1000")], |_| {});
    eventually("the log begins", || server.log(attempt).contains("ready"));
    server.with(|world| world.down = true);
    eventually("it is killed", || marker(attempt).processes().is_empty());
    server.with(|world| world.down = false);
    eventually("it is not held any more", || {
        server.with(|world| world.polls.last().unwrap().held.is_empty())
    });
    assert_eq!(server.finished(attempt), None);
}

#[test]
fn a_cancelled_attempt_ends_with_its_reason() {
    let server = Server::start();
    let _agent = server.agent();
    let attempt = server.assign(vec![step("echo ready; sleep 1000")], |_| {});
    eventually("the log begins", || server.log(attempt).contains("ready"));
    let lease = Lease { attempt, fence: 1 };
    server.with(|world| world.cancels.push(Cancel { lease, reason: "superseded by #2".to_owned() }));
    eventually("the attempt finishes", || server.finished(attempt).is_some());
    let finished = server.finished(attempt);
    let Some(AttemptEvent::Finished { outcome, message, .. }) = finished else { unreachable!() };
    assert_eq!(outcome, AttemptOutcome::Cancelled);
    assert!(message.contains("superseded by #2"), "{message}");
}

#[test]
fn a_killed_agent_leaves_nothing_to_the_next() {
    let server = Server::start();
    let mut agent = server.agent();
    let attempt = server.assign(vec![step("echo ready; setsid sleep 1000")], |_| {});
    eventually("the log begins", || server.log(attempt).contains("ready"));
    agent.0.kill().unwrap();
    agent.0.wait().unwrap();
    // Nobody has to come for it: what watches over a Step ends with the agent, and with it the Step.
    eventually("the orphans are killed", || marker(attempt).processes().is_empty());
    let _next = server.agent();
    eventually("their workspace is gone", || std::fs::read_dir(server.work()).unwrap().next().is_none());
}

#[test]
fn two_agents_never_share_a_directory() {
    let server = Server::start();
    let _first = server.agent();
    eventually("the first polls", || server.with(|world| !world.polls.is_empty()));
    let mut second = server.agent();
    assert!(!second.0.wait().unwrap().success());
}

#[test]
fn an_agent_for_one_job_takes_one_and_ends() {
    let server = Server::start();
    let mut agent = server.agent_with(&[("ONE_JOB", "1")]);
    let attempt = server.assign(vec![step("echo ready; sleep 1")], |_| {});
    eventually("the log begins", || server.log(attempt).contains("ready"));
    eventually("it asks for no second one", || {
        server.with(|world| world.polls.last().is_some_and(|poll| poll.one_job && poll.capacity == 0))
    });
    eventually("it ends by itself", || agent.0.try_wait().unwrap().is_some());
    assert!(agent.0.wait().unwrap().success());
    assert!(server.finished(attempt).is_some(), "it ended before the server knew all of it");
}
