//! The story: three versions, a configuration change and a way back, as a team lives it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::Value;
use towpath_api::rest::{AppliedDocument, Apply, Decision, NewProject, Project, Rollback};
use towpath_api::rest::{Promotion, PromotionKind};
use towpath_model::environment::Outcome;
use towpath_model::run::Run;

use super::claims::{self, Claims};
use super::follow::{self, Wanted};
use super::people::People;
use super::ports::Ports;
use super::screen::{Phase, Screen, number, percent, seconds};
use super::server::Server;
use super::shop::{self, Shop};
use super::traffic::{RATE, Seen, Traffic, VERSIONS};
use super::{PROJECT, Visitor};
use crate::client;

/// How long the reader may take to approve before Grace does.
const READER_PATIENCE: Duration = Duration::from_secs(60);

/// Traffic before the next version comes, so that the customers' view of each version is worth showing.
const PAUSE: Duration = Duration::from_secs(2);

/// The configured greeting, before and after the change.
const GREETINGS: [&str; 2] = ["Welcome", "Good morning"];

/// How long the customers must see no answer of a version to call it gone.
const QUIET: Duration = Duration::from_millis(500);

/// What came of it.
pub(super) struct Tale {
    /// What was claimed.
    pub(super) claims: Claims,
    /// What each phase took.
    pub(super) phases: Vec<(String, Duration)>,
    /// What each way back took.
    pub(super) ways_back: Vec<WayBack>,
    /// What the customers saw.
    pub(super) seen: Seen,
}

/// A way back, and how fast it was.
pub(super) struct WayBack {
    /// From what to what, and why.
    pub(super) what: String,
    /// From the decision until every gateway confirmed, by Towpath's own account.
    pub(super) confirmed: Option<Duration>,
    /// From the decision until the last answer of the version that was left, as customers saw it.
    pub(super) last_answer: Option<Duration>,
}

/// Everything that the story needs.
pub(super) struct Story<'a> {
    /// Where it is shown.
    pub(super) screen: Screen,
    /// The server.
    pub(super) server: &'a mut Server,
    /// Its people.
    pub(super) people: &'a People,
    /// The developer's clone.
    pub(super) shop: &'a Shop,
    /// Where the Environments listen.
    pub(super) ports: &'a Ports,
    /// Who approves.
    pub(super) visitor: Visitor,
    claims: Claims,
    phases: Vec<(String, Duration)>,
    ways_back: Vec<WayBack>,
    /// How many Promotions went to dev and staging, and to production.
    before: usize,
    production: usize,
    run: u64,
}

impl<'a> Story<'a> {
    /// Begins.
    pub(super) fn new(
        screen: Screen,
        server: &'a mut Server,
        people: &'a People,
        shop: &'a Shop,
        ports: &'a Ports,
        visitor: Visitor,
    ) -> Self {
        Self {
            screen,
            server,
            people,
            shop,
            ports,
            visitor,
            claims: Claims::default(),
            phases: Vec::new(),
            ways_back: Vec::new(),
            before: 0,
            production: 0,
            run: 0,
        }
    }

    /// Tells it to its end.
    pub(super) async fn tell(mut self) -> anyhow::Result<Tale> {
        self.screen.heading("Version 1: the first deployment of all");
        let first = self.deliver("v1").await?;
        let promotion = self.promote_to_the_end(&first, ["v1", "production, bootstrap"], None).await?;
        follow::succeeded(&promotion)?;
        self.check_served(VERSIONS[0]).await?;
        self.claims.note(
            promotion.rollout.as_ref().is_some_and(|rollout| rollout.stable.is_none()),
            "version 1 went through dev, staging and an approval, and was the first in production",
        );
        let traffic = Traffic::start(&self.ports.production())?;
        self.screen.heading(&format!("Customers arrive: {RATE} orders a second from here on"));
        tokio::time::sleep(PAUSE).await;
        let second = self.version_2(&traffic).await?;
        self.version_3(&traffic, &second).await?;
        self.configuration(&traffic, &second).await?;
        self.back_to_1(&traffic, &first).await?;
        tokio::time::sleep(PAUSE).await;
        let seen = traffic.finish().await;
        self.judge_traffic(&seen);
        let entries = claims::gap_free(&self.people.admin).await;
        let entries = entries.map(|count| format!("the timeline has {count} entries and no gap"));
        self.claims.note_result(entries, "the timeline is complete");
        self.server.check()?;
        let Self { claims, phases, ways_back, .. } = self;
        Ok(Tale { claims, phases, ways_back, seen })
    }

