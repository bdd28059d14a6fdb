//! What the cells of a Job with `parallel` are told of how long tests took.

use towpath_model::split::{MAX_TIMES, TestTime, write};
use towpath_model::{Digest, JobName, ProjectName};
use towpath_store::core::{splits, tests};

use crate::unit::Unit;
use crate::{Engine, EngineError};

impl Engine {
    /// The times that the tests of a Job are divided by, as a file.
    ///
    /// Written down by whichever cell is first: a cell that starts later, or again, must come to the same shares,
    /// though others have sent their reports by then.
    pub(crate) async fn test_times(
        &self,
        unit: &mut Unit<'_>,
        project: &ProjectName,
        run: u64,
        job: &JobName,
    ) -> Result<Option<Digest>, EngineError> {
        if let Some(known) = splits::find(&mut unit.tx, project, run, job).await? {
            return Ok(known);
        }
        let times = tests::times(&mut unit.tx, project, MAX_TIMES).await?;
        let times: Vec<TestTime> =
            times.into_iter().map(|(id, file, ms)| TestTime { id, file, ms }).collect();
        let digest = match times.is_empty() {
            true => None,
            false => Some(self.content().put(write(&times).as_bytes())?),
        };
        splits::put(&mut unit.tx, project, run, job, digest).await?;
        Ok(digest)
    }
}
