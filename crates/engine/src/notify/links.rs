//! Links by which one person decides once about what waits, without signing in.
//!
//! A link carries the person, the Promotion, what an approval of it would be bound to (Revision, Environment, plan and
//! policy version), and when it ends, all signed by this instance; nothing of it is kept. It is used up with the person's
//! word: that is kept with the Promotion, whichever way it came. What the person may do is asked when the link is used.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use jiff::{SignedDuration, Timestamp};
use towpath_model::environment::{Environment, EnvironmentEvent, GateState, Promotion, may_vote};
use towpath_model::notify::Event;
use towpath_model::notify::message::Message;
use towpath_model::pipeline::Gate;
use towpath_model::timeline::Entry;
use towpath_model::{Digest, PromotionId, UserId};
use towpath_store::core::{Connection, environments, promotions};
use towpath_store::people::users::User;
use towpath_store::people::{grants, users};
use uuid::Uuid;

use crate::{Engine, EngineError, Person};

/// The longest that a link works. The request for the approval may expire before.
const LIFE: SignedDuration = SignedDuration::from_hours(72);

/// What links are signed for.
const PURPOSE: &str = "decide by link";

/// Two identities, a digest, a time.
const BYTES: usize = 16 + 16 + 32 + 8;

/// What a link says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticket {
    promotion: PromotionId,
    user: UserId,
    binding: Digest,
    expires_at: Timestamp,
}

impl Ticket {
    fn bytes(&self) -> Vec<u8> {
        let Self { promotion, user, binding, expires_at } = self;
        let seconds = expires_at.as_second().to_be_bytes();
        [&promotion.0.as_bytes()[..], user.0.as_bytes(), binding.as_raw(), &seconds].concat()
    }

    fn read(bytes: &[u8; BYTES]) -> Option<Self> {
        let (promotion, rest) = bytes.split_first_chunk()?;
        let (user, rest) = rest.split_first_chunk()?;
        let (binding, seconds) = rest.split_first_chunk()?;
        Some(Self {
            promotion: PromotionId(Uuid::from_bytes(*promotion)),
            user: UserId(Uuid::from_bytes(*user)),
            binding: Digest::from_raw(*binding),
            expires_at: Timestamp::from_second(i64::from_be_bytes(seconds.try_into().ok()?)).ok()?,
        })
    }
}

/// Whom a link asks, and what.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Who decides.
    pub person: Person,
    /// Until when.
    pub expires_at: Timestamp,
    /// What waits.
    pub promotion: Promotion,
    /// Where.
    pub environment: Environment,
}

impl Engine {
    /// The lines of a mail with a person's own link; `None` where their word would not count now.
    pub(super) async fn link_for(
        &self,
        user: &User,
        message: &Message,
    ) -> Result<Option<String>, EngineError> {
        let promotion = message.promotion.as_ref().and_then(|id| id.parse().ok());
        let Some(id) = promotion.filter(|_| message.event == Event::NeedsPeople) else { return Ok(None) };
        let now = self.now();
        let mut reader = self.db().reader().await?;
        let Some(waiting) = promotions::find(&mut reader, id).await? else { return Ok(None) };
        let Some(request_ends) = request_ends(&waiting) else { return Ok(None) };
        let expires_at = now.saturating_add(LIFE).unwrap_or(Timestamp::MAX).min(request_ends);
        let ticket = Ticket { promotion: id, user: user.id, binding: waiting.binding(), expires_at };
        if asked(&mut reader, ticket, now).await.is_err() {
            return Ok(None);
        }
        let url = format!("{}decide?link={}", self.public_url(), self.sign_link(ticket));
        Ok(Some(format!(
            "\nDecide without signing in, once, until {expires_at:.0}:\n{url}\n\n\
             This link is for {} alone: whoever has it decides as {}. Do not forward it.\n",
            user.login, user.login
        )))
    }

    fn sign_link(&self, ticket: Ticket) -> String {
        let mut bytes = ticket.bytes();
        bytes.extend_from_slice(&self.0.parts.vault.sign(PURPOSE, &bytes));
        BASE64.encode(bytes)
    }

    fn read_link(&self, link: &str) -> Result<Ticket, EngineError> {
        let broken = || EngineError::invalid("this link is not whole, or this server did not write it");
        let bytes = BASE64.decode(link.trim()).map_err(|_| broken())?;
        let (ticket, signature) = bytes.split_first_chunk::<BYTES>().ok_or_else(broken)?;
        let signature = signature.try_into().map_err(|_| broken())?;
        if !self.0.parts.vault.has_signed(PURPOSE, ticket, signature) {
            return Err(broken());
        }
        Ticket::read(ticket).ok_or_else(broken)
    }

    /// Whom a link asks what. Changes nothing: programs open links of mails, too.
    ///
    /// # Errors
    /// When it was not written here, its time is over, it was used, what it is about has changed or does not wait any more,
    /// or the person's word does not count.
    pub async fn asked_by_link(&self, link: &str) -> Result<Asked, EngineError> {
        let ticket = self.read_link(link)?;
        asked(&mut *self.db().reader().await?, ticket, self.now()).await
    }

