//! A changed file against events of the past: what would run, be skipped, be new or gone, and which gates differ.

use std::collections::BTreeMap;

use jiff::Timestamp;
use towpath_config::{parse_pipeline, render, retell};
use towpath_model::history::{Change, PastEvent, PastJob, PastRun, Retold, gates};
use towpath_model::pipeline::Pipeline;
use towpath_model::plan::Occasion;
use towpath_model::run::{JobState, RunState, Trust};

const THEN: &str = "
name: shop
on: { push: { branches: [main], paths: [src/**] }, tag: { patterns: [v*] }, manual: {} }
jobs:
  test: { steps: [make] }
  lint: { if: \"branch == 'main'\", steps: [make] }
  old: { steps: [make] }
  build: { needs: test, steps: [make], artifacts: { shop: { files: [shop] } } }
workloads: { shop: { artifact: shop, command: ./shop } }
stages:
  - { name: dev, environments: [dev] }
  - { name: production, needs: [dev], environments: [production], gates: [{ soak: { environment: dev, for: 30m } }] }
";

const NOW: &str = "
name: shop
on: { push: { branches: [main], paths: [src/**, docs/**] }, manual: { inputs: { deep: { type: boolean, default: false } } } }
jobs:
  test: { steps: [make] }
  lint: { if: \"branch == 'next'\", steps: [make] }
  deep: { if: inputs.deep, steps: [make] }
  build: { needs: test, if: \"commit != 'feed'\", steps: [make], artifacts: { shop: { files: [shop] } } }
workloads: { shop: { artifact: shop, command: ./shop } }
stages:
  - { name: dev, environments: [dev] }
  - { name: production, needs: [dev], environments: [production] }
  - { name: edge, needs: [dev], environments: [edge] }
";

fn pipeline(text: &str) -> Pipeline {
    let (pipeline, diagnostics) = parse_pipeline("towpath.yaml", text);
    pipeline.unwrap_or_else(|| panic!("{diagnostics:?}"))
}

fn event(event: &str, reference: &str, changed: Option<&[&str]>, run: Option<u64>) -> PastEvent {
    let job = |name: &str, state, reason: &str| PastJob {
        name: name.parse().expect("a name"),
        state,
        reason: reason.to_owned(),
    };
    let run = run.map(|number| PastRun {
        number,
        state: RunState::Passed,
        jobs: vec![
            job("test", JobState::Passed, ""),
            job("lint", JobState::Passed, ""),
            job("old", JobState::Skipped, "`x` does not hold"),
            job("build", JobState::Passed, ""),
        ],
        release: Some("1.2.3".to_owned()),
        gates: gates(&pipeline(THEN)),
    });
    PastEvent {
        at: Timestamp::UNIX_EPOCH,
        occasion: Occasion {
            event: event.to_owned(),
            reference: reference.to_owned(),
            changed: changed.map(|paths| paths.iter().map(|path| (*path).to_owned()).collect()),
            trust: Trust::Protected,
            origin: None,
        },
        commit: "feedc0ffee".to_owned(),
        subject: "Mend it".to_owned(),
        inputs: BTreeMap::new(),
        reason: run.as_ref().map_or("no changed file fits `src/**`", |_| "every job passed").to_owned(),
        run,
    }
}

fn told(event: PastEvent) -> Retold {
    retell(&pipeline(NOW), event, &[])
}

fn changes(retold: &Retold) -> Vec<(&str, Change)> {
    retold.jobs.iter().map(|job| (job.name.as_str(), job.change)).collect()
}

#[test]
fn jobs_are_new_gone_run_or_skipped() {
    let retold = told(event("push", "refs/heads/main", Some(&["src/a"]), Some(7)));
    assert_eq!(
        changes(&retold),
        [
            ("test", Change::Same),
            ("lint", Change::Skipped),
            ("deep", Change::New),
            ("build", Change::Same),
            ("old", Change::Gone)
        ]
    );
    let lint = &retold.jobs[1];
    assert_eq!(lint.reason, "`branch == 'next'` does not hold");
    assert_eq!(lint.then.as_ref().unwrap().state, JobState::Passed);
    // It would be skipped, as a push says nothing of the input: its default is known, and false.
    assert!(retold.jobs[2].reason.contains("inputs.deep"), "{}", retold.jobs[2].reason);
    let gates: Vec<(String, Change, usize, usize)> = retold
        .gates
        .iter()
        .map(|gates| (gates.environment.to_string(), gates.route, gates.added.len(), gates.removed.len()))
        .collect();
    assert_eq!(
        gates,
        [("edge".to_owned(), Change::New, 0, 0), ("production".to_owned(), Change::Same, 0, 1)]
    );
}

#[test]
fn a_push_that_started_nothing_would_start_a_run() {
    let retold = told(event("push", "refs/heads/main", Some(&["docs/a"]), None));
    assert!(retold.starts && retold.differs(), "{}", retold.reason);
    assert!(retold.reason.contains("`docs/a` changed"), "{}", retold.reason);
    assert!(retold.jobs.iter().all(|job| job.change == Change::New));
    let still = told(event("push", "refs/heads/main", Some(&["README"]), None));
    assert!(!still.starts && !still.differs(), "{}", still.reason);
}

#[test]
fn a_tag_would_start_nothing() {
    let retold = told(event("tag", "refs/tags/v1.2.3", None, Some(8)));
    assert!(!retold.starts && !retold.seals);
    assert_eq!(retold.reason, "`on` names no tags");
    assert!(retold.jobs.iter().all(|job| job.change == Change::Gone));
}

#[test]
fn what_was_said_at_a_manual_start_is_known() {
    let mut start = event("manual", "refs/heads/main", None, Some(9));
    start.inputs.insert("deep".to_owned(), "true".to_owned());
    let retold = told(start);
    let deep = retold.jobs.iter().find(|job| job.name.as_str() == "deep").unwrap();
    assert_eq!(deep.now, Some(towpath_model::plan::Fate::Runs), "{}", deep.reason);
}

#[test]
fn the_same_file_changes_nothing() {
    let mut past = event("push", "refs/heads/main", Some(&["src/a"]), Some(7));
    past.run.as_mut().unwrap().jobs[2].state = JobState::Passed;
    let retold = retell(&pipeline(THEN), past, &[]);
    assert!(!retold.differs(), "{:?}", changes(&retold));
}

#[test]
fn a_terminal_shows_what_differs() {
    let all = [
        told(event("push", "refs/heads/main", Some(&["src/a"]), Some(7))),
        told(event("push", "refs/heads/main", Some(&["README"]), None)),
        told(event("tag", "refs/tags/v1.2.3", None, Some(6))),
    ];
    let text = render::history("shop", &all);
    expect_test::expect![[r#"
        shop: 2 of the last 3 events would have gone otherwise

        #7 passed  push of refs/heads/main (protected), feedc0f Mend it, 1970-01-01 00:00 UTC
          lint  now skipped  `branch == 'next'` does not hold (then: passed)
          deep  new          `inputs.deep` does not hold
          old   gone         the file has it no more (then: skipped, `x` does not hold)
          `edge` is new on the route
          `production` loses a gate: a soak of 30m in dev

        no Run  push of refs/heads/main (protected), feedc0f Mend it, 1970-01-01 00:00 UTC
          no Run either: branch `main` fits `main`, but no changed file fits `src/**`, `docs/**`

        #6 passed  tag of refs/tags/v1.2.3 (protected), feedc0f Mend it, 1970-01-01 00:00 UTC
          would start no Run: `on` names no tags
    "#]]
    .assert_eq(&text);
}
