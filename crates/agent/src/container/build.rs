//! Builds an image from a Dockerfile through the engine, and takes it into the content store.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use towpath_api::agent::AttemptOutcome;
use towpath_api::containers::ImageOrder;
use towpath_artifact::{BlobSink, ContentStore, image as oci};
use towpath_model::container::{Image, ImageBuild, ImageUsed, Pull, is_pinned};
use towpath_model::{ArtifactName, Digest};

use super::engine::{Engine, EngineError, encoded, text};
use super::http::{Body, Wait};
use super::image;
use super::instance_image::transfer;
use super::room::{ContainerHost, Refusal};
use super::{context, dockerfile};
use crate::executor::chain;

/// How long the engine may take to save or load an image.
const TRANSFER: Duration = Duration::from_secs(10 * 60);

/// The longest line that an engine says while it builds.
const LONGEST_LINE: u64 = 1 << 20;

/// How many lines of a build are kept.
const MOST_LINES: usize = 20_000;

/// The largest image that is taken in, before compression.
const LARGEST_IMAGE: u64 = 64 << 30;

/// An image that is to be built.
pub(crate) struct Build<'a> {
    /// Whose layers may serve: the Project, and the trust class of the Run.
    pub(crate) owner: &'a str,
    pub(crate) artifact: &'a ArtifactName,
    pub(crate) order: &'a ImageOrder,
    /// Where the Project lives in the workspace.
    pub(crate) directory: &'a Path,
    /// A directory for what is large and short-lived.
    pub(crate) scratch: &'a Path,
    pub(crate) network: bool,
    /// Holds layers of earlier builds.
    pub(crate) store: &'a ContentStore,
    pub(crate) wait: Wait<'a>,
    /// Whether the engine is one person's own, where the file may name images; elsewhere a name could be another Project's.
    pub(crate) names: bool,
}

/// What was built.
pub(crate) struct Built {
    pub(crate) manifest: Digest,
    pub(crate) images: Vec<ImageUsed>,
}

