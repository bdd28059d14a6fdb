//! What only the whole file can tell: names that must exist, cycles, things made twice.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use towpath_model::JobName;
use towpath_model::intake::Promote;
use towpath_model::pipeline::{Pipeline, Stage};

use crate::diagnostic::{Problem, Report, closest};
use crate::expression::{Expression, ExpressionError, Names, Template};
use crate::fields::Located;
use crate::lower::{Placed, Places, Role};

/// Checks what the places of a file say about each other.
pub(crate) fn check(places: &Places, report: &Report<'_>) {
    check_job_needs(places, report);
    check_artifacts(places, report);
    check_stage_names(places, report);
    check_before(places, report);
    check_expressions(places, report);
}

/// Checks the lowered pipeline, once every name in it exists.
pub(crate) fn check_route(pipeline: &Pipeline, places: &Places, report: &Report<'_>) {
    for (place, _) in &places.workloads {
        let declared = pipeline.workload(&place.value).filter(|workload| workload.command.is_none());
        if declared.is_some_and(|workload| !pipeline.is_image(workload)) {
            let message = format!("workload `{}` starts files, and says with no `command` how", place.value);
            let problem = Problem::error("missing-key", message)
                .hint("for example `command: ./shop --port $PORT`; only an image says itself what it runs");
            report.at(&place.span, problem);
        }
    }
    let no_workloads = pipeline.workloads.is_empty();
    for (index, stage) in pipeline.stages.iter().enumerate() {
        let Some(place) = place_of_stage(stage, places) else { continue };
        if no_workloads {
            let problem = Problem::error(
                "nothing-to-deploy",
                format!("stage `{}` has nothing to deploy: the file has no workloads", stage.name),
            )
            .hint("for example `workloads: { shop: { artifact: shop, command: ./shop } }`");
            report.at(&place, problem);
        }
        if index > 0 && stage.needs.is_empty() && stage.promote == Promote::Automatic {
            let problem = Problem::warning(
                "parallel-stage",
                format!(
                    "stage `{}` needs no other stage, so it starts as soon as the Release is sealed",
                    stage.name
                ),
            )
            .hint(format!("to come after `{0}`, write `needs: [{0}]`", pipeline.stages[index - 1].name));
            report.at(&place, problem);
        }
    }
}

fn place_of_stage(stage: &Stage, places: &Places) -> Option<Range<usize>> {
    places.stages.iter().find(|place| place.value == stage.name).map(|place| place.span.clone())
}

fn check_job_needs(places: &Places, report: &Report<'_>) {
    let cells = cells(places);
    let known = || places.jobs.keys().map(JobName::as_str).chain(cells.keys().copied());
    let declared =
        |name: &'_ JobName| -> JobName { cells.get(name.as_str()).copied().unwrap_or(name).clone() };
    for (job, need) in &places.job_needs {
        if *job == declared(&need.value) {
            report.at(
                &need.span,
                Problem::error("cycle", format!("job `{job}` needs itself")).hint("remove it from `needs`"),
            );
        } else if !places.jobs.contains_key(&declared(&need.value))
            && !places.optional_needs.contains(&(job.clone(), need.value.clone()))
        {
            report.at(&need.span, unknown("job", "needs", job.as_str(), need.value.as_str(), known()));
        }
    }
    check_twice(
        places.job_needs.iter().map(|(job, need)| (job.as_str(), need.value.as_str(), &need.span)),
        report,
    );
    let edges: Vec<_> =
        places.job_needs.iter().map(|(job, need)| (job, declared(&need.value), need.span.clone())).collect();
    let edges = edges.iter().map(|(job, need, span)| (job.as_str(), need.as_str(), span.clone()));
    check_cycles("jobs", edges.collect(), report);
    for (name, group) in &places.groups {
        if let Some(cell) = group.cells.iter().find(|cell| places.jobs.contains_key(*cell)) {
            let message = format!("a cell of the matrix of `{name}` is called `{cell}`, and so is a job");
            report.at(&group.span, Problem::error("duplicate-name", message).hint("rename the job"));
        }
    }
}

/// The Job of the file that each cell of a matrix comes from.
fn cells(places: &Places) -> BTreeMap<&str, &JobName> {
    let cells =
        places.groups.iter().flat_map(|(of, group)| group.cells.iter().map(move |cell| (cell.as_str(), of)));
    cells.collect()
}

fn unknown<'n>(
    kind: &str,
    verb: &str,
    owner: &str,
    name: &str,
    known: impl Iterator<Item = &'n str>,
) -> Problem {
    let known: Vec<&str> = known.filter(|other| *other != owner).collect();
    let problem =
        Problem::error("unknown-name", format!("{kind} `{owner}` {verb} `{name}`, which is not defined"))
            .label(format!("no such {kind}"));
    match closest(name, known.iter().copied()) {
        Some(name) => problem.hint(format!("did you mean `{name}`?")),
        None if known.is_empty() => problem,
        None => problem.hint(format!("there are `{}`", known.join("`, `"))),
    }
}

