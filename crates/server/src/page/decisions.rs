//! Entries of the timeline as pages show them.

use serde::Deserialize;
use std::collections::BTreeMap;
use towpath_store::timeline::Entry;
use towpath_ui::routes;
use towpath_ui::view::{DecisionRow, State, TimelineEntry};

/// What an entry keeps beside its columns.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Body {
    #[serde(default)]
    pub(super) text: String,
    #[serde(default)]
    pub(super) facts: BTreeMap<String, String>,
}

impl Body {
    /// Reads an entry's body. Entries about people hold other facts and no text.
    pub(super) fn of(entry: &Entry) -> Self {
        serde_json::from_slice(&entry.body).unwrap_or_default()
    }

    fn fact(&self, name: &str) -> Option<&str> {
        self.facts.get(name).map(String::as_str)
    }
}

/// Who did it, for people.
pub(super) fn actor(actor: &str) -> &str {
    match actor.split_once(':') {
        Some(("user" | "agent", name)) => name,
        None if actor == "system" => "towpath",
        _ => actor,
    }
}

/// The words of an entry; those about people and tokens are made of their kind and subject.
fn words(entry: &Entry, body: &Body) -> String {
    if !body.text.is_empty() {
        return body.text.clone();
    }
    let subject = entry.subject.split_once(':').map_or(entry.subject.as_str(), |(_, name)| name);
    format!("{} {subject}", entry.kind.replace('-', " "))
}

/// The words without the actor before them and the comment behind them, for a page that shows both apart.
fn bare_words(entry: &Entry, body: &Body) -> String {
    let words = words(entry, body);
    let words =
        words.strip_prefix(actor(&entry.actor)).and_then(|rest| rest.strip_prefix(' ')).unwrap_or(&words);
    let ending =
        body.fact("comment").filter(|comment| !comment.is_empty()).map(|comment| format!(": {comment}"));
    ending.and_then(|ending| words.strip_suffix(ending.as_str())).unwrap_or(words).to_owned()
}

/// What kind of news an entry is.
fn state(entry: &Entry, body: &Body) -> State {
    match (entry.kind.as_str(), body.fact("outcome")) {
        ("promotion-finished", Some("succeeded")) => State::Passed,
        ("promotion-finished", Some("rolled back")) => State::RolledBack,
        ("promotion-finished", Some("rejected")) | ("promotion-rejected", _) => State::Rejected,
        ("promotion-finished", Some("superseded")) => State::Superseded,
        ("promotion-finished", Some("expired")) => State::Expired,
        ("promotion-finished", _) => State::Cancelled,
        ("promotion-approved" | "environment-resumed", _) => State::Open,
        ("rollback-ordered" | "rollback-requested", _) => State::RolledBack,
        ("environment-held" | "rollout-held" | "approvals-voided" | "promotion-refused", _) => State::Held,
        ("promotion-requested" | "run-created" | "pushed", _) => State::Queued,
        (kind, _) if kind.ends_with("-failed") || kind.ends_with("-lost") => State::Failed,
        (kind, _) if kind.ends_with("-cancelled") => State::Cancelled,
        (kind, _) if kind.ends_with("-started") => State::Running,
        ("run-finished", _) => match body.fact("state") {
            Some("failed" | "invalid") => State::Failed,
            Some("cancelled") => State::Cancelled,
            _ => State::Passed,
        },
        _ => State::Passed,
    }
}

/// One decision about a Promotion.
pub(super) fn decision(entry: &Entry) -> DecisionRow {
    let body = Body::of(entry);
    DecisionRow {
        at: entry.at,
        by: actor(&entry.actor).to_owned(),
        state: state(entry, &body),
        text: words(entry, &body),
    }
}

/// One line of the timeline. `run` is the number of the Run that the entry is about.
pub(super) fn line(entry: &Entry, run: Option<u64>) -> TimelineEntry {
    let body = Body::of(entry);
    TimelineEntry {
        sequence: entry.seq.try_into().unwrap_or_default(),
        at: entry.at,
        actor: actor(&entry.actor).to_owned(),
        state: state(entry, &body),
        text: bare_words(entry, &body),
        comment: body.fact("comment").filter(|comment| !comment.is_empty()).map(str::to_owned),
        project: entry.project.clone(),
        environment: entry.environment.clone(),
        href: href(entry, &body, run),
    }
}

/// Where to read more.
fn href(entry: &Entry, body: &Body, run: Option<u64>) -> Option<String> {
    if let Some(promotion) = body.fact("promotion") {
        return Some(routes::promotion(promotion));
    }
    let project = entry.project.as_deref()?;
    match (run, &entry.environment) {
        (Some(number), _) => Some(routes::run(project, number)),
        (None, Some(environment)) => Some(routes::environment(project, environment)),
        (None, None) => Some(routes::project(project)),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn entry(kind: &str, environment: Option<&str>, body: &str) -> Entry {
        Entry {
            seq: 7,
            at: Timestamp::UNIX_EPOCH,
            actor: "user:mona".to_owned(),
            project: Some("shop".to_owned()),
            environment: environment.map(str::to_owned),
            kind: kind.to_owned(),
            subject: "environment:shop/production".to_owned(),
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn an_entry_leads_to_what_it_is_about() {
        let promotion = r#"{"text":"1.2 to shop/production rolled back: bad","facts":{"promotion":"p-1","outcome":"rolled back"}}"#;
        let shown = line(&entry("promotion-finished", Some("production"), promotion), None);
        assert_eq!(shown.href.as_deref(), Some("/promotions/p-1"));
        assert_eq!((shown.state, shown.actor.as_str()), (State::RolledBack, "mona"));
        let held = line(&entry("environment-held", Some("production"), r#"{"text":"held"}"#), None);
        assert_eq!(held.href.as_deref(), Some("/p/shop/env/production"));
        let run = line(&entry("run-created", None, r#"{"text":"shop#3 was started"}"#), Some(3));
        assert_eq!(run.href.as_deref(), Some("/p/shop/runs/3"));
    }

    #[test]
    fn an_entry_without_words_gets_them_from_its_kind() {
        let shown = line(&entry("user-created", None, "{}"), None);
        assert_eq!(shown.text, "user created shop/production");
        assert_eq!(actor("system"), "towpath");
        assert_eq!(actor("agent:web-1"), "web-1");
    }
}
