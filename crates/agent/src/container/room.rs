//! The containers of one Attempt, from the first image to the removal of the last: the network, the Services beside
//! the Steps, and the container that the Steps run in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use towpath_api::agent::{AttemptEvent, AttemptOutcome};
use towpath_api::containers::{Containers, ServiceOrder};
use towpath_model::container::{Image, ImageUsed, ServiceSource};
use towpath_model::pipeline::Limits;
use towpath_model::retry::RetryClass;

use super::engine::{Engine, EngineError, text};
use super::exec::{Command, Container, ExecEnd};
use super::http::Wait;
use super::image::{self, Resolved};
use super::process::ProcessService;
use super::service::{ContainerService, Faulty};
use super::spec::{self, CACHE, Net, SCRATCH, SOURCE, Spec};
use super::sweep::Owner;
use super::usage::Usage;
use crate::executor::{Attempt, Cancel, Sink, Stream, chain};
use crate::sandbox::Isolation;

/// How long the engine may take for a small thing.
const CALL: Duration = Duration::from_secs(60);

/// How long it may take to remove everything.
const REMOVAL: Duration = Duration::from_secs(30);

/// What every Attempt of one agent, or of one `towpath run`, has of containers.
#[derive(Debug)]
pub struct ContainerHost {
    /// The engine, or why there is none.
    pub engine: Result<Engine, super::NoEngine>,
    /// Whose containers they are; marks them.
    pub owner: Owner,
}

impl ContainerHost {
    /// The engine of this host, if it has one, for `owner`; what a killed process left there is removed.
    #[must_use]
    pub fn find(owner: Owner) -> Self {
        let engine = Engine::detect();
        if let Ok(engine) = &engine {
            match owner.sweep(engine) {
                Ok(0) => {}
                Ok(removed) => {
                    tracing::warn!(removed, "containers and networks of an earlier process were removed")
                }
                Err(error) => {
                    tracing::warn!("containers of an earlier process could not be removed: {error}")
                }
            }
        }
        Self { engine, owner }
    }

    /// A host without an engine, for those who run no containers.
    #[must_use]
    pub fn none(owner: Owner) -> Self {
        Self { engine: Err(super::NoEngine::not_wanted()), owner }
    }

    /// How Steps with these containers are confined, for logs and reports.
    #[must_use]
    pub fn confinement(&self, containers: &Containers, isolation: &Isolation) -> String {
        match (&containers.image, &self.engine) {
            (Some(_), Ok(engine)) => format!("container ({} {})", engine.kind().word(), engine.version()),
            (Some(_), Err(_)) => "container".to_owned(),
            (None, _) => isolation.name().to_owned(),
        }
    }
}

/// Why an Attempt's containers are not there.
pub(crate) struct Refusal {
    pub(crate) outcome: AttemptOutcome,
    pub(crate) message: String,
}

/// The containers of one Attempt. Dropped, it removes them.
pub(crate) struct Room<'a> {
    attempt: &'a Attempt<'a>,
    engine: Option<&'a Engine>,
    owner: &'a Owner,
    network: Option<String>,
    services: Vec<Running>,
    job: Option<Container>,
    /// Every container that was made.
    made: Vec<String>,
    env: BTreeMap<String, String>,
}

/// A Service that was started.
enum Running {
    Container(ContainerService),
    Process(ProcessService),
}

/// What is needed while the room is being filled.
pub(crate) struct Opening<'a> {
    pub(crate) cancel: &'a Cancel,
    pub(crate) deadline: Instant,
    pub(crate) sink: &'a dyn Sink,
}

impl<'a> Room<'a> {
    /// Fetches images, starts Services, waits until they can be used, and starts the container of the Steps.
    pub(crate) fn open(
        attempt: &'a Attempt<'a>,
        opening: &Opening<'_>,
        say: &mut dyn FnMut(&str),
    ) -> Result<Self, Refusal> {
        let host = attempt.host;
        let engine = match (&host.engine, attempt.containers.need_engine()) {
            (Ok(engine), _) => Some(engine),
            (Err(_), false) => None,
            (Err(none), true) => return Err(errored(none.to_string())),
        };
        let mut room = Self {
            attempt,
            engine,
            owner: &host.owner,
            network: None,
            services: Vec::new(),
            job: None,
            made: Vec::new(),
            env: BTreeMap::new(),
        };
        room.fill(opening, say)?;
        Ok(room)
    }

