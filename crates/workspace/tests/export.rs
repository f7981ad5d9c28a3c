//! What changed in a guest comes back: `git apply` on the host gives the same files, whatever was done there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests fail as tests do"
)]

mod fixture;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use banger_workspace::export::{self, Base};
use banger_workspace::patch::{Checker, Patch, PatchError, PatchLimits};
use banger_workspace::{Record, Wanted, mbox};
use fixture::{Place, commit, files, git, prepare, write};
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

fn apply(dir: &Path, verb: &[&str], patch: &[u8]) {
    let mut child = Command::new("git")
        .args(verb)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_COMMITTER_NAME", "C")
        .env("GIT_COMMITTER_EMAIL", "c@example.org")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), patch).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "git {verb:?}: {told}\n{}",
        String::from_utf8_lossy(patch)
    );
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

#[derive(Debug, Clone)]
enum Edit {
    Write(usize, Vec<u8>),
    Link(usize, usize),
    Remove(usize),
    Mode(usize, bool),
    Commit,
}

/// Names that differ in all ways that matter: case, spaces, quotes, line ends, bytes that are no text, depth.
const NAMES: &[&[u8]] = &[
    b"a",
    b"A",
    b"b c",
    b"dir/a",
    b"dir/b\tc",
    b"dir/sub/\xff\xfe",
    b"quote\"",
    b"new\nline",
    b"back\\slash",
    b"-dash",
    b"d.ir/x",
    b"\xc3\xa4",
    b"trailing ",
    b"x b/x",
    b"dir2/x b/dir2/x",
];

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let name = 0..NAMES.len();
    let lines = prop::collection::vec("[a-c ]{0,3}\n?", 0..12)
        .prop_map(|lines| lines.concat().into_bytes());
    let content = prop_oneof![4 => lines, 1 => prop::collection::vec(any::<u8>(), 0..300)];
    let edit = prop_oneof![
        6 => (name.clone(), content).prop_map(|(name, content)| Edit::Write(name, content)),
        1 => (name.clone(), name.clone()).prop_map(|(name, target)| Edit::Link(name, target)),
        2 => name.clone().prop_map(Edit::Remove),
        2 => (name, any::<bool>()).prop_map(|(name, run)| Edit::Mode(name, run)),
        1 => Just(Edit::Commit),
    ];
    prop::collection::vec(edit, 0..14)
}

/// Does an edit where it is possible; what is in its way stays.
fn edit(dir: &Path, edit: &Edit) {
    let at = |name: usize| dir.join(OsStr::from_bytes(NAMES[name]));
    let parent = |path: &Path| std::fs::create_dir_all(path.parent().unwrap()).ok();
    match edit {
        Edit::Write(name, content) => {
            let path = at(*name);
            parent(&path);
            if !path.is_symlink() {
                std::fs::write(path, content).ok();
            }
        }
        Edit::Link(name, target) => {
            let path = at(*name);
            parent(&path);
            std::fs::remove_file(&path).ok();
            // Beside it, so that it stays inside.
            let target = Path::new(OsStr::from_bytes(NAMES[*target]));
            std::os::unix::fs::symlink(target.file_name().unwrap(), path).ok();
        }
        Edit::Remove(name) => drop(std::fs::remove_file(at(*name))),
        Edit::Mode(name, run) => {
            let path = at(*name);
            if !path.is_symlink() {
                let mode = if *run { 0o755 } else { 0o644 };
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).ok();
            }
        }
        Edit::Commit => {
            git(dir, &["add", "-A"]);
            git(dir, &["commit", "-q", "--allow-empty", "-m", "edit"]);
        }
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
