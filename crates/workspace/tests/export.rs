//! Changes of a guest come back: `git apply` on the host gives the same files, after any edit there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod fixture;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use banger_workspace::export::{self, Base};
use banger_workspace::patch::{Checker, Patch, PatchError, PatchLimits};
use banger_workspace::{Comparison, Filtered, Pathspec, Record, Series, Wanted, mbox};
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
    for cut in [1, answer.len() / 2, answer.len() - 1, answer.len() - 46] {
        assert!(mbox::compose(&answer[..cut], PatchLimits::default(), &BTreeSet::new()).is_err());
    }
}

#[test]
fn a_patch_is_applied_here_whole_or_not_at_all_and_what_is_in_its_way_is_named() {
    let place = Place::new();
    let host = place.repository("host");
    git(&host, &["config", "filter.up.clean", "tr a-z A-Z"]);
    git(&host, &["config", "filter.up.smudge", "tr A-Z a-z"]);
    write(
        &host.join(".gitattributes"),
        "*.u filter=up\n*.dos text eol=crlf\n",
    );
    write(&host.join("f.u"), "one\n");
    write(&host.join("d.dos"), "one\r\n");
    commit(&host, "filtered");
    write(&host.join("f.u"), "one\nedited here\n");
    let guest = place.at("guest");
    let record = prepare(&host, Wanted::default(), &guest);
    write(&guest.join("f.u"), "one\nedited here\nAnd There\n");
    write(&guest.join("d.dos"), "one\r\ntwo\r\n");
    write(&guest.join("new/file"), "n\n");
    std::fs::remove_file(guest.join("README")).unwrap();
    let comparison = Comparison::open(&record, "", &Base::Sent).unwrap();
    let returned = fixture::agent::returned(&record, "", &guest);
    let bytes = comparison.patch(&returned, Filtered::AsSent).unwrap().patch;
    let mut checker = Checker::new(PatchLimits::default(), BTreeSet::new());
    checker.push(&bytes).unwrap();
    let patch = checker.finish().unwrap();
    let before = files(&host);
    write(&host.join("README"), "in the way\n");
    write(&host.join("new/file"), "also\n");
    let in_the_way = files(&host);
    match banger_workspace::apply(&record, &patch, &bytes) {
        Err(banger_workspace::ApplyError::Conflict { mut paths, .. }) => {
            paths.sort();
            assert_eq!(paths, [b"README".to_vec(), b"new/file".to_vec()]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(files(&host), in_the_way);
    std::fs::remove_dir_all(host.join("new")).unwrap();
    std::fs::write(host.join("README"), &before[&b"README"[..]].1).unwrap();
    banger_workspace::apply(&record, &patch, &bytes).unwrap();
    assert_eq!(files(&host), files(&guest));
}

/// The mails of a guest's commits, made as the tool makes them.
fn mails(record: &Record, host: &Path, guest: &Path) -> mbox::Mbox {
    let mut head = record.head.clone();
    head.guest_path = guest.to_str().unwrap().to_owned();
    let command = export::commits(&head, &Base::Commit).unwrap();
    let answer = in_guest(&command, guest.parent().unwrap());
    let commits = mbox::Commits::read(&answer).unwrap();
    let (limits, links, all) = (PatchLimits::default(), BTreeSet::new(), Pathspec::default());
    let mbox = commits.mails(limits, &links, &all).unwrap();
    if !commits.has_merges() {
        return mbox;
    }
    let base = record.head.commit.as_ref().unwrap();
    let series = Series::open(host, base).unwrap();
    if series.tree(&mbox.diffs).unwrap() == commits.tree {
        return mbox;
    }
    let linear = commits.linear(limits, &links, &all).unwrap();
    assert_eq!(series.tree(&linear.diffs).unwrap(), commits.tree);
    linear
}

#[test]
fn commits_without_changes_are_left_out_and_named_and_the_rest_is_taken() {
    let place = Place::new();
    let host = place.repository("host");
    let guest = place.at("guest");
    let record = prepare(&host, Wanted::default(), &guest);
    write(&guest.join("a"), "one\n");
    commit(&guest, "first");
    commit(&guest, "nothing in it");
    write(&guest.join("crlf"), "one\r\ntwo\r\n");
    commit(&guest, "carriage returns");
    write(&guest.join("crlf"), "one\r\nTWO\r\nlast\r");
    write(&guest.join("b"), "From here\n");
    commit(&guest, "more\n\nof them\r\n");
    let mbox = mails(&record, &host, &guest);
    let left: Vec<_> = mbox
        .left_out
        .iter()
        .map(|one| (&one.subject[..], one.why))
        .collect();
    assert_eq!(left, [("nothing in it", mbox::WhyLeftOut::Empty)]);
    apply(&host, &["am", "-q"], &mbox.bytes);
    assert_eq!(files(&host), files(&guest));
    assert_eq!(
        git(&host, &["log", "-3", "--format=%s"]),
        "more\ncarriage returns\nfirst"
    );
}

#[test]
fn names_of_authors_arrive_as_they_are() {
    let place = Place::new();
    let host = place.repository("host");
    let guest = place.at("guest");
    let record = prepare(&host, Wanted::default(), &guest);
    let names = [
        "Ann \"the hammer\" Example",
        "\"Quoted\"",
        "Back\\slash",
        "J\u{fc}rgen \"\u{fc}\" M\u{fc}ller",
        "O'Neil (work), Jr.",
        "A. B.",
    ];
    for (n, name) in names.iter().enumerate() {
        write(&guest.join(format!("f{n}")), name);
        git(&guest, &["add", "-A"]);
        git(
            &guest,
            &[
                "commit",
                "-q",
                "-m",
                "x",
                "--author",
                &format!("{name} <a@example.org>"),
            ],
        );
    }
    let mbox = mails(&record, &host, &guest);
    assert!(mbox.renamed.is_empty());
    apply(&host, &["am", "-q"], &mbox.bytes);
    let log = |dir| git(dir, &["log", "-6", "--format=%an"]);
    assert_eq!(log(&host), log(&guest));
}

#[test]
fn merges_come_as_what_they_bring() {
    // Clean: the commits of both sides. With a conflict: each merge is one commit.
    for conflict in [false, true] {
        let place = Place::new();
        let host = place.repository("host");
        let guest = place.at("guest");
        let record = prepare(&host, Wanted::default(), &guest);
        git(&guest, &["checkout", "-q", "-b", "side"]);
        write(
            &guest.join(if conflict { "README" } else { "side" }),
            "side\n",
        );
        commit(&guest, "side");
        git(&guest, &["checkout", "-q", "main"]);
        write(&guest.join("README"), "main\n");
        commit(&guest, "main");
        let merge = [
            "merge", "-q", "--no-ff", "-m", "merged", "-s", "ort", "-X", "ours", "side",
        ];
        git(&guest, &merge);
        if conflict {
            write(&guest.join("README"), "resolved\n");
            git(&guest, &["commit", "-q", "-a", "--amend", "--no-edit"]);
        }
        let mbox = mails(&record, &host, &guest);
        apply(&host, &["am", "-q"], &mbox.bytes);
        assert_eq!(files(&host), files(&guest), "{conflict}");
        assert_eq!(mbox.left_out.len(), usize::from(!conflict));
    }
}

/// One step in a history.
#[derive(Debug, Clone)]
enum Step {
    Edits(Vec<Edit>, String),
    Empty,
    Branch,
    Merge,
}

fn step() -> impl Strategy<Value = Step> {
    let message = "[ -~]{1,12}(\n\n([ -~]{0,20}\r?\n){0,3})?";
    prop_oneof![
        6 => (edits(), message).prop_map(|(edits, message)| Step::Edits(edits, message)),
        1 => Just(Step::Empty),
        1 => Just(Step::Branch),
        1 => Just(Step::Merge),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn git_am_takes_any_history_that_was_made_there(steps in prop::collection::vec(step(), 1..6)) {
        let place = Place::new();
        let host = place.repository("host");
        let guest = place.at("guest");
        let record = prepare(&host, Wanted::default(), &guest);
        let mut branched = false;
        for (n, step) in steps.iter().enumerate() {
            match step {
                Step::Edits(edits, message) => {
                    for one in edits.iter().filter(|one| !matches!(one, Edit::Commit)) {
                        edit(&guest, one);
                    }
                    write(&guest.join("crlf"), &format!("{n}\r\nx\r\n"));
                    git(&guest, &["add", "-A"]);
                    git(&guest, &["commit", "-q", "--allow-empty", "--allow-empty-message", "-m", message]);
                }
                Step::Empty => commit(&guest, "empty"),
                Step::Branch => {
                    git(&guest, &["branch", "-f", "side"]);
                    branched = true;
                }
                Step::Merge if branched => {
                    let tree = git(&guest, &["rev-parse", "HEAD^{tree}"]);
                    git(&guest, &["checkout", "-q", "side"]);
                    write(&guest.join(format!("side{n}")), "s\n");
                    commit(&guest, "side");
                    git(&guest, &["checkout", "-q", "main"]);
                    // A possible resolution: all of ours, and the new file.
                    git(&guest, &["merge", "-q", "-s", "ours", "--no-commit", "--no-ff", "side"]);
                    write(&guest.join(format!("merged{n}")), &tree);
                    commit(&guest, "merged");
                }
                Step::Merge => {}
            }
        }
        let mbox = mails(&record, &host, &guest);
        if mbox.commits > 0 {
            apply(&host, &["am", "-q", "--keep-non-patch"], &mbox.bytes);
        }
        prop_assert_eq!(git(&host, &["rev-parse", "HEAD^{tree}"]), git(&guest, &["rev-parse", "HEAD^{tree}"]));
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
