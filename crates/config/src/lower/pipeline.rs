//! The pipeline file as a whole.

use std::ops::Range;

use towpath_model::pipeline::{Job, Pipeline};
use towpath_model::{JobName, ProjectName};

use super::reuse::{Defaults, Templates};
use super::{Places, env, matrix, stage, trigger, workload};
use crate::diagnostic::{Problem, Report};
use crate::fields::{Fields, parse_name};
use crate::spec::pipeline::PIPELINE;
use crate::tree::Node;

/// Lowers the document. `None` where not even a name is there; mistakes are in the report.
pub(crate) fn lower(node: &Node, places: &mut Places, report: &Report<'_>) -> Option<Pipeline> {
    let top = 0..report.text().find('\n').unwrap_or(report.text().len());
    let mut fields = Fields::open(node, &top, &PIPELINE, report)?;
    let name = fields.name::<ProjectName>("name");
    let triggers = trigger::lower(&mut fields, name.as_ref().map(|name| &name.value));
    places.inputs = triggers.inputs.iter().map(|input| input.name.clone()).collect();
    let env = env(&mut fields, None, places);
    let defaults = Defaults::read(&mut fields);
    let mut templates = Templates::default();
    templates.read(&mut fields);
    let cancel_superseded = fields.boolean("cancel_superseded", true);
    let mut jobs = Vec::new();
    for entry in fields.map("jobs") {
        if let Some(name) = parse_name(&entry.key, &entry.key_span, report) {
            let entry = templates.unfold(entry, &defaults, report);
            jobs.extend(matrix::lower(&name, &entry, places, report));
        }
    }
    let mut workloads = Vec::new();
    for entry in fields.map("workloads") {
        if let Some(name) = parse_name(&entry.key, &entry.key_span, report) {
            workloads.extend(workload::lower(name, entry, places, report));
        }
    }
    let stages = fields.list("stages").iter().filter_map(|node| stage::lower(node, places, report)).collect();
    fields.close();
    for entry in templates.each_alone() {
        let unfolded = templates.unfold(&entry, &Defaults::default(), report);
        let name = JobName::try_from(entry.key.clone()).ok()?;
        let _looked_at =
            super::job::lower(&name, name.clone(), None, &unfolded, &mut Places::default(), report);
    }
    need_cells(&mut jobs, places, &top, report);
    if jobs.is_empty() && !report.has_errors() {
        let problem = Problem::error("no-jobs", "the pipeline has no Jobs")
            .hint("for example `jobs: { test: { steps: [make test] } }`; `towpath init` writes a whole file");
        report.at(&top, problem);
    }
    Some(Pipeline { name: name?.value, triggers, env, cancel_superseded, jobs, workloads, stages })
}

/// The most Jobs, cells counted.
const MAX_JOBS: usize = 1_000;

/// The most that they need, and the most Steps, in all: the file is small, but matrices and templates multiply.
const MAX_NEEDS: usize = 20_000;
const MAX_STEPS: usize = 20_000;

/// A Job that needs a Job with a matrix needs every cell of it.
fn need_cells(jobs: &mut [Job], places: &Places, top: &Range<usize>, report: &Report<'_>) {
    let cells = |need: &JobName| places.groups.get(need).map_or(1, |group| group.cells.len());
    let needs: usize = jobs.iter().flat_map(|job| &job.needs).map(cells).sum();
    let steps: usize = jobs.iter().map(|job| job.steps.len()).sum();
    let bounds = [("Jobs", jobs.len(), MAX_JOBS), ("`needs`", needs, MAX_NEEDS), ("Steps", steps, MAX_STEPS)];
    for (what, count, most) in bounds {
        if count > most {
            let message = format!(
                "with all cells of its matrices, this pipeline has {count} {what}; it may have {most}"
            );
            report.at(
                top,
                Problem::error("too-complex", message).hint("make a matrix smaller, or split the pipeline"),
            );
            return;
        }
    }
    for job in jobs {
        let mut needs: Vec<JobName> = Vec::with_capacity(job.needs.len());
        for need in std::mem::take(&mut job.needs) {
            match places.groups.get(&need) {
                Some(group) => needs.extend(group.cells.iter().cloned()),
                None => needs.push(need),
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        needs.retain(|need| seen.insert(need.clone()));
        job.needs = needs;
    }
}
