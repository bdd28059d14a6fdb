//! Which arm takes the next request, and which endpoint of that arm. Pure.

use std::cmp::Reverse;

/// The thousandths that all weights of a route sum to.
pub const WHOLE: u16 = 1000;

/// Steps through the thousandths: each visits all of them once per thousand, evenly at every scale.
///
/// Of all numbers without a common divisor with 1000, these stray least: never by more than three requests from the
/// exact share within a thousand. A block draws one of them, so that no regular pattern in the requests can stay in
/// step with the choice.
const STEPS: [u64; 4] = [379, 621, 297, 703];

/// The place of the `turn`th request of a sequence, 0 to 999.
///
/// Each aligned thousand of turns meets each place exactly once, so weights are met exactly; each block starts at
/// a place that only `seed` knows.
#[must_use]
pub fn place(seed: u64, turn: u64) -> u16 {
    let (block, within) = (turn / u64::from(WHOLE), turn % u64::from(WHOLE));
    let drawn = mix(seed ^ block.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let step = STEPS[(drawn >> 62) as usize];
    ((drawn % u64::from(WHOLE) + within * step) % u64::from(WHOLE)) as u16
}

/// The finaliser of SplitMix64: every bit of the input moves every bit of the output.
fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The place of the client with this number, 0 to 999, in a split that `salt` tells from others.
///
/// It does not depend on the weights: where they move by some thousandths, only so many clients change their arm. With
/// another salt other clients come first.
#[must_use]
pub fn place_of(number: u64, salt: u64) -> u16 {
    (mix(number ^ salt) % u64::from(WHOLE)) as u16
}

/// The arm whose share covers `place`; `None` if no arm has a share there.
pub fn arm_at(weights: impl Iterator<Item = u16>, place: u16) -> Option<usize> {
    let mut edge = 0u32;
    weights.into_iter().position(|weight| {
        edge += u32::from(weight);
        u32::from(place) < edge
    })
}

/// What is known of an endpoint at the moment of the choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Requests that it works on.
    pub in_flight: u32,
    /// When it may be tried again, in milliseconds; 0 for one that takes connections and answers well.
    pub retry_at: u64,
    /// Whether this very request tried it already.
    pub tried: bool,
}

/// The endpoint to try next: of those that are up the least busy, counted from `turn` so that equals take turns.
///
/// If all are down, the one whose back-off ends first: an attempt costs less than a certain error.
pub fn endpoint(candidates: &[Candidate], turn: u64, now: u64) -> Option<usize> {
    let count = candidates.len();
    let first = if count == 0 { 0 } else { (turn % count as u64) as usize };
    (0..count).map(|offset| (first + offset) % count).filter(|&index| !candidates[index].tried).max_by_key(
        |&index| {
            let candidate = &candidates[index];
            let down = candidate.retry_at > now;
            let until = if down { candidate.retry_at } else { 0 };
            // Of equals, `max_by_key` takes the last; the distance from `first` makes that the first.
            let distance = (index + count - first) % count;
            (Reverse(until), Reverse(candidate.in_flight), Reverse(distance))
        },
    )
}

/// How long an endpoint that refused `failures` connections in a row is left alone, in milliseconds.
#[must_use]
pub fn back_off(failures: u32) -> u64 {
    (100u64 << failures.clamp(1, 6)).min(5_000)
}

/// How many failed answers in a row make an endpoint an outlier: answers 5xx, broken off or too late.
pub const OUTLIER_AFTER: u32 = 5;

/// How long an outlier is left alone, in milliseconds, the `times`th time in a row: 10 s, 20 s … 5 min.
#[must_use]
pub fn ejection(times: u32) -> u64 {
    10_000 * u64::from(times.clamp(1, 30))
}

