//! Snapshots of real directories: taken, restored, taken again, and refused.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use towpath_artifact::snapshot::{
    Entry, Extent, Kind, Known, Pack, Root, Take, Taken, expand, restore, take,
};
use towpath_artifact::{ContentStore, Limits, Snapshot, SnapshotError};
use towpath_model::Digest;

fn root(path: &Path) -> Root {
    Root { name: "work", path: path.to_owned() }
}

fn whole(path: &Path) -> Take<'static> {
    Take {
        parts: vec![(root(path), vec![PathBuf::new()])],
        known: None,
        limits: Limits::default(),
        refuse: None,
    }
}

fn store() -> (tempfile::TempDir, ContentStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = ContentStore::open_replaceable(directory.path()).unwrap();
    (directory, store)
}

/// A tree with everything that occurs: many small files, a large one, links, odd modes and names, empty things.
fn sample(at: &Path) {
    fs::create_dir_all(at.join("deep/er")).unwrap();
    fs::create_dir(at.join("empty")).unwrap();
    for number in 0..300 {
        fs::write(at.join(format!("deep/er/{number}")), format!("file {number} ").repeat(number)).unwrap();
    }
    let large: Vec<u8> =
        (0..9_000_000_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) as u8).to_le_bytes()).collect();
    fs::write(at.join("large"), large).unwrap();
    fs::write(at.join("nothing"), b"").unwrap();
    fs::write(at.join("tool"), b"#!/bin/sh\n").unwrap();
    fs::set_permissions(at.join("tool"), fs::Permissions::from_mode(0o751)).unwrap();
    fs::write(at.join("odd \u{fc} name\n"), b"odd").unwrap();
    symlink("../elsewhere", at.join("dangling")).unwrap();
    symlink("deep/er/1", at.join("link")).unwrap();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    fs::File::options().append(true).open(at.join("tool")).unwrap().set_modified(long_ago).unwrap();
    fs::set_permissions(at.join("empty"), fs::Permissions::from_mode(0o555)).unwrap();
}

#[test]
fn restores_what_was_there_to_the_nanosecond() {
    let (from, into, (_kept, store)) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), store());
    sample(from.path());
    let Taken { known, left_out, read } = take(&whole(from.path()), &store).unwrap();
    assert_eq!(left_out, Vec::<String>::new());
    assert_eq!(read, known.snapshot.bytes());
    let digest = known.snapshot.store(&store).unwrap();
    let loaded = Snapshot::load(digest, &store).unwrap();
    assert_eq!(loaded, known.snapshot);
    restore(&loaded, &store, &[root(into.path())], Limits::default()).unwrap();
    let again = take(&whole(into.path()), &store).unwrap().known.snapshot;
    // Modes, times, links, contents and packs: all of it is the same.
    assert_eq!(known.snapshot.differences(&again, 9), Vec::<String>::new());
    let times = |snapshot: &Snapshot| {
        snapshot.entries.iter().map(|entry| (entry.mode, entry.mtime)).collect::<Vec<_>>()
    };
    assert_eq!(times(&again), times(&known.snapshot));
    assert!(again == known.snapshot, "the same files lie in other packs");
    assert_eq!(fs::metadata(into.path().join("tool")).unwrap().permissions().mode() & 0o777, 0o751);
    let small = known.snapshot.packs.len();
    assert!(small < 20, "{} files lie in {small} packs", known.snapshot.files());
}

#[test]
fn reads_only_what_changed_and_finds_what_hides() {
    let (from, (_kept, store)) = (tempfile::tempdir().unwrap(), store());
    sample(from.path());
    std::thread::sleep(Duration::from_millis(50));
    let first = take(&whole(from.path()), &store).unwrap().known;
    let with = |known: &Known| take(&Take { known: Some(known), ..whole(from.path()) }, &store).unwrap();
    assert_eq!(with(&first).read, 0);
    // The same length and the same time: only the time of the change tells.
    let path = from.path().join("tool");
    let mtime = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, b"#!/bin/ls\n").unwrap();
    fs::File::options().append(true).open(&path).unwrap().set_modified(mtime).unwrap();
    let second = with(&first);
    assert_eq!(second.read, 10);
    assert_eq!(first.snapshot.differences(&second.known.snapshot, 9), ["tool"]);
    assert_ne!(first.snapshot.content(), second.known.snapshot.content());
    // Touched and moved, but the same bytes: read, and not stored again.
    fs::rename(from.path().join("large"), from.path().join("huge")).unwrap();
    let third = with(&second.known);
    assert_eq!(third.known.snapshot.packs.len(), second.known.snapshot.packs.len());
}