    /// What Steps find in their environment: where each Service is.
    pub(crate) const fn env(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    /// Whether Steps run in a container.
    pub(crate) const fn has_container(&self) -> bool {
        self.job.is_some()
    }

    fn containers(&self) -> &'a Containers {
        self.attempt.containers
    }

    fn fill(&mut self, opening: &Opening<'_>, say: &mut dyn FnMut(&str)) -> Result<(), Refusal> {
        let wait = Wait::until(opening.deadline, opening.cancel);
        let images = self.images(wait, opening.sink, say)?;
        if let Some(engine) = self.engine
            && (!self.containers().services.is_empty() || self.attempt.policy.network)
            && self.containers().need_engine()
        {
            self.network = Some(self.make_network(engine)?);
        }
        for order in &self.containers().services {
            self.start_service(order, &images, opening, say)?;
        }
        if let (Some(image), Some(engine)) = (&self.containers().image, self.engine) {
            let resolved = &images[&image.name];
            self.job = Some(self.start_job(engine, image, resolved)?);
        }
        Ok(())
    }

    /// Resolves every image, and reports which bytes each of them is.
    fn images(
        &self,
        wait: Wait<'_>,
        sink: &dyn Sink,
        say: &mut dyn FnMut(&str),
    ) -> Result<BTreeMap<String, Resolved>, Refusal> {
        let mut resolved = BTreeMap::new();
        let mut used = Vec::new();
        let containers = self.containers();
        let of_job = containers.image.iter().map(|image| ("job".to_owned(), image));
        let of_services = containers.services.iter().filter_map(|service| match &service.source {
            ServiceSource::Image { image, command: _ } => Some((format!("service {}", service.name), image)),
            ServiceSource::Command { run: _ } => None,
        });
        for (role, image) in of_job.chain(of_services) {
            let Some(engine) = self.engine else { continue };
            let password = image.credentials.as_ref().and_then(|by| containers.passwords.get(&by.password));
            let found = image::resolve(engine, image, password, wait, say).map_err(|error| {
                if error.is_cancelled() {
                    return cancelled();
                }
                sink.event(AttemptEvent::Hindered { by: RetryClass::ImagePull });
                errored(chain(&error))
            })?;
            say(&format!("image {} is {}", image.name, found.digest));
            let (reference, digest) = (image.name.clone(), found.digest.clone());
            used.push(ImageUsed { role, reference, digest });
            resolved.insert(image.name.clone(), found);
        }
        if !used.is_empty() {
            sink.event(AttemptEvent::Images { images: used });
        }
        Ok(resolved)
    }

    fn make_network(&self, engine: &Engine) -> Result<String, Refusal> {
        let name = format!("towpath-{}", self.attempt.id);
        let body = json!({
            "Name": name,
            "Driver": "bridge",
            // Without the network, Services are still to be reached, and nothing else.
            "Internal": !self.attempt.policy.network,
            "CheckDuplicate": true,
            "Labels": self.labels("network"),
        });
        let made = engine.post("make a network", "/networks/create", Some(&body), Wait::patiently(CALL));
        made.map_err(|error| errored(error.to_string()))?;
        Ok(name)
    }

    fn start_service(
        &mut self,
        order: &ServiceOrder,
        images: &BTreeMap<String, Resolved>,
        opening: &Opening<'_>,
        say: &mut dyn FnMut(&str),
    ) -> Result<(), Refusal> {
        let begun = Instant::now();
        let wait = Wait::until(opening.deadline, opening.cancel);
        let in_container = self.containers().image.as_ref();
        let started = match (&order.source, in_container, self.engine) {
            (ServiceSource::Image { image, command }, _, Some(engine)) => {
                let spec = self.service_spec(order, &images[&image.name], image, command.clone(), false);
                self.start_in_container(engine, order, &spec, wait)
            }
            (ServiceSource::Command { run }, Some(image), Some(engine)) => {
                let words = ["sh", "-euc", run].map(str::to_owned).to_vec();
                let spec = self.service_spec(order, &images[&image.name], image, words, true);
                self.start_in_container(engine, order, &spec, wait)
            }
            (ServiceSource::Command { run }, _, _) => {
                ProcessService::start(self.attempt, order, run).map(Running::Process)
            }
            (ServiceSource::Image { .. }, _, None) => {
                Err(Faulty::Broken(format!("service `{}` needs a container engine", order.name)))
            }
        };
        let started = started.and_then(|service| {
            // Known before it is waited for, so that it is cleared away whatever comes.
            self.services.push(service);
            match self.services.last_mut() {
                Some(Running::Container(service)) => service.wait_until_healthy(order, wait),
                Some(Running::Process(service)) => service.wait_until_healthy(order, wait),
                None => Ok(()),
            }
        });
        if let Err(faulty) = started {
            return Err(self.refuse_service(order, faulty, say));
        }
        say(&format!("service {} is ready after {:.1} s", order.name, begun.elapsed().as_secs_f64()));
        let (host, ports) = match self.services.last() {
            Some(Running::Container(service)) if in_container.is_some() => {
                (service.name.clone(), order.ports.iter().map(|&port| (port, port)).collect())
            }
            Some(Running::Container(service)) => (service.host(), service.ports(order)),
            Some(Running::Process(service)) => ("127.0.0.1".to_owned(), service.ports()),
            None => return Ok(()),
        };
        self.env.extend(environment(&order.name, &host, &ports));
        Ok(())
    }

