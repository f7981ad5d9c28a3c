//! Changes that an agent reports, compared on the host: the same patch as the guest's own git makes, without it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests fail as tests do"
)]

mod fixture;

use std::path::{Path, PathBuf};
use std::process::Command;

use banger_guest::files::LeftKind;
use banger_guest::files::archive::{ArchiveWriter, Entry, EntryKind};
use banger_workspace::export::{self, Base};
use banger_workspace::patch::PatchLimits;
use banger_workspace::{Comparison, Filtered, Record, Returned, Wanted};
use fixture::agent::{compared, returned};
use fixture::edits::{Edit, edit, edits};
use fixture::{Place, commit, files, git, prepare, write};
use proptest::prelude::*;

fn by_the_guests_git(record: &Record, guest: &Path, base: &Base) -> Vec<u8> {
    let mut head = record.head.clone();
    head.guest_path = guest.to_str().unwrap().to_owned();
    let command = export::worktree(&head, base).unwrap();
    let output = Command::new(&command[0])
        .args(&command[1..])
        .env("HOME", guest.parent().unwrap())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_clean_repository_costs_the_record_nothing_and_a_changed_one_only_its_changes() {
    let place = Place::new();
    let host = place.repository("host");
    let clean = prepare(&host, Wanted::default(), &place.at("clean"));
    assert!(clean.packs.is_empty());
    write(&host.join("README"), "not committed\n");
    let record = prepare(&host, Wanted::default(), &place.at("guest"));
    assert!(record.packs[""].len() < 500, "{}", record.packs[""].len());
    // The sent state can be compared with even when the host has moved on.
    git(&host, &["checkout", "-q", "-f", "HEAD~1"]);
    write(&place.at("guest").join("README"), "in the guest\n");
    let patch = text(&compared(&record, &place.at("guest"), &Base::Sent));
    assert!(patch.contains("-not committed\n+in the guest\n"), "{patch}");
}

#[test]
fn a_guest_where_nothing_changed_sends_nothing() {
    let place = Place::new();
    let host = place.repository("host");
    let guest = place.at("guest");
    let record = prepare(&host, Wanted::default(), &guest);
    assert!(returned(&record, "", &guest).is_empty());
    assert_eq!(text(&compared(&record, &guest, &Base::Sent)), "");
}

#[test]
fn what_is_ignored_stays_unless_git_tracks_it_and_repositories_inside_stay() {
    let place = Place::new();
    let host = place.repository("host");
    write(&host.join(".gitignore"), "target/\n*.log\n");
    commit(&host, "rules");
    let guest = place.at("guest");
    let record = prepare(&host, Wanted::default(), &guest);
    write(&guest.join("target/debug/out"), "o");
    write(&guest.join("target/kept"), "k");
    write(&guest.join("a.log"), "a");
    write(&guest.join("b.log"), "b");
    git(&guest, &["add", "-f", "target/kept", "b.log"]);
    git(&guest, &["init", "-q", "inner"]);
    write(&guest.join("inner/x"), "x");
    let patch = text(&compared(&record, &guest, &Base::Sent));
    let named: Vec<_> = patch
        .lines()
        .filter(|line| line.starts_with("diff"))
        .collect();
    assert_eq!(
        named,
        [
            "diff --git a/b.log b/b.log",
            "diff --git a/target/kept b/target/kept"
        ]
    );
}

#[test]
fn submodules_are_compared_by_themselves_and_a_commit_with_all() {
    let place = Place::new();
    let inner = place.repository("inner");
    let host = place.repository("host");
    let from = inner.to_str().unwrap();
    git(&host, &["submodule", "--quiet", "add", from, "deps/inner"]);
    commit(&host, "submodule");
    write(&host.join("README"), "not committed\n");
    let guest = place.at("guest");
    let record = prepare(&host, Wanted::default(), &guest);
    write(&guest.join("deps/inner/README"), "inside\n");
    assert!(returned(&record, "", &guest).is_empty());
    let inside = returned(&record, "deps/inner", &guest.join("deps/inner"));
    let comparison = Comparison::open(&record, "deps/inner", &Base::Sent).unwrap();
    let patch = comparison.patch(&inside, Filtered::Cleaned).unwrap();
    let patch = text(&patch.patch);
    assert!(patch.contains("--- a/deps/inner/README"), "{patch}");
    let against = text(&compared(&record, &guest, &Base::Commit));
    assert!(against.contains("+not committed"), "{against}");
}

#[test]
fn what_no_patch_can_hold_is_named() {
    let place = Place::new();
    let host = place.repository("host");
    write(&host.join(".gitignore"), "ignored/\n");
    commit(&host, "rules");
    let guest = place.at("guest");
    let record = prepare(&host, Wanted::default(), &guest);
    for made in ["app", "deep/er", "ignored/x"] {
        std::fs::create_dir_all(guest.join(made)).unwrap();
        git(&guest.join(made), &["init", "-q"]);
    }
    let fifo = guest.join("pipe");
    assert!(Command::new("mkfifo").arg(fifo).status().unwrap().success());
    let socket = std::os::unix::net::UnixListener::bind(guest.join("socket")).unwrap();
    let returned = returned(&record, "", &guest);
    drop(socket);
    let left = returned.left_behind().iter();
    let left: Vec<_> = left.map(|left| (left.kind, text(&left.path))).collect();
    let named = |kind, path: &str| (kind, path.to_owned());
    assert_eq!(
        left,
        [
            named(LeftKind::Repository, "app"),
            named(LeftKind::Repository, "deep/er"),
            named(LeftKind::Special, "pipe"),
            named(LeftKind::Special, "socket"),
        ]
    );
}

/// A stream with one entry of this name.
fn offered(path: &[u8], kind: EntryKind, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ArchiveWriter::new(&mut bytes);
    let entry = Entry {
        path: path.to_vec(),
        kind,
        mode: 0o644,
        mtime: 0,
        mtime_nanos: 0,
    };
    writer.header(&entry).unwrap();
    writer.content(content).unwrap();
    writer.pad(content.len() as u64).unwrap();
    writer.finish().unwrap();
    bytes
}

#[test]
fn names_that_lead_elsewhere_are_refused_before_git_hears_of_them() {
    let read = |bytes: &[u8]| Returned::read(&mut &bytes[..], PatchLimits::default());
    let file = |size| EntryKind::File { size };
    for path in [
        "../x",
        "/etc/x",
        ".git/hooks/post-checkout",
        "a/.GIT/config",
        "a//b",
    ] {
        let offer = offered(&[b"f/", path.as_bytes()].concat(), file(1), b"x");
        let error = read(&offer).unwrap().check().unwrap_err().to_string();
        assert!(error.contains(path), "{error}");
        let gone = [path.as_bytes(), b"\0"].concat();
        let offer = offered(b"gone", file(gone.len() as u64), &gone);
        assert!(read(&offer).unwrap().check().is_err(), "{path}");
    }
    assert!(read(&offered(b"left", file(3), b"xa\0")).is_err());
    assert!(read(&offered(b"other", file(0), b"")).is_err());
    assert!(read(&offered(b"f/dir", EntryKind::Directory, b"")).is_err());
    let small = PatchLimits {
        bytes: 10,
        ..PatchLimits::default()
    };
    let large = offered(b"f/a", file(1000), &[0; 1000]);
    assert!(Returned::read(&mut &large[..], small).is_err());
}

/// Rules of the kinds that there are, for the names that edits use.
fn rules() -> impl Strategy<Value = Vec<(bool, String)>> {
    let rule = prop_oneof![
        Just("a"),
        Just("!a"),
        Just("/a"),
        Just("dir/"),
        Just("dir"),
        Just("dir/*"),
        Just("!dir/a"),
        Just("*"),
        Just("**/x"),
        Just("d*/[a-m]*"),
        Just("sub/"),
        Just("x b"),
        Just("\\!a"),
        Just("# a"),
        Just("*\\ "),
        Just("d.ir/**"),
    ];
    let text = prop::collection::vec(rule, 0..4).prop_map(|rules| rules.join("\n"));
    prop::collection::vec((any::<bool>(), text), 0..3)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn any_edits_give_the_patch_that_the_guests_git_gives(start in edits(), dirty in edits(), there in edits(), rules in rules()) {
        let place = Place::new();
        let host = place.repository("host");
        start.iter().for_each(|one| edit(&host, one));
        commit(&host, "start");
        dirty.iter().filter(|one| !matches!(one, Edit::Commit)).for_each(|one| edit(&host, one));
        let guest = place.at("guest");
        let record = prepare(&host, Wanted::default(), &guest);
        for (deep, text) in rules {
            let path: PathBuf = if deep { guest.join("dir/.gitignore") } else { guest.join(".gitignore") };
            if path.parent().is_some_and(Path::is_dir) {
                std::fs::write(path, text).unwrap();
            }
        }
        there.iter().for_each(|one| edit(&guest, one));
        for base in [Base::Sent, Base::Commit] {
            let ours = compared(&record, &guest, &base);
            let theirs = by_the_guests_git(&record, &guest, &base);
            prop_assert_eq!(text(&ours), text(&theirs), "{:?}", files(&guest).keys().map(|key| text(key)).collect::<Vec<_>>());
        }
    }
}
