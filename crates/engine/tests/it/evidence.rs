//! Reports of Jobs: read by the server, remembered by test, compared with the last Release.

use jiff::SignedDuration;
use towpath_api::rest::NewQuarantine;
use towpath_engine::EngineError;
use towpath_model::reports::ReportKind;
use towpath_model::run::RunState;
use towpath_store::core::tests::Order;

use crate::agent::Fate;
use crate::world::{World, developer, shop};

const PIPELINE: &str = "
name: shop
on: { push: { branches: [main] }, manual: true }
jobs:
  test:
    retry: 1
    steps: [./test]
    artifacts: { shop: { files: [shop] } }
    reports: { junit: r.xml, coverage: c.info, sarif: s.sarif, load: l.json, contract: p.json }
workloads:
  shop: { artifact: shop, command: ./shop --port $PORT, health: { ready: /ready } }
";

fn junit(pays: &str) -> (ReportKind, String) {
    let report = format!(
        "<testsuite><testcase classname='cart' name='adds' time='0.5'/>\
         <testcase classname='cart' name='pays' file='cart.rs' line='7' time='2'>{pays}</testcase></testsuite>"
    );
    (ReportKind::Junit, report)
}

const FAILED: &str = "<failure message='declined'>at cart.rs:7</failure>";

fn coverage(hit: u32) -> (ReportKind, String) {
    (ReportKind::Coverage, format!("SF:cart.rs\nDA:1,1\nDA:2,{hit}\nend_of_record\n"))
}

fn load(p95: u32) -> (ReportKind, String) {
    let metrics = format!(
        "{{\"metrics\":{{\"http_reqs\":{{\"count\":100,\"rate\":10}},\"http_req_duration\":{{\"p(95)\":{p95}}}}}}}"
    );
    (ReportKind::Load, metrics)
}

#[test]
fn a_test_that_passes_on_retry_is_remembered_as_such() {
    let mut world = World::start::<60>();
    // What the agent claims does not count where there is a report.
    world.agent.fates.insert("test".to_owned(), Fate::Fails);
    world.agent.reports.insert("test".to_owned(), vec![junit(FAILED)]);
    world.push(&[("towpath.yaml", PIPELINE)]);
    world.until("both tries to fail", |world| (world.find_run(1).state == RunState::Failed).then_some(()));
    let evidence = world.run(world.engine.evidence(&shop(), 1)).unwrap();
    let tests = evidence.tests.unwrap();
    assert_eq!((tests.passed, tests.failed, tests.retried), (1, 1, 0));
    assert_eq!(tests.slowest[0].test, "cart::pays");
    assert_eq!(evidence.failures.len(), 2, "one of each try");
    assert_eq!(evidence.annotations.len(), 1, "what the last try says: {:?}", evidence.annotations);
    assert_eq!(evidence.annotations[0].place().as_deref(), Some("cart.rs:7"));
    let counts = world.find_run(1).jobs[0].attempts[1].tests.unwrap();
    assert_eq!((counts.passed, counts.failed), (1, 1));

    world.agent.fates.clear();
    world.agent.reports.insert("test".to_owned(), vec![junit("")]);
    world.run(world.engine.rerun(&shop(), 1, &developer())).unwrap();
    world.until("the rerun", |world| (world.find_run(1).state == RunState::Passed).then_some(()));
    let tests = world.run(world.engine.evidence(&shop(), 1)).unwrap().tests.unwrap();
    assert_eq!((tests.passed, tests.failed, tests.retried), (2, 0, 1));
    assert_eq!(tests.retried_tests, ["cart::pays"]);
    let all = world.run(world.engine.tests(&shop(), "", Order::Health, 0, 10)).unwrap();
    assert_eq!((all.flaky, all.stable), (1, 1));
    assert_eq!((all.tests[0].id.as_str(), all.tests[0].recent.as_str()), ("cart::pays", "ffr"));
    let test = world.run(world.engine.test(&shop(), "cart::pays")).unwrap();
    assert!(test.last_failures.iter().all(|failure| failure.retried), "{:?}", test.last_failures);
}