    fn start_in_container(
        &mut self,
        engine: &Engine,
        order: &ServiceOrder,
        spec: &Spec,
        wait: Wait<'_>,
    ) -> Result<Running, Faulty> {
        let id = self.make(engine, &order.name, spec).map_err(|refusal| Faulty::Broken(refusal.message))?;
        ContainerService::start(engine, &order.name, id, self.network.as_deref(), wait)
            .map(Running::Container)
    }

    fn refuse_service(&self, order: &ServiceOrder, faulty: Faulty, say: &mut dyn FnMut(&str)) -> Refusal {
        let ServiceOrder { name, .. } = order;
        let message = match faulty {
            Faulty::Cancelled => return cancelled(),
            Faulty::Broken(message) => {
                return errored(format!("service `{name}` could not be started: {message}"));
            }
            Faulty::Ended(code) => {
                format!("service `{name}` ended with exit code {code} before it was ready")
            }
            Faulty::NotReady(why) => format!(
                "service `{name}` was not ready within {} s: {why}; `health: {{ within: … }}` gives it more time",
                order.health.within.as_secs()
            ),
        };
        let log = match self.services.last() {
            Some(Running::Container(service)) => service.log(),
            Some(Running::Process(service)) => service.log(),
            None => String::new(),
        };
        if log.is_empty() {
            say(&format!("service {name} printed nothing"));
        } else {
            say(&format!("the last lines of service {name}:"));
            log.lines().for_each(|line| say(&format!("  {line}")));
        }
        Refusal { outcome: AttemptOutcome::Failed, message }
    }

    fn service_spec(
        &self,
        order: &ServiceOrder,
        resolved: &Resolved,
        image: &Image,
        command: Vec<String>,
        of_job: bool,
    ) -> Spec {
        let mut env = order.env.clone();
        if of_job {
            // What it is told beside a sandbox, so that one command serves both.
            env.insert("HOST".to_owned(), "0.0.0.0".to_owned());
            env.extend(order.ports.first().map(|port| ("PORT".to_owned(), port.to_string())));
            env.insert("HOME".to_owned(), format!("{SCRATCH}/home"));
            env.insert("TMPDIR".to_owned(), format!("{SCRATCH}/tmp"));
        }
        Spec {
            image: resolved.id.clone(),
            entrypoint: of_job.then(Vec::new),
            command,
            user: if of_job { Some(self.user(image)) } else { image.user.clone() },
            env,
            directory: of_job.then(|| self.inside(self.attempt.directory)),
            mounts: if of_job { self.mounts() } else { Vec::new() },
            net: self.net(&order.name),
            ports: order.ports.clone(),
            hosts: self.hosts(),
            labels: self.labels(&order.name),
            limits: Limits::default(),
            enforce: self.engine.is_some_and(Engine::has_limits),
        }
    }

