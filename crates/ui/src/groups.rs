//! Which lines of a log belong under a heading; see [`towpath_terminal::group`].

use serde::Serialize;
use towpath_terminal::group::{Dialect, Mark, marks};

use crate::log::Line;

/// The most groups of one log. Those after them are shown as lines.
const MAX_GROUPS: usize = 2000;

/// How deep groups may lie within each other.
const MAX_DEPTH: usize = 16;

/// A heading and the lines under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The number of the heading's line, from 1.
    pub first: u64,
    /// The last line under it; `None` while it goes on.
    pub last: Option<u64>,
    /// Whether it is to be shown folded.
    pub folded: bool,
}

/// Finds the groups of a log that is given line by line.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    found: Vec<Group>,
    /// Those that go on, outermost first, by their index.
    open: Vec<(Dialect, usize)>,
    step: String,
    lines: u64,
}

impl Groups {
    /// What was found so far. Of a log that has ended, `ended` gives each its last line.
    #[must_use]
    pub fn found(&self, ended: bool) -> Vec<Group> {
        let last = ended.then_some(self.lines);
        self.found.iter().map(|group| Group { last: group.last.or(last), ..*group }).collect()
    }

    /// Takes the next stored line. Only its beginning is needed.
    pub fn line(&mut self, raw: &str) {
        self.lines += 1;
        let line = Line::parse(raw);
        // Towpath speaks between the lines of a Step, and of no group.
        if line.stream == 's' {
            return;
        }
        if line.step != self.step {
            self.end_from(0, self.lines - 1);
            line.step.clone_into(&mut self.step);
        }
        for mark in marks(line.text) {
            match mark {
                Mark::Open { dialect, folded, .. } => self.begin(dialect, folded),
                Mark::Close(dialect) => {
                    if let Some(depth) = self.open.iter().rposition(|(open, _)| *open == dialect) {
                        self.end_from(depth, self.lines);
                    }
                }
                Mark::Unfold => {
                    if let Some((_, index)) = self.open.last() {
                        self.found[*index].folded = false;
                    }
                }
            }
        }
    }

    fn begin(&mut self, dialect: Dialect, folded: bool) {
        // Only sections lie within each other.
        if !matches!(dialect, Dialect::Section(_))
            && let Some(depth) = self.open.iter().rposition(|(open, _)| *open == dialect)
        {
            self.end_from(depth, self.lines - 1);
        }
        if self.found.len() < MAX_GROUPS && self.open.len() < MAX_DEPTH {
            self.open.push((dialect, self.found.len()));
            self.found.push(Group { first: self.lines, last: None, folded });
        }
    }

    /// Ends the group at a depth and those within it.
    fn end_from(&mut self, depth: usize, last: u64) {
        for (_, index) in self.open.drain(depth..) {
            let group = &mut self.found[index];
            group.last = Some(last.max(group.first));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as `STEP TEXT`, and the groups as `first-last`, those shown unfolded with a `+`.
    fn check(lines: &[&str], ended: bool, expected: &str) {
        let mut groups = Groups::default();
        for line in lines {
            let (step, text) = line.split_once(' ').unwrap();
            groups.line(&format!("2026-11-21T14:03:07.000001Z {step} {text}"));
        }
        let shown = groups.found(ended).into_iter().map(|group| {
            let last = group.last.map_or("…".to_owned(), |last| last.to_string());
            format!("{}-{last}{}", group.first, if group.folded { "" } else { "+" })
        });
        assert_eq!(shown.collect::<Vec<_>>().join(" "), expected, "{lines:?}");
    }

    #[test]
    fn groups_end_where_their_dialect_ends_them() {
        check(&["00o ::group::a", "00o x", "00o ::endgroup::", "00o y"], true, "1-3");
        check(&["00o ::group::a", "00o x", "00o ::group::b", "00o y"], true, "1-2 3-4");
        check(&["00o ::group::a", "00o x"], false, "1-…");
        check(&["00o --- a", "00o x", "00o +++ b", "00e ^^^ +++", "00o y"], true, "1-2 3-5+");
        check(&["00o --- a", "00o ^^^ +++"], true, "1-2+");
        let nested =
            ["00o section_start:1:a\r", "00o section_start:1:b\r", "00o x", "00o section_end:1:a\r", "00o y"];
        check(&nested, true, "1-4+ 2-4+");
        check(&["00o ::group::a", "01o x"], true, "1-1");
        check(&["00o ::group::a", "00s Towpath says", "00o x", "00o ::endgroup::"], true, "1-4");
        check(&["00o ::endgroup::", "00o section_end:1:a", "00o ^^^ +++"], true, "");
    }

    #[test]
    fn a_flood_of_headings_is_bounded() {
        let mut groups = Groups::default();
        for number in 0..100_000 {
            groups.line(&format!("2026-11-21T14:03:07.000001Z 00o section_start:1:s{number}\r"));
        }
        assert_eq!(groups.found(true).len(), MAX_DEPTH);
        for number in 0..100_000 {
            groups.line(&format!("2026-11-21T14:03:07.000001Z 01o ::group::{number}"));
        }
        assert_eq!(groups.found(true).len(), MAX_GROUPS);
    }
}
