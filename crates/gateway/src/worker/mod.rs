//! A worker: one thread, one event loop, its own connections, upstream pool, buffers and deadlines.
//!
//! Workers share nothing that is written per request. All of them accept from the same listening socket, so a
//! busy worker leaves new connections to an idle one.

mod buffer;
mod client;
mod deadline;
mod exchange;
mod http2;
mod socket;
mod upstream;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::table::{self, Door};
use buffer::Buffers;
use deadline::Deadlines;
use upstream::Pool;

/// Bounds and waits of the data path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Client connections of one worker; more wait in the kernel's queue.
    pub connections: usize,
    /// How long an endpoint may take to accept a connection.
    pub connect: Duration,
    /// How long a client may take for a request's head, once it has begun.
    pub head: Duration,
    /// How long a client's connection may rest between requests.
    pub keep_alive: Duration,
    /// How long a client or an endpoint may let a transfer rest, the wait for a response included.
    pub idle: Duration,
    /// How long nothing may move in a connection that has switched protocols, such as to WebSocket.
    pub tunnel: Duration,
    /// How long a pooled connection to an endpoint may rest. Shorter than common servers' own keep-alive (5 s in
    /// Node.js), so that a request rarely meets a connection that is just being closed.
    pub pooled: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connect: Duration::from_secs(2),
            head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            idle: Duration::from_secs(60),
            tunnel: Duration::from_secs(3600),
            pooled: Duration::from_secs(4),
        }
    }
}

/// What one listening socket serves; that may change while it listens.
pub struct Binding {
    /// Where.
    pub address: SocketAddr,
    /// Whose requests these are, and what for.
    pub door: ArcSwap<Door>,
}

/// An order to a worker.
pub enum Command {
    /// Accept from this socket.
    Listen(StdListener, Arc<Binding>),
    /// Stop accepting there.
    Unlisten(SocketAddr),
    /// Tell when everything that started before has seen the current routes.
    Barrier(oneshot::Sender<()>),
    /// Accept nothing any more, let requests end, close what rests for longer than the first, end after the second.
    Drain(Duration, Duration),
}

/// A worker as others see it. It ends when it has drained or when this is dropped.
pub struct Handle {
    commands: mpsc::UnboundedSender<Command>,
    thread: std::thread::JoinHandle<()>,
}

impl Handle {
    /// Starts a worker.
    ///
    /// # Errors
    /// When the system gives no thread or no event queue.
    pub fn start(index: usize, limits: Limits) -> std::io::Result<Self> {
        let (commands, orders) = mpsc::unbounded_channel();
        let (started, outcome) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new()
            .name(format!("gateway-{index}"))
            .stack_size(512 * 1024)
            .spawn(move || run_thread(index, limits, orders, &started))?;
        outcome.recv().unwrap_or_else(|_| Err(std::io::Error::other("the worker ended as it started")))?;
        Ok(Self { commands, thread })
    }

    /// Gives an order. A worker that has ended needs none.
    pub fn order(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// Whether it has drained.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }
}

fn run_thread(
    index: usize,
    limits: Limits,
    orders: mpsc::UnboundedReceiver<Command>,
    started: &std::sync::mpsc::Sender<std::io::Result<()>>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default());
    match runtime {
        Ok(runtime) => {
            let _ = started.send(Ok(()));
            runtime.block_on(Worker::new(index, limits).run(orders));
        }
        Err(error) => {
            let _ = started.send(Err(error));
        }
    }
}

/// What all connections of one worker share.
pub(crate) struct Worker {
    index: usize,
    limits: Limits,
    /// Milliseconds, as [`table::now`] counts them, as of the last tick: exact enough for time-outs.
    now: Cell<u64>,
    buffers: Buffers,
    pool: Pool,
    senders: http2::Senders,
    deadlines: Deadlines,
    connections: Cell<usize>,
    freed: Notify,
    draining: Cell<bool>,
    ids: RefCell<RequestIds>,
}

