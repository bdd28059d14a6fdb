//! Signs what is sent to others, as Standard Webhooks has it: over identity, time and body.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use reqwest::RequestBuilder;
use sha2::Sha256;

/// The beginning of a secret as Standard Webhooks writes it; what follows is base64.
const PREFIX: &str = "whsec_";

/// Adds a body of JSON with its identity, its time and, where there is a secret, its signature.
pub(crate) fn signed(
    request: RequestBuilder,
    secret: Option<&str>,
    id: &str,
    now: Timestamp,
    body: String,
) -> RequestBuilder {
    let seconds = now.as_second();
    let request = request
        .header("content-type", "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", seconds);
    let request = match secret {
        Some(secret) => {
            request.header("webhook-signature", format!("v1,{}", sign(secret, id, seconds, &body)))
        }
        None => request,
    };
    request.body(body)
}

fn sign(secret: &str, id: &str, seconds: i64, body: &str) -> String {
    let secret = secret.trim();
    let decoded = secret.strip_prefix(PREFIX).and_then(|encoded| BASE64.decode(encoded).ok());
    let key = decoded.unwrap_or_else(|| secret.as_bytes().to_vec());
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    BASE64.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_the_specification_does() {
        // The example of the specification's reference implementations.
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let body = r#"{"test": 2432232314}"#;
        let signature = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signature, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
