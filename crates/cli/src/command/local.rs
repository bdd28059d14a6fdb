//! The files of the project that the command stands in.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use towpath_config::diagnostic::{Colour, Diagnostic, render_all, summary};
use towpath_config::dockerfile::{ContextFacts, lint_dockerfile};
use towpath_config::file::read_pipeline_file;
use towpath_config::migrations::{MAX_FILE, MAX_FILES, MigrationFile, read_migrations};
use towpath_config::{PIPELINE_FILE, check_together, parse_environments_bytes};
use towpath_model::migration::Database;
use towpath_model::pipeline::Pipeline;
use towpath_model::policy::EnvironmentDocument;

use super::include::IncludeArgs;

/// Where environment documents stand beside the pipeline file.
pub const ENVIRONMENTS: &str = ".towpath";

/// A longer Dockerfile is none.
const LONGEST_DOCKERFILE: usize = 1 << 20;

/// What the files of a project say.
#[derive(Debug)]
pub struct Local {
    /// The pipeline; absent where its file has errors.
    pub pipeline: Option<Pipeline>,
    /// The environment documents of the files that have none.
    pub documents: Vec<EnvironmentDocument>,
    /// All that is wrong.
    pub diagnostics: Vec<Diagnostic>,
}

/// Finds the directory of the pipeline file, here or above.
///
/// # Errors
/// Fails where there is none up to the root.
pub fn find_project(from: &Path) -> anyhow::Result<PathBuf> {
    let found = from.ancestors().find(|directory| directory.join(PIPELINE_FILE).symlink_metadata().is_ok());
    match found {
        Some(directory) => Ok(directory.to_owned()),
        None => bail!(
            "there is no {PIPELINE_FILE} in {} or above; run `towpath init` to write one",
            from.display()
        ),
    }
}

/// Reads the pipeline file and the environment documents of a project.
///
/// # Errors
/// Fails where a file cannot be read; what is wrong inside is a diagnostic.
pub fn read_project(directory: &Path, include: &IncludeArgs) -> anyhow::Result<Local> {
    read_files(&project_files(directory)?, include)
}

/// The pipeline file and the environment documents of a project.
///
/// # Errors
/// Fails where the directory of the documents cannot be listed.
pub fn project_files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = vec![directory.join(PIPELINE_FILE)];
    files.extend(environment_files(directory)?);
    Ok(files)
}

/// Reads files of either kind: one named `towpath.yaml` is a pipeline, any other holds environment documents
/// unless it opens like a pipeline.
///
/// # Errors
/// Fails where a file cannot be read.
pub fn read_files(files: &[PathBuf], include: &IncludeArgs) -> anyhow::Result<Local> {
    let mut local = Local { pipeline: None, documents: Vec::new(), diagnostics: Vec::new() };
    let mut filed = Vec::new();
    for file in files {
        if is_dockerfile(file) {
            let context = file.parent().unwrap_or(Path::new("."));
            let hints = lint_image(file, context);
            let hints =
                hints.with_context(|| format!("{} cannot be read as a Dockerfile", file.display()))?;
            local.diagnostics.extend(hints);
            continue;
        }
        let bytes = read_pipeline_file(file)?;
        let name = shown(file);
        if is_pipeline(file, &bytes) {
            let (mut pipeline, diagnostics) = include.load(file, &name, &bytes);
            let beside = file.parent().unwrap_or(Path::new("."));
            for database in pipeline.iter_mut().flat_map(|pipeline| &mut pipeline.databases) {
                local.diagnostics.extend(read_database(database, beside)?);
            }
            local.diagnostics.extend(pipeline.iter().flat_map(|pipeline| lint_images(pipeline, beside)));
            local.pipeline = local.pipeline.or(pipeline);
            local.diagnostics.extend(diagnostics);
        } else {
            let (documents, diagnostics) = parse_environments_bytes(&name, &bytes);
            filed.extend(documents.into_iter().map(|document| (name.clone(), document)));
            local.diagnostics.extend(diagnostics);
        }
    }
    local.diagnostics.extend(check_together(local.pipeline.as_ref(), &filed));
    local.documents.extend(filed.into_iter().map(|(_, document)| document));
    Ok(local)
}

