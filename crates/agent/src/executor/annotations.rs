//! Collects what Steps say of places in the source: in `$TOWPATH_ANNOTATIONS`, and as commands in their log.
//!
//! Nothing is understood here. What a Step wrote is masked, bounded, and handed on; the server reads it.

use std::io::Read as _;
use std::path::Path;

use super::mask::Masker;
use super::{chain, outputs};

/// The most bytes that one Step may write, and the most of all Steps together.
const OF_STEP: u64 = 256 * 1024;
const OF_ALL: usize = 1 << 20;

/// Room that is kept for lines of the log, however much is in the files.
const LONGEST: usize = 4096;

/// What was said so far.
#[derive(Debug, Default)]
pub(super) struct Noted {
    bytes: Vec<u8>,
    /// The line that says which Step speaks, until it does.
    step: Vec<u8>,
}

impl Noted {
    /// Says which Step the lines after this are of.
    pub(super) fn begin_step(&mut self, step: &str) {
        self.step = format!("{}\n", serde_json::json!({ "source": step })).into_bytes();
    }

    /// Looks at a line of the log, which is masked.
    pub(super) fn line(&mut self, text: &str) {
        if towpath_report::may_annotate(text) && text.len() <= LONGEST {
            self.add(format!("{text}\n").as_bytes());
        }
    }

    /// Takes what a Step wrote: whole lines, as far as they fit.
    ///
    /// # Errors
    /// In words, where not all of it was taken.
    pub(super) fn read(&mut self, file: &Path, masker: &Masker) -> Result<(), String> {
        let file = match outputs::open(file) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                return Err(format!("what the step wrote to $TOWPATH_ANNOTATIONS cannot be read: {error}"));
            }
        };
        let mut bytes = Vec::new();
        let read = file.take(OF_STEP + 1).read_to_end(&mut bytes);
        read.map_err(|error| {
            format!("what the step wrote to $TOWPATH_ANNOTATIONS cannot be read: {}", chain(&error))
        })?;
        if bytes.is_empty() {
            return Ok(());
        }
        let whole = bytes.len() as u64 <= OF_STEP;
        if !whole {
            // A line that was cut says something else.
            let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            bytes.truncate(end);
        } else if bytes.last() != Some(&b'\n') {
            bytes.push(b'\n');
        }
        let fits = self.add(&masker.mask(&bytes));
        if whole && fits {
            return Ok(());
        }
        Err(format!(
            "not all annotations were taken: a step may write {OF_STEP} bytes to $TOWPATH_ANNOTATIONS, and all steps {OF_ALL}"
        ))
    }

    /// Hands it on.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    fn add(&mut self, lines: &[u8]) -> bool {
        if self.bytes.len() + self.step.len() + lines.len() > OF_ALL {
            return false;
        }
        self.bytes.append(&mut self.step);
        self.bytes.extend_from_slice(lines);
        true
    }
}

/// Says in a few lines what Steps said, for whoever has no page to look at.
pub(crate) fn say(annotations: &[u8], mut notice: impl FnMut(&str)) {
    const SHOWN: usize = 20;
    let Ok(towpath_report::Report::Annotations(said)) =
        towpath_report::read(towpath_report::Kind::Annotations, annotations)
    else {
        return;
    };
    for finding in said.list.iter().take(SHOWN) {
        let place = match (&finding.file, finding.line) {
            (Some(file), Some(line)) => format!(" {file}:{line}"),
            (Some(file), None) => format!(" {file}"),
            (None, _) => String::new(),
        };
        notice(&format!("{}{place}: {}", finding.level.word(), finding.message.replace('\n', " ")));
    }
    if said.list.len() > SHOWN {
        notice(&format!("and {} more annotations", said.list.len() - SHOWN));
    }
    if let Some(problem) = said.problem {
        notice(&format!("annotations: {problem}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_files_and_commands_masked_and_bounded() {
        let masker = Masker::new(["hunter2hunter2"]);
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut noted = Noted::default();
        noted.begin_step("quiet");
        noted.read(file.path(), &masker).unwrap();
        noted.begin_step("lint");
        noted.line("::error file=a,line=1::one");
        noted.line("just a line");
        std::fs::write(file.path(), "{\"message\":\"the key is hunter2hunter2\"}").unwrap();
        noted.read(file.path(), &masker).unwrap();
        let text = String::from_utf8(noted.take()).unwrap();
        let expected =
            "{\"source\":\"lint\"}\n::error file=a,line=1::one\n{\"message\":\"the key is ****\"}\n";
        assert_eq!(text, expected);

        std::fs::write(file.path(), "{\"message\":\"m\"}\n".repeat(40_000)).unwrap();
        assert!(noted.read(file.path(), &masker).unwrap_err().contains("262144 bytes"));
        let taken = noted.take();
        assert!(taken.len() as u64 <= OF_STEP && taken.ends_with(b"}\n"), "{}", taken.len());
        std::fs::remove_file(file.path()).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", file.path()).unwrap();
        assert!(noted.read(file.path(), &masker).is_err(), "a link was followed");
        assert_eq!(noted.read(Path::new("/nonexistent"), &masker), Ok(()));
    }
}
