//! Agents that commands start, stop and list: machines of a cloud, containers, whatever a script can make.

use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::time::timeout;

use super::driver::DriverError;
use super::options::{Hooks, PoolOptions};

/// The most that is read of what a hook prints.
const MAX_OUTPUT: u64 = 1 << 20;
const MAX_WORDS: u64 = 4096;

/// How long what a hook printed is waited for once it has ended: what it left running may hold its output open.
const LINGER: Duration = Duration::from_millis(500);

/// What `list` prints.
#[derive(Deserialize)]
struct Listed {
    members: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

pub(super) struct Commands {
    pool: String,
    hooks: Hooks,
    /// What `start` is told besides the name.
    facts: Value,
}

impl Commands {
    pub(super) fn new(options: &PoolOptions, hooks: Hooks) -> Self {
        let facts = json!({
            "labels": options.settings.labels, "capacity": options.capacity, "one_job": options.one_job,
        });
        Self { pool: options.name.clone(), hooks, facts }
    }

    pub(super) async fn list(&self) -> Result<Vec<String>, DriverError> {
        let hook = &self.hooks.list;
        let printed = self.call(hook, &[], json!({ "pool": self.pool })).await?;
        let listed: Listed = serde_json::from_slice(&printed).map_err(|error| {
            refused(hook, format!("must print `{{\"members\": [{{\"name\": \"…\"}}]}}`; what it printed is not that: {error}"))
        })?;
        Ok(listed.members.into_iter().map(|Named { name }| name).collect())
    }

    pub(super) async fn start(&self, member: &str, token: &str) -> Result<(), DriverError> {
        let mut order = self.facts.clone();
        order["pool"] = self.pool.as_str().into();
        order["member"] = member.into();
        let variables = [("TOWPATH_MEMBER", member), ("TOWPATH_JOIN_TOKEN", token)];
        self.call(&self.hooks.start, &variables, order).await.map(drop)
    }

    pub(super) async fn stop(&self, member: &str) -> Result<(), DriverError> {
        let order = json!({ "pool": self.pool, "member": member });
        self.call(&self.hooks.stop, &[("TOWPATH_MEMBER", member)], order).await.map(drop)
    }

    /// Runs a hook to its end, and returns what it printed.
    async fn call(
        &self,
        hook: &[String],
        variables: &[(&str, &str)],
        order: Value,
    ) -> Result<Vec<u8>, DriverError> {
        let Some((program, arguments)) = hook.split_first() else { return Ok(Vec::new()) };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("TOWPATH_POOL", &self.pool)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child =
            command.spawn().map_err(|error| refused(hook, format!("could not be started: {error}")))?;
        let printed = tokio::spawn(read(child.stdout.take(), MAX_OUTPUT));
        let complained = tokio::spawn(read(child.stderr.take(), MAX_WORDS));
        let stdin = child.stdin.take();
        let ended = timeout(self.hooks.timeout(), async {
            if let Some(mut stdin) = stdin {
                // A hook need not read it.
                let _unread = stdin.write_all(order.to_string().as_bytes()).await;
            }
            child.wait().await
        });
        let status = match ended.await {
            Ok(status) => {
                status.map_err(|error| refused(hook, format!("could not be waited for: {error}")))?
            }
            Err(_) => {
                let seconds = self.hooks.timeout().as_secs();
                return Err(refused(hook, format!("did not end within {seconds} s, and was killed")));
            }
        };
        if status.success() {
            return Ok(within(printed).await);
        }
        let words = within(complained).await;
        let words = String::from_utf8_lossy(&words);
        let last: String = words
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("")
            .chars()
            .take(300)
            .collect();
        Err(refused(hook, format!("ended with {status}: {last}")))
    }
}

async fn within(reading: tokio::task::JoinHandle<Vec<u8>>) -> Vec<u8> {
    timeout(LINGER, reading).await.ok().and_then(Result::ok).unwrap_or_default()
}

async fn read(from: Option<impl AsyncRead + Unpin>, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        // What was read until it broke is all there is.
        let _read = (&mut from).take(most).read_to_end(&mut bytes).await;
        // The rest is thrown away, so that the hook does not wait for somebody to read it.
        let _rest = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    }
    bytes
}

fn refused(hook: &[String], what: String) -> DriverError {
    DriverError::Hook { hook: hook.join(" "), what }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::SignedDuration;
    use towpath_model::pool::PoolSettings;

    use super::super::options::DriverKind;
    use super::*;

    fn commands(list: &str) -> Commands {
        let script = |text: &str| vec!["sh".to_owned(), "-c".to_owned(), text.to_owned()];
        let hooks = json!({
            "start": script("echo no quota >&2; exit 3"),
            "stop": script("sleep 60 & exit 0"),
            "list": script(list),
            "timeout": "5s",
        });
        let hooks: Hooks = serde_json::from_value(hooks).expect("hooks");
        let time = SignedDuration::ZERO;
        let settings = PoolSettings {
            labels: BTreeMap::new(),
            minimum: 0,
            maximum: 1,
            waiting_per_agent: 1,
            scale_up_after: time,
            cool_down: time,
            idle_limit: time,
        };
        let options = PoolOptions {
            name: "cloud".to_owned(),
            settings,
            capacity: 1,
            one_job: false,
            kind: DriverKind::Process,
        };
        Commands::new(&options, hooks)
    }

    #[tokio::test]
    async fn hooks_are_told_what_to_do_and_say_what_went_wrong() {
        let good = commands(
            "grep -q '\"pool\":\"cloud\"' && echo '{\"members\": [{\"name\": \"a\", \"zone\": 1}]}'",
        );
        assert_eq!(good.list().await.expect("a list"), ["a"]);
        let said = good.start("cloud-1", "secret").await.expect_err("it fails").to_string();
        assert!(said.contains("exit status: 3: no quota") && !said.contains("secret"), "{said}");
        good.stop("cloud-1").await.expect("what it leaves running is not waited for");
        let said = commands("echo a").list().await.expect_err("no JSON").to_string();
        assert!(said.contains("must print"), "{said}");
        let said = commands("head -c 100000 /dev/zero >&2; exit 1").list().await.expect_err("it fails");
        assert!(said.to_string().contains("exit status: 1"), "{said}");
    }
}
