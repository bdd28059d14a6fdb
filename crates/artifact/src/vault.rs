//! Secrets at rest.
//!
//! Each version of a secret has its own random data key, which the master key wraps; both layers are
//! XChaCha20-Poly1305, bound to scope, name and version, so that no row can stand in for another.
//! Whoever steals the database without the master key file has nothing.
//!
//! ```text
//! 1 byte format (1) | 8 bytes master key id | 24 nonce | 48 wrapped data key | 24 nonce | value + 16
//! ```

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::files;
use crate::identity::random_bytes;

const FORMAT: u8 = 1;
const KEY: usize = 32;
const NONCE: usize = 24;
const TAG: usize = 16;
const KEY_ID: usize = 8;

/// The length of a signature of [`Vault::sign`].
pub const SIGNATURE: usize = 32;

/// The longest secret value.
pub const MAX_VALUE: usize = 64 << 10;

/// A secret value. It cannot be printed, and is wiped when dropped.
#[derive(Clone)]
pub struct SecretValue(Zeroizing<Vec<u8>>);

impl SecretValue {
    /// Wraps a value.
    #[must_use]
    pub fn new(value: Vec<u8>) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value itself. Every call is a place to look at in a review.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The value as text; `None` if it is not UTF-8.
    #[must_use]
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl From<String> for SecretValue {
    fn from(value: String) -> Self {
        Self::new(value.into_bytes())
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

impl fmt::Display for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

/// What a sealed value belongs to. A value that was sealed for one place cannot be opened for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretPlace<'a> {
    /// Whose secret it is: `shop/production`.
    pub scope: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: u64,
}

impl SecretPlace<'_> {
    /// Bytes that differ for any two places and purposes: every text stands behind its length.
    fn associated_data(&self, purpose: &str) -> Vec<u8> {
        let mut data = b"towpath secret v1".to_vec();
        for text in [purpose, self.scope, self.name] {
            data.extend_from_slice(&(text.len() as u64).to_be_bytes());
            data.extend_from_slice(text.as_bytes());
        }
        data.extend_from_slice(&self.version.to_be_bytes());
        data
    }
}

/// Seals and opens secret values with the instance's master key.
pub struct Vault {
    master: XChaCha20Poly1305,
    /// Made from the master key, for what is signed and not sealed.
    signing: Zeroizing<[u8; KEY]>,
    id: [u8; KEY_ID],
}

impl Vault {
    /// Loads the master key at `path`, or makes one there that only this user can read.
    ///
    /// # Errors
    /// Fails if the file is not a master key, other users can read it, or it cannot be made.
    pub fn load_or_create(path: &Path) -> Result<Self, VaultError> {
        let failed = |source| VaultError::File { path: path.into(), source };
        match files::create_private(path, &*random_bytes::<KEY>()) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => {}
        }
        files::check_private(path).map_err(failed)?;
        let bytes = Zeroizing::new(fs::read(path).map_err(failed)?);
        let key: &[u8; KEY] = bytes
            .as_slice()
            .try_into()
            .map_err(|_| VaultError::NotAKey { path: path.into(), found: bytes.len() })?;
        Ok(Self::new(key))
    }

    fn new(key: &[u8; KEY]) -> Self {
        let digest = Sha256::new().chain_update(b"towpath master key id").chain_update(key).finalize();
        let mut id = [0; KEY_ID];
        id.copy_from_slice(&digest[..KEY_ID]);
        let signing = Zeroizing::new(mac(key, b"towpath signing key v1"));
        Self { master: XChaCha20Poly1305::new(key.into()), signing, id }
    }

    /// Signs bytes that go out and come back, for one purpose.
    #[must_use]
    pub fn sign(&self, purpose: &str, bytes: &[u8]) -> [u8; SIGNATURE] {
        let length = (purpose.len() as u64).to_be_bytes();
        mac(&self.signing, &[&length, purpose.as_bytes(), bytes].concat())
    }

    /// Whether this instance signed these bytes for this purpose. Takes as long for any wrong signature.
    #[must_use]
    pub fn has_signed(&self, purpose: &str, bytes: &[u8], signature: &[u8; SIGNATURE]) -> bool {
        self.sign(purpose, bytes).ct_eq(signature).into()
    }

    /// Seals a value for its place.
    ///
    /// # Errors
    /// Fails if the value is longer than [`MAX_VALUE`].
    pub fn seal(&self, place: SecretPlace<'_>, value: &SecretValue) -> Result<Vec<u8>, VaultError> {
        if value.expose().len() > MAX_VALUE {
            return Err(VaultError::TooLarge { found: value.expose().len() });
        }
        let data_key = random_bytes::<KEY>();
        let mut sealed = vec![FORMAT];
        sealed.extend_from_slice(&self.id);
        encrypt(&self.master, &*data_key, &place.associated_data("key"), &mut sealed);
        let cipher = XChaCha20Poly1305::new((&*data_key).into());
        encrypt(&cipher, value.expose(), &place.associated_data("value"), &mut sealed);
        Ok(sealed)
    }

