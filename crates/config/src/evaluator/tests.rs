//! Conditions and values against a Run that is under way.

use serde_json::{Value, json};
use towpath_model::pipeline::Job;
use towpath_model::run::{JobState, Run, RunState, Trust};
use towpath_model::timeline::Actor;

use super::{CelEvaluator, Condition, EnvValue, Evaluator as _, RunScope};

const FILE: &str = "\
name: shop
env: { STAMP: \"v-${{ branch }}\" }
jobs:
  build: { steps: [make] }
  test: { needs: build, env: { TAG: \"${{ needs.build.outputs.tag }}\" }, steps: [make] }
";

/// A Run in which `build` has passed with an output, or still runs.
fn run(build: JobState) -> Run {
    let pipeline = crate::parse_pipeline("towpath.yaml", FILE).0.expect("it is clean");
    let job = |name: &str, state: JobState, outputs: Value| {
        json!({
            "name": name, "state": state, "reason": "", "steps": ["make"], "group_granted": false,
            "attempts": [], "outputs": outputs, "artifacts": {},
        })
    };
    let run = json!({
        "id": "00000000-0000-0000-0000-000000000001",
        "project": "shop",
        "number": 1,
        "directory": "",
        "cause": {
            "event": "push", "reference": "refs/heads/main", "commit": "c0ffee", "subject": "", "author": "",
            "makers": [], "actor": Actor::Towpath,
        },
        "trust": Trust::Protected,
        "pipeline": pipeline,
        "diagnostics": [],
        "state": RunState::Running,
        "reason": "",
        "jobs": [job("build", build, json!({ "tag": "1.2" })), job("test", JobState::Blocked, json!({}))],
        "created_at": "2026-11-21T00:00:00Z",
    });
    serde_json::from_value(run).expect("it is a Run")
}

fn test_job(run: &Run) -> &Job {
    &run.pipeline.as_ref().expect("it has one").jobs[1]
}

fn holds(run: &Run, condition: &str) -> Result<bool, String> {
    CelEvaluator.holds(&Condition(condition.to_owned()), &RunScope { run, job: test_job(run) })
}

fn value(run: &Run, value: &str) -> Result<String, String> {
    CelEvaluator.value(&EnvValue(value.to_owned()), &RunScope { run, job: test_job(run) })
}

#[test]
fn conditions_see_the_run() {
    let run = run(JobState::Passed);
    assert_eq!(holds(&run, "branch == 'main' && trust == 'protected' && commit == 'c0ffee'"), Ok(true));
    assert_eq!(holds(&run, "needs.build.outcome == 'passed' && needs.build.outputs.tag == '1.2'"), Ok(true));
    assert_eq!(holds(&run, "jobs.build.outcome == 'failed'"), Ok(false));
    assert_eq!(holds(&run, "env.STAMP == 'v-main' && env.TAG == '1.2'"), Ok(true));
    assert!(holds(&run, "branch").is_err_and(|message| message.contains("not true or false")));
}

#[test]
fn values_are_put_in() {
    let run = run(JobState::Passed);
    assert_eq!(value(&run, "plain"), Ok("plain".to_owned()));
    assert_eq!(value(&run, "shop:${{ needs.build.outputs.tag }}"), Ok("shop:1.2".to_owned()));
    assert!(value(&run, "${{ needs.build.outputs.none }}").is_err_and(|message| message.contains("`none`")));
}

#[test]
fn what_has_not_ended_is_unknown() {
    let run = run(JobState::Active);
    assert_eq!(holds(&run, "false && needs.build.outputs.tag == '1'"), Ok(false));
    assert_eq!(
        holds(&run, "needs.build.outputs.tag == '1'"),
        Err("the outcome of `build` is not known yet".to_owned())
    );
    assert!(value(&run, "${{ needs.build.outcome }}").is_err());
}
