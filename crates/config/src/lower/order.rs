//! When a Job runs: what it needs, what that must have come to, what it reads, and who goes first.

use std::collections::BTreeSet;

use towpath_model::JobName;
use towpath_model::pipeline::{Job, RunWhen};

use super::{Places, neither, small};
use crate::diagnostic::{Problem, Report};
use crate::fields::{Fields, Located, items, parsed};
use crate::spec::need::{CONCURRENCY, NEED};
use crate::tree::{Node, Value};

/// A concurrency group and its limit.
pub(super) struct Concurrency {
    pub(super) group: Option<String>,
    pub(super) limit: u32,
}

/// `[test, { job: lint, optional: true }]`.
pub(super) fn needs(fields: &mut Fields<'_, '_>, job: &JobName, places: &mut Places) -> Vec<JobName> {
    let report = fields.report;
    let Some(node) = fields.node("needs") else { return Vec::new() };
    let mut needs = Vec::new();
    for item in items(node) {
        let Some((need, optional)) = need(item, report) else { continue };
        needs.push(need.value.clone());
        if optional {
            places.optional_needs.insert((job.clone(), need.value.clone()));
        }
        places.job_needs.push((job.clone(), need));
    }
    needs
}

fn need(node: &Node, report: &Report<'_>) -> Option<(Located<JobName>, bool)> {
    if !matches!(node.value, Value::Map(_)) {
        return parsed(node, "needs", report).map(|need| (need, false));
    }
    let mut fields = Fields::open(node, &node.span, &NEED, report)?;
    let name = fields.name::<JobName>("job");
    let optional = fields.boolean("optional", false);
    fields.close();
    name.map(|name| (name, optional))
}

/// Once all Jobs are known, and before needs of a matrix become needs of its cells: optional ones that are not there
/// are not waited for.
pub(super) fn settle(jobs: &mut [Job], places: &Places) {
    let names: BTreeSet<JobName> = jobs.iter().map(|job| job.name.clone()).collect();
    let is_there = |need: &JobName| names.contains(need) || places.groups.contains_key(need);
    for job in jobs {
        let owner = job.cell.as_ref().map_or(&job.name, |cell| &cell.of).clone();
        let is_optional = |need: &JobName| places.optional_needs.contains(&(owner.clone(), need.clone()));
        job.needs.retain(|need| is_there(need) || !is_optional(need));
        let optional = job.needs.iter().filter(|need| is_optional(need));
        job.optional_needs = optional
            .flat_map(|need| match places.groups.get(need) {
                Some(group) => group.cells.clone(),
                None => vec![need.clone()],
            })
            .collect();
    }
}

/// `all_passed`, `any_failed` or `always`.
pub(super) fn run_when(fields: &mut Fields<'_, '_>) -> RunWhen {
    match fields.choice("run_when") {
        Some("any_failed") => RunWhen::AnyFailed,
        Some("always") => RunWhen::Always,
        _ => RunWhen::AllPassed,
    }
}

/// Patterns of paths in the repository.
pub(super) fn paths(fields: &mut Fields<'_, '_>) -> Vec<String> {
    let report = fields.report;
    let texts = fields.texts("paths");
    if let Some(first) = texts.first()
        && texts.iter().all(|text| text.value == "!")
    {
        report.at(
            &first.span,
            Problem::error("bad-path", "`!` alone takes nothing out").hint("write `!docs/**`"),
        );
    }
    texts.into_iter().map(|text| text.value).collect()
}

/// `database` or `{ group: database, limit: 2 }`.
pub(super) fn concurrency(fields: &mut Fields<'_, '_>) -> Concurrency {
    let report = fields.report;
    let none = Concurrency { group: None, limit: 1 };
    let Some(entry) = fields.entry("concurrency") else { return none };
    match &entry.value.value {
        Value::Map(_) => {
            let Some(mut map) = Fields::open(&entry.value, &entry.key_span, &CONCURRENCY, report) else {
                return none;
            };
            let group = map.text("group").map(|group| group.value);
            let limit = small(map.integer("limit"), 1);
            map.close();
            Concurrency { group, limit }
        }
        Value::List(_) => {
            neither("concurrency", "a name, or a map with `group` and `limit`", &entry.value, report);
            none
        }
        Value::Null | Value::Text(_) | Value::Boolean(_) | Value::Number(_) => {
            Concurrency { group: fields.text("concurrency").map(|group| group.value), limit: 1 }
        }
    }
}
