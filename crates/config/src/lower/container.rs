//! Images, Services and images to build.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use towpath_model::JobName;
use towpath_model::container::{
    Credentials, HealthCheck, Image, ImageBuild, Probe, Pull, Service, ServiceSource,
};
use towpath_model::pipeline::SecretName;

use super::{HOUR, MINUTE, Places, SECOND, check_relative, env, plain_variables, script};
use crate::diagnostic::{Problem, Report, quote};
use crate::fields::{Fields, Located, items, text, wrong_kind};
use crate::spec::container::{IMAGE, IMAGE_BUILD, SERVICE, SERVICE_HEALTH};
use crate::tree::{Entry, Node, Value};

/// The most Services of one Job.
const MAX_SERVICES: usize = 16;

/// The most ports of one Service.
const MAX_PORTS: usize = 16;

/// `debian:12`, or the whole map.
pub(super) fn image(fields: &mut Fields<'_, '_>) -> Option<Image> {
    let report = fields.report;
    let entry = fields.entry("image")?;
    if !matches!(entry.value.value, Value::Map(_)) {
        let name = reference(text(&entry.value, "image", report)?, report)?;
        return Some(Image { name, pull: Pull::default(), user: None, credentials: None });
    }
    let mut image = Fields::open(&entry.value, &entry.key_span, &IMAGE, report)?;
    let name = image.text("name").and_then(|name| reference(name, report));
    let pull = match image.choice("pull") {
        Some("always") => Pull::Always,
        Some("never") => Pull::Never,
        _ => Pull::IfMissing,
    };
    let user = image.text("user").and_then(|user| user_name(user, report));
    let username = image.text("username");
    let password = image.name::<SecretName>("password");
    let credentials = match (username, password) {
        (Some(username), Some(password)) => {
            Some(Credentials { username: username.value, password: password.value })
        }
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            let problem = Problem::error("half-credentials", "`username` and `password` go together")
                .hint("for example `{ username: robot, password: REGISTRY_TOKEN }`");
            report.at(&entry.key_span, problem);
            None
        }
    };
    image.close();
    Some(Image { name: name?, pull, user, credentials })
}

/// A reference of an image, and a hint where it may mean other bytes tomorrow.
fn reference(name: Located<String>, report: &Report<'_>) -> Option<String> {
    let span = name.span.clone();
    let value = plain_reference(name, report)?;
    if !towpath_model::container::is_pinned(&value) {
        let problem = Problem::warning(
            "unpinned-image",
            format!("`{value}` may be other bytes tomorrow: its tag can move"),
        )
        .hint("pin it: the Run shows the digest that it used, `name@sha256:…`");
        report.at(&span, problem);
    }
    Some(value)
}

/// A reference of an image.
pub(super) fn plain_reference(name: Located<String>, report: &Report<'_>) -> Option<String> {
    let Located { value, span } = name;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@');
    let starts_well = value.starts_with(|c: char| c.is_ascii_alphanumeric());
    let climbs = value.split('/').any(|part| part.is_empty() || part.starts_with('.'));
    if !starts_well || climbs || value.len() > 512 || !value.chars().all(allowed) {
        let problem = Problem::error("bad-image", format!("`{}` is no reference of an image", quote(&value)))
            .hint("write it as `debian:bookworm` or `registry.example.com/team/tool@sha256:…`");
        report.at(&span, problem);
        return None;
    }
    Some(value)
}

fn user_name(user: Located<String>, report: &Report<'_>) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    if user.value.chars().all(allowed) && user.value.len() <= 64 {
        return Some(user.value);
    }
    let problem = Problem::error("bad-name", format!("`{}` is no user", quote(&user.value)))
        .hint("write a name, `uid` or `uid:gid`");
    report.at(&user.span, problem);
    None
}

/// The Services beside a Job.
pub(super) fn services(fields: &mut Fields<'_, '_>, job: &JobName, places: &mut Places) -> Vec<Service> {
    let report = fields.report;
    let entries = fields.map("services");
    if entries.len() > MAX_SERVICES {
        let message =
            format!("job `{job}` has {} services; at most {MAX_SERVICES} run beside it", entries.len());
        report.at(&entries[MAX_SERVICES].key_span, Problem::error("too-many", message));
    }
    entries.iter().take(MAX_SERVICES).filter_map(|entry| service(entry, job, places, report)).collect()
}

