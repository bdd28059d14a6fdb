//! A load generator for HTTP/1.1: constant rate (open loop) or as fast as so many connections go (closed loop).
//!
//! At a constant rate each request has the moment at which it should start, and its latency counts from there. A server
//! that stalls is thus charged for the requests that could not even be sent meanwhile (no coordinated omission).

mod client;
mod histogram;
mod plan;
mod report;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use client::{Called, Caller};
use plan::Target;
pub use plan::{LoadPlan, PlanError, VERSION_HEADER};
use report::Tally;
pub use report::{FailureKind, LoadReport, VersionReport};

/// Load under way. Dropping it stops everything at once.
pub struct Load {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

/// What all connections share.
struct Shared {
    target: Target,
    plan: LoadPlan,
    begun: Instant,
    /// The number of the next request.
    next: AtomicU64,
    stopped: AtomicBool,
    tally: Mutex<Tally>,
}

/// Runs a plan to its end.
///
/// # Errors
/// When the plan cannot be carried out as it is. Requests that fail are part of the report.
pub async fn run(plan: LoadPlan) -> Result<LoadReport, PlanError> {
    Ok(start(plan)?.finish().await)
}

/// Starts a plan; to be called within a Tokio runtime.
///
/// # Errors
/// When the plan cannot be carried out as it is.
pub fn start(plan: LoadPlan) -> Result<Load, PlanError> {
    let target = Target::of(&plan)?;
    let connections = plan.connections;
    let shared = Arc::new(Shared {
        target,
        plan,
        begun: Instant::now(),
        next: AtomicU64::new(0),
        stopped: AtomicBool::new(false),
        tally: Mutex::new(Tally::default()),
    });
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        tasks.spawn(call_until_the_end(Arc::clone(&shared)));
    }
    Ok(Load { shared, tasks })
}

impl Load {
    /// What happened so far.
    #[must_use]
    pub fn snapshot(&self) -> LoadReport {
        self.shared.report()
    }

    /// Starts no request any more; those under way end.
    pub fn stop(&self) {
        self.shared.stopped.store(true, Relaxed);
    }

    /// Waits for the end of the plan, or for the requests under way after [`Load::stop`].
    pub async fn finish(mut self) -> LoadReport {
        while self.tasks.join_next().await.is_some() {}
        self.shared.report()
    }
}

impl Shared {
    fn report(&self) -> LoadReport {
        let tally = self.tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        tally.report(self.begun.elapsed())
    }

    fn count(&self, called: &Called, took: Duration) {
        let mut tally = self.tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        tally.add(called, took);
    }

    /// When request `number` should start; `None` if it should not any more.
    fn start_of(&self, number: u64) -> Option<Instant> {
        let start = match self.plan.rate {
            Some(rate) => self.begun + Duration::from_secs_f64(number as f64 / rate),
            None => Instant::now(),
        };
        let over = self.plan.duration.is_some_and(|duration| start >= self.begun + duration);
        (!over && !self.stopped.load(Relaxed)).then_some(start)
    }
}

/// How long a wait for the next request may last before it looks whether the load was stopped.
const NAP: Duration = Duration::from_millis(100);

async fn call_until_the_end(shared: Arc<Shared>) {
    let mut caller = Caller::new(shared.target.clone(), shared.plan.timeout);
    loop {
        let number = shared.next.fetch_add(1, Relaxed);
        let Some(start) = shared.start_of(number) else { return };
        while let Some(wait) = start.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero()) {
            if shared.stopped.load(Relaxed) {
                return;
            }
            tokio::time::sleep(wait.min(NAP)).await;
        }
        let called = caller.call(number).await;
        shared.count(&called, start.elapsed());
        if called.failure == Some(FailureKind::Connect) && shared.plan.rate.is_none() {
            // In a closed loop a refused connection would otherwise be repeated thousands of times a second.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
