//! Random secrets: session ids, tokens, one-time links.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize;

/// A secret that is shown once to the one it is for, and kept as a hash.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Draws 256 random bits and writes them after `prefix`, by which people and scanners know its kind.
    #[must_use]
    pub fn draw(prefix: &str) -> Self {
        let bytes: [u8; 32] = rand::random();
        Self(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Takes what a caller sent.
    #[must_use]
    pub fn received(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text itself, for the one it is for.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What the database keeps. A fast hash will do: nobody guesses 256 random bits.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_long_new_each_time_and_never_printed() {
        let (one, two) = (Secret::draw("tp_"), Secret::draw("tp_"));
        assert_ne!(one.reveal(), two.reveal());
        assert_eq!(one.reveal().len(), 3 + 43);
        assert_eq!(format!("{one:?}"), "****");
        assert_eq!(Secret::received(one.reveal()).hash(), one.hash());
    }
}
