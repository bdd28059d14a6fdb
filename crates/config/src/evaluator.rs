//! Answers what the model asks of conditions and values.

use std::collections::BTreeMap;

use towpath_model::input::InputKind;
use towpath_model::pipeline::{Condition, EnvValue, Pipeline};
use towpath_model::run::{Evaluator, JobRun, Scope as RunScope};

use crate::expression::{Expression, ExpressionError, Scope, Template, Value};
use crate::values;

pub(crate) mod groups;

/// Evaluates with the CEL subset of [`crate::expression`].
#[derive(Debug, Clone, Copy, Default)]
pub struct CelEvaluator;

impl Evaluator for CelEvaluator {
    fn holds(&self, condition: &Condition, scope: &RunScope<'_>) -> Result<bool, String> {
        let expression = Expression::parse(&condition.0).map_err(explain)?;
        match expression.evaluate(&with_env(scope)).map_err(explain)? {
            Value::Boolean(holds) => Ok(holds),
            Value::Unknown(why) => Err(format!("{why} is not known yet")),
            other => Err(format!("it gives {}, not true or false", other.kind())),
        }
    }

    fn value(&self, value: &EnvValue, scope: &RunScope<'_>) -> Result<String, String> {
        evaluate_text(value, &with_env(scope))
    }

    fn matches(&self, pattern: &str, text: &str) -> bool {
        // A pattern that cannot be read was refused with the file that it stands in.
        values::pattern(pattern).is_ok_and(|pattern| pattern.is_match(text))
    }
}

fn explain(error: ExpressionError) -> String {
    match error.hint {
        Some(hint) => format!("{} ({hint})", error.message),
        None => error.message,
    }
}

fn evaluate_text(value: &EnvValue, scope: &Scope) -> Result<String, String> {
    if !value.is_expression() {
        return Ok(value.0.clone());
    }
    match Template::parse(&value.0).and_then(|template| template.evaluate(scope)).map_err(explain)? {
        Value::Unknown(why) => Err(format!("{why} is not known yet")),
        text => Ok(text.to_string()),
    }
}

/// The names of the Run and its Jobs, without `env`.
fn base(scope: &RunScope<'_>) -> Scope {
    let RunScope { run, job } = scope;
    let jobs = run.jobs.iter().map(|job| (job.name.to_string(), Value::map([("outcome", outcome(job))])));
    let jobs: BTreeMap<String, Value> = jobs.collect();
    let needs = run.jobs.iter().filter(|other| job.needs.contains(&other.name)).map(|job| {
        let outputs = if job.state.is_final() { Value::map(job.outputs.clone()) } else { pending(job) };
        (job.name.to_string(), Value::map([("outcome", outcome(job)), ("outputs", outputs)]))
    });
    let needs: BTreeMap<String, Value> = needs.collect();
    let (jobs, needs, matrix) = match &run.pipeline {
        Some(pipeline) => (
            groups::with_groups(pipeline, jobs),
            groups::with_groups(pipeline, needs),
            groups::matrix(pipeline, job),
        ),
        None => (jobs, needs, Value::Map(BTreeMap::new())),
    };
    run_scope(&run.cause.event, &run.cause.reference)
        .with("commit", run.cause.commit.as_str())
        .with("trust", run.trust.word())
        .with("project", run.project.as_str())
        .with("jobs", Value::Map(jobs))
        .with("needs", Value::Map(needs))
        .with("matrix", matrix)
        .with("inputs", inputs(run.pipeline.as_ref(), &run.cause.inputs))
}

/// The inputs as values of their types; `null` where nobody said anything.
pub(crate) fn inputs(pipeline: Option<&Pipeline>, said: &BTreeMap<String, String>) -> Value {
    let declared = pipeline.iter().flat_map(|pipeline| &pipeline.triggers.inputs);
    Value::map(declared.map(|input| {
        let value = match (said.get(&input.name), &input.kind) {
            (None, _) => Value::Null,
            (Some(text), InputKind::Boolean) => Value::Boolean(text == "true"),
            (Some(text), InputKind::Number) => match (text.parse(), text.parse()) {
                (Ok(whole), _) => Value::Integer(whole),
                (Err(_), Ok(number)) => Value::Double(number),
                (Err(_), Err(_)) => Value::Text(text.clone()),
            },
            (Some(text), InputKind::String | InputKind::Choice { .. }) => Value::Text(text.clone()),
        };
        (input.name.clone(), value)
    }))
}

/// The names that a ref gives.
pub(crate) fn run_scope(event: &str, reference: &str) -> Scope {
    Scope::default()
        .with("event", event)
        .with("ref", reference)
        .with("branch", reference.strip_prefix("refs/heads/").unwrap_or_default())
        .with("tag", reference.strip_prefix("refs/tags/").unwrap_or_default())
}

/// The names of the Run with `env`. A value of `env` sees the names of the Run, not other values of `env`.
fn with_env(scope: &RunScope<'_>) -> Scope {
    let base = base(scope);
    let shared = scope.run.pipeline.iter().flat_map(|pipeline| &pipeline.env);
    let mut env = Vec::new();
    for (name, value) in shared.chain(&scope.job.env) {
        if let Ok(value) = evaluate_text(value, &base) {
            env.push((name.clone(), Value::Text(value)));
        }
    }
    base.with("env", Value::map(env))
}

fn outcome(job: &JobRun) -> Value {
    if job.state.is_final() { Value::from(job.state.word()) } else { pending(job) }
}

fn pending(job: &JobRun) -> Value {
    Value::Unknown(format!("the outcome of `{}`", job.name))
}

#[cfg(test)]
mod tests;
