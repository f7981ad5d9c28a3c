//! The record matches the sent files, for any answer of git about the host's files: the guest is clean, and a plain
//! `git apply` here takes the patch of the guest's changes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests fail as tests do"
)]

mod fixture;

use std::path::{Path, PathBuf};

use banger_workspace::export::Base;
use banger_workspace::patch::{Checker, PatchLimits};
use banger_workspace::{Comparison, Filtered, Record, Survey, Wanted};
use fixture::agent::{compared, returned};
use fixture::{Place, apply, commit, files, git, prepare, write};
use proptest::prelude::*;

const APPLY: &[&str] = &["apply", "--whitespace=nowarn"];

/// A filter that loses nothing when it is run twice, as gitattributes(5) asks of filters.
fn filter(host: &Path, required: bool) {
    git(host, &["config", "filter.up.clean", "tr a-z A-Z"]);
    git(host, &["config", "filter.up.smudge", "tr A-Z a-z"]);
    git(
        host,
        &["config", "filter.up.required", &required.to_string()],
    );
}

fn status(dir: &Path) -> String {
    git(dir, &["status", "--porcelain"])
}

fn run_bit(path: &Path, run: bool) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = if run { 0o755 } else { 0o644 };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Prepares; the guest's git reports the same state as the host's.
fn clean(place: &Place, host: &Path) -> (PathBuf, Record) {
    let guest = place.at("guest");
    let before = status(host);
    let record = prepare(host, Wanted::default(), &guest);
    assert_eq!(status(&guest), before);
    (guest, record)
}

/// Applies the guest's changes here by a plain git apply; returns the patch.
fn comes_back(host: &Path, guest: &Path, record: &Record) -> String {
    let patch = compared(record, guest, &Base::Sent);
    let mut checker = Checker::new(PatchLimits::default(), Default::default());
    checker.push(&patch).unwrap();
    checker.finish().unwrap();
    apply(host, APPLY, &patch);
    String::from_utf8_lossy(&patch).into_owned()
}

#[test]
fn where_modes_mean_nothing_they_go_as_the_index_has_them() {
    let place = Place::new();
    let host = place.repository("host");
    git(&host, &["config", "core.fileMode", "false"]);
    run_bit(&host.join("README"), true);
    run_bit(&host.join("src/tool.sh"), false);
    let (guest, record) = clean(&place, &host);
    write(&guest.join("README"), "one\ntwo\nthree\n");
    let patch = comes_back(&host, &guest, &record);
    assert!(
        !patch.contains("mode 100755") && !patch.contains("old mode"),
        "{patch}"
    );
    assert_eq!(
        std::fs::read(host.join("README")).unwrap(),
        b"one\ntwo\nthree\n"
    );
}

#[test]
fn where_there_are_no_links_their_text_goes_as_a_link() {
    let place = Place::new();
    let host = place.repository("host");
    git(&host, &["config", "core.symlinks", "false"]);
    std::fs::remove_file(host.join("link")).unwrap();
    std::fs::write(host.join("link"), "src/tool.sh").unwrap();
    let (guest, record) = clean(&place, &host);
    assert!(guest.join("link").is_symlink());
    std::fs::remove_file(guest.join("link")).unwrap();
    std::os::unix::fs::symlink("README", guest.join("link")).unwrap();
    comes_back(&host, &guest, &record);
    assert_eq!(std::fs::read(host.join("link")).unwrap(), b"README");
}

#[test]
fn files_that_git_was_told_not_to_look_at_go_as_they_are() {
    for flag in ["--skip-worktree", "--assume-unchanged"] {
        let place = Place::new();
        let host = place.repository("host");
        git(&host, &["update-index", flag, "README"]);
        write(&host.join("README"), "mine\nand only mine\n");
        assert_eq!(status(&host), "");
        let (guest, record) = clean(&place, &host);
        assert_eq!(files(&guest), files(&host), "{flag}");
        assert_eq!(compared(&record, &guest, &Base::Sent), b"", "{flag}");
        write(&guest.join("README"), "mine\nand there\n");
        let patch = comes_back(&host, &guest, &record);
        assert!(patch.contains("-and only mine"), "{flag}: {patch}");
        assert_eq!(files(&guest), files(&host), "{flag}");
    }
}

#[test]
fn files_that_are_kept_out_and_absent_are_counted_and_stay_out() {
    let place = Place::new();
    let host = place.repository("host");
    git(
        &host,
        &["update-index", "--skip-worktree", "README", "src/tool.sh"],
    );
    std::fs::remove_file(host.join("README")).unwrap();
    std::fs::remove_dir_all(host.join("src")).unwrap();
    assert_eq!(
        Survey::take(&host, Wanted::default()).unwrap().kept_out(),
        2
    );
    let (guest, record) = clean(&place, &host);
    assert!(!guest.join("README").exists());
    assert_eq!(compared(&record, &guest, &Base::Sent), b"");
}

