//! The Jobs of a Run as a drawn graph.

use dagre::graph::{Graph, GraphOptions};
use dagre::{EdgeLabel, LayoutOptions, NodeLabel, RankDir, layout};
use maud::{Markup, html};

use super::small::tone;
use super::{icon, matrix};
use crate::view::{JobView, RunView};
use crate::{format, routes};

const HEIGHT: f64 = 46.0;
/// Of one character of a Job's name, generously.
const CHARACTER: f64 = 7.6;

/// Draws the graph, left to right. Every Job is a link.
pub fn jobs(view: &RunView, selected: &str) -> Markup {
    let drawn = matrix::folded(&view.jobs);
    let graph = arrange(&drawn);
    let (width, height) = extent(&graph);
    html! {
        div.scroll.graph {
            svg viewBox={ "0 0 " (width) " " (height) } width=(width) height=(height) role="group" aria-label="Jobs and what they need" {
                @for edge in graph.edges() {
                    @if let Some(points) = way(&graph, &edge.v, &edge.w) { path.edge d=(curve(&points)) {} }
                }
                @for job in &drawn {
                    @if let Some(node) = graph.node(&job.name) { (node_of(view, job, node, selected)) }
                }
            }
        }
    }
}

fn arrange(jobs: &[JobView]) -> Graph<NodeLabel, EdgeLabel> {
    let mut graph = Graph::with_options(GraphOptions { directed: true, multigraph: false, compound: false });
    for job in jobs {
        let longest = job.name.chars().count().max(under_length(job));
        let width = (longest as f64 * CHARACTER + 52.0).max(152.0);
        graph.set_node(job.name.clone(), Some(NodeLabel { width, height: HEIGHT, ..NodeLabel::default() }));
    }
    for job in jobs {
        for need in job.needs.iter().filter(|need| jobs.iter().any(|other| other.name == **need)) {
            graph.set_edge(need.as_str(), job.name.as_str(), Some(EdgeLabel::default()), None);
        }
    }
    let options = LayoutOptions {
        rankdir: RankDir::LR,
        nodesep: 16.0,
        ranksep: 56.0,
        marginx: 4.0,
        marginy: 4.0,
        ..LayoutOptions::default()
    };
    layout(&mut graph, Some(options));
    graph
}

/// How long the second line of a folded matrix is; that of a Job always fits.
fn under_length(job: &JobView) -> usize {
    if job.attempts.is_empty() { job.reason.as_ref().map_or(0, |counts| counts.len().min(40)) } else { 0 }
}

fn extent(graph: &Graph<NodeLabel, EdgeLabel>) -> (f64, f64) {
    let nodes = || graph.nodes().into_iter().filter_map(|name| graph.node(&name));
    let right = nodes().map(|node| node.x.unwrap_or(0.0) + node.width / 2.0).fold(0.0, f64::max);
    let bottom = nodes().map(|node| node.y.unwrap_or(0.0) + node.height / 2.0).fold(0.0, f64::max);
    ((right + 4.0).ceil(), (bottom + 4.0).ceil())
}

/// The points of an edge: out of the middle of one side, past the nodes between, into the middle of the other.
fn way(graph: &Graph<NodeLabel, EdgeLabel>, from: &str, to: &str) -> Option<Vec<(f64, f64)>> {
    let (edge, from, to) = (graph.edge(from, to, None)?, graph.node(from)?, graph.node(to)?);
    let out = (from.x? + from.width / 2.0, from.y?);
    let into = (to.x? - to.width / 2.0, to.y?);
    let between = edge
        .points
        .iter()
        .map(|point| (point.x, point.y))
        .filter(|point| point.0 > out.0 && point.0 < into.0);
    Some(std::iter::once(out).chain(between).chain(std::iter::once(into)).collect())
}

/// A soft line through points.
fn curve(points: &[(f64, f64)]) -> String {
    let Some((&first, rest)) = points.split_first() else { return String::new() };
    let mut path = format!("M{:.1} {:.1}", first.0, first.1);
    let mut from = first;
    for &to in rest {
        let middle = f64::midpoint(from.0, to.0);
        path.push_str(&format!("C{middle:.1} {:.1} {middle:.1} {:.1} {:.1} {:.1}", from.1, to.1, to.0, to.1));
        from = to;
    }
    path
}

fn node_of(view: &RunView, job: &JobView, node: &NodeLabel, selected: &str) -> Markup {
    let left = node.x.unwrap_or(0.0) - node.width / 2.0;
    let top = node.y.unwrap_or(0.0) - node.height / 2.0;
    let chosen = matrix::stands_for(view, &job.name, selected);
    let leads = matrix::leading(view, &job.name);
    html! {
        a href=(routes::job_on(&view.page, leads)) class={ "node " (tone(job.state.tone())) @if chosen { " chosen" } }
            aria-current=[chosen.then_some("true")] {
            rect x=(left) y=(top) width=(node.width) height=(node.height) rx="8" {}
            svg x=(left + 12.0) y=(top + 15.0) width="16" height="16" { (icon::state(job.state)) }
            text x=(left + 38.0) y=(top + 20.0) { (job.name) }
            text.sub x=(left + 38.0) y=(top + 36.0) { (under(view, job)) }
        }
    }
}

/// The second line of a node: the state, and how long it took.
fn under(view: &RunView, job: &JobView) -> String {
    let times = job.attempts.last().and_then(|attempt| Some((attempt.started?, attempt.finished)));
    match times {
        Some((started, finished)) => {
            let took = match finished {
                Some(finished) => format::fine_duration(started, finished),
                None => format::duration(started, view.shell.now),
            };
            format!("{} {took}", job.state.label())
        }
        // A folded matrix says how many of its cells are how.
        None if !view.jobs.iter().any(|known| known.name == job.name) => {
            job.reason.clone().unwrap_or_default()
        }
        None => job.state.label().to_owned(),
    }
}
