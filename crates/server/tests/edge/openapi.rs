//! The description of the API that stands in the repository is what the server serves.
//!
//! Regenerate with `UPDATE=1 cargo test -p towpath-server openapi`.

use std::path::Path;

#[test]
fn openapi_is_current_and_complete() {
    let description = towpath_server::openapi();
    let generated = format!("{}\n", description.to_pretty_json().unwrap());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/openapi.json");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == generated,
        "docs/reference/openapi.json is out of date; run: UPDATE=1 cargo test -p towpath-server openapi"
    );
    let document: serde_json::Value = serde_json::from_str(&generated).unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for name in ["Run", "Job", "Attempt", "Promotion", "Rollout", "Environment", "Revision", "Gate", "Vote"] {
        assert!(schemas.contains_key(name), "{name} is not described");
    }
    assert!(!generated.contains("\"judge\""), "the judge's memory is nobody's business");
}
