//! The images of Instances: brought into the engine and verified, named so that nobody's clean-up takes them, and removed
//! when nothing needs them any more.

use std::io::{Read as _, Seek as _};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use towpath_api::agent::Secret;
use towpath_artifact::{ContentStore, image as oci};
use towpath_model::Digest;
use towpath_model::container::{Credentials, Image, Pull};

use super::engine::{Engine, EngineError, encoded, text};
use super::http::{Body, Wait};
use super::image::{self, ImageError};
use super::instance::CALL;
use crate::executor::chain;

/// How long the engine may take to take an image in, or to fetch it.
const TRANSFER: Duration = Duration::from_secs(20 * 60);

/// The longest configuration of an image.
const MAX_CONFIG: u64 = 4 << 20;

/// The port of an image that says none, or several.
const USUAL_PORT: u16 = 8080;

/// An image that the engine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Present {
    /// What containers are made from: a tag may move, this cannot.
    pub(crate) id: String,
    /// Where its program listens, unless its Workload says otherwise.
    pub(crate) port: u16,
    /// Whether it has a HEALTHCHECK of its own.
    pub(crate) has_healthcheck: bool,
    /// Whether it is here only because it was fetched just now.
    pub(crate) fetched: bool,
}

/// Why an image cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unobtainable {
    /// It may come: the engine or the registry is away, or does not let this agent in.
    #[error("{0}")]
    Passing(String),
    /// It will not: the bytes are not what they should be.
    #[error("{0}")]
    Lasting(String),
}

impl From<EngineError> for Unobtainable {
    fn from(error: EngineError) -> Self {
        Self::Passing(error.to_string())
    }
}

/// Gives the engine an image of the content store under the name `tag`, and checks that it has just that one.
pub(crate) fn load(
    engine: &Engine,
    manifest: Digest,
    store: &ContentStore,
    scratch: &Path,
    tag: &str,
) -> Result<Present, Unobtainable> {
    let lasting = |why: String| Unobtainable::Lasting(format!("image {}: {why}", manifest.short()));
    let sealed = oci::image_manifest(manifest, store).map_err(|error| lasting(chain(&error)))?;
    let sealed =
        sealed.ok_or_else(|| lasting("it is made of files, and containers start images".to_owned()))?;
    let config = store.read(sealed.config.digest, MAX_CONFIG).map_err(|error| lasting(chain(&error)))?;
    let config: Value = serde_json::from_slice(&config).map_err(|error| lasting(error.to_string()))?;
    let is_it = |found: &Value| is_image(found, sealed.config.digest, manifest, &config);
    if let Some(found) = look_up(engine, tag)?.filter(is_it) {
        return Ok(present(&found));
    }
    let wait = Wait::patiently(TRANSFER);
    transfer(engine, manifest, store, scratch, tag, wait).map_err(Unobtainable::Passing)?;
    match look_up(engine, tag)? {
        Some(found) if is_it(&found) => Ok(present(&found)),
        Some(found) => {
            Err(lasting(format!("the engine has other bytes under its name: {}", text(&found["Id"]))))
        }
        None => Err(lasting("the engine says that it has taken it in, and does not have it".to_owned())),
    }
}

/// Fetches an image by its digest, where the engine does not have it, and gives it the name `tag`.
pub(crate) fn pull(
    engine: &Engine,
    reference: &str,
    credentials: Option<(Credentials, Option<Secret>)>,
    tag: &str,
) -> Result<Present, Unobtainable> {
    let (credentials, password) = credentials.unzip();
    let image = Image { name: reference.to_owned(), pull: Pull::IfMissing, user: None, credentials };
    let password = password.flatten();
    let fetched = look_up(engine, reference)?.is_none();
    let resolved = image::resolve(engine, &image, password.as_ref(), Wait::patiently(TRANSFER), &mut |_| ());
    let resolved = resolved.map_err(|error| match error {
        ImageError::Mismatch { .. } => Unobtainable::Lasting(chain(&error)),
        ImageError::Absent { .. } | ImageError::Pull { .. } | ImageError::LookUp { .. } => {
            Unobtainable::Passing(chain(&error))
        }
    })?;
    let (repository, name) = image::repository_and_tag(tag);
    let path = format!("/images/{}/tag?repo={}&tag={}", resolved.id, encoded(repository), encoded(name));
    engine.post("name an image", &path, None, Wait::patiently(CALL))?;
    look_up(engine, tag)?
        .map(|found| Present { fetched, ..present(&found) })
        .ok_or_else(|| Unobtainable::Passing(format!("image {reference} was removed at once")))
}

