//! Signs Releases, and believes only Releases that were signed.
//!
//! The signature is a DSSE envelope over an in-toto statement whose subject is the Release's digest
//! and whose predicate repeats the facts that people ask about. Any DSSE tool can check it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use towpath_model::{ArtifactName, Digest, JobName, ProjectName, RunId};

use crate::canonical::{self, CanonicalError};
use crate::commit::CommitId;
use crate::dsse::{self, EnvelopeError};
use crate::key::{PublicKeyRoot, ReleaseKey};
use crate::release::{InvalidDocument, ReleaseManifest};

/// What kind of statement this is.
pub const PREDICATE_TYPE: &str = "https://towpath.dev/release/v1";

const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
const MAX_STATEMENT: usize = 2 << 20;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Facts,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    digest: BTreeMap<String, String>,
}

/// What the statement says of the Release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Facts {
    project: ProjectName,
    version: String,
    commit: CommitId,
    #[serde(rename = "ref")]
    reference: String,
    source_tree: Digest,
    pipeline: Digest,
    run: RunId,
    run_number: u64,
    artifacts: BTreeMap<ArtifactName, Digest>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    executors: BTreeMap<JobName, String>,
}

impl Facts {
    fn of(manifest: &ReleaseManifest) -> Self {
        let ReleaseManifest {
            schema: _,
            project,
            version,
            commit,
            reference,
            source_tree,
            pipeline,
            run,
            run_number,
            artifacts,
            workloads: _,
            databases: _,
            executors,
        } = manifest.clone();
        Self {
            project,
            version,
            commit,
            reference,
            source_tree,
            pipeline,
            run,
            run_number,
            artifacts,
            executors,
        }
    }
}

fn statement(manifest: &ReleaseManifest, digest: Digest) -> Statement {
    Statement {
        kind: STATEMENT_TYPE.into(),
        subject: vec![Subject {
            name: format!("{}:{}", manifest.project, manifest.version),
            digest: BTreeMap::from([("sha256".into(), digest.hex())]),
        }],
        predicate_type: PREDICATE_TYPE.into(),
        predicate: Facts::of(manifest),
    }
}

/// Signs the bytes of a [`ReleaseManifest`] and gives the envelope. Signing again gives the same bytes.
///
/// # Errors
/// Fails if the bytes are not a Release: such are never signed.
pub fn sign_release(manifest: &[u8], key: &ReleaseKey) -> Result<Vec<u8>, InvalidDocument> {
    let parsed = ReleaseManifest::parse(manifest)?;
    let statement = canonical::to_vec(&statement(&parsed, Digest::of(manifest)));
    Ok(dsse::seal(&statement, key))
}

/// A Release whose signature was checked. There is no other way to make one than [`verify_release`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedRelease {
    manifest: ReleaseManifest,
    digest: Digest,
}

impl VerifiedRelease {
    /// What the Release says.
    #[must_use]
    pub const fn manifest(&self) -> &ReleaseManifest {
        &self.manifest
    }

