//! Marks containers with whose they are, and removes those whose owner is gone.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::engine::{Engine, EngineError, encoded, text};
use super::http::Wait;

/// Which agent, or which user's local runs, a container belongs to.
const OWNER: &str = "dev.towpath.owner";

/// The process that made it, as number and start time.
const PROCESS: &str = "dev.towpath.process";

/// The Attempt that it belongs to, and what it is in it.
const ATTEMPT: &str = "dev.towpath.attempt";
const ROLE: &str = "dev.towpath.role";

/// How long an engine may take for one thing.
const CALL: Duration = Duration::from_secs(30);

/// Whose containers are whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    name: String,
    /// Whether other living processes may have containers of the same owner.
    shared: bool,
}

impl Owner {
    /// An agent, which is alone in its directory.
    #[must_use]
    pub fn agent(directory: &Path) -> Self {
        Self { name: format!("agent {} on {}", directory.display(), host()), shared: false }
    }

    /// Local runs, of which several may go on at once.
    #[must_use]
    pub fn local() -> Self {
        Self { name: format!("local runs on {}", host()), shared: true }
    }

    /// Whose they are, for labels.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn labels(&self, attempt: &str, role: &str) -> BTreeMap<String, String> {
        let labels = [
            (OWNER, self.name.clone()),
            (PROCESS, this_process()),
            (ATTEMPT, attempt.to_owned()),
            (ROLE, role.to_owned()),
        ];
        labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Removes what processes that are gone have left of this owner's containers and networks; says how many.
    ///
    /// # Errors
    /// Fails where the engine does.
    pub fn sweep(&self, engine: &Engine) -> Result<usize, EngineError> {
        let filter = json!({ "label": [format!("{OWNER}={}", self.name)] }).to_string();
        let wait = || Wait::patiently(CALL);
        let path = format!("/containers/json?all=true&filters={}", encoded(&filter));
        let containers: Vec<Value> = engine.get("list containers", &path, wait())?;
        let mut removed = 0;
        for container in containers.iter().filter(|container| self.is_orphan(&container["Labels"])) {
            let path = format!("/containers/{}?force=true&v=true", text(&container["Id"]));
            engine.delete("remove a container", &path, wait())?;
            removed += 1;
        }
        let path = format!("/networks?filters={}", encoded(&filter));
        let networks: Vec<Value> = engine.get("list networks", &path, wait())?;
        for network in networks.iter().filter(|network| self.is_orphan(&network["Labels"])) {
            engine.delete("remove a network", &format!("/networks/{}", text(&network["Name"])), wait())?;
            removed += 1;
        }
        Ok(removed)
    }

    fn is_orphan(&self, labels: &Value) -> bool {
        // Engines that do not know the filter list everything.
        labels[OWNER] == self.name.as_str() && !(self.shared && is_alive(text(&labels[PROCESS])))
    }
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn this_process() -> String {
    let pid = std::process::id();
    format!("{pid} {}", started(pid).unwrap_or(0))
}

fn is_alive(process: &str) -> bool {
    let Some((pid, start)) = process.split_once(' ') else { return false };
    let (Ok(pid), Ok(start)) = (pid.parse(), start.parse::<u64>()) else { return false };
    started(pid) == Some(start)
}

/// When a process was started, in ticks since the boot: a number that is used again has another start.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, spaces too.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_living_process_has_is_no_orphan() {
        let local = Owner::local();
        let labels = json!(local.labels("a", "job"));
        assert!(!local.is_orphan(&labels));
        let mut gone = labels.clone();
        gone[PROCESS] = json!(format!("{} 1", std::process::id()));
        assert!(local.is_orphan(&gone), "the number belongs to another process now");
        let agent = Owner::agent(Path::new("/var/lib/towpath/agent"));
        assert!(!agent.is_orphan(&labels), "it is another owner's");
        assert!(agent.is_orphan(&json!(agent.labels("a", "job"))), "the agent is alone in its directory");
    }
}
