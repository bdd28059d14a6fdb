//! Passwords: argon2id, with a bound on how many are computed at once.

use std::sync::LazyLock;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use tokio::sync::Semaphore;

/// The fewest characters in a password.
pub const MIN_LENGTH: usize = 12;

/// The most bytes in a password, so that nobody makes the server hash a megabyte.
const MAX_LENGTH: usize = 1024;

/// How many hashes are computed at once. Each takes 19 MiB and tens of milliseconds of a core.
static TURNS: Semaphore = Semaphore::const_new(2);

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

/// Hashes a new password into a PHC string.
///
/// # Errors
/// When it is too short or too long.
pub async fn hash(password: String) -> Result<String, PasswordError> {
    if password.chars().count() < MIN_LENGTH || password.len() > MAX_LENGTH {
        return Err(PasswordError::Length);
    }
    let _turn = TURNS.acquire().await.map_err(|error| PasswordError::Hash(error.to_string()))?;
    tokio::task::spawn_blocking(move || hash_now(password.as_bytes()))
        .await
        .map_err(|error| PasswordError::Hash(error.to_string()))?
}

fn hash_now(password: &[u8]) -> Result<String, PasswordError> {
    let hash = Argon2::default().hash_password(password);
    hash.map(|hash| hash.to_string()).map_err(|error| PasswordError::Hash(error.to_string()))
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
        let same = PasswordHash::new(&stored)
            .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
        known && same
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
}
