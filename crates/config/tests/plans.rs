//! Small plans as data, and the second opinion on plans that were tampered with.

use expect_test::{Expect, expect};
use jiff::SignedDuration;
use towpath_config::{parse_pipeline, plan};
use towpath_model::plan::{Fate, Occasion, PlanReport};
use towpath_model::plan_lint;
use towpath_model::run::Trust;

fn planned(text: &str, event: &str, reference: &str, changed: Option<&[&str]>) -> PlanReport {
    let (pipeline, diagnostics) = parse_pipeline("towpath.yaml", text);
    let pipeline = pipeline.unwrap_or_else(|| panic!("{diagnostics:?}"));
    let changed = changed.map(|paths| paths.iter().map(|path| (*path).to_owned()).collect());
    let occasion = Occasion {
        event: event.to_owned(),
        reference: reference.to_owned(),
        changed,
        trust: Trust::Protected,
        origin: None,
    };
    let report = plan(&pipeline, &occasion, &[]);
    assert_eq!(plan_lint::lint(&report), [""; 0]);
    report
}

/// Plans the jobs of a push to main.
fn check_jobs(jobs: &str, expected: &Expect) {
    let report = planned(&format!("name: shop\njobs:\n{jobs}"), "push", "refs/heads/main", None);
    let lines: Vec<String> = report
        .jobs
        .iter()
        .map(|job| format!("{} {} {:?}: {}\n", job.batch, job.name, job.fate, job.reason))
        .collect();
    expected.assert_eq(&lines.concat());
}

/// Plans whether something starts a Run.
fn check_starts(on: &str, event: &str, reference: &str, changed: Option<&[&str]>, expected: &Expect) {
    let report = planned(
        &format!("name: shop\non: {on}\njobs: {{ a: {{ steps: [make] }} }}\n"),
        event,
        reference,
        changed,
    );
    expected.assert_eq(&format!("{}: {}", report.starts, report.reason));
}

