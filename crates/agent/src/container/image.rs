//! From the name of an image to its bytes: pulls it where it has to be, and says which bytes the name meant.

use std::io::{BufRead as _, BufReader};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use serde_json::{Value, json};
use towpath_api::agent::Secret;
use towpath_model::container::{Image, Pull, is_pinned};

use super::engine::{Engine, EngineError, encoded, text};
use super::http::{Body, Wait};

/// How long the engine may take to look an image up.
const LOOK_UP: Duration = Duration::from_secs(30);

/// How long a pull may take, unless the Attempt ends before.
const PULL: Duration = Duration::from_secs(20 * 60);

/// The most that is remembered of what an engine says while it pulls.
const LONGEST_LINE: usize = 64 * 1024;

/// An image that the engine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolved {
    /// What containers are made from: the tag may move meanwhile, this cannot.
    pub(super) id: String,
    /// The digest that a registry knows it by; for one that was never in a registry, its `id`.
    pub(super) digest: String,
}

/// Why an image cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum ImageError {
    #[error("image `{name}` is not on this host, and `pull: never` forbids to ask for it")]
    Absent { name: String },
    #[error("image `{name}` could not be pulled: {message}")]
    Pull { name: String, message: String },
    #[error("image `{name}` has other bytes than its digest says: the engine has {found}")]
    Mismatch { name: String, found: String },
    #[error("image `{name}` could not be looked up")]
    LookUp {
        name: String,
        #[source]
        source: EngineError,
    },
}

impl ImageError {
    /// Whether the Attempt was cancelled meanwhile.
    pub(super) fn is_cancelled(&self) -> bool {
        matches!(self, Self::LookUp { source, .. } if source.is_cancelled())
    }
}

/// Makes sure that the engine has an image, as its pull policy says.
pub(super) fn resolve(
    engine: &Engine,
    image: &Image,
    password: Option<&Secret>,
    wait: Wait<'_>,
    say: &mut dyn FnMut(&str),
) -> Result<Resolved, ImageError> {
    let look_up = || inspect(engine, &image.name, wait.at_most(LOOK_UP));
    let failed = |source| ImageError::LookUp { name: image.name.clone(), source };
    let here = match image.pull {
        Pull::Always => None,
        Pull::IfMissing | Pull::Never => look_up().map_err(failed)?,
    };
    let found = match (here, image.pull) {
        (Some(found), _) => Some(found),
        (None, Pull::Never) => return Err(ImageError::Absent { name: image.name.clone() }),
        (None, Pull::Always | Pull::IfMissing) => {
            say(&format!("pulling image {}", image.name));
            pull(engine, image, password, wait.at_most(PULL))?;
            look_up().map_err(failed)?
        }
    };
    let found = found.ok_or_else(|| ImageError::Pull {
        name: image.name.clone(),
        message: "the engine says that it has pulled it, and does not have it".to_owned(),
    })?;
    // Engines check what they pull; one that does not would be noticed here.
    let wanted = image.name.rsplit_once('@').map(|(_, digest)| digest);
    match wanted {
        Some(wanted) if is_pinned(&image.name) && !found.is_known_as(wanted) => {
            Err(ImageError::Mismatch { name: image.name.clone(), found: found.digest().to_owned() })
        }
        _ => Ok(found.into_resolved(&image.name)),
    }
}

/// What an engine says of an image.
pub(super) struct Found {
    id: String,
    repo_digests: Vec<String>,
}

impl Found {
    /// The digest of its configuration.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    fn is_known_as(&self, digest: &str) -> bool {
        self.id == digest || self.repo_digests.iter().any(|known| known.ends_with(&format!("@{digest}")))
    }

    fn digest(&self) -> &str {
        self.repo_digests
            .first()
            .and_then(|known| known.rsplit_once('@'))
            .map_or(&self.id, |(_, digest)| digest)
    }

    fn into_resolved(self, name: &str) -> Resolved {
        let repository = repository(name);
        let own = self.repo_digests.iter().filter_map(|known| known.rsplit_once('@'));
        let own =
            own.clone().find(|(known, _)| known.ends_with(repository)).map(|(_, digest)| digest.to_owned());
        let digest = own.unwrap_or_else(|| self.digest().to_owned());
        Resolved { id: self.id, digest }
    }
}

