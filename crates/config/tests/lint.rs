//! Broken files as data: each `lint/*.yaml` has the report that a person sees beside it.

use std::fs;
use std::path::{Path, PathBuf};

use towpath_config::diagnostic::{Colour, render_all};
use towpath_config::{Severity, parse_environments_bytes, parse_notifications_bytes, parse_pipeline_bytes};

fn cases() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lint");
    let files = fs::read_dir(directory)
        .expect("the cases are there")
        .map(|entry| entry.expect("it can be listed").path());
    let mut cases: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect();
    cases.sort();
    cases
}

#[test]
fn broken_files_are_explained() {
    let cases = cases();
    assert!(cases.len() >= 40, "only {} cases", cases.len());
    for path in cases {
        let name = path.file_name().and_then(|name| name.to_str()).expect("cases have plain names");
        let bytes = fs::read(&path).expect("it can be read");
        let (usable, diagnostics) = if name.starts_with("environment.") {
            let (documents, diagnostics) = parse_environments_bytes("production.yaml", &bytes);
            (!documents.is_empty(), diagnostics)
        } else if name.starts_with("notifications.") {
            let (document, diagnostics) = parse_notifications_bytes("notifications.yaml", &bytes);
            (document.is_some(), diagnostics)
        } else {
            let (pipeline, diagnostics) = parse_pipeline_bytes("towpath.yaml", &bytes);
            (pipeline.is_some(), diagnostics)
        };
        let errors = diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
        assert!(!diagnostics.is_empty(), "{name} has nothing wrong with it");
        assert_eq!(usable, !errors, "{name}: a value exactly where there is no error");
        expect_test::expect_file![path.with_extension("txt")]
            .assert_eq(&render_all(&diagnostics, Colour::No));
    }
}
