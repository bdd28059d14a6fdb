//! What the Instances of this agent that are containers need of the host: the engine, images, and that nothing is left.
//!
//! Each image that is here for an Instance has a file that says since when it is not needed and which Releases it is of.
//! An image goes an hour after its last Instance, and none that the server may want again at any moment goes at all.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use towpath_api::agent::{InstanceOrder, Secret};
use towpath_api::containers::ContainerOrder;
use towpath_artifact::ContentStore;
use towpath_model::container::Credentials;
use towpath_model::pipeline::{Origin, Workload};
use towpath_model::{Digest, EnvironmentKey};

use super::UNUSED_ARTIFACT;
use super::release::Obstacle;
use super::spec::{ContainerSpec, InstanceDirectory, InstanceSpec, write_json};
use crate::container::instance::{self, State};
use crate::container::instance_image::{self, Present, Unobtainable};
use crate::container::{Engine, EngineError};

/// An image that is here for an Instance.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// The name that keeps it in the engine.
    tag: String,
    /// Its name in a registry, where it was fetched from there by this agent.
    fetched: Option<String>,
    /// The Releases that it is of.
    releases: BTreeSet<Digest>,
}

/// Which Instances and Releases the server wants, in its last word of this session.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    pub(super) instances: HashSet<String>,
    pub(super) keep: BTreeSet<Digest>,
}

/// The containers of one agent's Instances.
#[derive(Debug)]
pub(super) struct Containers {
    /// Which agent; marks everything.
    deployer: String,
    /// Where `images/` and the Instances are.
    directory: PathBuf,
    store: ContentStore,
    /// Found when it is first needed.
    engine: Mutex<Option<Engine>>,
    /// One at a time: Instances of one Release share their image, and nothing is removed while one is brought.
    images: Mutex<()>,
}

impl Containers {
    pub(super) fn new(directory: PathBuf, store: ContentStore, engine: Option<Engine>) -> Self {
        let deployer = crate::container::Owner::agent(&directory).name().to_owned();
        Self { deployer, directory, store, engine: Mutex::new(engine), images: Mutex::new(()) }
    }

