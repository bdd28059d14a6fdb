//! JSON as reports have it: read once, looked at by path, never trusted to have a shape.

use serde_json::Value;

use crate::ReportError;
use crate::xml::text_of;

/// Reads a document; one that begins with `var stats = ` is Gatling's `stats.js`.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, ReportError> {
    serde_json::from_str(text_of(bytes).trim())
        .map_err(|error| ReportError::broken(format!("it is no JSON: {error}")))
}

/// A number, also where a tool writes it as text.
pub(crate) fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().replace(',', "").parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    number.filter(|number| number.is_finite() && *number >= 0.0)
}

/// A count.
pub(crate) fn count(value: &Value) -> Option<u64> {
    number(value).map(|number| number.round() as u64)
}

/// The text at a JSON pointer.
pub(crate) fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer)?.as_str()
}
