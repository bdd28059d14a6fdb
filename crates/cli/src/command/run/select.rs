//! Named Jobs, and what they need.

use std::collections::BTreeSet;

use towpath_config::diagnostic::closest;
use towpath_model::JobName;
use towpath_model::pipeline::{Job, Pipeline};

use crate::failure::{Failure, Kind};

/// Leaves of a pipeline the Jobs that are named and those that they need, in the order of the file.
///
/// With a part of the Jobs there is no Release, so workloads and stages go; without names all stays.
///
/// # Errors
/// Fails where a name is no Job's.
pub fn select(mut pipeline: Pipeline, names: &[String]) -> Result<Pipeline, Failure> {
    if names.is_empty() {
        return Ok(pipeline);
    }
    let mut open: Vec<JobName> = Vec::new();
    for name in names {
        // The name of a Job with a matrix stands for all its cells.
        let named = |job: &&Job| {
            job.name.as_str() == name || job.cell.as_ref().is_some_and(|cell| cell.of.as_str() == name)
        };
        let before = open.len();
        open.extend(pipeline.jobs.iter().filter(named).map(|job| job.name.clone()));
        if open.len() == before {
            return Err(unknown(name, &pipeline));
        }
    }
    let mut kept = BTreeSet::new();
    while let Some(name) = open.pop() {
        if let Some(job) = pipeline.job(&name)
            && kept.insert(name)
        {
            open.extend(job.needs.iter().cloned());
        }
    }
    pipeline.jobs.retain(|job| kept.contains(&job.name));
    pipeline.workloads.clear();
    pipeline.stages.clear();
    Ok(pipeline)
}

fn unknown(name: &str, pipeline: &Pipeline) -> Failure {
    let mut known: Vec<&str> = Vec::new();
    for job in &pipeline.jobs {
        let name = job.cell.as_ref().map_or(&job.name, |cell| &cell.of).as_str();
        if !known.contains(&name) {
            known.push(name);
        }
    }
    let hint = match closest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are: {}", known.join(", ")),
    };
    Failure::new(Kind::Usage, format!("there is no job `{name}`")).hint(hint)
}