    async fn version_2(&mut self, traffic: &Traffic) -> anyhow::Result<Sealed> {
        self.screen.heading("Version 2: a good one");
        self.shop.edit(shop::VERSION_2, "shop: Say that the fruit is fresh").await?;
        let sealed = self.deliver("v2").await?;
        let promotion = self.promote_to_the_end(&sealed, ["v2", "canary"], Some(traffic)).await?;
        follow::succeeded(&promotion)?;
        self.check_served(VERSIONS[1]).await?;
        let steps = promotion.rollout.as_ref().map_or(0, |rollout| rollout.steps.len());
        let weights = promotion.rollout.iter().flat_map(|rollout| &rollout.steps);
        let weights: Vec<String> = weights.map(|step| step.weight.to_string()).collect();
        self.claims.note(
            steps >= 3,
            format!("version 2 was judged healthy at {} and promoted to everybody", weights.join(", ")),
        );
        Ok(sealed)
    }

    async fn version_3(&mut self, traffic: &Traffic, stable: &Sealed) -> anyhow::Result<()> {
        self.screen.heading("Version 3: its tests pass, and a fifth of its orders fail");
        self.shop.edit(shop::VERSION_3, "shop: Open a fifth shelf").await?;
        let sealed = self.deliver("v3").await?;
        let before = traffic.so_far();
        let promotion = self.promote_to_the_end(&sealed, ["v3", "canary"], Some(traffic)).await?;
        let Some(Outcome::RolledBack { reason, time_to_safe_ms }) = promotion.outcome.clone() else {
            follow::succeeded(&promotion)?;
            bail!("version 3 was promoted though a fifth of its orders fail");
        };
        self.screen.aside(&reason);
        tokio::time::sleep(QUIET).await;
        let after = traffic.so_far();
        let bad = after.since(&before, VERSIONS[2]);
        let all: u64 = VERSIONS.iter().map(|version| after.since(&before, version).requests).sum();
        let serves = follow::environment(&self.people.ada, "production").await?.0.current;
        self.claims.note(
            serves.is_some_and(|current| current.revision.version == stable.version),
            "version 3 was judged unhealthy, and traffic went back to version 2 by itself",
        );
        self.claims.note(
            bad.requests * 2 < all,
            format!(
                "version 3 got {} of the {} requests meanwhile ({}), and failed {} of them",
                number(bad.requests),
                number(all),
                percent(bad.requests, all),
                number(bad.failed),
            ),
        );
        self.check_served(VERSIONS[1]).await?;
        let decided = promotion.rollout.as_ref().and_then(|rollout| rollout.back.as_ref());
        let decided = decided.map(|back| back.decided_at);
        self.note_way_back("v3 → v2, by the verdict", time_to_safe_ms, decided, traffic, VERSIONS[2]);
        Ok(())
    }

    async fn configuration(&mut self, traffic: &Traffic, sealed: &Sealed) -> anyhow::Result<()> {
        self.screen.heading("A new configuration: through the same gates as a new version");
        let page = fetch(&format!("{}/", self.ports.production())).await?;
        ensure!(page.starts_with(GREETINGS[0]), "the shop greets with `{}`", page.trim());
        self.apply(&self.ports.production_document(GREETINGS[1])).await?;
        let promotion = self.promote_to_the_end(sealed, ["config", "canary"], Some(traffic)).await?;
        follow::succeeded(&promotion)?;
        let page = fetch(&format!("{}/", self.ports.production())).await?;
        self.claims.note(
            page.starts_with(GREETINGS[1]) && !promotion.votes.is_empty(),
            format!(
                "the changed value was approved and canaried like a version; the shop says `{}`",
                page.trim()
            ),
        );
        Ok(())
    }

    async fn back_to_1(&mut self, traffic: &Traffic, first: &Sealed) -> anyhow::Result<()> {
        self.screen.heading("Back to version 1, by hand");
        let mut phase = self.screen.phase("v1: rollback");
        let asked = Timestamp::now();
        let (to, comment) = (Some(first.version.clone()), "the demo shows it".to_owned());
        let back = Rollback { to, anyway: false, comment };
        let path = format!("/api/v1/projects/{PROJECT}/environments/production/rollback");
        let _environment: Value = self.people.grace.api.send(Method::POST, &path, &back).await?;
        let wanted = Wanted { environment: "production", version: &first.version, nth: self.production };
        self.production += 1;
        let before = traffic.so_far();
        let promotion = follow::end(&self.people.grace, wanted, Some((traffic, &before)), &mut phase).await?;
        follow::succeeded(&promotion)?;
        self.end_phase(phase, "v1: manual rollback", &format!("{} serves everybody", first.version));
        tokio::time::sleep(QUIET).await;
        self.check_served(VERSIONS[0]).await?;
        self.claims.note(true, "version 1 is back by one command, without a gate in its way");
        let confirmed = promotion.finished_at.map(|at| at.as_millisecond() - asked.as_millisecond());
        self.note_way_back("v2 → v1, by hand", confirmed, Some(asked), traffic, VERSIONS[1]);
        Ok(())
    }

