//! A plan as an SVG picture: one column for each batch, light and dark by the reader's own setting.

use std::fmt::Write as _;

use towpath_model::plan::PlanReport;

use super::graph::{Box, Graph, Sort};

const WIDTH: usize = 190;
const HEIGHT: usize = 52;
const GAP_X: usize = 56;
const GAP_Y: usize = 22;
const MARGIN: usize = 16;

/// The longest text that fits a box.
const MAX_TEXT: usize = 26;

const STYLE: &str = "\
.box{fill:#fff;stroke:#57606a;stroke-width:1.2}.skipped{stroke-dasharray:4;opacity:.6}.release{fill:#ddf4ff;stroke:#0969da}\
.stage{fill:#dafbe1;stroke:#1a7f37}.title{font:600 13px system-ui,sans-serif;fill:#1f2328}.detail{font:11px system-ui,sans-serif;fill:#57606a}\
.arrow{fill:none;stroke:#8c959f;stroke-width:1.4}.tip{fill:#8c959f}\
@media(prefers-color-scheme:dark){.box{fill:#161b22;stroke:#8b949e}.release{fill:#0c2d6b;stroke:#58a6ff}.stage{fill:#0f2f1b;stroke:#3fb950}\
.title{fill:#e6edf3}.detail{fill:#9ea7b3}}";

/// Draws the plan.
#[must_use]
pub fn svg(report: &PlanReport) -> String {
    let graph = Graph::of(report);
    let places = places(&graph.boxes);
    let right = places.iter().map(|(x, _)| x + WIDTH).max().unwrap_or(WIDTH) + MARGIN;
    let bottom = places.iter().map(|(_, y)| y + HEIGHT).max().unwrap_or(HEIGHT) + MARGIN;
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {right} {bottom}\" width=\"{right}\" height=\"{bottom}\" role=\"img\" aria-label=\"Plan of {}\">\n<style>{STYLE}</style>\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path class=\"tip\" d=\"M0 0 8 4 0 8z\"/></marker></defs>\n",
        escape(report.project.as_str())
    );
    for (from, to) in &graph.arrows {
        let ((from_x, from_y), (to_x, to_y)) = (places[*from], places[*to]);
        let (start_x, start_y, end_y) = (from_x + WIDTH, from_y + HEIGHT / 2, to_y + HEIGHT / 2);
        let bend = to_x.saturating_sub(GAP_X / 2).max(start_x);
        let _ = writeln!(
            picture,
            "<path class=\"arrow\" marker-end=\"url(#tip)\" d=\"M{start_x} {start_y} C{bend} {start_y} {bend} {end_y} {to_x} {end_y}\"/>"
        );
    }
    for (item, (x, y)) in graph.boxes.iter().zip(&places) {
        draw(&mut picture, item, *x, *y);
    }
    picture.push_str("</svg>\n");
    picture
}

/// The corner of each box: columns from left to right, in each from top to bottom.
fn places(boxes: &[Box]) -> Vec<(usize, usize)> {
    let columns = boxes.iter().map(|item| item.column + 1).max().unwrap_or(0);
    let mut rows = vec![0; columns];
    boxes
        .iter()
        .map(|item| {
            let row = rows[item.column];
            rows[item.column] += 1;
            (MARGIN + item.column * (WIDTH + GAP_X), MARGIN + row * (HEIGHT + GAP_Y))
        })
        .collect()
}

fn draw(picture: &mut String, item: &Box, x: usize, y: usize) {
    let class = match item.sort {
        Sort::Job => "box",
        Sort::Skipped => "box skipped",
        Sort::Release => "box release",
        Sort::Stage => "box stage",
    };
    let radius = if item.sort == Sort::Stage { HEIGHT / 2 } else { 6 };
    let middle = x + WIDTH / 2;
    let _ = writeln!(
        picture,
        "<g><title>{}: {}</title><rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"{radius}\"/>",
        escape(&item.title),
        escape(&item.detail)
    );
    let title_y = if item.detail.is_empty() { y + 31 } else { y + 23 };
    let _ = writeln!(
        picture,
        "<text class=\"title\" text-anchor=\"middle\" x=\"{middle}\" y=\"{title_y}\">{}</text>",
        escape(&cut(&item.title))
    );
    if !item.detail.is_empty() {
        let _ = writeln!(
            picture,
            "<text class=\"detail\" text-anchor=\"middle\" x=\"{middle}\" y=\"{}\">{}</text>",
            y + 40,
            escape(&cut(&item.detail))
        );
    }
    picture.push_str("</g>\n");
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
