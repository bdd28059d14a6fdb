//! The envelope around a signed statement: DSSE v1.
//!
//! What is signed is the pre-authentication encoding of type and payload. The payload is parsed
//! only after its signature was checked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use towpath_model::Digest;

use crate::key::{PublicKeyRoot, ReleaseKey};

/// The payload type of in-toto statements.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

/// The longest envelope that is looked at.
const MAX_BYTES: usize = 4 << 20;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    keyid: String,
    sig: String,
}

/// Why an envelope was refused.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Not an envelope.
    #[error("it is not a DSSE envelope")]
    Parse(#[source] serde_json::Error),
    /// Too long.
    #[error("it has {found} bytes, more than the allowed {MAX_BYTES}")]
    TooLarge {
        /// How many there are.
        found: usize,
    },
    /// A field is not base64.
    #[error("its {field} is not base64")]
    Base64 {
        /// Which.
        field: &'static str,
    },
    /// The payload is something else.
    #[error("its payload is of type `{found}`, expected `{IN_TOTO}`")]
    PayloadType {
        /// What it is.
        found: String,
    },
    /// None or several signatures.
    #[error("it has {found} signatures, expected exactly one")]
    SignatureCount {
        /// How many.
        found: usize,
    },
    /// Signed with a key that is not trusted here.
    #[error("it was signed with the key `{found}`, and the trusted key is `{trusted}`")]
    UntrustedKey {
        /// The key it names.
        found: String,
        /// The key that is pinned.
        trusted: String,
    },
    /// The signature does not fit the payload.
    #[error("its signature does not fit its payload: one of them was changed after signing")]
    BadSignature,
}

/// The bytes that are signed: `DSSEv1 SP len(type) SP type SP len(payload) SP payload`.
#[must_use]
pub fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// How a key is called in an envelope: as `cosign` does it, so that a Sigstore bundle can hold the envelope.
#[must_use]
pub fn key_hint(id: Digest) -> String {
    STANDARD.encode(id.as_raw())
}

/// Signs an in-toto statement.
#[must_use]
pub fn seal(statement: &[u8], key: &ReleaseKey) -> Vec<u8> {
    let signature = key.sign(&pre_authentication_encoding(IN_TOTO, statement));
    let envelope = Envelope {
        payload: STANDARD.encode(statement),
        payload_type: IN_TOTO.into(),
        signatures: vec![Signature { keyid: key_hint(key.public().id()), sig: STANDARD.encode(signature) }],
    };
    serde_json::to_vec(&envelope).expect("an envelope is plain text")
}

/// Checks the signature of an envelope and gives its statement.
///
/// # Errors
/// Fails with the exact reason if the envelope is not one, or was not signed with the `trusted` key.
pub fn open(envelope: &[u8], trusted: &PublicKeyRoot) -> Result<Vec<u8>, EnvelopeError> {
    if envelope.len() > MAX_BYTES {
        return Err(EnvelopeError::TooLarge { found: envelope.len() });
    }
    let envelope: Envelope = serde_json::from_slice(envelope).map_err(EnvelopeError::Parse)?;
    if envelope.payload_type != IN_TOTO {
        return Err(EnvelopeError::PayloadType { found: envelope.payload_type });
    }
    let [signature] = envelope.signatures.as_slice() else {
        return Err(EnvelopeError::SignatureCount { found: envelope.signatures.len() });
    };
    let hint = key_hint(trusted.id());
    if signature.keyid != hint {
        return Err(EnvelopeError::UntrustedKey { found: signature.keyid.clone(), trusted: hint });
    }
    let decode = |field, text: &str| STANDARD.decode(text).map_err(|_| EnvelopeError::Base64 { field });
    let payload = decode("payload", &envelope.payload)?;
    let sig = decode("signature", &signature.sig)?;
    if trusted.verifies(&pre_authentication_encoding(IN_TOTO, &payload), &sig) {
        return Ok(payload);
    }
    Err(EnvelopeError::BadSignature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_that_of_the_specification() {
        // The test vector of the DSSE specification.
        let encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world");
        assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }
}