    /// Says yes or no for the person whom a link is for, and so uses it up.
    ///
    /// # Errors
    /// As [`Engine::asked_by_link`], and when the word needs a comment.
    pub async fn decide_by_link(
        &self,
        link: &str,
        approve: bool,
        comment: &str,
    ) -> Result<Environment, EngineError> {
        let ticket = self.read_link(link)?;
        let mut unit = self.begin().await?;
        let now = unit.now;
        // In the transaction that keeps the word, so that of two who use a link at once only one does.
        let Asked { person, promotion, environment, expires_at: _ } =
            asked(&mut unit.tx, ticket, now).await?;
        let key = environment.key;
        let event = EnvironmentEvent::Voted {
            promotion: promotion.id,
            voter: person.voter(),
            approve,
            comment: comment.to_owned(),
            binding: Some(ticket.binding),
        };
        let text =
            format!("{} decides on {} by the link that was mailed to them", person.login, promotion.title());
        let entry = Entry::new("link-used", person.actor(), text).fact("promotion", promotion.id);
        unit.record(Some(&key.project), Some(&key), &format!("environment:{key}"), entry).await?;
        let environment = unit.environment_event(&key, event).await?;
        unit.commit().await?;
        Ok(environment)
    }
}

/// When the last request for an approval ends that a Promotion waits for.
fn request_ends(waiting: &Promotion) -> Option<Timestamp> {
    let asks =
        waiting.gates.iter().filter(|gate| gate.kind == "approval" && gate.state == GateState::Waiting);
    asks.filter_map(|gate| gate.next).max()
}

/// Checks everything that a link depends on.
async fn asked(db: &mut Connection, ticket: Ticket, now: Timestamp) -> Result<Asked, EngineError> {
    let Ticket { promotion, user, binding, expires_at } = ticket;
    if now >= expires_at {
        let reason = format!("this link worked until {expires_at:.0}; sign in to decide");
        return Err(EngineError::refused(reason));
    }
    let gone =
        || EngineError::refused("this Promotion does not wait any more; sign in to see what became of it");
    let found = promotions::find(db, promotion).await?.ok_or_else(gone)?;
    let environment = environments::find(db, &found.environment).await?.ok_or_else(gone)?;
    let waiting = environment.waiting.as_ref().filter(|waiting| waiting.id == promotion).ok_or_else(gone)?;
    if waiting.binding() != binding {
        let reason = format!(
            "{} has changed since this link was written (its Revision, plan or policy), so it decides nothing any more; sign in \
             to see what waits now",
            waiting.title()
        );
        return Err(EngineError::refused(reason));
    }
    let person = person(db, user, &environment).await?;
    if let Some(vote) = waiting.votes.iter().find(|vote| vote.user == user) {
        let word = if vote.approve { "approved" } else { "rejected" };
        let reason = format!(
            "{} {word} {} already, at {:.0}; a link works once",
            person.login,
            waiting.title(),
            vote.at
        );
        return Err(EngineError::refused(reason));
    }
    let editors = &environment.policy.editors;
    let gates = waiting.plan.gates.iter().filter_map(Gate::approval);
    let objections: Vec<String> = gates
        .map(|gate| may_vote(gate, &person.login, &person.roles, &waiting.makers, editors))
        .map(Result::err)
        .collect::<Option<_>>()
        .unwrap_or_default();
    if !objections.is_empty() {
        let reason = format!("your word does not count for {}: {}", waiting.title(), objections.join("; "));
        return Err(EngineError::refused(reason));
    }
    Ok(Asked { person, expires_at, promotion: waiting.clone(), environment })
}

/// The person as they are now, with the roles that they have now.
async fn person(db: &mut Connection, id: UserId, environment: &Environment) -> Result<Person, EngineError> {
    let project = &environment.key.project;
    let user = users::by_id(db, id).await?.filter(|user| !user.disabled);
    let barred =
        || EngineError::refused("whom this link is for is kept from signing in, and so from deciding");
    let user = user.ok_or_else(barred)?;
    let held = grants::of_user(db, id).await?;
    let roles: Vec<String> =
        held.iter().filter(|grant| grant.covers(Some(project))).map(|grant| grant.role.to_string()).collect();
    if roles.is_empty() {
        return Err(EngineError::refused(format!("{} has no role in {project} any more", user.login)));
    }
    Ok(Person { id, login: user.login.to_string(), roles })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_read_as_it_was_written() {
        let ticket = Ticket {
            promotion: PromotionId(Uuid::from_u128(1)),
            user: UserId(Uuid::from_u128(2)),
            binding: Digest::of(b"plan"),
            expires_at: Timestamp::from_second(1_800_000_000).unwrap(),
        };
        let bytes: [u8; BYTES] = ticket.bytes().try_into().unwrap();
        assert_eq!(Ticket::read(&bytes), Some(ticket));
    }
}
