//! What changed in a guest comes back: `git apply` on the host gives the same files, whatever was done there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests fail as tests do"
)]

mod fixture;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use banger_workspace::export::{self, Base};
use banger_workspace::patch::{Checker, Patch, PatchError, PatchLimits};
use banger_workspace::{Record, Wanted, mbox};
use fixture::edits::{Edit, edit, edits};
use fixture::{Place, apply, commit, files, git, prepare, write};
use proptest::prelude::*;

/// Runs a script of ours where a guest would, and answers with its output.
fn in_guest(command: &[String], home: &Path) -> Vec<u8> {
    let output = Command::new(&command[0])
        .args(&command[1..])
        .env("HOME", home)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {told}", output.status);
    output.stdout
}

fn exported(record: &Record, guest: &Path, base: &Base) -> (Vec<u8>, Result<Patch, PatchError>) {
    let mut head = record.head.clone();
    head.guest_path = guest.to_str().unwrap().to_owned();
    let patch = in_guest(
        &export::worktree(&head, base).unwrap(),
        guest.parent().unwrap(),
    );
    let links = record
        .files
        .iter()
        .filter(|(_, sent)| sent.mode == 0o120_000);
    let links = links.map(|(path, _)| path.clone()).collect();
    let mut checker = Checker::new(PatchLimits::default(), links);
    let checked = checker.push(&patch).and_then(|()| checker.finish());
    (patch, checked)
}

const APPLY: &[&str] = &["apply", "--whitespace=nowarn"];

#[test]
fn what_was_done_in_the_guest_is_done_here_and_nothing_there_was_touched() {
    let place = Place::new();
    let host = place.repository("host");
    write(&host.join("dirty"), "before\n");
    git(&host, &["add", "dirty"]);
    write(&host.join("README"), "one\ntwo\nnot committed\n");
    let guest = place.at("guest");
    let record = prepare(&host, Wanted::default(), &guest);
    write(
        &guest.join("README"),
        "one\ntwo\nnot committed\nin the guest\n",
    );
    std::fs::remove_file(guest.join("dirty")).unwrap();
    std::fs::write(guest.join("binary"), [0, 159, 146, 150, 0]).unwrap();
    write(&guest.join("dir/new file"), "n\n");
    commit(&guest, "in the guest");
    std::fs::write(guest.join("later"), "not committed there").unwrap();
    let before = (
        git(&guest, &["status", "--porcelain"]),
        std::fs::read(guest.join(".git/index")).unwrap(),
        git(&guest, &["count-objects"]),
    );
    let (patch, checked) = exported(&record, &guest, &Base::Sent);
    let after = (
        git(&guest, &["status", "--porcelain"]),
        std::fs::read(guest.join(".git/index")).unwrap(),
        git(&guest, &["count-objects"]),
    );
    assert_eq!(before, after);
    assert!(checked.unwrap().files.iter().any(|file| file.binary));
    apply(&host, APPLY, &patch);
    assert_eq!(files(&host), files(&guest));

    // Against the commit it fits a clean checkout.
    let clean = place.at("clean");
    git(
        place.0.path(),
        &[
            "clone",
            "-q",
            host.to_str().unwrap(),
            clean.to_str().unwrap(),
        ],
    );
    let (patch, checked) = exported(&record, &guest, &Base::Commit);
    checked.unwrap();
    apply(&clean, APPLY, &patch);
    assert_eq!(files(&clean), files(&guest));
}

#[test]
fn changes_in_a_submodule_come_with_the_rest() {
    let place = Place::new();
    let inner = place.repository("inner");
    let host = place.repository("host");
    git(
        &host,
        &[
            "submodule",
            "--quiet",
            "add",
            inner.to_str().unwrap(),
            "deps/inner",
        ],
    );
    commit(&host, "submodule");
    let guest = place.at("guest");
    let record = prepare(&host, Wanted::default(), &guest);
    write(&guest.join("deps/inner/README"), "inside\n");
    write(&guest.join("README"), "outside\n");
    let (patch, checked) = exported(&record, &guest, &Base::Sent);
    assert_eq!(checked.unwrap().files.len(), 2);
    apply(&host, APPLY, &patch);
    assert_eq!(files(&host), files(&guest));
}

#[test]
fn commits_come_with_their_authors_and_messages() {
    let place = Place::new();
    let host = place.repository("host");
    let guest = place.at("guest");
    let record = prepare(&host, Wanted::default(), &guest);
    let messages = [
        "plain",
        "subject\n\nbody\nof two lines",
        "üñí ☃ subject that is so long that a header would have to be folded somewhere, which is a thing that happens",
        "trick\n\ndiff --git a/../../x b/../../x\nnew file mode 100644\n--- /dev/null\n+++ b/../../x\n@@ -0,0 +1 @@\n+evil",
        "cut\n\n---\nFrom deadbeef Mon Sep 17 00:00:00 2001\nIndex: x",
    ];
    for (n, message) in messages.iter().enumerate() {
        write(&guest.join(format!("file{n}")), message);
        git(&guest, &["add", "-A"]);
        git(
            &guest,
            &[
                "commit",
                "-q",
                "--author",
                "Jürgen J. Müller <j@example.org>",
                "-m",
                message,
            ],
        );
    }
    let mut head = record.head.clone();
    head.guest_path = guest.to_str().unwrap().to_owned();
    let answer = in_guest(
        &export::commits(&head, &Base::Commit).unwrap(),
        place.0.path(),
    );
    let made = mbox::compose(&answer, PatchLimits::default(), &BTreeSet::new()).unwrap();
    assert_eq!(made.commits, messages.len());
    apply(&host, &["am", "-q"], &made.bytes);
    assert_eq!(files(&host), files(&guest));
    let log = |dir, format: &str| git(dir, &["log", "-5", &format!("--format={format}")]);
    assert_eq!(log(&host, "%an %ae %at %s"), log(&guest, "%an %ae %at %s"));
    assert!(!place.at("x").exists() && !place.0.path().parent().unwrap().join("x").exists());
    for cut in [1, answer.len() / 2, answer.len() - 1] {
        assert!(mbox::compose(&answer[..cut], PatchLimits::default(), &BTreeSet::new()).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_edits_of_any_tree_come_back_as_they_are(start in edits(), dirty in edits(), there in edits()) {
        let place = Place::new();
        let host = place.repository("host");
        start.iter().for_each(|one| edit(&host, one));
        commit(&host, "start");
        dirty.iter().filter(|one| !matches!(one, Edit::Commit)).for_each(|one| edit(&host, one));
        let guest = place.at("guest");
        let record = prepare(&host, Wanted { include_untracked: true, ..Wanted::default() }, &guest);
        prop_assert_eq!(files(&guest), files(&host));
        there.iter().for_each(|one| edit(&guest, one));
        let (patch, checked) = exported(&record, &guest, &Base::Sent);
        prop_assert!(checked.is_ok(), "{:?}\n{}", checked, String::from_utf8_lossy(&patch));
        if !patch.is_empty() {
            apply(&host, APPLY, &patch);
        }
        prop_assert_eq!(files(&host), files(&guest));
    }
}
