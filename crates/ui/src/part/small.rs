//! The smallest pieces: badges, times, digests, commits.

use jiff::Timestamp;
use maud::{Markup, html};

use super::icon;
use crate::view::{Commit, RevisionName, RunRow, State, Tone};
use crate::{format, routes};

/// The class of a tone.
pub const fn tone(tone: Tone) -> &'static str {
    match tone {
        Tone::Calm => "calm",
        Tone::Waiting => "wait",
        Tone::Live => "live",
        Tone::Good => "good",
        Tone::Warn => "warn",
        Tone::Bad => "bad",
    }
}

/// A state as icon and word.
pub fn badge(state: State) -> Markup {
    badge_saying(state, state.label())
}

/// A state as icon and another word than its own.
pub fn badge_saying(state: State, word: &str) -> Markup {
    html! { span class={ "badge " (tone(state.tone())) } { (icon::state(state)) (word) } }
}

/// A state as icon alone, with the word for those who do not see it.
pub fn dot(state: State) -> Markup {
    html! {
        span class={ "dot " (tone(state.tone())) } title=(state.label()) {
            (icon::state(state)) span.sr { (state.label()) }
        }
    }
}

/// Words in which `backticks` mark names, as every message of Towpath has them.
pub fn prose(text: &str) -> Markup {
    let whole = text.matches('`').count().is_multiple_of(2);
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if !whole && index > 0 { "`" }
            @if whole && index % 2 == 1 { code { (part) } } @else { (moments(part)) }
        }
    }
}

/// Words in which moments are as people write them: messages have them as machines do.
fn moments(text: &str) -> Markup {
    let moment = |word: &str| word.ends_with('Z').then(|| word.parse::<Timestamp>().ok()).flatten();
    html! {
        @for word in text.split_inclusive(' ') {
            @let bare = word.trim_end_matches([' ', ',', ';', ':', '.', ')']);
            @match moment(bare) {
                Some(at) => { time datetime=(at) { (format::absolute(at)) } (&word[bare.len()..]) },
                None => (word),
            }
        }
    }
}

/// A relative time, with the absolute one at hand.
pub fn time(at: Timestamp, now: Timestamp) -> Markup {
    html! { time datetime=(at) data-relative title=(format::absolute(at)) { (format::relative(at, now)) } }
}

/// The time until `at`, and what is waited for once it has come: `time.js` counts down.
pub fn until(at: Timestamp, now: Timestamp, then: &str) -> Markup {
    html! {
        time datetime=(at) data-relative data-then=(then) title=(format::absolute(at)) {
            @if at > now { (format::relative(at, now)) } @else { (then) }
        }
    }
}

/// How long something took, or takes so far: `time.js` counts on.
pub fn took(started: Option<Timestamp>, finished: Option<Timestamp>, now: Timestamp) -> Markup {
    html! {
        @match (started, finished) {
            (Some(started), Some(finished)) => span.num { (format::fine_duration(started, finished)) },
            (Some(started), None) => time.num datetime=(started) data-since { (format::duration(started, now)) },
            (None, _) => span.muted { "–" },
        }
    }
}

/// A digest, shortened, with a button that copies all of it.
pub fn digest(digest: &str) -> Markup {
    html! { span.digest { code title=(digest) { (format::short(digest)) } (copy(digest, "digest")) } }
}

/// A button that copies `text`.
pub fn copy(text: &str, what: &str) -> Markup {
    html! {
        button.copy type="button" data-copy=(text) aria-label={ "Copy " (what) } title={ "Copy " (what) } { (icon::copy()) }
    }
}

/// A line to type, with a button that copies it.
pub fn command(line: &str) -> Markup {
    html! { div.command.line { code { (line) } (copy(line, "command")) } }
}

/// A link or a token that is shown once, with a button that copies it.
pub fn once(text: &str, what: &str) -> Markup {
    html! { div.command { code { (text) } (copy(text, what)) } }
}

/// A commit in one line.
pub fn commit(commit: &Commit) -> Markup {
    html! {
        span.commit {
            code title=(commit.sha) { (format::short_commit(&commit.sha)) }
            " " span.subject { (commit.subject) }
        }
    }
}

/// A Revision: its version as a link to the Release, its configuration beside it.
pub fn revision(project: &str, revision: &RevisionName) -> Markup {
    html! {
        span.revision {
            a href=(routes::release(project, &revision.version)) title={ "Revision " (revision.digest) } { (revision.version) }
            @if let Some(config) = &revision.config { " " span.muted.config { (config) } }
        }
    }
}

/// A share of traffic as a bar of two colours, candidate first.
pub fn weight_bar(weight: u32, label: &str) -> Markup {
    html! {
        svg.weight viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label=(label) {
            rect.stable width="1000" height="10" {}
            rect.candidate width=(weight.min(1000)) height="10" {}
        }
    }
}

/// Runs as a table.
pub fn runs(project: &str, rows: &[RunRow], now: Timestamp) -> Markup {
    html! {
        div.scroll { table {
            thead { tr { th { "Run" } th { "State" } th { "Commit" } th { "Ref" } th { "Trigger" } th { "Took" } th { "Came" } } }
            tbody {
                @for row in rows {
                    tr {
                        td { @match &row.imported {
                            None => a.strong href=(routes::run(project, row.number)) { "#" (row.number) },
                            Some(instance) => {
                                a.strong href=(routes::imported(project, row.number)) { "imported " (row.number) }
                                div.muted { "from " (instance) }
                            }
                        } }
                        td { (badge(row.state)) @if let Some(reason) = &row.reason { div.reason { (prose(reason)) } } }
                        td.wide { (commit(&row.commit)) div.muted { (row.commit.author) } }
                        td { span.ref { (icon::branch()) (row.reference) } }
                        td { (row.trigger) }
                        td { (took(row.started, row.finished, now)) }
                        td { (time(row.created, now)) }
                    }
                }
            }
        } }
    }
}
