//! The edits that write a foreign key as Towpath's own, by place: comments and layout stay.

use std::ops::Range;

use crate::diagnostic::Edit;
use crate::spec::aliases::{Rewrite, rewrite};
use crate::spec::{Object, canonical};
use crate::tree::{Entry, Node, Value};

/// The edits for a key that an object does not know; none where the file would not mean the same for sure.
pub(crate) fn edits(object: &Object, entry: &Entry, siblings: &[Entry], text: &str) -> Vec<Edit> {
    let Some(rewrite) = rewrite(object.name, &canonical(&entry.key)) else { return Vec::new() };
    let taken = |name: &str| siblings.iter().any(|sibling| canonical(&sibling.key) == name);
    let rename = |name: &str| if taken(name) { Vec::new() } else { vec![Edit::new(&entry.key_span, name)] };
    match rewrite {
        Rewrite::Rename(name) => rename(name),
        Rewrite::RenameMap(name) => match entry.value.value {
            Value::Map(_) => rename(name),
            _ => Vec::new(),
        },
        Rewrite::RenameScalar(name) => match entry.value.scalar() {
            Some(_) => rename(name),
            None => Vec::new(),
        },
        Rewrite::Minutes(name) => with_number(entry, text, rename(name), |minutes| format!("{minutes}m")),
        Rewrite::Repetitions(name) => {
            with_number(entry, text, rename(name), |max| max.saturating_add(1).to_string())
        }
        Rewrite::Unfold => unfold(entry, siblings, text),
        Rewrite::Before => before(entry, siblings, text),
    }
}

/// Renames, and writes the number anew.
fn with_number(entry: &Entry, text: &str, renamed: Vec<Edit>, write: fn(u32) -> String) -> Vec<Edit> {
    let span = &entry.value.span;
    let written = text.get(span.clone()).unwrap_or_default().trim_end();
    match (&entry.value.value, written.parse::<u32>()) {
        (Value::Number(_), Ok(number)) if !renamed.is_empty() => {
            let mut edits = renamed;
            edits.push(Edit::new(&(span.start..span.start + written.len()), write(number)));
            edits
        }
        _ => Vec::new(),
    }
}

/// The column of an offset, if nothing but spaces stands before it.
fn indent(text: &str, at: usize) -> Option<usize> {
    let line = line_start(text, at);
    text[line..at].bytes().all(|byte| byte == b' ').then_some(at - line)
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

/// The end of the block that a key or an item opens: where the next line begins that is not deeper.
fn block_end(text: &str, at: usize, indent: usize) -> usize {
    let mut end = text[at..].find('\n').map_or(text.len(), |newline| at + newline + 1);
    let mut next = end;
    while next < text.len() {
        let line = text[next..].split_inclusive('\n').next().unwrap_or_default();
        let blank = line.trim().is_empty();
        if !blank && line.len() - line.trim_start_matches(' ').len() <= indent {
            break;
        }
        next += line.len();
        if !blank {
            end = next;
        }
    }
    end
}

/// `strategy: { matrix, fail-fast, max-parallel }` as keys of the Job.
fn unfold(entry: &Entry, siblings: &[Entry], text: &str) -> Vec<Edit> {
    let Value::Map(under) = &entry.value.value else { return Vec::new() };
    let known = |name: &str| matches!(name, "matrix" | "fail_fast" | "max_parallel");
    let fits = under.iter().all(|entry| {
        let name = canonical(&entry.key);
        known(&name) && !siblings.iter().any(|sibling| canonical(&sibling.key) == name)
    });
    let (Some(first), Some(column)) = (under.first(), indent(text, entry.key_span.start)) else {
        return Vec::new();
    };
    let Some(inner) = indent(text, first.key_span.start).filter(|inner| fits && *inner > column) else {
        return Vec::new();
    };
    let header = entry.key_span.end..line_start(text, first.key_span.start);
    // A comment beside the key, or between it and what is under it, has a place only there.
    if text.get(header.clone()).is_none_or(|header| header.trim() != ":") {
        return Vec::new();
    }
    let block = line_start(text, first.key_span.start)..block_end(text, entry.key_span.start, column);
    let mut moved = String::new();
    for line in text[block.clone()].split_inclusive('\n') {
        let spaces = line.len() - line.trim_start_matches(' ').len();
        moved.push_str(&line[spaces.min(inner - column)..]);
    }
    vec![Edit::new(&(line_start(text, entry.key_span.start)..block.end), moved)]
}

/// `before_script` right before `script`, both lists of lines, as one list.
fn before(entry: &Entry, siblings: &[Entry], text: &str) -> Vec<Edit> {
    let column = indent(text, entry.key_span.start);
    let script = siblings
        .iter()
        .find(|sibling| matches!(canonical(&sibling.key).as_str(), "script" | "commands" | "steps"));
    let (Some(column), Some(script)) = (column, script) else { return Vec::new() };
    if siblings.iter().any(|sibling| canonical(&sibling.key) == "steps") && canonical(&script.key) != "steps"
    {
        return Vec::new();
    }
    let (Some(first), Some(then)) = (dashes(&entry.value, text), dashes(&script.value, text)) else {
        return Vec::new();
    };
    let key_line = line_start(text, script.key_span.start);
    let bare = text[script.key_span.end..].split('\n').next().unwrap_or_default().trim() == ":";
    let adjacent = block_end(text, entry.key_span.start, column) == key_line
        || dashes_end(text, entry.key_span.start, column) == key_line;
    if first != then || !bare || !adjacent || indent(text, script.key_span.start) != Some(column) {
        return Vec::new();
    }
    let line_end = text[key_line..].find('\n').map_or(text.len(), |newline| key_line + newline + 1);
    vec![Edit::new(&entry.key_span, "steps"), Edit::new(&(key_line..line_end), "")]
}

/// As [`block_end`], for a list whose dashes stand under the key.
fn dashes_end(text: &str, at: usize, indent: usize) -> usize {
    let mut end = text[at..].find('\n').map_or(text.len(), |newline| at + newline + 1);
    while let Some(line) = text[end..].split_inclusive('\n').next() {
        let spaces = line.len() - line.trim_start_matches(' ').len();
        if spaces < indent || (spaces == indent && !line[spaces..].starts_with("- ")) {
            break;
        }
        end += line.len();
    }
    end
}

/// The column of the dashes of a list with one item a line.
fn dashes(list: &Node, text: &str) -> Option<usize> {
    let Value::List(items) = &list.value else { return None };
    let first = items.first()?;
    let line = line_start(text, first.span.start);
    let before = text.get(line..first.span.start)?;
    let column = before.len() - before.trim_start_matches(' ').len();
    before[column..].starts_with('-').then_some(column)
}

/// The edit that removes an item of a list, with its lines.
pub(crate) fn without_item(item: &Node, text: &str) -> Option<Edit> {
    let line = line_start(text, item.span.start);
    let before = text.get(line..item.span.start)?;
    let column = before.len() - before.trim_start_matches(' ').len();
    let whole: Range<usize> = line..block_end(text, line, column);
    before[column..].starts_with("- ").then(|| Edit::new(&whole, ""))
}
