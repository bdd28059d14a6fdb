//! How a Revision replaces another.

use std::fmt;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::Weight;

/// How long what ran before is kept running after a promotion where nothing else is said, so that the way back is instant.
pub const WARM: SignedDuration = SignedDuration::from_mins(10);

/// How a Revision replaces another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Strategy {
    /// Stop the old, start the new.
    Recreate,
    /// Both at once, traffic moved in steps.
    Canary(Canary),
    /// A few Instances after the other, traffic as they come.
    Rolling(Rolling),
    /// All of the new beside all of the old, then all traffic at once.
    BlueGreen(BlueGreen),
}

impl Strategy {
    /// The word for it, as files say it.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Recreate => "recreate",
            Self::Canary(_) => "canary",
            Self::Rolling(_) => "rolling",
            Self::BlueGreen(_) => "blue-green",
        }
    }

    /// What it does, in a sentence.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Recreate => "recreate: what runs is stopped, then this is started".to_owned(),
            Self::Canary(canary) => {
                let weights: Vec<String> = canary.steps.iter().map(|step| step.weight.to_string()).collect();
                let routing: String = canary.routing().iter().map(|words| format!("; {words}")).collect();
                format!("canary: {}, then everything, each step judged{routing}", weights.join(", "))
            }
            Self::Rolling(Rolling { max_surge, max_unavailable, .. }) => format!(
                "rolling: Instances replaced in batches, at most {max_surge} more and {max_unavailable} fewer than wanted, \
                 each batch judged"
            ),
            Self::BlueGreen(blue_green) => format!(
                "blue-green: all of the new beside all of the old, then everything at once{}; the old stay ready for {:#}",
                if blue_green.watch.is_some() { " and judged" } else { "" },
                blue_green.warm
            ),
        }
    }

    /// The steps at which the candidate is judged before it has everything for good, where there are so many Instances
    /// of each Workload.
    #[must_use]
    pub fn steps(&self, instances: u32) -> Vec<CanaryStep> {
        match self {
            Self::Recreate => Vec::new(),
            Self::Canary(canary) => canary.steps.clone(),
            Self::Rolling(rolling) => rolling.steps(&rolling.batches(instances)),
            Self::BlueGreen(blue_green) => blue_green.watch.iter().cloned().collect(),
        }
    }

    /// Whether a client stays with the side that it met first.
    #[must_use]
    pub const fn is_sticky(&self) -> bool {
        matches!(self, Self::Canary(Canary { sticky: Some(_), .. }))
    }

    /// How long what ran before is kept running after the Promotion.
    #[must_use]
    pub const fn warm(&self) -> SignedDuration {
        match self {
            Self::BlueGreen(blue_green) => blue_green.warm,
            Self::Recreate | Self::Canary(_) | Self::Rolling(_) => WARM,
        }
    }
}

/// A canary's steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// In order; weights rise. After the last one the candidate gets everything.
    pub steps: Vec<CanaryStep>,
    /// How clients stay with the side that they met first; `None` draws for each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Sticky>,
    /// Requests that go to one side whatever the weights say. The first that fits decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
}

/// Clients keep a number, and the number decides: a greater weight only adds clients to the candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sticky {
    /// The cookie that holds the number.
    pub cookie: String,
    /// How long a client keeps it.
    pub duration: SignedDuration,
}

/// Requests with a certain header field or cookie go to one side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Where to look.
    pub on: RouteField,
    /// What must stand there.
    pub equals: String,
    /// Who gets the request.
    pub to: Side,
}

/// Where a [`Route`] looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteField {
    /// In a header field, by its name.
    Header(String),
    /// In a cookie, by its name.
    Cookie(String),
}

/// A side of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The new Revision.
    Candidate,
    /// What ran before.
    Stable,
}

impl Canary {
    /// Who gets which requests beside the weights, one sentence each.
    #[must_use]
    pub fn routing(&self) -> Vec<String> {
        let route = |Route { on, equals, to }: &Route| {
            let on = match on {
                RouteField::Header(name) => format!("header `{name}: {equals}`"),
                RouteField::Cookie(name) => format!("cookie `{name}={equals}`"),
            };
            let to = match to {
                Side::Candidate => "the candidate",
                Side::Stable => "what runs now",
            };
            format!("requests with {on} go to {to}, and count apart")
        };
        let sticky = self.sticky.iter().map(|Sticky { cookie, duration }| {
            format!("clients stay where they are for {duration:#}, by the cookie `{cookie}`")
        });
        self.routes.iter().map(route).chain(sticky).collect()
    }
}

/// One step: a share of the traffic, and its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryStep {
    /// The candidate's share.
    pub weight: Weight,
    /// The least time of the step.
    pub duration: SignedDuration,
    /// The most time: then the Rollout holds for a person. Four times `duration` where the file gives none.
    pub max: SignedDuration,
    /// Waits for `towpath resume` after the step, whatever the verdict.
    pub pause: bool,
}

/// Instances replaced in batches, as Kubernetes' `RollingUpdate` has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rolling {
    /// How many Instances there may be beyond the wanted number. A percentage is rounded up.
    pub max_surge: Amount,
    /// How many of the wanted number may be missing. A percentage is rounded down.
    pub max_unavailable: Amount,
    /// The least time between one batch and the next.
    pub duration: SignedDuration,
    /// The most time for the verdict on a batch: then the Rollout holds for a person.
    pub max: SignedDuration,
}

