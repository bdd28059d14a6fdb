//! A GitHub App in the place of a token: tokens of its installation are made when they are needed, and end after an hour.
//!
//! Only an App may write check runs. What is sealed is its private key, which never leaves the server.

use std::collections::HashMap;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use towpath_artifact::SecretValue;
use towpath_model::ProjectName;
use towpath_model::source::{Forge, Source};
use towpath_store::core::sources::{Sealed, Watched};

use crate::error::chain;
use crate::report;
use crate::{Engine, EngineError};

/// A token is made anew when it has less than this left, so that no fetch ends with it.
const LEFT: SignedDuration = SignedDuration::from_mins(30);

/// How long the App's own word counts. GitHub takes ten minutes at most.
const WORD: SignedDuration = SignedDuration::from_mins(8);

/// How far GitHub's clock may be behind.
const DRIFT: SignedDuration = SignedDuration::from_mins(1);

/// What is sealed where a plain token would be, which never begins with a brace.
#[derive(Serialize, Deserialize)]
struct App {
    github_app: String,
    key: String,
}

/// Tokens that were made, each with its end.
#[derive(Debug, Default)]
pub(crate) struct Made(Mutex<HashMap<ProjectName, (SecretValue, Timestamp)>>);

impl Made {
    /// Forgets what was made by another key.
    pub(super) async fn forget(&self, project: &ProjectName) {
        self.0.lock().await.remove(project);
    }
}

/// What takes the place of a token: the App's identity and its private key, as GitHub gives it (PEM, RSA).
///
/// # Errors
/// Says what is wrong with them.
pub fn github_app(id: &str, key: &str) -> Result<SecretValue, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '.';
    if id.is_empty() || id.len() > 64 || !id.chars().all(plain) {
        return Err(
            "a GitHub App is named by its App ID or its client ID, which its settings on GitHub show"
                .to_owned(),
        );
    }
    read_key(key)?;
    let app = App { github_app: id.to_owned(), key: key.trim().to_owned() };
    serde_json::to_string(&app).map(SecretValue::from).map_err(|error| error.to_string())
}

fn read_key(pem: &str) -> Result<RsaKeyPair, String> {
    let refused = |why: String| {
        format!(
            "this is no private key of a GitHub App: {why}; take the .pem file that its settings on GitHub generate"
        )
    };
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| refused(error.to_string()))?;
    let read = match &key {
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        _ => return Err(refused("it is not RSA".to_owned())),
    };
    read.map_err(|error| refused(error.to_string()))
}

/// What the App says of itself, signed: a JSON Web Token (RFC 7519) with RS256.
fn word(app: &App, now: Timestamp) -> Result<String, String> {
    let key = read_key(&app.key)?;
    let claims = json!({
        "iat": (now - DRIFT).as_second(),
        "exp": (now + WORD).as_second(),
        "iss": app.github_app,
    });
    let header = json!({ "alg": "RS256", "typ": "JWT" });
    let said = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), said.as_bytes(), &mut signature)
        .map_err(|_unspecified| "the App's key cannot sign".to_owned())?;
    Ok(format!("{said}.{}", BASE64.encode(signature)))
}

impl Engine {
    /// The token of a source, where it may be sent there. That of a GitHub App is made where none is left.
    pub(crate) async fn source_token(&self, watched: &Watched) -> Result<Option<SecretValue>, EngineError> {
        if !watched.source.url.takes_a_token() {
            return Ok(None);
        }
        let Some(kept) = self.unsealed(watched, Sealed::Token)? else { return Ok(None) };
        let Some(app) = kept.expose_text().and_then(|text| serde_json::from_str::<App>(text).ok()) else {
            return Ok(Some(kept));
        };
        let mut made = self.0.app_tokens.0.lock().await;
        let now = self.now();
        if let Some((token, until)) = made.get(&watched.project)
            && until.duration_since(now) > LEFT
        {
            return Ok(Some(token.clone()));
        }
        let source = &watched.source;
        let (token, until) = self.make_token(source, &app, now).await.map_err(|why| {
            EngineError::refused(format!(
                "GitHub App {} has no token for {}: {why}",
                app.github_app, source.url
            ))
        })?;
        made.insert(watched.project.clone(), (token.clone(), until));
        Ok(Some(token))
    }

