//! `towpath agent list`, `drain`, `undrain` and `revoke`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use reqwest::Method;
use towpath_api::rest::{Agent, Drain};

use crate::client::{Client, part};
use crate::context::Remote;
use crate::failure::{Failure, Kind};
use crate::{output, prompt};

/// Lists the agents of a server.
///
/// # Errors
/// Fails where the server refuses.
pub async fn list(remote: &Remote) -> anyhow::Result<ExitCode> {
    let agents: Vec<Agent> = Client::new(remote)?.get("/api/v1/agents").await?;
    if remote.json {
        output::json(&agents)?;
    } else {
        let header = ["id", "host", "state", "may", "labels", "address", "version", "last call"];
        output::table(header, agents.into_iter().map(row).collect(), "no agent has called yet");
    }
    Ok(ExitCode::SUCCESS)
}

/// Lets an agent in no more, after it was asked whether that is meant: only a new join token lets the host in again.
///
/// # Errors
/// Fails where there is none, or the server refuses.
pub async fn revoke(id: &str, yes: bool, remote: &Remote) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote)?;
    let Agent { id, hostname, .. } = called(id, &client).await?;
    let question = format!("Let agent {id} on {hostname} in no more?");
    if !prompt::confirm(&question, yes)? {
        anstream::eprintln!("nothing was changed");
        return Ok(ExitCode::from(1));
    }
    client.delete(&format!("/api/v1/agents/{}", part(&id))).await?;
    anstream::eprintln!("revoked {id}; stop what still runs on its host there");
    Ok(ExitCode::SUCCESS)
}

/// Drains an agent.
///
/// # Errors
/// Fails where there is none, or the server refuses.
pub async fn drain(id: &str, comment: String, remote: &Remote) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote)?;
    let path = format!("/api/v1/agents/{}/drain", part(&called(id, &client).await?.id));
    let agent: Agent = client.send(Method::POST, &path, &Drain { reason: comment }).await?;
    said(&agent, "finishes what it has, and is given no more jobs", remote)
}

/// Gives an agent jobs again.
///
/// # Errors
/// Fails where there is none, or the server refuses.
pub async fn undrain(id: &str, remote: &Remote) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote)?;
    let path = format!("/api/v1/agents/{}/undrain", part(&called(id, &client).await?.id));
    let agent: Agent = client.send(Method::POST, &path, &()).await?;
    said(&agent, "is given jobs again", remote)
}

/// The agent that somebody means: by its id, the beginning of it, or the name of its host.
async fn called(name: &str, client: &Client) -> anyhow::Result<Agent> {
    let agents: Vec<Agent> = client.get("/api/v1/agents").await?;
    meant(name, agents)
}

fn meant(name: &str, mut agents: Vec<Agent>) -> anyhow::Result<Agent> {
    // Who was revoked is meant by nobody, unless by the whole id.
    agents.retain(|agent| {
        let alive = agent.revoked_at.is_none();
        let begins = !name.is_empty() && agent.id.starts_with(name);
        agent.id == name || (alive && (begins || agent.hostname == name))
    });
    match agents.as_slice() {
        [] => {
            let failure = Failure::new(Kind::NotFound, format!("there is no agent `{name}`"));
            Err(failure.hint("`towpath agent list` shows ids and hosts").into())
        }
        [_one] => Ok(agents.swap_remove(0)),
        several => {
            let ids: Vec<&str> = several.iter().map(|agent| agent.id.as_str()).collect();
            let failure = Failure::new(Kind::Usage, format!("`{name}` may be any of several agents"));
            Err(failure.hint(format!("say which: {}", ids.join(", "))).into())
        }
    }
}

fn said(agent: &Agent, words: &str, remote: &Remote) -> anyhow::Result<ExitCode> {
    if remote.json {
        output::json(agent)?;
    } else {
        anstream::eprintln!("{} ({}) {words}", agent.hostname, agent.id);
    }
    Ok(ExitCode::SUCCESS)
}

fn row(agent: Agent) -> [String; 8] {
    let state = match (agent.revoked_at, agent.online) {
        (Some(_), _) => "revoked".to_owned(),
        (None, true) => "connected".to_owned(),
        (None, false) => "away".to_owned(),
    };
    let state = match agent.held {
        Some(held) => format!("{state}; {held}"),
        None if agent.one_job => format!("{state}; for one job"),
        None => state,
    };
    let may = roles(agent.runner, agent.deployer);
    let address = agent.address.unwrap_or_default();
    let seen = output::time(agent.seen_at);
    [agent.id, agent.hostname, state, may, labels(&agent.labels), address, agent.version, seen]
}

/// What an agent may do, in a word or two.
pub(super) fn roles(runner: bool, deployer: bool) -> String {
    let roles = [(runner, "jobs"), (deployer, "instances")];
    let roles: Vec<&str> = roles.into_iter().filter(|(may, _)| *may).map(|(_, role)| role).collect();
    roles.join(", ")
}

/// Labels as people write them.
pub(super) fn labels(labels: &BTreeMap<String, String>) -> String {
    labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(id: &str, host: &str, revoked: bool) -> Agent {
        let mut agent = serde_json::json!({
            "id": id, "hostname": host, "labels": {}, "runner": true, "deployer": false, "version": "0.1.0",
            "seen_at": "2026-11-21T12:00:00Z", "online": true,
        });
        if revoked {
            agent["revoked_at"] = "2026-11-21T12:00:00Z".into();
        }
        serde_json::from_value(agent).expect("an agent")
    }

    #[test]
    fn an_agent_is_meant_by_its_id_the_beginning_of_it_or_its_host() {
        let agents =
            || vec![agent("92ec-1", "build-7", false), agent("92ec-2", "b", false), agent("1f", "b", true)];
        let found = |name: &str| meant(name, agents()).map(|agent| agent.id).map_err(|why| why.to_string());
        assert_eq!(found("92ec-1").as_deref(), Ok("92ec-1"));
        assert_eq!(found("92ec-2").as_deref(), found("b").as_deref());
        assert_eq!(found("build-7").as_deref(), Ok("92ec-1"));
        // Only the whole id names who was revoked.
        assert_eq!(found("1f").as_deref(), Ok("1f"));
        for (name, why) in
            [("92ec", "may be any of several"), ("1", "there is no agent"), ("", "there is no agent")]
        {
            assert!(found(name).is_err_and(|said| said.contains(why)), "{name}");
        }
    }
}
