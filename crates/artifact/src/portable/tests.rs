//! What a file of a Run survives, and what it does not.

use std::fs;
use std::path::Path;

use tar::{Archive, Builder, EntryType, Header};

use super::*;

fn head() -> Head {
    Head {
        towpath: "0.1.0".into(),
        instance: "https://ci.example.org/".into(),
        exported_at: "2026-03-01T10:00:00Z".parse().unwrap(),
        exported_by: "ada".into(),
        project: "shop".into(),
        run: 12,
    }
}

fn log() -> What {
    What::Log { job: "test (../../x)".into(), attempt: 1 }
}

fn report() -> What {
    What::Report { job: "test".into(), attempt: 1, path: "target/junit.xml".into() }
}

/// A good file of a Run.
fn good() -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(directory.path()).unwrap();
    writer.add(What::Run, &mut &b"{\"number\":12}"[..]).unwrap();
    writer.add(What::Evidence, &mut &b"{}"[..]).unwrap();
    writer.add(log(), &mut &b"one\ntwo\n"[..]).unwrap();
    writer.add(report(), &mut &b"<testsuite/>"[..]).unwrap();
    writer.leave_out("reports/huge.xml".into());
    let mut out = Vec::new();
    std::io::Read::read_to_end(&mut writer.finish(head()).unwrap(), &mut out).unwrap();
    out
}

fn opened(bytes: &[u8]) -> Result<Opened, String> {
    let directory = tempfile::tempdir().unwrap();
    // Members are read while the directory is there.
    open(bytes, &directory.keep()).map_err(|error| said(&error))
}

fn said(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", said(source)))
}

/// The entries of a tar, and a tar of them after a change.
fn changed(change: impl FnOnce(&mut Vec<(Header, Vec<u8>)>)) -> Vec<u8> {
    let good = good();
    let mut archive = Archive::new(good.as_slice());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        (entry.header().clone(), bytes)
    });
    let mut entries: Vec<(Header, Vec<u8>)> = entries.collect();
    change(&mut entries);
    let mut tar = Builder::new(Vec::new());
    for (mut header, bytes) in entries {
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        tar.append(&header, bytes.as_slice()).unwrap();
    }
    tar.into_inner().unwrap()
}

/// A file whose manifest says something else.
fn claims(from: &str, to: &str) -> Vec<u8> {
    changed(|entries| {
        let text = String::from_utf8(entries[0].1.clone()).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        entries[0].1 = text.replacen(from, to, 1).into_bytes();
    })
}

#[test]
fn what_was_written_is_read() {
    let opened = opened(&good()).unwrap();
    let Manifest { project, run, members, left_out, .. } = &opened.manifest;
    assert_eq!((project.as_str(), *run, left_out.len()), ("shop", 12, 1));
    let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let expected =
        ["run.json", "evidence.json", "logs/0002-test__.._.._x_-1.log", "reports/0003-test-1-junit.xml"];
    assert_eq!(names, expected);
    assert_eq!(opened.document(&What::Run).unwrap(), b"{\"number\":12}");
    let member = opened.manifest.find(&log()).unwrap();
    assert_eq!(std::io::read_to_string(opened.member(member).unwrap()).unwrap(), "one\ntwo\n");
    assert!(opened.document(&What::Log { job: "other".into(), attempt: 1 }).is_err());
    assert_eq!(good(), good(), "the same run is the same file");
}

#[test]
fn a_kept_file_is_read_where_it_lies_and_checked_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.tar");
    let shelved = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Shelved::open(fs::File::open(&path).unwrap()).map_err(|error| said(&error))
    };
    let kept = shelved(&good()).unwrap();
    let members = kept.manifest.members.clone();
    assert_eq!(kept.read(kept.manifest.find(&log()).unwrap()).unwrap(), b"one\ntwo\n");
    assert_eq!(kept.read(&members[3]).unwrap(), b"<testsuite/>");
    let foreign = Member { name: "other".into(), ..members[0].clone() };
    assert_eq!(kept.read(&foreign).unwrap_err().kind(), std::io::ErrorKind::NotFound);

    let damaged = shelved(&changed(|entries| entries[3].1[0] = b'0')).unwrap();
    let error = damaged.read(damaged.manifest.find(&log()).unwrap()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    let swapped = shelved(&changed(|entries| entries.swap(2, 3))).unwrap_err();
    assert!(swapped.contains("entry 3 is `logs/"), "{swapped}");
}

