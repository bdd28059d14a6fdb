//! Attempts that wait for a worker.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::order::Work;

/// A queue for several workers. Closed, it gives out nothing more.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct State {
    work: VecDeque<Work>,
    closed: bool,
}

impl Queue {
    /// Adds an Attempt at the end.
    pub fn push(&self, work: Work) {
        self.lock().work.push_back(work);
        self.news.notify_one();
    }

    /// Waits for an Attempt; `None` once the queue is closed.
    pub fn take(&self) -> Option<Work> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(work) = state.work.pop_front() {
                return Some(work);
            }
            state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes out what nobody has begun and `keep` does not hold back.
    pub fn withdraw(&self, keep: impl Fn(&Work) -> bool) -> Vec<Work> {
        let mut state = self.lock();
        let (kept, withdrawn) = std::mem::take(&mut state.work).into_iter().partition(keep);
        state.work = kept;
        Vec::from(withdrawn)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is one call on the deque, so a panic elsewhere leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes a queue when it goes, so that no worker waits for one that is gone.
#[derive(Debug)]
pub struct Closing<'a>(pub &'a Queue);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.news.notify_all();
    }
}
