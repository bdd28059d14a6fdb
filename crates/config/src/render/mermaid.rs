//! A plan as a Mermaid flowchart.

use std::fmt::Write as _;

use towpath_model::plan::PlanReport;

use super::graph::{Graph, Sort};

/// Draws the plan for Markdown pages that show Mermaid.
#[must_use]
pub fn mermaid(report: &PlanReport) -> String {
    let graph = Graph::of(report);
    let mut chart = "flowchart LR\n".to_owned();
    for (index, item) in graph.boxes.iter().enumerate() {
        let detail = if item.detail.is_empty() { String::new() } else { format!("<br/>{}", item.detail) };
        let (open, close) = match item.sort {
            Sort::Job | Sort::Skipped => ("[", "]"),
            Sort::Release => ("{{", "}}"),
            Sort::Stage => ("([", "])"),
        };
        let _ = writeln!(chart, "  n{index}{open}\"{}{detail}\"{close}", item.title);
        if item.sort == Sort::Skipped {
            let _ = writeln!(chart, "  style n{index} stroke-dasharray: 4");
        }
    }
    for (from, to) in &graph.arrows {
        let _ = writeln!(chart, "  n{from} --> n{to}");
    }
    chart
}
