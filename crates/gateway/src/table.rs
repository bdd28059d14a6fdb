//! What the workers look at for each request: sites, their routes, arms and endpoints.
//!
//! The control task replaces a site's route in one step; a worker loads it once per request. Arms' meters and
//! endpoints outlive a route, so that counters and back-offs carry over.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use arc_swap::{ArcSwap, ArcSwapOption};
use towpath_api::gateway as api;
use towpath_model::{Digest, EnvironmentKey};

use crate::choose::{self, Candidate};
use crate::meter::Meter;
use crate::wire::fields;

/// One Environment's place in the gateway.
pub struct Site {
    /// Whose.
    pub environment: EnvironmentKey,
    /// Where its requests go now.
    pub route: ArcSwap<Route>,
    /// What encrypted connections to its listener begin with; `None` where it speaks plain HTTP.
    pub tls: ArcSwapOption<rustls::ServerConfig>,
    /// Set once the Environment is no longer served here: kept-alive connections end after their request.
    pub closed: AtomicBool,
}

/// What one listening socket serves.
pub struct Door {
    /// Whose requests come in.
    pub site: Arc<Site>,
    /// What for.
    pub purpose: Purpose,
}

/// What a listening socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Users' requests.
    Front,
    /// Requests to a candidate that users do not reach yet.
    Preview,
    /// Telling the encrypted address, which has this port, to those who come without encryption.
    Redirect(u16),
}

/// A route in the form in which it is used.
pub struct Route {
    arms: Vec<Arm>,
    turns: Box<[Turn]>,
    seed: u64,
    /// What has to be read of a request's head to choose; `None` if nothing.
    by_head: Option<ByHead>,
    preview: Option<Arm>,
}

/// What of a request's head decides.
struct ByHead {
    rules: Vec<api::Rule>,
    sticky: Option<api::Sticky>,
    /// Tells this split from others, on every gateway in the same way.
    salt: u64,
}

/// One worker's position in the sequence of places, and how many requests went another way.
#[repr(align(64))]
#[derive(Default)]
struct Turn {
    split: AtomicU64,
    routed: AtomicU64,
}

/// Where a request goes.
pub struct Choice<'r> {
    /// Whose.
    pub arm: &'r Arm,
    /// Its turn among those that came the same way.
    pub turn: u64,
    /// What counts it.
    pub meter: &'r Arc<Meter>,
    /// The number that the client is to be told.
    pub number: Option<(u64, &'r api::Sticky)>,
}

/// One Revision's share.
pub struct Arm {
    /// The Revision.
    pub revision: Digest,
    /// In thousandths.
    pub weight: u16,
    /// Its Instances.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Counts the requests that its weight brings, or the preview address.
    pub meter: Arc<Meter>,
    /// Counts the requests that rules bring.
    pub routed: Arc<Meter>,
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
        Self { arms: Vec::new(), turns: Box::default(), seed: 0, by_head: None, preview: None }
    }

    /// Where a worker's next request goes. `head` is the one that the backend will get.
    pub fn pick(&self, worker: usize, head: &[u8]) -> Option<Choice<'_>> {
        let turns = self.turns.get(worker)?;
        let Some(by_head) = &self.by_head else {
            let turn = next(&turns.split);
            return self.split(choose::place(self.seed.wrapping_add(worker as u64), turn), turn, None);
        };
        if let Some(arm) = by_head.rule(head).and_then(|rule| self.arm_of(rule.revision)) {
            return Some(Choice { arm, turn: next(&turns.routed), meter: &arm.routed, number: None });
        }
        let turn = next(&turns.split);
        match &by_head.sticky {
            Some(sticky) => {
                let known = fields::cookies(head, &sticky.cookie).find_map(number);
                let number = known.unwrap_or_else(rand::random);
                let told = known.is_none().then_some((number, sticky));
                self.split(choose::place_of(number, by_head.salt), turn, told)
            }
            None => self.split(choose::place(self.seed.wrapping_add(worker as u64), turn), turn, None),
        }
    }

    /// Where a worker's next request through the preview address goes.
    pub fn preview(&self, worker: usize) -> Option<Choice<'_>> {
        let turn = next(&self.turns.get(worker)?.routed);
        let arm = self.preview.as_ref()?;
        Some(Choice { arm, turn, meter: &arm.meter, number: None })
    }

    fn split<'r>(
        &'r self,
        place: u16,
        turn: u64,
        number: Option<(u64, &'r api::Sticky)>,
    ) -> Option<Choice<'r>> {
        let index = choose::arm_at(self.arms.iter().map(|arm| arm.weight), place)?;
        let arm = &self.arms[index];
        Some(Choice { arm, turn, meter: &arm.meter, number })
    }

    fn arm_of(&self, revision: Digest) -> Option<&Arm> {
        self.arms.iter().find(|arm| arm.revision == revision)
    }
}

