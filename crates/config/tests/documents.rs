//! What the documents show as whole files is accepted by the parser, and so cannot rot.

use std::fs;
use std::path::{Path, PathBuf};

use towpath_config::diagnostic::{Colour, render_all};
use towpath_config::{has_errors, parse_environments, parse_pipeline};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The blocks of YAML in a document, each with the line on which it begins.
fn blocks(text: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        match (&mut open, line) {
            (None, "```yaml") => open = Some((number + 1, String::new())),
            (None, _) => {}
            (Some(_), "```") => blocks.extend(open.take()),
            (Some((_, block)), line) => {
                block.push_str(line);
                block.push('\n');
            }
        }
    }
    blocks
}

/// Checks a block that is a whole file; parts of files stand for themselves.
fn check(name: &str, block: &str) -> bool {
    let begins = |key: &str| block.lines().any(|line| line.starts_with(key));
    let diagnostics = if begins("name:") && begins("jobs:") {
        parse_pipeline(name, block).1
    } else if begins("environment:") {
        parse_environments(name, block).1
    } else {
        return false;
    };
    assert!(!has_errors(&diagnostics), "{name}\n{}", render_all(&diagnostics, Colour::No));
    true
}

#[test]
fn files_shown_in_the_documents_are_valid() {
    let guide = fs::read_dir(root().join("docs/guide")).unwrap();
    let mut documents: Vec<PathBuf> = guide.map(|entry| entry.unwrap().path()).collect();
    documents.push(root().join("README.md"));
    let mut checked = 0;
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        for (line, block) in blocks(&text) {
            checked += usize::from(check(&format!("{}:{line}", document.display()), &block));
        }
    }
    assert!(checked >= 3, "the documents show {checked} whole files; the README and the guide should");
}