pub(super) fn inspect(engine: &Engine, name: &str, wait: Wait<'_>) -> Result<Option<Found>, EngineError> {
    let path = format!("/images/{name}/json");
    let image: Value = match engine.get("look up an image", &path, wait) {
        Ok(image) => image,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(error),
    };
    let id = text(&image["Id"]);
    let id = if id.contains(':') { id.to_owned() } else { format!("sha256:{id}") };
    let digests = image["RepoDigests"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(Some(Found { id, repo_digests: digests.iter().map(|digest| text(digest).to_owned()).collect() }))
}

fn pull(engine: &Engine, image: &Image, password: Option<&Secret>, wait: Wait<'_>) -> Result<(), ImageError> {
    let failed = |message: String| ImageError::Pull { name: image.name.clone(), message };
    let (from, tag) = repository_and_tag(&image.name);
    let path = format!("/images/create?fromImage={}&tag={}", encoded(from), encoded(tag));
    let headers = match (&image.credentials, password) {
        (Some(credentials), Some(password)) => {
            let auth = json!({
                "username": credentials.username, "password": password.expose(),
                "serveraddress": registry(&image.name),
            });
            vec![("X-Registry-Auth", URL_SAFE.encode(auth.to_string()))]
        }
        (Some(credentials), None) => {
            return Err(failed(format!(
                "its registry asks for secret `{}`, which this run does not have; only runs of a protected ref get secrets",
                credentials.password
            )));
        }
        (None, _) => Vec::new(),
    };
    let answer = engine.open("pull an image", "POST", &path, headers, Body::None, wait).map_err(|error| {
        if error.is_cancelled() {
            ImageError::LookUp { name: image.name.clone(), source: error }
        } else {
            failed(words(&error))
        }
    })?;
    // Progress comes as one JSON object a line; a failure is one of them, after a status that promised success.
    let mut lines = BufReader::new(answer);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = std::io::Read::take(&mut lines, LONGEST_LINE as u64).read_until(b'\n', &mut line);
        match read {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) => {
                let source = engine.unreachable(error);
                return Err(ImageError::LookUp { name: image.name.clone(), source });
            }
        }
        if let Ok(progress) = serde_json::from_slice::<Value>(&line)
            && let Some(error) = progress["error"].as_str()
        {
            return Err(failed(error.to_owned()));
        }
    }
}

fn words(error: &EngineError) -> String {
    match error {
        EngineError::Refused { message, .. } => message.clone(),
        EngineError::Unreachable { .. } | EngineError::Unreadable { .. } => error.to_string(),
    }
}

/// `registry.example.com/team/tool` of any reference to it.
fn repository(name: &str) -> &str {
    repository_and_tag(name).0
}

/// Splits a reference into repository and tag or digest; a digest wins over a tag before it.
pub(super) fn repository_and_tag(name: &str) -> (&str, &str) {
    let (tagged, digest) = match name.split_once('@') {
        Some((tagged, digest)) => (tagged, Some(digest)),
        None => (name, None),
    };
    let after_slash = tagged.rfind('/').map_or(0, |slash| slash + 1);
    let (repository, tag) = match tagged[after_slash..].rfind(':') {
        Some(colon) => (&tagged[..after_slash + colon], &tagged[after_slash + colon + 1..]),
        None => (tagged, "latest"),
    };
    (repository, digest.unwrap_or(tag))
}

/// The registry of a reference, as Docker reads it: the first part where it looks like a host.
fn registry(name: &str) -> &str {
    match name.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "https://index.docker.io/v1/",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_references_apart() {
        assert_eq!(repository_and_tag("debian"), ("debian", "latest"));
        assert_eq!(repository_and_tag("debian:12"), ("debian", "12"));
        assert_eq!(repository_and_tag("r.example.com:5000/a/b"), ("r.example.com:5000/a/b", "latest"));
        assert_eq!(repository_and_tag("r.example.com:5000/a/b:1"), ("r.example.com:5000/a/b", "1"));
        assert_eq!(repository_and_tag("a/b:1@sha256:ff"), ("a/b", "sha256:ff"));
        assert_eq!(registry("r.example.com:5000/a/b"), "r.example.com:5000");
        assert_eq!(registry("library/debian"), "https://index.docker.io/v1/");
    }

    #[test]
    fn prefers_the_digest_of_the_repository_that_was_asked_for() {
        let found = |digests: &[&str]| Found {
            id: "sha256:id".to_owned(),
            repo_digests: digests.iter().map(|&digest| digest.to_owned()).collect(),
        };
        let two = ["mirror/other@sha256:1", "docker.io/library/debian@sha256:2"];
        assert_eq!(found(&two).into_resolved("debian:12").digest, "sha256:2");
        assert_eq!(found(&two[..1]).into_resolved("debian:12").digest, "sha256:1");
        assert_eq!(found(&[]).into_resolved("debian:12").digest, "sha256:id");
    }
}
