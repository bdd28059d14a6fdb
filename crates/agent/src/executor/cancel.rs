//! Ends an Attempt from another thread, at any moment.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::event::{EventfdFlags, eventfd};

/// Why an Attempt is ended from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelReason {
    /// A person or the server wants it to end; the text says why.
    Cancelled(String),
    /// It used more than it may; the text says of what.
    Exceeded(String),
    /// Somebody else may hold the Attempt by now: it ends and nothing more is said about it.
    Abandoned(String),
}

/// A switch that can be thrown once; the first reason stays.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    reason: OnceLock<CancelReason>,
    /// Opened when somebody waits for it, so that an Attempt in a queue costs no descriptor.
    wake: OnceLock<OwnedFd>,
    /// Held while either of the two is set, so that each sees the other.
    setting: Mutex<()>,
}

impl Cancel {
    /// Makes a switch that is not thrown.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Throws it. A second call changes nothing.
    pub fn cancel(&self, reason: CancelReason) {
        let _setting = self.inner.setting.lock().unwrap_or_else(PoisonError::into_inner);
        // The reason is set before the descriptor wakes a reader, so a reader that is woken finds it.
        if self.inner.reason.set(reason).is_ok()
            && let Some(wake) = self.inner.wake.get()
        {
            throw(wake);
        }
    }

    /// The reason, once it was thrown.
    #[must_use]
    pub fn reason(&self) -> Option<&CancelReason> {
        self.inner.reason.get()
    }

    /// Becomes readable when it is thrown, and stays so.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub(crate) fn descriptor(&self) -> std::io::Result<BorrowedFd<'_>> {
        if let Some(wake) = self.inner.wake.get() {
            return Ok(wake.as_fd());
        }
        let _setting = self.inner.setting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.inner.wake.get().is_none() {
            let opened = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
            if self.inner.reason.get().is_some() {
                throw(&opened);
            }
            let _first = self.inner.wake.set(opened);
        }
        let wake = self.inner.wake.get();
        wake.map(AsFd::as_fd).ok_or_else(|| std::io::Error::other("the switch has no descriptor"))
    }
}

/// Makes it readable.
fn throw(wake: &OwnedFd) {
    // A full counter (EAGAIN) is readable too, which is all that matters.
    let _already_readable = rustix::io::write(wake, &1_u64.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn is_readable(cancel: &Cancel) -> bool {
        let descriptor = cancel.descriptor().unwrap();
        let mut asked = [PollFd::new(&descriptor, PollFlags::IN)];
        poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
    }

    #[test]
    fn it_is_readable_once_thrown_whoever_came_first() {
        let waited_for = Cancel::new();
        assert!(!is_readable(&waited_for));
        waited_for.cancel(CancelReason::Cancelled("first".to_owned()));
        waited_for.cancel(CancelReason::Cancelled("second".to_owned()));
        assert!(is_readable(&waited_for));
        assert_eq!(waited_for.reason(), Some(&CancelReason::Cancelled("first".to_owned())));
        let thrown_before = Cancel::new();
        thrown_before.cancel(CancelReason::Abandoned("early".to_owned()));
        assert!(is_readable(&thrown_before), "whoever looks later is woken too");
    }

    #[test]
    fn a_switch_that_nobody_waits_for_costs_no_descriptor() {
        let switches: Vec<Cancel> = (0..10_000).map(|_| Cancel::new()).collect();
        assert!(switches.iter().all(|switch| switch.inner.wake.get().is_none()));
    }
}
