//! Answers what the planner asks of conditions, with all that is known before the Run.

use std::collections::BTreeMap;

use towpath_model::JobName;
use towpath_model::history::{PastEvent, Retold};
use towpath_model::pipeline::{Condition, EnvValue, Job, Pipeline};
use towpath_model::plan::{Fate, Foreseen, Foresight, Occasion, PlanReport};
use towpath_model::policy::EnvironmentDocument;

use crate::evaluator::{groups, run_scope};
use crate::expression::{Expression, Scope, Template, Value};

/// Plans a Run: what would run, be sealed and be promoted, and why.
pub fn plan(pipeline: &Pipeline, occasion: &Occasion, documents: &[EnvironmentDocument]) -> PlanReport {
    towpath_model::plan::plan(pipeline, occasion, documents, &CelForesight { pipeline, event: None })
}

/// Says what a pipeline would have done for an event of the past, of which commit and inputs are known.
pub fn retell(pipeline: &Pipeline, event: PastEvent, documents: &[EnvironmentDocument]) -> Retold {
    let foresight = CelForesight { pipeline, event: Some(&event) };
    let report = towpath_model::plan::plan(pipeline, &event.occasion, documents, &foresight);
    towpath_model::history::retell(event, pipeline, &report)
}

/// Evaluates conditions with unknowns for what only the Run can tell.
#[derive(Debug, Clone, Copy)]
struct CelForesight<'p> {
    pipeline: &'p Pipeline,
    /// Where it is all over: what commit and inputs were.
    event: Option<&'p PastEvent>,
}

impl Foresight for CelForesight<'_> {
    fn foresee(
        &self,
        condition: &Condition,
        job: &Job,
        occasion: &Occasion,
        fates: &BTreeMap<JobName, Fate>,
    ) -> Foreseen {
        let scope = self.scope(job, occasion, fates);
        match Expression::parse(&condition.0).and_then(|expression| expression.evaluate(&scope)) {
            Ok(Value::Boolean(true)) => Foreseen::Holds,
            Ok(Value::Boolean(false)) => Foreseen::Fails,
            Ok(Value::Unknown(why)) => Foreseen::Unknown(format!("it depends on {why}")),
            Ok(other) => Foreseen::Unknown(format!("it gives {}, so the job would fail", other.kind())),
            Err(error) => Foreseen::Unknown(format!("{}, so the job would fail", error.message)),
        }
    }
}

impl CelForesight<'_> {
    fn scope(&self, job: &Job, occasion: &Occasion, fates: &BTreeMap<JobName, Fate>) -> Scope {
        let outcome = |name: &JobName, fate: Fate| match fate {
            Fate::Skipped => Value::from("skipped"),
            Fate::Unchanged => Value::from("passed"),
            Fate::Runs | Fate::Undecided => Value::Unknown(format!("the outcome of `{name}`")),
        };
        let jobs = fates
            .iter()
            .map(|(name, fate)| (name.to_string(), Value::map([("outcome", outcome(name, *fate))])));
        let needs = fates.iter().filter(|(name, _)| job.needs.contains(name)).map(|(name, fate)| {
            let outputs = match fate {
                Fate::Skipped => Value::Map(BTreeMap::new()),
                Fate::Runs | Fate::Unchanged | Fate::Undecided => {
                    Value::Unknown(format!("the outputs of `{name}`"))
                }
            };
            (name.to_string(), Value::map([("outcome", outcome(name, *fate)), ("outputs", outputs)]))
        });
        let base = run_scope(&occasion.event, &occasion.reference)
            .with("commit", self.commit())
            .with("trust", occasion.trust.word())
            .with("project", self.pipeline.name.as_str())
            .with("jobs", Value::Map(groups::with_groups(self.pipeline, jobs.collect())))
            .with("needs", Value::Map(groups::with_groups(self.pipeline, needs.collect())))
            .with("matrix", groups::matrix(self.pipeline, job))
            .with("inputs", self.inputs(occasion));
        let env = self
            .pipeline
            .env
            .iter()
            .chain(&job.env)
            .map(|(name, value)| (name.clone(), foresee_value(value, &base)));
        let env = Value::map(env.collect::<BTreeMap<String, Value>>());
        base.with("env", env)
    }

    fn commit(&self) -> Value {
        let unknown = || Value::Unknown("the commit".to_owned());
        self.event.map_or_else(unknown, |event| Value::from(event.commit.as_str()))
    }

    /// What is known of the inputs: their defaults, unless a person is yet to be asked.
    fn inputs(&self, occasion: &Occasion) -> Value {
        let declared = &self.pipeline.triggers.inputs;
        if let Some(PastEvent { inputs: said, .. }) = self.event {
            let mut known = towpath_model::input::defaults(declared);
            known.extend(said.iter().map(|(name, value)| (name.clone(), value.clone())));
            return crate::evaluator::inputs(Some(self.pipeline), &known);
        }
        if occasion.event == "manual" {
            let unknown = |name: &String| Value::Unknown(format!("the input `{name}`"));
            return Value::map(declared.iter().map(|input| (input.name.clone(), unknown(&input.name))));
        }
        crate::evaluator::inputs(Some(self.pipeline), &towpath_model::input::defaults(declared))
    }
}

fn foresee_value(value: &EnvValue, base: &Scope) -> Value {
    if !value.is_expression() {
        return Value::from(value.0.as_str());
    }
    let evaluated = Template::parse(&value.0).and_then(|template| template.evaluate(base));
    evaluated.unwrap_or_else(|error| Value::Unknown(error.message))
}