#[test]
fn what_stays_behind_is_named() {
    let place = Place::new();
    let host = place.repository("host");
    git(&host, &["init", "-q", "inner"]);
    write(&host.join("inner/x"), "x");
    std::fs::remove_file(host.join("README")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(host.join("README"))
        .status();
    assert!(made.unwrap().success());
    let survey = Survey::take(&host, Wanted::default()).unwrap();
    assert_eq!(survey.nested(), [b"inner".to_vec()]);
    assert_eq!(survey.special(), [b"README".to_vec()]);
}

#[test]
fn a_filtered_file_is_clean_when_only_its_time_is_another() {
    for (required, touch) in [(false, false), (true, false), (false, true)] {
        let place = Place::new();
        let host = place.repository("host");
        filter(&host, required);
        write(&host.join(".gitattributes"), "*.u filter=up\n");
        write(&host.join("f.u"), "one\ntwo\n");
        commit(&host, "filtered");
        std::fs::remove_file(host.join("f.u")).unwrap();
        git(&host, &["checkout", "-q", "--", "f.u"]);
        if touch {
            let file = std::fs::File::options()
                .append(true)
                .open(host.join("f.u"))
                .unwrap();
            file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(99))
                .unwrap();
        }
        let guest = place.at("guest");
        let record = prepare(&host, Wanted::default(), &guest);
        assert_eq!(status(&guest), "", "{required} {touch}");
        write(&guest.join("f.u"), "one\ntwo\nthree\n");
        comes_back(&host, &guest, &record);
        assert_eq!(files(&guest), files(&host), "{required} {touch}");
    }
}

#[test]
fn a_filtered_file_that_was_edited_here_is_named_and_a_git_without_filters_takes_it() {
    let place = Place::new();
    let host = place.repository("host");
    filter(&host, true);
    write(&host.join(".gitattributes"), "*.u filter=up\n");
    write(&host.join("f.u"), "one\n");
    commit(&host, "filtered");
    write(&host.join("f.u"), "one\nedited here\n");
    let guest = place.at("guest");
    let record = prepare(&host, Wanted::default(), &guest);
    write(&guest.join("f.u"), "one\nedited here\nand there\n");
    let comparison = Comparison::open(&record, "", &Base::Sent).unwrap();
    let there = returned(&record, "", &guest);
    let plain = comparison.patch(&there, Filtered::Cleaned).unwrap();
    assert_eq!(plain.filtered, [(b"f.u".to_vec(), "up".to_owned())]);
    let off = [
        "-c",
        "filter.up.clean=",
        "-c",
        "filter.up.smudge=",
        "-c",
        "filter.up.required=false",
    ];
    apply(&host, &[&off[..], APPLY].concat(), &plain.patch);
    assert_eq!(files(&guest), files(&host));
}

#[test]
fn a_file_of_git_lfs_is_known_by_its_pointer() {
    let place = Place::new();
    let host = place.repository("host");
    // Cleans to the pointer of its input, as Git LFS does.
    git(
        &host,
        &[
            "config",
            "filter.lfs.clean",
            "sh -c 't=$(mktemp); cat >$t; printf \"version https://git-lfs.github.com/spec/v1\\noid sha256:%s\\nsize %s\\n\" $(sha256sum <$t | cut -d\" \" -f1) $(wc -c <$t); rm $t'",
        ],
    );
    git(&host, &["config", "filter.lfs.smudge", "cat"]);
    write(&host.join(".gitattributes"), "*.bin filter=lfs -text\n");
    write(&host.join("big.bin"), "content\n");
    commit(&host, "large file");
    write(&host.join("big.bin"), "CONTENT\n");
    write(&host.join("big.bin"), "content\n");
    let (guest, record) = clean(&place, &host);
    write(&guest.join("big.bin"), "other content\n");
    comes_back(&host, &guest, &record);
    assert_eq!(files(&guest), files(&host));
    // As long, and another: the pointer tells.
    git(&host, &["checkout", "-q", "-f", "."]);
    write(&host.join("big.bin"), "tnetnoc\n");
    let second = place.at("second");
    prepare(&host, Wanted::default(), &second);
    assert_eq!(status(&second), " M big.bin");
}

