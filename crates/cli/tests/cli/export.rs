//! An image that is written to a file.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::fake_daemon::{Answer, FakeDaemon, finish};

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn an_export_to_a_file_is_whole_readable_to_others_and_told_as_json() {
    let daemon = FakeDaemon::new(|_| Answer::Bytes(vec![b'x'; 1 << 20]));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("work.tar");
    let text = path.to_str().unwrap();
    let exported = daemon.banger(&["image", "export", "work", "-o", text, "--json"]);
    let told: serde_json::Value = serde_json::from_str(&exported.stdout).unwrap();
    assert_eq!(told, serde_json::json!({"path": text, "bytes": 1_048_576}));
    let written = std::fs::metadata(&path).unwrap();
    assert_eq!(written.len(), 1 << 20);
    assert_ne!(written.mode() & 0o044, 0, "{:o}", written.mode());
    assert_eq!(files(folder.path()), ["work.tar"]);
}

#[test]
fn an_export_tells_how_far_it_is_and_an_interrupt_leaves_no_part_of_it() {
    let daemon = FakeDaemon::new(|_| Answer::Stalled(4 << 20, vec![b'x'; 1 << 20]));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("work.tar");
    let mut child = daemon.start(&["image", "export", "work", "-o", path.to_str().unwrap()]);
    let mut told = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut told).unwrap();
    assert!(told.contains("1 MiB of 4 MiB 25%"), "{told}");
    assert_ne!(files(folder.path()).len(), 0, "nothing is written");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(finish(child).exit, 130);
    assert_eq!(files(folder.path()), [""; 0]);
}