/// Reads the migrations of a database from the working copy.
fn read_database(database: &mut Database, directory: &Path) -> anyhow::Result<Vec<Diagnostic>> {
    let directory = directory.join(&database.migrations);
    let what =
        || format!("the migrations of database {} in {} cannot be read", database.name, directory.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(&directory).with_context(what)? {
        let entry = entry.with_context(what)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let metadata = entry.metadata().with_context(what)?;
        if !metadata.is_file() || !name.ends_with(".sql") {
            continue;
        }
        if files.len() == MAX_FILES || metadata.len() > MAX_FILE as u64 {
            bail!(
                "{}: {name} is one file too many, or too long: at most {MAX_FILES} of {MAX_FILE} bytes are read",
                what()
            );
        }
        files.push(MigrationFile { bytes: fs::read(entry.path()).with_context(what)?, name });
    }
    Ok(read_migrations(database, &files))
}

/// Hints on the Dockerfiles that a pipeline builds from. One that a Step writes is not there yet.
fn lint_images(pipeline: &Pipeline, directory: &Path) -> Vec<Diagnostic> {
    let artifacts = pipeline.jobs.iter().flat_map(|job| &job.artifacts);
    let builds = artifacts.filter_map(|artifact| artifact.image.as_ref());
    let mut places: Vec<_> =
        builds.map(|build| (directory.join(&build.context), &build.dockerfile)).collect();
    places.sort();
    places.dedup();
    let hints = places.iter().filter_map(|(context, name)| lint_image(&context.join(name), context));
    hints.flatten().collect()
}

/// Hints on a Dockerfile; `None` where it cannot be read.
fn lint_image(file: &Path, context: &Path) -> Option<Vec<Diagnostic>> {
    let text = fs::read_to_string(file).ok().filter(|text| text.len() <= LONGEST_DOCKERFILE)?;
    let has_git = context.join(".git").exists();
    let ignore = fs::read_to_string(context.join(".dockerignore")).ok();
    Some(lint_dockerfile(&shown(file), &text, &ContextFacts { has_git, ignore }))
}

fn is_dockerfile(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name == "Containerfile" || name.starts_with("Dockerfile") || name.ends_with(".Dockerfile")
}

pub(super) fn is_pipeline(file: &Path, bytes: &[u8]) -> bool {
    let named = file.file_name().is_some_and(|name| name == PIPELINE_FILE);
    let text = String::from_utf8_lossy(bytes);
    let has = |key: &str| text.lines().any(|line| line.starts_with(key));
    named || ((has("jobs:") || has("stages:")) && !has("environment:"))
}

/// Environment documents beside the pipeline file, in the order of their names.
fn environment_files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let directory = directory.join(ENVIRONMENTS);
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot list {}", directory.display())),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("cannot list {}", directory.display()))?.path();
        if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A path as people see it: relative to where they stand.
pub(super) fn shown(path: &Path) -> String {
    let Ok(here) = std::env::current_dir() else { return path.display().to_string() };
    let climbs =
        here.ancestors().enumerate().find_map(|(up, ancestor)| Some((up, path.strip_prefix(ancestor).ok()?)));
    match climbs {
        // A path that shares only the root with this place is clearer in full.
        Some((up, below)) if here.ancestors().nth(up + 1).is_some() => {
            format!("{}{}", "../".repeat(up), below.display())
        }
        _ => path.display().to_string(),
    }
}

/// Prints what is wrong to standard error, with colours where it is a terminal, and how much it is.
pub fn print_diagnostics(diagnostics: &[Diagnostic]) {
    if diagnostics.is_empty() {
        return;
    }
    // The stream strips the colours where nobody would see them.
    anstream::eprint!("{}", render_all(diagnostics, Colour::Yes));
    anstream::eprintln!("{}", summary(diagnostics));
}
