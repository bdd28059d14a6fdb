//! The environment that a Step starts with: nothing of the agent's but an allow-list.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use towpath_api::agent::StepOrder;

use crate::container;
use crate::executor::Attempt;
use crate::executor::step::annotations_of;
use crate::processes::ATTEMPT_MARKER;
use crate::sandbox::{CACHES, own_program};

/// Variables that a Step inherits from the agent, where they are set.
///
/// They say where tools are, how to speak to the network and which language to use. Everything
/// else, tokens above all, stays out.
pub const SHARED_VARIABLES: &[&str] = &[
    "PATH",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "RUSTUP_HOME",
    "JAVA_HOME",
    "GOROOT",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
];

/// Variables that an unconfined Step inherits besides: its own user's places.
const HOST_VARIABLES: &[&str] =
    &["HOME", "USER", "LOGNAME", "SHELL", "CARGO_HOME", "GOPATH", "XDG_CACHE_HOME"];

/// What says how to speak to the network; a container has everything else of its image.
const PROXY_VARIABLES: &[&str] =
    &["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];

/// Where the times of tests are, below the scratch of an Attempt: beside its scripts, which no Step can change.
pub(crate) const TEST_TIMES: &str = "steps/test-times.jsonl";

/// Puts the environment of one Step together. Later entries win: allow-list, Towpath's own,
/// Services, Attempt, secrets, Step. The marker cannot be replaced.
pub(super) fn of_step(
    attempt: &Attempt<'_>,
    step: &StepOrder,
    output_file: &Path,
    services: Option<&BTreeMap<String, String>>,
) -> BTreeMap<OsString, OsString> {
    let mut env = base(attempt);
    env.insert("TOWPATH_OUTPUT".into(), output_file.into());
    env.insert("TOWPATH_ANNOTATIONS".into(), annotations_of(output_file).into());
    let times = attempt.scratch.join(TEST_TIMES);
    if times.is_file() {
        env.insert("TOWPATH_TEST_TIMES".into(), times.into());
    }
    let services = services.into_iter().flatten();
    let given = services.chain(attempt.env).map(|(name, value)| (name, value.as_str()));
    let secrets = attempt.secrets.iter().map(|(name, value)| (name, value.expose()));
    let own = step.env.iter().map(|(name, value)| (name, value.as_str()));
    env.extend(given.chain(secrets).chain(own).map(|(name, value)| (name.into(), value.into())));
    env.insert(ATTEMPT_MARKER.into(), attempt.id.to_string().into());
    env
}

/// What every process beside and in an unconfined or sandboxed Attempt has.
pub(crate) fn base(attempt: &Attempt<'_>) -> BTreeMap<OsString, OsString> {
    let host = attempt.isolation.is_host();
    let inherited = SHARED_VARIABLES.iter().chain(HOST_VARIABLES.iter().filter(|_| host));
    let inherited = inherited.filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)));
    let mut env: BTreeMap<OsString, OsString> = inherited.collect();
    // A Step can say `towpath test split` wherever the agent's program lies.
    if let Some(directory) = own_program().and_then(Path::parent) {
        let path = env.get(OsStr::new("PATH")).cloned().unwrap_or_default();
        let known = std::env::split_paths(&path).any(|known| known == directory);
        let all = std::env::split_paths(&path).chain((!known).then(|| directory.to_owned()));
        if let Ok(path) = std::env::join_paths(all) {
            env.insert("PATH".into(), path);
        }
    }
    let mut set = |name: &str, value: OsString| env.insert(OsString::from(name), value);
    set("CI", "true".into());
    set("TOWPATH", "true".into());
    set("TMPDIR", attempt.scratch.join("tmp").into());
    if !host {
        set("HOME", attempt.scratch.join("home").into());
        set("USER", "towpath".into());
        for (name, value) in attempt.policy.cache_environment() {
            set(name, value);
        }
    }
    env
}

/// The environment of one Step in a container, over what its image says.
pub(super) fn in_container(
    attempt: &Attempt<'_>,
    step: &StepOrder,
    output_file: &str,
    services: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let inherited =
        PROXY_VARIABLES.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
    let mut env: BTreeMap<String, String> = inherited.collect();
    let mut set = |name: &str, value: String| env.insert(name.to_owned(), value);
    set("CI", "true".to_owned());
    set("TOWPATH", "true".to_owned());
    set("TOWPATH_OUTPUT", output_file.to_owned());
    set("TOWPATH_ANNOTATIONS", annotations_of(Path::new(output_file)).to_string_lossy().into_owned());
    if attempt.scratch.join(TEST_TIMES).is_file() {
        set("TOWPATH_TEST_TIMES", format!("{}/{TEST_TIMES}", container::SCRATCH));
    }
    set("TMPDIR", format!("{}/tmp", container::SCRATCH));
    set("HOME", format!("{}/home", container::SCRATCH));
    if attempt.policy.container_cache().is_some() {
        for (name, directory) in CACHES {
            set(name, format!("{}/{directory}", container::CACHE));
        }
    }
    let given = services.iter().chain(attempt.env).map(|(name, value)| (name, value.as_str()));
    let secrets = attempt.secrets.iter().map(|(name, value)| (name, value.expose()));
    let own = step.env.iter().map(|(name, value)| (name, value.as_str()));
    env.extend(given.chain(secrets).chain(own).map(|(name, value)| (name.clone(), value.to_owned())));
    env.insert(ATTEMPT_MARKER.to_owned(), attempt.id.to_string());
    env
}
