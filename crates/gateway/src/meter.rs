//! Counts what each Revision does, without a lock and without two workers writing to one cache line.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use towpath_api::gateway::latency_edges_micros;

/// One bucket per edge and one for what is slower than the last.
pub const BUCKETS: usize = 74;

/// One Revision's counters in one Environment, one shard per worker.
pub struct Meter {
    shards: Box<[Shard]>,
    edges: Arc<[u64]>,
}

#[repr(align(128))]
struct Shard {
    started: AtomicU64,
    ended: AtomicU64,
    errors: AtomicU64,
    gateway_errors: AtomicU64,
    latency: [AtomicU64; BUCKETS],
}

/// Counters at one moment, since the meter was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Requests that ended.
    pub requests: u64,
    /// Of these: failed.
    pub errors: u64,
    /// Of these: answered by the gateway itself.
    pub gateway_errors: u64,
    /// By bucket.
    pub latency: [u64; BUCKETS],
    /// Requests that were given to the Revision, ended or not.
    pub started: u64,
    /// Requests that have not ended.
    pub in_flight: u64,
}

impl Default for Totals {
    fn default() -> Self {
        Self { requests: 0, errors: 0, gateway_errors: 0, latency: [0; BUCKETS], started: 0, in_flight: 0 }
    }
}

/// How a request ended, as the Revision is judged by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It was answered below 500, or the client went away first.
    Fine,
    /// It was answered 5xx, broke off or timed out half-way.
    Error,
    /// No endpoint gave an answer, so the gateway did.
    GatewayError,
}

impl Meter {
    /// Makes a meter for so many workers.
    #[must_use]
    pub fn new(workers: usize, edges: Arc<[u64]>) -> Self {
        let shard = |_| Shard {
            started: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            gateway_errors: AtomicU64::new(0),
            latency: [const { AtomicU64::new(0) }; BUCKETS],
        };
        Self { shards: (0..workers).map(shard).collect(), edges }
    }

    /// Begins a request on a worker.
    pub fn begin(self: &Arc<Self>, worker: usize, now: Instant) -> Ticket {
        add(&self.shards[worker].started);
        Ticket { meter: Arc::clone(self), worker, begun: now, ending: Ending::Fine }
    }

    /// Sums all workers.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for shard in &self.shards {
            // What has ended is read before what has started, so that the difference is never negative.
            let ended = shard.ended.load(Relaxed);
            std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
            totals.requests += ended;
            totals.errors += shard.errors.load(Relaxed);
            totals.gateway_errors += shard.gateway_errors.load(Relaxed);
            for (total, bucket) in totals.latency.iter_mut().zip(&shard.latency) {
                *total += bucket.load(Relaxed);
            }
            let started = shard.started.load(Relaxed);
            totals.started += started;
            totals.in_flight += started.saturating_sub(ended);
        }
        totals
    }

    fn end(&self, worker: usize, took: Duration, ending: Ending) {
        let shard = &self.shards[worker];
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        add(&shard.latency[self.edges.partition_point(|&edge| edge < micros)]);
        match ending {
            Ending::Fine => {}
            Ending::Error => add(&shard.errors),
            Ending::GatewayError => {
                add(&shard.errors);
                add(&shard.gateway_errors);
            }
        }
        add(&shard.ended);
    }
}

/// The latency edges that all meters share.
#[must_use]
pub fn edges() -> Arc<[u64]> {
    latency_edges_micros().into()
}

/// Adds one. Each shard has one writer, so that this needs no locked instruction.
fn add(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed) + 1, Relaxed);
}

/// One request under way; it is counted as ended when this is dropped.
pub struct Ticket {
    meter: Arc<Meter>,
    worker: usize,
    begun: Instant,
    ending: Ending,
}

impl Ticket {
    /// Says how it ended; without a word, it is [`Ending::Fine`].
    pub fn ended(&mut self, ending: Ending) {
        self.ending = ending;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.meter.end(self.worker, self.begun.elapsed(), self.ending);
    }
}

impl Totals {
    /// What happened since `earlier`. A counter that was read a moment before its neighbour never goes below 0.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut latency = self.latency;
        for (now, before) in latency.iter_mut().zip(&earlier.latency) {
            *now = now.saturating_sub(*before);
        }
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            errors: self.errors.saturating_sub(earlier.errors),
            gateway_errors: self.gateway_errors.saturating_sub(earlier.gateway_errors),
            latency,
            started: self.started.saturating_sub(earlier.started),
            in_flight: self.in_flight,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_a_bucket_for_everything() {
        assert_eq!(edges().len() + 1, BUCKETS);
        let meter = Meter::new(1, edges());
        for took in [0, 250, 251, 65_536_000, 99_000_000] {
            meter.end(0, Duration::from_micros(took), Ending::Fine);
        }
        let latency = meter.totals().latency;
        assert_eq!((latency[0], latency[1], latency[BUCKETS - 2], latency[BUCKETS - 1]), (2, 1, 1, 1));
        assert_eq!(latency.iter().sum::<u64>(), 5);
    }

    #[test]
    fn counts_disjoint_intervals() {
        let meter = Arc::new(Meter::new(2, edges()));
        let open = meter.begin(1, Instant::now());
        meter.begin(0, Instant::now()).ended(Ending::GatewayError);
        let first = meter.totals();
        assert_eq!((first.requests, first.errors, first.gateway_errors, first.in_flight), (1, 1, 1, 1));
        drop(open);
        let second = meter.totals().since(&first);
        assert_eq!((second.requests, second.errors, second.in_flight), (1, 0, 0));
        assert_eq!(second.latency.iter().sum::<u64>(), 1);
    }
}
