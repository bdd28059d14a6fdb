//! The two files at the root of an OCI image layout: `oci-layout` and `index.json`.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use serde_json::{Value, json};
use towpath_model::Digest;

use crate::content::ContentError;
use crate::{files, oci};

const REF_NAME: &str = "org.opencontainers.image.ref.name";
const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// Writes both files where they are missing, and refuses a layout of another version.
pub fn create(root: &Path) -> Result<(), ContentError> {
    let path = root.join("oci-layout");
    match fs::read(&path) {
        Ok(bytes) => check_version(&path, &bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            files::replace(&path, LAYOUT.as_bytes())
                .map_err(|error| ContentError::io("create", &path, error))?;
        }
        Err(error) => return Err(ContentError::io("read", &path, error)),
    }
    let _lock = lock(root)?;
    if root.join("index.json").exists() {
        return Ok(());
    }
    write_index(root, &json!({ "schemaVersion": 2, "manifests": [] }))
}

fn check_version(path: &Path, bytes: &[u8]) -> Result<(), ContentError> {
    let version: Option<Value> = serde_json::from_slice(bytes).ok();
    if version.is_some_and(|version| version["imageLayoutVersion"] == "1.0.0") {
        return Ok(());
    }
    Err(ContentError::Layout {
        path: path.into(),
        reason: "it is not an OCI image layout of version 1.0.0".into(),
    })
}

/// Gives `name` to a manifest.
pub fn tag(root: &Path, name: &str, manifest: Digest, size: u64) -> Result<(), ContentError> {
    let _lock = lock(root)?;
    let mut index = read_index(root)?;
    let manifests = manifests(root, &mut index)?;
    manifests.retain(|entry| entry["annotations"][REF_NAME] != name);
    manifests.push(json!({
        "mediaType": oci::MANIFEST, "digest": manifest, "size": size, "annotations": { REF_NAME: name },
    }));
    write_index(root, &index)
}

/// The manifest that has `name`.
pub fn tagged(root: &Path, name: &str) -> Result<Option<Digest>, ContentError> {
    let mut index = read_index(root)?;
    let manifests = manifests(root, &mut index)?;
    let found = manifests.iter().find(|entry| entry["annotations"][REF_NAME] == name);
    Ok(found.and_then(|entry| entry["digest"].as_str()?.parse().ok()))
}

/// Holds off every other writer of `index.json`, in this process and in others.
fn lock(root: &Path) -> Result<File, ContentError> {
    let path = root.join("index.lock");
    let file = files::open_append(&path).map_err(|error| ContentError::io("open", &path, error))?;
    file.lock().map_err(|error| ContentError::io("lock", &path, error))?;
    Ok(file)
}

fn read_index(root: &Path) -> Result<Value, ContentError> {
    let path = root.join("index.json");
    let bytes = fs::read(&path).map_err(|error| ContentError::io("read", &path, error))?;
    serde_json::from_slice(&bytes).map_err(|error| ContentError::Layout { path, reason: error.to_string() })
}

fn manifests<'a>(root: &Path, index: &'a mut Value) -> Result<&'a mut Vec<Value>, ContentError> {
    let reason =
        || ContentError::Layout { path: root.join("index.json"), reason: "`manifests` is not a list".into() };
    index.get_mut("manifests").and_then(Value::as_array_mut).ok_or_else(reason)
}

fn write_index(root: &Path, index: &Value) -> Result<(), ContentError> {
    let path = root.join("index.json");
    files::replace(&path, index.to_string().as_bytes())
        .map_err(|error| ContentError::io("replace", &path, error))
}
