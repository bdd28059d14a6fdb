//! The corpus of hostile archives against the extractors of this crate.

use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use towpath_artifact::oci::{self, Layer, Manifest};
use towpath_artifact::testing::{self, LARGEST, MOST};
use towpath_artifact::{ContentStore, Descriptor, Limits, canonical, extract_tree, unpack};

use crate::chain;

const LIMITS: Limits = Limits { entries: MOST, bytes: LARGEST };

#[test]
fn source_trees() {
    let extract = |tar: &[u8], into: &Path| match extract_tree(tar, into, LIMITS) {
        Ok(_) => Ok(()),
        Err(error) => Err(chain(&error)),
    };
    // A source tree may hold links that lead out; what counts is that nothing is written through them.
    testing::check(extract).unwrap();
}

#[test]
fn artifacts() {
    let unpacked = |tar: &[u8], into: &Path| {
        let store = tempfile::tempdir().unwrap();
        let content = ContentStore::open(store.path()).unwrap();
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(tar).unwrap();
        let bytes = gzip.finish().unwrap();
        content.put(&bytes).unwrap();
        let Descriptor { digest, size } = Descriptor::of(&bytes);
        let layer = Layer { media_type: oci::FILES.into(), digest, size, annotations: Default::default() };
        let manifest = content.put(&canonical::to_vec(&Manifest::new(vec![layer]))).unwrap();
        unpack(manifest, &content, into, LIMITS).map(|_| ()).map_err(|error| chain(&error))
    };
    testing::check(unpacked).unwrap();
}

/// The corpus itself can fail: an extractor that believes everything is found out.
#[test]
fn a_gullible_extractor_is_found_out() {
    let gullible = |tar: &[u8], into: &Path| {
        let mut archive = tar::Archive::new(tar);
        for entry in archive.entries().map_err(|error| error.to_string())? {
            let mut entry = entry.map_err(|error| error.to_string())?;
            let path = into.join(String::from_utf8_lossy(&entry.path_bytes()).as_ref());
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(|error| error.to_string())?;
            }
            entry.set_preserve_permissions(true);
            entry.unpack(&path).map_err(|error| error.to_string())?;
        }
        Ok(())
    };
    let faults = testing::check(gullible).unwrap_err();
    for fault in
        ["parent (CVE-2025-62156): the canary outside was touched", "set-uid", "pipe: it was not refused"]
    {
        assert!(faults.contains(fault), "`{fault}` was not found:\n{faults}");
    }
}
