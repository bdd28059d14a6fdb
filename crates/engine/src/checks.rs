//! Checks that the server makes itself: the way back before a Rollout, HTTP checks after it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::time::Instant;
use towpath_artifact::image::image_manifest;
use towpath_artifact::{ContentStore, PublicKeyRoot, ReleaseManifest, verify_release};
use towpath_model::environment::{Environment, EnvironmentEvent, Promotion, PromotionPlan, Revision};
use towpath_model::pipeline::{HttpVerification, Verification};
use towpath_model::policy::EnvironmentDocument;
use towpath_model::{Digest, EnvironmentKey, PromotionId};
use towpath_store::core::{Connection, outbox};

use crate::error::{blocking, chain};
use crate::{Engine, EngineError, instances};

/// The most bytes of an answer that an HTTP check reads.
const MAX_BODY: usize = 1 << 20;

/// What a Revision is to a Rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// What it brings.
    Candidate,
    /// What it goes back to.
    WayBack,
}

/// The pause between two tries of an HTTP check.
const PAUSE: Duration = Duration::from_millis(200);

/// The client of whatever the server asks of others. It follows no redirect: who asks says what it expects.
pub(crate) fn client() -> Result<reqwest::Client, EngineError> {
    build(reqwest::Client::builder())
}

/// The client of checks through an Environment's own listener. It comes to the address, not to a name, so it believes
/// any certificate: checks are of what was deployed.
pub(crate) fn listener_client() -> Result<reqwest::Client, EngineError> {
    build(reqwest::Client::builder().tls_danger_accept_invalid_certs(true))
}

fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, EngineError> {
    // The client asks for a provider of cryptography even where it only speaks plain HTTP. A second call changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    builder
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(10))
        .no_proxy()
        .build()
        .map_err(|error| EngineError::internal("the HTTP client could not be made", error))
}

/// The address at which this host reaches an Environment's listener.
pub(crate) fn url_of(document: &EnvironmentDocument) -> String {
    local_url(document.scheme(), document.listen)
}

/// The address at which this host reaches what a check is of: the candidate alone, for those before its first weight.
pub(crate) fn url_of_check(
    environment: &Environment,
    plan: &PromotionPlan,
    index: usize,
) -> Result<String, String> {
    let document = &environment.policy.document;
    if index >= plan.before {
        return Ok(url_of(document));
    }
    document.preview.map(|preview| local_url("http", preview)).ok_or_else(|| no_preview(environment))
}

fn no_preview(environment: &Environment) -> String {
    format!(
        "checks before the first request need an address to reach the candidate at, and {} has none: give its document \
         `preview: 127.0.0.1:8081`",
        environment.key
    )
}

fn local_url(scheme: &str, listen: SocketAddr) -> String {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("{scheme}://{}", SocketAddr::new(ip, listen.port()))
}

impl Engine {
    /// Checks, before anything changes, that the candidate and what runs now can be started: bytes, signatures, secrets.
    pub(crate) async fn check_way_back(
        &self,
        effect: i64,
        key: &EnvironmentKey,
        id: PromotionId,
    ) -> Result<(), EngineError> {
        let mut db = self.db().snapshot().await?;
        let environment = towpath_store::core::environments::find(&mut db, key).await?;
        let Some(environment) = environment else { return self.forget(effect).await };
        let active = environment.active.as_ref().filter(|active| active.id == id);
        let Some(active) = active else { return self.forget(effect).await };
        let stable = active.rollout.as_ref().and_then(|rollout| rollout.stable.clone());
        let shown = active.plan.before == 0 || environment.policy.document.preview.is_some();
        let mut problem = (!shown).then(|| no_preview(&environment));
        if problem.is_none() {
            problem = self.cannot_start(&mut db, &environment, &active.revision, Role::Candidate).await?;
        }
        if let (None, Some(stable)) = (&problem, &stable) {
            let broken = self.cannot_start(&mut db, &environment, stable, Role::WayBack).await?;
            problem = broken.map(|why| format!("the way back to {} is broken: {why}", stable.version));
        }
        drop(db);
        let mut unit = self.begin().await?;
        let event = EnvironmentEvent::WayBackChecked { promotion: id, problem };
        unit.environment_event(key, event).await?;
        outbox::remove(&mut unit.tx, effect).await?;
        unit.commit().await
    }

    /// Why a Revision could not be started, if so.
    async fn cannot_start(
        &self,
        db: &mut Connection,
        environment: &Environment,
        revision: &Revision,
        role: Role,
    ) -> Result<Option<String>, EngineError> {
        let key = &environment.key;
        let config = instances::config(db, revision.config).await?;
        for (name, version) in &config.secrets {
            if let Err(error) = self.secret(db, &key.project, key.environment.as_str(), name, *version).await
            {
                return Ok(Some(chain(&error)));
            }
        }
        let docker = environment.policy.document.target.docker.as_ref();
        for workload in &revision.workloads {
            let registry =
                docker.zip(workload.image.as_deref()).and_then(|(docker, image)| docker.registry_of(image));
            if let Some(registry) = registry
                && let Err(error) = self.password(db, key, registry).await
            {
                return Ok(Some(chain(&error)));
            }
        }
        let in_docker = docker.is_some();
        let (content, trusted, revision) =
            (self.content().clone(), self.release_key().clone(), revision.clone());
        blocking("checking a Release", move || {
            Ok::<_, EngineError>(broken(&content, &trusted, &revision, in_docker, role))
        })
        .await
    }

