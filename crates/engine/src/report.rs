//! Tells forges how commits do: statuses, and comments where a Project wants them.
//!
//! What shall be known is kept as rows beside the Run; one effect for each Run sends what was not sent yet, always the
//! newest. A forge that does not answer is asked less and less often, for a day.

use std::time::Duration;

use jiff::SignedDuration;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use towpath_api::rest::Annotation;
use towpath_artifact::SecretValue;
use towpath_model::run::Run;
use towpath_model::source::{Forge, Source, SourceUrl, Statuses};
use towpath_model::status::{self, CheckState, CommitStatus};
use towpath_model::{ProjectName, RunId};
use towpath_store::core::statuses::{self, Unsent};
use towpath_store::core::{outbox, runs, sources};

use crate::check_runs;
use crate::error::chain;
use crate::unit::{Effect, Unit};
use crate::{Engine, EngineError};

/// How long a forge is tried before what it shall know is given up.
const GIVE_UP: SignedDuration = SignedDuration::from_hours(24);

/// The longest pause between two tries.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(15);

/// How long a forge may take for one answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// What forges see this program as; GitHub refuses who does not say.
const AGENT: &str = concat!("towpath/", env!("CARGO_PKG_VERSION"));

/// Something to tell a forge.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum News {
    Status(CommitStatus),
    Check(CommitStatus),
    Comment { number: u64, text: String },
}

/// Why a forge did not take something.
#[derive(Debug, PartialEq, Eq)]
enum Untold {
    /// It may take it later, perhaps after this time.
    Later(String, Option<SignedDuration>),
    /// It never will.
    Never(String),
}

impl Unit<'_> {
    /// Notes what the forge shall know of a Run, and queues the telling.
    pub(crate) async fn report(&mut self, run: &Run) -> Result<(), EngineError> {
        let Some(watched) = sources::find(&mut self.tx, &run.project).await? else { return Ok(()) };
        if watched.source.forge == Forge::None || watched.token.is_none() {
            return Ok(());
        }
        let url = format!("{}p/{}/runs/{}", self.engine.public_url(), run.project, run.number);
        let news = status::statuses(run, &watched.source, &url).into_iter();
        let mut news: Vec<(String, News)> =
            news.map(|status| (status.context.clone(), told_as(&watched.source, status))).collect();
        if let Some((number, text)) = status::comment(run, &watched.source, &url) {
            news.push((format!("comment:{number}"), News::Comment { number, text }));
        }
        let mut fresh = false;
        for (context, news) in news {
            let body = serde_json::to_string(&news)
                .map_err(|error| EngineError::internal("a commit status could not be written", error))?;
            fresh |= statuses::want(&mut self.tx, &run.project, run.id, &context, &body, self.now).await?;
        }
        if fresh && !outbox::has(&mut self.tx, "report", &run.id.to_string()).await? {
            let effect = Effect::Report { project: run.project.clone(), run: run.id };
            self.push_effect("report", &run.project, &run.id.to_string(), &effect).await?;
        }
        Ok(())
    }
}

