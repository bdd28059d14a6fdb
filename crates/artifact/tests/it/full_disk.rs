//! A disk that fills: said in plain words, nothing left behind, and all well again once there is space.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use tempfile::tempdir;
use towpath_artifact::{ContentError, ContentStore, LogError, LogStore};
use towpath_model::AttemptId;
use uuid::Uuid;

const DISK: &str = "TOWPATH_TEST_SMALL_DISK";

/// Runs itself again in a mount namespace of its own, where a small disk can be mounted without privileges.
#[test]
fn a_full_disk_is_said_and_leaves_nothing() {
    if let Some(disk) = std::env::var_os(DISK) {
        blobs_on_a_small_disk(Path::new(&disk));
        logs_on_a_small_disk(Path::new(&disk));
        return;
    }
    let disk = tempdir().unwrap();
    let script = "mount -t tmpfs -o size=256k tmpfs \"$1\" || exit 77; \
                  exec \"$0\" --exact full_disk::a_full_disk_is_said_and_leaves_nothing --nocapture";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(disk.path())
        .env(DISK, disk.path())
        .output();
    let reached = output
        .as_ref()
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("running 1 test"));
    match output {
        Ok(output) if reached => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        _ => eprintln!("SKIPPED: no small disk can be mounted here (needs unshare and user namespaces)"),
    }
}

fn names(directory: &Path) -> usize {
    fs::read_dir(directory).unwrap().count()
}

fn blobs_on_a_small_disk(disk: &Path) {
    let directory = disk.join("blobs");
    let store = ContentStore::open(&directory).unwrap();
    let mut writer = store.writer(1 << 20).unwrap();
    let error = writer.write_all(&vec![7; 1 << 20]).unwrap_err();
    let typed = error.get_ref().and_then(|error| error.downcast_ref::<ContentError>());
    assert!(matches!(typed, Some(ContentError::DiskFull { .. })), "{error:?}");
    drop(writer);
    let refused = store.put(&vec![7; 1 << 20]).unwrap_err();
    assert!(refused.to_string().contains("no space is left on the disk that holds"), "{refused}");
    assert_eq!(names(&directory.join("ingest")) + names(&directory.join("blobs/sha256")), 0);
    let small = store.put(b"small").unwrap();
    assert_eq!(store.read(small, 10).unwrap(), b"small");
}

fn logs_on_a_small_disk(disk: &Path) {
    let attempt = AttemptId(Uuid::from_u128(1));
    let store = ContentStore::open(&disk.join("blobs")).unwrap();
    let logs = LogStore::open(&disk.join("logs"), store, 1 << 30).unwrap();
    assert_eq!(logs.append(attempt, 1, 0, b"acknowledged\n").unwrap(), 13);
    let refused = logs.append(attempt, 1, 13, &vec![b'x'; 1 << 20]).unwrap_err();
    assert!(matches!(refused, LogError::Store { source: ContentError::DiskFull { .. }, .. }), "{refused:?}");
    assert_eq!(logs.read(attempt, 0, 100).unwrap(), b"acknowledged\n");
    assert_eq!(logs.append(attempt, 1, 13, b"more\n").unwrap(), 18);
    assert_eq!(logs.seal(attempt).unwrap().lines, 2);
}
