//! Starts the server, and stops it well.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use http::StatusCode;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use towpath_artifact::Authority;
use towpath_store::{Db, OpenError};
use url::Url;

use crate::app::{App, Shared};
use crate::auth::limiter::LoginLimiter;
use crate::auth::{Secret, setup};
use crate::compose::{self, ComposeError};
use crate::git::{GitHost, reconcile};
use crate::local::{LocalAccess, private_dir};
use crate::metrics::Metrics;
use crate::options::ServeOptions;
use crate::pools::{self, Pools};
use crate::push_note::PushNote;
use crate::tls::{Certificates, TlsError};
use crate::{agent_api, events, gateway_api, git, hooks, layers, listen, page, rest, scrape};

/// The largest JSON body.
const MAX_JSON: usize = 1 << 20;

/// How long a pool of agents may take to bring its last hook to an end.
const POOLS_END: Duration = Duration::from_secs(10);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The database would not open.
    #[error("failed to open the database")]
    Open(#[from] OpenError),
    /// The database failed.
    #[error("failed to use the database")]
    Store(#[from] towpath_store::StoreError),
    /// A directory could not be made.
    #[error("failed to use the data directory {}", path.display())]
    DataDir {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The address is taken, or not ours.
    #[error(
        "failed to listen on {address}; is another server running there? `--listen` takes another address"
    )]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A store or a key under the data directory cannot be used.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// Agents of pools could not join.
    #[error(
        "there are pools of agents, and agents of pools call over HTTPS, which this server speaks nowhere: give it \
         `agent_listen: 127.0.0.1:7879`, or an address that other hosts reach"
    )]
    PoolsNeedHttps,
    /// HTTPS cannot be served.
    #[error("failed to set up HTTPS")]
    Tls(#[from] TlsError),
}

/// A server that is ready and waits for [`Server::run`].
pub struct Server {
    app: App,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    for_agents: Option<(TcpListener, TlsAcceptor)>,
    certificates: Arc<Certificates>,
    address: SocketAddr,
    setup: Option<Url>,
}

impl Server {
    /// Opens the data directory, migrates the database and listens; requests wait until `run`.
    ///
    /// # Errors
    /// When any of it fails; nothing is left half done.
    pub async fn start(options: ServeOptions, clock: fn() -> Timestamp) -> Result<Self, ServeError> {
        let ServeOptions {
            data_dir,
            listen,
            agent_listen,
            agent_life,
            public_url,
            tls,
            git,
            retry_budget,
            outgoing,
            smtp,
            open_metrics,
            pools,
            allow_unsandboxed,
        } = options;
        for directory in ["", "git", "blobs", "logs", "keys", "run"] {
            let path = data_dir.join(directory);
            private_dir(&path).map_err(|source| ServeError::DataDir { path, source })?;
        }
        let db = Db::open(&data_dir.join("towpath.db")).await?;
        let names = names(listen, public_url.as_ref());
        let authority = Authority::load_or_create(&data_dir.join("keys"), &names[0], clock())
            .map_err(TlsError::from)?
            .with_agent_life(agent_life);
        let authority = Arc::new(authority);
        // Passwords never cross a network in clear text.
        let is_https = tls.is_some() || !listen.ip().is_loopback();
        let certificates = Certificates::new(Arc::clone(&authority), names, tls, clock())?;
        let acceptor = is_https.then(|| certificates.acceptor()).transpose()?;
        let listener = bind(listen).await?;
        let address =
            listener.local_addr().map_err(|source| ServeError::Listen { address: listen, source })?;
        let for_agents = match agent_listen {
            Some(address) => Some((bind(address).await?, certificates.acceptor()?)),
            None => None,
        };
        let agents_at = for_agents.as_ref().and_then(|(listener, _)| listener.local_addr().ok());
        let agents_url = agents_url(agents_at, is_https.then_some(address), public_url.as_ref());
        if agents_url.is_none() && !pools.is_empty() {
            return Err(ServeError::PoolsNeedHttps);
        }
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let own_url: Url =
            format!("{scheme}://{}/", reachable(address)).parse().expect("an address makes a URL");
        let public_url = public_url.unwrap_or_else(|| own_url.clone());
        let local = Secret::draw("tpl_");
        let access = LocalAccess {
            url: own_url.to_string(),
            token: local.reveal().to_owned(),
            authority: acceptor.is_some().then(|| authority.pem().to_owned()),
        };
        access
            .write(&data_dir)
            .map_err(|source| ServeError::DataDir { path: data_dir.join("run"), source })?;
        let setup = setup::offer(&db, clock()).await?;
        let setup = setup.and_then(|link| public_url.join(&towpath_ui::routes::setup(link.reveal())).ok());
        let engine = compose::engine(
            &data_dir,
            db.clone(),
            &public_url,
            allow_unsandboxed,
            retry_budget,
            compose::Outside { outgoing, smtp },
            clock,
        )?;
        let sink = Arc::new(PushNote(engine.clone()));
        let app = App::new(Shared {
            git: GitHost::new(data_dir.join("git"), git, sink),
            data_dir,
            engine,
            db,
            limiter: LoginLimiter::default(),
            tls: public_url.scheme() == "https",
            public_url,
            agents_url,
            authority,
            local_token: local.hash(),
            clock,
            pools: Pools::new(pools, allow_unsandboxed),
            log_index: page::LogIndex::default(),
            metrics: Metrics::default(),
            scraped: scrape::Scraped::default(),
            open_metrics,
            stopping: CancellationToken::new(),
        });
        Ok(Self { app, listener, tls: acceptor, for_agents, certificates, address, setup })
    }