impl Engine {
    /// Sends what the forge does not know of a Run yet.
    pub(crate) async fn tell_forge(
        &self,
        effect: i64,
        tries: u32,
        project: &ProjectName,
        run: RunId,
    ) -> Result<(), EngineError> {
        let mut reader = self.db().reader().await?;
        let watched = sources::find(&mut reader, project).await?;
        let unsent = statuses::unsent(&mut reader, run).await?;
        drop(reader);
        let Some(watched) = watched else { return self.forget(effect).await };
        let token = self.source_token(&watched).await;
        let mut again = None;
        for Unsent { context, wanted, since, remote } in unsent {
            let news = serde_json::from_str(&wanted)
                .map_err(|error| EngineError::internal("a commit status could not be read", error))?;
            let told = match &token {
                Ok(Some(token)) => self.tell(&watched.source, token, (&news, &remote), (project, run)).await,
                Ok(None) => Err(Untold::Never(format!("a token is not sent to {}", watched.source.url))),
                Err(error) => Err(Untold::Later(chain(error), None)),
            };
            let mut unit = self.begin().await?;
            let old = unit.now.duration_since(since) > GIVE_UP;
            match told {
                Ok(known_as) => {
                    statuses::sent(&mut unit.tx, run, &context, &wanted, "").await?;
                    if let Some(remote) = known_as {
                        statuses::known_as(&mut unit.tx, run, &context, &remote).await?;
                    }
                }
                Err(Untold::Later(why, after)) if !old => {
                    statuses::failed(&mut unit.tx, run, &context, &why).await?;
                    again = Some(after);
                }
                Err(Untold::Later(why, _) | Untold::Never(why)) => {
                    tracing::warn!(%project, context, why, "a forge was not told of a commit, which is given up");
                    statuses::sent(&mut unit.tx, run, &context, &wanted, &format!("given up: {why}")).await?;
                }
            }
            unit.commit().await?;
            if again.is_some() {
                // What one status is refused for, the next would be, too.
                break;
            }
        }
        let mut unit = self.begin().await?;
        match again {
            Some(after) => {
                let pause =
                    SignedDuration::from_secs(1).saturating_mul(1 << tries.min(10)).min(LONGEST_PAUSE);
                let pause = after.map_or(pause, |after| after.clamp(pause, LONGEST_PAUSE));
                let due_at = unit.now.saturating_add(pause).unwrap_or(unit.now);
                outbox::retry(&mut unit.tx, effect, due_at).await?;
            }
            // News that came while the others were sent found this effect queued, and queued no other.
            None if !statuses::unsent(&mut unit.tx, run).await?.is_empty() => {
                let now = unit.now;
                outbox::retry(&mut unit.tx, effect, now).await?;
            }
            None => outbox::remove(&mut unit.tx, effect).await?,
        }
        unit.commit().await
    }

    /// Tells one thing. Gives the name that the forge has for it from now on.
    async fn tell(
        &self,
        source: &Source,
        token: &SecretValue,
        (news, remote): (&News, &str),
        (project, run): (&ProjectName, RunId),
    ) -> Result<Option<String>, Untold> {
        let News::Check(status) = news else {
            let Some((path, body)) = request(source, news) else { return Ok(None) };
            return self.send(source, token, (Method::POST, &path, &body)).await.map(|_| None);
        };
        let annotations = self.annotations_of(status, project, run).await;
        let (path, body) = check_runs::request(source.url.slug(), status, &annotations, remote);
        let method = if remote.is_empty() { Method::POST } else { Method::PATCH };
        match self.send(source, token, (method, &path, &body)).await {
            Ok(answer) => Ok(check_runs::number(&answer)),
            // Only a GitHub App may write check runs. Nobody's commit stays without a word for that.
            Err(Untold::Never(why)) => {
                tracing::debug!(%project, why, "a status takes the place of a check run");
                let status = News::Status(status.clone());
                let Some((path, body)) = request(source, &status) else { return Ok(None) };
                self.send(source, token, (Method::POST, &path, &body)).await.map(|_| None)
            }
            Err(later) => Err(later),
        }
    }

    /// What was said of places in the source, once it is decided how the status is. Without it the status is told all the same.
    async fn annotations_of(
        &self,
        status: &CommitStatus,
        project: &ProjectName,
        run: RunId,
    ) -> Vec<Annotation> {
        let Some(job) = status.job.as_ref().filter(|_| status.state != CheckState::Pending) else {
            return Vec::new();
        };
        let said = async {
            let found = runs::find(&mut *self.db().reader().await?, run).await?;
            let Some(found) = found else { return Ok(Vec::new()) };
            Ok::<_, EngineError>(self.evidence(project, found.number).await?.annotations)
        };
        let said = said.await.unwrap_or_else(|error| {
            tracing::warn!(%project, error = chain(&error), "a check run is told without annotations");
            Vec::new()
        });
        said.into_iter().filter(|annotation| annotation.job == *job).collect()
    }

