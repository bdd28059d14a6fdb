//! Keyed caches: restored before the first Step, saved after the last.

use std::collections::BTreeMap;
use std::time::Instant;

use towpath_api::agent::AttemptOutcome;
use towpath_api::reuse::{CacheOrder, Find, KeyOrder, NewEntry, Saved};
use towpath_artifact::Snapshot;
use towpath_artifact::snapshot::{Known, look, restore, together};
use towpath_model::Digest;
use towpath_model::reuse::{EntryKind, Fit, Part, Save};

use super::{LIMITS, Say, Session, bytes, part, platform, short};
use crate::executor::chain;

/// The longest key: a part may be a text of any length.
const MAX_KEY: usize = 512;

/// How many files of a key are named one by one, to say which of them changed.
const MAX_NAMED_FILES: usize = 20;

/// A cache as it was found.
pub(super) struct Looked {
    order: CacheOrder,
    space: String,
    key: String,
    parts: Vec<Part>,
    /// Whether an entry has the key already.
    exact: bool,
    known: Option<Known>,
}

impl Session<'_> {
    pub(super) fn restore_caches(&mut self, say: &mut Say<'_>) {
        for order in &self.reuse.order.caches {
            let looked = match self.keyed(order) {
                Ok(looked) => looked,
                Err(why) => {
                    say(&format!("a cache of {} is not used: {why}", order.paths.join(", ")));
                    continue;
                }
            };
            let looked = self.restore_cache(looked, say);
            self.caches.push(looked);
        }
    }

    /// Tells the key from what is in the workspace now: the source, and the Artifacts of earlier Jobs.
    fn keyed(&self, order: &CacheOrder) -> Result<Looked, String> {
        let (mut words, mut parts) = (Vec::new(), Vec::new());
        for order in &order.key {
            match order {
                KeyOrder::Text(text) => {
                    parts.push(part(format!("text {}", words.len() + 1), text.as_str()));
                    words.push(text.clone());
                }
                KeyOrder::Files(patterns) => {
                    let seen = look(self.attempt.directory, patterns).map_err(|error| chain(&error))?;
                    if seen.is_empty() {
                        return Err(format!("no file matches {} of its key", patterns.join(", ")));
                    }
                    if seen.len() <= MAX_NAMED_FILES {
                        parts.extend(
                            seen.iter().map(|seen| part(seen.path.display().to_string(), short(seen.digest))),
                        );
                    } else {
                        parts.push(part(patterns.join(", "), short(together(&seen))));
                    }
                    words.push(short(together(&seen)));
                }
            }
        }
        let key = words.join("-");
        if key.len() > MAX_KEY {
            return Err(format!("its key is longer than {MAX_KEY} bytes"));
        }
        let space = format!("{} {}", platform(), Digest::of(order.paths.join("\n").as_bytes()).short());
        Ok(Looked { order: order.clone(), space, key, parts, exact: false, known: None })
    }

    fn restore_cache(&self, mut looked: Looked, say: &mut Say<'_>) -> Looked {
        let begun = Instant::now();
        let find = Find {
            fence: 0,
            kind: EntryKind::Cache,
            space: looked.space.clone(),
            key: looked.key.clone(),
            parts: looked.parts.clone(),
            restore: looked.order.restore.clone(),
            step: None,
        };
        let found = match self.reuse.depot.find(find) {
            Ok(found) => found,
            Err(why) => {
                say(&format!("cache `{}` is not used: {why}", looked.key));
                return looked;
            }
        };
        let Some(entry) = found.entry else {
            say(&format!("cache `{}` missed: {}", looked.key, found.why));
            return looked;
        };
        let fetched = self.reuse.depot.fetch(entry.snapshot, &self.reuse.store);
        let restored = fetched.and_then(|()| {
            let snapshot =
                Snapshot::load(entry.snapshot, &self.reuse.store).map_err(|error| chain(&error))?;
            restore(&snapshot, &self.reuse.store, &self.roots(), LIMITS).map_err(|error| chain(&error))
        });
        match restored {
            Ok(known) => {
                let how = match entry.fit {
                    Fit::Exact => "restored".to_owned(),
                    Fit::Prefix => format!("restored from the older `{}` ({})", entry.key, found.why),
                };
                say(&format!(
                    "cache `{}` {how}: {} files, {}, saved by {}, in {:.1} s",
                    looked.key,
                    known.snapshot.files(),
                    bytes(known.snapshot.bytes()),
                    entry.by,
                    begun.elapsed().as_secs_f64()
                ));
                looked.exact = entry.fit == Fit::Exact;
                looked.known = Some(known);
            }
            Err(why) => say(&format!("cache `{}` was found and cannot be restored: {why}", looked.key)),
        }
        looked
    }

    pub(super) fn save_caches(&mut self, outcome: AttemptOutcome, say: &mut Say<'_>) {
        for looked in std::mem::take(&mut self.caches) {
            let wanted = match (looked.order.save, outcome) {
                (Save::Never, _) | (_, AttemptOutcome::Cancelled | AttemptOutcome::Errored) => false,
                (Save::OnSuccess, _) => outcome == AttemptOutcome::Passed,
                (Save::Always, _) => true,
            };
            // Under the same key is the same content, or the key is wrong: the first one stays.
            if wanted && !looked.exact {
                let key = looked.key.clone();
                if let Err(why) = self.save_cache(looked, say) {
                    say(&format!("cache `{key}` was not saved: {why}"));
                }
            }
        }
    }

    fn save_cache(&self, looked: Looked, say: &mut Say<'_>) -> Result<(), String> {
        let begun = Instant::now();
        let Looked { order, space, key, parts, exact: _, known } = looked;
        let selected = self.selected(&order.paths)?;
        let taken = self.take(selected, known.as_ref(), LIMITS).map_err(|error| chain(&error))?;
        for left_out in &taken.left_out {
            say(&format!("cache `{key}` leaves out {left_out}"));
        }
        let snapshot = &taken.known.snapshot;
        if snapshot.entries.is_empty() {
            return Err(format!("there is nothing at {}", order.paths.join(", ")));
        }
        let digest = snapshot.store(&self.reuse.store).map_err(|error| chain(&error))?;
        let entry = NewEntry {
            fence: 0,
            kind: EntryKind::Cache,
            space,
            key: key.clone(),
            parts,
            snapshot: digest,
            outputs: BTreeMap::new(),
            step: None,
        };
        match self.reuse.depot.save(entry, &self.reuse.store)? {
            Saved::Saved { .. } => {
                say(&format!(
                    "cache `{key}` saved: {} files, {}, {} packed, in {:.1} s",
                    snapshot.files(),
                    bytes(snapshot.bytes()),
                    bytes(snapshot.stored()),
                    begun.elapsed().as_secs_f64()
                ));
                Ok(())
            }
            Saved::Missing { .. } => Err("its bytes went missing while they were sent".to_owned()),
            Saved::Refused { reason } => Err(reason),
        }
    }
}