#[test]
fn a_file_that_is_to_be_added_is_to_be_added_there() {
    let place = Place::new();
    let host = place.repository("host");
    write(&host.join("new"), "new\n");
    git(&host, &["add", "-N", "new"]);
    let (guest, record) = clean(&place, &host);
    assert_eq!(git(&guest, &["diff", "--cached", "--name-only"]), "");
    assert_eq!(git(&guest, &["diff", "--name-only"]), "new");
    write(&guest.join("new"), "new\nnewer\n");
    comes_back(&host, &guest, &record);
    assert_eq!(files(&guest), files(&host));
}

#[test]
fn what_git_converts_comes_back_as_git_would_have_it() {
    let place = Place::new();
    let host = place.repository("host");
    write(
        &host.join(".gitattributes"),
        "*.dos text eol=crlf\n*.id ident\n*.w working-tree-encoding=UTF-16LE\n*.auto text=auto\n",
    );
    let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    write(&host.join("a.dos"), "one\r\ntwo\r\n");
    write(&host.join("b.id"), "$Id$\nx\n");
    std::fs::write(host.join("c.w"), wide("one\ntwo\n")).unwrap();
    write(&host.join("plain"), "one\r\ntwo\n");
    commit(&host, "converted");
    git(&host, &["rm", "-q", "--cached", "b.id"]);
    git(&host, &["reset", "-q", "--hard"]);
    let (guest, record) = clean(&place, &host);
    write(&guest.join("a.dos"), "one\r\ntwo\r\nthree\r\n");
    let id = std::fs::read_to_string(guest.join("b.id")).unwrap();
    write(&guest.join("b.id"), &id.replace("x\n", "y\n"));
    std::fs::write(guest.join("c.w"), wide("one\ntwo\nthree\n")).unwrap();
    write(&guest.join("plain"), "one\r\ntwo\nthree\r\n");
    write(&guest.join("new.dos"), "new\r\n");
    let patch = comes_back(&host, &guest, &record);
    // Untouched lines are in no change.
    for line in ["-one", "+one", "-$Id"] {
        assert!(
            !patch.lines().any(|other| other.starts_with(line)),
            "{patch}"
        );
    }
    for name in ["a.dos", "c.w", "plain", "new.dos"] {
        assert_eq!(
            std::fs::read(host.join(name)).unwrap(),
            std::fs::read(guest.join(name)).unwrap(),
            "{name}"
        );
    }
    assert!(
        std::fs::read_to_string(host.join("b.id"))
            .unwrap()
            .ends_with("y\n")
    );
}

#[test]
fn a_second_prepare_sends_what_changed_by_the_same_rules() {
    let place = Place::new();
    let host = place.repository("host");
    git(&host, &["config", "core.fileMode", "false"]);
    let (_, record) = clean(&place, &host);
    run_bit(&host.join("README"), true);
    let survey = std::sync::Arc::new(Survey::take(&host, Wanted::default()).unwrap());
    assert!(
        banger_workspace::Changes::find(&survey, &record)
            .unwrap()
            .is_empty()
    );
    git(&host, &["update-index", "--chmod=+x", "README"]);
    let survey = std::sync::Arc::new(Survey::take(&host, Wanted::default()).unwrap());
    let changes = banger_workspace::Changes::find(&survey, &record).unwrap();
    assert_eq!(changes.sent.keys().collect::<Vec<_>>(), [b"README"]);
}