    async fn send(
        &self,
        source: &Source,
        token: &SecretValue,
        (method, path, body): (Method, &str, &Value),
    ) -> Result<String, Untold> {
        let url = format!("{}{path}", api(source.forge, &source.url));
        let token = token.expose_text().unwrap_or_default().trim();
        let asked = self.0.web.request(method, &url).timeout(PATIENCE).json(body);
        let asked = match source.forge {
            Forge::Github => as_github_wants(asked, token),
            Forge::Gitlab => asked.header("user-agent", AGENT).header("private-token", token),
            Forge::Gitea | Forge::None => {
                asked.header("user-agent", AGENT).header("authorization", format!("token {token}"))
            }
        };
        let answer = asked.send().await.map_err(|error| {
            Untold::Later(
                format!("{} does not answer: {}", source.url.host(), chain(&error.without_url())),
                None,
            )
        })?;
        let code = answer.status();
        let after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let body = answer.text().await.unwrap_or_default();
        judge(code, after.map(SignedDuration::from_secs), &body.chars().take(300).collect::<String>())?;
        Ok(body)
    }
}

/// Says who asks, and for which version of GitHub's API.
pub(crate) fn as_github_wants(asked: reqwest::RequestBuilder, token: &str) -> reqwest::RequestBuilder {
    asked
        .header("user-agent", AGENT)
        .header("authorization", format!("Bearer {token}"))
        .header("accept", "application/vnd.github+json")
        .header("x-github-api-version", "2022-11-28")
}

/// A check run where that is wanted and there is such a thing, else a status.
fn told_as(source: &Source, status: CommitStatus) -> News {
    match (source.statuses, source.forge) {
        (Statuses::Checks, Forge::Github) => News::Check(status),
        (Statuses::Off | Statuses::Run | Statuses::Jobs | Statuses::Checks, _) => News::Status(status),
    }
}

/// What an answer means.
fn judge(code: StatusCode, after: Option<SignedDuration>, body: &str) -> Result<(), Untold> {
    let said = format!("the forge answered {code}: {}", body.trim().replace('\n', " "));
    match code.as_u16() {
        200..=299 => Ok(()),
        // GitLab refuses a state that a commit has already.
        400 if body.contains("Cannot transition status") => Ok(()),
        403 if after.is_some() || body.contains("rate limit") => Err(Untold::Later(said, after)),
        408 | 425 | 429 | 500..=599 => Err(Untold::Later(said, after)),
        401 | 403 => Err(Untold::Never(format!("{said}; the token may not write statuses"))),
        300..=399 => Err(Untold::Never(format!(
            "{said}; a redirect is not followed: set the source to its new address"
        ))),
        _ => Err(Untold::Never(said)),
    }
}

/// Where the API of a forge is: at the host of the repository, so that the token goes nowhere else.
pub(crate) fn api(forge: Forge, url: &SourceUrl) -> String {
    match forge {
        // GitHub's own API has this host, and no other one is taken for it.
        Forge::Github if url.host() == "github.com" => "https://api.github.com".to_owned(),
        Forge::Github => format!("{}/api/v3", url.origin()),
        Forge::Gitlab => format!("{}/api/v4", url.origin()),
        Forge::Gitea | Forge::None => format!("{}/api/v1", url.origin()),
    }
}