/// How often time-outs are looked at.
const TICK: Duration = Duration::from_millis(100);

impl Worker {
    fn new(index: usize, limits: Limits) -> Rc<Self> {
        Rc::new(Self {
            index,
            limits,
            now: Cell::new(table::now()),
            buffers: Buffers::default(),
            pool: Pool::default(),
            senders: http2::Senders::default(),
            deadlines: Deadlines::default(),
            connections: Cell::new(0),
            freed: Notify::new(),
            draining: Cell::new(false),
            ids: RefCell::new(RequestIds::new()),
        })
    }

    fn millis(&self, duration: Duration) -> u64 {
        self.now.get() + u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 2)
    }

    async fn run(self: Rc<Self>, mut orders: mpsc::UnboundedReceiver<Command>) {
        let mut accepting: HashMap<SocketAddr, JoinHandle<()>> = HashMap::new();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut end_at = None;
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.obey(order, &mut accepting, &mut end_at),
                    None => return,
                },
                _ = ticks.tick() => {
                    self.tick();
                    if end_at.is_some_and(|end| Instant::now() >= end || self.connections.get() == 0) {
                        return;
                    }
                }
            }
        }
    }

    fn obey(
        self: &Rc<Self>,
        order: Command,
        accepting: &mut HashMap<SocketAddr, JoinHandle<()>>,
        end_at: &mut Option<Instant>,
    ) {
        match order {
            Command::Listen(socket, binding) => {
                let address = binding.address;
                let task = tokio::task::spawn_local(accept(Rc::clone(self), socket, binding));
                if let Some(older) = accepting.insert(address, task) {
                    older.abort();
                }
            }
            Command::Unlisten(address) => {
                if let Some(task) = accepting.remove(&address) {
                    task.abort();
                }
            }
            Command::Barrier(done) => {
                let _ = done.send(());
            }
            Command::Drain(rest, limit) => {
                accepting.drain().for_each(|(_, task)| task.abort());
                self.draining.set(true);
                self.deadlines.shorten_rests(self.millis(rest));
                *end_at = Some(Instant::now() + limit);
            }
        }
    }

    fn tick(&self) {
        let now = table::now();
        self.now.set(now);
        self.deadlines.fire(now);
        self.pool.expire(now);
        self.senders.expire(now);
    }
}

/// Accepts until it is told to stop.
async fn accept(worker: Rc<Worker>, socket: StdListener, binding: Arc<Binding>) {
    let listener = match TcpListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, address = %binding.address, "cannot accept connections");
            return;
        }
    };
    loop {
        if worker.connections.get() >= worker.limits.connections {
            worker.freed.notified().await;
            continue;
        }
        match listener.accept().await {
            Ok((stream, peer)) => {
                let seat = Seat::take(&worker);
                tokio::task::spawn_local(client::serve(seat, stream, peer, binding.door.load_full()));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                // No file descriptor or no memory: waiting lets connections end and keeps the log readable.
                tracing::warn!(%error, address = %binding.address, "cannot accept for a moment");
                tokio::time::sleep(TICK).await;
            }
        }
    }
}

/// One of the connections that a worker may have.
pub(crate) struct Seat(Rc<Worker>);

impl Seat {
    fn take(worker: &Rc<Worker>) -> Self {
        worker.connections.set(worker.connections.get() + 1);
        Self(Rc::clone(worker))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get() - 1);
        self.0.freed.notify_one();
    }
}

fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// Makes ids that no other process makes: random, then counted.
struct RequestIds {
    prefix: u64,
    count: u64,
    text: String,
}

impl RequestIds {
    fn new() -> Self {
        Self { prefix: rand::random(), count: rand::random::<u64>() >> 16, text: String::new() }
    }

    fn next(&mut self) -> &str {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        self.count += 1;
        self.text.clear();
        for word in [self.prefix, self.count] {
            for shift in (0..16).rev() {
                self.text.push(char::from(HEX[(word >> (shift * 4)) as usize & 15]));
            }
        }
        &self.text
    }
}
