//! Canonical JSON: one value, one sequence of bytes, so that a value has one digest.
//!
//! Keys are sorted by their UTF-8 bytes, nothing stands between tokens, text is escaped only where
//! JSON demands it, and a number has the shortest form that reads back the same. Reading is strict:
//! other bytes for the same value are refused, so that no two documents mean the same thing.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Why bytes are not the canonical form of a value.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// Too long.
    #[error("it has {found} bytes, more than the allowed {limit}")]
    TooLarge {
        /// How many there are.
        found: usize,
        /// The bound.
        limit: usize,
    },
    /// Not JSON, or another type: a field is missing, unknown, or of the wrong kind.
    #[error("it is not what it should be")]
    Parse(#[from] serde_json::Error),
    /// The right value in another form: spaces, order, repeated or defaulted fields.
    #[error("it is not in canonical form: it differs from byte {at} on")]
    Form {
        /// Where the difference begins.
        at: usize,
    },
}

/// Writes `value` in canonical form.
///
/// # Panics
/// Panics if the type cannot be JSON (a map whose keys are not text, a serializer that fails). That
/// is a mistake in the type, never in the data.
#[must_use]
pub fn to_vec<T: Serialize>(value: &T) -> Vec<u8> {
    let value = serde_json::to_value(value).expect("types with a canonical form serialise to JSON");
    let mut bytes = Vec::new();
    write(&value, &mut bytes);
    bytes
}

/// Reads a value of at most `limit` bytes that must be in canonical form.
///
/// # Errors
/// Fails if the bytes are too many, not JSON, of another type, or not in canonical form.
pub fn from_slice<T: Serialize + DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, CanonicalError> {
    if bytes.len() > limit {
        return Err(CanonicalError::TooLarge { found: bytes.len(), limit });
    }
    let value: T = serde_json::from_slice(bytes)?;
    let form = to_vec(&value);
    if form == bytes {
        return Ok(value);
    }
    let at = form.iter().zip(bytes).position(|(a, b)| a != b).unwrap_or(form.len().min(bytes.len()));
    Err(CanonicalError::Form { at })
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => write_token(value, out),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                separate(index, out);
                write(item, out);
            }
            out.push(b']');
        }
        Value::Object(fields) => {
            out.push(b'{');
            // Sorted here, because `serde_json` keeps insertion order when any crate asks it to.
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(key, _)| key.as_bytes());
            for (index, (key, item)) in fields.into_iter().enumerate() {
                separate(index, out);
                write_token(key, out);
                out.push(b':');
                write(item, out);
            }
            out.push(b'}');
        }
    }
}

fn separate(index: usize, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
}

fn write_token(token: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
    serde_json::to_writer(out, token).expect("a token written to memory cannot fail");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::btree_map(".*", inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn reads_back_what_it_writes(value in values()) {
            let bytes = to_vec(&value);
            prop_assert_eq!(from_slice::<Value>(&bytes, bytes.len()).unwrap(), value);
        }

        #[test]
        fn the_order_of_fields_does_not_matter(map in prop::collection::btree_map(".*", any::<i64>(), 0..12)) {
            let forward: Value = Value::Object(map.iter().map(|(key, n)| (key.clone(), json!(n))).collect());
            let backward: Value = Value::Object(map.iter().rev().map(|(key, n)| (key.clone(), json!(n))).collect());
            prop_assert_eq!(to_vec(&forward), to_vec(&backward));
        }

        #[test]
        fn any_other_spelling_is_refused(value in values(), at in any::<prop::sample::Index>()) {
            let mut bytes = to_vec(&value);
            // A space outside of text means nothing to JSON, and inside of text another value.
            bytes.insert(at.index(bytes.len() + 1), b' ');
            let read = from_slice::<Value>(&bytes, bytes.len());
            prop_assert!(read.is_err() || read.unwrap() != value);
        }
    }

    #[test]
    fn looks_like_this() {
        let value = json!({ "b": [1, -2, 0.5], "a": { "ü": "é\n\u{1}/\"" }, "B": null });
        let text = String::from_utf8(to_vec(&value)).unwrap();
        assert_eq!(text, "{\"B\":null,\"a\":{\"ü\":\"é\\n\\u0001/\\\"\"},\"b\":[1,-2,0.5]}");
        assert!(matches!(from_slice::<Value>(b"[1, 2]", 100), Err(CanonicalError::Form { at: 3 })));
        assert!(matches!(
            from_slice::<Value>(b"[1,2]", 4),
            Err(CanonicalError::TooLarge { found: 5, limit: 4 })
        ));
    }
}
