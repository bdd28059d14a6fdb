//! Runs that other servers exported: they are looked at here, and do nothing here.
//!
//! A file is checked whole before anything of it is kept. What is kept is the file; it is a Run of no aggregate, so that no
//! Release, no statistic, no verdict of a Job and no search can ever meet it.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};

use towpath_api::rest::{ImportOrigin, ImportedDetail, ImportedLog, ImportedRun, Run, RunEvidence};
use towpath_artifact::portable::{self, MAX_DOCUMENT, MAX_FILE, Manifest, Opened, Shelved, What};
use towpath_artifact::{ContentError, ContentStore};
use towpath_model::timeline::Entry;
use towpath_model::{Digest, ProjectName};
use towpath_store::core::imported::{self, Imported};
use towpath_store::core::{Connection, counters, projects};

use crate::error::{blocking, chain};
use crate::{Engine, EngineError, Person};

/// The most imported Runs of one Project, and the most bytes of all of their files.
const MAX_IMPORTED: u64 = 200;
const MAX_HELD: u64 = 4 << 30;

/// As many Jobs and `needs` as a pipeline file may have, and as many Attempts as a file has room for logs of.
const MAX_JOBS: usize = 1000;
const MAX_NEEDS: usize = 20_000;
const MAX_ATTEMPTS: usize = portable::MAX_MEMBERS;
const MAX_STEPS: usize = 20_000;

/// The most lines about load and contract tests.
const MAX_LINES: usize = 2000;

/// The most bytes of what a list shows of a Run.
const MAX_ORIGIN: usize = 64 << 10;

/// A file that was taken in.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// The Run.
    pub run: ImportedRun,
    /// Whether it was here before; nothing was changed then.
    pub known: bool,
}

/// What a whole file came to.
struct Examined {
    digest: Digest,
    bytes: u64,
    origin: ImportOrigin,
}

impl Engine {
    /// A file without a name in which to collect what is sent.
    ///
    /// # Errors
    /// When none can be made.
    pub fn import_spool(&self) -> Result<File, EngineError> {
        let made = tempfile::tempfile_in(self.0.imports.root());
        made.map_err(|error| EngineError::internal("making a file for what is imported", error))
    }

    /// Takes in the Run of a file: checks every byte and every bound, keeps the file and lists it.
    ///
    /// # Errors
    /// When something of the file is not as it must be, or the Project has as many as it may.
    pub async fn import_run(
        &self,
        project: &ProjectName,
        file: File,
        person: &Person,
    ) -> Result<Taken, EngineError> {
        if projects::find(&mut *self.db().reader().await?, project).await?.is_none() {
            return Err(EngineError::not_found(format!("project {project}")));
        }
        // Looked at again when it is written down; here so that nothing is kept that has no room.
        room(&mut *self.db().reader().await?, project).await?;
        // What another one removes meanwhile may be this very file.
        let _taking_in = self.0.sweeping.read().await;
        let store = self.0.imports.clone();
        let examined = blocking("importing a run", move || take(file, &store)).await?;
        let Examined { digest, bytes, origin } = examined;
        let mut unit = self.begin().await?;
        if let Some(known) = imported::of_file(&mut unit.tx, project, digest).await? {
            return Ok(Taken { run: shown(known)?, known: true });
        }
        room(&mut unit.tx, project).await?;
        let number = counters::grow(&mut unit.tx, &format!("imported:{project}")).await?;
        let body = serde_json::to_string(&origin)
            .map_err(|error| EngineError::internal("describing an imported run", error))?;
        let row = Imported {
            project: project.clone(),
            number,
            digest,
            bytes,
            at: unit.now,
            by: person.login.clone(),
            body,
        };
        imported::insert(&mut unit.tx, &row).await?;
        let from = format!("{}#{} of {}", origin.project, origin.run, origin.instance);
        let text = format!("{} imported {from} into {project} as imported run {number}", person.login);
        let entry = Entry::new("run-imported", person.actor(), text).fact("file", digest).fact("from", from);
        unit.record(Some(project), None, &format!("project:{project}"), entry).await?;
        unit.commit().await?;
        Ok(Taken { run: shown(row)?, known: false })
    }

