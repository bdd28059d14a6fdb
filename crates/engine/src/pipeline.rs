//! The pipeline at a commit: its file, and the files that it includes.

use towpath_config::load::{Includer, Loader, Wanted, not_shared};
use towpath_config::migrations::read_migrations;
use towpath_config::{Colour, PIPELINE_FILE, diagnostic, has_errors};
use towpath_model::pattern::fits;
use towpath_model::run::Trust;
use towpath_model::{Digest, ProjectName};
use towpath_store::core::projects::{self, Project};

use crate::git::{self, PipelineFile, Repository};
use crate::push::Checked;
use crate::{Engine, EngineError};

impl Engine {
    /// Reads the pipeline file at a commit, with all that it includes and the Run's trust gives it.
    pub(crate) async fn read_pipeline(
        &self,
        repository: &Repository,
        project: &Project,
        commit: &str,
        trust: Trust,
    ) -> Result<Checked, EngineError> {
        let path = within(project, PIPELINE_FILE);
        let bytes = match repository.pipeline_file(commit, &path).await? {
            PipelineFile::Bytes(bytes) => bytes,
            PipelineFile::Missing => {
                return Ok(Err(vec![format!("{path} is not in this commit; `towpath init` writes one")]));
            }
            PipelineFile::NotAFile(what) => {
                return Ok(Err(vec![format!("{path} is {what}, not a plain file")]));
            }
        };
        // What a stranger's Step is given, its author reads: files that others share with this Project are not for them.
        let includer = match trust {
            Trust::Protected | Trust::Internal => Includer::Project(project.name.clone()),
            Trust::Fork => Includer::Outsider(project.name.clone()),
        };
        let mut loader = Loader::new(&path, &bytes, includer);
        while let Some(wanted) = loader.wanted() {
            let file = match &wanted.project {
                None => own_file(repository, commit, &within(project, &wanted.path)).await?,
                Some((owner, pinned)) => self.file_of(owner, pinned, &wanted).await?,
            };
            loader.take(file);
        }
        let (mut pipeline, mut diagnostics) = loader.finish();
        for database in pipeline.iter_mut().flat_map(|pipeline| &mut pipeline.databases) {
            let directory = within(project, &database.migrations);
            match repository.files_in(commit, &directory).await? {
                Ok(files) => diagnostics.extend(read_migrations(database, &files)),
                Err(why) => {
                    return Ok(Err(vec![format!("the migrations of database `{}`: {why}", database.name)]));
                }
            }
        }
        match pipeline {
            Some(pipeline) if !has_errors(&diagnostics) => Ok(Ok((pipeline, Digest::of(&bytes)))),
            _ => Ok(Err(diagnostics.iter().map(|d| diagnostic::render(d, Colour::No)).collect())),
        }
    }

    /// A file of another Project, at a commit that its protected refs have.
    ///
    /// What anybody could push to another ref of that Project is not what its owners stand for. That the file
    /// is shared with the Project that asks, the file itself says, and the loader checks.
    async fn file_of(
        &self,
        owner: &ProjectName,
        commit: &str,
        wanted: &Wanted,
    ) -> Result<Result<Vec<u8>, String>, EngineError> {
        let mut reader = self.db().reader().await?;
        let owner = projects::find(&mut reader, owner).await?;
        drop(reader);
        let Some(owner) = owner else { return Ok(Err(not_shared(wanted))) };
        let repository = git::repository(&self.0.parts.repositories, &owner.name);
        let refs = repository.refs_with(commit).await?;
        if !refs.iter().any(|name| owner.protected_refs.iter().any(|pattern| fits(pattern, name))) {
            return Ok(Err(not_shared(wanted)));
        }
        match repository.pipeline_file(commit, &wanted.path).await? {
            PipelineFile::Bytes(bytes) => Ok(Ok(bytes)),
            // Whether there is such a file is nobody's business with whom it is not shared.
            PipelineFile::Missing | PipelineFile::NotAFile(_) => Ok(Err(not_shared(wanted))),
        }
    }
}

/// A file of the Run's own commit.
async fn own_file(
    repository: &Repository,
    commit: &str,
    path: &str,
) -> Result<Result<Vec<u8>, String>, EngineError> {
    Ok(match repository.pipeline_file(commit, path).await? {
        PipelineFile::Bytes(bytes) => Ok(bytes),
        PipelineFile::Missing => Err(format!("{path} is not in this commit")),
        PipelineFile::NotAFile(what) => Err(format!("{path} is {what}, not a plain file")),
    })
}

/// A path of the Project as one of its repository.
fn within(project: &Project, path: &str) -> String {
    if project.directory.is_empty() { path.to_owned() } else { format!("{}/{path}", project.directory) }
}
