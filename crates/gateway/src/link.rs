//! The way to the server: found anew in `<data>/run/local.json` after each failure, so that a server that restarts
//! on another port or with another token is found.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;
use towpath_api::gateway::{MeasurementReport, Poll, Routes};

/// How long a call may take beyond the time that the server was asked to wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the server leaves in its data directory for processes of the same user.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Local {
    url: String,
    token: String,
    /// The certificate authority of an `https` address, in PEM.
    #[serde(default)]
    authority: Option<String>,
}

/// Calls the server.
pub struct Link {
    file: PathBuf,
    server: Mutex<Option<Server>>,
}

#[derive(Clone)]
struct Server {
    local: Local,
    client: reqwest::Client,
}

/// A call that failed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No server has left its address.
    #[error("no server has left its address in {}", .path.display())]
    NoServer {
        /// The file.
        path: PathBuf,
        /// Why it cannot be read.
        #[source]
        source: std::io::Error,
    },
    /// The address file is not what a server writes.
    #[error("{} is not understood", .path.display())]
    BadAddress {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The server cannot be reached or does not answer as it should.
    #[error("the server at {url} did not answer {call}")]
    Call {
        /// Where.
        url: String,
        /// What was asked.
        call: &'static str,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
}

impl Link {
    /// Looks for the server in a data directory.
    #[must_use]
    pub fn new(data: &Path) -> Self {
        Self { file: data.join("run").join("local.json"), server: Mutex::new(None) }
    }

    /// Tells what is applied and asks what is desired.
    ///
    /// # Errors
    /// When the server does not answer; the next call looks for it anew.
    pub async fn poll(&self, poll: &Poll) -> Result<Routes, LinkError> {
        let wait = Duration::from_millis(u64::from(poll.wait_ms)) + PATIENCE;
        let call = "/gateway/v1/poll";
        let (server, response) = self.post(call, poll, wait).await?;
        let routes = response.json().await;
        routes.map_err(|source| self.failed(&server, call, source))
    }

    /// Tells what was measured.
    ///
    /// # Errors
    /// When the server does not acknowledge it; the next call looks for it anew.
    pub async fn report(&self, report: &MeasurementReport) -> Result<(), LinkError> {
        self.post("/gateway/v1/measurements", report, PATIENCE).await.map(drop)
    }

    async fn post(
        &self,
        call: &'static str,
        body: &impl Serialize,
        limit: Duration,
    ) -> Result<(Server, reqwest::Response), LinkError> {
        let server = self.server()?;
        let url = format!("{}{call}", server.local.url.trim_end_matches('/'));
        let request = server.client.post(url).bearer_auth(&server.local.token).timeout(limit).json(body);
        let response = request.send().await.and_then(reqwest::Response::error_for_status);
        match response {
            Ok(response) => Ok((server, response)),
            Err(source) => Err(self.failed(&server, call, source)),
        }
    }

    /// Forgets the server unless another call has found a newer one meanwhile.
    fn failed(&self, server: &Server, call: &'static str, source: reqwest::Error) -> LinkError {
        let mut known = self.server.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if known.as_ref().is_some_and(|known| known.local == server.local) {
            *known = None;
        }
        LinkError::Call { url: server.local.url.clone(), call, source: source.without_url() }
    }

    fn server(&self) -> Result<Server, LinkError> {
        let mut known = self.server.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(server) = known.as_ref() {
            return Ok(server.clone());
        }
        let path = || self.file.clone();
        let bytes =
            std::fs::read(&self.file).map_err(|source| LinkError::NoServer { path: path(), source })?;
        let local: Local = serde_json::from_slice(&bytes)
            .map_err(|source| LinkError::BadAddress { path: path(), source })?;
        let url = local.url.clone();
        let client =
            client(&local).map_err(|source| LinkError::Call { url, call: "a connection", source })?;
        Ok(known.insert(Server { local, client }).clone())
    }
}

fn client(local: &Local) -> reqwest::Result<reqwest::Client> {
    // Another part of the process may have chosen the same provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificates = match &local.authority {
        Some(pem) => reqwest::Certificate::from_pem_bundle(pem.as_bytes())?,
        None => Vec::new(),
    };
    let builder =
        reqwest::Client::builder().no_proxy().tcp_nodelay(true).connect_timeout(Duration::from_secs(2));
    // Without an authority of its own the address is plain HTTP on loopback; the system's are never asked.
    builder.tls_certs_only(certificates).build()
}
