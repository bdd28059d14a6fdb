//! Taking a Release back for good: it starts nowhere any more, and who has to agree to let it start again.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::environment::Refused;
use crate::timeline::Actor;

/// How long somebody who asks to let a Release start again waits for a second person.
pub const SECOND_WITHIN: SignedDuration = SignedDuration::from_hours(24);

/// A Release that was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Its version.
    pub version: String,
    /// Who took it back.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// Who wants to let it start again, where that takes two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks: Option<Asks>,
}

/// Somebody wants to let a revoked Release start again, and waits for a second person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asks {
    /// Who.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
    /// Their words.
    pub comment: String,
}

/// How many people it takes to let a revoked Release start again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unrevoke {
    /// One.
    #[default]
    Alone,
    /// Two.
    Together,
}

/// What a running Rollout of a revoked Release does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnRevocation {
    /// It stays at the weight that it has; where it cannot, it goes back.
    Hold,
    /// It goes back.
    RollBack,
}

/// What became of a wish to let a Release start again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifting {
    /// It may start again.
    Lifted,
    /// A second person has to agree.
    Asked,
}

impl Unrevoke {
    /// As documents write it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Together => "together",
        }
    }
}

impl Revocation {
    /// As a sentence: `1.2.0 was revoked by ada: CVE-2026-1`.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{} was revoked by {}: {}", self.version, self.by.name(), self.reason)
    }

    /// What is under way to let it start again, as a sentence.
    #[must_use]
    pub fn waits(&self, now: Timestamp) -> Option<String> {
        let asks = self.asks.as_ref().filter(|asks| ends(asks) > now)?;
        Some(format!(
            "{} wants to let {} start again; a second person has to agree until {:.0}",
            asks.by.name(),
            self.version,
            ends(asks)
        ))
    }

    /// Takes in that somebody wants to let it start again.
    ///
    /// # Errors
    /// Where it takes two, and the same person asks twice.
    pub fn lift(
        &mut self,
        unrevoke: Unrevoke,
        by: &Actor,
        comment: &str,
        now: Timestamp,
    ) -> Result<Lifting, Refused> {
        if unrevoke == Unrevoke::Alone {
            return Ok(Lifting::Lifted);
        }
        match &self.asks {
            Some(asks) if ends(asks) > now && asks.by.name() == by.name() => {
                Err(Refused::to_person(format!(
                    "you asked for that already; it takes a second person (`unrevoke: together`) until {:.0}",
                    ends(asks)
                )))
            }
            Some(asks) if ends(asks) > now => Ok(Lifting::Lifted),
            Some(_) | None => {
                self.asks = Some(Asks { by: by.clone(), at: now, comment: comment.to_owned() });
                Ok(Lifting::Asked)
            }
        }
    }
}

fn ends(asks: &Asks) -> Timestamp {
    asks.at.saturating_add(SECOND_WITHIN).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UserId;

    fn person(login: &str) -> Actor {
        let id = UserId(uuid::Uuid::from_u128(u128::from(login.as_bytes()[0])));
        Actor::User { id, login: login.to_owned() }
    }

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hours * 3600).unwrap()
    }

    fn revoked() -> Revocation {
        let by = person("ada");
        Revocation { version: "1.2.0".to_owned(), by, at: at(0), reason: "CVE".to_owned(), asks: None }
    }

    #[test]
    fn one_is_enough_where_nobody_asks_for_two() {
        let lifted = revoked().lift(Unrevoke::Alone, &person("ada"), "", at(1));
        assert_eq!(lifted.unwrap(), Lifting::Lifted);
    }

    #[test]
    fn two_different_people_have_to_agree_within_a_day() {
        let mut revoked = revoked();
        let mut lift = |login: &str, hour| revoked.lift(Unrevoke::Together, &person(login), "", at(hour));
        assert_eq!(lift("ada", 1).unwrap(), Lifting::Asked);
        let twice = lift("ada", 2).unwrap_err();
        assert!(twice.reason.contains("a second person"), "{twice}");
        assert_eq!(lift("bob", 25).unwrap(), Lifting::Asked, "the first wish has expired");
        assert_eq!(lift("ada", 26).unwrap(), Lifting::Lifted);
        assert_eq!(revoked.waits(at(26)).map(|words| words.starts_with("bob wants")), Some(true));
        assert_eq!(revoked.waits(at(49)), None);
    }
}