#[test]
fn a_skipped_job_skips_those_that_need_it() {
    check_jobs(
        "  a: { if: tag != '', steps: [make] }\n  b: { needs: a, steps: [make] }\n  c: { needs: b, if: branch == 'main', steps: [make] }\n",
        &expect![[r#"
            1 a Skipped: `tag != ''` does not hold
            2 b Skipped: it needs `a`, which is skipped
            3 c Skipped: it needs `b`, which is skipped
        "#]],
    );
}

#[test]
fn a_condition_that_asks_for_outcomes_decides_alone() {
    check_jobs(
        "  a: { if: tag != '', steps: [make] }\n  b: { needs: a, if: needs.a.outcome == 'skipped', steps: [make] }\n  c: { steps: [make] }\n  d: { needs: c, if: needs.c.outcome == 'failed', steps: [make] }\n  e: { needs: d, steps: [make] }\n",
        &expect![[r#"
            1 a Skipped: `tag != ''` does not hold
            1 c Runs: at once
            2 b Runs: after `a`; `needs.a.outcome == 'skipped'` holds
            2 d Undecided: after `c`, if `needs.c.outcome == 'failed'`: it depends on the outcome of `c`
            3 e Undecided: if `d` runs
        "#]],
    );
}

#[test]
fn triggers_say_why() {
    check_starts(
        "{ push: [main, release/*] }",
        "push",
        "refs/heads/release/1",
        None,
        &expect!["true: branch `release/1` fits `release/*`"],
    );
    check_starts(
        "{ push: main }",
        "push",
        "refs/heads/topic",
        None,
        &expect!["false: branch `topic` fits none of `main`"],
    );
    check_starts(
        "{ push: { paths: [src/**] } }",
        "push",
        "refs/heads/x",
        Some(&["docs/a.md"]),
        &expect!["false: every branch starts a Run, but no changed file fits `src/**`"],
    );
    check_starts(
        "{ push: { paths: [src/**] } }",
        "push",
        "refs/heads/x",
        Some(&["src/a/b.rs"]),
        &expect!["true: every branch starts a Run, and `src/a/b.rs` changed"],
    );
    check_starts("{ push: main }", "tag", "refs/tags/v1", None, &expect!["false: `on` names no tags"]);
    check_starts("{ tag: v* }", "tag", "refs/tags/v1", None, &expect!["true: tag `v1` fits `v*`"]);
    check_starts(
        "{ push: main, manual: false }",
        "manual",
        "refs/heads/main",
        None,
        &expect!["false: `on` says `manual: false`"],
    );
}

#[test]
fn tampered_plans_are_found_out() {
    let text = include_str!("../../../examples/shop/towpath.yaml");
    let good = planned(text, "push", "refs/heads/main", None);
    let tampered: [fn(&mut PlanReport); 8] = [
        |report| report.jobs.swap(0, 3),
        |report| report.jobs[2].batch = 7,
        |report| report.jobs[2].fate = Fate::Skipped,
        |report| report.occasion.trust = Trust::Fork,
        |report| report.stages.reverse(),
        |report| report.seal.seals = false,
        |report| report.stages[2].promotions[0].rollout.steps.swap(0, 1),
        |report| report.stages[2].deadline = SignedDuration::from_mins(1),
    ];
    for (index, tamper) in tampered.into_iter().enumerate() {
        let mut report = good.clone();
        tamper(&mut report);
        assert!(!plan_lint::lint(&report).is_empty(), "tampering {index} was not found");
    }
}

#[test]
fn a_matrix_is_planned_cell_by_cell() {
    check_jobs(
        "  test:\n    matrix: { os: [linux, mac], rust: [stable, nightly], exclude: [{ os: mac, rust: nightly }] }\n    if: matrix.os == 'linux' || branch == 'x'\n    runs_on: \"${{ matrix.os }}\"\n    steps: [make]\n  build: { needs: test, if: needs.test.outcome == 'skipped' || true, steps: [make] }\n  one: { needs: [test-linux-stable], steps: [make] }\n",
        &expect![[r#"
            1 test-linux-stable Runs: at once; `matrix.os == 'linux' || branch == 'x'` holds
            1 test-linux-nightly Runs: at once; `matrix.os == 'linux' || branch == 'x'` holds
            1 test-mac-stable Skipped: `matrix.os == 'linux' || branch == 'x'` does not hold
            2 build Runs: after `test-linux-stable`, `test-linux-nightly`; `needs.test.outcome == 'skipped' || true` holds
            2 one Runs: after `test-linux-stable`
        "#]],
    );
}

#[test]
fn cells_defaults_and_templates_come_together() {
    let text = r#"
name: shop
defaults: { timeout: 5m, shell: bash, env: { A: default, B: default } }
templates:
  rust:
    parameters:
      toolchain: { default: stable, options: [stable, nightly] }
      directory: {}
      locked: { type: boolean, default: true }
    steps:
      - cargo test
      - { run: ./more, directory: "${{ parameters.directory }}", env: { FLAGS: "${{ parameters.locked ? '--locked' : '' }}" } }
jobs:
  test:
    matrix: { dir: [a, b] }
    env: { A: own }
    runs_on: { dir: "${{ matrix.dir }}" }
    artifacts: { "out-${{ matrix.dir }}": dist }
    steps:
      - { uses: rust, with: { directory: "crates/${{ matrix.dir }}" } }
      - { run: echo, shell: python3 }
"#;
    let (pipeline, diagnostics) = parse_pipeline("towpath.yaml", text);
    let pipeline = pipeline.unwrap_or_else(|| panic!("{diagnostics:?}"));
    let job = &pipeline.jobs[1];
    let shown: Vec<String> = job
        .steps
        .iter()
        .map(|step| format!("{} in {:?} by {:?} with {:?}\n", step.run, step.directory, step.shell, step.env))
        .collect();
    expect![[r#"
        test-b {"A": EnvValue("own"), "B": EnvValue("default"), "MATRIX_DIR": EnvValue("b")} {"dir": "b"} [ArtifactDeclaration { name: "out-b", files: ["dist"], image: None }] PT5M
        cargo test in None by Some(["bash"]) with {"PARAM_DIRECTORY": EnvValue("crates/${{ matrix.dir }}"), "PARAM_LOCKED": EnvValue("true"), "PARAM_TOOLCHAIN": EnvValue("stable")}
        ./more in Some("crates/b") by Some(["bash"]) with {"FLAGS": EnvValue("${{ true ? '--locked' : '' }}"), "PARAM_DIRECTORY": EnvValue("crates/${{ matrix.dir }}"), "PARAM_LOCKED": EnvValue("true"), "PARAM_TOOLCHAIN": EnvValue("stable")}
        echo in None by Some(["python3"]) with {}
    "#]]
    .assert_eq(&format!("{} {:?} {:?} {:?} {}\n{}", job.name, job.env, job.runs_on, job.artifacts, job.timeout, shown.concat()));
}