    /// Those of a Project, newest first, `limit` at most; with `below`, only those with a smaller number.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn imported_runs(
        &self,
        project: &ProjectName,
        below: Option<u64>,
        limit: u32,
    ) -> Result<Vec<ImportedRun>, EngineError> {
        let rows = imported::page(&mut *self.db().reader().await?, project, below, limit).await?;
        rows.into_iter().map(shown).collect()
    }

    /// One of them, with all that its file says.
    ///
    /// # Errors
    /// When there is none, or its file was damaged.
    pub async fn imported_run(
        &self,
        project: &ProjectName,
        number: u64,
    ) -> Result<ImportedDetail, EngineError> {
        let imported = self.find_imported(project, number).await?;
        let store = self.0.imports.clone();
        blocking("reading an imported run", move || {
            let shelved = shelved(&store, imported.digest)?;
            let (run, evidence) = documents(&shelved.manifest, |what| document(&shelved, what))
                .map_err(EngineError::invalid)?;
            let log = |member: &portable::Member| match &member.what {
                What::Log { job, attempt } => Some(ImportedLog {
                    job: job.clone(),
                    attempt: *attempt,
                    bytes: member.bytes,
                    digest: member.digest.to_string(),
                }),
                What::Run | What::Evidence | What::Report { .. } => None,
            };
            Ok::<_, EngineError>(ImportedDetail {
                imported: shown(imported)?,
                run,
                evidence,
                logs: shelved.manifest.members.iter().filter_map(log).collect(),
                left_out: shelved.manifest.left_out.clone(),
            })
        })
        .await
    }

    /// The log of an Attempt of an imported Run.
    ///
    /// # Errors
    /// When there is none, or it was damaged.
    pub async fn imported_log(
        &self,
        project: &ProjectName,
        number: u64,
        job: &str,
        attempt: u32,
    ) -> Result<Vec<u8>, EngineError> {
        let imported = self.find_imported(project, number).await?;
        let store = self.0.imports.clone();
        let what = What::Log { job: job.to_owned(), attempt };
        let missing = format!("a log of {job}, attempt {attempt}, in imported run {number} of {project}");
        blocking("reading an imported log", move || {
            let shelved = shelved(&store, imported.digest)?;
            let member = shelved.manifest.find(&what).ok_or_else(|| EngineError::not_found(missing))?;
            shelved.read(member).map_err(|error| EngineError::internal("reading an imported log", error))
        })
        .await
    }

    /// The file of an imported Run, as it was sent.
    ///
    /// # Errors
    /// When there is none.
    pub async fn imported_file(&self, project: &ProjectName, number: u64) -> Result<File, EngineError> {
        let imported = self.find_imported(project, number).await?;
        opened(&self.0.imports, imported.digest)
    }

    /// Forgets an imported Run, and its file where no other Project has it too.
    ///
    /// # Errors
    /// When there is none.
    pub async fn remove_imported(
        &self,
        project: &ProjectName,
        number: u64,
        person: &Person,
    ) -> Result<(), EngineError> {
        let _removing = self.0.sweeping.write().await;
        let imported = self.find_imported(project, number).await?;
        let mut unit = self.begin().await?;
        let last = imported::remove(&mut unit.tx, &imported).await?;
        let text = format!("{} removed imported run {number} of {project}", person.login);
        let entry = Entry::new("imported-run-removed", person.actor(), text).fact("file", imported.digest);
        unit.record(Some(project), None, &format!("project:{project}"), entry).await?;
        unit.commit().await?;
        if last {
            self.0.imports.remove(imported.digest)?;
        }
        Ok(())
    }

    async fn find_imported(&self, project: &ProjectName, number: u64) -> Result<Imported, EngineError> {
        let found = imported::find(&mut *self.db().reader().await?, project, number).await?;
        found.ok_or_else(|| EngineError::not_found(format!("imported run {number} of {project}")))
    }
}

/// Refuses one more where a Project has as many as it may.
async fn room(db: &mut Connection, project: &ProjectName) -> Result<(), EngineError> {
    let (count, bytes) = imported::held(db, project).await?;
    if count < MAX_IMPORTED && bytes < MAX_HELD {
        return Ok(());
    }
    Err(EngineError::refused(format!(
        "{project} has {count} imported runs of {bytes} bytes already, and {MAX_IMPORTED} of {MAX_HELD} are the most; remove some \
         with `towpath imported remove`"
    )))
}

fn shown(imported: Imported) -> Result<ImportedRun, EngineError> {
    let Imported { project, number, digest, bytes, at, by, body } = imported;
    let origin = serde_json::from_str(&body).map_err(|error| {
        EngineError::internal(format!("reading imported run {number} of {project}"), error)
    })?;
    Ok(ImportedRun {
        project: project.to_string(),
        number,
        digest: digest.to_string(),
        bytes,
        imported_at: at,
        imported_by: by,
        origin,
    })
}

/// Checks a whole file, then keeps it.
fn take(mut file: File, store: &ContentStore) -> Result<Examined, EngineError> {
    let failed = |error: io::Error| EngineError::internal("importing a run", error);
    let refused = |why: &str| EngineError::invalid(format!("nothing was imported: {why}"));
    let directory = tempfile::tempdir_in(store.root()).map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let opened = portable::open(&file, directory.path()).map_err(|error| refused(&chain(&error)))?;
    let origin = examine(&opened).map_err(|why| refused(&why))?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut writer = store.writer(MAX_FILE)?;
    let bytes = io::copy(&mut file, &mut writer).map_err(failed)?;
    writer.flush().map_err(failed)?;
    Ok(Examined { digest: writer.finish(None)?, bytes, origin })
}

