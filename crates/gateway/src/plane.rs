//! Makes the workers serve the desired routes: sockets, sites, the read-back, the measurements.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use jiff::Timestamp;
use tokio::sync::oneshot;
use towpath_api::gateway::{AppliedRoute, Delta, Route, Routes, Way};
use towpath_model::EnvironmentKey;

use crate::choose::WHOLE;
use crate::listen;
use crate::meter::Totals;
use crate::table::{self, Door, MeterKey, Purpose, Site, Workshop};
use crate::tls::Certificates;
use crate::worker::{Binding, Command, Handle};

/// Everything that is served.
pub struct Plane {
    workers: Vec<Handle>,
    /// The gateway's own; paths of certificates begin there.
    directory: PathBuf,
    workshop: Workshop,
    desired: Routes,
    places: BTreeMap<EnvironmentKey, Place>,
    sockets: HashMap<SocketAddr, Socket>,
    /// What was last told of each Revision.
    measured: HashMap<MeterKey, Totals>,
    last_collection: Timestamp,
}

/// One Environment as it is now.
struct Place {
    site: Arc<Site>,
    /// The route in force; `None` if none ever could be.
    in_force: Option<Route>,
    problem: Option<String>,
    certificates: Option<Certificates>,
    /// Why changed certificates are not in use; those before them are.
    stale: Option<String>,
    /// Endpoints that are left alone because they fail what others do well, as they were last looked at.
    outliers: BTreeSet<SocketAddr>,
}

struct Socket {
    listener: TcpListener,
    owner: EnvironmentKey,
    binding: Arc<Binding>,
}

impl Plane {
    /// Starts with no routes.
    #[must_use]
    pub fn new(workers: Vec<Handle>, directory: &Path, now: Timestamp) -> Self {
        let workshop = Workshop::new(workers.len());
        Self {
            workers,
            directory: directory.to_owned(),
            workshop,
            desired: Routes { generation: 0, routes: Vec::new() },
            places: BTreeMap::new(),
            sockets: HashMap::new(),
            measured: HashMap::new(),
            last_collection: now,
        }
    }

    /// The newest desired state.
    #[must_use]
    pub fn desired(&self) -> &Routes {
        &self.desired
    }

    /// What each Environment's route really is.
    #[must_use]
    pub fn applied(&self) -> Vec<AppliedRoute> {
        let read = |(environment, place): (&EnvironmentKey, &Place)| AppliedRoute {
            environment: environment.clone(),
            generation: place.in_force.as_ref().map_or(0, |route| route.generation),
            problem: place.problem.clone().or_else(|| place.stale.clone()),
            outliers: place.outliers.iter().copied().collect(),
        };
        self.places.iter().map(read).collect()
    }

    /// Whether something could not be applied and should be tried again.
    #[must_use]
    pub fn has_problems(&self) -> bool {
        self.places.values().any(|place| place.problem.is_some())
    }

    /// Copies of all listening sockets, for a successor.
    ///
    /// # Errors
    /// When file descriptors have run out.
    pub fn sockets(&self) -> std::io::Result<Vec<(SocketAddr, TcpListener)>> {
        let copy = |(address, socket): (&SocketAddr, &Socket)| Ok((*address, socket.listener.try_clone()?));
        self.sockets.iter().map(copy).collect()
    }

    /// Applies desired state unless a newer one is in force; says whether it did.
    ///
    /// On return every request that starts sees it. `inherited` are sockets that listen already.
    pub async fn apply(&mut self, routes: Routes, inherited: Vec<(SocketAddr, TcpListener)>) -> bool {
        if routes.generation < self.desired.generation {
            let (told, known) = (routes.generation, self.desired.generation);
            tracing::warn!(told, known, "the server told older routes than those in force; they are ignored");
        }
        if routes.generation <= self.desired.generation {
            return false;
        }
        self.desired = routes;
        self.converge(inherited).await;
        true
    }

