//! The environment that a Step starts with: nothing of the agent's but an allow-list.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use towpath_api::agent::StepOrder;

use crate::executor::Attempt;
use crate::processes::ATTEMPT_MARKER;
use crate::sandbox::Isolation;

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

/// Puts the environment of one Step together. Later entries win: allow-list, Towpath's own,
/// Attempt, secrets, Step. The marker cannot be replaced.
pub(super) fn of_step(
    attempt: &Attempt<'_>,
    step: &StepOrder,
    output_file: &Path,
) -> BTreeMap<OsString, OsString> {
    let mut env = BTreeMap::new();
    let host = matches!(attempt.isolation, Isolation::Host);
    let inherited = SHARED_VARIABLES.iter().chain(HOST_VARIABLES.iter().filter(|_| host));
    for name in inherited {
        if let Some(value) = std::env::var_os(name) {
            env.insert(OsString::from(name), value);
        }
    }
    let mut set = |name: &str, value: OsString| env.insert(OsString::from(name), value);
    set("CI", "true".into());
    set("TOWPATH", "true".into());
    set("TOWPATH_OUTPUT", output_file.into());
    set("TMPDIR", attempt.scratch.join("tmp").into());
    if !host {
        set("HOME", attempt.scratch.join("home").into());
        set("USER", "towpath".into());
        for (name, value) in attempt.policy.cache_environment() {
            set(name, value);
        }
    }
    for (name, value) in attempt.env {
        set(name, value.into());
    }
    for (name, value) in attempt.secrets {
        set(name, value.expose().into());
    }
    for (name, value) in &step.env {
        set(name, value.into());
    }
    set(ATTEMPT_MARKER, attempt.id.to_string().into());
    env
}
