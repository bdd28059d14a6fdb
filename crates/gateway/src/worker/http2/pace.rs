//! One request's time: who owes the next byte, when it is over, and how the request is counted when it has ended.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use http::HeaderMap;

use super::grpc;
use crate::meter::{Ending, Ticket};
use crate::table::{Arm, Endpoint, Site};
use crate::worker::Worker;
use crate::worker::deadline::Watch;

/// How long a call may go on behind its client's deadline, so that an endpoint which keeps deadlines can say itself that this one
/// has passed.
const GRACE: Duration = Duration::from_secs(1);

/// What the parts of one request know of each other.
pub(super) struct Pace {
    worker: Rc<Worker>,
    watch: Watch,
    begun: Instant,
    /// How long neither side may send anything.
    limit: Cell<Duration>,
    /// When the client's own deadline is over.
    end: Cell<u64>,
    timeout: Cell<Option<Duration>>,
    /// Whether the rest of the request is awaited, and nothing of it is there.
    pub(super) client_owes: Cell<bool>,
    /// Whether the rest of the response is awaited, and nothing of it is there.
    pub(super) endpoint_owes: Cell<bool>,
    /// Whether the client broke off its request.
    pub(super) client_left: Cell<bool>,
    is_over: Cell<bool>,
    has_ended: Cell<bool>,
    upload: RefCell<Option<Waker>>,
}

impl Pace {
    pub(super) fn new(worker: &Rc<Worker>, site: &Arc<Site>) -> Self {
        let pace = Self {
            worker: Rc::clone(worker),
            watch: Watch::new(worker, site),
            begun: Instant::now(),
            limit: Cell::new(worker.limits.idle),
            end: Cell::new(u64::MAX),
            timeout: Cell::new(None),
            client_owes: Cell::new(false),
            endpoint_owes: Cell::new(false),
            client_left: Cell::new(false),
            is_over: Cell::new(false),
            has_ended: Cell::new(false),
            upload: RefCell::new(None),
        };
        pace.progress();
        pace
    }

    /// Reads from a request's head how long it may take. Calls of gRPC may rest for as long as tunnels, and keep the deadline that
    /// they come with.
    pub(super) fn expect(&self, fields: &HeaderMap) {
        if !grpc::is_grpc(fields) {
            return;
        }
        self.limit.set(self.worker.limits.tunnel);
        if let Some(timeout) = grpc::timeout(fields) {
            self.timeout.set(Some(timeout));
            self.end.set(self.worker.millis(timeout.saturating_add(GRACE)));
        }
        self.progress();
    }

    /// Notes that something moved.
    pub(super) fn progress(&self) {
        self.watch.set(self.worker.millis(self.limit.get()).min(self.end.get()));
    }

    /// Gives a request that is to be answered here and now the time to be answered in.
    pub(super) fn last_words(&self) {
        self.end.set(u64::MAX);
        self.limit.set(self.worker.limits.idle);
        self.progress();
    }

    /// Whether nothing has moved for too long; if not, the task is woken when it is so.
    pub(super) fn is_late(&self, context: &Context<'_>) -> bool {
        self.watch.has_passed(context)
    }

    /// As [`is_late`](Self::is_late); the request ends with it.
    pub(super) fn is_over(&self, context: &Context<'_>) -> bool {
        let late = !self.has_ended.get() && self.watch.has_passed(context);
        if late {
            self.is_over.set(true);
        }
        late
    }

    /// The response has ended, or nobody wants it: what is left of the request is of no use.
    pub(super) fn end(&self) {
        self.has_ended.set(true);
        self.watch.set(u64::MAX);
        if let Some(waker) = self.upload.take() {
            waker.wake();
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.get()
    }

    /// Wakes the request's body when the response has ended.
    pub(super) fn wake_upload(&self, context: &Context<'_>) {
        self.upload.replace(Some(context.waker().clone()));
    }

    /// Whether the client waited for nearly as long as it said that it would.
    fn reached_deadline(&self) -> bool {
        // Its clock began before ours, by the time that the request was on its way.
        self.timeout.get().is_some_and(|timeout| self.begun.elapsed() >= timeout - timeout / 10)
    }
}

/// Who is at fault where a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Not known yet: it was cut short.
    Open,
    /// It went well.
    None,
    /// Not the version's.
    Client,
    /// The version answered that it failed, or broke off.
    Version,
    /// The version did not answer: the gateway did.
    Unanswered,
}

/// Counts one request as it ended, once it has.
pub(super) struct Account {
    ticket: Ticket,
    pace: Rc<Pace>,
    asked: Option<AskedEndpoint>,
    fault: Fault,
}

/// Who has a request.
struct AskedEndpoint {
    endpoint: Arc<Endpoint>,
    /// All endpoints of its arm.
    arm: Arc<[Arc<Endpoint>]>,
}

impl Account {
    pub(super) fn new(ticket: Ticket, pace: &Rc<Pace>) -> Self {
        Self { ticket, pace: Rc::clone(pace), asked: None, fault: Fault::Open }
    }

    /// Notes which endpoint has the request now.
    pub(super) fn asks(&mut self, endpoint: &Arc<Endpoint>, arm: &Arm) {
        self.asked = Some(AskedEndpoint { endpoint: Arc::clone(endpoint), arm: Arc::clone(&arm.endpoints) });
    }

    /// Notes that no endpoint has it.
    pub(super) fn asks_nobody(&mut self) {
        self.asked = None;
    }

    pub(super) fn went_well(&mut self) {
        self.fault = Fault::None;
    }

    pub(super) fn failed(&mut self) {
        self.fault = Fault::Version;
    }

    pub(super) fn is_unanswered(&mut self) {
        self.fault = Fault::Unanswered;
    }

    pub(super) fn is_the_clients(&mut self) {
        self.fault = Fault::Client;
    }

    /// Whose fault it is that a request ended before its response did.
    fn cut(&self) -> Fault {
        let pace = &self.pace;
        let waits_for_endpoint = pace.endpoint_owes.get() && !pace.client_owes.get();
        if pace.is_over.get() && waits_for_endpoint || pace.reached_deadline() {
            Fault::Version
        } else {
            Fault::Client
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let fault = if self.fault == Fault::Open { self.cut() } else { self.fault };
        let now = self.pace.worker.now.get();
        match (fault, &self.asked) {
            (Fault::Version | Fault::Unanswered, Some(asked)) => asked.endpoint.failed(&asked.arm, now),
            (Fault::None, Some(asked)) => asked.endpoint.answered(now),
            (Fault::Open | Fault::Client, _) | (_, None) => {}
        }
        self.ticket.ended(match fault {
            Fault::Open | Fault::None | Fault::Client => Ending::Fine,
            Fault::Version => Ending::Error,
            Fault::Unanswered => Ending::GatewayError,
        });
    }
}