#[test]
fn what_was_restored_is_known_and_not_read_again() {
    let (from, into, (_kept, store)) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), store());
    sample(from.path());
    let snapshot = take(&whole(from.path()), &store).unwrap().known.snapshot;
    let known = restore(&snapshot, &store, &[root(into.path())], Limits::default()).unwrap();
    let taken = take(&Take { known: Some(&known), ..whole(into.path()) }, &store).unwrap();
    assert_eq!(taken.known.snapshot.content(), snapshot.content());
    assert!(taken.read < snapshot.bytes() || known.stats.iter().all(Option::is_none));
}

#[test]
fn leaves_files_with_a_secret_out_even_across_the_border_of_packs() {
    let (from, (_kept, store)) = (tempfile::tempdir().unwrap(), store());
    fs::write(from.path().join("plain"), b"nothing here").unwrap();
    fs::write(from.path().join(".npmrc"), b"token=hunter2hunter2\n").unwrap();
    let mut large = vec![b'x'; (4 << 20) - 5];
    large.extend_from_slice(b"hunter2hunter2 and more");
    large.extend(vec![b'y'; 1 << 20]);
    fs::write(from.path().join("large"), large).unwrap();
    let secret = b"hunter2hunter2";
    let refuse = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
    let taken = take(&Take { refuse: Some((&refuse, secret.len())), ..whole(from.path()) }, &store).unwrap();
    let names: Vec<_> =
        taken.known.snapshot.entries.iter().map(|entry| entry.path.display().to_string()).collect();
    assert_eq!(names, ["work/plain"]);
    assert_eq!(taken.left_out, [".npmrc (a secret is in it)", "large (a secret is in it)"]);
}

