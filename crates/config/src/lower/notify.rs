//! Notification documents.

use std::collections::BTreeMap;
use std::ops::Range;

use towpath_model::notify::message::{NAMES, unknown_names};
use towpath_model::notify::{AlertRule, Alerts, Channel, Event, NotificationDocument, OnAlert, Route};
use towpath_model::pipeline::SecretName;
use towpath_model::{EnvironmentName, Login, ProjectName};

use super::outside::address;
use crate::diagnostic::{Problem, Report, closest, quote};
use crate::fields::{Fields, Located, choice, items, text};
use crate::spec::Object;
use crate::spec::notify::{ALERTS, CHANNEL, EVENTS, NOTIFICATIONS, ROUTE};
use crate::tree::{Entry, Node, Value};

/// Lowers a document. `None` where it does not even say what it is about.
pub(crate) fn lower(node: &Node, top: &Range<usize>, report: &Report<'_>) -> Option<NotificationDocument> {
    let mut fields = Fields::open(node, top, &NOTIFICATIONS, report)?;
    let project = fields.name::<ProjectName>("project");
    let entries = fields.map("channels");
    let named: Vec<String> = entries.iter().map(|entry| entry.key.clone()).collect();
    let channels: BTreeMap<String, Channel> =
        entries.iter().filter_map(|entry| Some((entry.key.clone(), channel(entry, report)?))).collect();
    let routes: Vec<Route> =
        fields.list("routes").iter().filter_map(|node| route(node, &named, report)).collect();
    let templates = templates(&mut fields);
    let alerts = fields.entry("alerts").and_then(|entry| alerts(entry, report));
    fields.close();
    Some(NotificationDocument { project: project?.value, channels, routes, templates, alerts })
}

const SORTS: [&str; 6] = ["slack", "teams", "email", "webhook", "grafana", "datadog"];

fn channel(entry: &Entry, report: &Report<'_>) -> Option<Channel> {
    // It stands in addresses and commands.
    if let Err(error) = entry.key.parse::<EnvironmentName>() {
        report.at(&entry.key_span, Problem::error("bad-name", error.to_string()));
    }
    let mut fields = Fields::open(&entry.value, &entry.key_span, &CHANNEL, report)?;
    let mut found = Vec::new();
    for sort in SORTS {
        let Some(entry) = fields.entry(sort) else { continue };
        let object = object_of(fields.key(sort).kind_object());
        found.push(
            Fields::open(&entry.value, &entry.key_span, object, report)
                .and_then(|fields| of_sort(sort, fields)),
        );
    }
    fields.close();
    let written = matches!(&entry.value.value, Value::Map(entries) if !entries.is_empty());
    if found.len() > 1 || (found.is_empty() && !written) {
        let problem = Problem::error(
            "bad-channel",
            format!("a channel must be exactly one thing, not {}", found.len()),
        )
        .hint(format!("write one of `{}`", SORTS.join("`, `")));
        report.at(&entry.key_span, problem);
    }
    found.into_iter().next().flatten()
}