    /// Opens a value that was sealed for this very place.
    ///
    /// # Errors
    /// Fails if the bytes were changed, belong to another place, or to another master key.
    pub fn open(&self, place: SecretPlace<'_>, sealed: &[u8]) -> Result<SecretValue, VaultError> {
        let damaged = || VaultError::Damaged {
            scope: place.scope.into(),
            name: place.name.into(),
            version: place.version,
        };
        let (format, rest) = sealed.split_first().ok_or_else(damaged)?;
        if *format != FORMAT {
            return Err(VaultError::Format { found: *format });
        }
        let (id, rest) = rest.split_at_checked(KEY_ID).ok_or_else(damaged)?;
        if id != self.id {
            return Err(VaultError::OtherMasterKey { sealed: hex::encode(id), own: hex::encode(self.id) });
        }
        let (wrapped, value) = rest.split_at_checked(NONCE + KEY + TAG).ok_or_else(damaged)?;
        let data_key = decrypt(&self.master, wrapped, &place.associated_data("key")).ok_or_else(damaged)?;
        let data_key: &[u8; KEY] = data_key.as_slice().try_into().map_err(|_| damaged())?;
        let cipher = XChaCha20Poly1305::new(data_key.into());
        decrypt(&cipher, value, &place.associated_data("value")).map(SecretValue).ok_or_else(damaged)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault(**** {})", hex::encode(self.id))
    }
}

fn mac(key: &[u8; KEY], bytes: &[u8]) -> [u8; SIGNATURE] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(bytes);
    mac.finalize().into_bytes().into()
}

fn encrypt(cipher: &XChaCha20Poly1305, plain: &[u8], aad: &[u8], out: &mut Vec<u8>) {
    // 24 random bytes never repeat in practice, whatever number of values there is.
    let nonce = random_bytes::<NONCE>();
    let sealed = cipher
        .encrypt(&XNonce::from(*nonce), Payload { msg: plain, aad })
        .expect("values are far below the cipher's limit of 256 GiB");
    out.extend_from_slice(&*nonce);
    out.extend_from_slice(&sealed);
}

fn decrypt(cipher: &XChaCha20Poly1305, sealed: &[u8], aad: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
    cipher.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad }).ok().map(Zeroizing::new)
}

/// Why a secret cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The master key file cannot be read or made.
    #[error("failed to use the master key file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// The file is something else.
    #[error("{} has {found} bytes, and a master key has {KEY}; restore it from your backup: without it no secret can be read", path.display())]
    NotAKey {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: usize,
    },
    /// Longer than allowed.
    #[error("the value has {found} bytes, more than the allowed {MAX_VALUE}")]
    TooLarge {
        /// Its length.
        found: usize,
    },
    /// Sealed by a later version.
    #[error(
        "the secret is sealed in format {found}, and this version of Towpath reads {FORMAT}; upgrade Towpath"
    )]
    Format {
        /// The format.
        found: u8,
    },
    /// Sealed with another master key.
    #[error(
        "the secret was sealed with the master key {sealed}, and this server has {own}; restore that key, or set the secret again"
    )]
    OtherMasterKey {
        /// The id of the key that sealed it.
        sealed: String,
        /// The id of the key here.
        own: String,
    },
    /// Changed, or moved from another place.
    #[error(
        "version {version} of the secret `{name}` of {scope} was changed or belongs elsewhere; it was refused; set the secret again"
    )]
    Damaged {
        /// Where it should belong.
        scope: String,
        /// Its name.
        name: String,
        /// Its version.
        version: u64,
    },
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const PLACE: SecretPlace<'_> = SecretPlace { scope: "shop/production", name: "DATABASE_URL", version: 3 };

    fn value() -> SecretValue {
        SecretValue::from("postgres://shop:hunter2@db".to_owned())
    }

    #[test]
    fn opens_what_it_sealed_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys/master.key");
        let vault = Vault::load_or_create(&path).unwrap();
        let sealed = vault.seal(PLACE, &value()).unwrap();
        assert_ne!(sealed, vault.seal(PLACE, &value()).unwrap());
        let vault = Vault::load_or_create(&path).unwrap();
        assert_eq!(vault.open(PLACE, &sealed).unwrap().expose(), value().expose());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&path).unwrap().len(), 32);
    }

    #[test]
    fn another_place_is_refused() {
        let vault = Vault::new(&[7; KEY]);
        let sealed = vault.seal(PLACE, &value()).unwrap();
        for place in [
            SecretPlace { scope: "shop/staging", ..PLACE },
            SecretPlace { name: "DATABASE_UR", ..PLACE },
            SecretPlace { version: 4, ..PLACE },
            SecretPlace { scope: "shop/productionD", name: "ATABASE_URL", version: 3 },
        ] {
            assert!(matches!(vault.open(place, &sealed), Err(VaultError::Damaged { .. })), "{place:?}");
        }
    }

    #[test]
    fn every_changed_or_missing_byte_is_refused() {
        let vault = Vault::new(&[7; KEY]);
        let sealed = vault.seal(PLACE, &value()).unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(vault.open(PLACE, &changed).is_err(), "byte {at} was changed unnoticed");
            assert!(vault.open(PLACE, &sealed[..at]).is_err(), "was cut to {at} unnoticed");
        }
        let other = Vault::new(&[8; KEY]);
        assert!(matches!(other.open(PLACE, &sealed), Err(VaultError::OtherMasterKey { .. })));
    }

    #[test]
    fn nothing_prints_a_value() {
        let vault = Vault::new(&[7; KEY]);
        let shown = format!("{:?} {} {vault:?}", value(), value());
        assert!(shown.starts_with("**** **** Vault(**** "), "{shown}");
        let sealed = vault.seal(PLACE, &value()).unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"hunter2"));
        assert!(matches!(
            vault.seal(PLACE, &SecretValue::new(vec![0; MAX_VALUE + 1])),
            Err(VaultError::TooLarge { .. })
        ));
    }

    #[test]
    fn refuses_a_file_that_is_not_a_key_or_not_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.key");
        files::create_private(&path, b"short").unwrap();
        assert!(matches!(Vault::load_or_create(&path), Err(VaultError::NotAKey { found: 5, .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Vault::load_or_create(&path), Err(VaultError::File { .. })));
    }
}
