//! Contract tests, as Pact's verifiers write them.
//!
//! Read are the JSON that the verifiers write (`pact_verifier_cli --json`), what is published to a Pact broker
//! (`testResults`), and a pact itself, which says what a consumer expects and that nothing was verified yet.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json::{parse, text};
use crate::{ReportError, clip};

const EXPECTED: &str = "Pact's verification results and pacts";

/// The most failed interactions that are kept.
const MAX_FAILED: usize = 200;

/// What the verification of a contract says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Contract {
    /// Who relies on it, where the report tells.
    pub consumer: Option<String>,
    /// Who has to keep it.
    pub provider: Option<String>,
    /// Whether anything was verified; a pact alone is only an expectation.
    pub verified: bool,
    /// Whether the verification as a whole passed.
    pub passed: bool,
    /// How many interactions were looked at, where the report tells.
    pub interactions: u64,
    /// Those that failed.
    pub failed: Vec<Interaction>,
}

/// An interaction that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interaction {
    /// What it is about.
    pub description: String,
    /// Why it failed.
    pub message: String,
}

/// Reads results or a pact.
pub(crate) fn read(bytes: &[u8]) -> Result<Contract, ReportError> {
    let document = parse(bytes)?;
    let name = |pointer: &str| text(&document, pointer).map(|name| clip(name, 200));
    let (consumer, provider) = (name("/consumer/name"), name("/provider/name"));
    if let Some(results) = document.get("testResults").and_then(Value::as_array) {
        return Ok(Contract { consumer, provider, ..published(&document, results) });
    }
    if let Some(result) = document.get("result").and_then(Value::as_bool) {
        return Ok(Contract { consumer, provider, ..verified(&document, result) });
    }
    if let Some(passed) = document.get("success").and_then(Value::as_bool) {
        return Ok(Contract { consumer, provider, verified: true, passed, ..Contract::default() });
    }
    let interactions = ["interactions", "messages"].iter().filter_map(|key| document.get(key)?.as_array());
    let interactions: Vec<usize> = interactions.map(Vec::len).collect();
    if consumer.is_some() && provider.is_some() && !interactions.is_empty() {
        let interactions = interactions.iter().sum::<usize>() as u64;
        return Ok(Contract { consumer, provider, interactions, ..Contract::default() });
    }
    Err(ReportError::unknown(EXPECTED, "JSON without `result`, `testResults` or `interactions`".to_owned()))
}

/// What is published to a broker.
fn published(document: &Value, results: &[Value]) -> Contract {
    let is_failed = |result: &&Value| result.get("success") != Some(&Value::Bool(true));
    let failed: Vec<Interaction> =
        results.iter().filter(is_failed).take(MAX_FAILED).map(interaction).collect();
    let said = document.get("success").and_then(Value::as_bool);
    // A summary that is better than its parts is not believed.
    let passed = said.unwrap_or(true) && failed.is_empty();
    Contract { verified: true, passed, interactions: results.len() as u64, failed, ..Contract::default() }
}

/// What the verifier writes.
fn verified(document: &Value, result: bool) -> Contract {
    let errors = document.get("errors").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let interactions = document.get("interactionResults").and_then(Value::as_array);
    let failed: Vec<Interaction> = errors.iter().take(MAX_FAILED).map(interaction).collect();
    Contract {
        verified: true,
        passed: result && failed.is_empty(),
        interactions: interactions.map_or(failed.len(), Vec::len) as u64,
        failed,
        ..Contract::default()
    }
}

fn interaction(result: &Value) -> Interaction {
    let described = ["/interactionDescription", "/interaction", "/description", "/interactionId"];
    let description = described.iter().find_map(|pointer| text(result, pointer)).unwrap_or("an interaction");
    let mut reasons = Vec::new();
    let mismatch = result.get("mismatch").unwrap_or(result);
    let said = ["/message", "/mismatch", "/description", "/error"];
    for key in ["mismatches", "exceptions"] {
        for one in mismatch.get(key).and_then(Value::as_array).into_iter().flatten().take(10) {
            reasons.extend(
                said.iter().find_map(|pointer| text(one, pointer)).or(one.as_str()).map(str::to_owned),
            );
        }
    }
    if reasons.is_empty() {
        reasons.extend(text(mismatch, "/message").map(str::to_owned));
    }
    Interaction { description: clip(description, 500), message: clip(&reasons.join("; "), 1000) }
}
