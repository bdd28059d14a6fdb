//! What commands print: tables for people, JSON for programs.

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

use crate::escape;

/// Prints a value as JSON.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    anstream::println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Prints rows under a header, or `empty` if there are none.
pub fn table<const N: usize>(header: [&str; N], rows: Vec<[String; N]>, empty: &str) {
    if rows.is_empty() {
        anstream::eprintln!("{empty}");
        return;
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.map(str::to_uppercase));
    table.add_rows(rows.into_iter().map(|row| row.map(|cell| escape::for_stdout(&cell))));
    anstream::println!("{table}");
}

/// Prints what strangers may have written.
pub fn text(text: &str) {
    anstream::println!("{}", escape::for_stdout(text));
}

/// A number of things: `1 agent`, `2 agents`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Writes a message for people: the moments in it, which messages have as machines do, become local times.
pub fn words(text: &str) -> String {
    let moment = |word: &str| word.ends_with('Z').then(|| word.parse().ok()).flatten().map(time);
    let word = |word: &str| {
        let bare = word.trim_end_matches([' ', ',', ';', ':', '.', ')']);
        moment(bare).map_or_else(|| word.to_owned(), |time| time + &word[bare.len()..])
    };
    text.split_inclusive(' ').map(word).collect()
}

/// Writes a time for people: local, to the second.
pub fn time(at: jiff::Timestamp) -> String {
    at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}
