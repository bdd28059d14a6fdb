//! The corpus of hostile archives, for every extractor there is: [`check`] runs one against all of it.
//!
//! Each archive is made here, byte by byte, since honest libraries refuse to write such names. An extractor may refuse an
//! archive or unpack it; what must hold afterwards is the same for all of them.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;

use tar::{EntryType, Header};

/// More than this is never unpacked from the corpus by an extractor that counts.
pub const LARGEST: u64 = 4 << 20;

/// More entries than this are never unpacked either.
pub const MOST: u64 = 2000;

/// What may become of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing but a refusal is right.
    Refused,
    /// It may be unpacked, if nothing leaves the directory.
    Contained,
}

/// An archive that nobody made by accident.
#[derive(Debug, Clone)]
pub struct Hostile {
    /// What it tries, and the case it is known from.
    pub name: &'static str,
    /// An uncompressed tar.
    pub tar: Vec<u8>,
    /// What may become of it.
    pub fate: Fate,
}

/// One entry, with a name that no honest library would write.
#[derive(Debug, Clone)]
struct Entry {
    kind: EntryType,
    name: Vec<u8>,
    target: Vec<u8>,
    body: Vec<u8>,
    size: u64,
    mode: u32,
}

fn entry(kind: EntryType, name: &[u8], target: &str) -> Entry {
    Entry { kind, name: name.to_vec(), target: target.into(), body: Vec::new(), size: 0, mode: 0o644 }
}

fn file(name: &str, body: &[u8]) -> Entry {
    let body = body.to_vec();
    Entry { size: body.len() as u64, body, ..entry(EntryType::Regular, name.as_bytes(), "") }
}

fn link(name: &str, target: &str) -> Entry {
    entry(EntryType::Symlink, name.as_bytes(), target)
}

/// `LENGTH key=value` lines, as a PAX header holds them.
fn pax(kind: EntryType, records: &[(&str, &str)]) -> Entry {
    let mut body = String::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        body.push_str(&format!("{length} {key}={value}\n"));
    }
    Entry { kind, ..file("pax", body.as_bytes()) }
}

fn put(field: &mut [u8], bytes: &[u8]) {
    let length = bytes.len().min(field.len());
    field[..length].copy_from_slice(&bytes[..length]);
}

fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    for Entry { kind, name, target, body, size, mode } in entries {
        let mut header = Header::new_gnu();
        put(&mut header.as_old_mut().name, name);
        put(&mut header.as_old_mut().linkname, target);
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        header.set_size(*size);
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(body);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

/// The whole corpus. `outside` is a directory that no archive may reach.
#[must_use]
pub fn corpus(outside: &Path) -> Vec<Hostile> {
    let outside = outside.display().to_string();
    let canary = format!("{outside}/canary");
    let mut corpus = Vec::new();
    let mut add = |name, fate, entries: &[Entry]| corpus.push(Hostile { name, tar: tar(entries), fate });
    let refused = Fate::Refused;
    add("parent (CVE-2025-62156)", refused, &[file("../canary", b"dead")]);
    add("parent behind directories", refused, &[file("a/b/../../../canary", b"dead")]);
    add("absolute", refused, &[file(&canary, b"dead")]);
    add(
        "absolute directory",
        refused,
        &[entry(EntryType::Directory, format!("{outside}/made").as_bytes(), "")],
    );
    add("backslashes", Fate::Contained, &[file("..\\canary", b"dead")]);
    add("drive letter", Fate::Contained, &[file("C:\\canary", b"dead")]);
    let behind_link = [link("way", &outside), file("way/canary", b"dead")];
    add("link, then a file behind it (CVE-2025-66626, CVE-2025-29787)", refused, &behind_link);
    add("link upwards, then a file behind it", refused, &[link("way", ".."), file("way/canary", b"dead")]);
    add("links one behind the other", refused, &[link("a", ".."), link("b", "a"), file("b/canary", b"dead")]);
    add("file through a link of its own name", refused, &[link("own", &canary), file("own", b"dead")]);
    let swap = [entry(EntryType::Directory, b"d", ""), link("d", &outside), file("d/canary", b"dead")];
    add("directory replaced by a link", refused, &swap);
    let chmod = [link("d", &outside), Entry { mode: 0o777, ..entry(EntryType::Directory, b"d", "") }];
    add("mode of a directory through a link (CVE-2026-33056)", refused, &chmod);
    add("hard link outside", refused, &[entry(EntryType::Link, b"h", &canary)]);
    let through = [entry(EntryType::Link, b"h", &canary), file("h", b"dead")];
    add("hard link outside, then written through", refused, &through);
    add("character device", refused, &[entry(EntryType::Char, b"null", "")]);
    add("block device", refused, &[entry(EntryType::Block, b"disk", "")]);
    add("pipe", refused, &[entry(EntryType::Fifo, b"pipe", "")]);
    add("unknown type", refused, &[entry(EntryType::new(b'Z'), b"z", "")]);
    add("the same name twice", Fate::Contained, &[file("a", b"1"), file("a", b"2")]);
    add("the same name in another case", Fate::Contained, &[file("Readme", b"1"), file("README", b"2")]);
    add("file as a directory", refused, &[file("a", b"1"), file("a/b", b"2")]);
    add("sparse terabyte", refused, &[entry(EntryType::GNUSparse, b"s", "")]);
    add("promised terabyte", refused, &[Entry { size: 1 << 40, ..file("a", b"1") }]);
    let bits =
        [0o4755, 0o2755, 0o1777, 0o6777].map(|mode| Entry { mode, ..file(&format!("m{mode:o}"), b"#!") });
    add("set-uid, set-gid and sticky bits", Fate::Contained, &bits);
    let renamed = [pax(EntryType::XHeader, &[("path", "../canary")]), file("a", b"dead")];
    add("PAX path", refused, &renamed);
    let relinked = [pax(EntryType::XHeader, &[("linkpath", canary.as_str())]), link("a", "b")];
    add("PAX link", Fate::Contained, &relinked);
    // The two sizes disagree: whoever believes the wrong one reads a body as the next header.
    let mut smuggled = tar(&[file("../canary", b"dead")]);
    smuggled.truncate(1024);
    let resized = [pax(EntryType::XHeader, &[("size", "0")]), file("a", &smuggled)];
    add("PAX size that smuggles an entry (CVE-2025-62518, CVE-2026-33055)", Fate::Contained, &resized);
    add(
        "global PAX path",
        refused,
        &[pax(EntryType::XGlobalHeader, &[("path", "../canary")]), file("a", b"dead")],
    );
    let long = |name: &str| Entry { kind: EntryType::GNULongName, ..file("long", name.as_bytes()) };
    add("long name outside", refused, &[long("../canary\0"), file("a", b"dead")]);
    add("long name with a zero byte", refused, &[long("a\0/../../canary\0"), file("a", b"dead")]);
    add("name of 5,000 bytes", refused, &[long(&format!("{}\0", "x/".repeat(2500))), file("a", b"1")]);
    add(
        "name of a thousand directories",
        refused,
        &[long(&format!("{}x\0", "d/".repeat(2100))), file("a", b"1")],
    );
    add("name that is not UTF-8", Fate::Contained, &[entry(EntryType::Regular, b"\xff\xfe../canary", "")]);
    add("name that is no name", Fate::Contained, &[file(".", b"1"), file("", b"2"), file("//", b"3")]);
    let many: Vec<Entry> = (0..=MOST).map(|number| file(&number.to_string(), b"")).collect();
    add("an entry too many", refused, &many);
    let zeros = vec![0; usize::try_from(LARGEST).unwrap_or(usize::MAX) + 1];
    add("bomb (42.zip)", refused, &[file("zeros", &zeros)]);
    let mut short = tar(&[file("a", &[b'x'; 2000])]);
    short.truncate(1100);
    corpus.push(Hostile { name: "cut short", tar: short, fate: refused });
    let mut trailing = tar(&[file("a", b"1")]);
    trailing.extend_from_slice(&tar(&[file("../canary", b"dead")]));
    corpus.push(Hostile { name: "another archive after the end", tar: trailing, fate: Fate::Contained });
    corpus
}

/// Runs an extractor against the corpus, each archive in a new place beside a canary. It gets the tar and the directory
/// to unpack into, which exists, and must bound what it unpacks to [`LARGEST`] bytes and [`MOST`] entries.
///
/// # Errors
///
/// Says which archives did what they must not.
pub fn check(mut extract: impl FnMut(&[u8], &Path) -> Result<(), String>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("the corpus cannot be run: {error}");
    let world = tempfile::tempdir().map_err(failed)?;
    let inside = world.path().join("inside");
    let mut faults = Vec::new();
    for Hostile { name, tar, fate } in corpus(world.path()) {
        fs::create_dir(&inside).map_err(failed)?;
        fs::write(world.path().join("canary"), "alive").map_err(failed)?;
        fs::set_permissions(world.path(), fs::Permissions::from_mode(0o700)).map_err(failed)?;
        let answer = extract(&tar, &inside);
        if fate == Fate::Refused && answer.is_ok() {
            faults.push(format!("{name}: it was not refused"));
        }
        faults.extend(found(world.path(), &inside).into_iter().map(|fault| format!("{name}: {fault}")));
        clear(world.path()).map_err(failed)?;
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

/// Makes room for the next archive.
fn clear(world: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(world)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// What is wrong on the disk afterwards.
fn found(world: &Path, inside: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    if fs::read(world.join("canary")).ok().as_deref() != Some(b"alive") {
        faults.push("the canary outside was touched".to_owned());
    }
    if fs::read_dir(world).map_or(0, Iterator::count) != 2 {
        faults.push("something was made outside".to_owned());
    }
    if fs::metadata(world).map_or(0, |data| data.permissions().mode() & 0o7777) != 0o700 {
        faults.push("the mode of a directory outside was changed".to_owned());
    }
    let (mut open, mut bytes) = (vec![inside.to_owned()], 0);
    while let Some(directory) = open.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            let Ok(data) = entry.metadata() else { continue };
            let (path, kind) = (entry.path(), data.file_type());
            if kind.is_block_device() || kind.is_char_device() || kind.is_fifo() || kind.is_socket() {
                faults.push(format!("{} is a special file", path.display()));
            }
            if !kind.is_symlink() && data.permissions().mode() & 0o7000 != 0 && !kind.is_dir() {
                faults.push(format!("{} has mode {:o}", path.display(), data.permissions().mode()));
            }
            if kind.is_dir() {
                open.push(path);
            } else {
                bytes += data.len();
            }
        }
    }
    if bytes > LARGEST {
        faults.push(format!("{bytes} bytes were unpacked"));
    }
    faults
}
