//! Connections to endpoints, for requests that came as streams.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use towpath_api::gateway::Protocol;

use super::Local;
use super::body::{Resting, Upload};
use crate::table::Endpoint;
use crate::wire::{MAX_FIELDS, MAX_HEAD};
use crate::worker::{Worker, upstream};

/// How many resting connections of HTTP/1.1 are kept for one endpoint.
const MAX_IDLE: usize = 64;

/// How many requests share a connection before another is opened: what most servers take.
const MAX_STREAMS: u32 = 100;

/// How many connections with many requests each are opened to one endpoint.
const MAX_SHARED: usize = 16;

/// How many bytes of one response may be on their way to the gateway. All of a connection's together have room for every
/// request's, so that a client which takes nothing does not stop the others.
const RECEIVE_WINDOW: u32 = 128 * 1024;

/// How young a resting connection must be to carry a request that cannot be sent twice.
const FRESH: Duration = Duration::from_secs(1);

/// A worker's open connections, by endpoint.
#[derive(Default)]
pub(in crate::worker) struct Senders {
    /// Those of HTTP/1.1 that rest.
    http1: RefCell<HashMap<SocketAddr, Vec<Idle>>>,
    http2: RefCell<HashMap<SocketAddr, Vec<Shared>>>,
    /// Who opens a connection, so that a hundred requests at once do not open a hundred.
    opening: RefCell<HashMap<SocketAddr, Rc<Mutex<()>>>>,
}

/// A connection that rests.
struct Idle {
    sender: http1::SendRequest<Upload>,
    until: u64,
}

/// A connection with many requests at once.
struct Shared {
    sender: http2::SendRequest<Upload>,
    streams: Rc<Cell<u32>>,
    until: u64,
}

/// One request's place on a shared connection.
pub(super) struct Slot(Rc<Cell<u32>>);

