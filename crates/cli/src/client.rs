//! Calls to the server's REST API.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Certificate, Method, RequestBuilder, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use towpath_api::rest::{Page, ProblemBody};
use url::Url;

use crate::context::{Access, Remote};
use crate::failure::{Failure, Kind};

/// How long an ordinary call may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// A client of one server.
pub struct Client {
    http: reqwest::Client,
    access: Access,
}

/// A part of a log.
pub struct LogPiece {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Where the next part begins.
    pub next: u64,
    /// Whether more may come.
    pub open: bool,
    /// Of which attempt it is, once there is one.
    pub attempt: Option<u32>,
}

impl Client {
    /// Prepares to talk to the server that `remote` means.
    pub fn new(remote: &Remote) -> anyhow::Result<Self> {
        let access = remote.access()?;
        Ok(Self { http: http(access.authority.as_deref())?, access })
    }

    /// Prepares to talk to a server with the way in already known.
    pub fn with(access: Access) -> anyhow::Result<Self> {
        Ok(Self { http: http(access.authority.as_deref())?, access })
    }

    /// The server's address.
    pub const fn url(&self) -> &Url {
        &self.access.url
    }

    /// Gets a resource.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        json(self.request(Method::GET, path)?).await
    }

    /// Gets every page of a list, up to a thousand items.
    pub async fn all<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Vec<T>> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        let separator = if path.contains('?') { '&' } else { '?' };
        while items.len() < 1000 {
            let page: Page<T> = self.get(&format!("{path}{separator}limit=200{cursor}")).await?;
            items.extend(page.items);
            match page.next {
                Some(next) => cursor = format!("&cursor={}", part(&next)),
                None => break,
            }
        }
        Ok(items)
    }

    /// Sends JSON and reads JSON.
    pub async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        json(self.request(method, path)?.json(body)).await
    }

    /// Sends JSON where nothing comes back.
    pub async fn tell(&self, method: Method, path: &str, body: &impl Serialize) -> anyhow::Result<()> {
        answer(self.request(method, path)?.json(body)).await.map(drop)
    }

    /// Deletes a resource.
    pub async fn delete(&self, path: &str) -> anyhow::Result<()> {
        answer(self.request(Method::DELETE, path)?).await.map(drop)
    }

    /// Reads raw bytes.
    ///
    /// # Errors
    /// Fails where the server refuses.
    pub async fn bytes(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let response = answer(self.request(Method::GET, path)?).await?;
        Ok(response.bytes().await?.to_vec())
    }

    /// Writes what a path answers to `out`, as long as it is at most `limit` bytes.
    ///
    /// # Errors
    /// Fails where the server refuses, sends more, or `out` cannot be written.
    pub async fn download(
        &self,
        path: &str,
        out: &mut impl std::io::Write,
        limit: u64,
    ) -> anyhow::Result<u64> {
        let mut response = answer(self.request(Method::GET, path)?.timeout(PATIENCE * 10)).await?;
        let mut count = 0;
        loop {
            let chunk = response.chunk().await.map_err(|error| {
                anyhow::Error::from(error).context(Failure::new(Kind::Unreachable, "the answer was cut off"))
            })?;
            let Some(chunk) = chunk else { return Ok(count) };
            count += chunk.len() as u64;
            anyhow::ensure!(count <= limit, "the server sends more than {limit} bytes");
            out.write_all(&chunk)?;
        }
    }

    /// Sends a file as it is and reads JSON.
    ///
    /// # Errors
    /// Fails where the server refuses, or the file cannot be read.
    pub async fn upload<T: DeserializeOwned>(&self, path: &str, file: std::fs::File) -> anyhow::Result<T> {
        let length = file.metadata()?.len();
        let request = self
            .request(Method::POST, path)?
            .timeout(PATIENCE * 10)
            .header(CONTENT_TYPE, "application/x-tar")
            .header(CONTENT_LENGTH, length)
            .body(tokio::fs::File::from_std(file));
        json(request).await
    }

    /// Gets a part of a log.
    pub async fn log(&self, path: &str) -> anyhow::Result<LogPiece> {
        let response = answer(self.request(Method::GET, path)?).await?;
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let (next, open) = (header("x-towpath-next"), header("x-towpath-open"));
        let attempt = header("x-towpath-attempt").parse().ok();
        let next = next.parse().context("the server did not say where the log goes on")?;
        let bytes = response.bytes().await.map_err(|error| {
            anyhow::Error::from(error).context(Failure::new(Kind::Unreachable, "the log was cut off"))
        })?;
        Ok(LogPiece { bytes: bytes.to_vec(), next, open: open == "true", attempt })
    }

    fn request(&self, method: Method, path: &str) -> anyhow::Result<RequestBuilder> {
        let url = self.access.url.join(path).context("the address cannot be built")?;
        Ok(self.http.request(method, url).bearer_auth(&self.access.token).timeout(PATIENCE))
    }
}

/// Makes an HTTP client that also believes `authority`.
pub fn http(authority: Option<&str>) -> anyhow::Result<reqwest::Client> {
    // Another part of the process may have chosen the same provider before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(10))
        // A token belongs to one server: nobody sends it to another.
        .redirect(reqwest::redirect::Policy::none());
    if let Some(pem) = authority {
        let certificates = Certificate::from_pem_bundle(pem.as_bytes())
            .context("the kept certificate authority is damaged")?;
        builder = builder.tls_certs_only(certificates);
    }
    builder.build().context("failed to make an HTTP client")
}

/// Sends a request and reads JSON.
pub async fn json<T: DeserializeOwned>(request: RequestBuilder) -> anyhow::Result<T> {
    let response = answer(request).await?;
    response.json().await.context("the server's answer was not understood; is it another version of Towpath?")
}

/// Sends a request; a problem becomes a failure.
pub async fn answer(request: RequestBuilder) -> anyhow::Result<reqwest::Response> {
    let response = request.send().await.map_err(unreachable_server)?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let text = response.text().await.unwrap_or_default();
    let failure = match serde_json::from_str::<ProblemBody>(&text) {
        Ok(problem) => problem.into(),
        Err(_) if status == StatusCode::NOT_FOUND => {
            Failure::new(Kind::NotFound, "the server has no such thing")
                .hint("is it an older version of Towpath? `towpath version` shows both")
        }
        Err(_) => {
            let start: String = text.chars().take(200).collect();
            Failure::new(Kind::Failed, format!("the server answered {status}: {start}"))
        }
    };
    Err(failure.into())
}

fn unreachable_server(error: reqwest::Error) -> anyhow::Error {
    let address = error.url().map(|url| url.origin().ascii_serialization()).unwrap_or_default();
    let failure = Failure::new(Kind::Unreachable, format!("the server at {address} cannot be reached"))
        .hint("see that it runs and that the address is right; `towpath login` changes it");
    anyhow::Error::from(error.without_url()).context(failure)
}

/// Percent-encodes one part of a path or query.
pub fn part(text: &str) -> String {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encode = |byte: u8| match byte {
        byte if unreserved(byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_stays_one_part() {
        assert_eq!(part("../a b?"), "..%2Fa%20b%3F");
    }
}