/// Takes an image's name away, and with its last name the image. One that a container is made from stays: says whether
/// it is gone.
pub(crate) fn remove(engine: &Engine, tag: &str, fetched: Option<&str>) -> Result<bool, EngineError> {
    for name in [Some(tag), fetched].into_iter().flatten() {
        match engine.delete("remove an image", &format!("/images/{name}"), Wait::patiently(CALL)) {
            Ok(()) => {}
            Err(EngineError::Refused { status: 409, .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Writes the image as an archive and lets the engine read it.
pub(super) fn transfer(
    engine: &Engine,
    manifest: Digest,
    store: &ContentStore,
    scratch: &Path,
    tag: &str,
    wait: Wait<'_>,
) -> Result<(), String> {
    let mut archive = tempfile::tempfile_in(scratch).map_err(|error| chain(&error))?;
    oci::write_archive(manifest, store, tag, &mut archive).map_err(|error| chain(&error))?;
    archive.rewind().map_err(|error| chain(&error))?;
    let body = Body::Tar(&mut archive);
    let answer = engine.open("load an image", "POST", "/images/load?quiet=true", Vec::new(), body, wait);
    let mut said = Vec::new();
    let answer = answer.map_err(|error| error.to_string())?;
    answer.take(1 << 20).read_to_end(&mut said).map_err(|error| chain(&error))?;
    // A failure comes after a status that promised success.
    match serde_json::from_slice::<Value>(&said) {
        Ok(said) if said["error"].is_string() => Err(text(&said["error"]).to_owned()),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn look_up(engine: &Engine, name: &str) -> Result<Option<Value>, EngineError> {
    match engine.get("look up an image", &format!("/images/{name}/json"), Wait::patiently(CALL)) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether an engine's image is the sealed one. Engines name an image by its configuration, or by the manifest; one that
/// writes a manifest of its own is believed when layers and configuration are the same.
fn is_image(found: &Value, config_digest: Digest, manifest: Digest, config: &Value) -> bool {
    let id = text(&found["Id"]);
    let id = id.strip_prefix("sha256:").unwrap_or(id);
    if id == config_digest.hex() || id == manifest.hex() {
        return true;
    }
    let same = |name: &str| {
        let (theirs, ours) = (&found["Config"][name], &config["config"][name]);
        let empty =
            |value: &Value| value.is_null() || value == "" || value.as_array().is_some_and(Vec::is_empty);
        theirs == ours || (empty(theirs) && empty(ours))
    };
    let layers = &found["RootFS"]["Layers"];
    layers.is_array()
        && *layers == config["rootfs"]["diff_ids"]
        && ["Entrypoint", "Cmd", "Env", "User", "WorkingDir"].into_iter().all(same)
}

fn present(found: &Value) -> Present {
    let config = &found["Config"];
    let exposed = config["ExposedPorts"].as_object();
    let mut ports = exposed.into_iter().flatten().filter_map(|(port, _)| match port.split_once('/') {
        None | Some((_, "tcp")) => port.split('/').next()?.parse().ok(),
        Some(_) => None,
    });
    let port = match (ports.next(), ports.next()) {
        (Some(port), None) => port,
        (Some(_), Some(_)) | (None, _) => USUAL_PORT,
    };
    let test = [&config["Healthcheck"]["Test"], &found["HealthCheck"]["Test"]];
    let has_healthcheck = test
        .iter()
        .any(|test| test.as_array().and_then(|words| words.first()).is_some_and(|word| *word != "NONE"));
    let id = text(&found["Id"]);
    let id = if id.contains(':') { id.to_owned() } else { format!("sha256:{id}") };
    Present { id, port, has_healthcheck, fetched: false }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_image_with_one_port_listens_there() {
        let check =
            |exposed: Value| present(&json!({ "Id": "1", "Config": { "ExposedPorts": exposed } })).port;
        assert_eq!(check(json!({ "80/tcp": {} })), 80);
        assert_eq!(check(json!({ "53/udp": {}, "80/tcp": {} })), 80);
        assert_eq!(check(json!({ "80/tcp": {}, "443/tcp": {} })), USUAL_PORT);
        assert_eq!(check(json!(null)), USUAL_PORT);
        let found =
            |test: Value| present(&json!({ "Id": "1", "Config": { "Healthcheck": { "Test": test } } }));
        assert!(found(json!(["CMD", "true"])).has_healthcheck);
        assert!(!found(json!(["NONE"])).has_healthcheck && !found(json!([])).has_healthcheck);
    }

    #[test]
    fn other_bytes_under_the_name_are_noticed() {
        let (config_digest, manifest) = (Digest::of(b"config"), Digest::of(b"manifest"));
        let config =
            json!({ "config": { "Cmd": ["a"], "Env": null }, "rootfs": { "diff_ids": ["sha256:1"] } });
        let check = |found: Value| is_image(&found, config_digest, manifest, &config);
        assert!(check(json!({ "Id": config_digest.to_string() })));
        assert!(check(json!({ "Id": manifest.hex() })));
        let own = |layer: &str, command: &str| json!({ "Id": "sha256:9", "RootFS": { "Layers": [layer] }, "Config": { "Cmd": [command], "Env": [] } });
        assert!(check(own("sha256:1", "a")));
        assert!(!check(own("sha256:2", "a")), "another layer");
        assert!(!check(own("sha256:1", "b")), "another command");
        assert!(!check(json!({ "Id": "sha256:9" })), "nothing is known of it");
    }
}