    /// Tries again what could not be applied; says whether anything changed.
    pub async fn retry(&mut self) -> bool {
        let before = self.applied();
        self.converge(Vec::new()).await;
        before != self.applied()
    }

    async fn converge(&mut self, inherited: Vec<(SocketAddr, TcpListener)>) {
        let mut wished: BTreeMap<EnvironmentKey, Route> =
            self.desired.routes.iter().map(|route| (route.environment.clone(), route.clone())).collect();
        let mut problems: BTreeMap<EnvironmentKey, String> = wished
            .iter()
            .filter_map(|(environment, route)| Some((environment.clone(), weights_problem(route)?)))
            .collect();
        let mut certificates = self.find_certificates(&wished, &mut problems);
        let mut fresh: HashMap<SocketAddr, TcpListener> = inherited.into_iter().collect();
        problems.extend(self.find_sockets(&wished, &mut fresh, &problems));
        self.close_what_left(&wished);
        wished.retain(|environment, _| !problems.contains_key(environment));
        for (environment, route) in &wished {
            self.serve(environment, route, &mut fresh, certificates.remove(environment));
        }
        for (environment, problem) in problems {
            self.note_problem(&environment, problem);
        }
        self.close_unused_sockets();
        self.barrier().await;
    }

    /// Reads the certificates of routes that come with others than are in use.
    fn find_certificates(
        &self,
        wished: &BTreeMap<EnvironmentKey, Route>,
        problems: &mut BTreeMap<EnvironmentKey, String>,
    ) -> BTreeMap<EnvironmentKey, Certificates> {
        let mut found = BTreeMap::new();
        for (environment, route) in wished {
            let Some(tls) = &route.tls else { continue };
            let used = self.places.get(environment).and_then(|place| place.certificates.as_ref());
            if problems.contains_key(environment) || used.is_some_and(|used| used.are_of(&tls.certificates)) {
                continue;
            }
            match Certificates::load(&self.directory, &tls.certificates) {
                Ok(certificates) => drop(found.insert(environment.clone(), certificates)),
                Err(problem) => drop(problems.insert(environment.clone(), problem)),
            }
        }
        found
    }

    /// Reads certificates again whose files have changed; says whether that came to something else than before.
    pub fn refresh_certificates(&mut self) -> bool {
        let mut changed = false;
        for (environment, place) in &mut self.places {
            let Some(result) = place.certificates.as_mut().and_then(Certificates::refresh) else { continue };
            match &result {
                Ok(()) => tracing::info!(%environment, "new certificates in use"),
                Err(problem) => tracing::error!(%environment, problem, "the older certificates stay in use"),
            }
            changed |= place.stale != result.clone().err();
            place.stale = result.err();
        }
        changed
    }

    /// Looks which endpoints are left alone as outliers; says whether they are others than before.
    pub fn refresh_outliers(&mut self) -> bool {
        let now = table::now();
        let mut changed = false;
        for place in self.places.values_mut() {
            let outliers = place.site.route.load().outliers(now);
            changed |= outliers != place.outliers;
            place.outliers = outliers;
        }
        changed
    }

    /// Opens what is wished and nobody holds; returns whose wish cannot be granted, and why.
    fn find_sockets(
        &self,
        wished: &BTreeMap<EnvironmentKey, Route>,
        fresh: &mut HashMap<SocketAddr, TcpListener>,
        problems: &BTreeMap<EnvironmentKey, String>,
    ) -> BTreeMap<EnvironmentKey, String> {
        let mut refused = HashMap::new();
        let able = wished.values().filter(|route| !problems.contains_key(&route.environment));
        for address in able.flat_map(doors).map(|(address, _)| address) {
            if address.port() == 0 || self.sockets.contains_key(&address) || fresh.contains_key(&address) {
                continue;
            }
            match listen::open(address) {
                Ok(listener) => drop(fresh.insert(address, listener)),
                Err(error) => drop(refused.insert(address, listen::explain(address, &error))),
            }
        }
        let held = self.sockets.iter().map(|(address, socket)| (*address, socket.owner.clone())).collect();
        let wishes = wished.iter().map(|(environment, route)| {
            // Who has another problem already wants what it has.
            let place = self.places.get(environment).and_then(|place| place.in_force.as_ref());
            let stays = place.filter(|_| problems.contains_key(environment));
            let addresses = doors(stays.unwrap_or(route)).map(|(address, _)| address).collect();
            (environment.clone(), addresses)
        });
        listen::settle(&held, &wishes.collect(), &refused)
    }

