//! What the cells of a matrix come to as one: `needs.test` asks for all of them.

use std::collections::BTreeMap;

use towpath_model::JobName;
use towpath_model::pipeline::{Job, Pipeline};

use crate::expression::Value;

/// The names under `matrix` for a Job.
pub(crate) fn matrix(pipeline: &Pipeline, job: &Job) -> Value {
    let Some(cell) = &job.cell else { return Value::Map(BTreeMap::new()) };
    // A name that only other cells have is empty here, as its variable is.
    let names = pipeline.cells(&cell.of).filter_map(|sibling| sibling.cell.as_ref());
    let mut values: BTreeMap<String, Value> =
        names.flat_map(|cell| &cell.values).map(|(name, _)| (name.clone(), Value::from(""))).collect();
    values.extend(cell.values.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))));
    Value::Map(values)
}

/// Adds to the values of Jobs, by name, those of the matrices whose cells are all there.
pub(crate) fn with_groups(pipeline: &Pipeline, mut jobs: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let mut groups: BTreeMap<&JobName, Vec<&Value>> = BTreeMap::new();
    for job in &pipeline.jobs {
        if let (Some(cell), Some(value)) = (&job.cell, jobs.get(job.name.as_str())) {
            groups.entry(&cell.of).or_default().push(value);
        }
    }
    let together: Vec<_> =
        groups.into_iter().map(|(of, cells)| (of.to_string(), together(of, &cells))).collect();
    jobs.extend(together);
    jobs
}

fn together(of: &JobName, cells: &[&Value]) -> Value {
    let field = |cell: &&Value, name: &str| match cell {
        Value::Map(fields) => fields.get(name).cloned(),
        _ => None,
    };
    let outcomes: Vec<Value> = cells.iter().filter_map(|cell| field(cell, "outcome")).collect();
    let mut all = BTreeMap::from([("outcome".to_owned(), outcome(&outcomes))]);
    let outputs: Vec<Value> = cells.iter().filter_map(|cell| field(cell, "outputs")).collect();
    if !outputs.is_empty() {
        all.insert("outputs".to_owned(), agreed(of, &outputs));
    }
    Value::Map(all)
}

/// Unknown while one is; else the worst of them.
fn outcome(outcomes: &[Value]) -> Value {
    if let Some(unknown) = outcomes.iter().find(|outcome| matches!(outcome, Value::Unknown(_))) {
        return unknown.clone();
    }
    let any = |word: &str| outcomes.contains(&Value::from(word));
    let word = match () {
        () if any("failed") => "failed",
        () if any("cancelled") => "cancelled",
        () if any("passed") => "passed",
        () => "skipped",
    };
    Value::from(word)
}

/// The outputs of all cells. One that cells give different values for is known of a single cell only.
fn agreed(of: &JobName, outputs: &[Value]) -> Value {
    let mut agreed: BTreeMap<String, Value> = BTreeMap::new();
    for outputs in outputs {
        let Value::Map(outputs) = outputs else { return outputs.clone() };
        for (name, value) in outputs {
            let known = agreed.entry(name.clone()).or_insert_with(|| value.clone());
            if known != value {
                let which = format!(
                    "which cell of `{of}` is meant by `{name}`, since they differ (ask one: `needs['{of}-…'].outputs.{name}`),"
                );
                *known = Value::Unknown(which);
            }
        }
    }
    Value::Map(agreed)
}
