//! One client's connection: request after request until one side has had enough.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::buffer::{Buffer, Filled};
use super::deadline::Watch;
use super::exchange::exchange;
use super::http2::{self, Peer, Version};
use super::socket::Socket;
use super::{Seat, Worker};
use crate::table::{Door, Purpose, Site};
use crate::wire::answer::Answer;
use crate::wire::request::{self, Forwarding, Request};

/// How long, and for how many bytes, a closed connection is still listened to, so that the client reads the answer
/// before its unread bytes reset the connection.
const LINGER: (Duration, usize) = (Duration::from_secs(2), 1024 * 1024);

/// What a resting connection keeps of its output buffers.
const KEPT_CAPACITY: usize = 4 * 1024;

/// A client's connection.
pub(super) struct Client {
    pub(super) worker: Rc<Worker>,
    pub(super) site: Arc<Site>,
    pub(super) purpose: Purpose,
    pub(super) stream: Socket,
    /// What the client sent and nobody took yet.
    pub(super) buffer: Buffer,
    /// The request's head as the backend gets it, and what of the body came along with it.
    pub(super) to_backend: Vec<u8>,
    /// A response's head or the gateway's own answer, on its way to the client.
    pub(super) to_client: Vec<u8>,
    /// Fields that the gateway adds to the response.
    pub(super) more: Vec<u8>,
    pub(super) deadline: Watch,
    address: IpAddr,
    _seat: Seat,
}

/// Serves a connection to its end.
pub(super) async fn serve(seat: Seat, stream: TcpStream, peer: SocketAddr, door: Arc<Door>) {
    // Without it, only latency would suffer.
    let _ = stream.set_nodelay(true);
    let worker = Rc::clone(&seat.0);
    let (site, purpose) = (Arc::clone(&door.site), door.purpose);
    drop(door);
    let Some(stream) = encrypt(&worker, &site, purpose, stream).await else { return };
    let address = peer.ip().to_canonical();
    let deadline = Watch::new(&worker, &site);
    let mut client = Client {
        worker,
        site,
        purpose,
        stream,
        buffer: Buffer::default(),
        to_backend: Vec::new(),
        to_client: Vec::new(),
        more: Vec::new(),
        deadline,
        address,
        _seat: seat,
    };
    if client.stream.agreed_on_http2() {
        client.hand_over(Version::Http2).await;
    } else if let Some(version) = client.run().await {
        client.hand_over(version).await;
    }
}

/// Begins encryption where the listener has certificates. `None` if the client does not bring it about in time.
async fn encrypt(worker: &Worker, site: &Site, purpose: Purpose, stream: TcpStream) -> Option<Socket> {
    let config = if purpose == Purpose::Front { site.tls.load_full() } else { None };
    let Some(config) = config else { return Some(Socket::Plain(stream)) };
    match tokio::time::timeout(worker.limits.head, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) => Some(Socket::Tls(Box::new(stream))),
        Ok(Err(error)) => {
            tracing::debug!(%error, environment = %site.environment, "a client's encryption failed");
            None
        }
        Err(_) => None,
    }
}

/// What a connection of HTTP/2 begins with, as far as no request of HTTP/1.1 does.
const PREFACE: &[u8] = b"PRI * HTTP/2";

/// What a client does next.
enum Next {
    Request(Request),
    /// It speaks HTTP/2.
    Preface,
    Refuse(Answer),
    Leave,
}

/// Why no more bytes came.
enum Silence {
    Closed,
    TimedOut,
}

impl Client {
    /// Serves requests of HTTP/1.1, one after the other. Where another has to go on, says how; nothing of what is in the buffer
    /// was taken then.
    async fn run(&mut self) -> Option<Version> {
        let mut first = true;
        loop {
            match self.next_request(std::mem::take(&mut first)).await {
                Next::Request(request) => {
                    let route = self.site.route.load_full();
                    if route.needs_streams() {
                        return Some(Version::Http1);
                    }
                    self.buffer.consume(request.head_length);
                    if !exchange(self, &route, request).await {
                        return None;
                    }
                }
                Next::Preface => return Some(Version::Http2),
                Next::Refuse(answer) => {
                    self.answer(&answer, false, true).await;
                    return None;
                }
                Next::Leave => {
                    if self.stream.is_encrypted() {
                        self.linger().await;
                    }
                    return None;
                }
            }
        }
    }

