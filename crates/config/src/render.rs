//! Shows a plan: as text for a terminal, JSON, Mermaid and SVG.

mod fold;
mod graph;
mod history;
mod mermaid;
mod svg;
mod text;

pub use history::history;
pub use mermaid::mermaid;
pub use svg::svg;
pub use text::text;

use fold::{Row, rows};
use towpath_model::plan::PlanReport;

/// The plan as JSON, indented.
#[must_use]
pub fn json(report: &PlanReport) -> String {
    let mut json = serde_json::to_string_pretty(report).expect("a plan has only text keys");
    json.push('\n');
    json
}

/// `1 job`, `2 jobs`.
fn counted(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
