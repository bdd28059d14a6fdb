//! Makes the workers serve the desired routes: sockets, sites, the read-back, the measurements.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::sync::oneshot;
use towpath_api::gateway::{AppliedRoute, Delta, Route, Routes};
use towpath_model::{Digest, EnvironmentKey};

use crate::choose::WHOLE;
use crate::listen;
use crate::meter::Totals;
use crate::table::{self, Site, Workshop};
use crate::worker::{Binding, Command, Handle};

/// Everything that is served.
pub struct Plane {
    workers: Vec<Handle>,
    workshop: Workshop,
    desired: Routes,
    places: BTreeMap<EnvironmentKey, Place>,
    sockets: HashMap<SocketAddr, Socket>,
    /// What was last told of each Revision.
    measured: HashMap<(EnvironmentKey, Digest), Totals>,
    last_collection: Timestamp,
}

/// One Environment as it is now.
struct Place {
    site: Arc<Site>,
    /// The route in force; `None` if none ever could be.
    in_force: Option<Route>,
    problem: Option<String>,
}

struct Socket {
    listener: TcpListener,
    owner: EnvironmentKey,
    binding: Arc<Binding>,
}

impl Plane {
    /// Starts with no routes.
    #[must_use]
    pub fn new(workers: Vec<Handle>, now: Timestamp) -> Self {
        let workshop = Workshop::new(workers.len());
        Self {
            workers,
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
            problem: place.problem.clone(),
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
        let mut fresh: HashMap<SocketAddr, TcpListener> = inherited.into_iter().collect();
        problems.extend(self.find_sockets(&wished, &mut fresh, &problems));
        self.close_what_left(&wished);
        wished.retain(|environment, _| !problems.contains_key(environment));
        for (environment, route) in &wished {
            self.serve(environment, route, &mut fresh);
        }
        for (environment, problem) in problems {
            self.note_problem(&environment, problem);
        }
        self.close_unused_sockets();
        self.barrier().await;
    }

    /// Opens what is wished and nobody holds; returns whose wish cannot be granted, and why.
    fn find_sockets(
        &self,
        wished: &BTreeMap<EnvironmentKey, Route>,
        fresh: &mut HashMap<SocketAddr, TcpListener>,
        problems: &BTreeMap<EnvironmentKey, String>,
    ) -> BTreeMap<EnvironmentKey, String> {
        let mut refused = HashMap::new();
        for route in wished.values().filter(|route| !problems.contains_key(&route.environment)) {
            let address = route.listen;
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
            (environment.clone(), stays.map_or(route.listen, |stays| stays.listen))
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

    /// Puts a route in force, on a socket that is its own, another's, or new.
    fn serve(
        &mut self,
        environment: &EnvironmentKey,
        route: &Route,
        fresh: &mut HashMap<SocketAddr, TcpListener>,
    ) {
        let place = self.places.entry(environment.clone()).or_insert_with(|| new_place(environment));
        place.problem = None;
        if place.in_force.as_ref() != Some(route) {
            let compiled = self.workshop.compile(route, rand::random());
            place.site.route.store(Arc::new(compiled));
            place.in_force = Some(route.clone());
            tracing::info!(%environment, generation = route.generation, listen = %route.listen, "route in force");
        }
        let site = Arc::clone(&place.site);
        if let Some(socket) = self.sockets.get_mut(&route.listen) {
            socket.owner = environment.clone();
            socket.binding.site.store(site);
        } else if let Some(listener) = fresh.remove(&route.listen) {
            let binding = Arc::new(Binding { address: route.listen, site: ArcSwap::new(site) });
            for worker in &self.workers {
                match listener.try_clone() {
                    Ok(copy) => worker.order(Command::Listen(copy, Arc::clone(&binding))),
                    Err(error) => tracing::error!(%error, "a worker cannot share a listening socket"),
                }
            }
            let owner = environment.clone();
            self.sockets.insert(route.listen, Socket { listener, owner, binding });
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
        let used: HashSet<SocketAddr> =
            self.places.values().filter_map(|place| Some(place.in_force.as_ref()?.listen)).collect();
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
            if weight.is_none() && since.requests == 0 && totals.in_flight == 0 {
                done.push(key.clone());
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
    let site = Site { environment: environment.clone(), route, closed: AtomicBool::new(false) };
    Place { site: Arc::new(site), in_force: None, problem: None }
}

fn weights_problem(route: &Route) -> Option<String> {
    let sum: u32 = route.arms.iter().map(|arm| u32::from(arm.weight)).sum();
    let whole = u32::from(WHOLE);
    (sum != 0 && sum != whole).then(|| format!("its weights sum to {sum} thousandths, not to {whole}"))
}

/// The generation in force, and the Revision's weight in it.
fn in_force(
    places: &BTreeMap<EnvironmentKey, Place>,
    (environment, revision): &(EnvironmentKey, Digest),
) -> (u64, Option<u16>) {
    let Some(route) = places.get(environment).and_then(|place| place.in_force.as_ref()) else {
        return (0, None);
    };
    let arm = route.arms.iter().find(|arm| arm.revision == *revision);
    (route.generation, arm.map(|arm| arm.weight))
}

fn delta(
    (environment, revision): &(EnvironmentKey, Digest),
    (from, to): (Timestamp, Timestamp),
    generation: u64,
    weight: u16,
    since: &Totals,
) -> Delta {
    Delta {
        environment: environment.clone(),
        revision: *revision,
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
