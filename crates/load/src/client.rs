//! One connection that makes requests one after another.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::plan::Target;
use crate::report::FailureKind;

/// How one request went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Called {
    pub(crate) status: Option<u16>,
    pub(crate) version: Option<String>,
    pub(crate) failure: Option<FailureKind>,
    /// A resting connection had been closed, and the request was made again on a new one.
    pub(crate) retried: bool,
}

/// Makes requests on one connection, and on a new one where that was closed.
pub(crate) struct Caller {
    target: Target,
    timeout: Duration,
    connection: Option<SendRequest<Empty<Bytes>>>,
}

/// Why there was no whole response.
struct Failed {
    kind: FailureKind,
    /// Whether the connection was closed before anything was heard.
    unheard: bool,
    called: Called,
}

impl Caller {
    pub(crate) fn new(target: Target, timeout: Duration) -> Self {
        Self { target, timeout, connection: None }
    }

    /// Makes request `number`.
    pub(crate) async fn call(&mut self, number: u64) -> Called {
        match tokio::time::timeout(self.timeout, self.call_twice(number)).await {
            Ok(called) => called,
            Err(_) => {
                self.connection = None;
                Called { failure: Some(FailureKind::Timeout), ..Called::default() }
            }
        }
    }

    /// As every HTTP client does, makes the request again if the resting connection turns out to be closed.
    async fn call_twice(&mut self, number: u64) -> Called {
        let mut retried = false;
        loop {
            let rested = self.connection.is_some();
            match self.call_once(number).await {
                Ok(called) => return Called { retried, ..called },
                Err(failed) if failed.unheard && rested && !retried => retried = true,
                Err(failed) => return Called { retried, failure: Some(failed.kind), ..failed.called },
            }
        }
    }

    async fn call_once(&mut self, number: u64) -> Result<Called, Failed> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let broken = |called| Failed { kind: FailureKind::Broken, unheard: false, called };
        let failed = || Failed { kind: FailureKind::Broken, unheard: true, called: Called::default() };
        connection.ready().await.map_err(|_| failed())?;
        let response = connection.send_request(self.request(number)).await.map_err(|error| {
            if error.is_parse() {
                Failed { kind: FailureKind::Malformed, unheard: false, ..failed() }
            } else {
                failed()
            }
        })?;
        let status = response.status();
        let version = version_of(response.headers(), &self.target.version_header);
        let failure = status.is_server_error().then_some(FailureKind::ServerError);
        let called = Called { status: Some(status.as_u16()), version, failure, retried: false };
        let stays = !closes(response.headers());
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            if frame.is_err() {
                return Err(broken(called));
            }
        }
        self.connection = stays.then_some(connection);
        Ok(called)
    }

    async fn connect(&self) -> Result<SendRequest<Empty<Bytes>>, Failed> {
        let failed = || Failed { kind: FailureKind::Connect, unheard: false, called: Called::default() };
        let (host, port) = &self.target.address;
        let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(|_| failed())?;
        stream.set_nodelay(true).map_err(|_| failed())?;
        let (connection, driver) = handshake(TokioIo::new(stream)).await.map_err(|_| failed())?;
        // It ends with the connection; what goes wrong there is told to the request.
        tokio::spawn(driver);
        Ok(connection)
    }

    fn request(&self, number: u64) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = self.target.paths[(number % self.target.paths.len() as u64) as usize].clone();
        let headers = request.headers_mut();
        headers.insert(http::header::HOST, self.target.host.clone());
        for (name, value) in &self.target.headers {
            headers.insert(name.clone(), value.clone());
        }
        request
    }
}

fn version_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(|value| value.chars().take(100).collect())
}

fn closes(headers: &HeaderMap) -> bool {
    let connection = headers.get(http::header::CONNECTION).and_then(|value| value.to_str().ok());
    connection.is_some_and(|value| value.to_ascii_lowercase().contains("close"))
}
