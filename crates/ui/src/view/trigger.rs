//! What starts the Runs of a Project.

use jiff::Timestamp;

/// What starts Runs, on the page of a Project.
#[derive(Debug, Clone, Default)]
pub struct TriggersView {
    /// Times and other Projects.
    pub standing: Vec<StandingRow>,
    /// The repository elsewhere.
    pub source: Option<SourceRow>,
    /// The form to start a Run; `None` where the file does not allow it.
    pub start: Option<StartForm>,
}

/// A schedule, or a trigger on another Project's Releases.
#[derive(Debug, Clone)]
pub struct StandingRow {
    /// What it waits for.
    pub what: String,
    /// When it is due.
    pub next: Option<Timestamp>,
    /// What it did last, and when.
    pub last: Option<(Timestamp, String)>,
}

/// A repository elsewhere.
#[derive(Debug, Clone)]
pub struct SourceRow {
    /// Its address.
    pub url: String,
    /// How it is watched and what it is told, in words.
    pub words: Vec<String>,
    /// When it answered last.
    pub contact: Option<Timestamp>,
    /// When a webhook came last.
    pub hook: Option<Timestamp>,
    /// When it is looked at again.
    pub next: Option<Timestamp>,
    /// What is wrong with it.
    pub errors: Vec<String>,
}

/// The form to start a Run.
#[derive(Debug, Clone)]
pub struct StartForm {
    /// Where it goes.
    pub url: String,
    /// The branch that is run.
    pub branch: String,
    /// What may be said.
    pub inputs: Vec<InputField>,
    /// Why this person cannot.
    pub refused: Option<String>,
}

/// One input of the form.
#[derive(Debug, Clone)]
pub struct InputField {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// `string`, `number`, `boolean` or `choice`.
    pub kind: String,
    /// The words of a choice or a boolean.
    pub options: Vec<String>,
    /// Whether it must be said.
    pub required: bool,
    /// What it is where nobody says.
    pub default: Option<String>,
}
