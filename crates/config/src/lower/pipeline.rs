//! The pipeline file as a whole.

use towpath_model::ProjectName;
use towpath_model::pipeline::Pipeline;

use super::{Places, env, job, stage, trigger, workload};
use crate::diagnostic::{Problem, Report};
use crate::fields::{Fields, parse_name};
use crate::spec::pipeline::PIPELINE;
use crate::tree::Node;

/// Lowers the document. `None` where not even a name is there; mistakes are in the report.
pub(crate) fn lower(node: &Node, places: &mut Places, report: &Report<'_>) -> Option<Pipeline> {
    let top = 0..report.text().find('\n').unwrap_or(report.text().len());
    let mut fields = Fields::open(node, &top, &PIPELINE, report)?;
    let name = fields.name::<ProjectName>("name");
    let triggers = trigger::lower(&mut fields);
    let env = env(&mut fields, None, places);
    let cancel_superseded = fields.boolean("cancel_superseded", true);
    let mut jobs = Vec::new();
    for entry in fields.map("jobs") {
        if let Some(name) = parse_name(&entry.key, &entry.key_span, report) {
            jobs.extend(job::lower(name, entry, places, report));
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
    if jobs.is_empty() && !report.has_errors() {
        let problem = Problem::error("no-jobs", "the pipeline has no Jobs")
            .hint("for example `jobs: { test: { steps: [make test] } }`; `towpath init` writes a whole file");
        report.at(&top, problem);
    }
    Some(Pipeline { name: name?.value, triggers, env, cancel_superseded, jobs, workloads, stages })
}
