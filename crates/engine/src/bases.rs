//! What the Jobs of a Run that have `paths` are compared with: their last verdicts on its ref, and what has changed since.

use std::collections::BTreeMap;

use towpath_model::owed::{self, Base, Bases};
use towpath_model::run::Run;
use towpath_store::core::verdicts;

use crate::{Engine, EngineError, git};

impl Engine {
    /// Finds the bases of a Run. Without one, a Job runs.
    ///
    /// # Errors
    /// When the database or git cannot be asked: then it is tried again, since to guess would leave work undone or
    /// do all of it.
    pub(crate) async fn bases(&self, run: &Run) -> Result<Bases, EngineError> {
        let mut bases = Bases::new();
        let jobs = run.pipeline.iter().flat_map(|pipeline| &pipeline.jobs);
        let repository = git::repository(&self.0.parts.repositories, &run.project);
        // Jobs share few commits, and each difference costs a process.
        let mut known: BTreeMap<String, Option<Vec<String>>> = BTreeMap::new();
        for job in jobs.filter(|job| !job.paths.is_empty()) {
            let mut reader = self.db().reader().await?;
            let verdict = verdicts::find(&mut reader, &run.project, &run.cause.reference, &job.name).await?;
            drop(reader);
            let Some(verdict) = verdict else { continue };
            // What is taken over must still be there to be sealed.
            if !verdict.artifacts.values().all(|manifest| self.content().contains(*manifest)) {
                continue;
            }
            if !known.contains_key(&verdict.commit) {
                let changed = repository.changed_paths(&verdict.commit, &run.cause.commit).await?;
                known.insert(verdict.commit.clone(), changed);
            }
            let changed = known.get(&verdict.commit).and_then(Option::as_deref);
            let change = owed::change(&job.paths, changed);
            bases.insert(job.name.clone(), Base { verdict, change });
        }
        Ok(bases)
    }
}
