//! Sends messages to channels, with pauses that grow, for a day.

use jiff::SignedDuration;
use reqwest::RequestBuilder;
use serde_json::Value;
use towpath_model::ProjectName;
use towpath_model::notify::message::Message;
use towpath_model::notify::{Channel, NotificationDocument};
use towpath_model::pipeline::SecretName;
use towpath_store::core::{notifications, outbox};

use crate::outgoing::Answered;
use crate::secrets::newest_versions;
use crate::signing::signed;
use crate::{Engine, EngineError};

/// How long a message is tried before it is given up.
const GIVE_UP: SignedDuration = SignedDuration::from_hours(24);

/// The longest pause between two tries.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(15);

/// Why a channel did not take a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Untold {
    /// For people.
    pub(crate) words: String,
    /// Whether another try may help, and when it is welcome.
    pub(crate) again: Option<Option<SignedDuration>>,
}

impl Untold {
    pub(super) fn never(words: impl Into<String>) -> Self {
        Self { words: words.into(), again: None }
    }
}

impl Engine {
    /// Sends a message that waits.
    pub(crate) async fn notify(
        &self,
        effect: i64,
        tries: u32,
        project: &ProjectName,
        delivery: i64,
    ) -> Result<(), EngineError> {
        let mut reader = self.db().reader().await?;
        let found = notifications::find(&mut reader, delivery).await?;
        let document = notifications::newest(&mut reader, project).await?.map(|(document, _)| document);
        drop(reader);
        let Some(found) = found.filter(|found| found.state == "waiting") else {
            return self.forget(effect).await;
        };
        let channel =
            document.as_ref().and_then(|document| Some((document, document.channels.get(&found.channel)?)));
        let told = match channel {
            // A message that is sent again after a crash has the same identity.
            Some((document, channel)) => {
                let (to, id) = ((channel, found.recipient.as_str()), format!("news_{delivery}"));
                self.tell_channel(document, to, &found.message, &id).await?
            }
            None => Err(Untold::never("there is no such channel any more")),
        };
        let mut unit = self.begin().await?;
        let now = unit.now;
        let old = now.duration_since(found.created_at) > GIVE_UP;
        match told {
            Ok(()) => notifications::tried(&mut unit.tx, delivery, "sent", "", Some(now)).await?,
            Err(Untold { words, again: Some(after) }) if !old => {
                notifications::tried(&mut unit.tx, delivery, "waiting", &words, None).await?;
                let pause =
                    SignedDuration::from_secs(1).saturating_mul(1 << tries.min(10)).min(LONGEST_PAUSE);
                let pause = after.map_or(pause, |after| after.clamp(pause, LONGEST_PAUSE));
                outbox::retry(&mut unit.tx, effect, now.saturating_add(pause).unwrap_or(now)).await?;
                return unit.commit().await;
            }
            Err(Untold { words, again: _ }) => {
                tracing::warn!(%project, channel = found.channel, why = words, "a notification is given up");
                notifications::tried(&mut unit.tx, delivery, "failed", &words, Some(now)).await?;
            }
        }
        outbox::remove(&mut unit.tx, effect).await?;
        unit.commit().await
    }

    /// Sends a message to a recipient of a channel, once.
    pub(crate) async fn tell_channel(
        &self,
        document: &NotificationDocument,
        (channel, recipient): (&Channel, &str),
        message: &Message,
        id: &str,
    ) -> Result<Result<(), Untold>, EngineError> {
        let mut secrets = Vec::new();
        let names: Vec<_> = channel.secrets().collect();
        for name in names {
            match self.channel_secret(&document.project, name).await? {
                Ok(value) => secrets.push(value.trim().to_owned()),
                Err(problem) => return Ok(Err(Untold::never(problem))),
            }
        }
        let secret = secrets.first().map(String::as_str);
        let words = message.words(document.templates.get(&message.event).map(String::as_str));
        let Some(request) = self.request(channel, secret, message, &words, id) else {
            return self.mail((channel, recipient), message, &words, id).await;
        };
        Ok(match self.0.outgoing.send(request).await {
            Ok(answered) => judge(channel, &answered),
            Err(words) => Err(Untold { words, again: Some(None) }),
        })
    }

    /// The request that a channel takes; `None` where it is mail.
    fn request(
        &self,
        channel: &Channel,
        secret: Option<&str>,
        message: &Message,
        words: &str,
        id: &str,
    ) -> Option<RequestBuilder> {
        let to = |url: &str, body: Value| self.0.outgoing.post(url).json(&body);
        let hidden = secret.unwrap_or_default();
        Some(match channel {
            Channel::Slack { secret: _ } => to(hidden, message.slack(words)),
            Channel::Teams { secret: _ } => to(hidden, message.teams(words)),
            Channel::Webhook { url, secret: _ } => {
                let body = message.webhook(words).to_string();
                signed(self.0.outgoing.post(url), secret, id, self.now(), body)
            }
            Channel::Grafana { url, token: _ } => {
                to(&format!("{url}/api/annotations"), message.grafana(words)).bearer_auth(hidden)
            }
            Channel::Datadog { site, key: _ } => {
                to(&format!("https://api.{site}/api/v1/events"), message.datadog(words))
                    .header("dd-api-key", hidden)
            }
            Channel::Email { .. } => return None,
        })
    }

    /// A secret of the Project, or in words why there is none.
    pub(super) async fn channel_secret(
        &self,
        project: &ProjectName,
        name: &SecretName,
    ) -> Result<Result<String, String>, EngineError> {
        let mut reader = self.db().reader().await?;
        let version = newest_versions(&mut reader, project, "").await?.get(name).copied().unwrap_or(0);
        match self.secret(&mut reader, project, "", name, version).await {
            Ok(value) => Ok(Ok(value)),
            Err(EngineError::Refused { reason } | EngineError::Invalid { reason }) => Ok(Err(reason)),
            Err(error) => Err(error),
        }
    }
}

/// What an answer means. The address of a channel may be a secret, so its answer is shown and it is not.
fn judge(channel: &Channel, answered: &Answered) -> Result<(), Untold> {
    let Answered { status, body, retry_after } = answered;
    let text: String = String::from_utf8_lossy(body).chars().take(200).collect();
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words = format!("{} answered {status}: {}", channel.word(), text.trim());
    match status {
        200..=299 => Ok(()),
        408 | 425 | 429 | 500..=599 => Err(Untold { words, again: Some(*retry_after) }),
        300..=399 => Err(Untold::never(format!("{words}; a redirect is not followed"))),
        _ => Err(Untold::never(words)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let channel = Channel::Datadog { site: "datadoghq.eu".to_owned(), key: "K".parse().unwrap() };
        let again = |status, retry_after| {
            let answered = Answered { status, body: b"no\nreally".to_vec(), retry_after };
            judge(&channel, &answered).map_err(|untold| untold.again)
        };
        assert_eq!(again(202, None), Ok(()));
        assert_eq!(again(503, None), Err(Some(None)));
        let pause = Some(SignedDuration::from_secs(7));
        assert_eq!(again(429, pause), Err(Some(pause)));
        for status in [301, 400, 401, 403, 404] {
            assert_eq!(again(status, None), Err(None), "{status}");
        }
        let answered = Answered { status: 403, body: b"no\nreally".to_vec(), retry_after: None };
        assert_eq!(judge(&channel, &answered).unwrap_err().words, "datadog answered 403: no really");
    }
}