    /// The Release's name.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

/// Checks that `envelope` is a signature by the `trusted` key over the Release with the bytes `manifest`.
///
/// # Errors
/// Fails with the exact reason; nothing of the Release may be used then.
pub fn verify_release(
    manifest: &[u8],
    envelope: &[u8],
    trusted: &PublicKeyRoot,
) -> Result<VerifiedRelease, VerifyError> {
    let payload = dsse::open(envelope, trusted)?;
    let signed: Statement = canonical::from_slice(&payload, MAX_STATEMENT).map_err(VerifyError::Statement)?;
    check_types(&signed)?;
    let digest = Digest::of(manifest);
    check_subject(&signed, digest)?;
    let manifest = ReleaseManifest::parse(manifest).map_err(VerifyError::Manifest)?;
    if signed != statement(&manifest, digest) {
        return Err(VerifyError::Facts);
    }
    Ok(VerifiedRelease { manifest, digest })
}

fn check_types(signed: &Statement) -> Result<(), VerifyError> {
    if signed.kind != STATEMENT_TYPE {
        return Err(VerifyError::Type {
            field: "_type",
            found: signed.kind.clone(),
            expected: STATEMENT_TYPE,
        });
    }
    if signed.predicate_type == PREDICATE_TYPE {
        return Ok(());
    }
    let found = signed.predicate_type.clone();
    Err(VerifyError::Type { field: "predicateType", found, expected: PREDICATE_TYPE })
}

fn check_subject(signed: &Statement, expected: Digest) -> Result<(), VerifyError> {
    let subjects =
        signed.subject.iter().map(|subject| subject.digest.get("sha256").map_or("none", String::as_str));
    let found: Vec<&str> = subjects.collect();
    if found == [expected.hex()] {
        return Ok(());
    }
    Err(VerifyError::Subject { expected, found: found.join(", ") })
}

/// Why a Release was not believed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The envelope or its signature.
    #[error("the Release's signature was refused")]
    Envelope(#[from] EnvelopeError),
    /// The signed statement.
    #[error("the signed statement cannot be read")]
    Statement(#[source] CanonicalError),
    /// The signed statement is of another kind.
    #[error("the signed statement has the {field} `{found}`, expected `{expected}`")]
    Type {
        /// Which field.
        field: &'static str,
        /// What it says.
        found: String,
        /// What it must say.
        expected: &'static str,
    },
    /// The statement is about another Release.
    #[error("the signature is for {found}, and the Release is {expected}")]
    Subject {
        /// The Release at hand.
        expected: Digest,
        /// What was signed.
        found: String,
    },
    /// The Release itself.
    #[error("the Release was refused, though its signature is good")]
    Manifest(#[source] InvalidDocument),
    /// The statement says something else than the Release.
    #[error("the signed statement contradicts the Release")]
    Facts,
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Value, json};

    use super::*;
    use crate::release::tests::sample;

    /// Signs any statement, as someone who has the key but is not [`sign_release`].
    fn forge(key: &ReleaseKey, manifest: &ReleaseManifest, change: impl FnOnce(&mut Value)) -> Vec<u8> {
        let mut value = serde_json::to_value(statement(manifest, manifest.digest())).unwrap();
        change(&mut value);
        dsse::seal(&canonical::to_vec(&value), key)
    }

    fn change_envelope(envelope: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
        let mut value: Value = serde_json::from_slice(envelope).unwrap();
        change(&mut value);
        serde_json::to_vec(&value).unwrap()
    }

    fn chain(error: &dyn std::error::Error) -> String {
        let source = error.source().map(|source| format!(": {}", chain(source)));
        format!("{error}{}", source.unwrap_or_default())
    }

    #[test]
    fn believes_what_was_signed() {
        let (key, manifest) = (ReleaseKey::generate(), sample());
        let envelope = sign_release(&manifest.to_bytes(), &key).unwrap();
        assert_eq!(envelope, sign_release(&manifest.to_bytes(), &key).unwrap());
        let verified = verify_release(&manifest.to_bytes(), &envelope, key.public()).unwrap();
        assert_eq!(*verified.manifest(), manifest);
        assert_eq!(verified.digest(), manifest.digest());
        assert!(sign_release(b"{}", &key).is_err());
    }

    #[test]
    fn refuses_each_tampering_with_its_reason() {
        let (key, manifest) = (ReleaseKey::generate(), sample());
        let bytes = manifest.to_bytes();
        let envelope = sign_release(&bytes, &key).unwrap();
        let check = |bytes: &[u8], envelope: &[u8], trusted: &PublicKeyRoot, reason: &str| {
            let refused = chain(&verify_release(bytes, envelope, trusted).unwrap_err());
            assert!(refused.contains(reason), "`{refused}` does not say `{reason}`");
        };
        let root = key.public();
        check(&bytes, b"{}", root, "it is not a DSSE envelope");
        check(&bytes, &vec![b' '; 5 << 20], root, "more than the allowed");
        check(&bytes, &envelope, ReleaseKey::generate().public(), "and the trusted key is");
        let mut other = manifest.clone();
        other.workloads[0].command = Some("./evil".into());
        check(&other.to_bytes(), &envelope, root, "the signature is for");
        let mut damaged = bytes.clone();
        damaged[20] ^= 1;
        check(&damaged, &envelope, root, "the signature is for");
        type Change = fn(&mut Value);
        let envelope_changes: [(Change, &str); 8] = [
            (|e| e["payloadType"] = json!("text/plain"), "its payload is of type `text/plain`"),
            (|e| e["signatures"] = json!([]), "it has 0 signatures"),
            (|e| e["signatures"] = json!([e["signatures"][0], e["signatures"][0]]), "it has 2 signatures"),
            (|e| e["signatures"][0]["keyid"] = json!("other"), "it was signed with the key `other`"),
            (|e| e["signatures"][0]["sig"] = json!("!"), "its signature is not base64"),
            (|e| e["signatures"][0]["sig"] = json!("AAAA"), "its signature does not fit"),
            (|e| e["payload"] = json!("!"), "its payload is not base64"),
            (|e| e["payload"] = json!(STANDARD.encode("{}")), "its signature does not fit"),
        ];
        for (change, reason) in envelope_changes {
            check(&bytes, &change_envelope(&envelope, change), root, reason);
        }
    }

    #[test]
    fn refuses_a_good_signature_over_something_else() {
        let (key, manifest) = (ReleaseKey::generate(), sample());
        let check = |change: fn(&mut Value), reason: &str| {
            let envelope = forge(&key, &manifest, change);
            let refused = chain(&verify_release(&manifest.to_bytes(), &envelope, key.public()).unwrap_err());
            assert!(refused.contains(reason), "`{refused}` does not say `{reason}`");
        };
        check(|s| s["_type"] = json!("https://in-toto.io/Statement/v0.1"), "has the _type");
        check(|s| s["predicateType"] = json!("https://slsa.dev/provenance/v1"), "has the predicateType");
        check(|s| s["subject"] = json!([]), "the signature is for , and the Release is");
        check(|s| s["subject"][0]["digest"] = json!({ "sha512": "00" }), "the signature is for none");
        check(|s| s["subject"][0]["name"] = json!("other:1"), "contradicts the Release");
        check(|s| s["predicate"]["version"] = json!("9.9.9"), "contradicts the Release");
        check(|s| s["extra"] = json!(1), "unknown field `extra`");
        check(|s| s["predicate"]["approved"] = json!(true), "unknown field `approved`");
    }

    #[test]
    fn openssl_agrees() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name| directory.path().join(name);
        let openssl = |arguments: &[&str]| {
            std::process::Command::new("openssl").args(arguments).current_dir(directory.path()).output()
        };
        if openssl(&["version"]).is_err() {
            eprintln!("SKIPPED: openssl is not installed (apt-get install openssl)");
            return;
        }
        let made = openssl(&[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-out",
            "key.pem",
        ]);
        assert!(made.unwrap().status.success());
        let key = ReleaseKey::load(&path("key.pem")).unwrap();
        let envelope: Value =
            serde_json::from_slice(&sign_release(&sample().to_bytes(), &key).unwrap()).unwrap();
        let decode = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
        let encoded = dsse::pre_authentication_encoding(dsse::IN_TOTO, &decode(&envelope["payload"]));
        std::fs::write(path("public.pem"), key.public().to_pem()).unwrap();
        std::fs::write(path("signature"), decode(&envelope["signatures"][0]["sig"])).unwrap();
        let verify = ["dgst", "-sha256", "-verify", "public.pem", "-signature", "signature", "message"];
        std::fs::write(path("message"), &encoded).unwrap();
        assert!(openssl(&verify).unwrap().status.success());
        std::fs::write(path("message"), [&encoded[..], b" "].concat()).unwrap();
        assert!(!openssl(&verify).unwrap().status.success());
    }
}
