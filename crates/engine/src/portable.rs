//! Runs as files: what `towpath export` takes along.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::sync::Arc;

use serde::Serialize;
use towpath_api::rest::{self, RunEvidence};
use towpath_artifact::portable::{Head, MAX_DOCUMENT, What, Writer};
use towpath_artifact::{ContentStore, LogStore};
use towpath_model::{AttemptId, ProjectName};

use crate::error::blocking;
use crate::{Engine, EngineError, Person};

/// The most bytes of one log: of a longer one its end is taken, where it says how it went.
const MAX_LOG: u64 = 32 << 20;

/// How much of a log is read at once.
const CHUNK: usize = 256 * 1024;

/// What goes into a file.
struct Load {
    run: rest::Run,
    evidence: RunEvidence,
    /// Job, number and identity of each Attempt.
    attempts: Vec<(String, u32, AttemptId)>,
}

impl Engine {
    /// A Run that has ended, as one file: see [`towpath_artifact::portable`].
    ///
    /// # Errors
    /// When there is none, it goes on, or it cannot be read.
    pub async fn export_run(
        &self,
        project: &ProjectName,
        number: u64,
        person: &Person,
    ) -> Result<File, EngineError> {
        let run = self.find_run(project, number).await?;
        if !run.state.is_final() {
            return Err(EngineError::refused(format!(
                "run {project}#{number} goes on ({}); it can be exported when it has ended",
                run.state.word()
            )));
        }
        let of_job = |job: &towpath_model::run::JobRun| {
            let name = job.name.to_string();
            let attempt =
                move |attempt: &towpath_model::attempt::Attempt| (name.clone(), attempt.number, attempt.id);
            job.attempts.iter().map(attempt).collect::<Vec<_>>()
        };
        let attempts = run.jobs.iter().flat_map(of_job).collect();
        let evidence = self.evidence(project, number).await?;
        let load = Load { run: (&run).into(), evidence, attempts };
        let head = Head {
            towpath: env!("CARGO_PKG_VERSION").to_owned(),
            instance: self.public_url().to_owned(),
            exported_at: self.now(),
            exported_by: person.login.clone(),
            project: project.to_string(),
            run: number,
        };
        let (content, logs) = (self.content().clone(), Arc::clone(self.logs()));
        let failed = move |error| EngineError::internal(format!("exporting run {number}"), error);
        blocking("exporting a run", move || write(&load, head, &content, &logs).map_err(failed)).await
    }
}

fn write(load: &Load, head: Head, content: &ContentStore, logs: &LogStore) -> io::Result<File> {
    let mut writer = Writer::new(content.root())?;
    let Load { run, evidence, attempts } = load;
    add_document(&mut writer, What::Run, run)?;
    add_document(&mut writer, What::Evidence, evidence)?;
    for (job, attempt, id) in attempts {
        add_log(&mut writer, logs, What::Log { job: job.clone(), attempt: *attempt }, *id)?;
    }
    for report in &evidence.reports {
        let path = report.name.clone();
        add_report(
            &mut writer,
            content,
            What::Report { job: report.job.clone(), attempt: report.attempt, path },
            report,
        )?;
    }
    writer.finish(head)
}

fn add_document(writer: &mut Writer, what: What, document: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(document)?;
    if text.len() as u64 > MAX_DOCUMENT {
        let kind = if what == What::Run { "the run's description" } else { "what its reports say" };
        return Err(io::Error::other(format!("{kind} is larger than {MAX_DOCUMENT} bytes")));
    }
    writer.add(what, &mut text.as_slice())
}

fn add_log(writer: &mut Writer, logs: &LogStore, what: What, id: AttemptId) -> io::Result<()> {
    let What::Log { job, attempt } = &what else { return Ok(()) };
    let length = logs.length(id).map_err(io::Error::other)?;
    let skipped = length.saturating_sub(writer.room().min(MAX_LOG));
    if writer.room() == 0 && length > 0 {
        writer.leave_out(format!("the log of {job}, attempt {attempt}: {length} bytes"));
        return Ok(());
    }
    let mut log = LogReader { logs, id, offset: skipped, end: length, chunk: Cursor::default() };
    if skipped > 0 {
        let begun = log.begin_a_line()?;
        writer
            .leave_out(format!("the first {begun} of {length} bytes of the log of {job}, attempt {attempt}"));
    }
    writer.add(what, &mut log)
}

fn add_report(
    writer: &mut Writer,
    content: &ContentStore,
    what: What,
    report: &rest::ReportRow,
) -> io::Result<()> {
    // One file may be read as two kinds of report.
    if writer.has(&what) {
        return Ok(());
    }
    let named = format!("the report {} of {}, attempt {}", report.name, report.job, report.attempt);
    if report.bytes > writer.room() {
        writer.leave_out(format!("{named}: {} bytes", report.bytes));
        return Ok(());
    }
    let digest = report.digest.parse().map_err(io::Error::other)?;
    match content.open_verified(digest) {
        Ok(mut reader) => writer.add(what, &mut reader),
        Err(towpath_artifact::ContentError::Missing { .. }) => {
            writer.leave_out(format!("{named}: its bytes are not kept any more"));
            Ok(())
        }
        Err(error) => Err(io::Error::other(error)),
    }
}

/// A log from an offset on.
struct LogReader<'a> {
    logs: &'a LogStore,
    id: AttemptId,
    offset: u64,
    /// Where it ends; what comes later is not looked at.
    end: u64,
    chunk: Cursor<Vec<u8>>,
}

impl LogReader<'_> {
    /// Goes on to the beginning of a line, and says which byte that is.
    fn begin_a_line(&mut self) -> io::Result<u64> {
        self.fill()?;
        let start = self.offset - self.chunk.get_ref().len() as u64;
        let begun = self.chunk.get_ref().iter().position(|byte| *byte == b'\n').map_or(0, |at| at as u64 + 1);
        self.chunk.set_position(begun);
        Ok(start + begun)
    }

    fn fill(&mut self) -> io::Result<()> {
        let left = usize::try_from(self.end.saturating_sub(self.offset)).unwrap_or(CHUNK).min(CHUNK);
        let bytes = self.logs.read(self.id, self.offset, left).map_err(io::Error::other)?;
        self.offset += bytes.len() as u64;
        self.chunk = Cursor::new(bytes);
        Ok(())
    }
}

impl Read for LogReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.position() == self.chunk.get_ref().len() as u64 && self.offset < self.end {
            self.fill()?;
        }
        self.chunk.read(buffer)
    }
}
