//! Repositories as they arrive in a guest, looked at by git itself.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod fixture;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use banger_workspace::{Depth, Survey, Wanted, WorkspaceError};
use fixture::{Place, commit, files, git, prepare, write};

fn status(dir: &std::path::Path) -> String {
    git(dir, &["status", "--porcelain", "--branch"])
}

#[test]
fn a_clean_repository_arrives_clean_and_git_reads_none_of_its_files() {
    let place = Place::new();
    let host = place.repository("host");
    let guest = place.at("guest");
    prepare(&host, Wanted::default(), &guest);
    assert_eq!(files(&guest), files(&host));
    assert_eq!(
        git(&guest, &["rev-parse", "HEAD"]),
        git(&host, &["rev-parse", "HEAD"])
    );
    assert_eq!(git(&guest, &["log", "--format=%s"]), "second\nfirst");
    git(&guest, &["fsck", "--strict"]);
    // diff-files goes by the index's metadata of files, and reads none.
    assert_eq!(git(&guest, &["diff-files", "--name-only"]), "");
    assert_eq!(status(&guest), "## main");
}

#[test]
fn uncommitted_changes_arrive_as_they_are_staged_and_not() {
    let place = Place::new();
    let host = place.repository("host");
    write(&host.join("README"), "staged\n");
    write(&host.join("new"), "new\n");
    git(&host, &["add", "README", "new"]);
    write(&host.join("README"), "staged and changed again\n");
    std::fs::remove_file(host.join("link")).unwrap();
    write(&host.join("untracked"), "u\n");
    write(&host.join(".gitignore"), "ignored\n");
    write(&host.join("ignored"), "secret\n");
    let guest = place.at("guest");
    let expected = " D link\nMM README\nA  new";
    let sorted = |text: String| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines.join("\n")
    };
    prepare(&host, Wanted::default(), &guest);
    assert_eq!(
        sorted(git(&guest, &["status", "--porcelain"])),
        sorted(expected.to_owned())
    );
    assert!(!guest.join("untracked").exists() && !guest.join("ignored").exists());
    git(&guest, &["fsck", "--strict"]);

    let all = place.at("all");
    let wanted = Wanted {
        include_untracked: true,
        ..Wanted::default()
    };
    prepare(&host, wanted, &all);
    assert!(all.join("untracked").exists() && !all.join("ignored").exists());
    assert_eq!(
        sorted(git(&all, &["status", "--porcelain"])),
        sorted(git(&host, &["status", "--porcelain"]))
    );
}

#[test]
fn names_of_any_bytes_arrive() {
    let place = Place::new();
    let host = place.repository("host");
    for name in [
        &b"with space"[..],
        b"new\nline",
        b"\xff\xfe",
        b"Case",
        b"case",
        b"quote\"",
        b"tab\t",
        b"-dash",
        b"a.b",
        b"a/b",
    ] {
        let path = host.join(OsStr::from_bytes(name));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, name).unwrap();
    }
    commit(&host, "odd");
    let guest = place.at("guest");
    prepare(&host, Wanted::default(), &guest);
    assert_eq!(files(&guest), files(&host));
    assert_eq!(status(&guest), "## main");
}

#[test]
fn history_is_cut_where_it_was_asked_to_be() {
    let place = Place::new();
    let host = place.repository("host");
    git(&host, &["tag", "-a", "-m", "old", "old", "HEAD~1"]);
    for n in 0..5 {
        write(&host.join("n"), &n.to_string());
        commit(&host, &format!("n{n}"));
    }
    git(&host, &["checkout", "-q", "-b", "side", "HEAD~3"]);
    write(&host.join("side"), "s");
    commit(&host, "side");
    git(&host, &["checkout", "-q", "main"]);
    git(&host, &["merge", "-q", "--no-edit", "side"]);
    git(&host, &["tag", "new"]);
    for depth in [1, 2, 3, 4, 100] {
        let guest = place.at(&format!("guest{depth}"));
        let cloned = place.at(&format!("cloned{depth}"));
        let from = format!("file://{}", host.display());
        git(
            &place.at(""),
            &[
                "clone",
                "-q",
                "--depth",
                &depth.to_string(),
                &from,
                cloned.to_str().unwrap(),
            ],
        );
        prepare(
            &host,
            Wanted {
                depth: Depth::Commits(depth),
                ..Wanted::default()
            },
            &guest,
        );
        let log = |dir| git(dir, &["log", "--format=%H", "main"]);
        assert_eq!(log(&guest), log(&cloned), "depth {depth}");
        assert_eq!(
            git(&guest, &["tag"]),
            git(&cloned, &["tag"]),
            "depth {depth}"
        );
        git(&guest, &["fsck", "--strict"]);
    }
    let full = place.at("full");
    prepare(
        &host,
        Wanted {
            depth: Depth::Full,
            ..Wanted::default()
        },
        &full,
    );
    assert_eq!(
        git(&full, &["log", "--format=%H"]),
        git(&host, &["log", "--format=%H"])
    );
    assert_eq!(
        git(&full, &["rev-parse", "--is-shallow-repository"]),
        "false"
    );
    // A shallow repository can be handed on.
    let again = place.at("again");
    prepare(&place.at("guest2"), Wanted::default(), &again);
    assert_eq!(
        git(&again, &["log", "--format=%H"]),
        git(&place.at("guest2"), &["log", "--format=%H"])
    );
    git(&again, &["fsck", "--strict"]);
}

