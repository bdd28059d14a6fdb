//! Asks an Instance whether it is well.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http2;
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use towpath_model::pipeline::Protocol;

/// As much of an answer as is read: the status line.
const STATUS_LINE: usize = 64;

/// As much of an answer to a call of gRPC as is read.
const MESSAGE: usize = 1024;

/// Paths of gRPC's own health check. It is asked for the server as a whole.
const GRPC_HEALTH: &str = "/grpc.health.v1.Health/";

/// How long a connection to an engine's door has to stay open before it counts.
const KEPT: Duration = Duration::from_millis(150);

/// Who takes connections at the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// The program itself.
    Program,
    /// A container engine, which takes them also while nobody listens behind it, and closes them at once then.
    Engine,
}

/// Gets `path` and passes on 2xx; without a path, passes when the port accepts.
///
/// The error says for a person what was wrong.
pub(super) async fn probe(
    address: SocketAddr,
    path: Option<&str>,
    protocol: Protocol,
    time: Duration,
    door: Door,
) -> Result<(), String> {
    match tokio::time::timeout(time, ask(address, path, protocol, door)).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(format!("{} did not answer within {time:?}", path.unwrap_or("the port"))),
    }
}

async fn ask(address: SocketAddr, path: Option<&str>, protocol: Protocol, door: Door) -> Result<(), String> {
    let refused = |error: std::io::Error| format!("{address} does not answer: {error}");
    let mut stream = TcpStream::connect(address).await.map_err(refused)?;
    match (path, protocol, door) {
        (None, _, Door::Program) => Ok(()),
        (None, _, Door::Engine) => stays_open(&mut stream, address).await,
        (Some(path), Protocol::Http1, _) => ask_http1(stream, address, path).await,
        (Some(path), Protocol::H2c, _) => ask_http2(stream, address, path).await,
    }
}

async fn ask_http1(mut stream: TcpStream, address: SocketAddr, path: &str) -> Result<(), String> {
    let refused = |error: std::io::Error| format!("{address} does not answer: {error}");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: towpath-probe\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(refused)?;
    let mut answer = Vec::with_capacity(STATUS_LINE);
    while answer.len() < STATUS_LINE && !answer.contains(&b'\n') {
        if stream.read_buf(&mut answer).await.map_err(refused)? == 0 {
            break;
        }
    }
    let line = String::from_utf8_lossy(&answer);
    let line = line.lines().next().unwrap_or_default();
    match line
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5))
        .and_then(|code| code.parse::<u16>().ok())
    {
        Some(200..=299) => Ok(()),
        Some(code) => Err(format!("{path} answered {code}")),
        None if line.is_empty() => Err(format!("{path}: the connection was closed without an answer")),
        None => Err(format!("{path} answered something that is not HTTP")),
    }
}

async fn ask_http2(stream: TcpStream, address: SocketAddr, path: &str) -> Result<(), String> {
    let broken = |error: hyper::Error| format!("{path} is not answered in HTTP/2: {error}");
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(broken)?;
    let _driver = Driver(tokio::spawn(async move { drop(connection.await) }));
    let is_call = path.starts_with(GRPC_HEALTH);
    let request =
        Request::builder().uri(format!("http://{address}{path}")).header("user-agent", "towpath-probe");
    let request = if is_call {
        // A message of no bytes: the check of the server as a whole.
        let call =
            request.method(Method::POST).header("te", "trailers").header("content-type", "application/grpc");
        call.body(Full::new(Bytes::from_static(&[0; 5])))
    } else {
        request.body(Full::default())
    };
    let request = request.map_err(|error| format!("{path} cannot be asked for: {error}"))?;
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    if !status.is_success() {
        return Err(format!("{path} answered {}", status.as_u16()));
    }
    if is_call { read_health(path, response).await } else { Ok(()) }
}

/// Reads what gRPC's health check says: a message with one number, and the outcome of the call behind it.
async fn read_health(path: &str, response: Response<hyper::body::Incoming>) -> Result<(), String> {
    let outcome = |fields: &HeaderMap| {
        let status = fields.get("grpc-status")?.to_str().ok()?;
        (status != "0").then(|| format!("{path} answered with grpc-status {status}"))
    };
    if let Some(problem) = outcome(response.headers()) {
        return Err(problem);
    }
    let body = Limited::new(response.into_body(), MESSAGE).collect().await;
    let body = body.map_err(|error| format!("{path} broke off its answer: {error}"))?;
    if let Some(problem) = body.trailers().and_then(outcome) {
        return Err(problem);
    }
    match *body.to_bytes() {
        [0, 0, 0, 0, 2, 8, 1, ..] => Ok(()),
        [0, 0, 0, 0, 2, 8, _, ..] | [0, 0, 0, 0, 0] => Err(format!("{path} answered that it does not serve")),
        _ => Err(format!("{path} answered something that is not a health check of gRPC")),
    }
}

