//! How a remote agent gets its certificate, and a new one in time.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::time::sleep;
use towpath_api::agent::{Enrol, Enrolled, Renew};
use towpath_artifact::authority::renewal_request;
use towpath_artifact::{AuthorityError, InvalidJoinToken, JoinToken, PublicKeyRoot, agent_key_and_request};
use towpath_model::Digest;

use super::client::{CallError, Client, Credentials, ServerFile, http_client, server_file, words_of};
use super::pinned::PinnedAuthority;
use crate::executor::chain;

/// How long a call may take.
const CALL: Duration = Duration::from_secs(30);

/// The pause after a failed renewal.
const RETRY: Duration = Duration::from_secs(60);

/// Why an agent could not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The token.
    #[error(transparent)]
    Token(#[from] InvalidJoinToken),
    /// The agent's key.
    #[error("no key could be made")]
    Key(#[from] AuthorityError),
    /// The identity cannot be kept.
    #[error("the agent's identity cannot be written to {path}")]
    Write {
        /// Where.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The server, or something on the way to it.
    #[error("{url} did not let this agent join: {reason}")]
    Refused {
        /// The address in the token.
        url: String,
        /// What happened.
        reason: String,
    },
    /// What answers has a certificate of another authority.
    #[error(
        "{url} is not the server that made this join token: its certificate is of {found}, the token wants the authority \
         {wanted}; nothing was sent. Either the server was set up anew and needs to make another token, or something \
         between here and there answers for it"
    )]
    OtherServer {
        /// The address in the token.
        url: String,
        /// The fingerprint in the token.
        wanted: Digest,
        /// What was shown instead.
        found: String,
    },
    /// The answer does not fit the token.
    #[error(
        "{url} answered with {what} that the join token does not name; nothing was kept. Was the answer tampered with?"
    )]
    Mismatch {
        /// The address in the token.
        url: String,
        /// Which part.
        what: &'static str,
    },
}

/// Joins the server that `token` names and keeps the identity in `directory`, ready for
/// [`Credentials::Remote`]. The private key is made here and never leaves.
///
/// # Errors
///
/// See [`JoinError`]. The token is used up only if the server has answered.
pub async fn join(
    token: &str,
    directory: &Path,
    hostname: String,
    labels: std::collections::BTreeMap<String, String>,
) -> Result<towpath_model::AgentId, JoinError> {
    let token: JoinToken = token.parse()?;
    let key = agent_key_and_request()?;
    let url = token.url.trim_end_matches('/').to_owned();
    let refused = |reason: String| JoinError::Refused { url: url.clone(), reason };
    let verifier = Arc::new(PinnedAuthority::new(token.authority));
    let tls = PinnedAuthority::client(&verifier, None).map_err(refused)?;
    let body = Enrol { token: token.secret().to_owned(), request: key.request, hostname, labels };
    let request =
        http_client(tls).map_err(refused)?.post(format!("{url}/agent/v1/enrol")).json(&body).timeout(CALL);
    let response = request.send().await.map_err(|error| match verifier.impostor() {
        Some(found) => JoinError::OtherServer { url: url.clone(), wanted: token.authority, found },
        None => refused(chain(&error)),
    })?;
    let status = response.status();
    if !status.is_success() {
        return Err(refused(words_of(status, &response.text().await.unwrap_or_default())));
    }
    let enrolled: Enrolled = response.json().await.map_err(|error| refused(chain(&error)))?;
    check(&enrolled, &token, &url)?;
    let written = |source| JoinError::Write { path: directory.display().to_string(), source };
    fs::create_dir_all(directory).map_err(written)?;
    write_private(&directory.join("agent.key"), key.key.as_bytes()).map_err(written)?;
    write_private(&directory.join("authority.crt"), enrolled.authority.as_bytes()).map_err(written)?;
    write_private(&directory.join("release.pub"), enrolled.release_key.as_bytes()).map_err(written)?;
    keep(directory, &url, &enrolled).map_err(written)?;
    Ok(enrolled.agent)
}

/// The token's fingerprints came by another way than the answer: they must agree.
fn check(enrolled: &Enrolled, token: &JoinToken, url: &str) -> Result<(), JoinError> {
    let mismatch = |what| JoinError::Mismatch { url: url.to_owned(), what };
    let authority =
        CertificateDer::from_pem_slice(enrolled.authority.as_bytes()).map_err(|_| mismatch("a CA"))?;
    if Digest::of(&authority) != token.authority {
        return Err(mismatch("a CA"));
    }
    match PublicKeyRoot::from_pem(&enrolled.release_key) {
        Ok(key) if key.id() == token.release_key => Ok(()),
        _ => Err(mismatch("a release key")),
    }
}

/// Keeps a certificate. The file that names it comes last: what it says is then true.
fn keep(directory: &Path, url: &str, enrolled: &Enrolled) -> std::io::Result<()> {
    let Enrolled { agent, certificate, not_after, .. } = enrolled;
    write_private(&directory.join("agent.crt"), certificate.as_bytes())?;
    let file =
        ServerFile { url: url.to_owned(), agent: *agent, not_after: *not_after, issued: Timestamp::now() };
    crate::instances::write_json(directory, "server.json", &file)
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let partial = path.with_extension("partial");
    let mut file =
        fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(partial, path)
}

/// Renews the certificate after two thirds of its life.
pub(super) struct Renewal {
    credentials: Credentials,
    client: Client,
    after_failure: Option<tokio::time::Instant>,
}

impl Renewal {
    pub(super) const fn new(credentials: Credentials, client: Client) -> Self {
        Self { credentials, client, after_failure: None }
    }

    /// Completes when it is time; never for a local agent.
    pub(super) async fn due(&self) {
        let Credentials::Remote { identity } = &self.credentials else { return std::future::pending().await };
        if let Some(after) = self.after_failure {
            return tokio::time::sleep_until(after).await;
        }
        let wait = server_file(identity).map_or(RETRY, |server| renew_in(&server, Timestamp::now()));
        sleep(wait).await;
    }

    /// Gets a new certificate for the same key.
    pub(super) async fn renew(&mut self) {
        let Credentials::Remote { identity } = &self.credentials else { return };
        self.after_failure = match renew(identity, &self.client).await {
            Ok(()) => None,
            Err(reason) => {
                tracing::warn!("the agent's certificate was not renewed: {reason}; next try in {RETRY:?}");
                Some(tokio::time::Instant::now() + RETRY)
            }
        };
    }
}

fn renew_in(server: &ServerFile, now: Timestamp) -> Duration {
    let life = server.issued.duration_until(server.not_after);
    let at = server.issued + life * 2 / 3;
    // Looked at once an hour at least: a host that slept has lost time.
    now.duration_until(at).clamp(SignedDuration::ZERO, SignedDuration::from_hours(1)).unsigned_abs()
}

async fn renew(identity: &Path, client: &Client) -> Result<(), String> {
    let server = server_file(identity)?;
    if renew_in(&server, Timestamp::now()) > Duration::ZERO {
        return Ok(());
    }
    let key = fs::read_to_string(identity.join("agent.key")).map_err(|error| error.to_string())?;
    let request = renewal_request(&key).map_err(|error| chain(&error))?;
    let renewed = client.exchange("/agent/v1/renew", &Renew { request }, CALL).await;
    let enrolled: Enrolled = renewed.map_err(|error: CallError| error.to_string())?;
    keep(identity, &server.url, &enrolled).map_err(|error| error.to_string())?;
    // The next call connects anew, with the new certificate.
    client.forget();
    Ok(())
}
