//! Whether a webhook was sent by who knows the Project's secret: HMAC over the raw body, compared in constant time.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// How far the sender's clock may be from ours, where the signature covers a time.
const MAX_SKEW: i64 = 300;

/// The beginning of a secret as Standard Webhooks writes it.
const PREFIX: &str = "whsec_";

/// Why a webhook is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It carries no proof.
    Unsigned,
    /// Its proof is another one.
    Forged,
    /// Its proof is of another time.
    Stale,
}

/// Checks a webhook. The strongest proof that it carries counts; a weaker one beside it is not looked at.
///
/// # Errors
/// Says why it is refused.
pub(super) fn verify(headers: &HeaderMap, body: &[u8], secret: &str, now: Timestamp) -> Result<(), Refused> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(signatures) = text("webhook-signature") {
        return standard(signatures, text("webhook-id"), text("webhook-timestamp"), body, secret, now);
    }
    let hexadecimal = text("x-hub-signature-256")
        .map(|value| value.strip_prefix("sha256=").unwrap_or_default())
        .or_else(|| text("x-forgejo-signature"))
        .or_else(|| text("x-gitea-signature"));
    if let Some(signature) = hexadecimal {
        let signature = hex::decode(signature).map_err(|_| Refused::Forged)?;
        return fits(&[body], secret.as_bytes(), &signature).then_some(()).ok_or(Refused::Forged);
    }
    let Some(token) = text("x-gitlab-token") else { return Err(Refused::Unsigned) };
    // Digests have one length, so the comparison tells nothing of the secret's.
    let same = Sha256::digest(token.as_bytes()).ct_eq(&Sha256::digest(secret.as_bytes()));
    bool::from(same).then_some(()).ok_or(Refused::Forged)
}

/// Standard Webhooks, which GitLab's signing tokens follow: the signature covers identity, time and body.
fn standard(
    signatures: &str,
    id: Option<&str>,
    timestamp: Option<&str>,
    body: &[u8],
    secret: &str,
    now: Timestamp,
) -> Result<(), Refused> {
    let (Some(id), Some(timestamp)) = (id, timestamp) else { return Err(Refused::Forged) };
    let at: i64 = timestamp.parse().map_err(|_| Refused::Forged)?;
    let key = secret.strip_prefix(PREFIX).and_then(|encoded| BASE64.decode(encoded).ok());
    let key = key.unwrap_or_else(|| secret.as_bytes().to_vec());
    let head = format!("{id}.{timestamp}.");
    let fitting =
        signatures.split(' ').take(8).filter_map(|one| BASE64.decode(one.strip_prefix("v1,")?).ok());
    let mut fitting = fitting.filter(|signature| fits(&[head.as_bytes(), body], &key, signature));
    if fitting.next().is_none() {
        return Err(Refused::Forged);
    }
    if at.abs_diff(now.as_second()) > MAX_SKEW.unsigned_abs() { Err(Refused::Stale) } else { Ok(()) }
}

fn fits(parts: &[&[u8]], key: &[u8], signature: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return false };
    parts.iter().for_each(|part| mac.update(part));
    mac.verify_slice(signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "It's a Secret to Everybody";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| ((*name).parse::<http::HeaderName>().unwrap(), value.parse().unwrap()))
            .collect()
    }

    fn check(pairs: &[(&'static str, &str)], body: &str, secret: &str, expected: Result<(), Refused>) {
        let now = Timestamp::from_second(1_614_265_330).unwrap();
        assert_eq!(verify(&headers(pairs), body.as_bytes(), secret, now), expected, "{pairs:?}");
    }

    #[test]
    fn published_examples_fit() {
        // GitHub's own, from "Validating webhook deliveries".
        let github = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        check(&[("x-hub-signature-256", github)], "Hello, World!", SECRET, Ok(()));
        let bare = github.trim_start_matches("sha256=");
        check(&[("x-gitea-signature", bare)], "Hello, World!", SECRET, Ok(()));
        check(&[("x-forgejo-signature", bare)], "Hello, World!", SECRET, Ok(()));
        // The one of the Standard Webhooks specification.
        let standard = [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ];
        check(&standard, r#"{"test": 2432232314}"#, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Ok(()));
        check(&[("x-gitlab-token", SECRET)], "anything", SECRET, Ok(()));
    }

    #[test]
    fn webhook_forgery_is_refused() {
        let github = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let forged = Err(Refused::Forged);
        check(&[], "Hello, World!", SECRET, Err(Refused::Unsigned));
        check(&[("x-hub-signature-256", github)], "Hello, World?", SECRET, forged);
        check(&[("x-hub-signature-256", github)], "Hello, World!", "another", forged);
        check(&[("x-hub-signature-256", "sha256=")], "Hello, World!", SECRET, forged);
        check(&[("x-hub-signature-256", &github[..40])], "Hello, World!", SECRET, forged);
        check(
            &[("x-hub-signature-256", &github.replace("sha256=", "sha1="))],
            "Hello, World!",
            SECRET,
            forged,
        );
        // The old header of GitHub, by SHA-1, is no proof.
        check(&[("x-hub-signature", github)], "Hello, World!", SECRET, Err(Refused::Unsigned));
        check(&[("x-gitlab-token", "It's a Secret to Everybod")], "", SECRET, forged);
        check(&[("x-gitlab-token", "")], "", SECRET, forged);
        // A right token does not make up for a wrong signature.
        check(&[("x-hub-signature-256", "sha256=00"), ("x-gitlab-token", SECRET)], "", SECRET, forged);
        let stale = [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ];
        let late = Timestamp::from_second(1_614_265_330 + 301).unwrap();
        let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        assert_eq!(verify(&headers(&stale), br#"{"test": 2432232314}"#, key, late), Err(Refused::Stale));
    }
}
