//! A bound on how fast passwords can be guessed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// Failures in one window after which a login must wait.
const PER_LOGIN: u32 = 10;

/// Failures in one window after which an address must wait; offices share one.
const PER_ADDRESS: u32 = 50;

/// How long failures count.
const WINDOW: SignedDuration = SignedDuration::from_mins(10);

/// The most keys that are remembered; the oldest window is forgotten first.
const MAX_KEYS: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Login(String, Option<IpAddr>),
    Address(IpAddr),
}

#[derive(Debug, Clone, Copy)]
struct Window {
    since: Timestamp,
    failures: u32,
}

/// Counts failed sign-ins by login and address.
#[derive(Debug, Default)]
pub struct LoginLimiter {
    windows: Mutex<HashMap<Key, Window>>,
}

impl LoginLimiter {
    /// Says how long the caller must wait before another try, if at all.
    #[must_use]
    pub fn wait(&self, login: &str, address: Option<IpAddr>, now: Timestamp) -> Option<SignedDuration> {
        let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        keys(login, address)
            .filter_map(|key| {
                let window = windows.get(&key)?;
                let left = (window.since + WINDOW).duration_since(now);
                (window.failures >= limit(&key) && left.is_positive()).then_some(left)
            })
            .max()
    }

    /// Counts a failure.
    pub fn failed(&self, login: &str, address: Option<IpAddr>, now: Timestamp) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys(login, address) {
            if windows.len() >= MAX_KEYS && !windows.contains_key(&key) {
                make_room(&mut windows, now);
            }
            let window = windows.entry(key).or_insert(Window { since: now, failures: 0 });
            if window.since + WINDOW <= now {
                *window = Window { since: now, failures: 0 };
            }
            window.failures += 1;
        }
    }

    /// Forgets the failures of a login that has signed in.
    pub fn succeeded(&self, login: &str, address: Option<IpAddr>) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.remove(&Key::Login(login.to_owned(), address));
    }
}

fn keys(login: &str, address: Option<IpAddr>) -> impl Iterator<Item = Key> {
    // By login and address: a stranger cannot lock the owner of the login out from elsewhere.
    let login: String = login.chars().take(100).collect();
    [Some(Key::Login(login, address)), address.map(Key::Address)].into_iter().flatten()
}

const fn limit(key: &Key) -> u32 {
    match key {
        Key::Login(..) => PER_LOGIN,
        Key::Address(_) => PER_ADDRESS,
    }
}

fn make_room(windows: &mut HashMap<Key, Window>, now: Timestamp) {
    windows.retain(|_, window| window.since + WINDOW > now);
    if windows.len() >= MAX_KEYS
        && let Some(oldest) =
            windows.iter().min_by_key(|(_, window)| window.since).map(|(key, _)| key.clone())
    {
        windows.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_failures_make_one_wait_until_the_window_ends() {
        let limiter = LoginLimiter::default();
        let home = Some(IpAddr::from([10, 0, 0, 1]));
        let t0 = Timestamp::UNIX_EPOCH;
        for _ in 0..PER_LOGIN {
            assert_eq!(limiter.wait("alice", home, t0), None);
            limiter.failed("alice", home, t0);
        }
        assert_eq!(limiter.wait("alice", home, t0), Some(WINDOW));
        assert_eq!(
            limiter.wait("alice", Some(IpAddr::from([10, 0, 0, 2])), t0),
            None,
            "locked out by a stranger"
        );
        assert_eq!(limiter.wait("alice", home, t0 + WINDOW), None);
    }

    #[test]
    fn memory_is_bounded() {
        let limiter = LoginLimiter::default();
        for n in 0..MAX_KEYS + 100 {
            limiter.failed(&n.to_string(), None, Timestamp::UNIX_EPOCH);
        }
        assert!(limiter.windows.lock().unwrap().len() <= MAX_KEYS);
    }
}
