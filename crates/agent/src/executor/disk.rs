//! Ends an Attempt that fills the disk: above its own limit, or until nothing would be left for anybody.
//!
//! No file system that is in use everywhere counts by directory, so this looks from time to time. What a Step writes
//! between two looks is not stopped; what is left for others is chosen so that it does not matter.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::statvfs;

use crate::executor::{Attempt, Cancel, CancelReason};

/// The pause between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// A walk through the workspace is repeated after this many times what it took.
const REST: u32 = 20;

/// What must stay free on the file system: this, or a twentieth of it where that is less.
const FLOOR: u64 = 1 << 30;

/// Looks until it is dropped.
#[derive(Debug)]
pub(super) struct DiskWatch {
    /// Dropping this end ends the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl DiskWatch {
    pub(super) fn start(attempt: &Attempt<'_>, cancel: &Cancel) -> Self {
        if attempt.isolation.is_host() && attempt.policy.limits.disk.is_none() {
            return Self { stop: None, thread: None };
        }
        let (stop, stopped) = channel::<()>();
        let limit = attempt.policy.limits.disk;
        let places: Vec<PathBuf> = attempt.policy.writable.clone();
        let scratch = attempt.scratch.to_owned();
        let cache = attempt.policy.cache.clone();
        let cancel = cancel.clone();
        let watch = move || {
            // What lies in the cache was there before.
            let own: Vec<&PathBuf> = places.iter().filter(|place| Some(*place) != cache.as_ref()).collect();
            let mut pause = EVERY;
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let begun = Instant::now();
                let used = limit.map(|limit| (limit, own.iter().map(|place| size(place)).sum::<u64>()));
                if let Some(reason) = verdict(used, space(&scratch)) {
                    cancel.cancel(CancelReason::Exceeded(reason));
                    return;
                }
                pause = EVERY.max(begun.elapsed() * REST);
            }
        };
        let thread = std::thread::Builder::new().name("disk-watch".to_owned()).spawn(watch);
        if let Err(error) = &thread {
            tracing::warn!("nobody watches the disk for an attempt: {error}");
        }
        Self { stop: Some(stop), thread: thread.ok() }
    }
}

impl Drop for DiskWatch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// Why the Attempt must end, from what it uses of its limit and from what is free of what there is.
fn verdict(used: Option<(u64, u64)>, space: Option<(u64, u64)>) -> Option<String> {
    if let Some((limit, used)) = used.filter(|(limit, used)| used > limit) {
        return Some(format!(
            "its workspace holds {} MB, more than `limits.disk` allows ({} MB)",
            used / 1_000_000,
            limit / 1_000_000
        ));
    }
    let (free, all) = space?;
    let floor = FLOOR.min(all / 20);
    (free < floor).then(|| {
        format!(
            "the agent's disk has only {} MB left, and what is below {} MB is kept for others; make room on the agent, or set \
             `limits.disk` to find the job that fills it",
            free / 1_000_000,
            floor / 1_000_000
        )
    })
}

fn space(place: &Path) -> Option<(u64, u64)> {
    let found = statvfs(place).ok()?;
    Some((found.f_bavail.saturating_mul(found.f_frsize), found.f_blocks.saturating_mul(found.f_frsize)))
}

/// Bytes on the disk below `place`, as far as they can be seen; links are not followed.
fn size(place: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let mut open = vec![place.to_owned()];
    let mut bytes = 0;
    while let Some(directory) = open.pop() {
        let Ok(entries) = std::fs::read_dir(directory) else { continue };
        for entry in entries.flatten() {
            // It may be gone by now.
            let Ok(data) = entry.metadata() else { continue };
            bytes += data.blocks() * 512;
            if data.is_dir() {
                open.push(entry.path());
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_what_uses_too_much_and_nothing_else() {
        let gigabyte = 1 << 30;
        assert_eq!(verdict(Some((gigabyte, gigabyte)), Some((50 * gigabyte, 100 * gigabyte))), None);
        assert!(verdict(Some((gigabyte, gigabyte + 1)), None).unwrap().contains("limits.disk"));
        assert!(verdict(None, Some((gigabyte - 1, 100 * gigabyte))).unwrap().contains("MB left"));
        // A small disk has a small floor.
        assert_eq!(verdict(None, Some((gigabyte / 2, 4 * gigabyte))), None);
    }
}
