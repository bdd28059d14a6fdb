//! One look at the queue.
//!
//! Every Attempt is looked at once, in the order of fairness. As places and groups only fill up while it looks, what
//! cannot begin when its turn comes cannot begin at all in this look. What cannot begin now takes the place that
//! is free first, on paper: that gives the expected times.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use jiff::{SignedDuration, Timestamp};

use super::{Assignment, Runner, Schedule, Standing, State, Upcoming, Wait, WaitReason, Waiting};
use crate::ProjectName;

/// What a Job is taken to last of which nothing is known, where nothing is known of any.
const UNKNOWN: SignedDuration = SignedDuration::from_mins(2);

/// What a Job is taken to last at least.
const SHORTEST: SignedDuration = SignedDuration::from_secs(1);

/// What is left at least of a Job that takes longer than it used to.
const OVERDUE: SignedDuration = SignedDuration::from_secs(5);

/// Decides what begins now, and says of the rest why it waits.
pub fn schedule(state: State<'_>, now: Timestamp) -> Schedule {
    Look::new(state, now).go()
}

/// Room for one Attempt on an agent.
struct Place {
    runner: usize,
    free_at: Timestamp,
}

/// What several Attempts ask of an agent.
#[derive(Default)]
struct Wish {
    /// When a place that fits is free: time, labels of its agent, place. An entry may be out of date.
    places: BinaryHeap<Reverse<(Timestamp, usize, u32, usize)>>,
    /// Agents that fit and take work.
    ready: u32,
    /// Agents that fit and take none.
    others: u32,
    /// Attempts with this wish that wait.
    before: u32,
}

/// A concurrency group.
#[derive(Default)]
struct Group<'a> {
    /// When those that run, or are going to, end; in order.
    ends: Vec<Timestamp>,
    /// One that holds it.
    holder: Option<&'a str>,
    /// Refs of which an earlier one cannot begin at all, and who that is.
    stuck: HashMap<&'a str, &'a str>,
}

/// A Project's Attempts in their order.
#[derive(Default)]
struct Line {
    order: Vec<usize>,
    next: usize,
    running: u32,
}

struct Look<'a> {
    state: State<'a>,
    now: Timestamp,
    usual: SignedDuration,
    places: Vec<Place>,
    wishes: Vec<Wish>,
    /// The wish of each waiting Attempt.
    wish_of: Vec<usize>,
    groups: HashMap<(&'a ProjectName, &'a str), Group<'a>>,
    upcoming: HashMap<(&'a ProjectName, &'a str, &'a str), &'a Upcoming>,
    done: Schedule,
}

impl<'a> Look<'a> {
    fn new(state: State<'a>, now: Timestamp) -> Self {
        let mut look = Self {
            state,
            now,
            usual: usual(state),
            places: Vec::new(),
            wishes: Vec::new(),
            wish_of: Vec::with_capacity(state.waiting.len()),
            groups: HashMap::new(),
            upcoming: HashMap::new(),
            done: Schedule::default(),
        };
        look.find_places();
        look.find_wishes();
        for upcoming in state.upcoming {
            let key = (&upcoming.project, upcoming.group.as_str(), upcoming.reference.as_str());
            let first = look.upcoming.entry(key).or_insert(upcoming);
            if upcoming.run < first.run {
                *first = upcoming;
            }
        }
        for busy in state.busy {
            if let Some(group) = &busy.group {
                let end = look.end_of(busy.started_at, busy.estimate);
                let group = look.groups.entry((&busy.project, group)).or_default();
                group.will_end(end);
                group.holder = group.holder.or(Some(&busy.title));
            }
        }
        look
    }

    fn find_places(&mut self) {
        let mut index = HashMap::new();
        for (runner, known) in self.state.runners.iter().enumerate() {
            if known.standing != Standing::Ready {
                continue;
            }
            index.insert(known.id, runner);
            let now = self.now;
            self.places.extend((0..known.free).map(|_| Place { runner, free_at: now }));
        }
        for busy in self.state.busy {
            if let Some(&runner) = index.get(&busy.agent) {
                let free_at = self.end_of(busy.started_at, busy.estimate);
                self.places.push(Place { runner, free_at });
            }
        }
    }

    fn find_wishes(&mut self) {
        let mut known: HashMap<&BTreeMap<String, String>, usize> = HashMap::new();
        for waiting in self.state.waiting {
            let index = *known.entry(&waiting.labels).or_insert_with(|| {
                let wish = self.wish(&waiting.labels);
                self.wishes.push(wish);
                self.wishes.len() - 1
            });
            self.wish_of.push(index);
        }
    }

