//! Divides a suite of tests over the cells of a Job, by how long each test took before.
//!
//! The longest first, each to the share that has least: no share is longer than 4/3 of the best that is
//! possible (less a third of its part). Every cell comes to the same answer by itself, for it is a function of the
//! list and the times, and all cells of a Run are given the same times.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use serde::{Deserialize, Serialize};

/// The most tests whose times a Job is told.
pub const MAX_TIMES: u32 = 50_000;

/// How long a test took before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestTime {
    /// Its identity, as reports name it.
    pub id: String,
    /// The file that it stands in, where a report said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// In milliseconds.
    pub ms: u64,
}

/// A divided list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// For each share, the places of its items in the list, in order.
    pub shares: Vec<Vec<usize>>,
    /// How long each share is expected to take, in milliseconds.
    pub millis: Vec<u64>,
    /// How many items have a time.
    pub known: usize,
    /// What an item without one counts as; `None` where no item has one, and all count alike.
    pub median: Option<u64>,
}

/// Divides `items`. One that stands there twice is taken once.
#[must_use]
pub fn split(items: &[String], times: &Times, count: u32) -> Split {
    let mut seen = BTreeSet::new();
    let distinct = items.iter().enumerate().filter(|(_, item)| seen.insert(item.as_str()));
    let mut weighed: Vec<(usize, &str, Option<u64>)> =
        distinct.map(|(place, item)| (place, item.as_str(), times.of(item))).collect();
    let mut known: Vec<u64> = weighed.iter().filter_map(|(_, _, time)| *time).collect();
    known.sort_unstable();
    let median = known.get(known.len() / 2).copied();
    // What takes no time that could be measured is still work.
    let weight = |time: Option<u64>| time.or(median).unwrap_or(1).max(1);
    weighed.sort_unstable_by_key(|(_, item, time)| (Reverse(weight(*time)), *item));
    let count = count.max(1) as usize;
    let (mut shares, mut millis) = (vec![Vec::new(); count], vec![0_u64; count]);
    let mut least: BinaryHeap<Reverse<(u64, usize)>> = (0..count).map(|share| Reverse((0, share))).collect();
    for (place, _, time) in weighed {
        let Some(Reverse((load, share))) = least.pop() else { break };
        let load = load.saturating_add(weight(time));
        shares[share].push(place);
        millis[share] = load;
        least.push(Reverse((load, share)));
    }
    shares.iter_mut().for_each(|share| share.sort_unstable());
    Split { shares, millis, known: known.len(), median }
}

/// Times, found by whatever a list of tests may call them.
#[derive(Debug, Default)]
pub struct Times {
    /// By identity.
    ids: HashMap<String, u64>,
    /// All tests of a file.
    files: HashMap<String, u64>,
    /// All tests of a class: what stands before the last `::`.
    classes: HashMap<String, u64>,
    /// By the identity without its first part, which runners put before it.
    names: HashMap<String, u64>,
}

impl Times {
    /// Takes times in.
    pub fn new(times: impl IntoIterator<Item = TestTime>) -> Self {
        let mut found = Self::default();
        for TestTime { id, file, ms } in times {
            if let Some(file) = file {
                add(&mut found.files, plain(&file).to_owned(), ms);
            }
            if let Some((class, _)) = id.rsplit_once("::") {
                add(&mut found.classes, class.to_owned(), ms);
            }
            if let Some((_, name)) = id.split_once("::") {
                // Where two are called alike, nobody knows which is meant: the longer one is the safer guess.
                let longest = found.names.entry(name.to_owned()).or_default();
                *longest = ms.max(*longest);
            }
            found.ids.insert(id, ms);
        }
        found
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The time of a test, of all tests of a file, or of all tests of the class that a file is named after.
    #[must_use]
    pub fn of(&self, item: &str) -> Option<u64> {
        let item = plain(item);
        let direct = self.ids.get(item).or_else(|| self.files.get(item)).or_else(|| self.names.get(item));
        direct.copied().or_else(|| self.class_of(item))
    }

    /// `src/test/java/com/acme/CartTest.java` holds the class `com.acme.CartTest`; `tests/test_cart.py`, `tests.test_cart`.
    fn class_of(&self, path: &str) -> Option<u64> {
        let stem = path.rsplit_once('.').filter(|(_, end)| !end.contains('/')).map_or(path, |(stem, _)| stem);
        let dotted = stem.replace('/', ".");
        let mut rest = dotted.as_str();
        loop {
            if let Some(time) = self.classes.get(rest) {
                return Some(*time);
            }
            rest = rest.split_once('.')?.1;
        }
    }
}

fn add(sums: &mut HashMap<String, u64>, name: String, ms: u64) {
    let sum = sums.entry(name).or_default();
    *sum = sum.saturating_add(ms);
}

fn plain(path: &str) -> &str {
    path.strip_prefix("./").unwrap_or(path)
}

/// Times as a file: one JSON object a line.
#[must_use]
pub fn write(times: &[TestTime]) -> String {
    let mut text = String::new();
    for time in times {
        // Text and numbers always have a form in JSON.
        text.push_str(&serde_json::to_string(time).unwrap_or_default());
        text.push('\n');
    }
    text
}

/// Reads what [`write()`] wrote; a line that says something else is left out.
#[must_use]
pub fn read(text: &str) -> Vec<TestTime> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).take(MAX_TIMES as usize).collect()
}