    fn start_job(
        &mut self,
        engine: &Engine,
        image: &Image,
        resolved: &Resolved,
    ) -> Result<Container, Refusal> {
        let spec = Spec {
            image: resolved.id.clone(),
            entrypoint: Some(vec!["sh".to_owned(), "-c".to_owned(), spec::KEEPER.to_owned()]),
            command: Vec::new(),
            user: Some(self.user(image)),
            env: BTreeMap::new(),
            directory: Some("/".to_owned()),
            mounts: self.mounts(),
            net: self.net("job"),
            ports: Vec::new(),
            hosts: self.hosts(),
            labels: self.labels("job"),
            limits: self.containers().limits.clone(),
            enforce: engine.has_limits(),
        };
        let id = self.make(engine, "job", &spec)?;
        let start = engine.post(
            "start the job's container",
            &format!("/containers/{id}/start"),
            None,
            Wait::patiently(CALL),
        );
        start.map_err(|error| {
            errored(format!(
                "image `{}` could not be started: {error}; Steps need a shell in it, as `sh`",
                image.name
            ))
        })?;
        // The keeper looks for the workspace at once, so a little later its answer is known.
        std::thread::sleep(Duration::from_millis(20));
        let state = inspect(engine, &id).map_err(|error| errored(error.to_string()))?;
        if state["State"]["Running"] != true {
            return Err(errored(self.why_not_kept(engine, &id, image, &state)));
        }
        let usage = Usage::of(state["State"]["Pid"].as_u64().unwrap_or(0));
        Ok(Container { engine: engine.clone(), id, usage })
    }

    fn why_not_kept(&self, engine: &Engine, id: &str, image: &Image, state: &Value) -> String {
        let code = state["State"]["ExitCode"].as_i64().unwrap_or(-1);
        if code == spec::NO_WORKSPACE {
            return format!(
                "{engine} does not see the workspace {}: it runs on another host or in another file system than the agent; \
                 give the agent's directory the same path on both sides",
                self.root().display()
            );
        }
        let said = super::service::log_of(engine, id);
        let said = if said.is_empty() { String::new() } else { format!(": {}", said.trim()) };
        format!(
            "the container of image `{}` ended at once with exit code {code}{said}; Steps need a shell in it, as `sh`",
            image.name
        )
    }

    /// Makes a container, which [`Self::close`] removes.
    fn make(&mut self, engine: &Engine, role: &str, spec: &Spec) -> Result<String, Refusal> {
        let name = format!("towpath-{}-{role}", self.attempt.id);
        let path = format!("/containers/create?name={name}");
        let made = engine.post("make a container", &path, Some(&spec.to_json()), Wait::patiently(CALL));
        let made = made.map_err(|error| errored(error.to_string()))?;
        let id = text(&made["Id"]).to_owned();
        self.made.push(id.clone());
        Ok(id)
    }

    /// Runs a command of a Step in the Job's container.
    pub(crate) fn run(
        &self,
        words: Vec<String>,
        env: BTreeMap<String, String>,
        directory: &Path,
        (deadline, cancel): (Instant, &Cancel),
        take: &mut impl FnMut(Stream, &[u8]),
    ) -> Result<ExecEnd, EngineError> {
        let Some(container) = &self.job else { return Ok(ExecEnd::Exited(-1)) };
        let grace = self.attempt.limits.grace;
        let directory = Some(self.inside(directory));
        container.run(&Command { words, env, directory, user: None, deadline, grace, cancel }, take)
    }

    /// The Services that ended while Steps ran, in words.
    pub(crate) fn ended_services(&mut self) -> Vec<String> {
        let ended = |running: &mut Running| match running {
            Running::Container(service) => service.exit_code().map(|code| (service.name.clone(), code)),
            Running::Process(service) => service.exit_code().map(|code| (service.name.clone(), code)),
        };
        let ended = self.services.iter_mut().filter_map(ended);
        ended.map(|(name, code)| format!("service {name} had ended with exit code {code}")).collect()
    }

    /// The path of a host's directory in the Job's container.
    pub(crate) fn inside(&self, path: &Path) -> String {
        let root = self.root();
        let places = [(root.join("source"), SOURCE), (self.attempt.scratch.to_owned(), SCRATCH)];
        let inside = places.iter().find_map(|(outside, inside)| {
            let below = path.strip_prefix(outside).ok()?;
            Some(if below.as_os_str().is_empty() {
                (*inside).to_owned()
            } else {
                format!("{inside}/{}", below.display())
            })
        });
        inside.unwrap_or_else(|| SOURCE.to_owned())
    }

    fn root(&self) -> &Path {
        self.attempt.scratch.parent().unwrap_or(self.attempt.scratch)
    }