    /// The server's state, for what runs beside it in the same process.
    #[must_use]
    pub const fn app(&self) -> &App {
        &self.app
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The one-time link by which the first admin is made, while there is none.
    #[must_use]
    pub const fn setup_link(&self) -> Option<&Url> {
        self.setup.as_ref()
    }

    /// Serves until `stop` fires, then lets requests finish and closes the database.
    pub async fn run(self, stop: CancellationToken) {
        let Self { app, listener, tls, for_agents, certificates, address: _, setup: _ } = self;
        let stopping = app.stopping.clone();
        let told = tokio::spawn({
            let stopping = stopping.clone();
            async move {
                stop.cancelled().await;
                stopping.cancel();
            }
        });
        let catching_up = tokio::spawn({
            let app = app.clone();
            async move {
                if let Err(error) = reconcile(&app.git, &app.db).await {
                    tracing::error!(%error, "failed to look for pushes from before the restart");
                }
            }
        });
        let engine = app.engine.clone();
        let working = tokio::spawn({
            let stopping = stopping.clone();
            async move { engine.run(stopping.cancelled()).await }
        });
        let scaling = tokio::spawn(pools::run(app.clone()));
        let fresh = tokio::spawn(certificates.keep_fresh(app.clock, stopping.clone()));
        let of_listeners = tokio::spawn(crate::listener_certificates::keep(app.clone()));
        let agents = async {
            if let Some((listener, tls)) = for_agents {
                listen::run(listener, Some(tls), agents_router(app.clone()), stopping.clone()).await;
            }
        };
        tokio::join!(listen::run(listener, tls, router(app.clone()), stopping.clone()), agents);
        told.abort();
        fresh.abort();
        of_listeners.abort();
        if tokio::time::timeout(POOLS_END, scaling).await.is_err() {
            tracing::warn!(
                "a pool of agents was busy when the server ended; the next start finds who is there"
            );
        }
        if working.await.is_err() {
            tracing::error!("the engine did not end well; what it was doing is done again at the next start");
        }
        catching_up.abort();
        app.db.close().await;
        tracing::info!("stopped");
    }
}

/// The names that the server's own certificate is for.
fn names(listen: SocketAddr, public_url: Option<&Url>) -> Vec<String> {
    let public = public_url.and_then(Url::host_str).map(str::to_owned);
    let listening = (!listen.ip().is_unspecified()).then(|| listen.ip().to_string());
    let mut names: Vec<String> = public.into_iter().chain([hostname()]).chain(listening).collect();
    names.extend(["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()]);
    names
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })
}

/// Where agents of other hosts find the server: on their own listener, else on the common one if it speaks HTTPS.
fn agents_url(own: Option<SocketAddr>, common: Option<SocketAddr>, public_url: Option<&Url>) -> Option<Url> {
    if let (None, Some(_), Some(public)) = (own, common, public_url.filter(|url| url.scheme() == "https")) {
        return Some(public.clone());
    }
    let address = own.or(common)?;
    let host = match public_url.and_then(Url::host_str) {
        Some(host) => host.to_owned(),
        None if address.ip().is_unspecified() => outward_address().unwrap_or_else(hostname),
        None if address.is_ipv6() => format!("[{}]", address.ip()),
        None => address.ip().to_string(),
    };
    format!("https://{host}:{}/", address.port()).parse().ok()
}

/// The address from which this host reaches others. Choosing a route sends nothing.
fn outward_address() -> Option<String> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip().to_string())
}

fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Where this machine itself reaches a listener.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) if address.ip().is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        SocketAddr::V6(_) if address.ip().is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        SocketAddr::V4(_) | SocketAddr::V6(_) => {}
    }
    address
}

/// Starts the server and serves until `stop` fires.
///
/// # Errors
/// When it cannot start.
pub async fn serve(options: ServeOptions, stop: CancellationToken) -> Result<(), ServeError> {
    Server::start(options, Timestamp::now).await?.run(stop).await;
    Ok(())
}

/// Everything that is served, with what happens to every request around it.
fn router(app: App) -> Router {
    let ordinary = Router::new()
        .merge(rest::router())
        .merge(page::router())
        .layer(from_fn(layers::in_time))
        .layer(CompressionLayer::new())
        .layer(DefaultBodyLimit::max(MAX_JSON));
    Router::new()
        .merge(ordinary)
        .merge(rest::uploads())
        .merge(git::router())
        .merge(hooks::router())
        .merge(agent_api::router())
        .merge(gateway_api::router())
        .route("/api/v1/events", get(events::events))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape::metrics))
        .fallback(page::missing)
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(from_fn_with_state(app.clone(), layers::around))
        .with_state(app)
}

/// What the listener for agents serves.
fn agents_router(app: App) -> Router {
    Router::new()
        .merge(agent_api::router())
        .route("/healthz", get(|| async { "ok\n" }))
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(from_fn_with_state(app.clone(), layers::around))
        .with_state(app)
}

/// Whether the database answers and the server is not about to stop.
async fn ready(State(app): State<App>) -> (StatusCode, &'static str) {
    let reads = async {
        let mut reader = app.db.reader().await?;
        towpath_store::timeline::last(&mut reader).await
    };
    match reads.await {
        Ok(_) if !app.stopping.is_cancelled() => (StatusCode::OK, "ready\n"),
        Ok(_) => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n"),
    }
}
