//! Connections whose requests are streams: HTTP/2, and HTTP/1.1 where Instances speak HTTP/2 alone.
//!
//! `hyper` reads and writes the frames, on the worker's own event loop. What is chosen, counted and added to a request is
//! the same as on the plain path of HTTP/1.1, which none of this touches.
//!
//! | part | decides or does |
//! |---|---|
//! | `forward` | the head that an endpoint gets, and the gateway's own answers; pure |
//! | `grpc` | what gRPC says of deadlines and failures; pure |
//! | `pace` | one request's time-outs, and how it is counted when it has ended |
//! | `body` | bodies in both directions |
//! | `respond` | one request, from its arm to the answer |
//! | `upstream` | connections to endpoints |

mod body;
mod forward;
mod grpc;
mod pace;
mod respond;
mod upstream;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use hyper::body::Bytes;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::deadline::Watch;
use super::socket::Socket;
use super::{Seat, Worker};
use crate::table::{Purpose, Site};
use crate::wire::{MAX_FIELDS, MAX_HEAD};
use pace::Pace;

pub(super) use upstream::Senders;

/// The most requests that one client's connection may have under way.
const MAX_STREAMS: u32 = 128;

/// The most requests that a client may begin and reset before they were looked at: beyond it, it is an attack.
const MAX_RESETS: usize = 20;

/// How many bytes of one request's body may be on their way to the gateway, and of all of a connection's. A client that
/// sends more than it can pass on waits, and slows nobody else.
const RECEIVE_WINDOWS: (u32, u32) = (256 * 1024, 1024 * 1024);

/// How many bytes of one response are kept for a client that does not take them.
const SEND_BUFFER: usize = 64 * 1024;

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

/// A client's connection.
pub(super) struct Peer {
    worker: Rc<Worker>,
    site: Arc<Site>,
    purpose: Purpose,
    address: IpAddr,
    secure: bool,
    version: Version,
    /// Rests while no request is under way.
    watch: Watch,
    /// Requests under way.
    requests: Cell<usize>,
    /// The request that has just begun; with HTTP/1.1, the last one.
    begun: RefCell<Option<Rc<Pace>>>,
    _seat: Seat,
}

impl Peer {
    pub(super) fn new(
        worker: Rc<Worker>,
        site: Arc<Site>,
        purpose: Purpose,
        (address, secure): (IpAddr, bool),
        version: Version,
        watch: Watch,
        seat: Seat,
    ) -> Self {
        let (requests, begun) = (Cell::new(0), RefCell::new(None));
        Self { worker, site, purpose, address, secure, version, watch, requests, begun, _seat: seat }
    }

    fn rest(&self) {
        self.watch.rest(self.worker.millis(self.worker.limits.keep_alive));
    }

    /// Whether no new request is to come over this connection.
    fn is_closing(&self) -> bool {
        let outlived = self.version == Version::Http1 && !self.site.route.load().needs_streams();
        self.worker.draining.get() || self.site.closed.load(Relaxed) || outlived
    }
}

/// Serves a connection to its end. `prefix` was read from it already.
pub(super) async fn serve(peer: Peer, socket: Socket, prefix: Bytes) {
    let peer = Rc::new(peer);
    peer.rest();
    let io = TokioIo::new(Rewound { prefix, socket });
    let service = service_fn(|request| {
        let under_way = UnderWay::begin(&peer);
        peer.begun.replace(Some(Rc::clone(&under_way.pace)));
        let peer = Rc::clone(&peer);
        async move { Ok::<_, Infallible>(respond::respond(&peer, under_way, request).await) }
    });
    match peer.version {
        Version::Http1 => {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(peer.worker.limits.keep_alive)
                .max_headers(MAX_FIELDS)
                .max_buf_size(MAX_HEAD)
                .auto_date_header(false)
                .serve_connection(io, service);
            drive(&peer, connection, http1::Connection::graceful_shutdown).await;
        }
        Version::Http2 => {
            let connection = http2::Builder::new(Streams(Rc::clone(&peer)))
                .timer(TokioTimer::new())
                .max_concurrent_streams(MAX_STREAMS)
                .max_header_list_size(MAX_HEAD as u32)
                .max_pending_accept_reset_streams(MAX_RESETS)
                .initial_stream_window_size(RECEIVE_WINDOWS.0)
                .initial_connection_window_size(RECEIVE_WINDOWS.1)
                .max_send_buf_size(SEND_BUFFER)
                .auto_date_header(false)
                .serve_connection(io, service);
            drive(&peer, connection, http2::Connection::graceful_shutdown).await;
        }
    }
}

/// Drives a connection until it ends, or has rested for too long, or nobody is served here any more.
async fn drive<C: Future>(peer: &Peer, connection: C, end: impl Fn(Pin<&mut C>)) {
    let mut connection = pin!(connection);
    let mut ending = false;
    poll_fn(|context| {
        let late = peer.watch.has_passed(context) && peer.requests.get() == 0;
        if late && ending {
            return Poll::Ready(());
        }
        // With HTTP/2 an end can be told at any time, and crosses no request. With HTTP/1.1 it goes along with an answer.
        let can_end = peer.version == Version::Http2 || peer.requests.get() > 0;
        if (late || can_end && peer.is_closing()) && !std::mem::replace(&mut ending, true) {
            end(connection.as_mut());
            if peer.requests.get() == 0 {
                peer.watch.set(peer.worker.millis(peer.worker.limits.head));
            }
        }
        if connection.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        // Streams look after themselves.
        let stalled = peer.version == Version::Http1
            && peer.begun.borrow().as_ref().is_some_and(|pace| pace.is_over(context));
        if stalled { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// One of a connection's requests, until its response has ended.
struct UnderWay {
    peer: Rc<Peer>,
    pace: Rc<Pace>,
}

impl UnderWay {
    fn begin(peer: &Rc<Peer>) -> Self {
        peer.requests.set(peer.requests.get() + 1);
        peer.watch.set(u64::MAX);
        Self { peer: Rc::clone(peer), pace: Rc::new(Pace::new(&peer.worker, &peer.site)) }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.pace.end();
        let left = self.peer.requests.get() - 1;
        self.peer.requests.set(left);
        if left == 0 {
            self.peer.rest();
        }
    }
}

/// Runs `hyper`'s tasks on the worker's own thread.
#[derive(Clone, Copy)]
struct Local;

impl<F: Future + 'static> Executor<F> for Local {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(async move { drop(task.await) });
    }
}

/// Runs a connection's streams, and cuts those that rest for too long: a client that takes nothing of its response would never
/// let it end.
#[derive(Clone)]
struct Streams(Rc<Peer>);

impl<F: Future + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let pace = self.0.begun.take();
        tokio::task::spawn_local(async move {
            let mut stream = pin!(stream);
            poll_fn(|context| {
                let ended = stream.as_mut().poll(context).is_ready();
                let is_over = || pace.as_ref().is_some_and(|pace| pace.is_over(context));
                if ended || is_over() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        });
    }
}

/// A connection of which something was read already.
struct Rewound {
    prefix: Bytes,
    socket: Socket,
}

impl AsyncRead for Rewound {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.prefix.is_empty() {
            return Pin::new(&mut this.socket).poll_read(context, buffer);
        }
        let count = this.prefix.len().min(buffer.remaining());
        buffer.put_slice(&this.prefix.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}
