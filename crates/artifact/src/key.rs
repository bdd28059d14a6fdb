//! The key that signs Releases, and its public half that agents pin.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{DerSignature, SigningKey, VerifyingKey};
use p256::elliptic_curve::Generate as _;
use p256::pkcs8::{
    DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding,
};
use towpath_model::Digest;

use crate::files;

/// The private key that signs Releases (ECDSA over P-256 with SHA-256). It is never sent anywhere.
pub struct ReleaseKey {
    key: SigningKey,
    public: PublicKeyRoot,
}

impl ReleaseKey {
    /// Makes a new key.
    #[must_use]
    pub fn generate() -> Self {
        Self::new(SigningKey::generate_from_rng(&mut rand::rng()))
    }

    /// Loads the key at `path`, or makes one there that only this user can read.
    ///
    /// # Errors
    /// Fails if the file is not a P-256 key in PKCS#8 PEM, other users can read it, or it cannot be made.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        match Self::load(path) {
            Err(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            loaded => return loaded,
        }
        match Self::generate().save(path) {
            // Another process was first: its key is the one.
            Err(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(()) => {}
        }
        Self::load(path)
    }

    /// Loads a key from PKCS#8 PEM.
    ///
    /// # Errors
    /// Fails if the file is not a P-256 key or other users can read it.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::Io { path: path.into(), source };
        let pem = zeroize::Zeroizing::new(fs::read_to_string(path).map_err(failed)?);
        files::check_private(path).map_err(failed)?;
        let key = SigningKey::from_pkcs8_pem(&pem).map_err(|_| KeyError::Format { path: path.into() })?;
        Ok(Self::new(key))
    }

    /// Writes the key to a new file that only this user can read.
    ///
    /// # Errors
    /// Fails if the file exists already or cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        let pem = self.key.to_pkcs8_pem(LineEnding::LF).expect("a P-256 key always has a PKCS#8 form");
        files::create_private(path, pem.as_bytes())
            .map_err(|source| KeyError::Io { path: path.into(), source })
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKeyRoot {
        &self.public
    }

    /// Signs `message`. The same message always gets the same signature (RFC 6979).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: DerSignature = self.key.sign(message);
        signature.as_bytes().to_vec()
    }

    fn new(key: SigningKey) -> Self {
        let public = PublicKeyRoot::new(*key.verifying_key());
        Self { key, public }
    }
}

impl fmt::Debug for ReleaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReleaseKey(**** of {})", self.public.id)
    }
}

/// The public key that Releases must be signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKeyRoot {
    key: VerifyingKey,
    id: Digest,
}

impl PublicKeyRoot {
    /// Reads a public key in SPKI PEM.
    ///
    /// # Errors
    /// Fails if the text is not a P-256 public key.
    pub fn from_pem(pem: &str) -> Result<Self, InvalidPublicKey> {
        VerifyingKey::from_public_key_pem(pem).map(Self::new).map_err(|_| InvalidPublicKey)
    }

    /// The key in SPKI PEM, as `openssl` reads it.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.key.to_public_key_pem(LineEnding::LF).expect("a P-256 key always has an SPKI form")
    }

    /// The SHA-256 of the key's SPKI in DER: its fingerprint.
    #[must_use]
    pub const fn id(&self) -> Digest {
        self.id
    }

    /// Whether `signature` (ASN.1 DER) over `message` was made with this key.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        DerSignature::from_bytes(signature)
            .is_ok_and(|signature| self.key.verify(message, &signature).is_ok())
    }

    fn new(key: VerifyingKey) -> Self {
        let der = key.to_public_key_der().expect("a P-256 key always has an SPKI form");
        let id = Digest::of(der.as_bytes());
        Self { key, id }
    }
}

impl fmt::Debug for PublicKeyRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKeyRoot({})", self.id)
    }
}

/// A text that is not a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text is not a P-256 public key in PEM (`-----BEGIN PUBLIC KEY-----`)")]
pub struct InvalidPublicKey;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("failed to use the key file {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} is not a P-256 private key in PKCS#8 PEM; restore it from a backup, or move it away to get a new one", path.display())]
    Format {
        /// The file.
        path: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys/release.pem");
        let first = ReleaseKey::load_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let second = ReleaseKey::load_or_create(&path).unwrap();
        assert_eq!(first.public(), second.public());
        let pem = first.public().to_pem();
        assert_eq!(PublicKeyRoot::from_pem(&pem).unwrap(), *first.public());
        assert!(second.public().verifies(b"message", &first.sign(b"message")));
        assert!(!second.public().verifies(b"messagE", &first.sign(b"message")));
        assert!(format!("{first:?}").starts_with("ReleaseKey(**** of sha256:"));
    }

    #[test]
    fn refuses_a_key_that_others_can_read_or_that_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("release.pem");
        ReleaseKey::generate().save(&path).unwrap();
        assert!(matches!(ReleaseKey::generate().save(&path), Err(KeyError::Io { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let Err(KeyError::Io { source, .. }) = ReleaseKey::load_or_create(&path) else { panic!("was taken") };
        assert!(source.to_string().contains("other users can read it (mode 644)"));
        fs::remove_file(&path).unwrap();
        files::create_private(&path, b"-----BEGIN NOTHING-----").unwrap();
        assert!(matches!(ReleaseKey::load_or_create(&path), Err(KeyError::Format { .. })));
    }
}
