//! Files go into an Artifact and come out of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::{TempDir, tempdir};
use towpath_artifact::{ContentStore, Limits, PackError, Packed, UnpackError, pack, unpack};

use crate::{chain, list, write};

struct World {
    root: TempDir,
    _blobs: TempDir,
    store: ContentStore,
}

impl World {
    fn new(files: &[(&str, &str)]) -> Self {
        let (root, blobs) = (tempdir().unwrap(), tempdir().unwrap());
        write(root.path(), files);
        let store = ContentStore::open(blobs.path()).unwrap();
        Self { root, _blobs: blobs, store }
    }

    fn path(&self) -> &Path {
        self.root.path()
    }

    fn pack(&self, patterns: &[&str]) -> Result<Packed, PackError> {
        let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        pack(self.path(), &patterns, &mut self.store.clone())
    }

    fn round_trip(&self, patterns: &[&str]) -> Vec<String> {
        let packed = self.pack(patterns).unwrap();
        let into = tempdir().unwrap();
        unpack(packed.manifest, &self.store, into.path(), Limits::default()).unwrap();
        list(into.path())
    }

    fn refusal(&self, patterns: &[&str]) -> String {
        chain(&self.pack(patterns).unwrap_err())
    }
}

#[test]
fn a_single_file_keeps_its_base_name_and_its_bit() {
    let world = World::new(&[("target/release/shop*", "binary"), ("target/release/shop.d", "x")]);
    assert_eq!(world.round_trip(&["target/release/shop"]), ["shop* = binary"]);
    assert_eq!(world.round_trip(&["target/release/shop.d"]), ["shop.d = x"]);
    let packed = world.pack(&["target/release/shop"]).unwrap();
    let manifest = String::from_utf8(world.store.read(packed.manifest, 10_000).unwrap()).unwrap();
    assert!(manifest.contains(r#""artifactType":"application/vnd.towpath.artifact.v1""#), "{manifest}");
    assert!(
        manifest.contains(r#"{"dev.towpath.mode":"755","org.opencontainers.image.title":"shop"}"#),
        "{manifest}"
    );
    assert!(manifest.contains("sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"));
    assert_eq!((packed.files, packed.bytes), (1, 6));
}

#[test]
fn several_files_keep_their_paths() {
    let long = format!("dist/{}/{}", "a".repeat(120), "b".repeat(120));
    let world =
        World::new(&[("dist/index.html", "hi"), ("dist/run*", "go"), ("other", "no"), (&long, "long")]);
    symlink("index.html", world.path().join("dist/home")).unwrap();
    let directory = long.rsplit_once('/').unwrap().0;
    let expected = [
        "dist/".to_owned(),
        format!("{directory}/"),
        format!("{long} = long"),
        "dist/home -> index.html".into(),
        "dist/index.html = hi".into(),
        "dist/run* = go".into(),
    ];
    for patterns in [&["dist/**"][..], &["dist"], &["dist/"], &["**/dist/**"], &["dist/*", "dist/**/*"]] {
        assert_eq!(world.round_trip(patterns), expected, "{patterns:?}");
    }
    assert_eq!(world.round_trip(&["dist/*.html"]), ["dist/", "dist/index.html = hi"]);
    assert_eq!(world.round_trip(&["oth?r", "**/r*n"]), ["dist/", "dist/run* = go", "other = no"]);
}

#[test]
fn the_same_files_give_the_same_bytes() {
    let files = [("b/x", "1"), ("a/y*", "2"), ("c", "3")];
    let mut reversed = files;
    reversed.reverse();
    let (first, second) = (World::new(&files), World::new(&reversed));
    assert_eq!(first.pack(&["**"]).unwrap(), second.pack(&["**"]).unwrap());
    write(second.path(), &[("c", "4")]);
    assert_ne!(first.pack(&["**"]).unwrap(), second.pack(&["**"]).unwrap());
}

#[test]
fn what_is_not_there_is_named_with_what_is() {
    let world = World::new(&[("target/release/shopd", "x"), ("target/release/deps/a", "x")]);
    assert_eq!(
        world.refusal(&["target/release/shop"]),
        "no file matches `target/release/shop`; `target/release` holds deps, shopd and nothing else (2)"
    );
    let refused = world.refusal(&["target/release/shopd", "dist/**"]);
    assert!(refused.contains("no file matches `dist/**`; the project's directory holds target"), "{refused}");
    assert!(world.refusal(&[]).contains("no patterns"));
    assert!(world.refusal(&["../x"]).contains("leads out of"));
}

#[test]
fn links_cannot_lead_out_of_the_root() {
    let outside = tempdir().unwrap();
    write(outside.path(), &[("secret", "s")]);
    let world = World::new(&[("dist/a", "x")]);
    symlink(outside.path().join("secret"), world.path().join("dist/secret")).unwrap();
    symlink(outside.path(), world.path().join("away")).unwrap();
    symlink("../..", world.path().join("dist/up")).unwrap();
    for patterns in [["dist/secret"], ["dist/**"], ["away/secret"], ["away/*"], ["dist/up"], ["away/**"]] {
        let refused = world.pack(&patterns);
        let escaped = matches!(refused, Err(PackError::Escape { .. }));
        assert!(escaped, "{patterns:?}: {refused:?}");
    }
}

#[test]
fn a_pipe_is_refused_and_not_waited_for() {
    let world = World::new(&[("dist/a", "x")]);
    rustix::fs::mkfifoat(rustix::fs::CWD, world.path().join("dist/pipe"), rustix::fs::Mode::RWXU).unwrap();
    assert!(world.refusal(&["dist/**"]).contains("it is not a plain file"));
    assert!(world.refusal(&["dist/pipe"]).contains("it is not a plain file"));
}

#[test]
fn damaged_blobs_leave_nothing() {
    let world = World::new(&[("shop*", "binary"), ("a", "1")]);
    for patterns in [&["shop"][..], &["shop", "a"]] {
        let packed = world.pack(patterns).unwrap();
        let manifest: serde_json::Value =
            serde_json::from_slice(&world.store.read(packed.manifest, 10_000).unwrap()).unwrap();
        let layer = manifest["layers"][0]["digest"].as_str().unwrap().parse().unwrap();
        let path = world.store.path(layer);
        let good = fs::read(&path).unwrap();
        let mut flipped = good.clone();
        flipped[3] ^= 1;
        let longer = [&good[..], b"x"].concat();
        for damaged in [&flipped[..], &good[..good.len() - 1], &longer, b""] {
            fs::write(&path, damaged).unwrap();
            let into = tempdir().unwrap();
            let refused = unpack(packed.manifest, &world.store, into.path(), Limits::default()).unwrap_err();
            assert!(matches!(refused, UnpackError::Fetch { .. }), "{refused:?}");
            assert!(chain(&refused).contains("expected sha256:"), "{}", chain(&refused));
            assert_eq!(list(into.path()), Vec::<String>::new());
        }
        fs::remove_file(&path).unwrap();
        let refused = unpack(packed.manifest, &world.store, tempdir().unwrap().path(), Limits::default());
        assert!(chain(&refused.unwrap_err()).contains("is not in the content store"));
    }
}

#[test]
fn unpacking_over_a_workspace_never_follows_its_links() {
    let outside = tempdir().unwrap();
    write(outside.path(), &[("kept", "kept")]);
    let world = World::new(&[("dist/kept", "new"), ("shop*", "binary")]);
    let tree = world.pack(&["dist/**"]).unwrap();
    let file = world.pack(&["shop"]).unwrap();
    let into = tempdir().unwrap();
    symlink(outside.path(), into.path().join("dist")).unwrap();
    symlink(outside.path().join("kept"), into.path().join("shop")).unwrap();
    let refused = unpack(tree.manifest, &world.store, into.path(), Limits::default()).unwrap_err();
    assert!(chain(&refused).contains("`dist` is a link or a file where a directory is needed"));
    unpack(file.manifest, &world.store, into.path(), Limits::default()).unwrap();
    assert_eq!(list(outside.path()), ["kept = kept"]);
    assert!(list(into.path()).contains(&"shop* = binary".to_owned()));
}
