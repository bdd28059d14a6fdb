//! Connections to endpoints: opened in bounded time, kept for the next request.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::net::TcpStream;

/// How many resting connections are kept for one endpoint.
const MAX_IDLE: usize = 256;

/// A worker's resting connections.
#[derive(Default)]
pub(super) struct Pool(RefCell<HashMap<SocketAddr, Vec<Idle>>>);

struct Idle {
    stream: TcpStream,
    until: u64,
}

impl Pool {
    /// The connection that rested the shortest, unless the endpoint has closed it meanwhile.
    pub(super) fn take(&self, address: &SocketAddr, now: u64) -> Option<TcpStream> {
        let mut pool = self.0.borrow_mut();
        let idle = pool.get_mut(address)?;
        while let Some(Idle { stream, until }) = idle.pop() {
            // A resting connection has nothing to read; if it has, it is the end or an answer to nothing.
            let silent = stream.poll_read_ready(&mut Context::from_waker(Waker::noop())).is_pending();
            if until > now && silent {
                return Some(stream);
            }
        }
        None
    }

    /// Keeps a connection until `until`.
    pub(super) fn keep(&self, address: SocketAddr, stream: TcpStream, until: u64) {
        let mut pool = self.0.borrow_mut();
        let idle = pool.entry(address).or_default();
        if idle.len() < MAX_IDLE {
            idle.push(Idle { stream, until });
        }
    }

    /// Closes all resting connections to an endpoint that has just closed one of them.
    pub(super) fn forget(&self, address: &SocketAddr) {
        self.0.borrow_mut().remove(address);
    }

    /// Closes what rested too long.
    pub(super) fn expire(&self, now: u64) {
        self.0.borrow_mut().retain(|_, idle| {
            idle.retain(|idle| idle.until > now);
            !idle.is_empty()
        });
    }
}

/// Opens a connection within `limit`.
pub(super) async fn connect(address: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let stream = tokio::time::timeout(limit, TcpStream::connect(address))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