    /// Pushes what is committed, and follows it up to staging.
    async fn deliver(&mut self, name: &str) -> anyhow::Result<Sealed> {
        let phase = self.screen.phase(&format!("{name}: git push"));
        let said = self.shop.push().await?;
        self.end_phase(phase, &format!("{name}: git push"), "main");
        for line in said {
            self.screen.aside(&format!("remote: {line}"));
        }
        self.run += 1;
        let mut phase = self.screen.phase(&format!("{name}: test, build, seal"));
        let run = follow::run(&self.people.ada, self.run, &mut phase).await?;
        let sealed = Sealed::of(&run)?;
        self.end_phase(phase, &format!("{name}: test, build, seal"), &format!("release {}", sealed.version));
        let mut promotions = Vec::new();
        for (environment, check) in [("dev", "smoke test"), ("staging", "acceptance test")] {
            let mut phase = self.screen.phase(&format!("{name}: {environment}"));
            let wanted = Wanted { environment, version: &sealed.version, nth: self.before };
            let promotion = follow::end(&self.people.ada, wanted, None, &mut phase).await?;
            follow::succeeded(&promotion)?;
            self.end_phase(phase, &format!("{name}: {environment}"), &format!("deployed, {check} passed"));
            promotions.push(promotion);
        }
        self.before += 1;
        Ok(Sealed { earlier: promotions, ..sealed })
    }

    /// Follows a Revision through approval and Rollout to the end of its Promotion.
    async fn promote_to_the_end(
        &mut self,
        sealed: &Sealed,
        [subject, rollout]: [&str; 2],
        traffic: Option<&Traffic>,
    ) -> anyhow::Result<Promotion> {
        let wanted = Wanted { environment: "production", version: &sealed.version, nth: self.production };
        self.production += 1;
        self.approve(wanted, &format!("{subject}: approval")).await?;
        let name = &format!("{subject}: {rollout}");
        let mut phase = self.screen.phase(name);
        let before = traffic.map(Traffic::so_far);
        let seen = traffic.zip(before.as_ref());
        let promotion = follow::end(&self.people.grace, wanted, seen, &mut phase).await?;
        let outcome = promotion.outcome.as_ref().map_or("", Outcome::word);
        self.end_phase(phase, name, &format!("{} {outcome}", sealed.version));
        if promotion.kind == PromotionKind::Release {
            self.check_release(sealed, &promotion);
        }
        Ok(promotion)
    }

    /// Lets Grace approve; a reader who is there may do it first.
    async fn approve(&mut self, wanted: Wanted<'_>, name: &str) -> anyhow::Result<()> {
        let mut phase = self.screen.phase(name);
        let grace = &self.people.grace;
        let promotion = follow::request(grace, wanted, &mut phase).await?;
        let page = towpath_ui::routes::promotion(&promotion.id.to_string());
        let page = self.server.url.join(&page).context("the address cannot be built")?;
        let mut by = "given on the page";
        if self.visitor == Visitor::None || !self.wait_for_reader(wanted, page.as_str(), &mut phase).await? {
            let decision = Decision { comment: "looks good in staging".to_owned(), binding: None };
            let path = format!("/api/v1/promotions/{}/approve", promotion.id);
            let _environment: Value = self.people.grace.api.send(Method::POST, &path, &decision).await?;
            by = "given by grace through the API";
        }
        let started = follow::start(&self.people.grace, wanted, Duration::from_secs(30)).await?;
        ensure!(started, "{} was approved, and its rollout did not start in 30 s", promotion.title);
        self.end_phase(phase, name, by);
        Ok(())
    }

    async fn wait_for_reader(
        &self,
        wanted: Wanted<'_>,
        page: &str,
        phase: &mut Phase,
    ) -> anyhow::Result<bool> {
        let password = &self.people.grace.password;
        phase.say(&format!("Approve it at {page}"));
        phase.say(&format!("as grace, password {password}; or wait a minute, and she does it herself."));
        phase.tell("waits for you", "");
        follow::start(&self.people.grace, wanted, READER_PATIENCE).await
    }

