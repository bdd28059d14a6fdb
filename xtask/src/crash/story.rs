//! What goes on while processes are killed: version after version is pushed, approved, canaried; every third is bad.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::load::Load;
use super::processes::poll;
use super::project::Project;
use super::server::Access;

/// How long one version may take from its push to its end, kills included.
const PATIENCE: Duration = Duration::from_secs(240);

/// Where the story is.
#[derive(Default)]
pub(super) struct Story {
    stopped: AtomicBool,
    phase: Mutex<String>,
    /// Versions that were promoted.
    pub(super) promoted: AtomicU32,
    /// Versions that were rolled back.
    pub(super) rolled_back: AtomicU32,
}

/// Tells the story on a thread of its own. Says at its end what did not go as it should.
pub(super) fn tell(story: Arc<Story>, access: Access, project: Project) -> JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let mut problems = Vec::new();
        let mut number = 0;
        while !story.stopped.load(Ordering::Acquire) && problems.is_empty() {
            number += 1;
            if let Err(error) = story.version(number, &access, &project) {
                problems.push(format!("version {number}: {error:#}"));
            }
        }
        problems
    })
}

impl Story {
    /// Ends it after the version that is on its way.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// What happens now, in a word.
    pub(super) fn phase(&self) -> String {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn enter(&self, phase: &str) {
        phase.clone_into(&mut self.phase.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits until the first version serves: from then on no request may fail.
    pub(super) fn wait_for_traffic(&self, load: &Load) -> Result<()> {
        poll("the first version to serve", PATIENCE, || load.has_answers().then_some(()))
    }

    fn version(&self, number: u32, access: &Access, project: &Project) -> Result<()> {
        let bad = number.is_multiple_of(3);
        let begun = Instant::now();
        self.enter("push");
        let commit = project.commit(number, bad)?;
        // A push that a kill broke off is made again, as anybody would.
        poll("the push", PATIENCE, || project.push(access).ok())?;
        self.enter("job");
        let version = poll("the run", PATIENCE, || self.sealed(access, &commit).transpose())??;
        self.enter("dev");
        let mut trouble = String::new();
        let outcome = loop {
            let late = begun.elapsed() > PATIENCE;
            ensure!(!late, "{version} came to no end: {}; the last trouble: {trouble}", waits(access));
            match self.look(access, project, &version) {
                Ok(Some(outcome)) => break outcome,
                Ok(None) => {}
                // While the server is down nobody answers.
                Err(error) => trouble = format!("{error:#}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        match outcome.as_str() {
            "succeeded" if !bad => self.promoted.fetch_add(1, Ordering::Relaxed),
            "rolled-back" if bad => self.rolled_back.fetch_add(1, Ordering::Relaxed),
            // The gateway's death can cost a good version so much evidence or time that it goes back; it never costs more.
            "rolled-back" if number > 1 => self.rolled_back.fetch_add(1, Ordering::Relaxed),
            other => bail!("{version} (bad: {bad}) ended as {other}"),
        };
        Ok(())
    }

    /// The version that the Run of a commit sealed, once it has ended.
    fn sealed(&self, access: &Access, commit: &str) -> Result<Option<String>> {
        let Ok(page) = access.get("/api/v1/projects/crash/runs") else { return Ok(None) };
        let runs = page["items"].as_array().cloned().unwrap_or_default();
        let mut of_it = runs.iter().filter(|run| run["cause"]["commit"] == commit);
        let Some(run) = of_it.next() else { return Ok(None) };
        ensure!(of_it.next().is_none(), "two runs of one push");
        self.enter(run["state"].as_str().unwrap_or("job"));
        match run["state"].as_str() {
            Some("passed") => {
                let version = run["release"]["version"].as_str().context("nothing was sealed")?;
                Ok(Some(version.to_owned()))
            }
            Some("failed" | "cancelled" | "invalid") => bail!("the run failed: {}", run["reason"]),
            _ => Ok(None),
        }
    }

    /// The outcome in production, if there is one. Approves what waits there.
    fn look(&self, access: &Access, project: &Project, version: &str) -> Result<Option<String>> {
        let status = access.get("/api/v1/projects/crash/environments/production")?;
        let environment = &status["environment"];
        let is_it = |promotion: &Value| promotion["revision"]["version"] == version;
        if is_it(&environment["waiting"]) {
            self.enter("approval");
            let id = environment["waiting"]["id"].as_str().context("a promotion without an id")?;
            let (path, go) = (format!("/api/v1/promotions/{id}/approve"), json!({ "comment": "go" }));
            access.send(&project.approver, "POST", &path, go.to_string().as_bytes())?;
            return Ok(None);
        }
        if is_it(&environment["active"]) {
            let phase = environment["active"]["rollout"]["phase"]["type"].as_str();
            self.enter(&format!("production: {}", phase.unwrap_or("?")));
            return Ok(None);
        }
        let history = access.get("/api/v1/projects/crash/environments/production/history")?;
        let all = history.as_array().context("no history")?;
        let ended = all.iter().find(|promotion| is_it(promotion) && !promotion["outcome"].is_null());
        Ok(ended.and_then(|promotion| promotion["outcome"]["type"].as_str()).map(str::to_owned))
    }
}

/// What everything waits for.
fn waits(access: &Access) -> String {
    let status = access.get("/api/v1/projects/crash/environments").unwrap_or_default();
    let all = status.as_array().cloned().unwrap_or_default();
    all.iter().map(|status| status["waits"].to_string()).collect::<Vec<_>>().join("; ")
}
