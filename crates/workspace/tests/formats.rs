//! The stored form of a sent workspace's record.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

use banger_formats::Golden;
use banger_workspace::compose::Known;
use banger_workspace::{Head, Oid, PartRecord, Record, SetUp};

fn golden() -> Golden {
    Golden::of(env!("CARGO_MANIFEST_DIR"))
}

fn oid(digits: &str) -> Oid {
    digits.repeat(20).parse().unwrap()
}

fn head() -> Head {
    let part = PartRecord {
        known: Known {
            commit: Some(oid("01")),
            tree: oid("02"),
            shallow: vec![oid("03")],
        },
        branch: Some("main".to_owned()),
        index: "04".repeat(32),
        pack_bytes: 6,
    };
    Head {
        version: 2,
        source: "/home/me/a".to_owned(),
        guest_path: "/root/a".to_owned(),
        commit: Some(oid("05")),
        host_head: Some(oid("06")),
        branch: Some("main".to_owned()),
        complete: true,
        env: [("A".to_owned(), "b".to_owned())].into(),
        user: Some("me".to_owned()),
        set_up: SetUp {
            owner: Some("me".to_owned()),
            commands: Some("07".repeat(32)),
            tools: Some("08".repeat(32)),
        },
        parts: [("sub".to_owned(), part)].into(),
    }
}

#[test]
fn the_stored_form_of_the_head_is_that_of_the_newest_golden_file() {
    assert_eq!(golden().holds("workspace-head.json", &head()), Ok(()));
}

#[test]
fn what_version_1_of_these_files_wrote_is_read() {
    assert_eq!(golden().read::<Head>(1, "workspace-head.json"), head());
}

#[test]
fn a_record_that_a_real_run_has_written_is_read_with_its_packs_and_files() {
    let bytes = std::fs::read(golden().path(1, "workspace")).unwrap();
    let record = Record::from_bytes(&bytes).unwrap();
    assert_eq!(record.head.source, "/tmp/formats-repo");
    assert_eq!(record.head.guest_path, "/root/formats-repo");
    assert!(record.head.complete);
    let names: Vec<_> = record.files.keys().map(Vec::as_slice).collect();
    assert_eq!(names, [b"a.txt"]);
    // Written back it is the same, byte by byte.
    assert_eq!(record.to_bytes().unwrap(), bytes);
}
