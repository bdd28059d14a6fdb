//! What is sealed, approved and run: Release, ConfigRevision and Revision, each named by the digest of its bytes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use towpath_model::container::is_pinned;
use towpath_model::migration::Database;
use towpath_model::pipeline::{SecretName, Workload};
use towpath_model::{ArtifactName, Digest, EnvironmentKey, JobName, ProjectName, RunId};

use crate::canonical::{self, CanonicalError};
use crate::commit::CommitId;

/// The version of these documents that this version of Towpath writes and reads.
pub const SCHEMA: u32 = 1;

/// The longest document, far above what any Project needs.
pub const MAX_BYTES: usize = 1 << 20;

/// A sealed Release. Its digest is its name; after the seal nothing can rebuild.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseManifest {
    /// Always [`SCHEMA`].
    pub schema: u32,
    /// The Project.
    pub project: ProjectName,
    /// The version for people, and a tag that OCI registries take: `1.4.0`, `1.4.1-17.g0123abc`.
    pub version: String,
    /// The commit that it was built from.
    pub commit: CommitId,
    /// The ref that the commit was pushed to: `refs/heads/main`.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The source tree as a deterministic tar.
    pub source_tree: Digest,
    /// The checked pipeline file in canonical form.
    pub pipeline: Digest,
    /// The Run that sealed it.
    pub run: RunId,
    /// The Run's number, for people.
    pub run_number: u64,
    /// The OCI manifest of each Artifact.
    pub artifacts: BTreeMap<ArtifactName, Digest>,
    /// What runs, with its defaults.
    pub workloads: Vec<Workload>,
    /// The databases that it migrates, with every migration by digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<Database>,
    /// What confined each Job as its agent told it, or why the Job was not run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub executors: BTreeMap<JobName, String>,
}

impl ReleaseManifest {
    /// The bytes that are stored, signed and digested.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::to_vec(self)
    }

    /// The Release's name.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }

    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// Fails if the bytes are not the canonical form of a consistent manifest of a version known here.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidDocument> {
        let manifest: Self = read("Release", bytes)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// Fails if the version is not one, a Workload is named twice, or its Artifact is missing.
    pub fn check(&self) -> Result<(), InvalidDocument> {
        check_schema("Release", self.schema)?;
        let invalid = |reason| Err(InvalidDocument::Content { what: "Release", reason });
        if !is_tag(&self.version) {
            return invalid(format!(
                "`{}` cannot be a version: use letters, digits, `.`, `_`, `-`",
                self.version
            ));
        }
        if !self.reference.starts_with("refs/") || self.reference.len() > 1024 {
            return invalid(format!("`{}` is not a full ref such as `refs/heads/main`", self.reference));
        }
        let mut names = BTreeSet::new();
        for workload in &self.workloads {
            if !names.insert(&workload.name) {
                return invalid(format!("the workload `{}` is there twice", workload.name));
            }
            let missing = workload.needed_artifact().filter(|needed| !self.artifacts.contains_key(needed));
            if let Some(artifact) = missing {
                return invalid(format!("the artifact `{artifact}` of `{}` is missing", workload.name));
            }
            if workload.image.as_deref().is_some_and(|image| !is_pinned(image)) {
                return invalid(format!("the image of `{}` is not named by its digest", workload.name));
            }
        }
        Ok(())
    }
}

/// Whether an OCI registry takes `text` as a tag.
fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

/// One Environment's values, and which version of each secret it uses. Never a secret's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigRevision {
    /// Always [`SCHEMA`].
    pub schema: u32,
    /// Whose values these are.
    pub environment: EnvironmentKey,
    /// Plain values.
    pub values: BTreeMap<String, String>,
    /// The version of each secret.
    pub secrets: BTreeMap<SecretName, u64>,
}

impl ConfigRevision {
    /// The bytes that are stored and digested.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::to_vec(self)
    }

    /// The ConfigRevision's name.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }

    /// Reads a ConfigRevision.
    ///
    /// # Errors
    /// Fails if the bytes are not the canonical form of a ConfigRevision of a version known here.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidDocument> {
        let config: Self = read("ConfigRevision", bytes)?;
        check_schema("ConfigRevision", config.schema)?;
        Ok(config)
    }
}

/// What an Environment runs: a Release with a ConfigRevision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revision {
    /// The Release.
    pub release: Digest,
    /// The ConfigRevision.
    pub config: Digest,
}

impl Revision {
    /// The bytes that are stored and digested.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::to_vec(self)
    }

    /// The Revision's name.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }

    /// Reads a Revision.
    ///
    /// # Errors
    /// Fails if the bytes are not the canonical form of a Revision.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidDocument> {
        read("Revision", bytes)
    }
}

/// Bytes that are not the document they should be.
#[derive(Debug, thiserror::Error)]
pub enum InvalidDocument {
    /// Not the canonical form of the type.
    #[error("the {what} cannot be read")]
    Form {
        /// Which document.
        what: &'static str,
        /// What is wrong.
        #[source]
        source: CanonicalError,
    },
    /// Written by a version of Towpath that this one does not know.
    #[error(
        "the {what} has schema {found}, and this version of Towpath reads {SCHEMA}; upgrade Towpath here"
    )]
    Schema {
        /// Which document.
        what: &'static str,
        /// Its schema.
        found: u32,
    },
    /// Well formed, and makes no sense.
    #[error("the {what} is not consistent: {reason}")]
    Content {
        /// Which document.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
}