fn check_twice<'p>(pairs: impl Iterator<Item = (&'p str, &'p str, &'p Range<usize>)>, report: &Report<'_>) {
    let mut seen = BTreeSet::new();
    for (owner, name, span) in pairs {
        if !seen.insert((owner, name)) {
            report.at(
                span,
                Problem::warning("twice", format!("`{name}` is listed twice")).hint("remove one of them"),
            );
        }
    }
}

/// Reports each cycle once, at the edge that closes it.
fn check_cycles(what: &str, edges: Vec<(&str, &str, Range<usize>)>, report: &Report<'_>) {
    let mut after: BTreeMap<&str, Vec<(&str, &Range<usize>)>> = BTreeMap::new();
    for (from, to, span) in edges.iter().filter(|(from, to, _)| from != to) {
        after.entry(from).or_default().push((to, span));
    }
    let mut done: BTreeSet<&str> = BTreeSet::new();
    let starts: Vec<&str> = after.keys().copied().collect();
    for start in starts {
        // Depth first, with the path on a stack of its own: a file of a megabyte can hold a very long chain.
        let mut path: Vec<(&str, usize)> = vec![(start, 0)];
        while let Some((node, next)) = path.pop() {
            if done.contains(node) {
                continue;
            }
            let Some((to, span)) = after.get(node).and_then(|edges| edges.get(next)).copied() else {
                done.insert(node);
                continue;
            };
            path.push((node, next + 1));
            if let Some(first) = path.iter().position(|(known, _)| *known == to) {
                let mut round: Vec<&str> = path[first..].iter().map(|(node, _)| *node).collect();
                round.push(to);
                let problem = Problem::error(
                    "cycle",
                    format!("these {what} wait for each other: {}", round.join(" -> ")),
                )
                .label("closes the circle")
                .hint("remove one of the `needs`");
                report.at(span, problem);
            } else if !done.contains(to) {
                path.push((to, 0));
            }
        }
    }
}

fn check_artifacts(places: &Places, report: &Report<'_>) {
    for (index, (job, artifact)) in places.artifacts.iter().enumerate() {
        let before = places.artifacts[..index].iter().find(|(_, other)| other.value == artifact.value);
        if let Some((other, _)) = before {
            let message = format!("artifact `{}` is made by both `{other}` and `{job}`", artifact.value);
            report
                .at(&artifact.span, Problem::error("made-twice", message).hint("give them different names"));
        }
    }
    for (workload, artifact) in &places.workloads {
        if places.artifacts.iter().any(|(_, made)| made.value == artifact.value) {
            continue;
        }
        let message = format!(
            "workload `{}` is started from artifact `{}`, which no job makes",
            workload.value, artifact.value
        );
        let problem = Problem::error("unknown-name", message);
        let made = places.artifacts.iter().map(|(_, made)| made.value.as_str());
        report.at(
            &artifact.span,
            match closest(artifact.value.as_str(), made.clone()) {
                Some(name) => problem.hint(format!("did you mean `{name}`?")),
                None if made.clone().next().is_some() => {
                    problem.hint(format!("the artifacts are `{}`", made.collect::<Vec<_>>().join("`, `")))
                }
                None => problem.hint(format!(
                    "a Job must declare it: `artifacts: {{ {}: target/release/shop }}`",
                    artifact.value
                )),
            },
        );
    }
}

fn check_stage_names(places: &Places, report: &Report<'_>) {
    for (index, stage) in places.stages.iter().enumerate() {
        if places.stages[..index].iter().any(|other| other.value == stage.value) {
            let problem = Problem::error("duplicate-name", format!("there are two stages `{}`", stage.value))
                .hint("rename one of them");
            report.at(&stage.span, problem);
        }
    }
    for (index, (stage, environment)) in places.environments.iter().enumerate() {
        let before = places.environments[..index].iter().find(|(_, other)| other.value == environment.value);
        if let Some((other, _)) = before {
            let message = match other == stage {
                true => format!("environment `{}` is listed twice", environment.value),
                false => format!(
                    "environment `{}` belongs to both stage `{other}` and stage `{stage}`",
                    environment.value
                ),
            };
            let problem = Problem::error("environment-twice", message)
                .hint("an Environment has one place on the route");
            report.at(&environment.span, problem);
        }
    }
    let known = || places.stages.iter().map(|stage| stage.value.as_str());
    for (stage, need) in &places.stage_needs {
        if *stage == need.value {
            report.at(
                &need.span,
                Problem::error("cycle", format!("stage `{stage}` needs itself"))
                    .hint("remove it from `needs`"),
            );
        } else if !places.stages.iter().any(|other| other.value == need.value) {
            report.at(&need.span, unknown("stage", "needs", stage.as_str(), need.value.as_str(), known()));
        }
    }
    check_twice(
        places.stage_needs.iter().map(|(stage, need)| (stage.as_str(), need.value.as_str(), &need.span)),
        report,
    );
    let edges = places
        .stage_needs
        .iter()
        .map(|(stage, need)| (stage.as_str(), need.value.as_str(), need.span.clone()));
    check_cycles("stages", edges.collect(), report);
}