/// One writer per turn: a plain store is enough.
fn next(turn: &AtomicU64) -> u64 {
    let now = turn.load(Relaxed);
    turn.store(now + 1, Relaxed);
    now
}

impl ByHead {
    /// What is to be read for this route. A cookie is of use only where there is a choice.
    fn of(route: &api::Route) -> Option<Self> {
        let is_split = route.arms.iter().filter(|arm| arm.weight > 0).count() > 1;
        let sticky = route.sticky.clone().filter(|_| is_split);
        let mut salt = [0; 8];
        if let Some(first) = route.arms.first() {
            salt.copy_from_slice(&first.revision.as_raw()[..8]);
        }
        let by_head = Self { rules: route.rules.clone(), sticky, salt: u64::from_be_bytes(salt) };
        (by_head.sticky.is_some() || !by_head.rules.is_empty()).then_some(by_head)
    }

    /// The first rule that the head fits.
    fn rule(&self, head: &[u8]) -> Option<&api::Rule> {
        self.rules.iter().find(|rule| {
            let wanted = rule.equals.as_bytes();
            match &rule.on {
                api::RuleField::Header(name) => fields::values(head, name).any(|value| value == wanted),
                api::RuleField::Cookie(name) => fields::cookies(head, name).any(|value| value == wanted),
            }
        })
    }
}

/// The number that a cookie tells, if it is one of ours.
fn number(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.len() == 16)?;
    u64::from_str_radix(text, 16).ok()
}

/// Whose requests a meter counts, and which of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MeterKey {
    /// Where.
    pub environment: EnvironmentKey,
    /// Who.
    pub revision: Digest,
    /// How they came there.
    pub way: api::Way,
}

/// Meters and endpoints that outlive a route.
pub struct Workshop {
    workers: usize,
    edges: Arc<[u64]>,
    meters: HashMap<MeterKey, Arc<Meter>>,
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
        let arms = route.arms.iter().map(|arm| self.arm(&route.environment, arm, api::Way::Split)).collect();
        let preview = route.preview.as_ref().and_then(|preview| preview.arm.as_ref());
        let preview = preview.map(|arm| self.arm(&route.environment, arm, api::Way::Preview));
        let turns = (0..self.workers).map(|_| Turn::default()).collect();
        Route { arms, turns, seed, by_head: ByHead::of(route), preview }
    }

    fn arm(&mut self, environment: &EnvironmentKey, arm: &api::Arm, way: api::Way) -> Arm {
        let (meter, routed) =
            (self.meter(environment, arm, way), self.meter(environment, arm, api::Way::Routed));
        let endpoint = |address: &SocketAddr| {
            let endpoint =
                self.endpoints.entry(*address).or_insert_with(|| Arc::new(Endpoint::new(*address)));
            Arc::clone(endpoint)
        };
        Arm {
            revision: arm.revision,
            weight: arm.weight,
            meter,
            routed,
            endpoints: arm.endpoints.iter().map(endpoint).collect(),
        }
    }

    fn meter(&mut self, environment: &EnvironmentKey, arm: &api::Arm, way: api::Way) -> Arc<Meter> {
        let (workers, edges) = (self.workers, &self.edges);
        let key = MeterKey { environment: environment.clone(), revision: arm.revision, way };
        let make = || Arc::new(Meter::new(workers, Arc::clone(edges)));
        Arc::clone(self.meters.entry(key).or_insert_with(make))
    }

    /// Every meter, with whose it is.
    pub fn meters(&self) -> impl Iterator<Item = (&MeterKey, &Arc<Meter>)> {
        self.meters.iter()
    }

    /// Forgets what no route and no request uses any more.
    pub fn tidy(&mut self, done: &[MeterKey]) {
        for key in done {
            self.meters.remove(key);
        }
        self.endpoints.retain(|_, endpoint| Arc::strong_count(endpoint) > 1);
    }
}
