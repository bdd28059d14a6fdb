//! Users: they ask production all the time, each request on a connection of its own, and remember what failed when.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How many users there are, and how long each rests between two requests.
const USERS: usize = 4;
const REST: Duration = Duration::from_millis(15);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Users at work.
pub(super) struct Load {
    shared: Arc<Shared>,
    users: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stopped: AtomicBool,
    seen: Mutex<Seen>,
}

/// What they saw.
#[derive(Default)]
pub(super) struct Seen {
    /// Requests since the first good answer.
    pub(super) requests: u64,
    /// Answers of a bad version: 500 with its name.
    pub(super) bad_version: u64,
    /// Requests without an answer of the service, with their begin and end.
    failures: Vec<(Instant, Instant, String)>,
    last_good: Option<Instant>,
}

impl Load {
    /// Sends the users on their way.
    pub(super) fn start(address: SocketAddr) -> Self {
        let shared = Arc::new(Shared::default());
        let user = |_| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                while !shared.stopped.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    shared.note(begun, ask(address));
                    std::thread::sleep(REST);
                }
            })
        };
        let users = (0..USERS).map(user).collect();
        Self { shared, users }
    }

    /// Whether anybody got an answer yet.
    pub(super) fn has_answers(&self) -> bool {
        self.shared.seen().last_good.is_some()
    }

    /// Whether a request that was sent after a moment got its answer.
    pub(super) fn answered_since(&self, moment: Instant) -> bool {
        self.shared.seen().last_good.is_some_and(|begun| begun > moment)
    }

    /// Calls the users home.
    pub(super) fn finish(self) -> Seen {
        self.shared.stopped.store(true, Ordering::Relaxed);
        for user in self.users {
            // A user who panicked is seen by what is missing.
            let _ = user.join();
        }
        std::mem::take(&mut *self.shared.seen())
    }
}

impl Shared {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, begun: Instant, answer: Result<u16, String>) {
        let mut seen = self.seen();
        match answer {
            Ok(200) => seen.last_good = Some(seen.last_good.map_or(begun, |last| last.max(begun))),
            // Before the first version serves there is nothing to lose.
            _ if seen.last_good.is_none() => return,
            Ok(_) => seen.bad_version += 1,
            Err(error) => seen.failures.push((begun, Instant::now(), error)),
        }
        seen.requests += 1;
    }
}

impl Seen {
    /// How many requests got no answer of the service.
    pub(super) fn failed(&self) -> usize {
        self.failures.len()
    }

    /// Failures at a time when the gateway was there.
    pub(super) fn problems(&self, outages: &[(Instant, Instant)]) -> Vec<String> {
        let excused =
            |begun: Instant, end: Instant| outages.iter().any(|(from, to)| begun <= *to && end >= *from);
        let unexcused: Vec<_> =
            self.failures.iter().filter(|(begun, end, _)| !excused(*begun, *end)).collect();
        let Some((_, _, first)) = unexcused.first() else { return Vec::new() };
        vec![format!("{} requests failed though the gateway was there; the first: {first}", unexcused.len())]
    }
}

/// One request. An error is one that the service did not answer.
fn ask(address: SocketAddr) -> Result<u16, String> {
    let words = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(words)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(words)?;
    let request = format!("GET /order HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(words)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(words)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    match status {
        Some(status @ (200 | 500)) if answer.contains("\r\n\r\nversion ") => Ok(status),
        _ => Err(format!("an answer of nobody: {}", answer.lines().next().unwrap_or("nothing at all"))),
    }
}
