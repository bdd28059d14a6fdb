//! Who gets which requests of a canary beside its weights.

use std::ops::Range;

use jiff::SignedDuration;
use towpath_model::pipeline::{Route, RouteField, Side, Sticky};

use super::{DAY, HOUR, SECOND};
use crate::diagnostic::{Problem, Report, quote};
use crate::fields::{Fields, Located};
use crate::spec::pipeline::{ROUTE, STICKY};
use crate::tree::Node;

/// How long a client keeps its number unless the file says otherwise.
const KEPT: SignedDuration = HOUR;

/// The most routes: each is looked at for each request.
const MAX_ROUTES: usize = 20;

/// Fields that belong to one connection, so that no route can see them, and the one in which cookies are.
const UNSEEN: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "content-length",
    "upgrade",
    "te",
    "proxy-authorization",
    "proxy-authenticate",
    "cookie",
];

/// Lowers `sticky`.
pub(super) fn sticky(deploy: &mut Fields<'_, '_>) -> Option<Sticky> {
    let report = deploy.report;
    let entry = deploy.entry("sticky")?;
    let mut fields = Fields::open(&entry.value, &entry.key_span, &STICKY, report)?;
    let cookie = fields.text("cookie");
    let duration = fields.duration("for", (SECOND, DAY * 365)).unwrap_or(KEPT);
    fields.close();
    let cookie = cookie?;
    check_token("cookie", &cookie, report);
    Some(Sticky { cookie: cookie.value, duration })
}

/// Lowers `routes`.
pub(super) fn routes(deploy: &mut Fields<'_, '_>) -> Vec<Route> {
    let report = deploy.report;
    let place = deploy.place_of("routes");
    let nodes = deploy.list("routes");
    if nodes.len() > MAX_ROUTES {
        let problem = Problem::error("bad-route", format!("there are {} routes", nodes.len()))
            .hint(format!("{MAX_ROUTES} are the most; one header with one value can stand for many people"));
        report.at(&place, problem);
    }
    nodes.iter().filter_map(|node| route(node, report)).collect()
}

fn route(node: &Node, report: &Report<'_>) -> Option<Route> {
    let mut fields = Fields::open(node, &node.span, &ROUTE, report)?;
    let (header, cookie) = (fields.text("header"), fields.text("cookie"));
    let equals = fields.text("equals");
    let to = fields.choice("to");
    fields.close();
    let on = match (header, cookie) {
        (Some(header), None) => {
            check_token("header", &header, report);
            check_seen(&header, report);
            RouteField::Header(header.value)
        }
        (None, Some(cookie)) => {
            check_token("cookie", &cookie, report);
            RouteField::Cookie(cookie.value)
        }
        _ => {
            let problem = Problem::error("bad-route", "a route looks at either a `header` or a `cookie`")
                .hint("for example `{ header: X-Canary, equals: \"yes\", to: candidate }`");
            report.at(&node.span, problem);
            return None;
        }
    };
    let equals = equals?;
    check_value(&equals, report);
    let to = match to? {
        "stable" => Side::Stable,
        _ => Side::Candidate,
    };
    Some(Route { on, equals: equals.value, to })
}

/// A name as HTTP has it for fields and cookies.
fn check_token(what: &str, name: &Located<String>, report: &Report<'_>) {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !(1..=128).contains(&name.value.len()) || !name.value.bytes().all(is_token) {
        let problem =
            Problem::error("bad-route", format!("`{}` is not the name of a {what}", quote(&name.value)))
                .hint("letters, digits and `-`, such as `X-Canary` or `beta`");
        report.at(&name.span, problem);
    }
}

fn check_seen(header: &Located<String>, report: &Report<'_>) {
    if UNSEEN.iter().any(|name| header.value.eq_ignore_ascii_case(name)) {
        let problem = Problem::error("bad-route", format!("a route cannot go by `{}`", header.value))
            .hint("take a field of your own, such as `X-Canary`, or `cookie: NAME`");
        report.at(&header.span, problem);
    }
}

fn check_value(equals: &Located<String>, report: &Report<'_>) {
    let (value, span): (&str, &Range<usize>) = (&equals.value, &equals.span);
    if value.is_empty() || value.trim() != value || !value.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        let problem = Problem::error("bad-route", "`equals` cannot stand in a header")
            .hint("printable ASCII without blanks at its ends, such as `\"yes\"`");
        report.at(span, problem);
    }
}
