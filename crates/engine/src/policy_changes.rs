//! Documents that loosen a policy: proposed by `apply`, signed by those who could approve under the one in force.

use towpath_model::environment::{Environment, EnvironmentEvent, Policy, Voter};
use towpath_model::policy::EnvironmentDocument;
use towpath_model::policy_change::{ChangeOutcome, PolicyChange, Word, time_to_sign};
use towpath_model::timeline::{Actor, Entry};
use towpath_model::{Digest, EnvironmentKey};
use towpath_store::core::{environments, policy_changes};

use crate::unit::Unit;
use crate::{Engine, EngineError, Person};

/// How many changes of an Environment are listed.
const LISTED: u32 = 50;

/// What somebody says of a change.
#[derive(Debug, Clone)]
pub struct PolicyBallot {
    /// The Environment.
    pub environment: EnvironmentKey,
    /// The change's number there.
    pub number: u64,
    /// Yes or no.
    pub word: Word,
    /// In their own words.
    pub comment: String,
    /// What they saw; refused where it is something else.
    pub binding: Option<Digest>,
}

/// A document that shall take the place of the one in force.
pub(crate) struct Proposal<'p> {
    pub(crate) document: EnvironmentDocument,
    pub(crate) source: &'p str,
    pub(crate) changes: Vec<String>,
    pub(crate) loosens: Vec<String>,
}

impl Engine {
    /// Signs a change, or ends it. The last signature that it needs puts it in force.
    ///
    /// # Errors
    /// When there is no such change, it does not wait any more, or the person's word does not count.
    pub async fn vote_on_policy(
        &self,
        ballot: PolicyBallot,
        person: &Person,
    ) -> Result<PolicyChange, EngineError> {
        let PolicyBallot { environment: key, number, word, comment, binding } = ballot;
        let mut unit = self.begin().await?;
        let environment = unit.environment(&key).await?;
        let change = policy_changes::find(&mut unit.tx, &key, number).await?;
        let mut change =
            change.ok_or_else(|| EngineError::not_found(format!("policy change {number} of {key}")))?;
        let voter: Voter = person.voter();
        let entry = change.vote(&environment.policy, voter, word, &comment, binding, unit.now)?;
        unit.record(Some(&key.project), Some(&key), &format!("environment:{key}"), entry).await?;
        if change.is_agreed(&environment.policy) {
            unit.check_listener(&change.document).await?;
            let version = environment.policy.version + 1;
            change.end(ChangeOutcome::Applied { version }, unit.now);
            policy_changes::put(&mut unit.tx, &change).await?;
            unit.put_in_force(&environment, change.document.clone(), &change.source, &change.author).await?;
        } else {
            policy_changes::put(&mut unit.tx, &change).await?;
        }
        unit.commit().await?;
        Ok(change)
    }

    /// The policy changes of an Environment, newest first, those that wait and those that ended.
    ///
    /// # Errors
    /// When there is no such Environment.
    pub async fn policy_changes(&self, key: &EnvironmentKey) -> Result<Vec<PolicyChange>, EngineError> {
        let mut reader = self.db().reader().await?;
        if environments::find(&mut reader, key).await?.is_none() {
            return Err(EngineError::not_found(format!("environment {key}")));
        }
        Ok(policy_changes::newest(&mut reader, key, LISTED).await?)
    }

    /// Every policy change that waits, with the Environment whose policy decides over it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn waiting_policy_changes(&self) -> Result<Vec<(PolicyChange, Environment)>, EngineError> {
        let mut reader = self.db().reader().await?;
        let mut found = Vec::new();
        for change in policy_changes::waiting(&mut reader, None).await? {
            if let Some(environment) = environments::find(&mut reader, &change.environment).await? {
                found.push((change, environment));
            }
        }
        Ok(found)
    }

    /// Ends the changes that nobody signed in time.
    pub(crate) async fn expire_policy_changes(&self) -> Result<(), EngineError> {
        let due = policy_changes::waiting(&mut *self.db().reader().await?, Some(self.now())).await?;
        for change in due {
            let mut unit = self.begin().await?;
            // It may have been signed since it was read.
            let found = policy_changes::find(&mut unit.tx, &change.environment, change.number).await?;
            if let Some(change) = found.filter(PolicyChange::is_open) {
                unit.end_change(change, ChangeOutcome::Expired).await?;
                unit.commit().await?;
            }
        }
        Ok(())
    }
}

