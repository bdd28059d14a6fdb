//! Every link within the repository leads somewhere, and the map names files that exist.

use super::Finding;
use super::files::Files;

/// Finds links of Markdown files to nowhere, and paths under `crates/` in backticks that are not there.
pub(super) fn check(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in files.ending(".md") {
        for (number, line) in prose(text) {
            findings.extend(
                targets(line)
                    .filter_map(|target| broken(files, path, target))
                    .map(|finding| format!("{path}:{number}: {finding}")),
            );
            findings.extend(
                mentioned(line)
                    .filter(|mentioned| !files.has(mentioned))
                    .map(|mentioned| format!("{path}:{number}: `{mentioned}` is not there")),
            );
        }
    }
    findings
}

/// The numbered lines outside code fences.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// What stands in `](…)`.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next())
}

/// Paths under `crates/` that stand in backticks; patterns are no paths.
fn mentioned(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('`').skip(1).step_by(2);
    let paths = quoted.map(|text| text.split_once("::").map_or(text, |(file, _)| file));
    paths.filter(|text| text.starts_with("crates/") && !text.contains(['*', '<', ' ', '{']))
}

/// What is wrong with a link, if it is one within the repository.
fn broken(files: &Files, from: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if file.is_empty() { from.to_owned() } else { resolve(from, file) };
    if !files.has(&path) {
        return Some(format!("the link to {target} leads nowhere"));
    }
    let headings = files.text(&path).filter(|_| !anchor.is_empty() && path.ends_with(".md"))?;
    let found = prose(headings).any(|(_, line)| line.starts_with('#') && slug(line) == anchor);
    (!found).then(|| format!("{path} has no heading for #{anchor}"))
}

/// A path from the root for one that is relative to the file `from`.
fn resolve(from: &str, relative: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in relative.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The anchor that a heading gets: lower case, words joined by hyphens, other signs left out.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'));
    kept.map(|char| if char == ' ' { '-' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_links_from_where_they_stand() {
        let files = Files::of(&[
            ("README.md", "[a](docs/a.md#what-it-is) ![b](docs/none.png) [c](https://example.com/x)\n"),
            (
                "docs/a.md",
                "# What it is?\n[up](../README.md) [gone](#nowhere) `crates/none/src`\n```\n[x](y)\n```\n",
            ),
        ]);
        let findings = check(&files);
        assert_eq!(findings.len(), 3, "{findings:?}");
        assert!(findings[0].contains("docs/none.png"));
        assert!(findings[1].contains("#nowhere"));
        assert!(findings[2].contains("crates/none/src"));
    }
}
