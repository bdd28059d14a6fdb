//! Passwords: argon2id, one at a time, in memory that goes back to the system.

use std::sync::LazyLock;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;

/// The fewest characters in a password.
pub const MIN_LENGTH: usize = 12;

/// The most bytes in a password, so that nobody makes the server hash a megabyte.
const MAX_LENGTH: usize = 1024;

/// How many hashes are computed at once. Each takes 19 MiB and tens of milliseconds of a core.
static TURNS: Semaphore = Semaphore::const_new(1);

/// The bytes that are asked for at once, of which only those that are needed are touched.
///
/// The allocator keeps freed blocks of up to 32 MiB for later, so each hash would leave the process 19 MiB larger
/// while it idles. Larger ones are mapped by themselves and given back as soon as they are dropped.
const MAPPED: usize = 33 << 20;

/// Bytes of a hash.
const LENGTH: usize = Params::DEFAULT_OUTPUT_LEN;

/// What an unknown login is compared with, so that it takes as long as a known one.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash_now(b"nobody has this password").unwrap_or_default());

/// Why a password was not accepted as a new one.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too short or too long.
    #[error("a password needs {MIN_LENGTH} to {MAX_LENGTH} characters")]
    Length,
    /// The hash could not be computed.
    #[error("failed to hash the password: {0}")]
    Hash(String),
}

impl PasswordError {
    fn hash(error: impl ToString) -> Self {
        Self::Hash(error.to_string())
    }
}

/// Hashes a new password into a PHC string.
///
/// # Errors
/// When it is too short or too long.
pub async fn hash(password: String) -> Result<String, PasswordError> {
    if password.chars().count() < MIN_LENGTH || password.len() > MAX_LENGTH {
        return Err(PasswordError::Length);
    }
    let _turn = TURNS.acquire().await.map_err(PasswordError::hash)?;
    tokio::task::spawn_blocking(move || hash_now(password.as_bytes())).await.map_err(PasswordError::hash)?
}

fn hash_now(password: &[u8]) -> Result<String, PasswordError> {
    let (algorithm, version, params) = (Algorithm::default(), Version::default(), Params::default());
    let salt = Salt::new(&rand::random::<[u8; 16]>()).map_err(PasswordError::hash)?;
    let output = derive(password, &salt, algorithm, version, params.clone()).map_err(PasswordError::hash)?;
    let hash = PasswordHash {
        algorithm: algorithm.ident(),
        version: Some(version.into()),
        params: ParamsString::try_from(&params).map_err(PasswordError::hash)?,
        salt: Some(salt),
        hash: Some(Output::new(&output).map_err(PasswordError::hash)?),
    };
    Ok(hash.to_string())
}

fn derive(
    password: &[u8],
    salt: &[u8],
    algorithm: Algorithm,
    version: Version,
    params: Params,
) -> argon2::Result<[u8; LENGTH]> {
    let count = params.block_count();
    let mut blocks: Vec<Block> = Vec::with_capacity(count.max(MAPPED / Block::SIZE));
    blocks.resize(count, Block::new());
    let mut output = [0; LENGTH];
    Argon2::new(algorithm, version, params).hash_password_into_with_memory(
        password,
        salt,
        &mut output,
        &mut blocks,
    )?;
    Ok(output)
}

/// Whether a password is the one of a PHC string; `None` where that string cannot be read.
fn matches(password: &[u8], stored: &str) -> Option<bool> {
    let stored = PasswordHash::new(stored).ok()?;
    let algorithm = Algorithm::try_from(stored.algorithm.as_str()).ok()?;
    let version = Version::try_from(stored.version?).ok()?;
    let params = Params::try_from(&stored).ok()?;
    let output = derive(password, stored.salt.as_deref()?, algorithm, version, params).ok()?;
    Some(output.ct_eq(stored.hash?.as_bytes()).into())
}

/// Compares a password with a stored hash. Without one it takes as long and says no.
pub async fn verify(password: String, stored: Option<String>) -> bool {
    if password.len() > MAX_LENGTH {
        return false;
    }
    let Ok(_turn) = TURNS.acquire().await else { return false };
    let compare = move || {
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| NOBODY.clone());
        known & matches(password.as_bytes(), &stored).unwrap_or(false)
    };
    tokio::task::spawn_blocking(compare).await.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn takes_the_right_one_only() {
        let stored = hash("correct horse battery".into()).await.unwrap();
        assert!(stored.starts_with("$argon2id$"), "{stored}");
        assert!(verify("correct horse battery".into(), Some(stored.clone())).await);
        assert!(!verify("battery staple correct".into(), Some(stored)).await);
        assert!(!verify("nobody has this password".into(), None).await, "an unknown login signed in");
        assert!(matches!(hash("short".into()).await, Err(PasswordError::Length)));
    }

    #[test]
    fn reads_hashes_with_other_parameters() {
        use argon2::password_hash::PasswordHasher as _;
        let quick = Argon2::from(Params::new(64, 1, 1, None).unwrap());
        let stored = quick.hash_password(b"correct horse battery").unwrap().to_string();
        assert_eq!(super::matches(b"correct horse battery", &stored), Some(true));
        assert_eq!(super::matches(b"battery staple correct", &stored), Some(false));
        assert_eq!(super::matches(b"correct horse battery", "$argon2id$"), None);
    }
}
