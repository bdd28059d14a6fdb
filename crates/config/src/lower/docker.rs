//! Environments whose Instances are containers.

use std::collections::{BTreeMap, BTreeSet};

use towpath_model::pipeline::SecretName;
use towpath_model::policy::{Docker, Registry, registry_host};

use super::labels;
use crate::diagnostic::{Problem, Report, quote};
use crate::fields::{Fields, Located, choice, items};
use crate::spec::environment::{CAPABILITIES, DOCKER, REGISTRY, ULIMITS};
use crate::tree::{Entry, Node};

/// The most directories in memory, and the most registries.
const MAX_LISTED: usize = 32;

/// Lowers `docker`: how containers are made, and the labels of the agents that make them.
pub(super) fn lower(entry: &Entry, report: &Report<'_>) -> Option<(Docker, BTreeMap<String, String>)> {
    let mut docker = Fields::open(&entry.value, &entry.key_span, &DOCKER, report)?;
    let hosts = docker.node("hosts").map(|node| labels(node, "hosts", report)).unwrap_or_default();
    let network = docker.text("network").and_then(|network| network_name(network, report));
    let writable = !docker.boolean("read_only", true);
    let has_tmpfs = docker.has("tmpfs");
    let tmpfs = docker.texts("tmpfs");
    let tmpfs =
        bounded("tmpfs", tmpfs, report).into_iter().filter_map(|path| directory(path, report)).collect();
    let capabilities = docker.node("capabilities").map(|node| capabilities(node, report)).unwrap_or_default();
    let ulimits = docker.entry("ulimits").map(|entry| ulimits(entry, report)).unwrap_or_default();
    let registries: Vec<Registry> =
        docker.list("registries").iter().take(MAX_LISTED).filter_map(|node| registry(node, report)).collect();
    let mut hosts_seen = BTreeSet::new();
    if let Some(twice) = registries.iter().find(|registry| !hosts_seen.insert(&registry.host)) {
        let problem = Problem::error("twice", format!("registry `{}` is listed twice", twice.host))
            .hint("one name and password for each registry");
        report.at(&docker.place_of("registries"), problem);
    }
    docker.close();
    let tmpfs = if has_tmpfs { tmpfs } else { vec!["/tmp".to_owned()] };
    Some((Docker { network, writable, tmpfs, capabilities, ulimits, registries }, hosts))
}

fn bounded(what: &str, texts: Vec<Located<String>>, report: &Report<'_>) -> Vec<Located<String>> {
    if let Some(over) = texts.get(MAX_LISTED) {
        let message = format!("`{what}` lists {} entries; at most {MAX_LISTED} are taken", texts.len());
        report.at(&over.span, Problem::error("too-many", message));
    }
    texts.into_iter().take(MAX_LISTED).collect()
}

/// A network of its own: the host's would give its containers every port of the host.
fn network_name(network: Located<String>, report: &Report<'_>) -> Option<String> {
    let Located { value, span } = network;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let is_name = value.starts_with(|c: char| c.is_ascii_alphanumeric())
        && value.len() <= 64
        && value.chars().all(allowed);
    if matches!(value.as_str(), "host" | "none" | "bridge" | "default") {
        let problem = Problem::error("bad-network", format!("containers cannot join the network `{value}`")).hint(
            "leave `network` away for one of the Environment's own, or name one: it is made where there is none",
        );
        report.at(&span, problem);
        return None;
    }
    if !is_name {
        let problem = Problem::error("bad-network", format!("`{}` is no name of a network", quote(&value)))
            .hint("letters, digits, `_`, `.` and `-`, as `shop`");
        report.at(&span, problem);
        return None;
    }
    Some(value)
}

fn directory(path: Located<String>, report: &Report<'_>) -> Option<String> {
    let Located { value, span } = path;
    let plain = value.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."));
    if value.starts_with('/') && plain && value.len() <= 256 && !value.contains([':', ',']) {
        return Some(value);
    }
    let message = format!("`{}` is not an absolute path of a directory", quote(&value));
    report.at(&span, Problem::error("bad-path", message).hint("for example `/tmp`"));
    None
}

fn capabilities(node: &Node, report: &Report<'_>) -> Vec<String> {
    let known = |node: &Node| choice(node, "capabilities", CAPABILITIES, report).map(str::to_owned);
    let found: BTreeSet<String> = items(node).filter_map(known).collect();
    found.into_iter().collect()
}

fn ulimits(entry: &Entry, report: &Report<'_>) -> BTreeMap<String, u64> {
    let Some(mut fields) = Fields::open(&entry.value, &entry.key_span, &ULIMITS, report) else {
        return BTreeMap::new();
    };
    let names = ULIMITS.keys.iter().map(|key| key.name);
    let limits = names.filter_map(|name| Some((name.to_owned(), fields.integer(name)?))).collect();
    fields.close();
    limits
}

fn registry(node: &Node, report: &Report<'_>) -> Option<Registry> {
    let mut fields = Fields::open(node, &node.span, &REGISTRY, report)?;
    let host = fields.text("host").and_then(|host| registry_name(host, report));
    let username = fields.text("username");
    let password = fields.name::<SecretName>("password");
    fields.close();
    Some(Registry { host: host?, username: username?.value, password: password?.value })
}

fn registry_name(host: Located<String>, report: &Report<'_>) -> Option<String> {
    let Located { value, span } = host;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
    // Only what a reference would take for a registry can ever be asked.
    let is_host = value.chars().all(allowed) && registry_host(&format!("{value}/image")) == value;
    if is_host {
        return Some(value);
    }
    let problem = Problem::error("bad-registry", format!("`{}` is no host of a registry", quote(&value)))
        .hint("write it as references begin, without `https://` and path: `registry.example.com:5000`, `docker.io`");
    report.at(&span, problem);
    None
}
