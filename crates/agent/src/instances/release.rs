//! From the digest of a Release to files on this host, with every check on the way.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use towpath_api::agent::InstanceOrder;
use towpath_api::containers::ContainerOrder;
use towpath_artifact::release::MAX_BYTES;
use towpath_artifact::{ContentStore, Limits, PublicKeyRoot, oci, verify_release};
use towpath_model::Digest;
use towpath_model::pipeline::{Origin, Workload};

use super::containers::Containers;
use super::spec::{ContainerSpec, InstanceSpec};
use crate::executor::chain;
use crate::process::{CallError, Client};

/// The longest envelope: the Release in base64, and its signature.
const MAX_ENVELOPE: u64 = 4 << 20;

/// The longest manifest of an Artifact.
const MAX_MANIFEST: u64 = 1 << 20;

/// Why an Instance cannot be started.
#[derive(Debug)]
pub(super) enum Obstacle {
    /// It may pass: the server or the network is away.
    Passing(String),
    /// It will not: the Release is not what it should be.
    Lasting(String),
}

impl From<CallError> for Obstacle {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unreachable(_) => Self::Passing(error.to_string()),
            CallError::Fenced(_) | CallError::Refused { .. } | CallError::Content(_) => {
                Self::Lasting(error.to_string())
            }
        }
    }
}

/// A Workload of a Release whose signature was checked, ready to be started.
#[derive(Debug)]
pub(super) struct Installed {
    pub(super) workload: Workload,
    pub(super) artifact: Digest,
    pub(super) place: Place,
}

/// Where it is started.
#[derive(Debug)]
pub(super) enum Place {
    /// In the directory that it was unpacked into.
    Directory(PathBuf),
    /// In a container of its image.
    Container(Box<ContainerSpec>),
}

/// Where Releases are brought to.
#[derive(Debug)]
pub(super) struct Installer {
    pub(super) client: Client,
    pub(super) store: ContentStore,
    pub(super) artifacts: PathBuf,
    /// The agent's own copy of the release public key. The server cannot replace it.
    pub(super) release_key: PathBuf,
    /// One at a time: Instances of one Release share the unpacked files.
    pub(super) unpacking: tokio::sync::Mutex<()>,
    pub(super) containers: Arc<Containers>,
}

impl Installer {
    pub(super) async fn install(&self, order: &InstanceOrder) -> Result<Installed, Obstacle> {
        self.client.fetch(order.release, &self.store).await?;
        self.client.fetch(order.signature, &self.store).await?;
        let (workload, artifact) = self.verified_workload(order)?;
        let place = match (&order.container, self.is_image(&workload, artifact).await?) {
            (Some(containers), true) => self.in_container(order, containers, &workload, artifact).await?,
            (None, true) => {
                return Err(Obstacle::Lasting(format!(
                    "workload `{}` is an image, and its environment starts processes on hosts; `target: {{ docker: {{}} }}` in \
                     its document starts containers",
                    workload.name
                )));
            }
            // Where an Environment has just become one of containers, what ran before is the way back.
            (Some(_) | None, false) if workload.command.is_some() => {
                Place::Directory(self.unpacked(artifact).await?)
            }
            (Some(_) | None, false) => {
                return Err(Obstacle::Lasting(format!(
                    "workload `{}` is made of files, and says with no `command` how they are started",
                    workload.name
                )));
            }
        };
        Ok(Installed { workload, artifact, place })
    }

    /// Whether a Workload is an image; its Artifact's manifest says so.
    async fn is_image(&self, workload: &Workload, artifact: Digest) -> Result<bool, Obstacle> {
        if workload.image.is_some() {
            return Ok(true);
        }
        self.client.fetch(artifact, &self.store).await?;
        let manifest = towpath_artifact::image::image_manifest(artifact, &self.store);
        let unreadable =
            |error| Obstacle::Lasting(format!("artifact {}: {}", artifact.short(), chain(&error)));
        Ok(manifest.map_err(unreadable)?.is_some())
    }

    async fn in_container(
        &self,
        order: &InstanceOrder,
        containers: &ContainerOrder,
        workload: &Workload,
        artifact: Digest,
    ) -> Result<Place, Obstacle> {
        if workload.image.is_none() {
            fetch_artifact(&self.client, artifact, &self.store).await?;
        }
        let own = Arc::clone(&self.containers);
        let (order, containers, workload) = (order.clone(), containers.clone(), workload.clone());
        let installed =
            tokio::task::spawn_blocking(move || own.install(&order, &containers, &workload, artifact));
        let failed = |error| Obstacle::Passing(format!("bringing the image failed: {error}"));
        Ok(Place::Container(Box::new(installed.await.map_err(failed)??)))
    }

    /// Brings the image of an Instance again, which the engine has lost.
    pub(super) async fn bring_again(&self, spec: &InstanceSpec) -> Result<(), Obstacle> {
        let Some(container) = spec.container.clone() else { return Ok(()) };
        if container.reference.is_none() {
            fetch_artifact(&self.client, spec.artifact, &self.store).await?;
        }
        let (own, spec) = (Arc::clone(&self.containers), spec.clone());
        let brought = tokio::task::spawn_blocking(move || own.bring_again(&spec, &container));
        brought.await.map_err(|error| Obstacle::Passing(format!("bringing the image failed: {error}")))?
    }

