//! YAML as a tree whose every node knows its place.
//!
//! Syntax, anchors, merge keys, duplicate keys and the budgets against hostile files are left to
//! `serde-saphyr`. What the tree means is left to the lowering, which can therefore report all
//! mistakes at once.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Options, Spanned, UserMessageFormatter};

use crate::diagnostic::{Problem, Report, quote};

/// The deepest nesting. The format needs 8.
const MAX_DEPTH: usize = 32;

/// The most nodes after aliases were followed, so that aliases cannot make a small file huge.
const MAX_NODES: usize = 50_000;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) value: Value,
    /// The bytes of the file that it takes. For maps and lists: where they begin.
    pub(crate) span: Range<usize>,
}

/// Any YAML value. Numbers keep their spelling, for `1.10` is a version to some readers.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Null,
    Boolean(bool),
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

impl Value {
    /// Text that was put together, as YAML would read it.
    pub(crate) fn plain(text: String) -> Self {
        match text.as_str() {
            "true" => Self::Boolean(true),
            "false" => Self::Boolean(false),
            _ => Self::Text(text),
        }
    }
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Range<usize>,
    pub(crate) value: Node,
}

impl Node {
    /// Moves it, and all in it, for a text that is part of a longer one.
    pub(crate) fn shift(&mut self, by: usize) {
        let move_span = |span: &mut Range<usize>| *span = span.start + by..span.end + by;
        move_span(&mut self.span);
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|item| item.shift(by)),
            Value::Map(entries) => {
                for entry in entries {
                    move_span(&mut entry.key_span);
                    entry.value.shift(by);
                }
            }
            Value::Null | Value::Boolean(_) | Value::Number(_) | Value::Text(_) => {}
        }
    }

    /// What it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Boolean(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The text of a scalar as it was written.
    pub(crate) fn scalar(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) | Value::Number(text) => Some(text),
            Value::Boolean(true) => Some("true"),
            Value::Boolean(false) => Some("false"),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }
}

/// Reads the documents of a file. A mistake of syntax goes to the report; then there are none.
pub(crate) fn read(report: &Report<'_>) -> Vec<Node> {
    if let Some(tab) = indenting_tab(report.text()) {
        let problem = Problem::error("tab", "this line is indented with a tab")
            .label("a tab")
            .hint("YAML allows only spaces here: replace each tab with two spaces");
        report.at(&(tab..tab + 1), problem);
        return Vec::new();
    }
    match serde_saphyr::from_multiple_with_options::<Spanned<Raw>>(report.text(), options()) {
        Ok(documents) => documents.into_iter().map(|document| locate(document, report.text())).collect(),
        Err(error) => {
            let message = error.without_snippet().render_with_formatter(&UserMessageFormatter);
            report_syntax(report, error.location(), &message);
            Vec::new()
        }
    }
}

fn options() -> Options {
    let budget = serde_saphyr::budget! { max_depth: MAX_DEPTH, max_nodes: MAX_NODES, max_documents: 64 };
    let mut options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    options.budget = budget;
    options
}

fn report_syntax(report: &Report<'_>, location: Option<Location>, message: &str) {
    let message = message.lines().next().unwrap_or("this is not YAML");
    let message = message.split(" at line ").next().unwrap_or(message);
    let problem = if message.contains("limits breached") {
        Problem::error("too-complex", "this file is nested too deeply, or its aliases unfold to too much")
            .hint(format!("at most {MAX_DEPTH} levels and {MAX_NODES} values are read"))
    } else if let Some(rest) = message.strip_prefix("duplicate mapping key: ") {
        let key = rest.split(' ').next().unwrap_or(rest);
        Problem::error("duplicate-key", format!("`{}` is there twice", quote(key)))
            .hint("remove one of them, or rename it")
    } else {
        Problem::error("syntax", message.to_owned())
    };
    match location.filter(|location| location.line() > 0) {
        Some(location) => report.at(&offset_of(report.text(), &location), problem),
        None => report.file_wide(problem),
    }
}

/// The bytes of a location; from line and column where the parser gives no offsets.
fn offset_of(text: &str, location: &Location) -> Range<usize> {
    if let Some(span) = byte_span(location) {
        return span;
    }
    let line = usize::try_from(location.line().saturating_sub(1)).unwrap_or(usize::MAX);
    let column = usize::try_from(location.column().saturating_sub(1)).unwrap_or(usize::MAX);
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let within = text[start..].char_indices().nth(column).map_or(0, |(offset, _)| offset);
    start + within..start + within
}

fn byte_span(location: &Location) -> Option<Range<usize>> {
    let start = usize::try_from(location.span().byte_offset()?).ok()?;
    let length = usize::try_from(location.span().byte_len()?).ok()?;
    Some(start..start.checked_add(length)?)
}

/// The first tab in the white space that opens a line.
fn indenting_tab(text: &str) -> Option<usize> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        // A blank line, or one within a block of shell script, may hold tabs: there YAML takes them as text.
        let content = line[indent..].trim_end();
        if let Some(tab) = line[..indent].find('\t')
            && tab == 0
            && !content.is_empty()
            && !content.starts_with('#')
        {
            return Some(start + tab);
        }
        start += line.len();
    }
    None
}

fn place<T>(spanned: &Spanned<T>) -> &Location {
    if spanned.defined.line() > 0 { &spanned.defined } else { &spanned.referenced }
}

fn locate(raw: Spanned<Raw>, text: &str) -> Node {
    // What stands behind an alias is wrong, and mended, where it is written.
    let span = offset_of(text, place(&raw));
    let written = || text.get(span.clone()).unwrap_or_default().trim().to_owned();
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Boolean(value) => Value::Boolean(value),
        Raw::Number(value) => {
            let written = written();
            let plain = written.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
            Value::Number(if plain { written } else { value })
        }
        Raw::Text(value) => Value::Text(value),
        Raw::List(items) => Value::List(items.into_iter().map(|item| locate(item, text)).collect()),
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| Entry {
                    key_span: offset_of(text, place(&key)),
                    key: key.value,
                    value: locate(value, text),
                })
                .collect(),
        ),
    };
    Node { value, span }
}

/// What serde hands over.
enum Raw {
    Null,
    Boolean(bool),
    Number(String),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
