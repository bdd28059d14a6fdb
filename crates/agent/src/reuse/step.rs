//! Steps that say what they read: left out where nothing of it has changed, and now and then run anyway.

use std::collections::BTreeMap;
use std::fs;

use towpath_api::agent::StepOrder;
use towpath_api::reuse::{Find, FoundEntry, NewEntry, Saved, Verified};
use towpath_artifact::Snapshot;
use towpath_artifact::snapshot::{Seen, look, restore, together};
use towpath_model::Digest;
use towpath_model::reuse::{EntryKind, Part, StepInputs, is_sampled};

use super::{LIMITS, Say, Session, canonical, part, platform, short};
use crate::executor::chain;

/// How many input files are named one by one in a key, to say which of them changed.
const MAX_NAMED_FILES: usize = 300;

/// How many differing outputs are named.
const MAX_DIFFERENCES: usize = 20;

/// A Step that runs, and whose outputs are kept when it has passed.
pub(super) struct Remembered {
    index: u32,
    key: String,
    parts: Vec<Part>,
    /// What it wrote to `$TOWPATH_OUTPUT` is what comes on top of this.
    outputs_before: BTreeMap<String, String>,
    /// The entry that it is compared with, where it need not have run.
    compare: Option<FoundEntry>,
}

impl Session<'_> {
    /// Leaves a Step out if nothing that it reads has changed: restores its outputs, and gives what it wrote to
    /// `$TOWPATH_OUTPUT`. `None` where it has to run.
    pub(crate) fn before_step(
        &mut self,
        index: u32,
        step: &StepOrder,
        outputs: &BTreeMap<String, String>,
        say: &mut Say<'_>,
    ) -> Option<BTreeMap<String, String>> {
        self.step = None;
        let inputs = step.inputs.as_ref().filter(|_| self.reuse.order.resume.is_none())?;
        let (key, parts) = match self.step_key(step, inputs, outputs) {
            Ok(key) => key,
            Err(why) => {
                say(&format!("step `{}` runs: its inputs cannot be read: {why}", step.name));
                return None;
            }
        };
        let find = Find {
            fence: 0,
            kind: EntryKind::Step,
            space: self.step_space(step),
            key: key.clone(),
            parts: parts.clone(),
            restore: Vec::new(),
            step: Some(index),
        };
        let mut remembered = Remembered { index, key, parts, outputs_before: outputs.clone(), compare: None };
        match self.reuse.depot.find(find) {
            Ok(found) => match found.entry {
                Some(entry) if is_sampled(self.draw(index), inputs.verify) => {
                    say(&format!(
                        "step `{}` runs though its inputs are those of {}, to compare its outputs",
                        step.name, entry.by
                    ));
                    remembered.compare = Some(entry);
                }
                Some(entry) => match self.restore_outputs(inputs, &entry) {
                    Ok(files) => {
                        say(&format!(
                            "step `{}` was left out: nothing that it reads has changed since {}; {files} files of its outputs restored",
                            step.name, entry.by
                        ));
                        return Some(entry.outputs);
                    }
                    Err(why) => {
                        say(&format!("step `{}` runs: its outputs cannot be restored: {why}", step.name))
                    }
                },
                None => say(&format!("step `{}` runs: {}", step.name, found.why)),
            },
            Err(why) => say(&format!("step `{}` runs: {why}", step.name)),
        }
        self.step = Some(remembered);
        None
    }

    /// Keeps or compares what a Step made that says what it reads.
    pub(super) fn remember_step(
        &mut self,
        step: &StepOrder,
        outputs: &BTreeMap<String, String>,
        say: &mut Say<'_>,
    ) {
        let (Some(remembered), Some(inputs)) = (self.step.take(), step.inputs.as_ref()) else { return };
        let name = &step.name;
        if let Err(why) = self.keep_step(step, remembered, inputs, outputs, say) {
            say(&format!("the outputs of step `{name}` were not kept: {why}"));
        }
    }

    fn keep_step(
        &self,
        step: &StepOrder,
        remembered: Remembered,
        inputs: &StepInputs,
        outputs: &BTreeMap<String, String>,
        say: &mut Say<'_>,
    ) -> Result<(), String> {
        let Remembered { index, key, parts, outputs_before, compare } = remembered;
        // A step that changes what it reads would never be found again, or wrongly.
        let (again, _) = self.step_key(step, inputs, &outputs_before)?;
        if again != key {
            return Err("it changed its own inputs; name as `inputs` only what it does not write".to_owned());
        }
        let selected = self.selected(&inputs.outputs)?;
        let taken = self.take(selected, None, LIMITS).map_err(|error| chain(&error))?;
        if let Some(left_out) = taken.left_out.first() {
            return Err(format!("{left_out} cannot be kept, and without it they would not be whole"));
        }
        let snapshot = &taken.known.snapshot;
        if snapshot.entries.is_empty() && !inputs.outputs.is_empty() {
            return Err(format!("there is nothing at {}", inputs.outputs.join(", ")));
        }
        let written: BTreeMap<String, String> = outputs
            .iter()
            .filter(|(name, value)| outputs_before.get(*name) != Some(value))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if written.values().any(|value| self.masker.finds(value.as_bytes())) {
            return Err("a secret is in what it wrote to $TOWPATH_OUTPUT".to_owned());
        }
        if let Some(entry) = compare {
            self.compare(step, index, &entry, snapshot, &written, say);
            return Ok(());
        }
        let digest = snapshot.store(&self.reuse.store).map_err(|error| chain(&error))?;
        let entry = NewEntry {
            fence: 0,
            kind: EntryKind::Step,
            space: self.step_space(step),
            key,
            parts,
            snapshot: digest,
            outputs: written,
            step: Some(index),
        };
        match self.reuse.depot.save(entry, &self.reuse.store)? {
            Saved::Saved { .. } => Ok(()),
            Saved::Missing { .. } => Err("their bytes went missing while they were sent".to_owned()),
            Saved::Refused { reason } => Err(reason),
        }
    }

    fn compare(
        &self,
        step: &StepOrder,
        index: u32,
        entry: &FoundEntry,
        now: &Snapshot,
        written: &BTreeMap<String, String>,
        say: &mut Say<'_>,
    ) {
        let fetched = self.reuse.depot.fetch(entry.snapshot, &self.reuse.store);
        let before = fetched
            .and_then(|()| Snapshot::load(entry.snapshot, &self.reuse.store).map_err(|error| chain(&error)));
        let before = match before {
            Ok(before) => before,
            Err(why) => {
                say(&format!("the outputs of step `{}` could not be compared: {why}", step.name));
                return;
            }
        };
        let mut differences = before.differences(now, MAX_DIFFERENCES);
        let names = entry.outputs.keys().chain(written.keys()).collect::<std::collections::BTreeSet<_>>();
        let changed = names.into_iter().filter(|name| entry.outputs.get(*name) != written.get(*name));
        differences.extend(changed.map(|name| format!("output {name}")));
        if differences.is_empty() {
            say(&format!("step `{}` made the same outputs as in {}", step.name, entry.by));
        } else {
            say(&format!(
                "step `{}` is not deterministic: with the same inputs it made other outputs than in {}: {}",
                step.name,
                entry.by,
                differences.join(", ")
            ));
        }
        self.reuse.depot.verified(Verified { fence: 0, entry: entry.id.clone(), step: index, differences });
    }

    /// Entries of another Step, machine or confinement are never found.
    fn step_space(&self, step: &StepOrder) -> String {
        let image = serde_json::json!(self.attempt.containers.image).to_string();
        let image = short(Digest::of(image.as_bytes()));
        format!("{} {} {image} {}", platform(), self.attempt.isolation.name(), step.name)
    }

    fn step_key(
        &self,
        step: &StepOrder,
        inputs: &StepInputs,
        outputs: &BTreeMap<String, String>,
    ) -> Result<(String, Vec<Part>), String> {
        let seen = look(self.attempt.directory, &inputs.files).map_err(|error| chain(&error))?;
        let script = serde_json::json!([step.run, step.shell, step.directory, inputs.outputs]);
        let mut parts = vec![part("script", short(Digest::of(script.to_string().as_bytes())))];
        let mut whole =
            vec![script.to_string().into_bytes(), together(&seen).as_raw().to_vec(), canonical(outputs)];
        for name in &inputs.env {
            let value = self.value(step, name);
            let shown = value
                .as_ref()
                .map_or_else(|| "not set".to_owned(), |value| short(Digest::of(value.as_bytes())));
            parts.push(part(format!("env {name}"), shown));
            whole.push(serde_json::json!([name, value]).to_string().into_bytes());
        }
        if !outputs.is_empty() {
            parts.push(part("outputs of earlier steps", short(Digest::of(&canonical(outputs)))));
        }
        if seen.len() <= MAX_NAMED_FILES {
            parts.extend(
                seen.iter().map(|Seen { path, digest }| part(path.display().to_string(), short(*digest))),
            );
        } else {
            parts.push(part("files", short(together(&seen))));
        }
        let digests: Vec<u8> = whole.iter().flat_map(|bytes| *Digest::of(bytes).as_raw()).collect();
        Ok((Digest::of(&digests).hex(), parts))
    }

    /// Puts the outputs where they belong; what stood there before goes, so that exactly they are there.
    fn restore_outputs(&self, inputs: &StepInputs, entry: &FoundEntry) -> Result<u64, String> {
        self.reuse.depot.fetch(entry.snapshot, &self.reuse.store)?;
        let snapshot = Snapshot::load(entry.snapshot, &self.reuse.store).map_err(|error| chain(&error))?;
        for (root, paths) in self.selected(&inputs.outputs)? {
            for path in paths {
                let full = root.path.join(&path);
                let is_directory = fs::symlink_metadata(&full).is_ok_and(|metadata| metadata.is_dir());
                let removed = if is_directory { fs::remove_dir_all(&full) } else { fs::remove_file(&full) };
                removed.map_err(|error| format!("{} cannot be replaced: {error}", path.display()))?;
            }
        }
        restore(&snapshot, &self.reuse.store, &self.roots(), LIMITS).map_err(|error| chain(&error))?;
        Ok(snapshot.files())
    }

    /// A number that is spread evenly, and the same when the Attempt is looked at again.
    fn draw(&self, index: u32) -> u64 {
        let digest = Digest::of(format!("verify {} {index}", self.attempt.id).as_bytes());
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&digest.as_raw()[..8]);
        u64::from_le_bytes(bytes)
    }
}