impl Build<'_> {
    /// Builds it; the manifest is the last blob that `sink` gets.
    pub(crate) fn run(
        &self,
        host: &ContainerHost,
        sink: &mut dyn BlobSink,
        say: &mut dyn FnMut(&str),
    ) -> Result<Built, Refusal> {
        let engine = host.engine.as_ref().map_err(|none| self.errored(&none.to_string()))?;
        let ImageBuild { context, dockerfile, args, .. } = &self.order.build;
        let root = self.within(context)?;
        let path = root.join(dockerfile);
        let source = std::fs::read_to_string(&path)
            .map_err(|error| self.failed(&format!("{} cannot be read: {error}", path.display())))?;
        let mut images = Vec::new();
        for name in dockerfile::bases(&source, args) {
            images.push(self.base(engine, &name, say)?);
        }
        let mut packed = context::pack(&root, dockerfile, self.scratch)
            .and_then(|mut packed| packed.rewind().map(|()| packed))
            .map_err(|error| {
                self.failed(&format!("the files of {} cannot be packed: {error}", root.display()))
            })?;
        let cache = self.cache_tag();
        let cached = self.load_layers(engine, &cache, say);
        say(&format!("building image `{}` with {}", self.artifact, engine.kind().word()));
        let id = self.build(engine, &mut packed, cached.then_some(&cache), say)?;
        let base = images.last().filter(|base| is_digest(&base.digest));
        let annotations = base.map(|base| {
            let name = (oci::BASE_NAME.to_owned(), base.reference.clone());
            BTreeMap::from([name, (oci::BASE_DIGEST.to_owned(), base.digest.clone())])
        });
        let manifest = self.save(engine, &id, annotations.unwrap_or_default(), sink)?;
        if self.names {
            self.name(engine, &id, say);
        }
        say(&format!("image `{}` is {manifest}", self.artifact));
        Ok(Built { manifest, images })
    }

    /// The context, which a link must not lead out of the workspace.
    fn within(&self, context: &str) -> Result<PathBuf, Refusal> {
        let plain = Path::new(context)
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        let root =
            self.directory.canonicalize().and_then(|root| Ok((root.join(context).canonicalize()?, root)));
        match root {
            Ok((inner, root)) if plain && inner.starts_with(&root) => Ok(inner),
            Ok(_) => Err(self.failed(&format!("its context `{context}` leads out of the workspace"))),
            Err(error) => Err(self.failed(&format!("its context `{context}` cannot be read: {error}"))),
        }
    }

    /// Fetches an image that the Dockerfile begins with, so that the bytes that it is are known.
    fn base(&self, engine: &Engine, name: &str, say: &mut dyn FnMut(&str)) -> Result<ImageUsed, Refusal> {
        let image = Image { name: name.to_owned(), pull: Pull::IfMissing, user: None, credentials: None };
        let resolved = image::resolve(engine, &image, None, self.wait, say).map_err(|error| {
            if error.is_cancelled() { self.cancelled() } else { self.errored(&chain(&error)) }
        })?;
        if !is_pinned(name) {
            say(&format!("image {name} is {}", resolved.digest));
        }
        let role = format!("base of {}", self.artifact);
        Ok(ImageUsed { role, reference: name.to_owned(), digest: resolved.digest })
    }

    /// The name under which the engine keeps the last build's layers.
    fn cache_tag(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let name: String = format!("{}-{}", self.owner, self.artifact).chars().map(plain).collect();
        format!("towpath-layers/{}:latest", name.trim_matches('-').replace("--", "-"))
    }

    /// Gives the engine the layers of the last Release, unless it built that itself. Says whether there are any.
    fn load_layers(&self, engine: &Engine, tag: &str, say: &mut dyn FnMut(&str)) -> bool {
        let here = image::inspect(engine, tag, self.wait).ok().flatten();
        let Some(manifest) = self.order.layers else { return here.is_some() };
        let last = oci::image_manifest(manifest, self.store).ok().flatten();
        let Some(last) = last else { return here.is_some() };
        if here.is_some_and(|here| here.id() == last.config.digest.to_string()) {
            return true;
        }
        let wait = self.wait.at_most(TRANSFER);
        let loaded = transfer(engine, manifest, self.store, self.scratch, tag, wait);
        match &loaded {
            Ok(()) => say("layers of the last release are here"),
            // Slower, and as right.
            Err(why) => say(&format!("layers of the last release cannot be used: {why}")),
        }
        loaded.is_ok()
    }

    fn build(
        &self,
        engine: &Engine,
        packed: &mut File,
        cache: Option<&String>,
        say: &mut dyn FnMut(&str),
    ) -> Result<String, Refusal> {
        let ImageBuild { dockerfile, target, args, .. } = &self.order.build;
        let mut query = vec![
            ("dockerfile", dockerfile.clone()),
            ("t", self.cache_tag()),
            ("buildargs", json!(args).to_string()),
            ("rm", "true".to_owned()),
            ("forcerm", "true".to_owned()),
            // Podman keeps layers only where it is asked to.
            ("layers", "true".to_owned()),
        ];
        query.extend(target.iter().map(|target| ("target", target.clone())));
        query.extend(cache.map(|cache| ("cachefrom", json!([cache]).to_string())));
        if !self.network {
            query.push(("networkmode", "none".to_owned()));
        }
        let query: Vec<String> =
            query.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let path = format!("/build?{}", query.join("&"));
        let answer = engine.open("build an image", "POST", &path, Vec::new(), Body::Tar(packed), self.wait);
        let answer = answer.map_err(|error| self.refused(error))?;
        let mut lines = BufReader::new(answer);
        let mut line = Vec::new();
        let mut id = None;
        let mut left = MOST_LINES;
        loop {
            line.clear();
            let read = io::Read::take(&mut lines, LONGEST_LINE).read_until(b'\n', &mut line);
            if read.map_err(|error| self.refused(engine.unreachable(error)))? == 0 {
                break;
            }
            let Ok(said) = serde_json::from_slice::<Value>(&line) else { continue };
            for printed in text(&said["stream"]).lines().filter(|printed| !printed.trim().is_empty()) {
                match left {
                    0 => continue,
                    1 => say("  … more of the build's output is left out …"),
                    _ => say(&format!("  {printed}")),
                }
                left -= 1;
            }
            if let Some(error) = said["error"].as_str() {
                return Err(self.failed(error.trim()));
            }
            id = said["aux"]["ID"].as_str().map(str::to_owned).or(id);
        }
        // Podman names it in words only.
        let found = match id {
            Some(id) => Some(id),
            None => image::inspect(engine, &self.cache_tag(), self.wait)
                .map_err(|error| self.refused(error))?
                .map(|found| found.id().to_owned()),
        };
        found.ok_or_else(|| self.errored("the engine ended without an image and without a reason"))
    }

    /// Takes the image out of the engine.
    fn save(
        &self,
        engine: &Engine,
        id: &str,
        annotations: BTreeMap<String, String>,
        sink: &mut dyn BlobSink,
    ) -> Result<Digest, Refusal> {
        let path = format!("/images/{id}/get");
        let answer =
            engine.open("save an image", "GET", &path, Vec::new(), Body::None, self.wait.at_most(TRANSFER));
        let mut answer = answer.map_err(|error| self.refused(error))?.take(LARGEST_IMAGE);
        let mut archive =
            tempfile::tempfile_in(self.scratch).map_err(|error| self.errored(&chain(&error)))?;
        io::copy(&mut answer, &mut archive).map_err(|error| self.refused(engine.unreachable(error)))?;
        oci::pack_image(&mut archive, annotations, sink).map_err(|error| self.errored(&chain(&error)))
    }

    /// Gives it the names that the file asks for.
    fn name(&self, engine: &Engine, id: &str, say: &mut dyn FnMut(&str)) {
        for tag in &self.order.build.tags {
            let (repository, tag_of) = image::repository_and_tag(tag);
            let path = format!("/images/{id}/tag?repo={}&tag={}", encoded(repository), encoded(tag_of));
            if let Err(error) = engine.post("name an image", &path, None, self.wait) {
                say(&format!("the image could not be named {tag}: {error}"));
            }
        }
    }

    fn refused(&self, error: EngineError) -> Refusal {
        match error {
            error if error.is_cancelled() => self.cancelled(),
            EngineError::Refused { status: 400, message, .. } => self.failed(&message),
            error => self.errored(&error.to_string()),
        }
    }

    fn failed(&self, why: &str) -> Refusal {
        Refusal {
            outcome: AttemptOutcome::Failed,
            message: format!("image `{}` was not built: {why}", self.artifact),
        }
    }

    fn errored(&self, why: &str) -> Refusal {
        Refusal { outcome: AttemptOutcome::Errored, ..self.failed(why) }
    }

    fn cancelled(&self) -> Refusal {
        Refusal { outcome: AttemptOutcome::Cancelled, ..self.failed("the attempt was cancelled") }
    }
}

fn is_digest(text: &str) -> bool {
    text.parse::<Digest>().is_ok()
}
