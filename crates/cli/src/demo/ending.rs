//! The end of the story: its tables.

use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

use super::screen::{Screen, number, percent, seconds};
use super::story::Tale;
use super::traffic::VERSIONS;

/// Prints what the story came to.
pub(super) fn tables(screen: Screen, tale: &Tale) {
    let Tale { claims: _, phases, ways_back, seen } = tale;
    screen.heading("Time of each phase");
    let rows = phases.iter().map(|(name, took)| vec![name.clone(), seconds(*took)]);
    screen.line(&table(&["phase", "time"], rows.collect()));
    screen.heading("Ways back: time to safe");
    let rows = ways_back
        .iter()
        .map(|way| vec![way.what.clone(), milliseconds(way.confirmed), milliseconds(way.last_answer)]);
    screen.line(&table(&["way back", "confirmed after", "last answer seen after"], rows.collect()));
    screen.heading("Requests to production, as the customers saw them");
    let rows = VERSIONS.iter().map(|version| {
        let report = seen.version(version);
        vec![
            (*version).to_owned(),
            number(report.requests),
            number(report.failed),
            percent(report.failed, report.requests),
            percent(report.requests, seen.requests),
        ]
    });
    screen
        .line(&table(&["version", "served", "failed", "failed of its own", "share of all"], rows.collect()));
    screen.line(&format!(
        "  no answer: {}; latency p50 {:.1} ms, p99 {:.1} ms",
        number(seen.unanswered),
        seen.p50,
        seen.p99
    ));
}

fn milliseconds(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{} ms", number(time.as_millis() as u64)))
}

fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(header.iter().map(|name| name.to_uppercase()));
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string().lines().map(|line| format!(" {line}")).collect::<Vec<_>>().join("\n")
}
