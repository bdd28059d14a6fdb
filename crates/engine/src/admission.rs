//! Agents that are given no work: drained by a person, or held because two processes have one identity.

use towpath_api::agent::Poll;
use towpath_model::AgentId;
use towpath_model::queue::Standing;
use towpath_model::standing::{Call, Hold, HoldKind};
use towpath_model::timeline::{Actor, Entry};
use towpath_store::core::agents::{self, Agent};

use crate::dispatch::{OLDEST_AGENT, standing_of_caller};
use crate::{Engine, EngineError, Person};

impl Engine {
    /// Lets an agent finish what it has and gives it nothing more. Its Instances go on.
    ///
    /// # Errors
    /// When there is no such agent.
    pub async fn drain_agent(
        &self,
        id: AgentId,
        reason: &str,
        person: &Person,
    ) -> Result<Agent, EngineError> {
        let hold = Hold {
            kind: HoldKind::Draining,
            by: person.login.clone(),
            reason: reason.to_owned(),
            since: self.now(),
        };
        let words = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let agent = self.known_agent(id).await?;
        if agent.hold.as_ref().is_some_and(|hold| hold.kind == HoldKind::Cloned) {
            return Err(EngineError::refused(format!(
                "agent {} is given nothing already: two processes have its identity",
                agent.hostname
            )));
        }
        let text = format!("{} drains agent {}{words}", person.login, agent.hostname);
        self.hold_agent(&agent, Some(&hold), Entry::new("agent-drained", person.actor(), text)).await?;
        Ok(Agent { hold: Some(hold), ..agent })
    }

    /// Gives an agent of a pool no more work, since the pool needs it no more.
    ///
    /// # Errors
    /// When there is no such agent.
    pub async fn drain_for_pool(&self, id: AgentId, pool: &str) -> Result<(), EngineError> {
        let reason = "it had nothing to do for long enough".to_owned();
        let by = format!("pool {pool}");
        let agent = self.known_agent(id).await?;
        let text = format!("{by} drains agent {}: {reason}", agent.hostname);
        let hold = Hold { kind: HoldKind::Draining, by, reason, since: self.now() };
        self.hold_agent(&agent, Some(&hold), Entry::new("agent-drained", Actor::Towpath, text)).await
    }

    /// Gives an agent work again that was drained, or that was held as a clone.
    ///
    /// # Errors
    /// When there is no such agent, or it is not held.
    pub async fn undrain_agent(&self, id: AgentId, person: &Person) -> Result<Agent, EngineError> {
        let agent = self.known_agent(id).await?;
        if agent.hold.is_none() {
            return Err(EngineError::refused(format!("agent {} is given work already", agent.hostname)));
        }
        let text = format!("{} gives agent {} work again", person.login, agent.hostname);
        self.hold_agent(&agent, None, Entry::new("agent-undrained", person.actor(), text)).await?;
        // Whoever calls first is the one; another one is found out again.
        self.0.live.forget_sessions(id);
        self.signals().queue_changed();
        Ok(Agent { hold: None, ..agent })
    }

    async fn known_agent(&self, id: AgentId) -> Result<Agent, EngineError> {
        let known = agents::find(&mut *self.db().reader().await?, id).await?;
        known.ok_or_else(|| EngineError::not_found(format!("agent {id} (`towpath agent list` shows all)")))
    }

    async fn hold_agent(&self, agent: &Agent, hold: Option<&Hold>, entry: Entry) -> Result<(), EngineError> {
        let mut unit = self.begin().await?;
        agents::hold(&mut unit.tx, agent.id, hold).await?;
        unit.record(None, None, &format!("agent:{}", agent.id), entry).await?;
        unit.commit().await?;
        if hold.is_some() {
            self.unpark(agent.id);
        }
        Ok(())
    }

    /// Says how a calling agent stands.
    ///
    /// # Errors
    /// [`EngineError::Fenced`] where another process with its identity took over: nothing that it says is taken in.
    pub(crate) async fn admit(&self, poll: &Poll) -> Result<Standing, EngineError> {
        let call = self.0.live.session(poll.agent, poll.session);
        let mut reader = self.db().reader().await?;
        let standing = standing_of_caller(&mut reader, poll).await?;
        drop(reader);
        if call == Call::Cloned && standing != Standing::Cloned {
            self.found_clone(poll).await?;
        }
        match (call, standing) {
            (Call::Cloned, _) | (_, Standing::Cloned) => Err(EngineError::Fenced {
                reason: format!(
                    "two processes call as agent {}, so neither is believed: its directory was copied. Stop both, join one \
                     of the hosts anew with a token of its own, then run `towpath agent undrain {}`",
                    poll.agent, poll.agent
                ),
            }),
            (Call::Overtaken, _) => Err(EngineError::Fenced {
                reason: format!("another process of agent {} has called since", poll.agent),
            }),
            (Call::Known | Call::Anew, standing) => Ok(standing),
        }
    }

    async fn found_clone(&self, poll: &Poll) -> Result<(), EngineError> {
        let Some(agent) = agents::find(&mut *self.db().reader().await?, poll.agent).await? else {
            return Ok(());
        };
        let reason =
            format!("two processes call with its identity, from {} and {}", agent.hostname, poll.hostname);
        tracing::warn!(agent = %poll.agent, "{reason}; it is given no work");
        let text = format!("agent {} is given no work: {reason}", agent.hostname);
        let hold = Hold { kind: HoldKind::Cloned, by: "towpath".to_owned(), reason, since: self.now() };
        self.hold_agent(&agent, Some(&hold), Entry::new("agent-cloned", Actor::Towpath, text)).await
    }
}

/// What an agent is told that is given no work.
pub(crate) fn notice(standing: Standing, version: &str) -> Option<String> {
    match standing {
        Standing::Ready | Standing::Cloned => None,
        Standing::Draining => Some("it is drained; `towpath agent undrain` gives it jobs again".to_owned()),
        Standing::TooOld => Some(format!(
            "its version {version} is too old: the server gives jobs to {OLDEST_AGENT} and newer; install the \
             server's version on this host and start the agent again"
        )),
    }
}