/// The path and the body that a forge's documentation asks for.
fn request(source: &Source, news: &News) -> Option<(String, Value)> {
    let slug = source.url.slug();
    let whole = slug.replace('/', "%2F");
    Some(match (source.forge, news) {
        (Forge::None, _) => return None,
        (Forge::Github | Forge::Gitea, News::Status(status) | News::Check(status)) => (
            format!("/repos/{slug}/statuses/{}", status.commit),
            json!({
                "state": match status.state {
                    CheckState::Pending => "pending",
                    CheckState::Success => "success",
                    CheckState::Failure => "failure",
                    CheckState::Cancelled => "error",
                },
                "target_url": status.url,
                "description": status.description,
                "context": status.context,
            }),
        ),
        (Forge::Gitlab, News::Status(status) | News::Check(status)) => (
            format!("/projects/{whole}/statuses/{}", status.commit),
            json!({
                "state": match status.state {
                    CheckState::Pending => "pending",
                    CheckState::Success => "success",
                    CheckState::Failure => "failed",
                    CheckState::Cancelled => "canceled",
                },
                "target_url": status.url,
                "description": status.description,
                "name": status.context,
            }),
        ),
        (Forge::Github | Forge::Gitea, News::Comment { number, text }) => {
            (format!("/repos/{slug}/issues/{number}/comments"), json!({ "body": text }))
        }
        (Forge::Gitlab, News::Comment { number, text }) => {
            (format!("/projects/{whole}/merge_requests/{number}/notes"), json!({ "body": text }))
        }
    })
}

#[cfg(test)]
mod tests {
    use towpath_model::source::ForkRuns;

    use super::*;

    fn source(url: &str, forge: Forge) -> Source {
        let url = SourceUrl::parse(url).unwrap();
        let (fork_runs, statuses) = (ForkRuns::Approve, Statuses::Run);
        Source { url, forge, poll: None, fork_runs, statuses, context: "towpath".into(), comments: true }
    }

    #[test]
    fn requests_are_as_the_forges_document_them() {
        let status = CommitStatus {
            commit: "c0ffee".into(),
            context: "towpath/push".into(),
            state: CheckState::Failure,
            description: "`test` failed".into(),
            url: "https://ci/p/shop/runs/1".into(),
            job: None,
        };
        let news = News::Status(status);
        for (url, forge, base, path, state, name) in [
            (
                "https://github.com/o/r.git",
                Forge::Github,
                "https://api.github.com",
                "/repos/o/r/statuses/c0ffee",
                "failure",
                "context",
            ),
            (
                "https://ghe.example/o/r",
                Forge::Github,
                "https://ghe.example/api/v3",
                "/repos/o/r/statuses/c0ffee",
                "failure",
                "context",
            ),
            (
                "https://gitlab.com/g/s/r",
                Forge::Gitlab,
                "https://gitlab.com/api/v4",
                "/projects/g%2Fs%2Fr/statuses/c0ffee",
                "failed",
                "name",
            ),
            (
                "https://codeberg.org/o/r",
                Forge::Gitea,
                "https://codeberg.org/api/v1",
                "/repos/o/r/statuses/c0ffee",
                "failure",
                "context",
            ),
        ] {
            let source = source(url, forge);
            assert_eq!(api(forge, &source.url), base);
            let (found, body) = request(&source, &news).unwrap();
            assert_eq!(
                (found.as_str(), body["state"].as_str(), body[name].as_str()),
                (path, Some(state), Some("towpath/push"))
            );
            assert_eq!(body["target_url"], "https://ci/p/shop/runs/1");
        }
        // A host that only looks like GitHub's gets its own API, and so never GitHub's token elsewhere.
        let other = source("https://github.com.evil.example/o/r", Forge::Github);
        assert_eq!(api(Forge::Github, &other.url), "https://github.com.evil.example/api/v3");
    }

    #[test]
    fn answers_are_told_apart() {
        let later = |code: u16, body: &str| {
            matches!(judge(StatusCode::from_u16(code).unwrap(), None, body), Err(Untold::Later(..)))
        };
        assert!(later(503, "") && later(429, "") && later(403, "API rate limit exceeded"));
        assert!(!later(401, "") && !later(404, "") && !later(301, ""));
        assert_eq!(judge(StatusCode::CREATED, None, ""), Ok(()));
        assert_eq!(
            judge(StatusCode::BAD_REQUEST, None, "Cannot transition status via :enqueue from :pending"),
            Ok(())
        );
    }
}
