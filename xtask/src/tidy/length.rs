//! A file holds one idea. A long one is looked at by a person, who says here why it is one idea still.

use super::Finding;
use super::files::Files;

/// From this many lines on, a file must be on the list below.
const LONG: usize = 700;

/// Long files, and why each is one idea.
const REVIEWED: &[(&str, &str)] = &[
    ("crates/api/src/rest/shape.rs", "one list of shapes, which a test holds against what the model writes"),
    ("crates/config/src/spec/pipeline.rs", "one table of every key of towpath.yaml, read from top to bottom"),
    ("crates/model/src/run.rs", "one state machine; a half of it could not be understood alone"),
    (
        "crates/model/tests/model/world.rs",
        "one simulated world: its parts and their faults share all of its state",
    ),
    ("crates/ui/examples/gallery/fixture.rs", "made-up content, one function per page"),
];

/// Finds long files that nobody vouched for, and entries of the list that have no reason any more.
pub(super) fn check(files: &Files) -> Vec<Finding> {
    let length = |text: &str| text.lines().count();
    let reviewed = |path: &str| REVIEWED.iter().any(|(listed, _)| *listed == path);
    let long = files.ending(".rs").filter(|(path, text)| length(text) > LONG && !reviewed(path));
    let mut findings: Vec<Finding> = long
        .map(|(path, text)| {
            let lines = length(text);
            format!(
                "{path}: {lines} lines; split it by ideas, or say in xtask/src/tidy/length.rs why it is one"
            )
        })
        .collect();
    let stale = REVIEWED.iter().filter(|(path, _)| files.text(path).is_none());
    findings.extend(
        stale.map(|(path, _)| format!("{path}: is gone; take it off the list in xtask/src/tidy/length.rs")),
    );
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_long_file_that_is_not_listed() {
        let long = "//! x\n".repeat(LONG + 1);
        let findings = check(&Files::of(&[("crates/a/src/lib.rs", &long), (REVIEWED[0].0, &long)]));
        assert!(findings[0].starts_with("crates/a/src/lib.rs: 701 lines"), "{findings:?}");
        // The other entries of the list are missing from this tree.
        assert_eq!(findings.len(), REVIEWED.len());
    }
}
