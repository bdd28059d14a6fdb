//! The plan as boxes and arrows, for those who draw it.

use std::collections::BTreeMap;

use towpath_model::plan::{Fate, PlanReport, PlannedStage};

use super::{Row, rows};

/// What a box stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Job,
    Skipped,
    Release,
    Stage,
}

/// A box: its column, its first line, and what is said below.
#[derive(Debug)]
pub(super) struct Box {
    pub(super) id: String,
    pub(super) column: usize,
    pub(super) sort: Sort,
    pub(super) title: String,
    pub(super) detail: String,
}

/// Boxes, and arrows between their indexes.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) boxes: Vec<Box>,
    pub(super) arrows: Vec<(usize, usize)>,
}

impl Graph {
    /// Jobs by batch, then the Release, then Stages by batch.
    pub(super) fn of(report: &PlanReport) -> Self {
        let mut graph = Self::default();
        let mut folded: BTreeMap<&str, String> = BTreeMap::new();
        for Row { name, job, jobs } in &rows(report) {
            let (sort, detail) = match job.fate {
                Fate::Runs => (Sort::Job, String::new()),
                Fate::Skipped => (Sort::Skipped, "skipped".to_owned()),
                Fate::Undecided => (Sort::Job, "perhaps".to_owned()),
                Fate::Unchanged => (Sort::Skipped, "unchanged".to_owned()),
            };
            graph.add(format!("job {name}"), job.batch - 1, sort, name.clone(), detail);
            folded.extend(jobs.iter().map(|job| (*job, name.clone())));
            let mut needs: Vec<&String> =
                job.needs.iter().filter_map(|need| folded.get(need.as_str())).collect();
            needs.dedup();
            graph.connect("job ", &needs, &format!("job {name}"));
        }
        if report.stages.is_empty() {
            return graph;
        }
        let column = report.jobs.iter().map(|job| job.batch).max().unwrap_or(0);
        let detail = if report.seal.seals { "sealed" } else { "not sealed" };
        let last = graph.ends();
        graph.add("release".to_owned(), column, Sort::Release, "Release".to_owned(), detail.to_owned());
        let release = graph.boxes.len() - 1;
        graph.arrows.extend(last.into_iter().map(|job| (job, release)));
        for stage in &report.stages {
            let id = format!("stage {}", stage.name);
            graph.add(
                id.clone(),
                column + stage.batch,
                Sort::Stage,
                stage.name.to_string(),
                described(stage),
            );
            graph.connect("stage ", &stage.needs, &id);
            if stage.needs.is_empty() {
                graph.arrows.push((release, graph.boxes.len() - 1));
            }
        }
        graph
    }

    fn add(&mut self, id: String, column: usize, sort: Sort, title: String, detail: String) {
        self.boxes.push(Box { id, column, sort, title, detail });
    }

    fn connect<T: std::fmt::Display>(&mut self, prefix: &str, from: &[T], to: &str) {
        let find = |id: &str| self.boxes.iter().position(|known| known.id == id);
        let arrows: Vec<_> =
            from.iter().filter_map(|name| Some((find(&format!("{prefix}{name}"))?, find(to)?))).collect();
        self.arrows.extend(arrows);
    }

    /// Boxes that nothing follows.
    fn ends(&self) -> Vec<usize> {
        (0..self.boxes.len()).filter(|index| !self.arrows.iter().any(|(from, _)| from == index)).collect()
    }
}

/// `canary 5% 25% 50%, 2 gates`.
fn described(stage: &PlannedStage) -> String {
    let Some(promotion) = stage.promotions.first() else { return String::new() };
    let mut words = vec![promotion.rollout.strategy.clone()];
    words.extend(promotion.rollout.steps.iter().map(|step| step.weight.to_string()));
    let gates: usize = stage.promotions.iter().map(|promotion| promotion.gates.len()).sum();
    let gates = match gates {
        0 => String::new(),
        1 => ", 1 gate".to_owned(),
        _ => format!(", {gates} gates"),
    };
    format!("{}{gates}", words.join(" "))
}
