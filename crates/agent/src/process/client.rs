//! Calls to the server: where it is, how the agent proves who it is, and what an answer means.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use towpath_api::agent::Fenced;
use towpath_api::rest::ProblemBody;
use towpath_artifact::ContentStore;
use towpath_model::Digest;

use super::pinned::PinnedAuthority;
use crate::executor::chain;

/// How long a call may take, besides a long poll.
pub(super) const CALL: Duration = Duration::from_secs(30);

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a transfer may stand still.
const STALL: Duration = Duration::from_secs(60);

/// The largest blob that is fetched.
const BLOB_LIMIT: u64 = 8 << 30;

/// How the agent finds the server and proves who it is.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// `<data>/run/local.json` of a server of the same user, read again after each failure.
    Local {
        /// The file.
        file: PathBuf,
    },
    /// What `towpath agent join` left in the agent's directory.
    Remote {
        /// The directory with `server.json`, `agent.key`, `agent.crt` and `authority.crt`.
        identity: PathBuf,
    },
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server did not answer, or not sensibly: it is tried again.
    #[error("{0}")]
    Unreachable(String),
    /// The server holds that this is none of the agent's business any more.
    #[error("the server refused: {0}")]
    Fenced(String),
    /// The server refused, and would again.
    #[error("the server answered {status}: {message}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// The beginning of the body.
        message: String,
    },
    /// The bytes are not those that were asked for, or cannot be kept.
    #[error("{0}")]
    Content(String),
}

/// What `local.json` says.
#[derive(Debug, Deserialize)]
struct LocalFile {
    url: String,
    token: String,
    /// The instance CA's certificate in PEM, where the server speaks HTTPS.
    #[serde(default)]
    authority: Option<String>,
}

/// Which server a joined agent belongs to.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ServerFile {
    pub(super) url: String,
    pub(super) agent: towpath_model::AgentId,
    pub(super) not_after: jiff::Timestamp,
    pub(super) issued: jiff::Timestamp,
}

#[derive(Debug, Clone)]
struct Connection {
    http: reqwest::Client,
    url: String,
    token: Option<String>,
}

/// The agent's side of the wire. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    credentials: Credentials,
    connection: Arc<Mutex<Option<Connection>>>,
}