#[test]
fn finds_what_patterns_name_and_never_through_links() {
    let (at, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir_all(at.path().join("a/target/debug")).unwrap();
    fs::create_dir_all(at.path().join("b/target")).unwrap();
    fs::write(outside.path().join("secret"), b"x").unwrap();
    symlink(outside.path(), at.path().join("out")).unwrap();
    let found = |patterns: &[&str]| {
        let patterns: Vec<String> = patterns.iter().map(|&text| text.to_owned()).collect();
        let found = expand(at.path(), &patterns).unwrap();
        found.iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(found(&["*/target"]), ["a/target", "b/target"]);
    assert_eq!(found(&["**/target"]), ["a/target", "b/target"]);
    assert_eq!(found(&["a/**", "missing"]), ["a/target"]);
    assert_eq!(found(&["out/secret", "out/*"]), Vec::<String>::new());
    assert_eq!(found(&["out"]), ["out"]);
    assert!(expand(at.path(), &["../x".to_owned()]).is_err());
}

fn file(path: &str, extents: Vec<Extent>) -> Entry {
    let size = extents.iter().map(|extent| u64::from(extent.length)).sum();
    Entry {
        path: path.into(),
        mode: 0o644,
        mtime: 0,
        kind: Kind::File { size, digest: Digest::of(b""), extents },
    }
}

fn refused(snapshot: &Snapshot, into: &Path, store: &ContentStore) -> String {
    let decoded = Snapshot::decode(&snapshot.encode());
    let error = match decoded {
        Ok(decoded) => restore(&decoded, store, &[root(into)], Limits::default()).unwrap_err(),
        Err(error) => error,
    };
    let mut text = error.to_string();
    if let Some(cause) = std::error::Error::source(&error) {
        text = format!("{text}: {cause}");
    }
    text
}

/// Zip-slip and its kin, as for archives: nothing is written outside, whatever the manifest says.
#[test]
fn hostile_snapshots_write_nothing_outside() {
    let (place, (_kept, store)) = (tempfile::tempdir().unwrap(), store());
    let into = place.path().join("into");
    fs::create_dir(&into).unwrap();
    fs::write(place.path().join("kept"), b"kept").unwrap();
    let pack = |bytes: &[u8]| {
        let stored = zstd_of(bytes);
        let digest = store.put(&stored).unwrap();
        Pack { digest, stored: stored.len() as u32, raw: bytes.len() as u32 }
    };
    let packs = vec![pack(b"evil")];
    let all = vec![Extent { pack: 0, offset: 0, length: 4 }];
    let link = |path: &str, target: &str| Entry {
        path: path.into(),
        mode: 0o777,
        mtime: 0,
        kind: Kind::Link(target.into()),
    };
    for (entries, why) in [
        (vec![file("work/../kept", all.clone())], "is not a path below"),
        (vec![file("/elsewhere/kept", all.clone())], "is not a path below"),
        (vec![file("work", all.clone())], "is not a path below"),
        (vec![file("work/./x", all.clone())], "is not a path below"),
        (vec![file("home/x", all.clone())], "not asked for"),
        (vec![file("work/x", all.clone()), file("work/x", all.clone())], "is there twice"),
        (vec![link("work/d", ".."), file("work/d/kept", all.clone())], "lies below something"),
        (
            vec![link("work/d", ".."), link("work/d.x", "y"), file("work/d/kept", all.clone())],
            "is a link or a file",
        ),
        (vec![file("work/x", vec![Extent { pack: 1, offset: 0, length: 4 }])], "not in the packs"),
        (vec![file("work/x", vec![Extent { pack: 0, offset: 2, length: 4 }])], "not in the packs"),
        (vec![file("work/x", vec![Extent { pack: 0, offset: u32::MAX, length: 4 }])], "not in the packs"),
    ] {
        let got = refused(&Snapshot { packs: packs.clone(), entries }, &into, &store);
        assert!(got.contains(why), "{got} does not say: {why}");
    }
    // A pack that unfolds to more than it says, and one whose bytes are other ones.
    let bomb = pack(&vec![0; 1 << 20]);
    let lying = Snapshot { packs: vec![Pack { raw: 4, ..bomb }], entries: vec![file("work/x", all.clone())] };
    assert!(refused(&lying, &into, &store).contains("pack sha256:"));
    fs::write(store.path(packs[0].digest), b"other").unwrap();
    let damaged = Snapshot { packs, entries: vec![file("work/x", all)] };
    assert!(refused(&damaged, &into, &store).contains("failed to read"));
    assert_eq!(fs::read(place.path().join("kept")).unwrap(), b"kept");
}

#[test]
fn a_link_that_was_there_before_redirects_nothing() {
    let (from, place, (_kept, store)) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), store());
    fs::create_dir(from.path().join("target")).unwrap();
    fs::write(from.path().join("target/x"), b"new").unwrap();
    let snapshot = take(&whole(from.path()), &store).unwrap().known.snapshot;
    let into = place.path().join("into");
    fs::create_dir(&into).unwrap();
    symlink("..", into.join("target")).unwrap();
    fs::write(place.path().join("x"), b"kept").unwrap();
    assert!(restore(&snapshot, &store, &[root(&into)], Limits::default()).is_err());
    assert_eq!(fs::read(place.path().join("x")).unwrap(), b"kept");
}

#[test]
fn no_bytes_are_taken_for_a_manifest_that_is_none() {
    let (from, (_kept, store)) = (tempfile::tempdir().unwrap(), store());
    fs::write(from.path().join("x"), b"x").unwrap();
    let bytes = take(&whole(from.path()), &store).unwrap().known.snapshot.encode();
    for cut in 0..bytes.len() {
        assert!(Snapshot::decode(&bytes[..cut]).is_err());
    }
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x55;
        // Never a panic, and never more memory than the bound; what it says may happen to be possible.
        let _possible = Snapshot::decode(&damaged);
    }
    let limits = Limits { entries: 0, bytes: 10 };
    let snapshot = Snapshot::decode(&bytes).unwrap();
    let got = restore(&snapshot, &store, &[root(from.path())], limits);
    assert!(matches!(got, Err(SnapshotError::TooMuch { .. })));
}

pub fn zstd_of(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 1).unwrap()
}
