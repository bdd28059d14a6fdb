//! A Step in the container of its Job.

use std::collections::BTreeMap;
use std::time::Instant;

use towpath_api::agent::{AttemptEvent, StepOrder};

use super::step::{self, StepEnd, StepError};
use super::{Attempt, Cancel, LogBound, OutputError, Sink, environment, outputs};
use crate::container::{ExecEnd, Room};

/// One Step, and where it reports to.
pub(super) struct ContainedStep<'a, 'b> {
    pub(super) attempt: &'a Attempt<'a>,
    pub(super) room: &'a Room<'a>,
    pub(super) index: u32,
    pub(super) step: &'a StepOrder,
    pub(super) deadline: Instant,
    pub(super) cancel: &'a Cancel,
    pub(super) sink: &'a dyn Sink,
    pub(super) bound: &'a mut LogBound<'b>,
}

impl ContainedStep<'_, '_> {
    /// Runs it. Every process of it is gone afterwards.
    pub(super) fn run(self, collected: &mut BTreeMap<String, String>) -> Result<StepEnd, StepError> {
        let Self { attempt, room, index, step, deadline, cancel, sink, bound } = self;
        let directory = step::directory_of(attempt.directory, step.directory.as_deref())?;
        let words = words(attempt, room, index, step)?;
        let output_file = attempt.scratch.join(format!("{index}.outputs"));
        let env = environment::in_container(attempt, step, &room.inside(&output_file), room.env());
        sink.event(AttemptEvent::StepStarted { step: index });
        bound.begin_step();
        let end = room.run(words, env, &directory, (deadline, cancel), &mut |stream, bytes| {
            bound.take(index, stream, bytes);
        });
        bound.finish_step(index);
        let end = match end? {
            // Shells and engines say 128 and the signal's number for what a signal ended.
            ExecEnd::Exited(code) => StepEnd::Exited(i32::try_from(code).unwrap_or(-1)),
            ExecEnd::OutOfMemory => StepEnd::OutOfMemory,
            ExecEnd::TimedOut => StepEnd::TimedOut,
            ExecEnd::Cancelled => StepEnd::Cancelled(rustix::process::Signal::TERM.as_raw()),
        };
        bound.take_annotations(&step::annotations_of(&output_file));
        outputs::read(&output_file, collected).map_err(|error: OutputError| StepError::Outputs(error))?;
        Ok(end)
    }
}

/// The program of a Step and its arguments, the script among them, or its file where it has to be one.
fn words(
    attempt: &Attempt<'_>,
    room: &Room<'_>,
    index: u32,
    step: &StepOrder,
) -> Result<Vec<String>, StepError> {
    let default = || vec!["sh".to_owned(), "-eu".to_owned()];
    let mut words = step.shell.clone().unwrap_or_else(default);
    if words.is_empty() {
        return Err(StepError::NoShell);
    }
    if step.shell.is_none() && step.run.len() <= step::LONGEST_ARGUMENT {
        words.extend(["-c".to_owned(), step.run.clone(), "sh".to_owned()]);
        return Ok(words);
    }
    let script = attempt.scratch.join(format!("{index}.sh"));
    super::step::write_new(&script, &step.run)
        .map_err(|source| StepError::Script { path: script.clone(), source })?;
    words.push(room.inside(&script));
    Ok(words)
}
