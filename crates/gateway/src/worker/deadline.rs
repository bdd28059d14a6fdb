//! Time-outs of all connections of a worker, looked at a few times a second.
//!
//! Setting a deadline is one store, where a timer would cost more than parsing the request.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Waker};

use super::Worker;
use crate::table::Site;

/// All deadlines of a worker.
#[derive(Default)]
pub(super) struct Deadlines {
    next: Cell<u64>,
    all: RefCell<HashMap<u64, Rc<Deadline>>>,
    /// When every resting connection is to be closed, once the worker drains.
    rests_end: Cell<Option<u64>>,
}

/// One connection's deadline.
pub(super) struct Deadline {
    at: Cell<u64>,
    resting: Cell<bool>,
    fired: Cell<bool>,
    /// Whether it was woken because nobody new is served any more.
    told: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    site: Arc<Site>,
}

/// A deadline that is looked at for as long as this lives.
pub(super) struct Watch {
    worker: Rc<Worker>,
    id: u64,
    deadline: Rc<Deadline>,
}

impl Watch {
    pub(super) fn new(worker: &Rc<Worker>, site: &Arc<Site>) -> Self {
        let (id, deadline) = worker.deadlines.add(site);
        Self { worker: Rc::clone(worker), id, deadline }
    }
}

impl Deref for Watch {
    type Target = Deadline;

    fn deref(&self) -> &Deadline {
        &self.deadline
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.worker.deadlines.remove(self.id);
    }
}

impl Deadlines {
    fn add(&self, site: &Arc<Site>) -> (u64, Rc<Deadline>) {
        let deadline = Rc::new(Deadline {
            at: Cell::new(u64::MAX),
            resting: Cell::new(false),
            fired: Cell::new(false),
            told: Cell::new(false),
            waker: RefCell::new(None),
            site: Arc::clone(site),
        });
        let id = self.next.get();
        self.next.set(id + 1);
        self.all.borrow_mut().insert(id, Rc::clone(&deadline));
        (id, deadline)
    }

    fn remove(&self, id: u64) {
        self.all.borrow_mut().remove(&id);
    }

    /// Wakes every connection whose time is over, and once each that may take no new request any more.
    pub(super) fn fire(&self, now: u64) {
        let draining = self.rests_end.get().is_some();
        let rests_end = self.rests_end.get().unwrap_or(u64::MAX);
        for deadline in self.all.borrow().values() {
            let closed = deadline.site.closed.load(Relaxed);
            let rest_is_over = deadline.resting.get() && (now >= rests_end || closed);
            let due = now >= deadline.at.get() || rest_is_over;
            let news = (draining || closed) && !deadline.told.replace(true);
            if (due && !deadline.fired.replace(true) || news)
                && let Some(waker) = deadline.waker.borrow().as_ref()
            {
                waker.wake_by_ref();
            }
        }
    }

    /// Ends the rest of every connection between two requests at `at`.
    pub(super) fn shorten_rests(&self, at: u64) {
        self.rests_end.set(Some(at));
    }
}

impl Deadline {
    /// Waits for progress until `at`.
    pub(super) fn set(&self, at: u64) {
        self.at.set(at);
        self.resting.set(false);
        self.fired.set(false);
    }

    /// Waits for the next request until `at`.
    pub(super) fn rest(&self, at: u64) {
        self.set(at);
        self.resting.set(true);
    }

    /// Whether it has passed; if not, the task is woken when it does.
    pub(super) fn has_passed(&self, context: &Context<'_>) -> bool {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
        self.fired.get()
    }
}
