//! Every Rust file opens by saying what it is for.

use super::Finding;
use super::files::Files;

/// Finds Rust files that do not open with `//!`.
pub(super) fn check(files: &Files) -> Vec<Finding> {
    let silent = files.ending(".rs").filter(|(_, text)| !text.starts_with("//! "));
    silent
        .map(|(path, _)| {
            format!("{path}:1: opens without `//!`; say what it is for and what it leaves to others")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_silent_file() {
        let files = Files::of(&[("a.rs", "//! Says it.\n"), ("b.rs", "fn main() {}\n//! Too late.\n")]);
        let findings = check(&files);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].starts_with("b.rs:1:"));
    }
}