/// A soak passes only where the Revision has been before: in an Environment of a Stage that this one needs.
fn check_before(places: &Places, report: &Report<'_>) {
    for (stage, soak) in &places.before {
        let owner = places
            .environments
            .iter()
            .find(|(_, environment)| environment.value == soak.value)
            .map(|(stage, _)| stage);
        let Some(owner) = owner else {
            let known = places.environments.iter().map(|(_, environment)| environment.value.as_str());
            let message = format!("this gate can never pass: no stage deploys to `{}`", soak.value);
            let hint = closest(soak.value.as_str(), known).map(|name| format!("did you mean `{name}`?"));
            report.at(&soak.span, Problem::error("impossible-gate", message).maybe_hint(hint));
            continue;
        };
        let edges = places.stage_needs.iter().map(|(stage, need)| (stage.as_str(), need.value.as_str()));
        if !reach(stage.as_str(), &edges.collect::<Vec<_>>()).contains(owner.as_str()) {
            let message =
                format!("this gate can never pass: stage `{stage}` does not come after `{}`", soak.value);
            let problem = Problem::error("impossible-gate", message)
                .hint(format!("add `needs: [{owner}]` to stage `{stage}`"));
            report.at(&soak.span, problem);
        }
    }
}

/// All that can be reached from a start over edges.
fn reach<'p>(start: &'p str, edges: &[(&'p str, &'p str)]) -> BTreeSet<&'p str> {
    let mut found = BTreeSet::new();
    let mut open = vec![start];
    while let Some(node) = open.pop() {
        for (_, to) in edges.iter().filter(|(from, _)| *from == node) {
            if found.insert(*to) {
                open.push(to);
            }
        }
    }
    found
}

fn check_expressions(places: &Places, report: &Report<'_>) {
    let cells = cells(places);
    let declared = |name: &JobName| cells.get(name.as_str()).copied().unwrap_or(name).to_string();
    let edges: Vec<(String, String)> =
        places.job_needs.iter().map(|(job, need)| (job.to_string(), declared(&need.value))).collect();
    let edges: Vec<(&str, &str)> = edges.iter().map(|(job, need)| (job.as_str(), need.as_str())).collect();
    // Besides a matrix as a whole, each of its cells can be asked.
    let with_cells = |names: Vec<&str>| {
        let mut with_cells: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        for (_, group) in places.groups.iter().filter(|(of, _)| names.contains(&of.as_str())) {
            with_cells.extend(group.cells.iter().map(ToString::to_string));
        }
        with_cells
    };
    let inputs = texts(&places.inputs);
    for placed in &places.expressions {
        let job = placed.job.as_ref().map(JobName::as_str);
        let needs: Vec<&str> =
            edges.iter().filter(|(owner, _)| Some(*owner) == job).map(|(_, need)| *need).collect();
        let jobs: Vec<&str> = job.map(|job| reach(job, &edges).into_iter().collect()).unwrap_or_default();
        let (needs, jobs) = (with_cells(needs), with_cells(jobs));
        let group = placed.job.as_ref().and_then(|job| places.groups.get(job));
        let matrix = texts(group.map_or(&[], |group| group.names.as_slice()));
        let (needs, jobs) = (texts(&needs), texts(&jobs));
        check_expression(
            placed,
            &Names { needs: &needs, jobs: &jobs, matrix: &matrix, inputs: &inputs },
            report,
        );
    }
}

fn texts(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

fn check_expression(placed: &Placed, names: &Names<'_>, report: &Report<'_>) {
    let Placed { job: _, text, role } = placed;
    let checked = match role {
        Role::Condition => Expression::parse(&text.value).map(|expression| expression.check(names)),
        Role::Value => Template::parse(&text.value).map(|template| template.check(names)),
    };
    let errors = match checked {
        Ok(Ok(())) => Vec::new(),
        Ok(Err(errors)) => errors,
        Err(error) => vec![error],
    };
    for error in errors {
        let ExpressionError { message, span, hint } = error;
        report.at(
            &place_within(text, &span, report.text()),
            Problem::error("expression", message).maybe_hint(hint),
        );
    }
}

/// The bytes of the file for a part of a text; the whole text where it was written with escapes.
pub(crate) fn place_within(text: &Located<String>, part: &Range<usize>, file: &str) -> Range<usize> {
    let written = file.get(text.span.clone()).unwrap_or_default();
    match written.find(&text.value) {
        Some(offset) => {
            let start = text.span.start + offset;
            // At the very end of an expression there is nothing to mark but the sign before.
            let from = if part.is_empty() { part.start.saturating_sub(1) } else { part.start };
            start + from..start + part.end.max(from)
        }
        None => text.span.clone(),
    }
}