/// What a whole file says of where it comes from, where all of it can be shown.
fn examine(opened: &Opened) -> Result<ImportOrigin, String> {
    let manifest = &opened.manifest;
    let (run, evidence) = documents(manifest, |what| opened.document(what))?;
    if (run.project.as_str(), run.number) != (manifest.project.as_str(), manifest.run) {
        return Err("its manifest and its run are of different runs".to_owned());
    }
    if !run.state.is_final() {
        return Err(format!("its run goes on ({}), and no such run is ever exported", run.state.word()));
    }
    bounded(&run, evidence.as_ref())?;
    for member in &manifest.members {
        let (job, attempt) = match &member.what {
            What::Run | What::Evidence => continue,
            What::Log { job, attempt } | What::Report { job, attempt, .. } => (job, *attempt),
        };
        let known = run
            .jobs
            .iter()
            .any(|known| known.name == *job && known.attempts.iter().any(|known| known.number == attempt));
        if !known {
            return Err(format!("`{}` is of an attempt that its run does not have", member.name));
        }
        if matches!(member.what, What::Log { .. }) && member.bytes > MAX_DOCUMENT {
            return Err(format!("one of its logs has more than {MAX_DOCUMENT} bytes"));
        }
    }
    let started =
        run.jobs.iter().flat_map(|job| &job.attempts).filter_map(|attempt| attempt.started_at).min();
    let Manifest { instance, towpath, project, exported_at, exported_by, .. } = manifest;
    let origin = ImportOrigin {
        instance: instance.clone(),
        towpath: towpath.clone(),
        project: project.clone(),
        run: manifest.run,
        exported_at: *exported_at,
        exported_by: exported_by.clone(),
        cause: run.cause,
        state: run.state,
        reason: run.reason,
        started_at: started,
        finished_at: run.finished_at,
    };
    match serde_json::to_vec(&origin) {
        Ok(text) if text.len() <= MAX_ORIGIN => Ok(origin),
        Ok(_) => Err(format!("what it says of its origin and cause is longer than {MAX_ORIGIN} bytes")),
        Err(error) => Err(error.to_string()),
    }
}

/// Refuses a Run that no server makes: a page draws all of it.
fn bounded(run: &Run, evidence: Option<&RunEvidence>) -> Result<(), String> {
    let attempts = || run.jobs.iter().flat_map(|job| &job.attempts);
    let lines = evidence.map_or(0, |evidence| evidence.load.len() + evidence.contracts.len());
    let bounds = [
        ("jobs", run.jobs.len(), MAX_JOBS),
        ("needs", run.jobs.iter().map(|job| job.needs.len()).sum(), MAX_NEEDS),
        ("attempts", attempts().count(), MAX_ATTEMPTS),
        ("steps", attempts().map(|attempt| attempt.steps.len()).sum(), MAX_STEPS),
        ("load and contract tests", lines, MAX_LINES),
    ];
    for (what, found, limit) in bounds {
        if found > limit {
            return Err(format!("its run has {found} {what}, and none has more than {limit}"));
        }
    }
    let mut names: Vec<&str> = run.jobs.iter().map(|job| job.name.as_str()).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("its run has a job twice".to_owned());
    }
    Ok(())
}

/// Reads `run.json`, and `evidence.json` where there is one.
fn documents(
    manifest: &Manifest,
    read: impl Fn(&What) -> io::Result<Vec<u8>>,
) -> Result<(Run, Option<RunEvidence>), String> {
    let of_another = |name: &str, error: serde_json::Error| {
        format!("{name} was not understood; is it of another version of Towpath? {error}")
    };
    let bytes = read(&What::Run).map_err(|error| error.to_string())?;
    let run = serde_json::from_slice(&bytes).map_err(|error| of_another("run.json", error))?;
    let evidence = match manifest.find(&What::Evidence) {
        Some(_) => {
            let bytes = read(&What::Evidence).map_err(|error| error.to_string())?;
            Some(serde_json::from_slice(&bytes).map_err(|error| of_another("evidence.json", error))?)
        }
        None => None,
    };
    Ok((run, evidence))
}

fn opened(store: &ContentStore, digest: Digest) -> Result<File, EngineError> {
    File::open(store.path(digest)).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ContentError::Missing { digest }.into(),
        _ => EngineError::internal(format!("opening {digest}"), error),
    })
}

fn shelved(store: &ContentStore, digest: Digest) -> Result<Shelved, EngineError> {
    let damaged = |error| EngineError::internal("an imported run was damaged since", error);
    Shelved::open(opened(store, digest)?).map_err(damaged)
}

fn document(shelved: &Shelved, what: &What) -> io::Result<Vec<u8>> {
    shelved.read(shelved.manifest.find(what).ok_or(io::ErrorKind::NotFound)?)
}
