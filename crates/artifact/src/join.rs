//! The join token: everything a new agent needs to know, in one word to copy.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use towpath_model::Digest;
use zeroize::Zeroizing;

use crate::identity::Token;

const PREFIX: &str = "tpj_";
const MAX_TOKEN: usize = 4096;

/// What an agent joins with. Printed by accident, it shows no secret; [`JoinToken::expose`] is the word to copy.
#[derive(Clone)]
pub struct JoinToken {
    /// Where the server is: `https://ci.example:7070`.
    pub url: String,
    /// The fingerprint of the instance's authority: the agent believes no other server.
    pub authority: Digest,
    /// The fingerprint of the release key: the agent runs nothing that was signed with another.
    pub release_key: Digest,
    secret: Zeroizing<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    url: &'a str,
    ca: Digest,
    release_key: Digest,
    secret: &'a str,
}

impl JoinToken {
    /// Makes a token with a new secret, of which the server keeps [`TokenHash::of`](crate::TokenHash::of) only.
    #[must_use]
    pub fn generate(url: String, authority: Digest, release_key: Digest) -> Self {
        let secret = Zeroizing::new(Token::generate("").expose().to_owned());
        Self { url, authority, release_key, secret }
    }

    /// The secret that the agent sends once.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// The token as one word, to be shown once.
    #[must_use]
    pub fn expose(&self) -> Zeroizing<String> {
        let wire =
            Wire { url: &self.url, ca: self.authority, release_key: self.release_key, secret: &self.secret };
        let json = Zeroizing::new(serde_json::to_vec(&wire).expect("a join token is plain JSON"));
        Zeroizing::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&*json)))
    }
}

impl FromStr for JoinToken {
    type Err = InvalidJoinToken;

    fn from_str(text: &str) -> Result<Self, InvalidJoinToken> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(InvalidJoinToken::Prefix)?;
        if encoded.len() > MAX_TOKEN {
            return Err(InvalidJoinToken::TooLong);
        }
        let json =
            URL_SAFE_NO_PAD.decode(encoded).map(Zeroizing::new).map_err(|_| InvalidJoinToken::Incomplete)?;
        let wire: Wire<'_> = serde_json::from_slice(&json).map_err(|_| InvalidJoinToken::Incomplete)?;
        let is_http = wire.url.starts_with("https://") || wire.url.starts_with("http://");
        if !is_http || wire.url.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(InvalidJoinToken::Url { url: wire.url.chars().take(200).collect() });
        }
        if !matches!(URL_SAFE_NO_PAD.decode(wire.secret), Ok(secret) if secret.len() == 32) {
            return Err(InvalidJoinToken::Incomplete);
        }
        Ok(Self {
            url: wire.url.to_owned(),
            authority: wire.ca,
            release_key: wire.release_key,
            secret: Zeroizing::new(wire.secret.to_owned()),
        })
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken({} ****)", self.url)
    }
}

/// Why a text is not a join token. Its content is never repeated: it may hold the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJoinToken {
    /// Something else was pasted.
    #[error(
        "this is not a join token: one begins with `{PREFIX}`; make one with `towpath agent token create`"
    )]
    Prefix,
    /// Too much was pasted.
    #[error("the join token is too long; paste the one word that `towpath agent token create` prints")]
    TooLong,
    /// A part is missing.
    #[error(
        "the join token is not complete; copy all of it, or make a new one with `towpath agent token create`"
    )]
    Incomplete,
    /// The address is none.
    #[error("the join token names `{url}`, which is not an http or https address")]
    Url {
        /// The address.
        url: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> JoinToken {
        JoinToken::generate("https://ci.example:7070".into(), Digest::of(b"ca"), Digest::of(b"key"))
    }

    #[test]
    fn reads_what_it_writes() {
        let token = token();
        let word = token.expose();
        let read: JoinToken = format!(" {}\n", *word).parse().unwrap();
        assert!(word.starts_with("tpj_") && !word.contains(['+', '/', '=']));
        assert_eq!(
            (read.url, read.authority, read.release_key),
            (token.url.clone(), token.authority, token.release_key)
        );
        assert_eq!(*read.secret, *token.secret);
        assert_eq!(format!("{token:?}"), "JoinToken(https://ci.example:7070 ****)");
    }

    #[test]
    fn says_what_is_wrong_without_repeating_it() {
        let word = token().expose();
        let check = |text: &str, expected: InvalidJoinToken| {
            assert_eq!(text.parse::<JoinToken>().unwrap_err(), expected)
        };
        check("", InvalidJoinToken::Prefix);
        check("tpt_abc", InvalidJoinToken::Prefix);
        check("tpj_", InvalidJoinToken::Incomplete);
        check(&word[..word.len() - 4], InvalidJoinToken::Incomplete);
        check(&format!("tpj_{}", "a".repeat(5000)), InvalidJoinToken::TooLong);
        let short = JoinToken { secret: Zeroizing::new("abc".into()), ..token() };
        check(&short.expose(), InvalidJoinToken::Incomplete);
        let other = JoinToken { url: "ftp://x".into(), ..token() };
        check(&other.expose(), InvalidJoinToken::Url { url: "ftp://x".into() });
    }
}