/// Times of the tests that were listed, for people: `3 of 5`, and how the others were counted.
#[must_use]
pub fn words(split: &Split, index: u32, items: &BTreeMap<u32, usize>) -> String {
    let seconds = |millis: u64| format!("{}.{} s", millis / 1000, millis % 1000 / 100);
    let count = split.shares.len();
    let all: usize = items.values().sum();
    let mine = items.get(&index).copied().unwrap_or(0);
    let head = format!("share {index} of {count}: {mine} of {all} tests");
    let Some(median) = split.median else {
        return format!("{head}, by their names alone: there is no history of any of them");
    };
    let time = split.millis.get(index.saturating_sub(1) as usize).copied().unwrap_or(0);
    let total: u64 = split.millis.iter().sum();
    let head = format!("{head}, about {} of {}", seconds(time), seconds(total));
    match all - split.known {
        0 => head,
        unknown => format!("{head}; {unknown} without history count as the median, {}", seconds(median)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn times(known: &[(&str, Option<&str>, u64)]) -> Times {
        Times::new(known.iter().map(|(id, file, ms)| TestTime {
            id: (*id).to_owned(),
            file: file.map(str::to_owned),
            ms: *ms,
        }))
    }

    #[test]
    fn finds_a_time_by_test_file_and_class() {
        let known = times(&[
            ("shop::cart::pays", Some("src/cart.rs"), 5),
            ("shop::cart::empties", Some("./src/cart.rs"), 7),
            ("com.acme.CartTest::pays", None, 11),
            ("tests.test_cart::test_pays", None, 13),
            ("tests.test_cart::test_empties", None, 1),
        ]);
        for (item, time) in [
            ("shop::cart::pays", Some(5)),
            ("cart::pays", Some(5)),
            ("src/cart.rs", Some(12)),
            ("./src/cart.rs", Some(12)),
            ("src/test/java/com/acme/CartTest.java", Some(11)),
            ("tests/test_cart.py", Some(14)),
            ("tests/test_till.py", None),
            ("", None),
        ] {
            assert_eq!(known.of(item), time, "{item}");
        }
        let again =
            read(&format!("nonsense\n{}", write(&[TestTime { id: "a".to_owned(), file: None, ms: 3 }])));
        assert_eq!(Times::new(again).of("a"), Some(3));
    }

    #[test]
    fn says_by_what_it_divided() {
        let items: Vec<String> = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        let sizes = |split: &Split| (1..).zip(split.shares.iter().map(Vec::len)).collect();
        let by_time = split(&items, &times(&[("a", None, 3000), ("b", None, 1000), ("c", None, 1000)]), 2);
        assert_eq!(by_time.shares, [vec![0], vec![1, 2, 3]]);
        assert_eq!(
            words(&by_time, 2, &sizes(&by_time)),
            "share 2 of 2: 3 of 4 tests, about 3.0 s of 6.0 s; 1 without history count as the median, 1.0 s"
        );
        let by_name = split(&items, &Times::default(), 3);
        assert_eq!(by_name.shares, [vec![0, 3], vec![1], vec![2]]);
        assert_eq!(
            words(&by_name, 1, &sizes(&by_name)),
            "share 1 of 3: 2 of 4 tests, by their names alone: there is no history of any of them"
        );
    }

    /// The least makespan, by trying everything.
    fn best(weights: &[u64], loads: &mut Vec<u64>) -> u64 {
        let [weight, rest @ ..] = weights else { return loads.iter().copied().max().unwrap_or(0) };
        (0..loads.len())
            .map(|share| {
                loads[share] += weight;
                let best = best(rest, loads);
                loads[share] -= weight;
                best
            })
            .min()
            .unwrap_or(0)
    }

    proptest! {
        #[test]
        fn every_test_is_in_exactly_one_share_whatever_order_it_was_listed_in(
            names in proptest::collection::vec("[a-f]{1,3}", 0..60),
            known in proptest::collection::hash_map("[a-f]{1,3}", 0_u64..5000, 0..40),
            count in 1_u32..9,
        ) {
            let times = Times::new(known.into_iter().map(|(id, ms)| TestTime { id, file: None, ms }));
            let divided = split(&names, &times, count);
            prop_assert_eq!(divided.shares.len(), count as usize);
            let named = |names: &[String], split: &Split| -> Vec<BTreeSet<String>> {
                split.shares.iter().map(|share| share.iter().map(|place| names[*place].clone()).collect()).collect()
            };
            let mut all: Vec<&String> = divided.shares.iter().flatten().map(|place| &names[*place]).collect();
            all.sort();
            let distinct: BTreeSet<&String> = names.iter().collect();
            prop_assert_eq!(all, distinct.into_iter().collect::<Vec<_>>());
            let turned: Vec<String> = names.iter().rev().cloned().collect();
            prop_assert_eq!(named(&names, &divided), named(&turned, &split(&turned, &times, count)));
        }

        #[test]
        fn no_share_is_longer_than_four_thirds_of_the_best(
            weights in proptest::collection::vec(1_u64..1000, 1..9),
            count in 1_u32..4,
        ) {
            let names: Vec<String> = (0..weights.len()).map(|n| format!("t{n}")).collect();
            let times = Times::new(names.iter().zip(&weights).map(|(id, ms)| TestTime {
                id: id.clone(),
                file: None,
                ms: *ms,
            }));
            let longest = split(&names, &times, count).millis.into_iter().max().unwrap_or(0);
            let best = best(&weights, &mut vec![0; count as usize]);
            // Graham: at most 4/3 - 1/(3m) of the best.
            let count = u64::from(count);
            prop_assert!(longest * 3 * count <= best * (4 * count - 1), "{longest} against {best}");
        }
    }
}
