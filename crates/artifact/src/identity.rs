//! Random tokens, and comparing them without telling how close a guess was.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng as _;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// `N` bytes from a cryptographic generator that the operating system seeds, wiped when dropped.
#[must_use]
pub fn random_bytes<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    rand::rng().fill_bytes(&mut *bytes);
    bytes
}

/// A token of 256 random bits behind a prefix by which scanners find it. It cannot be printed by accident.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// Draws a new token: `prefix` and 43 characters of base64url.
    #[must_use]
    pub fn generate(prefix: &str) -> Self {
        Self(Zeroizing::new(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(*random_bytes::<32>()))))
    }

    /// The token itself: shown once, never stored.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is stored instead.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

/// The SHA-256 of a token. The token has 256 random bits, so a slow hash would add nothing.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Hashes what someone presents as a token.
    #[must_use]
    pub fn of(presented: &str) -> Self {
        Self(Sha256::digest(presented).into())
    }

    /// Wraps stored bytes.
    #[must_use]
    pub const fn from_raw(raw: [u8; 32]) -> Self {
        Self(raw)
    }

    /// The bytes to store.
    #[must_use]
    pub const fn as_raw(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether `presented` is the token; takes the same time whatever differs.
    #[must_use]
    pub fn matches(&self, presented: &str) -> bool {
        self.0.ct_eq(&Self::of(presented).0).into()
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(****)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_matches_only_itself() {
        let (token, other) = (Token::generate("tpt_"), Token::generate("tpt_"));
        assert_eq!(token.expose().len(), 4 + 43);
        assert!(TokenHash::from_raw(*token.hash().as_raw()).matches(token.expose()));
        assert!(!token.hash().matches(other.expose()));
        assert!(!token.hash().matches(""));
        assert_eq!(format!("{token:?}"), "****");
    }
}