fn service(entry: &Entry, job: &JobName, places: &mut Places, report: &Report<'_>) -> Option<Service> {
    let name = service_name(entry, report)?;
    if !matches!(entry.value.value, Value::Map(_)) {
        let name_of_image = reference(text(&entry.value, &entry.key, report)?, report)?;
        let image = Image { name: name_of_image, pull: Pull::default(), user: None, credentials: None };
        let source = ServiceSource::Image { image, command: Vec::new() };
        let health = HealthCheck { probe: Probe::None, within: MINUTE, period: SECOND / 2 };
        return Some(Service { name, source, env: BTreeMap::new(), ports: Vec::new(), health });
    }
    let mut fields = Fields::open(&entry.value, &entry.key_span, &SERVICE, report)?;
    let (has_image, has_run) = (fields.has("image"), fields.has("run"));
    let image = image(&mut fields);
    let run = if has_run { script(&mut fields) } else { fields.node("run").and(None) };
    let has_command = fields.has("command");
    let command: Vec<String> = fields.texts("command").into_iter().map(|word| word.value).collect();
    let env = env(&mut fields, Some(job), places);
    let ports = ports(&mut fields);
    let health = health(&mut fields, &ports);
    fields.close();
    if has_command && !has_image {
        let problem = Problem::error("not-both", "`command` gives arguments to an image, and there is none")
            .hint("write `run` for a script");
        report.at(&entry.key_span, problem);
    }
    let source = match (image, run) {
        (Some(image), None) => ServiceSource::Image { image, command },
        (None, Some(run)) => ServiceSource::Command { run },
        (Some(_), Some(_)) => {
            let problem = Problem::error("not-both", format!("service `{name}` has both `image` and `run`"))
                .hint("an image takes other arguments by `command`");
            report.at(&entry.key_span, problem);
            return None;
        }
        (None, None) => {
            if !has_image && !has_run {
                let problem =
                    Problem::error("missing-key", format!("service `{name}` needs `image` or `run`"))
                        .hint("for example `image: postgres:17`");
                report.at(&entry.key_span, problem);
            }
            return None;
        }
    };
    Some(Service { name, source, env, ports, health })
}

/// A name that is a host name too.
fn service_name(entry: &Entry, report: &Report<'_>) -> Option<String> {
    let name = &entry.key;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase());
    if starts_well
        && name.len() <= 40
        && name.chars().all(allowed)
        && !name.ends_with('-')
        && !matches!(name.as_str(), "job" | "localhost")
    {
        return Some(name.clone());
    }
    let problem = Problem::error("bad-name", format!("`{}` cannot name a service", quote(name))).hint(
        "it becomes a host name: use a-z, 0-9 and `-`, start with a letter, and not `job` or `localhost`",
    );
    report.at(&entry.key_span, problem);
    None
}

fn ports(fields: &mut Fields<'_, '_>) -> Vec<u16> {
    let report = fields.report;
    let Some(node) = fields.node("ports") else { return Vec::new() };
    let ports: Vec<u16> = items(node).filter_map(|item| port(item, report)).collect();
    if ports.len() > MAX_PORTS {
        report.at(&node.span, Problem::error("too-many", format!("at most {MAX_PORTS} ports")));
    }
    ports
}

fn port(node: &Node, report: &Report<'_>) -> Option<u16> {
    let port = node.scalar().and_then(|text| text.parse().ok()).filter(|port| *port > 0);
    if port.is_none() {
        let problem = wrong_kind("ports", "a port, 1 to 65535", node).hint(
            "only the Service's own port is written; which one of the host it becomes is in `NAME_PORT`",
        );
        report.at(&node.span, problem);
    }
    port
}

