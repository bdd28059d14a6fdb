//! Connections: accepted, counted, given to the router, and let finish at the end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use towpath_artifact::authority::{agent_of, end_of};
use towpath_model::AgentId;

/// The most connections at once; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 1024;

/// How long a client may take for its TLS handshake or the head of a request.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long requests may go on after the server was told to stop.
const FAREWELL: Duration = Duration::from_secs(20);

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// The agent whose client certificate was verified on this connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerAgent {
    /// The agent.
    pub(crate) agent: AgentId,
    /// When its certificate ends: a connection may live longer.
    pub(crate) ends: Timestamp,
}

/// Serves until `stopping` fires, then lets requests finish.
pub(crate) async fn run(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    stopping: CancellationToken,
) {
    let turns = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let Ok(turn) = turns.clone().acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.cancelled() => break,
        };
        match accepted {
            Ok((stream, address)) => {
                let connection = Connection { address, router: router.clone(), _turn: turn };
                tokio::spawn(connection.begin(stream, tls.clone(), graceful.watcher()));
            }
            Err(error) => {
                // Out of file descriptors, mostly. A pause lets connections end instead of spinning.
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(FAREWELL, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in {FAREWELL:?} and were cut off");
    }
}

struct Connection {
    address: SocketAddr,
    router: Router,
    _turn: OwnedSemaphorePermit,
}

impl Connection {
    async fn begin(
        self,
        stream: TcpStream,
        tls: Option<TlsAcceptor>,
        watcher: hyper_util::server::graceful::Watcher,
    ) {
        let _ = stream.set_nodelay(true);
        match tls {
            None => self.serve(stream, None, watcher).await,
            Some(acceptor) => match tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let agent = peer_agent(stream.get_ref().1);
                    self.serve(stream, agent, watcher).await;
                }
                Ok(Err(error)) => note_failed_handshake(&error, self.address),
                Err(_) => tracing::debug!(peer = %self.address, "a TLS handshake took too long"),
            },
        }
    }

    async fn serve<S>(
        self,
        stream: S,
        agent: Option<PeerAgent>,
        watcher: hyper_util::server::graceful::Watcher,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let peer = Peer(self.address);
        let router = self.router.clone();
        let service = hyper::service::service_fn(move |mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(peer);
            if let Some(agent) = agent {
                request.extensions_mut().insert(agent);
            }
            let router = router.clone();
            async move {
                Ok::<_, Infallible>(
                    router.oneshot(request.map(Body::new)).await.unwrap_or_else(|error| match error {}),
                )
            }
        });
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
        builder.http2().timer(TokioTimer::new()).keep_alive_interval(PATIENCE).max_concurrent_streams(128);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, peer = %self.address, "a connection broke");
        }
    }
}

/// The agent that a verified client certificate names.
fn peer_agent(connection: &tokio_rustls::rustls::ServerConnection) -> Option<PeerAgent> {
    let certificate = connection.peer_certificates()?.first()?;
    Some(PeerAgent { agent: agent_of(certificate).ok()?, ends: end_of(certificate).ok()? })
}

/// Tells the operator of a refused certificate; what strangers send is nobody's concern.
fn note_failed_handshake(error: &io::Error, peer: SocketAddr) {
    let cause = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    if let Some(rustls::Error::InvalidCertificate(reason)) = cause {
        tracing::warn!(%peer, ?reason, "a client's certificate was refused; if it is an agent, let it join again");
    } else {
        tracing::debug!(%error, %peer, "a TLS handshake failed");
    }
}