#[test]
fn what_steps_say_is_shown_of_the_last_attempt_alone() {
    let mut world = World::start::<118>();
    let said = |text: &str| (ReportKind::Annotations, text.to_owned());
    world.agent.fates.insert("test".to_owned(), Fate::Fails);
    let lines = "{\"source\":\"lint\"}\n::warning file=b.rs,line=3::stiff\n{\"message\":\"no place\"}\nhello";
    world.agent.reports.insert("test".to_owned(), vec![said(lines)]);
    world.push(&[("towpath.yaml", PIPELINE)]);
    world.until("both tries to fail", |world| (world.find_run(1).state == RunState::Failed).then_some(()));
    let evidence = world.run(world.engine.evidence(&shop(), 1)).unwrap();
    let shown: Vec<_> = evidence.annotations.iter().map(|one| (one.place(), one.source.as_str())).collect();
    assert_eq!(
        shown,
        [(None, "lint"), (Some("b.rs:3".to_owned()), "lint")],
        "of the last try alone, errors first"
    );
    let problem = evidence.reports[0].problem.as_deref().unwrap();
    assert!(problem.contains("the first is line 4"), "{problem}");

    world.agent.fates.clear();
    world.agent.reports.clear();
    world.run(world.engine.rerun(&shop(), 1, &developer())).unwrap();
    world.until("the rerun", |world| (world.find_run(1).state == RunState::Passed).then_some(()));
    let evidence = world.run(world.engine.evidence(&shop(), 1)).unwrap();
    assert_eq!(evidence.annotations, [], "what passed has nothing to say any more");
}