#[test]
fn a_new_branch_begins_where_it_was_asked_to() {
    let place = Place::new();
    let host = place.repository("host");
    write(&host.join("README"), "changed\n");
    let guest = place.at("guest");
    let wanted = Wanted {
        branch: Some("topic".into()),
        from: Some("HEAD~1".into()),
        ..Wanted::default()
    };
    prepare(&host, wanted, &guest);
    assert_eq!(status(&guest), "## topic");
    assert_eq!(
        std::fs::read_to_string(guest.join("README")).unwrap(),
        "one\n"
    );
    assert_eq!(
        git(&guest, &["rev-parse", "topic"]),
        git(&host, &["rev-parse", "HEAD~1"])
    );
    let here = place.at("here");
    prepare(
        &host,
        Wanted {
            branch: Some("topic".into()),
            ..Wanted::default()
        },
        &here,
    );
    assert_eq!(status(&here), "## topic\n M README");
    for (branch, from) in [
        ("a..b", "HEAD"),
        ("-x", "HEAD"),
        ("ok", "nonsense"),
        ("ok", "--all"),
    ] {
        let wanted = Wanted {
            branch: Some(branch.into()),
            from: Some(from.into()),
            ..Wanted::default()
        };
        assert!(
            matches!(Survey::take(&host, wanted), Err(WorkspaceError::Asked(_))),
            "{branch} {from}"
        );
    }
}

#[test]
fn submodules_arrive_as_repositories_of_their_own() {
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
    write(&host.join("deps/inner/README"), "changed inside\n");
    let guest = place.at("guest");
    prepare(&host, Wanted::default(), &guest);
    assert_eq!(files(&guest), files(&host));
    assert_eq!(status(&guest.join("deps/inner")), "## main\n M README");
    let known = git(&guest, &["submodule", "status"]);
    assert!(
        known.starts_with(' ') && known.ends_with("deps/inner (heads/main)"),
        "{known}"
    );

    // A submodule that is not checked out here is empty there as well; one that lost its repository is refused.
    git(
        &host,
        &["submodule", "--quiet", "deinit", "-f", "deps/inner"],
    );
    let survey = Survey::take(&host, Wanted::default()).unwrap();
    assert_eq!(survey.absent_submodules, ["deps/inner"]);
    git(&host, &["submodule", "--quiet", "update", "--init"]);
    std::fs::rename(host.join(".git/modules/deps/inner"), place.at("elsewhere")).unwrap();
    let refused = Survey::take(&host, Wanted::default()).unwrap_err();
    assert!(
        matches!(&refused, WorkspaceError::Submodule { path, .. } if path == "deps/inner"),
        "{refused}"
    );
}

#[test]
fn a_linked_work_tree_arrives_as_a_whole_repository() {
    let place = Place::new();
    let host = place.repository("host");
    let linked = place.at("linked");
    git(
        &host,
        &[
            "worktree",
            "add",
            "-q",
            "-b",
            "other",
            linked.to_str().unwrap(),
        ],
    );
    write(&linked.join("README"), "in the work tree\n");
    let guest = place.at("guest");
    prepare(&linked.join("src"), Wanted::default(), &guest);
    assert!(guest.join(".git").is_dir());
    assert_eq!(status(&guest), "## other\n M README");
}

#[test]
fn a_repository_without_commits_arrives_without_commits() {
    let place = Place::new();
    let host = place.at("host");
    std::fs::create_dir(&host).unwrap();
    git(&host, &["init", "-q", "-b", "trunk"]);
    let empty = place.at("empty");
    prepare(&host, Wanted::default(), &empty);
    assert_eq!(status(&empty), "## No commits yet on trunk");
    write(&host.join("a"), "a");
    git(&host, &["add", "a"]);
    let guest = place.at("guest");
    prepare(&host, Wanted::default(), &guest);
    assert_eq!(status(&guest), "## No commits yet on trunk\nA  a");
    git(&guest, &["fsck", "--strict"]);
}