impl Client {
    /// Makes a client; it connects at the first call.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self { credentials, connection: Arc::default() }
    }

    /// Forgets the connection, so that the next call reads the credentials again.
    pub(super) fn forget(&self) {
        *self.slot() = None;
    }

    fn slot(&self) -> MutexGuard<'_, Option<Connection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connection(&self) -> Result<Connection, CallError> {
        let mut slot = self.slot();
        if let Some(connection) = &*slot {
            return Ok(connection.clone());
        }
        let connection = connect(&self.credentials).map_err(CallError::Unreachable)?;
        *slot = Some(connection.clone());
        Ok(connection)
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, CallError> {
        let Connection { http, url, token } = self.connection()?;
        let request = http.request(method, format!("{url}{path}"));
        Ok(match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }

    /// Posts JSON and reads JSON.
    pub(super) async fn exchange<A: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        time: Duration,
    ) -> Result<A, CallError> {
        let response = self.send(self.request(Method::POST, path)?.json(body).timeout(time)).await?;
        response.json().await.map_err(|error| {
            CallError::Unreachable(format!("the answer to {path} cannot be read: {}", chain(&error)))
        })
    }

    /// Posts JSON and expects no answer.
    pub(super) async fn post(&self, path: &str, body: &impl Serialize) -> Result<(), CallError> {
        self.send(self.request(Method::POST, path)?.json(body).timeout(CALL)).await.map(|_no_content| ())
    }

    /// Puts raw bytes and reads JSON.
    pub(super) async fn put_bytes<A: DeserializeOwned>(
        &self,
        path: &str,
        body: Vec<u8>,
    ) -> Result<A, CallError> {
        let response = self.send(self.request(Method::PUT, path)?.body(body).timeout(CALL)).await?;
        response.json().await.map_err(|error| {
            CallError::Unreachable(format!("the answer to {path} cannot be read: {}", chain(&error)))
        })
    }

    /// Brings a blob into `store`, unless it is there. The digest is checked before it has its place.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn fetch(&self, digest: Digest, store: &ContentStore) -> Result<(), CallError> {
        if store.contains(digest) {
            return Ok(());
        }
        self.get_blob(&blob_path(digest), digest, store).await
    }

    /// Brings the blob at `path` into `store`.
    pub(super) async fn get_blob(
        &self,
        path: &str,
        digest: Digest,
        store: &ContentStore,
    ) -> Result<(), CallError> {
        let content =
            |error: &dyn std::error::Error| CallError::Content(format!("blob {digest}: {}", chain(error)));
        let mut response = self.send(self.request(Method::GET, path)?).await?;
        let mut writer = store.writer(BLOB_LIMIT).map_err(|error| content(&error))?;
        loop {
            let chunk = tokio::time::timeout(STALL, response.chunk())
                .await
                .map_err(|_elapsed| {
                    CallError::Unreachable(format!("blob {digest}: no byte came for {STALL:?}"))
                })?
                .map_err(|error| CallError::Unreachable(format!("blob {digest}: {}", chain(&error))))?;
            let Some(chunk) = chunk else { break };
            std::io::Write::write_all(&mut writer, &chunk).map_err(|error| content(&error))?;
        }
        // It is synced to disk there, which may take a while.
        let finished = tokio::task::spawn_blocking(move || writer.finish(Some(digest))).await;
        match finished {
            Ok(Ok(_digest)) => Ok(()),
            Ok(Err(error)) => Err(content(&error)),
            Err(error) => Err(content(&error)),
        }
    }

    /// Gives a blob of `store` to the server, unless it has it.
    pub(super) async fn upload(&self, digest: Digest, store: &ContentStore) -> Result<(), CallError> {
        let path = blob_path(digest);
        match self.send(self.request(Method::HEAD, &path)?.timeout(CALL)).await {
            Ok(_there) => return Ok(()),
            Err(CallError::Refused { status: StatusCode::NOT_FOUND, .. }) => {}
            Err(error) => return Err(error),
        }
        self.put_blob(&path, digest, store).await
    }

    /// Sends a blob of `store` to `path`.
    pub(super) async fn put_blob(
        &self,
        path: &str,
        digest: Digest,
        store: &ContentStore,
    ) -> Result<(), CallError> {
        let file = tokio::fs::File::open(store.path(digest)).await;
        let file = file.map_err(|error| CallError::Content(format!("blob {digest}: {error}")))?;
        let length = file.metadata().await.map(|metadata| metadata.len()).unwrap_or_default();
        let body = reqwest::Body::wrap_stream(tokio_util::io::ReaderStream::new(file));
        let request = self.request(Method::PUT, path)?.header("content-length", length).body(body);
        self.send(request).await.map(|_created| ())
    }

    /// Says so where the certificate has ended: what TLS says of it is hard to read.
    fn explained(&self, failure: &str) -> String {
        let Credentials::Remote { identity } = &self.credentials else { return failure.to_owned() };
        match server_file(identity) {
            Ok(ServerFile { not_after, .. }) if not_after <= jiff::Timestamp::now() => format!(
                "{failure}; this agent's certificate ended at {not_after}, since it could not be renewed in time: make a \
                 join token on the server, remove {}, and join again",
                identity.display()
            ),
            _ => failure.to_owned(),
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, CallError> {
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                self.forget();
                return Err(CallError::Unreachable(self.explained(&chain(&error))));
            }
        };
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let mut message = response.text().await.unwrap_or_default();
        match status {
            StatusCode::CONFLICT => {
                let reason = serde_json::from_str(&message).map_or(message, |Fenced { reason }| reason);
                Err(CallError::Fenced(reason))
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                self.forget();
                let words = words_of(status, &message);
                Err(CallError::Unreachable(format!("the server does not let this agent in: {words}")))
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                Err(CallError::Unreachable(status.to_string()))
            }
            _ if status.is_server_error() => Err(CallError::Unreachable(format!("{status} {message}"))),
            _ => {
                message.truncate(message.floor_char_boundary(300));
                Err(CallError::Refused { status, message })
            }
        }
    }
}

