//! Every test that a document names exists: `path/of/file.rs::name_of_the_test`.

use super::Finding;
use super::files::Files;

/// Finds names of tests in backticks of Markdown files that no code has.
pub(super) fn check(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in files.ending(".md") {
        for (number, line) in (1..).zip(text.lines()) {
            for (file, name) in named(line) {
                let known = files.text(file).is_some_and(|code| has_test(code, name));
                if !known {
                    findings.push(format!("{path}:{number}: {file} has no test `{name}`"));
                }
            }
        }
    }
    findings
}

/// What stands in backticks as a file of Rust and a name within it.
fn named(line: &str) -> impl Iterator<Item = (&str, &str)> {
    line.split('`').skip(1).step_by(2).filter_map(|quoted| {
        let (file, name) = quoted.split_once(".rs::")?;
        Some((&quoted[..file.len() + 3], name))
    })
}

/// Whether a function of this name stands right below the mark of a test.
fn has_test(code: &str, name: &str) -> bool {
    let mut marked = false;
    for line in code.lines().map(str::trim_start) {
        let called = line.trim_start_matches("async ").strip_prefix("fn ");
        match called {
            Some(rest) if marked && rest.strip_prefix(name).is_some_and(|rest| rest.starts_with('(')) => {
                return true;
            }
            Some(_) => marked = false,
            None if line.starts_with("#[test]") || line.starts_with("#[tokio::test") => marked = true,
            None => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_test_that_is_not_there() {
        let files = Files::of(&[
            (
                "a.rs",
                "fn helper() {}\n#[test]\n#[ignore]\nfn holds() {}\n#[tokio::test]\nasync fn waits() {}\n",
            ),
            (
                "docs/a.md",
                "`a.rs::holds` and `a.rs::waits`\n`a.rs::helper`, `a.rs::hold`, `b.rs::holds`, `a.rs`\n",
            ),
        ]);
        let findings = check(&files);
        assert_eq!(findings.len(), 3, "{findings:?}");
        assert!(findings.iter().all(|finding| finding.starts_with("docs/a.md:2:")));
    }
}
