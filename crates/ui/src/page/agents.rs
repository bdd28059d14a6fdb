//! The agents.

use maud::{Markup, html};

use crate::part::action::token;
use crate::part::frame::{Page, frame};
use crate::part::small::{badge, command, time};
use crate::routes;
use crate::view::{AgentRow, AgentsView, PoolRow, Tone};

/// Renders the agents.
#[must_use]
pub fn agents(view: &AgentsView) -> Markup {
    let body = html! {
        div.title {
            h1 { "Agents" }
            @if view.may_join { form method="post" action=(routes::AGENTS_JOIN) { (token(&view.shell)) button.button.primary type="submit" { "Join another host" } } }
        }
        @if let Some(join) = &view.join {
            section.card.empty { h2 { "Run this on the host" } (command(join)) p.muted { "The token in it works once, for an hour, and is not shown again. " code { "towpath agent token create" } " makes one with labels, or for jobs or deployments only." } }
        }
        @if !view.may_join { p.muted { "Agents of other hosts join over HTTPS, which this server speaks nowhere: start it with " code { "--agent-listen 0.0.0.0:7879" } "." } }
        section.card #agents data-region {
            @if view.agents.is_empty() { p.muted { "No agent has called yet. " code { "towpath serve" } " starts one for its own host." } }
            @else { div.scroll { table {
                thead { tr { th { "Host" } th { "State" } th { "Does" } th { "Labels" } th { "Address" } th { "Version" } th { "Last call" } th { "Certificate" } } }
                tbody { @for row in &view.agents { (agent(view, row)) } }
            } } }
        }
        @if !view.pools.is_empty() { section.card #pools data-region { h2 { "Pools" } div.scroll { table {
            thead { tr { th { "Pool" } th { "There" } th { "Wanted" } th { "Bounds" } th { "Why" } th { "Agents" } th { "Labels" } } }
            tbody { @for row in &view.pools { (pool(row)) } }
        } } } }
    };
    frame(&view.shell, &Page { title: "Agents", crumbs: Vec::new(), tone: Tone::Calm, body })
}

fn pool(row: &PoolRow) -> Markup {
    let PoolRow { name, driver, labels, there, wanted, bounds: (least, most), why, members } = row;
    html! {
        tr data-filter=(name) {
            td { strong { (name) } div.muted { (driver) } }
            td { (there) }
            td { (wanted) }
            td { (least) " to " (most) }
            td.wide { (why) }
            td { @if members.is_empty() { span.muted { "none" } } @for (name, doing) in members { div title=(name) { (doing) } } }
            td { @for label in labels { span.label { (label) } " " } }
        }
    }
}

fn agent(view: &AgentsView, row: &AgentRow) -> Markup {
    let AgentRow {
        id,
        hostname,
        version,
        address,
        labels,
        roles,
        state,
        held,
        can_undrain,
        seen,
        busy,
        certificate,
    } = row;
    let (verb, word) = if *can_undrain { ("undrain", "Give it jobs") } else { ("drain", "Drain") };
    html! {
        tr data-filter=(hostname) {
            td { strong title=(id) { (hostname) } div.muted { (roles.join(", ")) } }
            td {
                (badge(*state))
                @if let Some(held) = held { div.muted { (held) } }
                form method="post" action=(routes::agent_verb(id, verb)) { (token(&view.shell)) button.button type="submit" { (word) } }
            }
            td.wide { @if busy.is_empty() { span.muted { "nothing" } } @for work in busy { div { (work) } } }
            td { @for label in labels { span.label { (label) } " " } }
            td { code { (address) } }
            td { (version) }
            td { (time(*seen, view.shell.now)) }
            td { @match certificate { Some(at) => { "ends " (time(*at, view.shell.now)) }, None => span.muted { "local" } } }
        }
    }
}