#[test]
fn what_was_changed_is_refused_with_its_place() {
    let check = |bytes: Vec<u8>, expected: &str| {
        let error = opened(&bytes).map(|opened| opened.manifest).unwrap_err();
        assert!(error.contains(expected), "{error}\nshould say: {expected}");
    };
    check(changed(|entries| entries[3].1[0] = b'0'), "`logs/0002-test__.._.._x_-1.log` was changed");
    check(
        changed(|entries| entries[3].1.push(b'!')),
        "entry 4 is `logs/0002-test__.._.._x_-1.log` with 9 bytes",
    );
    check(changed(|entries| entries.swap(2, 3)), "entry 3 is `logs/");
    check(changed(|entries| drop(entries.remove(0))), "it begins with `run.json`, not with `manifest.json`");
    check(changed(|entries| drop(entries.pop())), "before the end of `reports/0003-test-1-junit.xml`");
    check(changed(|entries| entries.push(entries[1].clone())), "something follows the last member");
    check(changed(|entries| entries[2].0.set_entry_type(EntryType::Symlink)), "which is no plain file");
    check(
        claims("\"version\": 1", "\"version\": 2"),
        "version 2 of the format, and this Towpath reads version 1",
    );
    check(claims("towpath-run", "other"), "its format is `other`");
    check(claims("\"bytes\": 13", "\"bytes\": 900000000"), "more than 268435456 bytes");
    check(claims("\"bytes\": 13", "\"bytes\": 40000000"), "more than 33554432 bytes in one document");
    check(claims("\"kind\": \"run\"", "\"kind\": \"evidence\""), "it has `evidence.json` twice");
    check(
        claims("\"kind\": \"run\"", "\"kind\": \"virus\""),
        "manifest.json is not right: unknown variant `virus`",
    );
    check(claims("\"run\": 12", "\"run\": -1"), "line 9 column");
    check(b"hello".to_vec(), "this is not an exported run");
    check(Vec::new(), "it is empty");
    let mut trailing = good();
    trailing.extend_from_slice(&good());
    check(trailing, "something follows the last member");
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    let good = good();
    // The last 1024 bytes are zeros, and nobody misses them; before them is the padding of the last member.
    for length in (0..good.len() - 2048).step_by(97) {
        let error = opened(&good[..length]).map(|opened| opened.manifest).unwrap_err();
        let known = ["cut off", "it is empty", "it is no tar"];
        assert!(known.iter().any(|known| error.contains(known)), "{length}: {error}");
    }
}

#[test]
fn what_is_too_large_is_never_written() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(directory.path()).unwrap();
    writer.bytes = MAX_BYTES - 2;
    assert_eq!(writer.room(), 2);
    assert!(writer.add(log(), &mut &b"abc"[..]).is_err());
}

/// The corpus alone, and behind a good beginning.
#[cfg(feature = "testing")]
#[test]
fn hostile_archives_are_refused() {
    let read = |tar: &[u8], into: &Path| open(tar, into).map(drop).map_err(|error| said(&error));
    crate::testing::check(read).unwrap();
    let good = good();
    let behind = |tar: &[u8], into: &Path| {
        let joined = [&good[..good.len() - 1024], tar].concat();
        let answer = open(joined.as_slice(), into).map(drop).map_err(|error| said(&error));
        let names: Vec<_> = fs::read_dir(into).map_err(|error| error.to_string())?.flatten().collect();
        let numbered = |name: &fs::DirEntry| name.file_name().to_string_lossy().parse::<usize>().is_ok();
        assert!(names.iter().all(numbered), "{names:?}");
        answer
    };
    crate::testing::check(behind).unwrap();
}
