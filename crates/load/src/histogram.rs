//! Latencies with a relative error below 1 %, in constant space.

/// Buckets to each doubling.
const FINE: u64 = 128;

/// Counts of durations in microseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    longest: u64,
}

impl Histogram {
    pub(crate) fn add(&mut self, micros: u64) {
        let index = bucket(micros);
        if index >= self.counts.len() {
            self.counts.resize(index + 1, 0);
        }
        self.counts[index] += 1;
        self.total += 1;
        self.longest = self.longest.max(micros);
    }

    pub(crate) fn longest(&self) -> u64 {
        self.longest
    }

    /// The least duration that so large a part of all does not exceed; 0 if there are none.
    pub(crate) fn quantile(&self, part: f64) -> u64 {
        let rank = ((self.total as f64 * part).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_edge(index).min(self.longest);
            }
        }
        self.longest
    }
}

/// Below `FINE` each microsecond has its bucket; above, each doubling has `FINE` of them.
fn bucket(micros: u64) -> usize {
    if micros < FINE {
        return micros as usize;
    }
    let shift = micros.ilog2() - FINE.ilog2();
    (u64::from(shift) * FINE + (micros >> shift)) as usize
}

fn upper_edge(index: usize) -> u64 {
    let index = index as u64;
    if index < 2 * FINE {
        return index;
    }
    let shift = index / FINE - 1;
    ((index - shift * FINE + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_within_its_bucket() {
        let mut last = 0;
        for micros in (0..5_000).chain((1..600).map(|step| step * 123_457)) {
            let index = bucket(micros);
            let edge = upper_edge(index);
            assert!(edge >= micros && edge as f64 <= micros as f64 * 1.01 + 1.0, "{micros}: {edge}");
            assert!(index >= last || micros < 200_000, "{micros}: buckets are in order");
            last = index;
        }
    }

    #[test]
    fn quantiles_are_ranks() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), 0);
        (1..=100).for_each(|micros| histogram.add(micros));
        assert_eq!([0.5, 0.9, 0.99, 1.0].map(|part| histogram.quantile(part)), [50, 90, 99, 100]);
        assert_eq!(histogram.longest(), 100);
    }
}
