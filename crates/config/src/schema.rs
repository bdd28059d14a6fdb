//! JSON Schema of all kinds of document, for editors.

use serde_json::{Map, Value, json};

use crate::spec::environment::ENVIRONMENT;
use crate::spec::notify::NOTIFICATIONS;
use crate::spec::pipeline::PIPELINE;
use crate::spec::{Key, Kind, Object, Presence, keys_of};

/// The schema of `towpath.yaml`.
#[must_use]
pub fn pipeline() -> Value {
    document(&PIPELINE, "towpath.yaml")
}

/// The schema of an environment document.
#[must_use]
pub fn environment() -> Value {
    document(&ENVIRONMENT, "Towpath environment document")
}

/// The schema of a notification document.
#[must_use]
pub fn notifications() -> Value {
    document(&NOTIFICATIONS, "Towpath notification document")
}

fn document(root: &'static Object, title: &str) -> Value {
    let definitions: Map<String, Value> =
        root.reachable().into_iter().map(|object| (definition(object), schema_of(object))).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "$ref": format!("#/$defs/{}", definition(root)),
        "$defs": definitions,
    })
}

fn definition(object: &Object) -> String {
    object.name.replace(' ', "_")
}

fn schema_of(object: &'static Object) -> Value {
    let mut properties = Map::new();
    for key in object.keys {
        properties.insert(key.name.to_owned(), Value::Object(schema_of_key(key)));
    }
    let required: Vec<_> = object
        .keys
        .iter()
        .filter(|key| matches!(key.presence, Presence::Required))
        .map(|key| key.name)
        .collect();
    let mut schema = json!({
        "type": "object",
        "description": object.doc,
        "additionalProperties": false,
        "properties": properties,
        "required": required,
    });
    if matches!(object.name, "pipeline" | "included file") {
        schema["patternProperties"] = json!({ "^x-": {} });
    }
    schema
}

fn schema_of_key(key: &'static Key) -> Map<String, Value> {
    let mut schema = schema_of_kind(&key.kind);
    schema.insert("description".to_owned(), json!(described(key.doc, key.presence)));
    schema
}

fn described(doc: &str, presence: Presence) -> String {
    match presence {
        Presence::Required | Presence::Default("-") => doc.to_owned(),
        Presence::Default(default) => format!("{doc} Default: {default}."),
    }
}

fn schema_of_kind(kind: &'static Kind) -> Map<String, Value> {
    let schema = match kind {
        Kind::Text => json!({ "type": "string", "minLength": 1 }),
        Kind::Name => json!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,62}$" }),
        Kind::SecretName => json!({ "type": "string", "pattern": "^[A-Z_][A-Z0-9_]{0,127}$" }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Duration => json!({ "type": "string", "pattern": "^([0-9]+(ms|s|m|min|h|d|w))+$" }),
        Kind::Share => json!({ "type": "string", "pattern": "^[0-9]+([.][0-9]+)? *(%|pp)$" }),
        Kind::Size => {
            json!({ "type": ["string", "integer"], "pattern": "^[0-9]+ *(B|[kK]B|MB|GB|[KMG]i|[KMG]iB)?$" })
        }
        Kind::Cpu => json!({ "type": ["string", "number"], "pattern": "^([0-9]+m|[0-9]+([.][0-9]+)?)$" }),
        Kind::Condition => json!({ "type": ["string", "boolean"] }),
        Kind::Scalar => json!({ "type": ["string", "number", "boolean", "null"] }),
        Kind::OneOf(words) => json!({ "enum": words }),
        Kind::List(inner) => json!({ "type": "array", "items": schema_of_kind(inner) }),
        Kind::Map(inner) => json!({ "type": "object", "additionalProperties": schema_of_kind(inner) }),
        Kind::Object(object) => json!({ "$ref": format!("#/$defs/{}", definition(object)) }),
        Kind::Keys(parts) => {
            let properties: Map<String, Value> =
                keys_of(parts).map(|key| (key.name.to_owned(), Value::Object(schema_of_key(key)))).collect();
            json!({ "type": "object", "additionalProperties": false, "properties": properties })
        }
        Kind::Any(kinds) => json!({ "anyOf": kinds.iter().map(schema_of_kind).collect::<Vec<_>>() }),
    };
    match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}