    /// Makes an HTTP check through the Environment's listener.
    pub(crate) async fn verify_http(
        &self,
        effect: i64,
        key: &EnvironmentKey,
        id: PromotionId,
        index: usize,
    ) -> Result<(), EngineError> {
        let mut reader = self.db().reader().await?;
        let environment = towpath_store::core::environments::find(&mut reader, key).await?;
        drop(reader);
        let Some(environment) = environment else { return self.forget(effect).await };
        let active = environment.active.as_ref().filter(|active| active.id == id);
        let Some((active, check)) =
            active.and_then(|active| Some((active, http_check(active, index)?.clone())))
        else {
            return self.forget(effect).await;
        };
        let problem = match url_of_check(&environment, &active.plan, index) {
            Ok(url) => self.try_until_good(&format!("{url}{}", check.path), &check).await,
            Err(problem) => Some(problem),
        };
        let mut unit = self.begin().await?;
        let event = EnvironmentEvent::VerificationFinished { promotion: id, index, problem };
        unit.environment_event(key, event).await?;
        outbox::remove(&mut unit.tx, effect).await?;
        unit.commit().await
    }

    async fn try_until_good(&self, url: &str, check: &HttpVerification) -> Option<String> {
        let within = Duration::try_from(check.within).unwrap_or(Duration::from_secs(30));
        let deadline = Instant::now() + within;
        loop {
            let Err(problem) = self.try_once(url, check).await else { return None };
            if Instant::now() + PAUSE >= deadline {
                return Some(format!("GET {url}: {problem}"));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn try_once(&self, url: &str, check: &HttpVerification) -> Result<(), String> {
        let mut answer = self.0.listeners.get(url).send().await.map_err(|error| chain(&error))?;
        let status = answer.status().as_u16();
        if status != check.status {
            return Err(format!("the answer was {status}, not {}", check.status));
        }
        let Some(wanted) = &check.contains else { return Ok(()) };
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|error| chain(&error))? {
            body.extend_from_slice(&part);
            if body.len() > MAX_BODY {
                break;
            }
        }
        let found = String::from_utf8_lossy(&body).contains(wanted.as_str());
        if found { Ok(()) } else { Err(format!("the answer does not contain `{wanted}`")) }
    }
}

fn http_check(active: &Promotion, index: usize) -> Option<&HttpVerification> {
    match active.plan.verify.get(index)? {
        Verification::Http(check) => Some(check),
        Verification::Run(_) => None,
    }
}

/// What is wrong with the bytes or the signature of a Revision's Release, if anything.
fn broken(
    content: &ContentStore,
    trusted: &PublicKeyRoot,
    revision: &Revision,
    in_docker: bool,
    role: Role,
) -> Option<String> {
    let read = |digest: Digest| {
        content.read(digest, towpath_artifact::release::MAX_BYTES as u64).map_err(|error| chain(&error))
    };
    let check = || {
        let (manifest, envelope) = (read(revision.release)?, read(revision.signature)?);
        let verified = verify_release(&manifest, &envelope, trusted).map_err(|error| chain(&error))?;
        let manifest = verified.manifest();
        match manifest.artifacts.values().find(|digest| !content.contains(**digest)) {
            Some(missing) => Err(format!("artifact {missing} is not in the content store")),
            None => check_origins(content, manifest, in_docker, role),
        }
    };
    check().err()
}

/// Docker starts images, hosts start files. Where an Environment has just become one of containers, what it goes back to may
/// be files: its agents start them as before.
fn check_origins(
    content: &ContentStore,
    manifest: &ReleaseManifest,
    in_docker: bool,
    role: Role,
) -> Result<(), String> {
    for workload in &manifest.workloads {
        let artifact = workload.needed_artifact().and_then(|name| manifest.artifacts.get(name));
        let is_image = match artifact {
            Some(artifact) => image_manifest(*artifact, content).map_err(|error| chain(&error))?.is_some(),
            None => true,
        };
        let name = &workload.name;
        match (in_docker, is_image) {
            (true, true) | (false, false) => {}
            (true, false) if role == Role::WayBack => {}
            (true, false) => {
                return Err(format!(
                    "workload `{name}` is made of files, and this Environment starts containers: let a Job make an image of it, \
                     or name `hosts` in place of `docker` in the document"
                ));
            }
            (false, true) => {
                return Err(format!(
                    "workload `{name}` is an image, and this Environment starts processes on hosts: write \
                     `target: {{ docker: {{}} }}` in its document (`towpath apply`)"
                ));
            }
        }
    }
    Ok(())
}