fn health(fields: &mut Fields<'_, '_>, ports: &[u16]) -> HealthCheck {
    let report = fields.report;
    let by_port = || ports.first().map_or(Probe::None, |&port| Probe::Tcp { port });
    let default = |probe| HealthCheck { probe, within: MINUTE, period: SECOND / 2 };
    let Some(entry) = fields.entry("health") else { return default(by_port()) };
    if !matches!(entry.value.value, Value::Map(_)) {
        let run = text(&entry.value, "health", report);
        return default(run.map_or_else(by_port, |run| Probe::Command { run: run.value }));
    }
    let Some(mut health) = Fields::open(&entry.value, &entry.key_span, &SERVICE_HEALTH, report) else {
        return default(by_port());
    };
    let run = if health.has("run") { script(&mut health) } else { health.node("run").and(None) };
    let tcp = health.integer("tcp").and_then(|port| u16::try_from(port).ok());
    let http = health.text("http");
    if usize::from(run.is_some()) + usize::from(tcp.is_some()) + usize::from(http.is_some()) > 1 {
        let problem = Problem::error("not-both", "a health check is one of `run`, `tcp` and `http`")
            .hint("keep the one that says most");
        report.at(&entry.key_span, problem);
    }
    let probe = match (run, tcp, http) {
        (Some(run), _, _) => Probe::Command { run },
        (None, Some(port), _) => Probe::Tcp { port },
        (None, None, Some(http)) => request(&http, ports, report),
        (None, None, None) => by_port(),
    };
    if let Probe::Tcp { port } | Probe::Http { port, .. } = &probe
        && !ports.contains(port)
    {
        let problem = Problem::error(
            "unknown-port",
            format!("the health check asks port {port}, which is not among `ports`"),
        )
        .hint(format!("write `ports: [{port}]`"));
        report.at(&entry.key_span, problem);
    }
    let within = health.duration("within", (SECOND, HOUR)).unwrap_or(MINUTE);
    let least = SignedDuration::from_millis(50);
    let period = health.duration("period", (least, MINUTE)).unwrap_or(SECOND / 2);
    health.close();
    HealthCheck { probe, within, period }
}

/// `8080/health`, or `/health` on the first port.
fn request(http: &Located<String>, ports: &[u16], report: &Report<'_>) -> Probe {
    let (port, path) =
        http.value.find('/').map_or((http.value.as_str(), "/"), |slash| http.value.split_at(slash));
    let port = if port.is_empty() { ports.first().copied() } else { port.trim_end_matches(':').parse().ok() };
    let plain = path.chars().all(|c| c.is_ascii_graphic());
    match port.filter(|_| plain) {
        Some(port) => Probe::Http { port, path: path.to_owned() },
        None => {
            let problem = Problem::error("bad-path", format!("`{}` is no port and path", quote(&http.value)))
                .hint("for example `8080/health`");
            report.at(&http.span, problem);
            Probe::None
        }
    }
}

/// An image to build: `true` or a context as text, or the whole map.
pub(super) fn build(entry: &Entry, report: &Report<'_>) -> Option<ImageBuild> {
    let default = |context: String| ImageBuild {
        context,
        dockerfile: "Dockerfile".to_owned(),
        target: None,
        args: BTreeMap::new(),
        tags: Vec::new(),
    };
    if !matches!(entry.value.value, Value::Map(_)) {
        let context = text(&entry.value, "image", report)?;
        check_relative(&context, "image", report);
        return Some(default(context.value));
    }
    let mut fields = Fields::open(&entry.value, &entry.key_span, &IMAGE_BUILD, report)?;
    let mut path = |key: &'static str, or: &str| {
        let path = fields.text(key);
        if let Some(path) = &path {
            check_relative(path, key, report);
        }
        path.map_or_else(|| or.to_owned(), |path| path.value)
    };
    let (context, dockerfile) = (path("context", "."), path("dockerfile", "Dockerfile"));
    let target = fields.text("target").map(|target| target.value);
    let args = plain_variables(
        &mut fields,
        "args",
        "write the value; what a Step finds out goes into a file of the context",
    );
    let tags = fields.texts("tags");
    let tags = tags.into_iter().filter_map(|tag| tag_name(tag, report)).collect();
    fields.close();
    Some(ImageBuild { context, dockerfile, target, args, tags })
}

fn tag_name(tag: Located<String>, report: &Report<'_>) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':');
    if tag.value.chars().all(allowed) && tag.value.len() <= 256 {
        return Some(tag.value);
    }
    let problem = Problem::error("bad-image", format!("`{}` cannot name an image", quote(&tag.value)))
        .hint("for example `shop:test`");
    report.at(&tag.span, problem);
    None
}
