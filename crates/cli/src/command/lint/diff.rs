//! Two texts as a unified diff.

use std::fmt::Write as _;

/// Lines that stay around what changes.
const CONTEXT: usize = 3;

/// The largest table of line against line; beyond it everything between the first and the last change is replaced.
const MAX_TABLE: usize = 4_000_000;

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line<'t> {
    Stays(&'t str),
    Goes(&'t str),
    Comes(&'t str),
}

/// Writes the diff of a file, as `diff -u` does.
pub fn diff(name: &str, old: &str, new: &str) -> String {
    let old: Vec<&str> = old.lines().collect();
    let new: Vec<&str> = new.lines().collect();
    let lines = compare(&old, &new);
    let changed: Vec<usize> =
        (0..lines.len()).filter(|index| !matches!(lines[*index], Line::Stays(_))).collect();
    let mut page = format!("--- {name}\n+++ {name}\n");
    let mut at = 0;
    while let Some(first) = changed.get(at) {
        let mut last = *first;
        while let Some(next) = changed.get(at).filter(|next| **next <= last + 2 * CONTEXT) {
            last = *next;
            at += 1;
        }
        hunk(&mut page, &lines, first.saturating_sub(CONTEXT)..(last + CONTEXT + 1).min(lines.len()));
    }
    page
}

fn hunk(page: &mut String, lines: &[Line<'_>], range: std::ops::Range<usize>) {
    let is_old = |line: &&Line<'_>| !matches!(line, Line::Comes(_));
    let is_new = |line: &&Line<'_>| !matches!(line, Line::Goes(_));
    let before = &lines[..range.start];
    let within = &lines[range];
    let (old, new) = (before.iter().filter(is_old).count(), before.iter().filter(is_new).count());
    let (olds, news) = (within.iter().filter(is_old).count(), within.iter().filter(is_new).count());
    let _ = writeln!(page, "@@ -{},{olds} +{},{news} @@", old + 1, new + 1);
    for line in within {
        let _ = match line {
            Line::Stays(text) => writeln!(page, " {text}"),
            Line::Goes(text) => writeln!(page, "-{text}"),
            Line::Comes(text) => writeln!(page, "+{text}"),
        };
    }
}

/// The longest common lines stay; around them, what goes comes before what comes.
fn compare<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<Line<'t>> {
    let same = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let (head, old, new) = (&old[..same], &old[same..], &new[same..]);
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
    let (old, rest) = old.split_at(old.len() - tail);
    let new = &new[..new.len() - tail];
    let mut lines: Vec<Line<'t>> = head.iter().map(|line| Line::Stays(line)).collect();
    if old.len().saturating_mul(new.len()) > MAX_TABLE {
        lines.extend(old.iter().map(|line| Line::Goes(line)));
        lines.extend(new.iter().map(|line| Line::Comes(line)));
    } else {
        lines.extend(middle(old, new));
    }
    lines.extend(rest.iter().map(|line| Line::Stays(line)));
    lines
}

fn middle<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<Line<'t>> {
    // `common[i][j]`: how many lines the rests from `i` and `j` have in common.
    let mut common = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = match old[i] == new[j] {
                true => common[i + 1][j + 1] + 1,
                false => common[i + 1][j].max(common[i][j + 1]),
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push(Line::Stays(old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            lines.push(Line::Goes(old[i]));
            i += 1;
        } else {
            lines.push(Line::Comes(new[j]));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_changes_with_lines_around() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\n";
        let new = "a\nB\nc\nd\ne\nf\ng\nh\ni\nj\nl\nm\n";
        let wanted = "\
--- towpath.yaml
+++ towpath.yaml
@@ -1,5 +1,5 @@
 a
-b
+B
 c
 d
 e
@@ -8,5 +8,5 @@
 h
 i
 j
-k
 l
+m
";
        assert_eq!(diff("towpath.yaml", old, new), wanted);
    }
}