/// The table of a sort, which each of the keys has.
fn object_of(object: Option<&'static Object>) -> &'static Object {
    object.expect("each sort of channel is an object in the tables")
}

fn of_sort(sort: &str, mut fields: Fields<'_, '_>) -> Option<Channel> {
    let secret = |fields: &mut Fields<'_, '_>, key| fields.name::<SecretName>(key).map(|name| name.value);
    let channel = match sort {
        "slack" => secret(&mut fields, "secret").map(|secret| Channel::Slack { secret }),
        "teams" => secret(&mut fields, "secret").map(|secret| Channel::Teams { secret }),
        "email" => email(&mut fields),
        "webhook" => {
            let url = address(&mut fields, "url");
            let secret = secret(&mut fields, "secret");
            url.map(|url| Channel::Webhook { url, secret })
        }
        "grafana" => {
            let url = address(&mut fields, "url");
            let token = secret(&mut fields, "token");
            url.zip(token)
                .map(|(url, token)| Channel::Grafana { url: url.trim_end_matches('/').to_owned(), token })
        }
        _ => {
            let key = secret(&mut fields, "key");
            let site = site(&mut fields);
            key.map(|key| Channel::Datadog { site, key })
        }
    };
    fields.close();
    channel
}

fn email(fields: &mut Fields<'_, '_>) -> Option<Channel> {
    let to = fields.texts("to");
    for name in &to {
        let good = match name.value.strip_prefix('@') {
            Some(login) => login.parse::<Login>().is_ok(),
            None => name.value.split_once('@').is_some_and(|(user, host)| {
                !user.is_empty()
                    && host.contains('.')
                    && !name.value.contains(|c: char| c.is_whitespace() || c.is_control())
            }),
        };
        if !good {
            let message = format!("`{}` is neither an address nor a person", quote(&name.value));
            let problem =
                Problem::error("bad-name", message).hint("write `ops@example.com`, or `\"@login\"`");
            fields.report.at(&name.span, problem);
        }
    }
    let links = fields.boolean("links", false);
    let people = to.iter().any(|name| name.value.starts_with('@'));
    if links && !people && !to.is_empty() {
        let problem = Problem::error("bad-channel", "a link is for one person, and this channel names none")
            .hint("write people as `\"@login\"`: their addresses are those that the server knows");
        fields.report.at(&fields.place_of("links"), problem);
    }
    (!to.is_empty()).then(|| Channel::Email { to: to.into_iter().map(|name| name.value).collect(), links })
}

fn site(fields: &mut Fields<'_, '_>) -> String {
    let Some(site) = fields.text("site") else { return "datadoghq.com".to_owned() };
    let good = site.value.contains('.')
        && site.value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
    if !good {
        let message = format!("`{}` is not a site of Datadog", quote(&site.value));
        fields
            .report
            .at(&site.span, Problem::error("bad-address", message).hint("for example `datadoghq.eu`"));
    }
    site.value
}

fn route(node: &Node, channels: &[String], report: &Report<'_>) -> Option<Route> {
    let mut fields = Fields::open(node, &node.span, &ROUTE, report)?;
    let words =
        fields.node("on").map(|node| items(node).filter_map(|item| choice(item, "on", EVENTS, report)));
    let on: Vec<Event> = words.into_iter().flatten().filter_map(Event::named).collect();
    let environments = fields.names::<EnvironmentName>("environments");
    let to = fields.texts("to");
    fields.close();
    for name in to.iter().filter(|name| !channels.contains(&name.value)) {
        report.at(&name.span, no_such_channel(name, channels));
    }
    Some(Route {
        on,
        environments: environments.into_iter().map(|name| name.value).collect(),
        to: to.into_iter().map(|name| name.value).collect(),
    })
}

fn no_such_channel(name: &Located<String>, channels: &[String]) -> Problem {
    let problem = Problem::error("unknown-name", format!("there is no channel `{}`", quote(&name.value)));
    problem.hint(match closest(&name.value, channels.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "describe it under `channels`".to_owned(),
    })
}

fn templates(fields: &mut Fields<'_, '_>) -> BTreeMap<Event, String> {
    let report = fields.report;
    let mut templates = BTreeMap::new();
    for entry in fields.map("templates") {
        let Some(event) = Event::named(&entry.key) else {
            let message = format!("`{}` is not an event", quote(&entry.key));
            let hint = match closest(&entry.key, EVENTS.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the events are `{}`", EVENTS.join("`, `")),
            };
            report.at(&entry.key_span, Problem::error("unknown-word", message).hint(hint));
            continue;
        };
        let Some(template) = text(&entry.value, &entry.key, report) else { continue };
        for name in unknown_names(&template.value) {
            let message = format!("nothing stands for `{{{}}}`", quote(name));
            let problem = Problem::error("unknown-name", message)
                .hint(format!("the names are `{}`", NAMES.join("`, `")));
            report.at(&template.span, problem);
        }
        templates.insert(event, template.value);
    }
    templates
}

fn alerts(entry: &Entry, report: &Report<'_>) -> Option<Alerts> {
    let mut fields = Fields::open(&entry.value, &entry.key_span, &ALERTS, report)?;
    let secret = fields.name::<SecretName>("secret");
    let rules: Vec<AlertRule> = fields.list("rules").iter().filter_map(|node| rule(node, report)).collect();
    fields.close();
    Some(Alerts { secret: secret?.value, rules })
}

fn rule(node: &Node, report: &Report<'_>) -> Option<AlertRule> {
    let object = object_of(ALERTS.key("rules").and_then(crate::spec::Key::kind_object));
    let mut fields = Fields::open(node, &node.span, object, report)?;
    let environments = fields.names::<EnvironmentName>("environments");
    let mut labels = BTreeMap::new();
    for entry in fields.map("labels") {
        labels.extend(text(&entry.value, &entry.key, report).map(|value| (entry.key.clone(), value.value)));
    }
    let then = match fields.choice("then") {
        Some("hold") => OnAlert::Hold,
        _ => OnAlert::Rollback,
    };
    fields.close();
    Some(AlertRule { environments: environments.into_iter().map(|name| name.value).collect(), labels, then })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_know_every_event() {
        assert_eq!(EVENTS, Event::ALL.map(Event::word));
    }
}
