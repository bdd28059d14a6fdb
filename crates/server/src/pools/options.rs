//! What `pools` in the server's configuration file may say.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;
use towpath_model::pool::PoolSettings;

use crate::rest::check_labels;

/// The most agents of one pool. Each costs a look at the database every few seconds.
const MOST: u32 = 200;

/// The most Jobs at once of one agent.
const MOST_CAPACITY: u32 = 256;

/// The longest name: a member's name begins with it, and may be that of a container or a host, so of 63 bytes.
const LONGEST_NAME: usize = 30;

/// A pool of agents that grows and shrinks with the queue.
#[derive(Debug, Clone)]
pub struct PoolOptions {
    pub(crate) name: String,
    pub(crate) settings: PoolSettings,
    /// How many Jobs one agent runs at once.
    pub(crate) capacity: u32,
    /// Whether an agent ends after one Job.
    pub(crate) one_job: bool,
    /// What starts and stops agents; `None` are processes of this host.
    pub(crate) hooks: Option<Hooks>,
}

/// Commands that start, stop and list agents.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hooks {
    pub(super) start: Vec<String>,
    pub(super) stop: Vec<String>,
    pub(super) list: Vec<String>,
    timeout: Option<SignedDuration>,
}

impl Hooks {
    /// How long one may take.
    pub(super) fn timeout(&self) -> Duration {
        const USUAL: Duration = Duration::from_mins(1);
        self.timeout.and_then(|timeout| timeout.try_into().ok()).unwrap_or(USUAL)
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DriverName {
    #[default]
    Process,
    Command,
}

/// A pool as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PoolFile {
    #[serde(default)]
    driver: DriverName,
    hooks: Option<Hooks>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    minimum: u32,
    maximum: u32,
    waiting_per_agent: Option<u32>,
    scale_up_after: Option<SignedDuration>,
    cool_down: Option<SignedDuration>,
    idle_limit: Option<SignedDuration>,
    capacity: Option<u32>,
    #[serde(default)]
    one_job: bool,
}

/// Why a pool was not taken.
#[derive(Debug, thiserror::Error)]
#[error("the pool `{name}` in the configuration file {what}")]
pub struct PoolError {
    name: String,
    what: String,
}

impl PoolFile {
    /// Checks what the file says of the pool `name`.
    pub(crate) fn check((name, file): (String, Self)) -> Result<PoolOptions, PoolError> {
        let wrong = |what: &str| Err(PoolError { name: name.clone(), what: what.to_owned() });
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(plain) {
            return wrong("needs another name: 1 to 30 lower-case letters, digits and `-`");
        }
        let Self {
            driver,
            hooks,
            labels,
            minimum,
            maximum,
            waiting_per_agent,
            scale_up_after,
            cool_down,
            idle_limit,
            capacity,
            one_job,
        } = file;
        if let Err(problem) = check_labels(&labels) {
            return wrong(&format!("has a label that cannot be one: {}", problem.detail()));
        }
        if maximum == 0 || maximum > MOST || minimum > maximum {
            return wrong("needs a `maximum` from 1 to 200 and a `minimum` that is not larger");
        }
        if waiting_per_agent == Some(0) || capacity.is_some_and(|most| most == 0 || most > MOST_CAPACITY) {
            return wrong("needs a `waiting_per_agent` of 1 or more and a `capacity` from 1 to 256");
        }
        if one_job && capacity.is_some_and(|most| most > 1) {
            return wrong("has agents for one job, so a `capacity` of more than 1 means nothing");
        }
        let times = [scale_up_after, cool_down, idle_limit, hooks.as_ref().and_then(|hooks| hooks.timeout)];
        if times.iter().flatten().any(SignedDuration::is_negative) {
            return wrong("has a time that is negative");
        }
        match (driver, &hooks) {
            (DriverName::Process, Some(_)) => return wrong("has `hooks`, which need `driver: command`"),
            (DriverName::Command, None) => {
                return wrong("needs `hooks: { start: […], stop: […], list: […] }` for `driver: command`");
            }
            (DriverName::Command, Some(hooks))
                if [&hooks.start, &hooks.stop, &hooks.list].iter().any(|hook| hook.is_empty()) =>
            {
                return wrong("has an empty hook; write each as a list of the program and its arguments");
            }
            (DriverName::Process, None) | (DriverName::Command, Some(_)) => {}
        }
        let capacity = if one_job { 1 } else { capacity.unwrap_or(1) };
        Ok(PoolOptions {
            settings: PoolSettings {
                labels,
                minimum,
                maximum,
                waiting_per_agent: waiting_per_agent.unwrap_or(capacity),
                scale_up_after: scale_up_after.unwrap_or(SignedDuration::from_secs(5)),
                cool_down: cool_down.unwrap_or(SignedDuration::from_mins(1)),
                idle_limit: idle_limit.unwrap_or(SignedDuration::from_mins(10)),
            },
            name,
            capacity,
            one_job,
            hooks,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<PoolOptions, String> {
        let file: PoolFile = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        PoolFile::check(("linux".to_owned(), file)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_pool_has_times_for_people_and_says_what_is_wrong_with_it() {
        let pool = check("{ maximum: 4, capacity: 2, idle_limit: 90s, cool_down: 2m }").expect("a good pool");
        let PoolSettings { minimum, waiting_per_agent, idle_limit, cool_down, .. } = pool.settings;
        assert_eq!((minimum, waiting_per_agent), (0, 2));
        assert_eq!((idle_limit.as_secs(), cool_down.as_secs()), (90, 120));
        let hooks = "hooks: { start: [up], stop: [down], list: [ls] }";
        assert!(check(&format!("{{ maximum: 1, driver: command, {hooks} }}")).is_ok());
        for (text, why) in [
            ("{ maximum: 0 }", "`maximum` from 1"),
            ("{ maximum: 1, minimum: 2 }", "not larger"),
            ("{ maximum: 1, labels: { os: 'a b' } }", "cannot be a label"),
            ("{ maximum: 1, driver: command }", "needs `hooks"),
            ("{ maximum: 1, driver: command, hooks: { start: [], stop: [a], list: [b] } }", "empty hook"),
            (&format!("{{ maximum: 1, {hooks} }}"), "need `driver: command`"),
            ("{ maximum: 1, idle_limit: -1s }", "negative"),
            ("{ maximum: 1, one_job: true, capacity: 2 }", "means nothing"),
            ("{ maximum: 1, driver: cloud }", "command"),
            ("{ minimum: 1 }", "maximum"),
        ] {
            let said = check(text).err().unwrap_or_default();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
