//! A Job of many cells as one: folded in the graph, opened to its cells below it.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::small::dot;
use crate::routes;
use crate::view::{JobView, RunView, State};

/// With fewer cells, each stands for itself.
const FOLDED_FROM: usize = 3;

/// What the graph draws: Jobs, and one for each matrix that is folded.
pub fn folded(jobs: &[JobView]) -> Vec<JobView> {
    let groups = groups(jobs);
    let name_of = |name: &String| {
        let job = jobs.iter().find(|job| job.name == *name);
        let of = job.and_then(|job| job.of.as_ref()).filter(|of| groups.contains_key(of.as_str()));
        of.unwrap_or(name).clone()
    };
    let mut drawn: Vec<JobView> = Vec::new();
    for job in jobs {
        let name = name_of(&job.name);
        if drawn.iter().any(|known| known.name == name) {
            continue;
        }
        let mut needs: Vec<String> = job.needs.iter().map(name_of).collect();
        needs.sort();
        needs.dedup();
        match groups.get(name.as_str()) {
            Some(cells) => drawn.push(JobView {
                state: together(cells),
                attempts: Vec::new(),
                reason: Some(counts(cells)),
                needs,
                name,
                ..job.clone()
            }),
            None => drawn.push(JobView { needs, ..job.clone() }),
        }
    }
    drawn
}

/// Whether a Job that is drawn stands for another one.
pub fn stands_for(view: &RunView, drawn: &str, name: &str) -> bool {
    drawn == name
        || view
            .jobs
            .iter()
            .any(|job| job.name == name && job.of.as_deref() == Some(drawn) && is_folded(view, drawn))
}

/// The cell of a folded matrix that is looked at first: one that failed, else one that runs.
pub fn leading<'v>(view: &'v RunView, drawn: &'v str) -> &'v str {
    let cells = || view.jobs.iter().filter(|job| job.of.as_deref() == Some(drawn) && is_folded(view, drawn));
    let with = |state: State| cells().find(|job| job.state == state);
    let first = with(State::Failed).or_else(|| with(State::Running)).or_else(|| cells().next());
    first.map_or(drawn, |job| job.name.as_str())
}

/// The cells of every folded matrix; that of the chosen Job is open.
pub fn cells(view: &RunView, selected: &str) -> Markup {
    html! {
        @for (of, cells) in groups(&view.jobs) {
            details.cells open[cells.iter().any(|job| job.name == selected)] {
                summary { strong { (of) } ": " (cells.len()) " cells, " (counts(&cells)) }
                ul { @for job in cells {
                    li { a href=(routes::job_on(&view.page, &job.name)) aria-current=[(job.name == selected).then_some("true")] {
                        (dot(job.state)) " " (job.label.as_deref().unwrap_or(&job.name))
                    } }
                } }
            }
        }
    }
}

fn is_folded(view: &RunView, of: &str) -> bool {
    view.jobs.iter().filter(|job| job.of.as_deref() == Some(of)).count() >= FOLDED_FROM
}

fn groups(jobs: &[JobView]) -> BTreeMap<&str, Vec<&JobView>> {
    let mut groups: BTreeMap<&str, Vec<&JobView>> = BTreeMap::new();
    for job in jobs {
        if let Some(of) = &job.of {
            groups.entry(of).or_default().push(job);
        }
    }
    groups.retain(|_, cells| cells.len() >= FOLDED_FROM);
    groups
}

/// The state that matters most.
fn together(cells: &[&JobView]) -> State {
    let order = [State::Failed, State::Lost, State::Running, State::Waiting, State::Queued, State::Cancelled];
    let found = order.into_iter().find(|state| cells.iter().any(|job| job.state == *state));
    found
        .or_else(|| cells.iter().map(|job| job.state).find(|state| *state != State::Skipped))
        .unwrap_or(State::Skipped)
}

/// `7 passed, 1 failed`.
fn counts(cells: &[&JobView]) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for job in cells {
        let label = job.state.label();
        match counts.iter_mut().find(|(known, _)| *known == label) {
            Some((_, count)) => *count += 1,
            None => counts.push((label, 1)),
        }
    }
    counts.iter().map(|(label, count)| format!("{count} {label}")).collect::<Vec<_>>().join(", ")
}