/// A connection's task, which ends with the probe.
struct Driver(tokio::task::JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn stays_open(stream: &mut TcpStream, address: SocketAddr) -> Result<(), String> {
    match tokio::time::timeout(KEPT, stream.read(&mut [0; 1])).await {
        Err(_still_open) => Ok(()),
        Ok(Ok(1..)) => Ok(()),
        Ok(Ok(0)) => Err(format!("{address} closes connections at once")),
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionReset => {
            Err(format!("{address} closes connections at once"))
        }
        Ok(Err(error)) => Err(format!("{address} does not answer: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use hyper::service::service_fn;
    use tokio::net::TcpListener;

    use super::*;

    /// An Instance that speaks HTTP/2 alone: `/ready` is well, `/ill` is not, and its health check answers `health` with `status`.
    async fn instance(health: &'static [u8], status: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service_fn(move |request: Request<hyper::body::Incoming>| async move {
                    let is_call =
                        request.headers().get("content-type").is_some_and(|it| it == "application/grpc");
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", status.parse().unwrap());
                    let mut frames = Vec::new();
                    if is_call {
                        frames.push(Ok::<_, Infallible>(Frame::data(Bytes::from_static(health))));
                        frames.push(Ok(Frame::trailers(trailers)));
                    }
                    let code = if request.uri().path() == "/ill" { 503 } else { 200 };
                    let body = StreamBody::new(futures_util::stream::iter(frames));
                    Ok::<_, Infallible>(Response::builder().status(code).body(body).unwrap())
                });
                let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        address
    }

    async fn check(address: SocketAddr, path: &str, protocol: Protocol, problem: Option<&str>) {
        let answer = probe(address, Some(path), protocol, Duration::from_secs(20), Door::Program).await;
        match (answer, problem) {
            (Ok(()), None) => {}
            (Err(found), Some(expected)) => assert!(found.contains(expected), "{path}: {found}"),
            (found, expected) => panic!("{path}: {found:?}, not {expected:?}"),
        }
    }

    #[tokio::test]
    async fn an_instance_of_http_2_is_asked_in_http_2() {
        const CHECK: &str = "/grpc.health.v1.Health/Check";
        let well = instance(&[0, 0, 0, 0, 2, 8, 1], "0").await;
        check(well, "/ready", Protocol::H2c, None).await;
        check(well, "/ill", Protocol::H2c, Some("answered 503")).await;
        check(well, CHECK, Protocol::H2c, None).await;
        check(well, "/ready", Protocol::Http1, Some("")).await;
        check(instance(&[0, 0, 0, 0, 2, 8, 2], "0").await, CHECK, Protocol::H2c, Some("does not serve"))
            .await;
        check(instance(&[0, 0, 0, 0, 2, 8, 1], "14").await, CHECK, Protocol::H2c, Some("grpc-status 14"))
            .await;
        check(instance(b"junk", "0").await, CHECK, Protocol::H2c, Some("not a health check")).await;
    }

    #[tokio::test]
    async fn an_engine_that_takes_a_connection_and_drops_it_is_not_ready() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let dropping = tokio::spawn(async move {
            for _ in 0..2 {
                drop(listener.accept().await.unwrap());
            }
            listener
        });
        let time = Duration::from_secs(5);
        assert_eq!(probe(address, None, Protocol::Http1, time, Door::Program).await, Ok(()));
        let closed = probe(address, None, Protocol::Http1, time, Door::Engine).await;
        assert_eq!(closed, Err(format!("{address} closes connections at once")));
        let listener = dropping.await.unwrap();
        let holding = tokio::spawn(async move {
            let kept = listener.accept().await.unwrap();
            tokio::time::sleep(time).await;
            drop(kept);
        });
        assert_eq!(probe(address, None, Protocol::Http1, time, Door::Engine).await, Ok(()));
        holding.abort();
    }
}
