//! What the workers look at for each request: sites, their routes, arms and endpoints.
//!
//! The control task replaces a site's route in one step; a worker loads it once per request. Arms' meters and
//! endpoints outlive a route, so that counters and back-offs carry over.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwap;
use towpath_api::gateway as api;
use towpath_model::{Digest, EnvironmentKey};

use crate::choose::{self, Candidate};
use crate::meter::Meter;

/// One Environment's place in the gateway.
pub struct Site {
    /// Whose.
    pub environment: EnvironmentKey,
    /// Where its requests go now.
    pub route: ArcSwap<Route>,
    /// Set once the Environment is no longer served here: kept-alive connections end after their request.
    pub closed: AtomicBool,
}

/// A route in the form in which it is used.
pub struct Route {
    arms: Vec<Arm>,
    turns: Box<[Turn]>,
    seed: u64,
}

/// One worker's position in the sequence of places.
#[repr(align(64))]
#[derive(Default)]
struct Turn(AtomicU64);

/// One Revision's share.
pub struct Arm {
    /// The Revision.
    pub revision: Digest,
    /// In thousandths.
    pub weight: u16,
    /// Its Instances.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Its counters.
    pub meter: Arc<Meter>,
}

/// One Instance.
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    in_flight: AtomicU32,
    failures: AtomicU32,
    retry_at: AtomicU64,
}

impl Endpoint {
    fn new(address: SocketAddr) -> Self {
        let zero = AtomicU64::new(0);
        Self { address, in_flight: AtomicU32::new(0), failures: AtomicU32::new(0), retry_at: zero }
    }

    /// Notes that it did not take a connection at `now`, in milliseconds: it is left alone for a while.
    pub fn refused(&self, now: u64) {
        let failures = self.failures.fetch_add(1, Relaxed).saturating_add(1);
        self.retry_at.store(now + choose::back_off(failures), Relaxed);
    }

    /// Notes that it took a connection.
    pub fn connected(&self) {
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
            self.retry_at.store(0, Relaxed);
        }
    }

    /// Counts a request to it for as long as the guard lives.
    pub fn busy(self: &Arc<Self>) -> Busy {
        self.in_flight.fetch_add(1, Relaxed);
        Busy(Arc::clone(self))
    }
}

/// One request that an endpoint works on.
pub struct Busy(Arc<Endpoint>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

impl Arm {
    /// The endpoint to try next, other than those that were `tried` for this request.
    pub fn pick(&self, turn: u64, now: u64, tried: &[SocketAddr]) -> Option<&Arc<Endpoint>> {
        if let ([only], []) = (self.endpoints.as_slice(), tried) {
            return Some(only);
        }
        let look = |endpoint: &Arc<Endpoint>| Candidate {
            in_flight: endpoint.in_flight.load(Relaxed),
            retry_at: endpoint.retry_at.load(Relaxed),
            tried: tried.contains(&endpoint.address),
        };
        let candidates: Vec<Candidate> = self.endpoints.iter().map(look).collect();
        choose::endpoint(&candidates, turn, now).map(|index| &self.endpoints[index])
    }
}

impl Route {
    /// A route that answers everything with `503`.
    #[must_use]
    pub fn empty() -> Self {
        Self { arms: Vec::new(), turns: Box::default(), seed: 0 }
    }

    /// The arm that a worker's next request goes to, and the request's turn.
    pub fn pick(&self, worker: usize) -> Option<(&Arm, u64)> {
        let turn = &self.turns.get(worker)?.0;
        let now = turn.load(Relaxed);
        // One writer per turn: a plain store is enough.
        turn.store(now + 1, Relaxed);
        let place = choose::place(self.seed.wrapping_add(worker as u64), now);
        let index = choose::arm_at(self.arms.iter().map(|arm| arm.weight), place)?;
        Some((&self.arms[index], now))
    }
}

/// Meters and endpoints that outlive a route.
pub struct Workshop {
    workers: usize,
    edges: Arc<[u64]>,
    meters: HashMap<(EnvironmentKey, Digest), Arc<Meter>>,
    endpoints: HashMap<SocketAddr, Arc<Endpoint>>,
}

impl Workshop {
    /// Makes routes for so many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        let edges = crate::meter::edges();
        Self { workers, edges, meters: HashMap::new(), endpoints: HashMap::new() }
    }

    /// Brings a route into the form in which it is used; `seed` makes its sequence of places unguessable.
    pub fn compile(&mut self, route: &api::Route, seed: u64) -> Route {
        let arms = route.arms.iter().map(|arm| self.arm(&route.environment, arm)).collect();
        let turns = (0..self.workers).map(|_| Turn::default()).collect();
        Route { arms, turns, seed }
    }

    fn arm(&mut self, environment: &EnvironmentKey, arm: &api::Arm) -> Arm {
        let (workers, edges) = (self.workers, &self.edges);
        let meter = self
            .meters
            .entry((environment.clone(), arm.revision))
            .or_insert_with(|| Arc::new(Meter::new(workers, Arc::clone(edges))));
        let endpoint = |address: &SocketAddr| {
            let endpoint =
                self.endpoints.entry(*address).or_insert_with(|| Arc::new(Endpoint::new(*address)));
            Arc::clone(endpoint)
        };
        Arm {
            revision: arm.revision,
            weight: arm.weight,
            meter: Arc::clone(meter),
            endpoints: arm.endpoints.iter().map(endpoint).collect(),
        }
    }

    /// Every meter, with whose it is.
    pub fn meters(&self) -> impl Iterator<Item = (&(EnvironmentKey, Digest), &Arc<Meter>)> {
        self.meters.iter()
    }

    /// Forgets what no route and no request uses any more.
    pub fn tidy(&mut self, done: &[(EnvironmentKey, Digest)]) {
        for key in done {
            self.meters.remove(key);
        }
        self.endpoints.retain(|_, endpoint| Arc::strong_count(endpoint) > 1);
    }
}