    fn wish(&self, labels: &BTreeMap<String, String>) -> Wish {
        let fits =
            |runner: &Runner| labels.iter().all(|(name, value)| runner.labels.get(name) == Some(value));
        let fitting: Vec<bool> = self.state.runners.iter().map(fits).collect();
        let mut wish = Wish::default();
        for (runner, _) in self.state.runners.iter().zip(&fitting).filter(|(_, fits)| **fits) {
            match runner.standing {
                Standing::Ready => wish.ready += 1,
                Standing::Draining | Standing::TooOld | Standing::Cloned => wish.others += 1,
            }
        }
        // The first place of each agent comes before the second of any, so that work spreads.
        let mut nth: HashMap<usize, u32> = HashMap::new();
        for (index, place) in self.places.iter().enumerate().filter(|(_, place)| fitting[place.runner]) {
            let nth = nth.entry(place.runner).or_default();
            let special = self.state.runners[place.runner].labels.len();
            wish.places.push(Reverse((place.free_at, special, *nth, index)));
            *nth += 1;
        }
        wish
    }

    fn end_of(&self, started: Timestamp, estimate: Option<SignedDuration>) -> Timestamp {
        let end = after(started, estimate.unwrap_or(self.usual));
        end.max(after(self.now, OVERDUE))
    }

    fn go(mut self) -> Schedule {
        let mut lines = self.lines();
        let mut turn: BinaryHeap<Reverse<(u32, Timestamp, usize)>> = BinaryHeap::new();
        let head = |line: &Line, waiting: &[Waiting]| line.order.get(line.next).map(|&w| rank(&waiting[w]));
        for (index, line) in lines.iter().enumerate() {
            turn.extend(head(line, self.state.waiting).map(|rank| Reverse((line.running, rank, index))));
        }
        while let Some(Reverse((_, _, index))) = turn.pop() {
            let line = &mut lines[index];
            let waiting = line.order[line.next];
            line.next += 1;
            if self.place(waiting) {
                line.running += 1;
            }
            turn.extend(head(line, self.state.waiting).map(|rank| Reverse((line.running, rank, index))));
        }
        // What nobody can tell comes last.
        self.done.waits.sort_by_key(|wait| wait.eta.unwrap_or(Timestamp::MAX));
        self.done
    }

    /// The waiting Attempts of each Project in their order.
    fn lines(&self) -> Vec<Line> {
        let mut projects: HashMap<&ProjectName, usize> = HashMap::new();
        let mut lines: Vec<Line> = Vec::new();
        for (index, waiting) in self.state.waiting.iter().enumerate() {
            let line = *projects.entry(&waiting.project).or_insert_with(|| {
                lines.push(Line::default());
                lines.len() - 1
            });
            lines[line].order.push(index);
        }
        for busy in self.state.busy {
            if let Some(&line) = projects.get(&busy.project) {
                lines[line].running += 1;
            }
        }
        for line in &mut lines {
            line.order.sort_by_key(|&w| {
                let waiting = &self.state.waiting[w];
                (rank(waiting), waiting.run, waiting.attempt)
            });
            order_groups(&mut line.order, self.state.waiting);
        }
        lines
    }

    /// Gives an Attempt a place, now or on paper. Says whether it got one.
    fn place(&mut self, index: usize) -> bool {
        let waiting = &self.state.waiting[index];
        let (group_free, blocked) = self.ask_group(waiting);
        let wish = self.wish_of[index];
        let Some((slot, free_at)) = self.first_place(wish) else {
            let reason = blocked.unwrap_or_else(|| self.nobody(wish));
            return self.stuck(index, reason);
        };
        let Some(group_free) = group_free else {
            let reason = blocked.unwrap_or(WaitReason::NoFit);
            return self.stuck(index, reason);
        };
        let start = free_at.max(group_free);
        // A Job that takes no time would leave its place free for another one at the same moment.
        let end = after(start, waiting.estimate.unwrap_or(self.usual).max(SHORTEST));
        if group_free <= free_at {
            // A Job that its group holds back keeps no place from others.
            self.places[slot].free_at = end;
        }
        if let Some((group, _)) = &waiting.group {
            let group = self.groups.entry((&waiting.project, group)).or_default();
            group.will_end(end);
            group.holder = group.holder.or(Some(&waiting.title));
        }
        if start <= self.now {
            let agent = self.state.runners[self.places[slot].runner].id;
            self.done.assignments.push(Assignment { waiting: index, agent });
        } else {
            let wish = &mut self.wishes[wish];
            let busy = WaitReason::Busy { agents: wish.ready, before: wish.before };
            wish.before += 1;
            self.done.waits.push(Wait { waiting: index, reason: blocked.unwrap_or(busy), eta: Some(start) });
        }
        true
    }

