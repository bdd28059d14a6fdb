//! What must hold after each kill and at the end.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use sqlx::Row as _;
use towpath_artifact::{ContentStore, PublicKeyRoot, verify_release};
use towpath_store::{Db, timeline};

use super::processes::{self, poll};
use super::project::LINES;
use super::server::Server;

/// Two supervisors of one Instance.
pub(super) fn supervisors(server: &Server) -> Vec<String> {
    let mut by_instance: BTreeMap<String, u32> = BTreeMap::new();
    for process in processes::all(&server.data) {
        if let [_, command, instance, ..] = process.words.as_slice()
            && command == "supervise"
        {
            *by_instance.entry(instance.clone()).or_default() += 1;
        }
    }
    let twice = by_instance.into_iter().filter(|(_, count)| *count > 1);
    twice.map(|(instance, count)| format!("{count} supervisors of {instance}")).collect()
}

/// Waits until nothing moves any more. What still waits must say for what.
pub(super) fn settled(server: &Server, within: Duration) -> Result<Vec<String>> {
    let unfinished = || -> Result<Vec<String>> {
        let mut open = Vec::new();
        for run in runs(server)? {
            if run["finished_at"].is_null() {
                open.push(format!("run {} is {}: {}", run["number"], run["state"], run["reason"]));
            }
        }
        let environments = server.get("/api/v1/projects/crash/environments")?;
        for status in environments.as_array().context("no environments")? {
            let environment = &status["environment"];
            let open_here = ["waiting", "active", "next"].iter().any(|what| !environment[*what].is_null());
            let explained = status["waits"].as_array().is_some_and(|waits| !waits.is_empty());
            if open_here && !explained {
                open.push(format!("{} waits and does not say for what", environment["key"]));
            }
        }
        Ok(open)
    };
    let quiet = poll("the end of everything", within, || unfinished().ok().filter(Vec::is_empty));
    if quiet.is_ok() { Ok(Vec::new()) } else { unfinished() }
}

/// Every byte of log that an agent had acknowledged is there, in order.
pub(super) fn logs(server: &Server) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for run in runs(server)? {
        let number = &run["number"];
        let attempts = run["jobs"][0]["attempts"].as_array().cloned().unwrap_or_default();
        let passed: Vec<&Value> = attempts.iter().filter(|attempt| attempt["state"] == "passed").collect();
        if passed.len() > 1 {
            problems.push(format!("run {number}: {} attempts of one job took effect", passed.len()));
        }
        let Some(attempt) = passed.first() else { continue };
        let path =
            format!("/api/v1/projects/crash/runs/{number}/jobs/build/log?attempt={}", attempt["number"]);
        let log = server.access().call("GET", &path, b"")?;
        if attempt["log_bytes"].as_u64() != Some(log.len() as u64) {
            let acknowledged = &attempt["log_bytes"];
            problems.push(format!(
                "run {number}: {acknowledged} bytes of log were acknowledged, {} are there",
                log.len()
            ));
        }
        let text = String::from_utf8_lossy(&log);
        let mut rest = text.as_ref();
        for line in 1..=LINES {
            match rest.split_once(&format!("line {line}.")) {
                Some((_, behind)) => rest = behind,
                None => {
                    problems.push(format!("run {number}: line {line} of the log is missing"));
                    break;
                }
            }
        }
    }
    Ok(problems)
}

fn runs(server: &Server) -> Result<Vec<Value>> {
    let page = server.get("/api/v1/projects/crash/runs?limit=200")?;
    page["items"].as_array().cloned().context("no runs")
}

/// What is on the disk: the database, the timeline, the Releases.
pub(super) fn data(directory: &Path) -> Result<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let db = Db::open(&directory.join("towpath.db")).await?;
        let mut problems = Vec::new();
        let mut reader = db.reader().await?;
        let check: String =
            sqlx::query("PRAGMA integrity_check").fetch_one(&mut *reader).await?.try_get(0)?;
        if check != "ok" {
            problems.push(format!("the database is damaged: {check}"));
        }
        let (mut last, mut kept) = (0, true);
        while kept {
            let entries = timeline::after(&mut reader, last, 500).await?;
            kept = !entries.is_empty();
            for entry in entries {
                if entry.seq != last + 1 {
                    problems.push(format!("the timeline goes from {last} to {}", entry.seq));
                }
                last = entry.seq;
            }
        }
        let held = sqlx::query("SELECT count(*) FROM attempts WHERE state <> 'done'")
            .fetch_one(&mut *reader)
            .await?;
        let held: i64 = held.try_get(0)?;
        if held > 0 {
            problems.push(format!("{held} attempts are neither done nor given up"));
        }
        let releases = sqlx::query("SELECT digest, signature FROM releases").fetch_all(&mut *reader).await?;
        let content = ContentStore::open(&directory.join("blobs"))?;
        let trusted = PublicKeyRoot::from_pem(&std::fs::read_to_string(directory.join("keys/release.pub"))?)?;
        for release in &releases {
            let read = |column: &str| -> Result<Vec<u8>> {
                let digest: String = release.try_get(column)?;
                Ok(content.read(digest.parse()?, 1 << 20)?)
            };
            if let Err(error) = verify_release(&read("digest")?, &read("signature")?, &trusted) {
                problems.push(format!("a Release does not verify: {error}"));
            }
        }
        println!(
            "timeline: {last} entries without a gap; {} Releases verify; database: {check}",
            releases.len()
        );
        drop(reader);
        db.close().await;
        Ok(problems)
    })
}