/// What a server says in an error, for people.
pub(super) fn words_of(status: StatusCode, body: &str) -> String {
    match serde_json::from_str(body) {
        Ok(ProblemBody { detail, hint: Some(hint), .. }) => format!("{detail}; {hint}"),
        Ok(ProblemBody { detail, hint: None, .. }) => detail,
        Err(_) => format!("{status} {}", body.chars().take(300).collect::<String>()),
    }
}

fn blob_path(digest: Digest) -> String {
    format!("/agent/v1/blobs/{digest}")
}

fn connect(credentials: &Credentials) -> Result<Connection, String> {
    match credentials {
        Credentials::Local { file } => {
            let text = std::fs::read(file).map_err(|error| {
                format!("{} cannot be read ({error}); is `towpath serve` running?", file.display())
            })?;
            let LocalFile { url, token, authority } = serde_json::from_slice(&text)
                .map_err(|error| format!("{} is damaged: {error}", file.display()))?;
            let roots = authority.map(String::into_bytes).unwrap_or_default();
            let http = http_client(local_tls(&roots)?)?;
            Ok(Connection { http, url: url.trim_end_matches('/').to_owned(), token: Some(token) })
        }
        Credentials::Remote { identity } => {
            let ServerFile { url, .. } = server_file(identity)?;
            let read = |name: &str| {
                let path = identity.join(name);
                std::fs::read(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
            };
            let tls = joined_tls(&read("authority.crt")?, &read("agent.crt")?, &read("agent.key")?)?;
            Ok(Connection { http: http_client(tls)?, url: url.trim_end_matches('/').to_owned(), token: None })
        }
    }
}

pub(super) fn server_file(identity: &Path) -> Result<ServerFile, String> {
    let path = identity.join("server.json");
    let text = std::fs::read(&path).map_err(|error| {
        format!("{} cannot be read ({error}); run `towpath agent join` first", path.display())
    })?;
    serde_json::from_slice(&text).map_err(|error| format!("{} is damaged: {error}", path.display()))
}

pub(super) fn http_client(tls: ClientConfig) -> Result<reqwest::Client, String> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .connect_timeout(CONNECT)
        // A credential belongs to one server: nobody sends an agent to another.
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        .pool_max_idle_per_host(4)
        .no_proxy()
        .build()
        .map_err(|error| format!("no HTTP client can be made: {}", chain(&error)))
}

/// TLS of an agent that the server knows by its token.
fn local_tls(roots: &[u8]) -> Result<ClientConfig, String> {
    let mut store = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(roots) {
        let certificate = certificate.map_err(|error| format!("the CA certificate is damaged: {error}"))?;
        store.add(certificate).map_err(|error| format!("the CA certificate is damaged: {error}"))?;
    }
    Ok(tls_builder()?.with_root_certificates(store).with_no_client_auth())
}

/// TLS of an agent that has joined.
fn joined_tls(authority: &[u8], chain: &[u8], key: &[u8]) -> Result<ClientConfig, String> {
    let authority = CertificateDer::from_pem_slice(authority)
        .map_err(|error| format!("the CA certificate is damaged: {error}"))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let chain = chain.map_err(|error| format!("the agent's certificate is damaged: {error}"))?;
    let key =
        PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("the agent's key is damaged: {error}"))?;
    let pinned = Arc::new(PinnedAuthority::new(Digest::of(&authority)));
    PinnedAuthority::client(&pinned, Some((chain, key)))
}

pub(super) fn tls_builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, String> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("no TLS can be spoken: {error}"))
}