    fn close_what_left(&mut self, wished: &BTreeMap<EnvironmentKey, Route>) {
        self.places.retain(|environment, place| {
            let stays = wished.contains_key(environment);
            if !stays {
                place.site.closed.store(true, Relaxed);
                place.site.route.store(Arc::new(table::Route::empty()));
                tracing::info!(%environment, "the environment is no longer served here");
            }
            stays
        });
    }

    /// Puts a route in force, on sockets that are its own, another's, or new.
    fn serve(
        &mut self,
        environment: &EnvironmentKey,
        route: &Route,
        fresh: &mut HashMap<SocketAddr, TcpListener>,
        certificates: Option<Certificates>,
    ) {
        let place = self.places.entry(environment.clone()).or_insert_with(|| new_place(environment));
        place.problem = None;
        if certificates.is_some() || route.tls.is_none() {
            place.site.tls.store(certificates.as_ref().map(|certificates| Arc::clone(certificates.config())));
            (place.certificates, place.stale) = (certificates, None);
        }
        if place.in_force.as_ref() != Some(route) {
            let compiled = self.workshop.compile(route, rand::random());
            place.site.route.store(Arc::new(compiled));
            place.in_force = Some(route.clone());
            tracing::info!(%environment, generation = route.generation, listen = %route.listen, "route in force");
        }
        let site = Arc::clone(&place.site);
        for (address, purpose) in doors(route) {
            self.open(address, Door { site: Arc::clone(&site), purpose }, fresh);
        }
    }

    fn open(&mut self, address: SocketAddr, door: Door, fresh: &mut HashMap<SocketAddr, TcpListener>) {
        let owner = door.site.environment.clone();
        if let Some(socket) = self.sockets.get_mut(&address) {
            socket.owner = owner;
            socket.binding.door.store(Arc::new(door));
        } else if let Some(listener) = fresh.remove(&address) {
            let binding = Arc::new(Binding { address, door: ArcSwap::from_pointee(door) });
            for worker in &self.workers {
                match listener.try_clone() {
                    Ok(copy) => worker.order(Command::Listen(copy, Arc::clone(&binding))),
                    Err(error) => tracing::error!(%error, "a worker cannot share a listening socket"),
                }
            }
            self.sockets.insert(address, Socket { listener, owner, binding });
        }
    }

    fn note_problem(&mut self, environment: &EnvironmentKey, problem: String) {
        let place = self.places.entry(environment.clone()).or_insert_with(|| new_place(environment));
        if place.problem.as_ref() != Some(&problem) {
            tracing::warn!(%environment, problem, "the older route stays in force");
        }
        place.problem = Some(problem);
    }

    fn close_unused_sockets(&mut self) {
        let in_force = self.places.values().filter_map(|place| place.in_force.as_ref());
        let used: HashSet<SocketAddr> = in_force.flat_map(doors).map(|(address, _)| address).collect();
        let workers = &self.workers;
        self.sockets.retain(|address, _| {
            let stays = used.contains(address);
            if !stays {
                workers.iter().for_each(|worker| worker.order(Command::Unlisten(*address)));
            }
            stays
        });
    }

    /// Waits until no worker is between reading an older route and acting on it.
    async fn barrier(&self) {
        let mut answers = Vec::new();
        for worker in &self.workers {
            let (done, answer) = oneshot::channel();
            worker.order(Command::Barrier(done));
            answers.push(answer);
        }
        for answer in answers {
            // A worker that has ended starts no request at all.
            let _ = answer.await;
        }
    }

