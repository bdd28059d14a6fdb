//! The corpus of hostile archives against the extractors of this crate.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use towpath_artifact::oci::{self, Layer, Manifest};
use towpath_artifact::snapshot::{Entry, Extent, Kind, Pack, Root, restore};
use towpath_artifact::testing::{self, LARGEST, MOST};
use towpath_artifact::{ContentStore, Descriptor, Limits, Snapshot, canonical, extract_tree, unpack};
use towpath_model::Digest;

use crate::chain;
use crate::snapshots::zstd_of;

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

/// The same trees as snapshots, which caches, outputs of Steps and workspaces are. What a snapshot has no word for is refused.
#[test]
fn snapshots() {
    let restored = |tar: &[u8], into: &Path| {
        let directory = tempfile::tempdir().unwrap();
        let store = ContentStore::open_replaceable(directory.path()).unwrap();
        let snapshot = as_snapshot(tar, &store)?;
        let manifest = snapshot.store(&store).map_err(|error| chain(&error))?;
        let snapshot = Snapshot::load(manifest, &store).map_err(|error| chain(&error))?;
        let roots = [Root { name: "work", path: into.to_owned() }];
        restore(&snapshot, &store, &roots, LIMITS).map(|_| ()).map_err(|error| chain(&error))
    };
    testing::check(restored).unwrap();
}

fn as_snapshot(tar: &[u8], store: &ContentStore) -> Result<Snapshot, String> {
    let said = |error: std::io::Error| error.to_string();
    let mut snapshot = Snapshot::default();
    for entry in tar::Archive::new(tar).entries().map_err(said)? {
        let mut entry = entry.map_err(said)?;
        let name = entry.path_bytes().into_owned();
        let path = if name.starts_with(b"/") { name } else { [b"work/", name.as_slice()].concat() };
        let header = entry.header();
        let (kind, mode) = (header.entry_type(), header.mode().map_err(said)? as u16);
        let kind = if kind.is_dir() {
            Kind::Directory
        } else if kind.is_symlink() {
            let target = entry.link_name_bytes().unwrap_or_default().into_owned();
            Kind::Link(OsString::from_vec(target).into())
        } else if kind.is_file() {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(said)?;
            let extents = bytes.chunks(1 << 20).map(|part| {
                let stored = zstd_of(part);
                let digest = store.put(&stored).unwrap();
                snapshot.packs.push(Pack { digest, stored: stored.len() as u32, raw: part.len() as u32 });
                Extent { pack: snapshot.packs.len() as u32 - 1, offset: 0, length: part.len() as u32 }
            });
            let extents = extents.collect();
            Kind::File { size: bytes.len() as u64, digest: Digest::of(&bytes), extents }
        } else {
            return Err("a snapshot has no word for it".to_owned());
        };
        snapshot.entries.push(Entry { path: OsString::from_vec(path).into(), mode, mtime: 0, kind });
    }
    snapshot.entries.sort_by(|left, right| left.path.as_os_str().cmp(right.path.as_os_str()));
    Ok(snapshot)
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
