//! Where a pipeline's included files come from on this machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use towpath_config::file::read_pipeline_file;
use towpath_config::load::{Includer, Loader, Wanted};
use towpath_config::{Diagnostic, MAX_FILE, fix};
use towpath_model::pipeline::Pipeline;

/// Where clones of other Projects are.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct IncludeArgs {
    /// Directory with a clone of each project whose files are included, by its name.
    #[arg(long, env = "TOWPATH_INCLUDE_FROM", value_name = "DIR")]
    include_from: Option<PathBuf>,
}

impl IncludeArgs {
    /// Reads a pipeline file and all that it includes.
    pub fn load(&self, file: &Path, name: &str, bytes: &[u8]) -> (Option<Pipeline>, Vec<Diagnostic>) {
        self.loaded(file, name, bytes).finish()
    }

    /// A text of a pipeline file with the digest of each file that it includes of another project.
    pub fn pinned(&self, file: &Path, name: &str, text: &str) -> String {
        fix::write(text, self.loaded(file, name, text.as_bytes()).pins())
    }

    fn loaded(&self, file: &Path, name: &str, bytes: &[u8]) -> Loader {
        let mut loader = Loader::new(name, bytes, Includer::AsNamed);
        while let Some(wanted) = loader.wanted() {
            loader.take(self.find(file, &wanted));
        }
        loader
    }

    fn find(&self, file: &Path, wanted: &Wanted) -> Result<Vec<u8>, String> {
        let Some((project, commit)) = &wanted.project else {
            let directory = file.parent().unwrap_or(Path::new(""));
            return read_pipeline_file(&directory.join(&wanted.path)).map_err(|error| error.to_string());
        };
        let Some(directory) = &self.include_from else {
            return Err(format!(
                "`{}` belongs to project `{project}`: clone that, and name the directory with the clone by `--include-from`",
                wanted.path
            ));
        };
        let clone = directory.join(project.as_str());
        let shown = Command::new("git")
            .arg("-C")
            .arg(&clone)
            .args(["cat-file", "blob", &format!("{commit}:{}", wanted.path)])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .map_err(|error| format!("git could not be run: {error}"))?;
        if !shown.status.success() {
            return Err(format!(
                "{} has no file `{}` at {commit}; fetch there?",
                clone.display(),
                wanted.path
            ));
        }
        if shown.stdout.len() > MAX_FILE {
            return Err(format!("`{}` has more than {MAX_FILE} bytes", wanted.path));
        }
        Ok(shown.stdout)
    }
}
