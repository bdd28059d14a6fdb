//! What the demo claims, each checked while it happens. One that does not hold fails the demo.

use std::path::Path;

use anyhow::{Context as _, ensure};
use towpath_api::rest::Promotion;
use towpath_api::rest::TimelineEntry;
use towpath_artifact::release::MAX_BYTES;
use towpath_artifact::{ContentStore, PublicKeyRoot, verify_release};
use towpath_model::Digest;

use super::people::Person;

/// The longest signature envelope.
const MAX_ENVELOPE: u64 = 1 << 20;

/// What was claimed so far, and whether it held.
#[derive(Default)]
pub(super) struct Claims {
    all: Vec<(bool, String)>,
}

impl Claims {
    /// Notes a claim.
    pub(super) fn note(&mut self, held: bool, text: impl Into<String>) {
        self.all.push((held, text.into()));
    }

    /// Notes a claim that was checked by something that may itself fail.
    pub(super) fn note_result(&mut self, result: anyhow::Result<String>, what: &str) {
        match result {
            Ok(text) => self.note(true, text),
            Err(error) => self.note(false, format!("{what}: {error:#}")),
        }
    }

    /// Every claim, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (bool, &str)> {
        self.all.iter().map(|(held, text)| (*held, text.as_str()))
    }

    /// Whether all of them held.
    pub(super) fn hold(&self) -> bool {
        self.all.iter().all(|(held, _)| *held)
    }
}

/// Checks the signature of a Release against the server's public key, from the stored bytes.
pub(super) fn signature(data: &Path, promotion: &Promotion) -> anyhow::Result<()> {
    let store = ContentStore::open(&data.join("blobs"))?;
    let key = data.join("keys/release.pub");
    let pem = std::fs::read_to_string(&key).with_context(|| format!("failed to read {}", key.display()))?;
    let manifest = store.read(promotion.revision.release.parse()?, MAX_BYTES as u64)?;
    let envelope = store.read(promotion.revision.signature.parse()?, MAX_ENVELOPE)?;
    let verified = verify_release(&manifest, &envelope, &PublicKeyRoot::from_pem(&pem)?)?;
    ensure!(verified.manifest().commit.to_string() == promotion.revision.commit, "another commit was signed");
    Ok(())
}

/// Checks that Promotions of one version carried the same bytes.
pub(super) fn same_release(promotions: &[&Promotion]) -> anyhow::Result<Digest> {
    let first = &promotions.first().context("nothing was promoted")?.revision.release;
    for promotion in promotions {
        let release = &promotion.revision.release;
        ensure!(release == first, "{} carried {release}, not {first}", promotion.title);
    }
    Ok(first.parse()?)
}

/// Checks that the timeline has every number from 1 on, and returns how many.
pub(super) async fn gap_free(admin: &Person) -> anyhow::Result<usize> {
    let entries: Vec<TimelineEntry> = admin.api.all("/api/v1/timeline").await?;
    let newest_first = (1..=entries.len()).rev();
    for (entry, expected) in entries.iter().zip(newest_first) {
        ensure!(usize::try_from(entry.sequence) == Ok(expected), "number {expected} is missing");
    }
    Ok(entries.len())
}
