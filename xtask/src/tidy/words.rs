//! Words that have no place in what is finished: promises, and paths of somebody's own machine.

use super::Finding;
use super::files::Files;

/// What must not be written, put together so that this file passes, and why.
const BANNED: &[(&str, &str)] = &[
    (concat!("TO", "DO"), "finish it, or leave it out"),
    (concat!("FIX", "ME"), "fix it, or leave it out"),
    (concat!("dbg", "!("), "a debugging aid; take it out"),
    (concat!("todo", "!("), "finish it, or leave it out"),
    (concat!("unimplemented", "!("), "finish it, or leave it out"),
    (concat!("<<<<", "<<< "), "a merge was not finished"),
    (concat!(">>>>", ">>> "), "a merge was not finished"),
];

/// Directories of one machine that a path in a repository must not begin with.
const MACHINES: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/mnt", "/")];

/// Finds them in every text file.
pub(super) fn check(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in files.ending("") {
        for (number, line) in (1..).zip(text.lines()) {
            findings.extend(
                BANNED
                    .iter()
                    .filter(|(word, _)| line.contains(word))
                    .map(|(word, advice)| format!("{path}:{number}: `{word}`: {advice}")),
            );
            findings.extend(MACHINES.iter().filter(|machine| opens_a_path(line, machine)).map(|machine| {
                format!("{path}:{number}: a path under {machine} exists on one machine only")
            }));
        }
    }
    findings
}

/// Whether `directory` stands in `line` as the beginning of a path, not in its middle.
fn opens_a_path(line: &str, directory: &str) -> bool {
    line.match_indices(directory).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|char| {
            char.is_alphanumeric() || matches!(char, '/' | '.' | '-' | '_' | '>' | '}' | '~')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_promises_and_foreign_paths() {
        let text = format!("fine\n// {}: later\nlet at = \"{}x\";\n", BANNED[0].0, MACHINES[0]);
        let findings = check(&Files::of(&[("a.rs", &text)]));
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(findings[0].starts_with("a.rs:2:") && findings[1].starts_with("a.rs:3:"));
    }

    #[test]
    fn a_directory_within_a_path_is_fine() {
        assert!(!opens_a_path(&format!("<data>/agent{}<attempt>", MACHINES[0]), MACHINES[0]));
        assert!(opens_a_path(&format!("see {}shop", MACHINES[0]), MACHINES[0]));
    }
}