    fn engine(&self) -> Result<Engine, String> {
        let mut known = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some(engine) => Ok(engine.clone()),
            None => {
                let found = Engine::detect().map_err(|none| none.to_string())?;
                Ok(known.insert(found).clone())
            }
        }
    }

    fn kept(&self) -> PathBuf {
        self.directory.join("images")
    }

    /// Eight letters that tell this agent from others on the same engine.
    fn mark(&self) -> String {
        Digest::of(self.deployer.as_bytes()).hex()[..8].to_owned()
    }

    /// Brings the image of a Workload, and says how its containers are made. The Artifact's blobs are there already.
    pub(super) fn install(
        &self,
        order: &InstanceOrder,
        containers: &ContainerOrder,
        workload: &Workload,
        artifact: Digest,
    ) -> Result<ContainerSpec, Obstacle> {
        let reference = match workload.origin() {
            Origin::Artifact(_) => None,
            Origin::Image(image) => Some(image.to_owned()),
        };
        let engine = self.engine().map_err(Obstacle::Passing)?;
        let EnvironmentKey { project, environment } = &order.environment;
        let own = format!("towpath-{project}-{environment}-{}", self.mark()).replace('/', "-");
        let mut spec = ContainerSpec {
            socket: engine.socket().to_owned(),
            deployer: self.deployer.clone(),
            image: String::new(),
            tag: tag(&self.mark(), order, artifact),
            reference,
            has_healthcheck: false,
            port: 0,
            network: containers.docker.network.clone().unwrap_or(own),
            release: order.release,
            order: containers.clone(),
        };
        let Present { id, port, has_healthcheck, fetched: _ } = self.provide(&engine, &spec, artifact)?;
        (spec.image, spec.has_healthcheck) = (id, has_healthcheck);
        spec.port = workload.port.unwrap_or(port);
        Ok(spec)
    }

    /// Brings an image again that the engine has lost.
    pub(super) fn bring_again(&self, spec: &InstanceSpec, container: &ContainerSpec) -> Result<(), Obstacle> {
        let engine = self.engine().map_err(Obstacle::Passing)?;
        self.provide(&engine, container, spec.artifact).map(drop)
    }

    fn provide(&self, engine: &Engine, spec: &ContainerSpec, artifact: Digest) -> Result<Present, Obstacle> {
        let _one_at_a_time = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        let unwritable = |error: io::Error| {
            Obstacle::Passing(format!("{} cannot be written: {error}", self.kept().display()))
        };
        fs::create_dir_all(self.kept()).map_err(unwritable)?;
        let name = format!("{}.json", spec.tag.replace(['/', ':'], "_"));
        let before = read(&self.kept().join(&name));
        let (mut fetched, mut releases) =
            before.map_or((None, BTreeSet::new()), |before| (before.fetched, before.releases));
        releases.insert(spec.release);
        // Written before the image comes: whatever happens meanwhile, it is known to be here.
        let keep = |fetched: &Option<String>| {
            let kept = Kept { tag: spec.tag.clone(), fetched: fetched.clone(), releases: releases.clone() };
            write_json(&self.kept(), &name, &kept).map_err(unwritable)
        };
        keep(&fetched)?;
        let present = match &spec.reference {
            None => instance_image::load(engine, artifact, &self.store, &self.directory, &spec.tag)?,
            Some(reference) => {
                let credentials = credentials(&spec.order, reference);
                instance_image::pull(engine, reference, credentials, &spec.tag)?
            }
        };
        if present.fetched && fetched.is_none() {
            fetched.clone_from(&spec.reference);
            keep(&fetched)?;
        }
        Ok(present)
    }

    /// How the container of an Instance is.
    pub(super) fn look(&self, spec: &InstanceSpec) -> Result<Option<State>, String> {
        let engine = self.engine()?;
        instance::find(&engine, &spec.container_name()).map_err(|error| error.to_string())
    }

    /// Removes the container of an Instance whose supervisor is gone.
    pub(super) fn remove(&self, spec: &InstanceSpec) -> Result<(), String> {
        let engine = self.engine()?;
        instance::remove(&engine, &spec.container_name()).map_err(|error| error.to_string())
    }

    /// Removes containers, networks and images that nothing needs any more; says how many of all these.
    pub(super) fn sweep(&self, wanted: &Wanted) -> Result<usize, String> {
        if !self.kept().is_dir() {
            return Ok(0);
        }
        let engine = self.engine()?;
        let _nothing_is_brought = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        self.sweep_with(&engine, wanted).map_err(|error| error.to_string())
    }

    fn sweep_with(&self, engine: &Engine, wanted: &Wanted) -> Result<usize, EngineError> {
        let mut removed = 0;
        for (instance, id) in instance::list(engine, &self.deployer)? {
            let directory = self.directory.join("instances").join(&instance);
            if !directory.join("spec.json").exists() && !wanted.instances.contains(&instance) {
                instance::remove(engine, &id)?;
                removed += 1;
            }
        }
        let specs = self.specs();
        removed += instance::remove_networks(engine, &self.deployer, |network| {
            specs.iter().any(|spec| spec.network == network)
        })?;
        for entry in fs::read_dir(self.kept()).into_iter().flatten().flatten() {
            let path = entry.path();
            let Some(kept) = read(&path) else { continue };
            if specs.iter().any(|spec| spec.tag == kept.tag) {
                // Its time begins when the last Instance is gone.
                let _late_by_a_sweep =
                    fs::File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
                continue;
            }
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            let age =
                modified.ok().and_then(|at| SystemTime::now().duration_since(at).ok()).unwrap_or_default();
            let is_needed = kept.releases.iter().any(|release| wanted.keep.contains(release));
            if is_needed || age < UNUSED_ARTIFACT {
                continue;
            }
            if instance_image::remove(engine, &kept.tag, kept.fetched.as_deref())? {
                let _again_at_the_next = fs::remove_file(&path);
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// The containers that there are, or shall be.
    fn specs(&self) -> Vec<ContainerSpec> {
        let entries = fs::read_dir(self.directory.join("instances")).into_iter().flatten().flatten();
        let directories = entries.map(|entry| InstanceDirectory { path: entry.path() });
        directories.filter_map(|directory| directory.spec().ok()?.container).collect()
    }
}

impl From<Unobtainable> for Obstacle {
    fn from(why: Unobtainable) -> Self {
        match why {
            Unobtainable::Passing(why) => Self::Passing(why),
            Unobtainable::Lasting(why) => Self::Lasting(why),
        }
    }
}

fn read(path: &Path) -> Option<Kept> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// The name under which the engine keeps an image for this agent: `towpath-1a2b3c4d/shop-web:9f86d0…`.
fn tag(mark: &str, order: &InstanceOrder, artifact: Digest) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name = format!("{}-{}", order.environment.project, order.workload);
    let mut name: String = name.chars().map(plain).collect();
    while name.contains("--") {
        name = name.replace("--", "-");
    }
    format!("towpath-{mark}/{}:{}", name.trim_matches('-'), artifact.hex())
}

/// Who asks for an image. A registry that the document does not name is asked by nobody.
fn credentials(order: &ContainerOrder, reference: &str) -> Option<(Credentials, Option<Secret>)> {
    let registry = order.docker.registry_of(reference)?;
    let credentials =
        Credentials { username: registry.username.clone(), password: registry.password.clone() };
    Some((credentials, order.passwords.get(&registry.password).cloned()))
}