/// Cause for which git's answer differs from the disk.
#[derive(Debug, Clone)]
enum Twist {
    FileMode,
    AutoCrlf(&'static str),
    Attributes(Vec<&'static str>),
    Flag(&'static str, usize),
    RunBit(usize, bool),
    Touch(usize),
    Intend(usize),
}

const NAMES: &[&str] = &[
    "a.txt",
    "b.dos",
    "c.u",
    "d.id",
    "dir/e.txt",
    "dir/f.u",
    "dir/sub/g.bin",
    "h i",
    "n\u{e9}w",
];

fn text() -> impl Strategy<Value = String> {
    let line =
        prop_oneof![4 => "[a-d]{1,6}\n", 2 => "[a-d]{1,6}\r\n", 1 => Just("$Id$\n".to_owned())];
    prop::collection::vec(line, 0..8).prop_map(|lines| lines.concat())
}

fn twist() -> impl Strategy<Value = Twist> {
    let name = 0..NAMES.len();
    let rule = prop_oneof![
        Just("*.u filter=up"),
        Just("*.dos text eol=crlf"),
        Just("*.id ident"),
        Just("*.txt text"),
        Just("* text=auto"),
        Just("*.txt eol=lf"),
        Just("*.bin binary"),
        Just("dir/** -text"),
    ];
    let flag = prop_oneof![Just("--skip-worktree"), Just("--assume-unchanged")];
    prop_oneof![
        Just(Twist::FileMode),
        prop_oneof![Just("true"), Just("input"), Just("false")].prop_map(Twist::AutoCrlf),
        prop::collection::vec(rule, 1..5).prop_map(Twist::Attributes),
        (flag, name.clone()).prop_map(|(flag, name)| Twist::Flag(flag, name)),
        (name.clone(), any::<bool>()).prop_map(|(name, run)| Twist::RunBit(name, run)),
        name.clone().prop_map(Twist::Touch),
        name.prop_map(Twist::Intend),
    ]
}

fn twisted(host: &Path, twists: &[Twist]) {
    for twist in twists {
        let at = |name: &usize| host.join(NAMES[*name]);
        match twist {
            Twist::FileMode => drop(git(host, &["config", "core.fileMode", "false"])),
            Twist::AutoCrlf(value) => drop(git(host, &["config", "core.autocrlf", value])),
            Twist::Attributes(rules) => {
                write(&host.join(".gitattributes"), &(rules.join("\n") + "\n"))
            }
            Twist::Flag(flag, name) if !git(host, &["ls-files", "--", NAMES[*name]]).is_empty() => {
                git(host, &["update-index", flag, NAMES[*name]]);
            }
            Twist::RunBit(name, run) if at(name).is_file() => run_bit(&at(name), *run),
            Twist::Touch(name) if at(name).is_file() => {
                let text = std::fs::read(at(name)).unwrap();
                std::fs::write(at(name), text).unwrap();
            }
            Twist::Intend(name) if !at(name).exists() && !NAMES[*name].ends_with(".u") => {
                write(&at(name), "intended\n");
                git(host, &["add", "-N", NAMES[*name]]);
            }
            _ => {}
        }
    }
}

/// Drops rules that come after the commit: with them, only the filter would know the index's content of a file.
fn without_new_filters(mut twists: Vec<Twist>) -> Vec<Twist> {
    for twist in &mut twists {
        if let Twist::Attributes(rules) = twist {
            rules.retain(|rule| !rule.contains("filter"));
        }
    }
    twists
}

/// git's stored form of a host's file: the same for two contents that it takes for one.
fn cleaned(host: &Path, path: &[u8], content: &[u8]) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let path = std::ffi::OsStr::from_bytes(path).to_str().unwrap();
    let output = fixture::fed(host, &["hash-object", "--stdin", "--path", path], content);
    String::from_utf8(output.stdout).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_repository_arrives_clean_and_any_work_there_is_taken_here(
        start in prop::collection::vec((0..NAMES.len(), text()), 1..8),
        early in prop::collection::vec(twist(), 0..3),
        twists in prop::collection::vec(twist(), 0..5).prop_map(without_new_filters),
        dirty in prop::collection::vec((0..NAMES.len(), text()), 0..3),
        there in prop::collection::vec((0..NAMES.len(), prop::option::weighted(0.8, text()), any::<bool>()), 0..6),
    ) {
        let place = Place::new();
        let host = place.repository("host");
        filter(&host, false);
        twisted(&host, &early);
        for (name, text) in &start {
            write(&host.join(NAMES[*name]), text);
        }
        commit(&host, "start");
        git(&host, &["checkout", "-q", "-f", "."]);
        twisted(&host, &twists);
        let filtered = |name: &str| git(&host, &["check-attr", "filter", "--", name]).ends_with(": up");
        for (name, text) in &dirty {
            // Only the filter knows its output for an edit: such files are tried above.
            if !filtered(NAMES[*name]) {
                write(&host.join(NAMES[*name]), text);
            }
        }
        let guest = place.at("guest");
        let before = git(&host, &["status", "--porcelain", "--untracked-files=no"]);
        let record = prepare(&host, Wanted { include_untracked: true, ..Wanted::default() }, &guest);
        let after = git(&guest, &["status", "--porcelain", "--untracked-files=no"]);
        let filters = files(&host).keys().any(|path| std::str::from_utf8(path).is_ok_and(filtered));
        if !filters {
            prop_assert_eq!(&before, &after);
        }
        prop_assert_eq!(compared(&record, &guest, &Base::Sent), b"".to_vec());
        for (name, text, run) in &there {
            let path = guest.join(NAMES[*name]);
            match text {
                Some(text) => {
                    write(&path, text);
                    run_bit(&path, *run);
                }
                None => drop(std::fs::remove_file(path)),
            }
        }
        let patch = compared(&record, &guest, &Base::Sent);
        if !patch.is_empty() {
            apply(&host, APPLY, &patch);
        }
        let (ours, theirs) = (files(&host), files(&guest));
        prop_assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
        for (path, (_, content)) in &theirs {
            let here = &ours[path].1;
            if here != content {
                prop_assert_eq!(cleaned(&host, path, here), cleaned(&host, path, content), "{:?}", String::from_utf8_lossy(path));
            }
        }
    }
}