    /// Goes on with a connection as one that may have many requests at once.
    async fn hand_over(self, version: Version) {
        let Self { worker, site, purpose, stream, mut buffer, deadline, address, _seat, .. } = self;
        let prefix = Bytes::copy_from_slice(buffer.bytes());
        buffer.consume(prefix.len());
        buffer.release(&worker.buffers);
        let secure = stream.is_encrypted();
        let peer = Peer::new(worker, site, purpose, (address, secure), version, deadline, _seat);
        // In a box: connections of HTTP/1.1 do not pay for what this one needs.
        Box::pin(http2::serve(peer, stream, prefix)).await;
    }

    /// Reads a head; the head for the backend is then in `to_backend`, and the client's still in the buffer.
    async fn next_request(&mut self, first: bool) -> Next {
        self.to_backend.clear();
        self.to_backend.shrink_to(KEPT_CAPACITY);
        self.deadline.rest(self.worker.millis(self.worker.limits.keep_alive));
        let mut begun = false;
        loop {
            if !self.buffer.is_empty() {
                if !std::mem::replace(&mut begun, true) {
                    self.deadline.set(self.worker.millis(self.worker.limits.head));
                }
                match self.parse() {
                    Ok(Some(request)) => return Next::Request(request),
                    Ok(None) => {}
                    Err(_) if first && self.has_preface() => return Next::Preface,
                    Err(answer) => return Next::Refuse(answer),
                }
            }
            match self.fill().await {
                Ok(()) => {}
                Err(Silence::TimedOut) if begun => {
                    return Next::Refuse(Answer::new(408, "the request's head did not arrive in time"));
                }
                Err(Silence::TimedOut | Silence::Closed) => return Next::Leave,
            }
        }
    }

    fn parse(&mut self) -> Result<Option<Request>, Answer> {
        let mut ids = self.worker.ids.borrow_mut();
        let secure = self.stream.is_encrypted();
        let forwarding = Forwarding { client: self.address, request_id: ids.next(), secure };
        let request = request::forward(self.buffer.bytes(), forwarding, &mut self.to_backend)?;
        Ok(request)
    }

    /// Whether the client knows already that HTTP/2 is spoken here.
    fn has_preface(&self) -> bool {
        !self.stream.is_encrypted() && self.buffer.bytes().starts_with(PREFACE)
    }

    async fn fill(&mut self) -> Result<(), Silence> {
        poll_fn(|context| {
            if self.deadline.has_passed(context) {
                return Poll::Ready(Err(Silence::TimedOut));
            }
            match self.buffer.poll_fill(context, &mut self.stream, &self.worker.buffers) {
                Poll::Ready(Ok(Filled::Some)) => Poll::Ready(Ok(())),
                Poll::Ready(Ok(Filled::Closed) | Err(_)) => Poll::Ready(Err(Silence::Closed)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Whether this connection may take another request.
    pub(super) fn may_stay(&self) -> bool {
        !self.worker.draining.get() && !self.site.closed.load(Relaxed)
    }

    /// Gives the gateway's own answer; says whether the connection stays open.
    pub(super) async fn answer(&mut self, answer: &Answer, keep_alive: bool, with_body: bool) -> bool {
        self.to_client.clear();
        answer.write(&mut self.to_client, keep_alive, with_body);
        self.deadline.set(self.worker.millis(self.worker.limits.idle));
        if !self.flush().await {
            return false;
        }
        if !keep_alive {
            self.linger().await;
        }
        keep_alive
    }

    /// Sends all of `to_client`.
    async fn flush(&mut self) -> bool {
        let mut sent = 0;
        let whole = poll_fn(|context| {
            while sent < self.to_client.len() {
                if self.deadline.has_passed(context) {
                    return Poll::Ready(false);
                }
                match Pin::new(&mut self.stream).poll_write(context, &self.to_client[sent..]) {
                    Poll::Ready(Ok(count)) if count > 0 => sent += count,
                    Poll::Ready(_) => return Poll::Ready(false),
                    Poll::Pending => return Poll::Pending,
                }
            }
            if self.deadline.has_passed(context) {
                return Poll::Ready(false);
            }
            self.stream.poll_sent(context).map(|sent| sent.is_ok())
        })
        .await;
        self.to_client.clear();
        whole
    }

    /// Closes so that the client can still read what it was sent.
    pub(super) async fn linger(&mut self) {
        let (limit, bytes) = LINGER;
        let discard = async {
            let mut scratch = vec![0u8; 4096];
            let mut left = bytes;
            self.stream.shutdown().await?;
            loop {
                match self.stream.read(&mut scratch).await? {
                    0 => return Ok::<(), std::io::Error>(()),
                    count if count > left => return Ok(()),
                    count => left -= count,
                }
            }
        };
        // It is closed in any case; whether the client listened makes no difference to anyone.
        let _ = tokio::time::timeout(limit, discard).await;
    }
}
