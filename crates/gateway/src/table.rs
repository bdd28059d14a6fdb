//! What the workers look at for each request: sites, their routes, arms and endpoints.
//!
//! The control task replaces a site's route in one step; a worker loads it once per request. Arms' meters and
//! endpoints outlive a route, so that counters and back-offs carry over.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};
use towpath_api::gateway::{self as api, Protocol};
use towpath_model::{Digest, EnvironmentKey};

use crate::choose::{self, Candidate};
use crate::meter::Meter;
use crate::wire::fields;

/// Milliseconds since this process began to count, for back-offs and time-outs.
pub fn now() -> u64 {
    static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(BEGUN.elapsed().as_millis()).unwrap_or(u64::MAX / 2) + 1
}

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
    /// Whether some endpoint speaks HTTP/2 alone.
    needs_streams: bool,
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
    /// What its Instances speak.
    pub protocol: Protocol,
    /// Its Instances.
    pub endpoints: Arc<[Arc<Endpoint>]>,
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
    /// Failed answers in a row.
    bad_answers: AtomicU32,
    /// How often in a row it was left alone for them, and until when the last time.
    ejections: AtomicU32,
    ejected_until: AtomicU64,
}

impl Endpoint {
    fn new(address: SocketAddr) -> Self {
        Self {
            address,
            in_flight: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            retry_at: AtomicU64::new(0),
            bad_answers: AtomicU32::new(0),
            ejections: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
        }
    }

    /// Whether it is left alone because it took no connection.
    pub fn backs_off(&self, now: u64) -> bool {
        self.retry_at.load(Relaxed) > now
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

    /// Notes a good answer at `now`, in milliseconds. Once it has been good for as long as it was left alone, what was
    /// before is forgotten.
    pub fn answered(&self, now: u64) {
        if self.bad_answers.load(Relaxed) != 0 {
            self.bad_answers.store(0, Relaxed);
        }
        let times = self.ejections.load(Relaxed);
        if times != 0 && now > self.ejected_until.load(Relaxed) + choose::ejection(times) {
            self.ejections.store(0, Relaxed);
        }
    }

    /// Notes that it failed a request at `now`; `arm` are all endpoints of its arm.
    pub fn failed(&self, arm: &[Arc<Self>], now: u64) {
        let bad = self.bad_answers.fetch_add(1, Relaxed).saturating_add(1);
        if bad < choose::OUTLIER_AFTER || self.is_ejected(now) {
            return;
        }
        let others = arm.iter().filter(|other| other.address != self.address);
        let bad_answers =
            |other: &Arc<Self>| (!other.is_ejected(now)).then(|| other.bad_answers.load(Relaxed));
        if !choose::is_outlier(others.map(bad_answers)) {
            return;
        }
        let time = choose::ejection(self.ejections.fetch_add(1, Relaxed).saturating_add(1));
        self.bad_answers.store(0, Relaxed);
        self.ejected_until.store(now + time, Relaxed);
        let seconds = time / 1000;
        tracing::warn!(endpoint = %self.address, seconds, "{bad} failed requests in a row: left alone for a while");
    }

    fn is_ejected(&self, now: u64) -> bool {
        self.ejected_until.load(Relaxed) > now
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
        if let ([only], []) = (&*self.endpoints, tried) {
            return Some(only);
        }
        let look = |endpoint: &Arc<Endpoint>| Candidate {
            in_flight: endpoint.in_flight.load(Relaxed),
            retry_at: endpoint.retry_at.load(Relaxed).max(endpoint.ejected_until.load(Relaxed)),
            tried: tried.contains(&endpoint.address),
        };
        let candidates: Vec<Candidate> = self.endpoints.iter().map(look).collect();
        choose::endpoint(&candidates, turn, now).map(|index| &self.endpoints[index])
    }

    /// Notes that an endpoint failed a request at `now`, in milliseconds. One that fails all of them is left alone for a
    /// while, where the others do better.
    pub fn failed(&self, endpoint: &Endpoint, now: u64) {
        endpoint.failed(&self.endpoints, now);
    }
}

impl Route {
    /// A route that answers everything with `503`.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            arms: Vec::new(),
            turns: Box::default(),
            seed: 0,
            by_head: None,
            needs_streams: false,
            preview: None,
        }
    }

    /// Whether a connection's requests have to be read as streams, because some endpoint speaks HTTP/2 alone.
    #[inline]
    #[must_use]
    pub fn needs_streams(&self) -> bool {
        self.needs_streams
    }

    /// Whether [`pick`](Self::pick) looks at heads.
    #[must_use]
    pub fn reads_heads(&self) -> bool {
        self.by_head.is_some()
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

    /// Which endpoints are left alone as outliers at `now`.
    pub fn outliers(&self, now: u64) -> BTreeSet<SocketAddr> {
        let all = self.arms.iter().flat_map(|arm| &*arm.endpoints);
        all.filter(|endpoint| endpoint.is_ejected(now)).map(|endpoint| endpoint.address).collect()
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
        let arms: Vec<Arm> =
            route.arms.iter().map(|arm| self.arm(&route.environment, arm, api::Way::Split)).collect();
        let preview = route.preview.as_ref().and_then(|preview| preview.arm.as_ref());
        let preview = preview.map(|arm| self.arm(&route.environment, arm, api::Way::Preview));
        let turns = (0..self.workers).map(|_| Turn::default()).collect();
        let needs_streams = arms.iter().chain(&preview).any(|arm| arm.protocol == Protocol::H2c);
        Route { arms, turns, seed, by_head: ByHead::of(route), needs_streams, preview }
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
            protocol: arm.protocol,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outlier_is_left_alone_longer_each_time_until_it_has_been_good_for_long() {
        let mut workshop = Workshop::new(1);
        let environment =
            EnvironmentKey { project: "shop".parse().unwrap(), environment: "dev".parse().unwrap() };
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let endpoints = vec![address(1), address(2), address(3)];
        let arm =
            api::Arm { revision: Digest::of(b"one"), weight: 1000, protocol: Protocol::default(), endpoints };
        let arm = workshop.arm(&environment, &arm, api::Way::Split);
        let [sick, worse, _] = &*arm.endpoints else { panic!("three endpoints") };
        let fail = |endpoint: &Endpoint, now| (0..5).for_each(|_| arm.failed(endpoint, now));
        let tried = |now| (0..30).any(|turn| arm.pick(turn, now, &[]).unwrap().address == address(1));

        (0..4).for_each(|_| arm.failed(sick, 100));
        sick.answered(100);
        (0..4).for_each(|_| arm.failed(sick, 100));
        assert!(tried(100), "nine failures, and never five in a row");
        arm.failed(sick, 100);
        assert!(!tried(100) && !tried(10_099) && tried(10_100), "ten seconds");
        fail(worse, 200);
        assert!(worse.bad_answers.load(Relaxed) >= choose::OUTLIER_AFTER);
        let both = (0..30).any(|turn| arm.pick(turn, 200, &[]).unwrap().address == address(2));
        assert!(both, "one of three is the most");
        fail(sick, 10_100);
        assert!(!tried(30_099) && tried(30_100), "twenty seconds");
        sick.answered(50_101);
        fail(sick, 50_102);
        assert!(tried(60_102), "ten again: it has been good for as long as it was left alone");
    }
}