impl Slot {
    fn take(streams: &Rc<Cell<u32>>) -> Self {
        streams.set(streams.get() + 1);
        Self(Rc::clone(streams))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Senders {
    /// Closes what rested too long, and forgets what has ended.
    pub(in crate::worker) fn expire(&self, now: u64) {
        self.http1.borrow_mut().retain(|_, idle| {
            idle.retain(|it| it.until > now && !it.sender.is_closed());
            !idle.is_empty()
        });
        self.http2.borrow_mut().retain(|_, shared| {
            shared.retain(|it| !it.sender.is_closed() && (it.streams.get() > 0 || it.until > now));
            !shared.is_empty()
        });
        self.opening.borrow_mut().retain(|_, gate| Rc::strong_count(gate) > 1);
    }

    /// Keeps a connection of HTTP/1.1 for the next request.
    pub(super) fn keep(&self, address: SocketAddr, sender: http1::SendRequest<Upload>, until: u64) {
        let mut http1 = self.http1.borrow_mut();
        let idle = http1.entry(address).or_default();
        if idle.len() < MAX_IDLE && !sender.is_closed() {
            idle.push(Idle { sender, until });
        }
    }

    fn resting(&self, address: &SocketAddr, now: u64) -> Option<http1::SendRequest<Upload>> {
        let mut http1 = self.http1.borrow_mut();
        let idle = http1.get_mut(address)?;
        std::iter::from_fn(|| idle.pop())
            .find(|it| it.until > now && it.sender.is_ready())
            .map(|it| it.sender)
    }

    /// A shared connection with room for a request. Where no more may be opened, the one with the fewest requests.
    fn shared(&self, address: &SocketAddr, until: u64) -> Option<Sender> {
        let mut http2 = self.http2.borrow_mut();
        let all = http2.get_mut(address)?;
        all.retain(|it| !it.sender.is_closed());
        let full = all.len() >= MAX_SHARED;
        let best = all.iter_mut().min_by_key(|it| it.streams.get())?;
        if best.streams.get() >= MAX_STREAMS && !full {
            return None;
        }
        best.until = until;
        Some(Sender::Http2(best.sender.clone(), Slot::take(&best.streams)))
    }

    fn share(&self, address: SocketAddr, sender: http2::SendRequest<Upload>, until: u64) -> Sender {
        let streams = Rc::new(Cell::new(0));
        let slot = Slot::take(&streams);
        let mut http2 = self.http2.borrow_mut();
        http2.entry(address).or_default().push(Shared { sender: sender.clone(), streams, until });
        Sender::Http2(sender, slot)
    }

    fn gate(&self, address: SocketAddr) -> Rc<Mutex<()>> {
        Rc::clone(self.opening.borrow_mut().entry(address).or_default())
    }
}

/// A way to send one request.
pub(super) enum Sender {
    Http1(http1::SendRequest<Upload>),
    Http2(http2::SendRequest<Upload>, Slot),
}

/// A request that was not answered. Where nothing of it was sent, it comes back.
pub(super) type Unsent = TrySendError<Request<Upload>>;

impl Sender {
    /// An open connection to an endpoint, or a new one; and whether it was open. A request that is `replayable` may take one
    /// that the endpoint is about to close.
    pub(super) async fn to(
        worker: &Rc<Worker>,
        endpoint: &Endpoint,
        protocol: Protocol,
        replayable: bool,
    ) -> io::Result<(Self, bool)> {
        match protocol {
            Protocol::Http1 => {
                let youth =
                    if replayable { Duration::ZERO } else { worker.limits.pooled.saturating_sub(FRESH) };
                if let Some(sender) = worker.senders.resting(&endpoint.address, worker.millis(youth)) {
                    return Ok((Self::Http1(sender), true));
                }
                Self::open_http1(worker, endpoint.address).await.map(|sender| (sender, false))
            }
            Protocol::H2c => Self::shared(worker, endpoint).await,
        }
    }

    async fn open_http1(worker: &Worker, address: SocketAddr) -> io::Result<Self> {
        let io = open(worker, address).await?;
        let (sender, connection) = http1::Builder::new()
            .max_headers(MAX_FIELDS)
            .max_buf_size(MAX_HEAD * 4)
            .handshake(io)
            .await
            .map_err(io::Error::other)?;
        tokio::task::spawn_local(async move { drop(connection.await) });
        Ok(Self::Http1(sender))
    }

    async fn shared(worker: &Rc<Worker>, endpoint: &Endpoint) -> io::Result<(Self, bool)> {
        let address = endpoint.address;
        let until = || worker.millis(worker.limits.pooled);
        if let Some(sender) = worker.senders.shared(&address, until()) {
            return Ok((sender, true));
        }
        let gate = worker.senders.gate(address);
        let (_alone, waited) = match gate.try_lock() {
            Ok(alone) => (alone, false),
            Err(_) => (gate.lock().await, true),
        };
        // Who was before has opened one, or has found out that none can be.
        if let Some(sender) = worker.senders.shared(&address, until()) {
            return Ok((sender, true));
        }
        if waited && endpoint.backs_off(worker.now.get()) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let io = open(worker, address).await?;
        let (sender, connection) = http2::Builder::new(Local)
            .timer(TokioTimer::new())
            .max_header_list_size(MAX_HEAD as u32)
            .initial_max_send_streams(MAX_STREAMS as usize)
            .initial_stream_window_size(RECEIVE_WINDOW)
            .initial_connection_window_size(RECEIVE_WINDOW * MAX_STREAMS)
            .handshake(io)
            .await
            .map_err(io::Error::other)?;
        tokio::task::spawn_local(async move { drop(connection.await) });
        Ok((worker.senders.share(address, sender, until()), false))
    }

    pub(super) async fn send(&mut self, request: Request<Upload>) -> Result<Response<Incoming>, Unsent> {
        match self {
            Self::Http1(sender) => sender.try_send_request(request).await,
            Self::Http2(sender, _) => sender.try_send_request(request).await,
        }
    }

    /// The connection, where another request can use it only after this one; and the place on it, where many can.
    pub(super) fn into_parts(
        self,
        worker: &Rc<Worker>,
        address: SocketAddr,
    ) -> (Option<Resting>, Option<Slot>) {
        match self {
            Self::Http1(sender) => (Some(Resting { worker: Rc::clone(worker), address, sender }), None),
            Self::Http2(_, slot) => (None, Some(slot)),
        }
    }
}

async fn open(worker: &Worker, address: SocketAddr) -> io::Result<TokioIo<TcpStream>> {
    upstream::connect(address, worker.limits.connect).await.map(TokioIo::new)
}