impl Unit<'_> {
    /// Lets a document wait for signatures. The same one, proposed again, waits where it is; another takes its place.
    pub(crate) async fn propose_policy(
        &mut self,
        environment: &Environment,
        proposal: Proposal<'_>,
        person: &Person,
    ) -> Result<PolicyChange, EngineError> {
        let Proposal { document, source, changes, loosens } = proposal;
        let (key, policy) = (&environment.key, &environment.policy);
        let last = policy_changes::newest(&mut self.tx, key, 1).await?.into_iter().next();
        let number = last.as_ref().map_or(0, |last| last.number) + 1;
        if let Some(open) = last.filter(PolicyChange::is_open) {
            if open.document == document && open.base == policy.version {
                return Ok(open);
            }
            self.end_change(open, ChangeOutcome::Superseded { by: number }).await?;
        }
        let expires_at = self.now.saturating_add(time_to_sign(&policy.document)).unwrap_or(self.now);
        let change = PolicyChange {
            number,
            environment: key.clone(),
            base: policy.version,
            document,
            source: source.to_owned(),
            changes,
            loosens,
            author: person.actor(),
            proposed_at: self.now,
            expires_at,
            votes: Vec::new(),
            outcome: None,
            ended_at: None,
        };
        policy_changes::put(&mut self.tx, &change).await?;
        let text = format!(
            "{} asks to loosen the policy of {key} ({}); {}",
            person.login,
            change.loosens.join("; "),
            change.waits(policy)
        );
        let entry = change.entry("policy-change-proposed", person.actor(), text);
        self.record(Some(&key.project), Some(key), &format!("environment:{key}"), entry).await?;
        self.clock_changed();
        Ok(change)
    }

    /// Makes a document the one in force. Whatever was made for the one before is void.
    pub(crate) async fn put_in_force(
        &mut self,
        environment: &Environment,
        document: EnvironmentDocument,
        source: &str,
        author: &Actor,
    ) -> Result<u64, EngineError> {
        let (key, old) = (&environment.key, &environment.policy);
        let config = self.make_config(key, &document).await?;
        // Only who changed the rules is kept from approving by them; new values change no rule.
        let rules = old.document.gates != document.gates || old.document.allow != document.allow;
        let mut editors = self.recent_editors(key, &old.editors).await?;
        if rules {
            editors.extend(author.login().map(str::to_owned));
        }
        let version = old.version + 1;
        let policy = Box::new(Policy { version, document, editors });
        let event = EnvironmentEvent::PolicyApplied { policy, config, actor: author.clone() };
        let environment = self.environment_event(key, event).await?;
        self.keep(key, version, source, author.name()).await?;
        if let Some(open) = policy_changes::open(&mut self.tx, key).await? {
            self.end_change(open, ChangeOutcome::Void { version }).await?;
        }
        self.propose_config(&environment, author.clone()).await?;
        Ok(version)
    }

    async fn end_change(
        &mut self,
        mut change: PolicyChange,
        outcome: ChangeOutcome,
    ) -> Result<(), EngineError> {
        let text = format!("{} ended: {}", change.title(), outcome.reason());
        let kind = format!("policy-change-{}", outcome.word());
        change.end(outcome, self.now);
        policy_changes::put(&mut self.tx, &change).await?;
        let key = change.environment.clone();
        let entry: Entry = change.entry(&kind, Actor::Towpath, text);
        self.record(Some(&key.project), Some(&key), &format!("environment:{key}"), entry).await
    }
}