    fn mounts(&self) -> Vec<(PathBuf, &'static str)> {
        let mut mounts =
            vec![(self.root().join("source"), SOURCE), (self.attempt.scratch.to_owned(), SCRATCH)];
        mounts.extend(self.attempt.policy.container_cache().map(|cache| (cache, CACHE)));
        mounts
    }

    /// Whoever the image says, or else the agent's own user, so that it can clear away what the Steps leave.
    fn user(&self, image: &Image) -> String {
        image.user.clone().unwrap_or_else(|| match self.engine {
            // There, root in a container is the agent's user.
            Some(engine) if engine.is_rootless() => "0:0".to_owned(),
            Some(_) | None => own_user(),
        })
    }

    fn net(&self, alias: &str) -> Net {
        match &self.network {
            None => Net::None,
            Some(name) => {
                Net::Own { name: name.clone(), alias: alias.to_owned(), publish: self.attempt.policy.network }
            }
        }
    }

    fn hosts(&self) -> Vec<(String, String)> {
        let hosts = self.services.iter().filter_map(|running| match running {
            Running::Container(service) => Some((service.name.clone(), service.address.clone()?)),
            Running::Process(_) => None,
        });
        hosts.collect()
    }

    fn labels(&self, role: &str) -> BTreeMap<String, String> {
        self.owner.labels(&self.attempt.id.to_string(), role)
    }

    /// Gives back to the agent's user what Steps made as another one, so that it can be removed.
    fn hand_back(&self) {
        let image_user = self.containers().image.as_ref().and_then(|image| image.user.as_ref());
        let (Some(container), Some(_), Some(engine)) = (&self.job, image_user, self.engine) else { return };
        let user = if engine.is_rootless() { "0:0".to_owned() } else { own_user() };
        let words = ["chown", "-R", &user, SOURCE, SCRATCH].map(str::to_owned).to_vec();
        // Where the image has no such program, the removal says what is left.
        let _best_effort = container.passes(words, Some("0".to_owned()), REMOVAL);
    }

    fn close(&mut self) {
        self.hand_back();
        // Newest first: the Steps' container ends before what it uses.
        self.job = None;
        self.services.clear();
        let Some(engine) = self.engine else { return };
        let failed = |what: &str, error: EngineError| {
            tracing::warn!(attempt = %self.attempt.id, "{what} could not be removed: {error}; the next start of the agent tries again");
        };
        for id in self.made.drain(..).rev() {
            let path = format!("/containers/{id}?force=true&v=true");
            if let Err(error) = engine.delete("remove a container", &path, Wait::patiently(REMOVAL)) {
                failed("a container", error);
            }
        }
        if let Some(network) = self.network.take()
            && let Err(error) =
                engine.delete("remove a network", &format!("/networks/{network}"), Wait::patiently(REMOVAL))
        {
            failed("a network", error);
        }
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.close();
    }
}

/// What the engine knows of a container.
pub(super) fn inspect(engine: &Engine, id: &str) -> Result<Value, EngineError> {
    engine.get("look at a container", &format!("/containers/{id}/json"), Wait::patiently(CALL))
}

fn own_user() -> String {
    format!("{}:{}", rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw())
}

/// `DB_HOST`, `DB_PORT` of the first port, and `DB_PORT_5432` of each.
fn environment(service: &str, host: &str, ports: &[(u16, u16)]) -> BTreeMap<String, String> {
    let name: String = service
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
        .collect();
    let mut env = BTreeMap::from([(format!("{name}_HOST"), host.to_owned())]);
    env.extend(ports.first().map(|(_, port)| (format!("{name}_PORT"), port.to_string())));
    env.extend(ports.iter().map(|(inside, port)| (format!("{name}_PORT_{inside}"), port.to_string())));
    env
}

fn errored(message: String) -> Refusal {
    Refusal { outcome: AttemptOutcome::Errored, message }
}

fn cancelled() -> Refusal {
    let message = "it was ended while its containers were being started".to_owned();
    Refusal { outcome: AttemptOutcome::Cancelled, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_find_a_service_by_its_name() {
        let env = environment("my-db", "127.0.0.1", &[(5432, 40_001), (9187, 40_002)]);
        let pairs: Vec<_> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            pairs,
            ["MY_DB_HOST=127.0.0.1", "MY_DB_PORT=40001", "MY_DB_PORT_5432=40001", "MY_DB_PORT_9187=40002"]
        );
    }
}
