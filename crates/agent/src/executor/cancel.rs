//! Ends an Attempt from another thread, at any moment.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};

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
#[derive(Debug, Clone)]
pub struct Cancel {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    reason: OnceLock<CancelReason>,
    wake: OwnedFd,
}

impl Cancel {
    /// Makes a switch that is not thrown.
    ///
    /// # Errors
    ///
    /// Fails when the process has no file descriptor left.
    pub fn new() -> std::io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { inner: Arc::new(Inner { reason: OnceLock::new(), wake }) })
    }

    /// Throws it. A second call changes nothing.
    pub fn cancel(&self, reason: CancelReason) {
        // The reason is set before the descriptor wakes a reader, so a reader that is woken finds it.
        if self.inner.reason.set(reason).is_ok() {
            // A full counter (EAGAIN) is readable too, which is all that matters.
            let _already_readable = rustix::io::write(&self.inner.wake, &1_u64.to_ne_bytes());
        }
    }

    /// The reason, once it was thrown.
    #[must_use]
    pub fn reason(&self) -> Option<&CancelReason> {
        self.inner.reason.get()
    }

    /// Becomes readable when it is thrown, and stays so.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.inner.wake.as_fd()
    }
}