fn read<T: Serialize + serde::de::DeserializeOwned>(
    what: &'static str,
    bytes: &[u8],
) -> Result<T, InvalidDocument> {
    canonical::from_slice(bytes, MAX_BYTES).map_err(|source| InvalidDocument::Form { what, source })
}

fn check_schema(what: &'static str, found: u32) -> Result<(), InvalidDocument> {
    if found == SCHEMA { Ok(()) } else { Err(InvalidDocument::Schema { what, found }) }
}

#[cfg(test)]
pub(crate) mod tests {
    use towpath_model::pipeline::{Health, Limits, Protocol, Stop};
    use uuid::Uuid;

    use super::*;

    pub fn sample() -> ReleaseManifest {
        let artifact: ArtifactName = "shop".parse().unwrap();
        let workload = Workload {
            name: "shop".parse().unwrap(),
            artifact: artifact.clone(),
            image: None,
            command: Some("./shop --port $PORT".into()),
            port: None,
            env: BTreeMap::from([("LOG_LEVEL".into(), "info".into())]),
            health: Health { ready: Some("/health/ready".into()), ..Health::default() },
            stop: Stop::default(),
            limits: Limits { memory: Some(64 << 20), ..Limits::default() },
            protocol: Protocol::Http1,
        };
        ReleaseManifest {
            schema: SCHEMA,
            project: "shop".parse().unwrap(),
            version: "1.4.1-17.g0123abc".into(),
            commit: "0123456789abcdef0123456789abcdef01234567".parse().unwrap(),
            reference: "refs/heads/main".into(),
            source_tree: Digest::of(b"tree"),
            pipeline: Digest::of(b"pipeline"),
            run: RunId(Uuid::from_u128(7)),
            run_number: 17,
            artifacts: BTreeMap::from([(artifact, Digest::of(b"artifact"))]),
            workloads: vec![workload],
            databases: Vec::new(),
            executors: BTreeMap::from([("build".parse().unwrap(), "bubblewrap, landlock 6".into())]),
        }
    }

    #[test]
    fn a_release_has_one_sequence_of_bytes() {
        let manifest = sample();
        let bytes = manifest.to_bytes();
        assert_eq!(ReleaseManifest::parse(&bytes).unwrap(), manifest);
        assert!(bytes.starts_with(br#"{"artifacts":{"shop":"sha256:"#));
        assert!(!bytes.contains(&b'\n'));
        let pretty = serde_json::to_vec_pretty(&manifest).unwrap();
        let refused = ReleaseManifest::parse(&pretty).unwrap_err();
        assert!(
            matches!(refused, InvalidDocument::Form { source: CanonicalError::Form { .. }, .. }),
            "{refused:?}"
        );
    }

    #[test]
    fn every_unknown_field_is_refused() {
        let text = String::from_utf8(sample().to_bytes()).unwrap();
        for (from, to) in [
            (r#"{"artifacts""#, r#"{"approved":true,"artifacts""#),
            (r#""limits":{"#, r#""limits":{"disk":1,"#),
            (r#""schema":1,"#, r#""schema":1,"schema":1,"#),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text);
            assert!(ReleaseManifest::parse(changed.as_bytes()).is_err(), "{to} was accepted");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_reason() {
        let check = |change: fn(&mut ReleaseManifest), reason: &str| {
            let mut manifest = sample();
            change(&mut manifest);
            let refused = ReleaseManifest::parse(&manifest.to_bytes()).unwrap_err().to_string();
            assert!(refused.contains(reason), "{refused}");
        };
        check(|manifest| manifest.schema = 2, "has schema 2");
        check(|manifest| manifest.version = "1.0.0+build".into(), "cannot be a version");
        check(|manifest| manifest.reference = "main".into(), "is not a full ref");
        check(|manifest| manifest.artifacts.clear(), "the artifact `shop` of `shop` is missing");
        check(|manifest| manifest.workloads.push(manifest.workloads[0].clone()), "is there twice");
    }

    #[test]
    fn a_revision_changes_with_either_half() {
        let config = ConfigRevision {
            schema: SCHEMA,
            environment: EnvironmentKey {
                project: "shop".parse().unwrap(),
                environment: "production".parse().unwrap(),
            },
            values: BTreeMap::from([("LOG_LEVEL".into(), "info".into())]),
            secrets: BTreeMap::from([("DATABASE_URL".parse().unwrap(), 3)]),
        };
        assert_eq!(ConfigRevision::parse(&config.to_bytes()).unwrap(), config);
        let revision = Revision { release: sample().digest(), config: config.digest() };
        assert_eq!(Revision::parse(&revision.to_bytes()).unwrap(), revision);
        let mut newer = config.clone();
        newer.secrets.insert("DATABASE_URL".parse().unwrap(), 4);
        assert_ne!(Revision { config: newer.digest(), ..revision }.digest(), revision.digest());
        assert_ne!(Revision { release: Digest::of(b"other"), ..revision }.digest(), revision.digest());
    }
}