    /// Asks GitHub for a token of the App's installation at the repository, good for that repository alone.
    async fn make_token(
        &self,
        source: &Source,
        app: &App,
        now: Timestamp,
    ) -> Result<(SecretValue, Timestamp), String> {
        let (slug, word) = (source.url.slug(), word(app, now)?);
        let at = format!("/repos/{slug}/installation");
        let installation = self.ask_as_app(source, &word, Method::GET, &at, None).await.map_err(|why| {
            format!("{why}; is the App installed at this repository, and is the key one of its own?")
        })?;
        let id = installation["id"].as_u64().ok_or("GitHub named no installation")?;
        let name = slug.rsplit('/').next().unwrap_or(slug);
        let at = format!("/app/installations/{id}/access_tokens");
        let body = json!({ "repositories": [name] });
        let made = self.ask_as_app(source, &word, Method::POST, &at, Some(&body)).await?;
        let token = made["token"].as_str().ok_or("GitHub gave no token")?;
        let until = made["expires_at"].as_str().and_then(|until| until.parse().ok());
        let until = until.ok_or("GitHub did not say when the token ends")?;
        Ok((SecretValue::from(token.to_owned()), until))
    }

    async fn ask_as_app(
        &self,
        source: &Source,
        word: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, String> {
        let url = format!("{}{path}", report::api(Forge::Github, &source.url));
        let asked = report::as_github_wants(self.0.web.request(method, url), word);
        let asked = match body {
            Some(body) => asked.json(body),
            None => asked,
        };
        let answer = asked.send().await.map_err(|error| {
            format!("{} does not answer: {}", source.url.host(), chain(&error.without_url()))
        })?;
        let code = answer.status();
        let text = answer.text().await.unwrap_or_default();
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        if code.is_success() {
            return Ok(answer);
        }
        let said = answer["message"].as_str().unwrap_or("nothing more").chars().take(200).collect::<String>();
        Err(format!("GitHub answered {code}: {said}"))
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    /// A key as GitHub gives it, made by OpenSSL.
    pub(crate) fn key(form: &str) -> String {
        let made = Command::new("openssl").args(["genrsa", form, "2048"]).stderr(Stdio::null()).output();
        String::from_utf8(
            made.expect("openssl makes the key; install it with: apt-get install openssl").stdout,
        )
        .unwrap()
    }

    #[test]
    fn an_app_says_who_it_is_for_nine_minutes() {
        for key in ["-traditional", "-verbose"].map(key) {
            let kept = github_app("Iv1.8a61f9b3a7aba766", &key).unwrap();
            let app: App = serde_json::from_str(kept.expose_text().unwrap()).unwrap();
            let now: Timestamp = "2026-11-21T22:00:00Z".parse().unwrap();
            let word = word(&app, now).unwrap();
            let (said, signature) = word.rsplit_once('.').unwrap();
            let public = read_key(&key).unwrap().public().as_ref().to_vec();
            UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public)
                .verify(said.as_bytes(), &BASE64.decode(signature).unwrap())
                .unwrap();
            let claims = BASE64.decode(said.split('.').nth(1).unwrap()).unwrap();
            let claims: Value = serde_json::from_slice(&claims).unwrap();
            let times = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
            assert_eq!(times, (now.as_second() - 60, now.as_second() + 480));
            assert_eq!(claims["iss"], "Iv1.8a61f9b3a7aba766");
        }
    }

    #[test]
    fn what_is_no_key_of_an_app_is_refused() {
        for (id, key, why) in [
            ("", String::new(), "App ID"),
            ("12; rm", String::new(), "App ID"),
            ("12", "ghp_x".to_owned(), "no private key"),
            ("12", key("-verbose").replace('A', "B"), "no private key"),
        ] {
            let error = github_app(id, &key).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