    /// What each Revision did since the last call.
    pub fn collect(&mut self, now: Timestamp) -> Vec<Delta> {
        let mut deltas = Vec::new();
        let mut done = Vec::new();
        for (key, meter) in self.workshop.meters() {
            let totals = meter.totals();
            let before = self.measured.entry(key.clone()).or_default();
            let since = totals.since(before);
            let (generation, weight) = in_force(&self.places, key);
            let idle = since.started == 0 && since.requests == 0 && totals.in_flight == 0;
            if idle && weight.is_none() {
                done.push(key.clone());
            }
            // A Revision that gets nothing by its weight is news; by another way it is the rule.
            if idle && (weight.is_none() || key.way != Way::Split) {
                continue;
            }
            *before = totals;
            let interval = (self.last_collection, now);
            deltas.push(delta(key, interval, generation, weight.unwrap_or(0), &since));
        }
        for key in &done {
            self.measured.remove(key);
        }
        self.workshop.tidy(&done);
        self.last_collection = now;
        deltas
    }

    /// Accepts nothing any more; requests end, resting connections are closed after `rest`, all others at `limit`.
    ///
    /// On return no socket of this process listens.
    pub async fn drain(&mut self, rest: Duration, limit: Duration) {
        for worker in &self.workers {
            worker.order(Command::Drain(rest, limit));
        }
        // A socket that stays open without being accepted from would swallow connections.
        self.sockets.clear();
        self.barrier().await;
    }

    /// Whether all workers have drained.
    #[must_use]
    pub fn has_drained(&self) -> bool {
        self.workers.iter().all(Handle::has_ended)
    }
}

fn new_place(environment: &EnvironmentKey) -> Place {
    let route = ArcSwap::from_pointee(table::Route::empty());
    let (tls, closed) = (ArcSwapOption::empty(), AtomicBool::new(false));
    let site = Arc::new(Site { environment: environment.clone(), route, tls, closed });
    let outliers = BTreeSet::new();
    Place { site, in_force: None, problem: None, certificates: None, stale: None, outliers }
}

/// Where a route listens, and what for.
fn doors(route: &Route) -> impl Iterator<Item = (SocketAddr, Purpose)> {
    let redirect = route.tls.as_ref().and_then(|tls| tls.redirect);
    let redirect = redirect.map(|address| (address, Purpose::Redirect(route.listen.port())));
    let preview = route.preview.as_ref().map(|preview| (preview.listen, Purpose::Preview));
    [(route.listen, Purpose::Front)].into_iter().chain(redirect).chain(preview)
}

fn weights_problem(route: &Route) -> Option<String> {
    let sum: u32 = route.arms.iter().map(|arm| u32::from(arm.weight)).sum();
    let whole = u32::from(WHOLE);
    (sum != 0 && sum != whole).then(|| format!("its weights sum to {sum} thousandths, not to {whole}"))
}

/// The generation in force, and the Revision's weight in it.
fn in_force(places: &BTreeMap<EnvironmentKey, Place>, key: &MeterKey) -> (u64, Option<u16>) {
    let Some(route) = places.get(&key.environment).and_then(|place| place.in_force.as_ref()) else {
        return (0, None);
    };
    let preview = route.preview.as_ref().and_then(|preview| preview.arm.as_ref());
    let arm = match key.way {
        Way::Split | Way::Routed => route.arms.iter().find(|arm| arm.revision == key.revision),
        Way::Preview => preview.filter(|arm| arm.revision == key.revision),
    };
    (route.generation, arm.map(|arm| arm.weight))
}

fn delta(
    key: &MeterKey,
    (from, to): (Timestamp, Timestamp),
    generation: u64,
    weight: u16,
    since: &Totals,
) -> Delta {
    Delta {
        environment: key.environment.clone(),
        revision: key.revision,
        way: key.way,
        from,
        to,
        generation,
        weight,
        started: since.started,
        requests: since.requests,
        errors: since.errors,
        gateway_errors: since.gateway_errors,
        latency: since.latency.to_vec(),
        in_flight: since.in_flight,
    }
}