    /// Applies environment documents in the admin's name.
    pub(super) async fn apply(&self, text: &str) -> anyhow::Result<()> {
        let apply = Apply { file: "environments.yaml".to_owned(), text: text.to_owned(), dry_run: false };
        let path = format!("/api/v1/projects/{PROJECT}/apply");
        let applied: Vec<AppliedDocument> = self.people.admin.api.send(Method::POST, &path, &apply).await?;
        for AppliedDocument { environment, version, changes, .. } in applied {
            for change in changes {
                self.screen.aside(&format!("{environment}, version {version}: {change}"));
            }
        }
        Ok(())
    }

    fn end_phase(&mut self, phase: Phase, name: &str, result: &str) {
        let took = phase.done(result);
        self.phases.push((name.to_owned(), took));
    }

    fn check_release(&mut self, sealed: &Sealed, promotion: &Promotion) {
        let all: Vec<&Promotion> = sealed.earlier.iter().chain([promotion]).collect();
        let checked = claims::same_release(&all).and_then(|digest| {
            claims::signature(&self.server.data, promotion)?;
            Ok(format!(
                "release {} is signed, and was one and the same ({}) in dev, staging and production",
                sealed.version,
                digest.short()
            ))
        });
        self.claims
            .note_result(checked, &format!("release {} is signed and the same everywhere", sealed.version));
    }

    async fn check_served(&mut self, version: &str) -> anyhow::Result<()> {
        let answer = fetch(&format!("{}/version", self.ports.production())).await?;
        ensure!(answer.trim() == version, "production answers as {}, not as {version}", answer.trim());
        Ok(())
    }

    fn note_way_back(
        &mut self,
        what: &str,
        confirmed_ms: Option<i64>,
        decided: Option<Timestamp>,
        traffic: &Traffic,
        left: &str,
    ) {
        let last = decided.zip(traffic.last_answer(left)).map(|(decided, last)| {
            // An answer may be the last one before the decision already.
            Duration::try_from(last.duration_since(decided)).unwrap_or_default()
        });
        let confirmed = confirmed_ms.and_then(|time| u64::try_from(time).ok()).map(Duration::from_millis);
        let fast = last.is_some_and(|last| last < Duration::from_secs(10));
        let text = last.map_or_else(|| "unknown".to_owned(), seconds);
        self.claims.note(fast, format!("way back {what}: the last answer came {text} after the decision"));
        self.ways_back.push(WayBack { what: what.to_owned(), confirmed, last_answer: last });
    }

    fn judge_traffic(&mut self, seen: &Seen) {
        self.claims.note(
            seen.unanswered == 0,
            format!(
                "of {} requests, {} got no answer of the shop: deployments, canaries and ways back lost none",
                number(seen.requests),
                number(seen.unanswered)
            ),
        );
        for version in &VERSIONS[..2] {
            let report = seen.version(version);
            self.claims.note(
                report.requests > 0 && report.failed * 100 < report.requests,
                format!(
                    "{version} failed {} of its requests, which is its usual rate",
                    percent(report.failed, report.requests)
                ),
            );
        }
        let bad = seen.version(VERSIONS[2]);
        self.claims.note(
            bad.failed * 10 > bad.requests && bad.requests > 0,
            format!("3.0.0 failed {} of its requests, as it was made to", percent(bad.failed, bad.requests)),
        );
    }
}

/// A Release, and its Promotions before production.
pub(super) struct Sealed {
    version: String,
    earlier: Vec<Promotion>,
}

impl Sealed {
    fn of(run: &Run) -> anyhow::Result<Self> {
        let release = run.release.as_ref().with_context(|| format!("run {} sealed nothing", run.number))?;
        Ok(Self { version: release.version.clone(), earlier: Vec::new() })
    }
}

/// Makes the Project as its admin does.
pub(super) async fn make_project(people: &People) -> anyhow::Result<Project> {
    people.admin.api.send(Method::POST, "/api/v1/projects", &NewProject { name: PROJECT.to_owned() }).await
}

async fn fetch(url: &str) -> anyhow::Result<String> {
    let response = client::http(None)?.get(url).send().await;
    let response = response.with_context(|| format!("{url} does not answer"))?;
    response.error_for_status()?.text().await.with_context(|| format!("{url} broke off"))
}

/// The first configured greeting.
pub(super) const fn first_greeting() -> &'static str {
    GREETINGS[0]
}

/// Writes the story's scratch files where the reader may look at them.
pub(super) fn write_documents(scratch: &Path, text: &str) -> anyhow::Result<()> {
    let path = scratch.join("environments.yaml");
    std::fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))
}
