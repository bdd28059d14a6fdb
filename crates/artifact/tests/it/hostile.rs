//! Archives made by an enemy: each is refused with its reason, and nothing outside is touched.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tar::{EntryType, Header};
use tempfile::tempdir;
use towpath_artifact::oci::{self, Layer, Manifest};
use towpath_artifact::{ContentStore, Descriptor, Limits, canonical, extract_tree, unpack};

use crate::{chain, list, write};

/// One entry of a tar, with a name that no honest library would write.
struct Bad<'a> {
    kind: EntryType,
    name: &'a [u8],
    target: &'a [u8],
    body: &'a [u8],
    size: u64,
}

fn file<'a>(name: &'a str, body: &'a str) -> Bad<'a> {
    Bad {
        kind: EntryType::Regular,
        name: name.as_bytes(),
        target: b"",
        body: body.as_bytes(),
        size: body.len() as u64,
    }
}

fn other<'a>(kind: EntryType, name: &'a str, target: &'a str) -> Bad<'a> {
    Bad { kind, name: name.as_bytes(), target: target.as_bytes(), body: b"", size: 0 }
}

fn tar(entries: &[Bad<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for bad in entries {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..bad.name.len()].copy_from_slice(bad.name);
        header.as_old_mut().linkname[..bad.target.len()].copy_from_slice(bad.target);
        header.set_entry_type(bad.kind);
        header.set_mode(0o6777);
        header.set_size(bad.size);
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(bad.body);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn layer(media_type: &str, bytes: &[u8], title: &str) -> Layer {
    let Descriptor { digest, size } = Descriptor::of(bytes);
    let annotations = BTreeMap::from([(oci::TITLE.to_owned(), title.to_owned())]);
    Layer { media_type: media_type.into(), digest, size, annotations }
}

/// Unpacks layers as an Artifact into a directory beside a canary, and gives the refusal.
fn refuse(layers: &[(Layer, &[u8])], limits: Limits) -> String {
    let world = tempdir().unwrap();
    write(world.path(), &[("canary", "alive"), ("inside/own", "own")]);
    let store = ContentStore::open(&world.path().join("blobs")).unwrap();
    for (_, bytes) in layers {
        store.put(bytes).unwrap();
    }
    let manifest = Manifest::new(layers.iter().map(|(layer, _)| layer.clone()).collect());
    let digest = store.put(&canonical::to_vec(&manifest)).unwrap();
    let refused = unpack(digest, &store, &world.path().join("inside"), limits);
    assert_eq!(fs::read(world.path().join("canary")).unwrap(), b"alive");
    let outside = fs::read_dir(world.path()).unwrap().count();
    assert_eq!(outside, 3, "something was made outside");
    refused.map_or_else(|error| chain(&error), |_| "it was unpacked".into())
}

fn refuse_tar(tar: &[u8], limits: Limits) -> String {
    let bytes = gzip(tar);
    refuse(&[(layer(oci::FILES, &bytes, "files.tar.gz"), &bytes)], limits)
}

#[test]
fn every_hostile_archive_is_refused() {
    let long_name = "x".repeat(5000);
    let pax = "30 path=../../canary__________\n";
    let corpus: Vec<(&str, Vec<Bad<'_>>, &str)> = vec![
        ("parent", vec![file("../canary", "dead")], "leads upwards with `..`"),
        ("hidden parent", vec![file("a/b/../../../canary", "dead")], "leads upwards with `..`"),
        ("absolute", vec![file("/tmp/towpath-canary", "dead")], "is absolute"),
        ("absolute directory", vec![other(EntryType::Directory, "/tmp/towpath-canary", "")], "is absolute"),
        ("link out", vec![other(EntryType::Symlink, "l", "../canary")], "leads out of the directory"),
        ("absolute link", vec![other(EntryType::Symlink, "l", "/etc/passwd")], "leads out of the directory"),
        ("empty link", vec![other(EntryType::Symlink, "l", "")], "leads out of the directory"),
        (
            "link out by a detour",
            vec![other(EntryType::Symlink, "d/l", ".."), other(EntryType::Symlink, "x", "d/l/../canary")],
            "leads out of the directory",
        ),
        (
            "link, then a file behind it",
            vec![other(EntryType::Symlink, "d", "."), file("d/own", "dead")],
            "`d` is a link or a file where a directory is needed",
        ),
        (
            "directory becomes a link",
            vec![file("d/a", "1"), other(EntryType::Symlink, "d", ".")],
            "failed to write `d`",
        ),
        ("file behind a file", vec![file("a", "1"), file("a/b", "2")], "where a directory is needed"),
        ("hard link", vec![other(EntryType::Link, "h", "../canary")], "which is a hard link"),
        ("character device", vec![other(EntryType::Char, "c", "")], "which is a device"),
        ("block device", vec![other(EntryType::Block, "b", "")], "which is a device"),
        ("pipe", vec![other(EntryType::Fifo, "p", "")], "which is a named pipe"),
        ("sparse", vec![other(EntryType::GNUSparse, "s", "")], "which is a sparse file"),
        ("unknown type", vec![other(EntryType::new(b'Z'), "z", "")], "of the unknown type 0x5a"),
        (
            "PAX path",
            vec![Bad { kind: EntryType::XHeader, ..file("pax", pax) }, file("a", "1")],
            "which is a PAX header",
        ),
        (
            "global PAX",
            vec![Bad { kind: EntryType::XGlobalHeader, ..file("pax", pax) }],
            "which is a PAX header",
        ),
        (
            "long name out",
            vec![Bad { kind: EntryType::GNULongName, ..file("l", "../canary\0") }, file("a", "dead")],
            "leads upwards with `..`",
        ),
        (
            "long name with a zero byte",
            vec![Bad { kind: EntryType::GNULongName, ..file("l", "a\0b\0") }, file("a", "dead")],
            "has a zero byte in it",
        ),
        (
            "name without end",
            vec![Bad { kind: EntryType::GNULongName, ..file("l", &long_name) }, file("a", "1")],
            "more than 4096 bytes in one path",
        ),
        (
            "long name of nothing",
            vec![Bad { kind: EntryType::GNULongName, ..file("l", "a\0") }],
            "cannot be read",
        ),
        ("twice", vec![file("a", "1"), file("a", "2")], "has `a` twice"),
        ("twice, spelt differently", vec![file("a", "1"), file("./a", "2")], "has `a` twice"),
        ("promised 1 TB", vec![Bad { size: 1 << 40, ..file("a", "1") }], "more than 1000 bytes"),
        ("cut short", vec![Bad { size: 900, ..file("a", "") }], "cannot be read"),
    ];
    let limits = Limits { entries: 10, bytes: 1000 };
    for (what, entries, reason) in corpus {
        let mut bytes = tar(&entries);
        if what == "cut short" {
            bytes.truncate(600);
        }
        let refused = refuse_tar(&bytes, limits);
        let said =
            refused.contains(reason) || (what == "cut short" && refused.contains("failed to write `a`"));
        assert!(said, "{what}: `{refused}` does not say `{reason}`");
    }
}

#[test]
fn bombs_are_stopped_by_count_and_by_bytes() {
    let names: Vec<String> = (0..11).map(|number| format!("f{number}")).collect();
    let many: Vec<Bad<'_>> = names.iter().map(|name| file(name, "")).collect();
    let limits = Limits { entries: 10, bytes: 1000 };
    assert!(refuse_tar(&tar(&many), limits).contains("more than 10 entries"));
    let zeros = vec![0; 50 << 20];
    let bomb = tar(&[Bad { body: &zeros, size: zeros.len() as u64, ..file("zeros", "") }]);
    assert!(gzip(&bomb).len() < 100_000);
    assert!(refuse_tar(&bomb, limits).contains("more than 1000 bytes"));
    let plain = [b'x'; 1001];
    let refused = refuse(&[(layer(oci::FILE, &plain, "x"), &plain)], limits);
    assert!(refused.contains("more than 1000 bytes"), "{refused}");
}

#[test]
fn titles_and_manifests_are_not_trusted() {
    for title in ["", ".", "..", "../canary", "/tmp/towpath-canary", "a/b", "a/", "a\0b", &"x".repeat(256)] {
        let refused = refuse(&[(layer(oci::FILE, b"dead", title), b"dead")], Limits::default());
        assert!(refused.contains("is not a plain file name"), "{title}: {refused}");
    }
    let unknown = refuse(&[(layer("text/html", b"x", "x"), b"x")], Limits::default());
    assert!(unknown.contains("it has a layer of type `text/html`"), "{unknown}");
    let mut wrong = layer(oci::FILE, b"four", "x");
    wrong.size = 5;
    let refused = refuse(&[(wrong, b"four")], Limits::default());
    assert!(refused.contains("has 4 bytes, and its manifest says 5"), "{refused}");
    let garbage = refuse(&[(layer(oci::FILES, b"not gzip", "x"), b"not gzip")], Limits::default());
    assert!(garbage.contains("the archive cannot be read"), "{garbage}");
    let two = [(layer(oci::FILE, b"1", "x"), &b"1"[..]), (layer(oci::FILE, b"22", "x"), b"22")];
    let refused = refuse(&two, Limits::default());
    assert!(refused.contains("it has 2 layers, expected one"), "{refused}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Any bytes of any header changed, its checksum made good again: refused or unpacked, but never outside.
    #[test]
    fn no_change_of_a_header_gets_out(changes in prop::collection::vec((0..4_usize, 0..345_usize, any::<u8>()), 1..6)) {
        let long_name = format!("{}\0", "n".repeat(200));
        let mut bytes = tar(&[
            file("directory/file", "content"),
            other(EntryType::Symlink, "directory/link", "file"),
            Bad { kind: EntryType::GNULongName, ..file("long", &long_name) },
        ]);
        let headers = [0, 1024, 1536, 2048];
        for (header, at, value) in changes {
            let header = &mut bytes[headers[header]..][..512];
            header[at] = value;
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let world = tempdir().unwrap();
        write(world.path(), &[("canary", "alive"), ("inside/own", "own")]);
        let limits = Limits { entries: 10, bytes: 10_000 };
        // Both answers are good; what counts is what is on the disk.
        let _answer = extract_tree(&bytes[..], &world.path().join("inside"), limits);
        prop_assert_eq!(fs::read(world.path().join("canary")).unwrap(), b"alive");
        prop_assert_eq!(fs::read_dir(world.path()).unwrap().count(), 2);
    }
}

#[test]
fn modes_lose_all_but_the_execute_bit() {
    use std::os::unix::fs::PermissionsExt as _;
    let into = tempdir().unwrap();
    extract_tree(&tar(&[file("a", "1")])[..], into.path(), Limits::default()).unwrap();
    let mode = fs::metadata(into.path().join("a")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7022, 0, "{mode:o}");
    assert_eq!(mode & 0o100, 0o100);
}

#[test]
fn a_source_tree_keeps_its_links_but_nothing_goes_through_them() {
    let (into, outside) = (tempdir().unwrap(), tempdir().unwrap());
    let target = outside.path().display().to_string();
    let hostile = tar(&[other(EntryType::Symlink, "away", &target), file("away/x", "dead")]);
    let refused = extract_tree(&hostile[..], into.path(), Limits::default()).unwrap_err();
    assert!(chain(&refused).contains("`away` is a link"), "{}", chain(&refused));
    assert_eq!(list(into.path()), [format!("away -> {target}")]);
    assert_eq!(list(Path::new(&target)), Vec::<String>::new());
}
