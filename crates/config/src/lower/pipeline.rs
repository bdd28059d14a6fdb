//! The pipeline file as a whole.

use std::ops::Range;

use towpath_model::migration::Database;
use towpath_model::pipeline::{Job, Pipeline, Stage, Workload};
use towpath_model::{DatabaseName, JobName, ProjectName, WorkloadName};

use super::reuse::{Defaults, Templates};
use super::{Places, database, env, job, matrix, order, stage, trigger, workload};
use crate::diagnostic::{Problem, Report};
use crate::fields::{Fields, parse_name};
use crate::load::open_included;
use crate::spec::pipeline::PIPELINE;
use crate::tree::Node;

/// Lowers the pipeline file and those that it includes. `None` where not even a name is there; mistakes are in the report.
pub(crate) fn lower(nodes: &[Node], places: &mut Places, report: &Report<'_>) -> Option<Pipeline> {
    let (main, included) = nodes.split_first()?;
    let top = 0..report.text().find('\n').unwrap_or(report.text().len());
    let mut fields = Fields::open(main, &top, &PIPELINE, report)?;
    let mut included: Vec<Fields<'_, '_>> =
        included.iter().filter_map(|node| open_included(node, report)).collect();
    // The templates of all files, before any Job asks for one.
    let mut templates = Templates::default();
    templates.read(&mut fields);
    included.iter_mut().for_each(|fields| templates.read(fields));
    let name = fields.name::<ProjectName>("name");
    let triggers = trigger::lower(&mut fields, name.as_ref().map(|name| &name.value));
    places.inputs = triggers.inputs.iter().map(|input| input.name.clone()).collect();
    let env = env(&mut fields, None, places);
    fields.pass_over("include");
    let cancel_superseded = fields.boolean("cancel_superseded", true);
    let defaults = Defaults::read(&mut fields);
    let mut parts = Parts::default();
    parts.read(&mut fields, &templates, &defaults, places);
    fields.close();
    for mut fields in included {
        let mut defaults = Defaults::read(&mut fields);
        if let Some(env) = fields.entry("env") {
            defaults.add_env(env);
        }
        parts.read(&mut fields, &templates, &defaults, places);
        fields.close();
    }
    look_at_each(&templates, report);
    let Parts { mut jobs, workloads, databases, stages } = parts;
    order::settle(&mut jobs, places);
    need_cells(&mut jobs, places, &top, report);
    if jobs.is_empty() && !report.has_errors() {
        let problem = Problem::error("no-jobs", "the pipeline has no Jobs")
            .hint("for example `jobs: { test: { steps: [make test] } }`; `towpath init` writes a whole file");
        report.at(&top, problem);
    }
    Some(Pipeline { name: name?.value, triggers, env, cancel_superseded, jobs, workloads, databases, stages })
}

/// What every file may hold.
#[derive(Default)]
struct Parts {
    jobs: Vec<Job>,
    workloads: Vec<Workload>,
    databases: Vec<Database>,
    stages: Vec<Stage>,
}

impl Parts {
    fn read(
        &mut self,
        fields: &mut Fields<'_, '_>,
        templates: &Templates,
        defaults: &Defaults,
        places: &mut Places,
    ) {
        let report = fields.report;
        for entry in fields.map("jobs") {
            let Some(name) = parse_name::<JobName>(&entry.key, &entry.key_span, report) else { continue };
            if places.jobs.contains_key(&name) {
                report.at(&entry.key_span, twice("jobs", name.as_str()));
                continue;
            }
            let entry = templates.unfold(entry, defaults, report);
            self.jobs.extend(matrix::lower(&name, &entry, places, report));
        }
        for entry in fields.map("workloads") {
            let Some(name) = parse_name::<WorkloadName>(&entry.key, &entry.key_span, report) else {
                continue;
            };
            if self.workloads.iter().any(|known| known.name == name) {
                report.at(&entry.key_span, twice("workloads", name.as_str()));
                continue;
            }
            self.workloads.extend(workload::lower(name, entry, places, report));
        }
        for entry in fields.map("databases") {
            let Some(name) = parse_name::<DatabaseName>(&entry.key, &entry.key_span, report) else {
                continue;
            };
            if self.databases.iter().any(|known| known.name == name) {
                report.at(&entry.key_span, twice("databases", name.as_str()));
                continue;
            }
            self.databases.extend(database::lower(name, entry, report));
        }
        let stages = fields.list("stages").iter();
        self.stages.extend(stages.filter_map(|node| stage::lower(node, places, report)));
    }
}

fn twice(what: &str, name: &str) -> Problem {
    Problem::error("duplicate-name", format!("there are two {what} `{name}`, in different files"))
        .hint("rename one of them")
}

/// Reads templates that nothing uses, too, so that a mistake in one is found before somebody needs it.
fn look_at_each(templates: &Templates, report: &Report<'_>) {
    for entry in templates.each_alone() {
        let Ok(name) = JobName::try_from(entry.key.clone()) else { continue };
        let unfolded = templates.unfold(&entry, &Defaults::default(), report);
        let _looked_at = job::lower(&name, name.clone(), None, &unfolded, &mut Places::default(), report);
    }
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