#[test]
fn coverage_load_findings_and_contracts_are_compared_with_the_last_release() {
    let mut world = World::start::<61>();
    let sarif = |errors: usize| {
        let finding = r#"{"level":"error","message":{"text":"m"}}"#;
        let results = vec![finding; errors].join(",");
        (
            ReportKind::Sarif,
            format!(
                r#"{{"version":"2.1.0","runs":[{{"tool":{{"driver":{{"name":"scan"}}}},"results":[{results}]}}]}}"#
            ),
        )
    };
    let contract =
        (ReportKind::Contract, r#"{"result":false,"errors":[{"interaction":"a cart"}]}"#.to_owned());
    world.agent.reports.insert("test".to_owned(), vec![coverage(1), load(100), sarif(1), contract]);
    world.push(&[("towpath.yaml", PIPELINE)]);
    let run = world.ended_run(1);
    let version = run.release.unwrap().version;
    let first = world.run(world.engine.evidence(&shop(), 1)).unwrap();
    assert_eq!(first.baseline, None, "there is nothing before it");
    assert!(!first.contracts[0].passed);
    world.agent.reports.insert("test".to_owned(), vec![coverage(0), load(150), sarif(3)]);
    world.push(&[("more", "x")]);
    world.ended_run(2);
    let second = world.run(world.engine.evidence(&shop(), 2)).unwrap();
    assert_eq!(second.baseline.unwrap().what, format!("Release {version}"));
    let covered = second.coverage.unwrap();
    assert_eq!((covered.basis_points, covered.change), (5000, Some(-5000)));
    assert_eq!(covered.changed[0].path, "cart.rs");
    assert_eq!(second.load[0].latency_change, Some(5000));
    assert_eq!(second.findings.unwrap().errors_change, Some(2));
}

#[test]
fn a_broken_report_is_kept_with_what_is_wrong_with_it() {
    let mut world = World::start::<62>();
    let broken = vec![(ReportKind::Junit, "PASS".to_owned()), (ReportKind::Coverage, "<html/>".to_owned())];
    world.agent.reports.insert("test".to_owned(), broken);
    world.push(&[("towpath.yaml", PIPELINE)]);
    assert_eq!(world.ended_run(1).state, RunState::Passed, "a report alone fails nothing");
    let evidence = world.run(world.engine.evidence(&shop(), 1)).unwrap();
    assert!(evidence.tests.unwrap().problem.unwrap().contains("no XML"));
    assert!(evidence.coverage.is_none());
    assert!(evidence.reports[1].problem.as_ref().unwrap().contains("<html>"), "{:?}", evidence.reports);
}

#[test]
fn a_quarantine_reaches_the_agent_until_its_time_is_over() {
    let mut world = World::start::<63>();
    world.push(&[("towpath.yaml", PIPELINE)]);
    world.ended_run(1);
    assert!(world.agent.given[0].quarantine.is_empty());
    let new = |world: &World, days: i64| NewQuarantine {
        test: "cart::pays".to_owned(),
        owner: "dora".to_owned(),
        reason: "the bank's sandbox is down".to_owned(),
        until: world.now().checked_add(SignedDuration::from_hours(24 * days)).unwrap(),
    };
    let refused =
        world.run(world.engine.quarantine_test(&shop(), new(&world, 91), &developer())).unwrap_err();
    assert!(matches!(refused, EngineError::Invalid { .. }), "{refused}");
    world.run(world.engine.quarantine_test(&shop(), new(&world, 2), &developer())).unwrap();
    world.agent.reports.insert("test".to_owned(), vec![junit(FAILED)]);
    world.push(&[("more", "x")]);
    world.ended_run(2);
    assert_eq!(world.agent.given[1].quarantine, ["cart::pays"]);
    let evidence = world.run(world.engine.evidence(&shop(), 2)).unwrap();
    assert_eq!(evidence.tests.as_ref().unwrap().quarantined, 1);
    assert!(evidence.failures[0].quarantined && evidence.annotations[0].level == "note");
    world.pass(SignedDuration::from_hours(49));
    world.push(&[("more", "y")]);
    world.ended_run(3);
    assert!(world.agent.given[2].quarantine.is_empty(), "its time is over");
    let all = world.run(world.engine.tests(&shop(), "", Order::Name, 0, 10)).unwrap();
    assert!(all.quarantined[0].expired);
    world.run(world.engine.release_test(&shop(), "cart::pays", &developer())).unwrap();
    assert!(world.run(world.engine.release_test(&shop(), "cart::pays", &developer())).is_err());
}

#[test]
fn all_cells_and_tries_of_a_divided_job_are_given_the_same_times() {
    let mut world = World::start::<5>();
    let divided = PIPELINE.replace("    retry: 1", "    parallel: 2\n    max_parallel: 1\n    retry: 1");
    let divided = divided.replace("    artifacts: { shop: { files: [shop] } }\n", "");
    let divided = divided.split("workloads:").next().unwrap().to_owned();
    world.agent.reports.insert("test-1".to_owned(), vec![junit("")]);
    world.push(&[("towpath.yaml", &divided)]);
    assert_eq!(world.ended_run(1).jobs.len(), 2);
    let given = &world.agent.given;
    assert_eq!(given[0].env["TOWPATH_PARALLEL_INDEX"], "1");
    assert_eq!(
        (given[0].test_times, given[1].test_times),
        (None, None),
        "the second waits for the first, which reports"
    );
    world.push(&[("more", "x")]);
    world.ended_run(2);
    let times = world.agent.given[2].test_times.unwrap();
    assert_eq!(world.agent.given[3].test_times, Some(times));
    let text = String::from_utf8(world.engine.content().read(times, 1 << 20).unwrap()).unwrap();
    assert!(text.contains("{\"id\":\"cart::pays\",\"file\":\"cart.rs\",\"ms\":2000}"), "{text}");
}

#[test]
fn a_gate_waits_for_evidence_and_says_all_that_is_missing() {
    let mut world = World::start::<6>();
    let gate = "gates: [{ evidence: { tests: { passed_on_retry: refuse }, coverage: { max_drop: 10% }, \
                contract: verified } }]";
    world
        .apply(&format!(
            "environment: dev\nproject: shop\ntarget: {{ hosts: {{ role: web }}, instances: 1 }}\nlisten: 127.0.0.1:18091\n{gate}\n"
        ))
        .unwrap();
    let route = "stages: [{ name: dev, environments: [dev], deploy: { strategy: recreate } }]\n";
    let contract = (ReportKind::Contract, r#"{"result":true,"interactions":[{}]}"#.to_owned());
    world.agent.reports.insert("test".to_owned(), vec![coverage(1)]);
    world.push(&[("towpath.yaml", &format!("{PIPELINE}{route}"))]);
    let reason = |world: &World| {
        let gates = &world.environment("dev").environment.waiting?.gates;
        Some(gates.iter().map(|gate| gate.reason.clone()).collect::<Vec<_>>().join(" / "))
    };
    let said = world.until("the gate", reason);
    assert!(said.contains("lacks evidence: no tests were reported; no contract was verified"), "{said}");

    world.agent.reports.insert("test".to_owned(), vec![junit(""), coverage(1), contract.clone()]);
    world.push(&[("more", "x")]);
    world.until("the first version that has it", |world| {
        world.environment("dev").environment.current.map(drop)
    });

    world.agent.reports.insert("test".to_owned(), vec![junit(""), coverage(0), contract]);
    world.push(&[("more", "y")]);
    let said = world.until("the drop", reason);
    assert!(said.contains("coverage drops by 50% to 50%, and may drop by 10%"), "{said}");
}