    fn verified_workload(&self, order: &InstanceOrder) -> Result<(Workload, Digest), Obstacle> {
        let InstanceOrder { release, signature, environment, workload, .. } = order;
        let lasting = |error: &dyn std::error::Error| {
            Obstacle::Lasting(format!("release {}: {}", release.short(), chain(error)))
        };
        let manifest = self.store.read(*release, MAX_BYTES as u64).map_err(|error| lasting(&error))?;
        let envelope = self.store.read(*signature, MAX_ENVELOPE).map_err(|error| lasting(&error))?;
        let key = fs::read_to_string(&self.release_key).map_err(|error| {
            Obstacle::Lasting(format!(
                "this agent's release key {} cannot be read: {error}",
                self.release_key.display()
            ))
        })?;
        let key = PublicKeyRoot::from_pem(&key).map_err(|error| lasting(&error))?;
        let verified = verify_release(&manifest, &envelope, &key).map_err(|error| lasting(&error))?;
        let manifest = verified.manifest();
        if manifest.project != environment.project {
            let found = &manifest.project;
            return Err(Obstacle::Lasting(format!(
                "release {} is of project `{found}`, not of `{environment}`",
                release.short()
            )));
        }
        let found = manifest.workloads.iter().find(|found| found.name == *workload);
        let Some(found) = found else {
            return Err(Obstacle::Lasting(format!(
                "release {} has no workload `{workload}`",
                release.short()
            )));
        };
        let artifact = match found.origin() {
            Origin::Artifact(name) => manifest.artifacts.get(name).copied().ok_or_else(|| {
                Obstacle::Lasting(format!("release {} has no artifact `{name}`", release.short()))
            })?,
            Origin::Image(image) => {
                let digest = image.rsplit_once('@').and_then(|(_, digest)| digest.parse().ok());
                digest
                    .ok_or_else(|| Obstacle::Lasting(format!("image {image} is not named by its digest")))?
            }
        };
        Ok((found.clone(), artifact))
    }

    async fn unpacked(&self, artifact: Digest) -> Result<PathBuf, Obstacle> {
        let _one_at_a_time = self.unpacking.lock().await;
        let directory = self.artifacts.join(artifact.hex());
        if directory.is_dir() {
            return Ok(directory);
        }
        fetch_artifact(&self.client, artifact, &self.store).await?;
        let (store, target) = (self.store.clone(), directory.clone());
        let done = tokio::task::spawn_blocking(move || unpack_whole(&store, artifact, &target)).await;
        match done {
            Ok(Ok(())) => Ok(directory),
            Ok(Err(reason)) => Err(Obstacle::Lasting(reason)),
            Err(error) => Err(Obstacle::Lasting(format!("unpacking {} failed: {error}", artifact.short()))),
        }
    }
}

/// Fetches the manifest of an Artifact and every layer that it names.
pub(crate) async fn fetch_artifact(
    client: &Client,
    artifact: Digest,
    store: &ContentStore,
) -> Result<(), CallError> {
    let content = |error: &dyn std::error::Error| {
        CallError::Content(format!("artifact {}: {}", artifact.short(), chain(error)))
    };
    client.fetch(artifact, store).await?;
    let bytes = store.read(artifact, MAX_MANIFEST).map_err(|error| content(&error))?;
    // An image has a configuration besides its layers.
    let image = towpath_artifact::image::image_manifest(artifact, store).map_err(|error| content(&error))?;
    let layers = match image {
        Some(image) => image.layers.into_iter().chain([image.config]).collect(),
        None => serde_json::from_slice::<oci::Manifest>(&bytes).map_err(|error| content(&error))?.layers,
    };
    for layer in layers {
        client.fetch(layer.digest, store).await?;
    }
    Ok(())
}

/// Unpacks beside the target and moves it there when it is whole and read-only.
fn unpack_whole(store: &ContentStore, artifact: Digest, target: &Path) -> Result<(), String> {
    let failed = |error: &dyn std::error::Error| {
        format!("artifact {} cannot be unpacked: {}", artifact.short(), chain(error))
    };
    let parent = target.parent().unwrap_or(target);
    fs::create_dir_all(parent).map_err(|error| failed(&error))?;
    let partial =
        tempfile::Builder::new().prefix("partial-").tempdir_in(parent).map_err(|error| failed(&error))?;
    towpath_artifact::unpack(artifact, store, partial.path(), Limits::default())
        .map_err(|error| failed(&error))?;
    make_read_only(partial.path()).map_err(|error| failed(&error))?;
    // A directory that may not be written to may still be renamed within its parent by its owner,
    // but not by all kernels: its own permissions come last.
    let partial = partial.keep();
    fs::rename(&partial, target).map_err(|error| failed(&error))?;
    fs::set_permissions(target, fs::Permissions::from_mode(0o555)).map_err(|error| failed(&error))
}

/// Takes the right to write from everything below `directory`.
fn make_read_only(directory: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            continue;
        }
        if kind.is_dir() {
            make_read_only(&entry.path())?;
        }
        let mode = entry.metadata()?.permissions().mode() & 0o555;
        fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Deletes what [`unpack_whole`] made.
pub(super) fn remove_read_only(directory: &Path) -> std::io::Result<()> {
    fn open(directory: &Path) -> std::io::Result<()> {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open(&entry.path())?;
            }
        }
        Ok(())
    }
    open(directory)?;
    fs::remove_dir_all(directory)
}