#[test]
fn what_is_no_repository_with_files_is_refused_by_name() {
    let place = Place::new();
    let bare = place.at("bare");
    git(place.0.path(), &["init", "-q", "--bare", "bare"]);
    let refused = |path: &std::path::Path| Survey::take(path, Wanted::default()).unwrap_err();
    assert!(matches!(refused(&bare), WorkspaceError::Bare(_)));
    assert!(matches!(
        refused(place.0.path()),
        WorkspaceError::NoRepository(_)
    ));
    assert!(matches!(
        refused(&place.at("absent")),
        WorkspaceError::Path { .. }
    ));
    write(&place.at("file"), "");
    assert!(matches!(
        refused(&place.at("file")),
        WorkspaceError::Path { .. }
    ));
}

#[test]
fn hooks_filters_credentials_and_programs_of_the_host_neither_run_nor_arrive() {
    let place = Place::new();
    let host = place.repository("host");
    let ran = place.at("ran");
    let program = place.at("program");
    write(
        &program,
        &format!("#!/bin/sh\necho $0 >> {}\ncat\n", ran.display()),
    );
    std::fs::set_permissions(
        &program,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let run = program.to_str().unwrap();
    for hook in [
        "post-index-change",
        "reference-transaction",
        "pre-commit",
        "post-checkout",
    ] {
        std::fs::copy(&program, host.join(".git/hooks").join(hook)).unwrap();
    }
    for key in [
        "core.fsmonitor",
        "diff.external",
        "core.pager",
        "filter.x.clean",
        "filter.x.process",
        "diff.x.textconv",
        "core.sshCommand",
        "credential.helper",
    ] {
        git(&host, &["config", key, run]);
    }
    git(&host, &["config", "filter.x.required", "true"]);
    git(
        &host,
        &[
            "remote",
            "add",
            "origin",
            "https://me:hunter2@example.org/r.git",
        ],
    );
    git(
        &host,
        &["config", "http.extraHeader", "Authorization: hunter3"],
    );
    write(&host.join(".gitattributes"), "* filter=x diff=x\n");
    write(&host.join("README"), "changed under a filter\n");
    std::fs::remove_file(&ran).ok();
    let guest = place.at("guest");
    prepare(
        &host,
        Wanted {
            include_untracked: true,
            ..Wanted::default()
        },
        &guest,
    );
    assert!(
        !ran.exists(),
        "ran: {}",
        std::fs::read_to_string(&ran).unwrap()
    );
    assert!(!guest.join(".git/hooks").exists());
    let config = std::fs::read_to_string(guest.join(".git/config")).unwrap();
    assert!(config.contains("https://example.org/r.git"), "{config}");
    for word in ["hunter", run, "me:"] {
        assert!(!config.contains(word), "{config}");
    }
}

#[test]
fn a_pointer_to_a_large_file_elsewhere_stays_one() {
    let place = Place::new();
    let host = place.repository("host");
    // As git-lfs writes them, when it is told to fetch nothing.
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    write(
        &host.join(".gitattributes"),
        "*.bin filter=lfs diff=lfs -text\n",
    );
    write(&host.join("large.bin"), pointer);
    git(&host, &["add", "-A"]);
    commit(&host, "large");
    // A program that would fetch it ends the test when it runs.
    for key in ["clean", "smudge", "process"] {
        git(&host, &["config", &format!("filter.lfs.{key}"), "false"]);
    }
    git(&host, &["config", "filter.lfs.required", "true"]);
    let guest = place.at("guest");
    let record = prepare(&host, Wanted::default(), &guest);
    assert_eq!(
        std::fs::read_to_string(guest.join("large.bin")).unwrap(),
        pointer
    );
    assert_eq!(git(&guest, &["status", "--porcelain"]), "");
    assert_eq!(record.files[&b"large.bin"[..]].size, pointer.len() as u64);
}

#[test]
fn the_host_s_repository_is_not_written_to() {
    let place = Place::new();
    let host = place.repository("host");
    write(&host.join("README"), "changed\n");
    write(&host.join("new"), "new\n");
    let listing = || {
        let find = std::process::Command::new("find")
            .args([".git", "-type", "f", "-printf", "%p %T@ %s\n"])
            .current_dir(&host)
            .output()
            .unwrap();
        String::from_utf8(find.stdout).unwrap()
    };
    let before = listing();
    prepare(
        &host,
        Wanted {
            include_untracked: true,
            ..Wanted::default()
        },
        &place.at("guest"),
    );
    assert_eq!(listing(), before);
}

#[test]
fn of_a_partial_clone_goes_what_is_here() {
    let place = Place::new();
    let origin = place.repository("origin");
    for n in 0..3 {
        write(&origin.join("README"), &format!("{n}\n"));
        write(&origin.join("big/x"), &format!("{n}\n"));
        commit(&origin, &format!("n{n}"));
    }
    git(&origin, &["config", "uploadpack.allowFilter", "true"]);
    git(
        &origin,
        &["config", "uploadpack.allowAnySHA1InWant", "true"],
    );
    let from = format!("file://{}", origin.display());
    let clone = place.at("clone");
    git(
        place.0.path(),
        &[
            "clone",
            "-q",
            "--filter=blob:none",
            &from,
            clone.to_str().unwrap(),
        ],
    );
    write(&clone.join("README"), "mine\n");
    for depth in [Depth::Commits(10), Depth::Full] {
        let wanted = Wanted {
            depth,
            ..Wanted::default()
        };
        assert!(Survey::take(&clone, wanted.clone()).unwrap().is_partial());
        let guest = place.at(&format!("guest{depth:?}"));
        prepare(&clone, wanted, &guest);
        assert_eq!(status(&guest), status(&clone).replace("...origin/main", ""));
        assert_eq!(git(&guest, &["log", "--format=%s"]), "n2");
        git(&guest, &["fsck", "--strict"]);
    }
    // Sparse as well: files of the newest commit are missing.
    let sparse = place.at("sparse");
    git(
        place.0.path(),
        &[
            "clone",
            "-q",
            "--filter=blob:none",
            "--sparse",
            &from,
            sparse.to_str().unwrap(),
        ],
    );
    let guest = place.at("sparse-guest");
    prepare(&sparse, Wanted::default(), &guest);
    assert!(guest.join("README").exists() && !guest.join("big").exists());
    assert_eq!(git(&guest, &["status", "--porcelain"]), "");
    write(&guest.join("README"), "there\n");
    commit(&guest, "there");
}

#[test]
fn a_git_that_leads_elsewhere_is_refused_unless_it_is_named() {
    let place = Place::new();
    let private = place.repository("private");
    let bait = place.at("bait");
    std::fs::create_dir(&bait).unwrap();
    std::fs::copy(private.join("README"), bait.join("README")).unwrap();
    let elsewhere = |path: &std::path::Path| {
        let told = Survey::take(path, Wanted::default());
        matches!(told, Err(WorkspaceError::GitElsewhere { .. }))
    };
    std::fs::write(bait.join(".git"), "gitdir: ../private/.git\n").unwrap();
    assert!(elsewhere(&bait));
    let named = Wanted {
        git_dir: Some(private.join(".git")),
        ..Wanted::default()
    };
    assert!(Survey::take(&bait, named).is_ok());
    std::fs::remove_file(bait.join(".git")).unwrap();
    std::os::unix::fs::symlink("../private/.git", bait.join(".git")).unwrap();
    assert!(elsewhere(&bait));
    std::fs::remove_file(bait.join(".git")).unwrap();
    // A folder whose parts lead elsewhere.
    for part in ["refs", "objects", "packed-refs"] {
        let own = place.at(&format!("own-{part}"));
        std::fs::create_dir(&own).unwrap();
        git(&own, &["init", "-q", "-b", "main"]);
        git(&private, &["pack-refs", "--all"]);
        let at = own.join(".git").join(part);
        std::fs::remove_dir_all(&at)
            .or_else(|_| std::fs::remove_file(&at))
            .ok();
        std::os::unix::fs::symlink(private.join(".git").join(part), at).unwrap();
        assert!(elsewhere(&own), "{part}");
    }
    let common = place.at("common");
    std::fs::create_dir(&common).unwrap();
    git(&common, &["init", "-q", "-b", "main"]);
    write(&common.join(".git/commondir"), "../../private/.git\n");
    assert!(elsewhere(&common));
    // Worktrees and submodules point back.
    git(&private, &["worktree", "add", "-q", "../tree"]);
    assert!(Survey::take(&place.at("tree"), Wanted::default()).is_ok());
    let inside = Survey::take(&private.join(".git"), Wanted::default());
    assert!(matches!(inside, Err(WorkspaceError::InsideGit(_))));
}