    /// When its group lets an Attempt in, and why not now. No time: nobody can tell.
    fn ask_group(&self, waiting: &'a Waiting) -> (Option<Timestamp>, Option<WaitReason>) {
        let Some((name, limit)) = &waiting.group else { return (Some(self.now), None) };
        let turn =
            |after: &str| (None, Some(WaitReason::Turn { group: name.clone(), after: after.to_owned() }));
        let key = (&waiting.project, name.as_str(), waiting.reference.as_str());
        if let Some(earlier) = self.upcoming.get(&key).filter(|upcoming| upcoming.run < waiting.run) {
            return turn(&earlier.title);
        }
        let Some(group) = self.groups.get(&(&waiting.project, name.as_str())) else {
            return (Some(self.now), None);
        };
        if let Some(earlier) = group.stuck.get(waiting.reference.as_str()) {
            return turn(earlier);
        }
        let limit_index = group.ends.len().checked_sub(usize::try_from(*limit).unwrap_or(usize::MAX));
        match limit_index {
            None => (Some(self.now), None),
            Some(index) => {
                let holder = group.holder.unwrap_or("another job").to_owned();
                let reason = WaitReason::Group { group: name.clone(), limit: *limit, holder };
                (Some(group.ends[index]), Some(reason))
            }
        }
    }

    /// The place with this wish that is free first.
    fn first_place(&mut self, wish: usize) -> Option<(usize, Timestamp)> {
        let places = &mut self.wishes[wish].places;
        loop {
            let Reverse((free_at, special, nth, slot)) = *places.peek()?;
            let really = self.places[slot].free_at;
            if really == free_at {
                return Some((slot, free_at));
            }
            // Somebody with another wish took it meanwhile.
            places.pop();
            places.push(Reverse((really, special, nth, slot)));
        }
    }

    fn nobody(&self, wish: usize) -> WaitReason {
        let wish = &self.wishes[wish];
        match (self.state.runners.len(), wish.ready, wish.others) {
            (0, _, _) => WaitReason::NoAgents,
            (_, 0, 0) => WaitReason::NoFit,
            (_, 0, others) => WaitReason::NoneReady { agents: others },
            (_, agents, _) => WaitReason::Busy { agents, before: wish.before },
        }
    }

    /// It cannot be told when this one begins, nor those that it goes before.
    fn stuck(&mut self, index: usize, reason: WaitReason) -> bool {
        let waiting = &self.state.waiting[index];
        if let Some((group, _)) = &waiting.group {
            let group = self.groups.entry((&waiting.project, group)).or_default();
            group.stuck.entry(&waiting.reference).or_insert(&waiting.title);
        }
        self.done.waits.push(Wait { waiting: index, reason, eta: None });
        false
    }
}

impl Group<'_> {
    fn will_end(&mut self, at: Timestamp) {
        let index = self.ends.partition_point(|end| *end <= at);
        self.ends.insert(index, at);
    }
}

/// Where an Attempt stands within its Project: a point of priority is worth a minute of waiting.
fn rank(waiting: &Waiting) -> Timestamp {
    let ahead = SignedDuration::from_mins(waiting.priority.into());
    waiting.queued_at.saturating_sub(ahead).unwrap_or(Timestamp::MIN)
}

/// Puts the members of each concurrency group into the order of their Runs, at the places that they have together.
fn order_groups(order: &mut [usize], waiting: &[Waiting]) {
    let mut members: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, &index) in order.iter().enumerate() {
        if let Some((group, _)) = &waiting[index].group {
            members.entry(group).or_default().push(at);
        }
    }
    for places in members.into_values() {
        let mut indices: Vec<usize> = places.iter().map(|&at| order[at]).collect();
        indices.sort_by_key(|&index| waiting[index].run);
        for (at, index) in places.into_iter().zip(indices) {
            order[at] = index;
        }
    }
}

/// The mean of all durations that are known.
fn usual(state: State<'_>) -> SignedDuration {
    let known = state.waiting.iter().map(|waiting| waiting.estimate);
    let known = known.chain(state.busy.iter().map(|busy| busy.estimate)).flatten();
    let (sum, count) = known.fold((SignedDuration::ZERO, 0_i32), |(sum, count), estimate| {
        (sum.saturating_add(estimate), count.saturating_add(1))
    });
    if count == 0 { UNKNOWN } else { sum / count }
}

fn after(at: Timestamp, time: SignedDuration) -> Timestamp {
    at.saturating_add(time).unwrap_or(Timestamp::MAX)
}