/// Whether an endpoint that failed [`OUTLIER_AFTER`] requests in a row is to be left alone.
///
/// `siblings` are the others of its arm: how many requests each failed in a row, or `None` for one that is left alone
/// already. Half of an arm stays in use, and most of what is in use has to be well: what fails everywhere is the version's fault,
/// which its judge must see.
pub fn is_outlier(siblings: impl Iterator<Item = Option<u32>>) -> bool {
    let (mut well, mut ill, mut ejected) = (0, 0, 0);
    for bad in siblings {
        match bad {
            None => ejected += 1,
            Some(bad) if bad * 2 < OUTLIER_AFTER => well += 1,
            Some(_) => ill += 1,
        }
    }
    // This one is among the ejected, then.
    well >= ill && well > 0 && ejected < (well + ill + ejected + 1) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thousand_turns_meet_the_weights_exactly() {
        for weights in [[1, 999], [5, 995], [250, 750], [500, 500], [999, 1]] {
            for block in 0..8 {
                let first = (block * 1000..(block + 1) * 1000)
                    .filter(|&turn| arm_at(weights.into_iter(), place(42, turn)) == Some(0))
                    .count();
                assert_eq!(first, usize::from(weights[0]), "block {block}");
            }
        }
    }

    #[test]
    fn a_greater_weight_only_adds_clients_and_another_split_begins_with_others() {
        let on_first = |number, salt, weight| {
            arm_at([weight, WHOLE - weight].into_iter(), place_of(number, salt)) == Some(0)
        };
        let weights = [0, 1, 50, 333, 500, 999, 1000];
        let counts = weights.map(|weight| (0..20_000).filter(|&number| on_first(number, 7, weight)).count());
        for number in 0..20_000 {
            let on = weights.map(|weight| on_first(number, 7, weight));
            assert!(on.is_sorted(), "client {number} comes and goes: {on:?}");
        }
        for (weight, count) in weights.into_iter().zip(counts) {
            let share = count as f64 / 20.0 - f64::from(weight);
            assert!(share.abs() < 15.0, "weight {weight}: {count} of 20000");
        }
        let both = (0..20_000).filter(|&number| on_first(number, 7, 50) && on_first(number, 8, 50)).count();
        assert!(both < 120, "{both} of 20000 are first twice; 50 would be by chance");
    }

    #[test]
    fn every_window_is_near_its_share() {
        for weight in [1u16, 10, 50, 100, 250, 333, 500] {
            let hits: Vec<bool> = (0..5000).map(|turn| place(7, turn) < weight).collect();
            let mut sums = vec![0i64];
            for hit in &hits {
                sums.push(sums[sums.len() - 1] + i64::from(*hit));
            }
            for length in [20usize, 100, 300, 777] {
                for start in 0..hits.len() - length {
                    let share = (length as f64) * f64::from(weight) / 1000.0;
                    let off = (sums[start + length] - sums[start]) as f64 - share;
                    assert!(off.abs() <= 6.0, "weight {weight}, {length} from {start}: off by {off}");
                }
            }
        }
    }

    #[test]
    fn a_client_that_alternates_does_not_choose_its_arm() {
        for period in [2usize, 3, 5, 10] {
            let hits = (0..20_000).step_by(period).filter(|&turn| place(3, turn as u64) < 100).count();
            let share = hits as f64 / (20_000 / period) as f64;
            assert!((share - 0.1).abs() < 0.02, "every {period}th request: {share}");
        }
    }

    #[test]
    fn prefers_endpoints_that_are_up_and_idle_and_takes_turns() {
        let up = |in_flight| Candidate { in_flight, retry_at: 0, tried: false };
        let down = |retry_at| Candidate { in_flight: 0, retry_at, tried: false };
        assert_eq!(endpoint(&[up(3), up(1), up(2)], 0, 10), Some(1));
        assert_eq!(
            (0..4).map(|turn| endpoint(&[up(1), up(1)], turn, 10)).collect::<Vec<_>>(),
            [Some(0), Some(1), Some(0), Some(1)]
        );
        assert_eq!(endpoint(&[down(50), up(9)], 0, 10), Some(1));
        assert_eq!(endpoint(&[down(50), down(40)], 0, 10), Some(1), "all are down: the first to come back");
        assert_eq!(endpoint(&[down(5), up(9)], 0, 10), Some(0), "its back-off is over");
        let tried = Candidate { tried: true, ..up(0) };
        assert_eq!(endpoint(&[tried, up(9)], 0, 10), Some(1));
        assert_eq!(endpoint(&[tried], 0, 10), None);
        assert_eq!(endpoint(&[], 0, 10), None);
    }

    #[test]
    fn outliers_are_left_alone_longer_each_time_and_never_all_of_them() {
        assert_eq!([1, 2, 30, 99].map(ejection), [10_000, 20_000, 300_000, 300_000]);
        let (well, ill, gone) = (Some(2), Some(3), None);
        for (siblings, expected) in [
            (&[][..], false),
            (&[well], true),
            (&[ill], false),
            (&[gone], false),
            (&[well, ill], true),
            (&[well, gone], false),
            (&[ill, ill], false),
            (&[well, well, gone], true),
            (&[well, gone, gone], false),
            (&[well, ill, gone], true),
            (&[well, ill, ill], false),
        ] {
            assert_eq!(is_outlier(siblings.iter().copied()), expected, "{siblings:?}");
        }
    }

    #[test]
    fn backs_off_longer_each_time_and_never_for_long() {
        assert_eq!([1, 2, 3, 6, 99].map(back_off), [200, 400, 800, 5_000, 5_000]);
    }
}
