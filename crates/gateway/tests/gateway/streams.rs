//! Clients and backends that speak HTTP/2, and bodies that are sent piece by piece.

#![expect(clippy::unwrap_used, reason = "what goes wrong in a helper fails the test")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A body that is there as a whole.
pub fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// A body whose frames are sent one by one; it ends when the sender is dropped.
pub fn pieces() -> (mpsc::UnboundedSender<Frame<Bytes>>, Body) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let frames = stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|frame| (Ok::<_, Infallible>(frame), receiver))
    });
    (sender, StreamBody::new(frames).boxed_unsync())
}

/// The trailers of a call.
pub fn outcome(status: &str) -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status.parse().unwrap());
    Frame::trailers(trailers)
}

/// A message as gRPC frames it.
pub fn message(bytes: &[u8]) -> Bytes {
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
    framed.extend_from_slice(bytes);
    framed.into()
}

/// A connection of a client.
pub struct Streams {
    pub sender: SendRequest<Body>,
    /// Ends with the connection, and says whether it ended well.
    pub connection: JoinHandle<Result<(), hyper::Error>>,
}

impl Streams {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream).await
    }

    pub async fn over(
        stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    ) -> Self {
        let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        Self { sender, connection: tokio::spawn(connection) }
    }

    pub async fn send(&mut self, request: Request<Body>) -> Response<Incoming> {
        let answer = self.sender.send_request(request);
        tokio::time::timeout(Duration::from_secs(20), answer).await.expect("an answer in time").unwrap()
    }

    /// Status, version and body of a GET.
    pub async fn get(&mut self, path: &str) -> (u16, String) {
        let request = Request::get(format!("http://shop.test{path}")).body(whole("")).unwrap();
        let response = self.send(request).await;
        (response.status().as_u16(), text(response).await)
    }

    /// Begins a call with a body; the answer comes with its head.
    pub async fn call(&mut self, path: &str, body: Body) -> Response<Incoming> {
        self.send(call(path, body)).await
    }
}

/// The request of a call.
pub fn call(path: &str, body: Body) -> Request<Body> {
    let request = Request::post(format!("http://shop.test{path}"));
    request.header("content-type", "application/grpc").header("te", "trailers").body(body).unwrap()
}

pub async fn text(response: Response<Incoming>) -> String {
    let body = tokio::time::timeout(Duration::from_secs(20), response.into_body().collect()).await;
    String::from_utf8(body.expect("a body in time").unwrap().to_bytes().to_vec()).unwrap()
}

/// What a backend has seen.
#[derive(Default)]
pub struct Seen {
    /// Requests whose client was gone before they had ended.
    pub left: AtomicU32,
    /// Connections.
    pub connections: AtomicU32,
}

/// Counts a request that is dropped before it was answered in full.
struct Held(Arc<Seen>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.left.fetch_add(1, Relaxed);
    }
}

/// A backend that speaks HTTP/2 alone.
///
/// | path | answer |
/// |---|---|
/// | `/echo` | what it gets, frame by frame as it comes, and the outcome 0 |
/// | `/outcome/N` | the outcome N, without a body |
/// | `/late/N` | a message, and the outcome N |
/// | `/silent` | a message, and no outcome |
/// | `/hang` | nothing |
/// | `/begin` | a head, and nothing more |
/// | `/bytes/N` | N bytes |
/// | anything else | its name, the request's line and fields |
pub async fn backend(name: &'static str) -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Seen::default()));
    let counted = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            counted.connections.fetch_add(1, Relaxed);
            let seen = Arc::clone(&counted);
            let service = service_fn(move |request| answer(name, request, Arc::clone(&seen)));
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    });
    (address, seen)
}

async fn answer(
    name: &'static str,
    request: Request<Incoming>,
    seen: Arc<Seen>,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let call = Response::builder().header("content-type", "application/grpc").header("x-version", name);
    let response = match path.rsplit_once('/').unwrap() {
        ("", "echo") => call.body(echo(request)),
        ("/outcome", code) => call.header("grpc-status", code).body(whole("")),
        ("/late", code) => {
            let (sender, body) = pieces();
            sender.send(Frame::data(message(b"late"))).unwrap();
            sender.send(outcome(code)).unwrap();
            call.body(body)
        }
        ("", "silent") => call.body(whole(message(b"and then"))),
        ("", "hang") => {
            let _held = Held(seen);
            std::future::pending::<()>().await;
            call.body(whole(""))
        }
        ("", "begin") => {
            let held = Held(seen);
            let never = stream::unfold(held, |held| async {
                std::future::pending::<()>().await;
                Some((Ok(Frame::data(Bytes::new())), held))
            });
            call.body(StreamBody::new(never).boxed_unsync())
        }
        ("/bytes", count) => {
            let held = Held(seen);
            let blocks = count.parse::<usize>().unwrap() / 16_384;
            let body = stream::unfold((held, 0), move |(held, sent)| async move {
                let block = Frame::data(Bytes::from_static(&[7; 16_384]));
                (sent < blocks).then(|| (Ok::<_, Infallible>(block), (held, sent + 1)))
            });
            Response::builder().body(StreamBody::new(body).boxed_unsync())
        }
        _ => {
            let echo = format!("{name} {} {} {:?}", request.method(), request.uri(), request.headers());
            Response::builder().header("x-version", name).body(whole(echo))
        }
    };
    Ok(response.unwrap())
}

fn echo(request: Request<Incoming>) -> Body {
    let (sender, body) = pieces();
    let mut incoming = request.into_body();
    tokio::spawn(async move {
        while let Some(Ok(frame)) = incoming.frame().await {
            if sender.send(frame).is_err() {
                return;
            }
        }
        let _ = sender.send(outcome("0"));
    });
    body
}