/// A number of Instances, or a share of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Amount {
    /// So many.
    Count(u32),
    /// So many percent of the wanted number.
    Percent(u32),
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl Amount {
    fn of(self, total: u32, round_up: bool) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => {
                let product = u64::from(total) * u64::from(percent);
                let whole = if round_up { product.div_ceil(100) } else { product / 100 };
                u32::try_from(whole).unwrap_or(u32::MAX)
            }
        }
    }
}

impl Rolling {
    /// How many Instances there may be beyond `instances`. One, where there would otherwise be no way to begin.
    #[must_use]
    pub fn surge(&self, instances: u32) -> u32 {
        let surge = self.max_surge.of(instances, true);
        if surge == 0 && self.unavailable(instances) == 0 { 1 } else { surge }
    }

    /// How many of `instances` may be missing; never all of them, since somebody has to answer.
    #[must_use]
    pub fn unavailable(&self, instances: u32) -> u32 {
        self.max_unavailable.of(instances, false).min(instances.saturating_sub(1))
    }

    /// How many Instances of the candidate there are after each batch; the last number is `instances`.
    #[must_use]
    pub fn batches(&self, instances: u32) -> Vec<u32> {
        let size = self.surge(instances).saturating_add(self.unavailable(instances)).max(1);
        let mut batches = Vec::new();
        let mut done = 0_u32;
        while done < instances {
            done = done.saturating_add(size).min(instances);
            batches.push(done);
        }
        batches
    }

    /// The steps of so many batches: the last one is no step, since nothing is left to compare with.
    #[must_use]
    pub fn steps(&self, batches: &[u32]) -> Vec<CanaryStep> {
        let Some((&all, parts)) = batches.split_last() else { return Vec::new() };
        let step = |&part: &u32| CanaryStep {
            weight: share(part, all),
            duration: self.duration,
            max: self.max,
            pause: false,
        };
        parts.iter().map(step).collect()
    }
}

/// The share of the traffic that `part` of `all` Instances take, to a tenth of a percent, and never nothing.
#[must_use]
pub fn share(part: u32, all: u32) -> Weight {
    if part == 0 || all == 0 {
        return Weight::NONE;
    }
    let permille = (u64::from(part) * 1000 + u64::from(all) / 2) / u64::from(all);
    let permille = u16::try_from(permille.clamp(1, 1000)).unwrap_or(1000);
    Weight::from_permille(permille).unwrap_or(Weight::FULL)
}

/// Two full sets of Instances and one switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlueGreen {
    /// How the candidate is watched after the switch, at everything: compared with what ran before as that did before the
    /// switch.
    pub watch: Option<CanaryStep>,
    /// How long what ran before stays ready after the Promotion.
    pub warm: SignedDuration,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rolling(max_surge: Amount, max_unavailable: Amount) -> Rolling {
        let duration = SignedDuration::from_secs(30);
        Rolling { max_surge, max_unavailable, duration, max: duration * 4 }
    }

    #[test]
    fn batches_are_those_of_kubernetes_numbers() {
        let quarter = rolling(Amount::Percent(25), Amount::Percent(25));
        assert_eq!(quarter.batches(10), [5, 10], "3 more, 2 fewer");
        assert_eq!(quarter.batches(4), [2, 4]);
        assert_eq!(quarter.batches(1), [1], "1 more, 0 fewer");
        assert_eq!(rolling(Amount::Count(1), Amount::Count(0)).batches(3), [1, 2, 3]);
        assert_eq!(
            rolling(Amount::Count(0), Amount::Percent(10)).batches(3),
            [1, 2, 3],
            "one has to come first"
        );
        assert_eq!(rolling(Amount::Percent(100), Amount::Count(0)).batches(7), [7]);
        let last = rolling(Amount::Count(0), Amount::Count(1));
        assert_eq!((last.surge(1), last.unavailable(1)), (1, 0), "the last one is never taken away");
        assert!(rolling(Amount::Count(1), Amount::Count(0)).batches(0).is_empty());
    }

    #[test]
    fn a_step_has_the_share_of_its_instances() {
        let rolling = rolling(Amount::Count(1), Amount::Count(0));
        let weights = |n| -> Vec<u16> {
            rolling.steps(&rolling.batches(n)).iter().map(|step| step.weight.permille()).collect()
        };
        assert_eq!(weights(3), [333, 667]);
        assert!(weights(1).is_empty());
        assert_eq!(share(1, 100_000), Weight::from_permille(1).expect("a weight"));
    }

    proptest! {
        #[test]
        fn batches_rise_to_the_end_by_no_more_than_both_allow(
            instances in 1..500_u32, surge in 0..120_u32, missing in 0..120_u32, percent: bool,
        ) {
            let amount = |n| if percent { Amount::Percent(n) } else { Amount::Count(n) };
            let rolling = rolling(amount(surge), amount(missing));
            let most = rolling.surge(instances) + rolling.unavailable(instances);
            let batches = rolling.batches(instances);
            prop_assert_eq!(batches.last(), Some(&instances));
            let mut before = 0;
            for batch in batches {
                prop_assert!(before < batch && batch - before <= most);
                before = batch;
            }
        }
    }
}
