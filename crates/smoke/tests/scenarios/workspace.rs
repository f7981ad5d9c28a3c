//! Repositories in, through the built tool and real guests. The prepared minimal guest has no git: the files are
//! checked one by one there, and the repository itself on the host, copied back.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use banger_smoke::{Invocation, Sandbox, eventually, note, step};
use rustix::process::Signal;

use crate::guests::{boot, minimal};

/// Time for a change of the host to reach an emulated guest on a busy host.
const WATCHED: Duration = Duration::from_secs(20);

/// Runs git as a user without any configuration would, and returns its output, trimmed.
pub fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args([
            "-c",
            "protocol.file.allow=always",
            "-c",
            "core.hooksPath=/dev/null",
        ])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "A")
        .env("GIT_AUTHOR_EMAIL", "a@example.org")
        .env("GIT_COMMITTER_NAME", "C")
        .env("GIT_COMMITTER_EMAIL", "c@example.org")
        .output();
    let output = output.unwrap_or_else(|error| panic!("git {args:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "git {args:?} in {}: {stderr}",
        dir.display()
    );
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}

fn put(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text)
}

/// A repository with a commit, an uncommitted change, an untracked file and an ignored one.
pub fn repository(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    git(path, &["init", "-q", "-b", "main"]);
    put(&path.join("README"), "one\n")?;
    put(&path.join(".gitignore"), "ignored\n")?;
    put(
        &path.join("run.sh"),
        "#!/bin/sh\necho in \"$(basename \"$PWD\")\"\n",
    )?;
    fs::set_permissions(
        path.join("run.sh"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )?;
    git(path, &["add", "-A"]);
    git(path, &["commit", "-q", "-m", "first"]);
    put(&path.join("README"), "one\ntwo\n")?;
    put(&path.join("untracked"), "u\n")?;
    put(&path.join("ignored"), "secret\n")
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

#[test]
fn a_repository_is_refused_before_anything_exists() -> io::Result<()> {
    let sandbox = Sandbox::new();
    let home = sandbox.home();
    git(&home, &["init", "-q", "--bare", "bare"]);
    repository(&home.join("repo"))?;
    fs::create_dir(home.join("plain"))?;
    for (path, code, told) in [
        ("bare", 2, "bare"),
        ("plain", 2, "not in a git repository"),
        ("absent", 3, "absent"),
    ] {
        let path = home.join(path);
        minimal(&sandbox, &["run", "--rm"], &[text(&path), "--", "true"])
            .run()
            .exits(code)
            .says(told);
    }
    let repo = home.join("repo");
    let listed = minimal(&sandbox, &["run"], &["--dry-run", text(&repo)]).ok();
    assert_eq!(listed.out(), ".gitignore\nREADME\nrun.sh");
    assert!(listed.err().contains("1 untracked file"), "{listed}");
    let listed = minimal(
        &sandbox,
        &["run"],
        &["--dry-run", "--include-untracked", text(&repo)],
    )
    .ok();
    assert_eq!(listed.out(), ".gitignore\nREADME\nrun.sh\nuntracked");
    sandbox
        .banger(&["run", "--dry-run"])
        .run()
        .exits(2)
        .says("--dry-run needs PATH");
    sandbox.assert_no_vm();
    Ok(())
}

#[test]
fn a_repository_goes_in_and_what_changes_follows() -> io::Result<()> {
    let sandbox = Sandbox::new();
    let home = sandbox.home();
    let repo = home.join("my repo");
    repository(&repo)?;
    for name in [
        &b"with space"[..],
        b"new\nline",
        b"\xff\xfe",
        b"Case",
        b"case",
    ] {
        fs::write(repo.join(std::ffi::OsStr::from_bytes(name)), name)?;
    }
    git(&repo, &["add", "with space", "new\nline", "Case", "case"]);
    git(&repo, &["add", "-A", "--", ":!untracked"]);
    git(&repo, &["commit", "-q", "-m", "odd"]);
    put(&repo.join("README"), "changed\n")?;

    step("run PATH starts the command in it", || {
        let ran = minimal(
            &sandbox,
            &["run", "--name", "box"],
            &[text(&repo), "--", "./run.sh"],
        )
        .ok();
        assert_eq!(ran.out(), "in my repo");
        assert!(ran.err().contains("1 untracked file"), "{ran}");
    });

    step("exec runs there, too", || {
        assert_eq!(
            sandbox.in_guest("box", "pwd; cat README; ls -A | wc -l"),
            "/root/my repo\nchanged\n10"
        );
    });

    step(
        "run with its name again goes in, with what changed since",
        || -> io::Result<()> {
            let again = |text_of_readme: &str| -> io::Result<()> {
                put(&repo.join("README"), text_of_readme)?;
                let ran = sandbox
                    .banger(&["run", "--name", "box", text(&repo), "--", "cat", "README"])
                    .ok();
                assert_eq!(format!("{}\n", ran.out()), text_of_readme);
                assert!(ran.err().contains("VM box exists: going into it"), "{ran}");
                Ok(())
            };
            again("changed again\n")?;
            again("changed\n")?;
            assert_eq!(sandbox.vm_names(), ["box"]);
            Ok(())
        },
    )?;

    step("a shell by SSH starts there, a command at home", || {
        let shell = sandbox.banger(&["ssh", "box"]).input("pwd\n").ok();
        assert_eq!(shell.out(), "/root/my repo");
        assert_eq!(sandbox.out(&["ssh", "box", "--", "pwd"]), "/root");
    });

    step("it is a repository in git's eyes", || -> io::Result<()> {
        let back = home.join("back");
        sandbox
            .banger(&["cp", "box:/root/my repo", text(&back)])
            .ok();
        assert_eq!(
            git(&back, &["status", "--porcelain", "--branch"]),
            "## main\n M README"
        );
        assert_eq!(
            git(&back, &["log", "--format=%H"]),
            git(&repo, &["log", "--format=%H"])
        );
        git(&back, &["fsck", "--strict"]);
        assert!(!back.join("ignored").exists() && !back.join("untracked").exists());
        fs::remove_dir_all(back)
    })?;

    let prepare = |more: &[&str]| {
        sandbox.banger(&[&["vm", "workspace", "prepare", "box", text(&repo)], more].concat())
    };
    step("nothing changed, nothing goes", || {
        assert_eq!(prepare(&[]).ok().out(), "/root/my repo has everything");
    });

    step(
        "one change goes alone, and a removal",
        || -> io::Result<()> {
            put(&repo.join("README"), "again\n")?;
            fs::remove_file(repo.join("case"))?;
            let sent = prepare(&["--json"]).ok().json();
            assert_eq!(
                (sent["files"].as_u64(), sent["removed"].as_u64()),
                (Some(1), Some(1)),
                "{sent}"
            );
            assert_eq!(
                sandbox.in_guest("box", "cat README; ls -A | wc -l"),
                "again\n9"
            );
            Ok(())
        },
    )?;

    step(
        "work in the guest is not written over",
        || -> io::Result<()> {
            sandbox.in_guest("box", "echo mine > README; echo mine > other");
            put(&repo.join("run.sh"), "#!/bin/sh\necho new\n")?;
            prepare(&[]).ok();
            assert_eq!(
                sandbox.in_guest("box", "cat README other; ./run.sh"),
                "mine\nmine\nnew"
            );
            put(&repo.join("README"), "ours\n")?;
            prepare(&[]).run().exits(4).says("README");
            assert_eq!(sandbox.in_guest("box", "cat README"), "mine");
            prepare(&["--force"]).ok();
            assert_eq!(sandbox.in_guest("box", "cat README other"), "ours\nmine");
            Ok(())
        },
    )?;

    step("a commit on the host is told of and follows", || {
        git(&repo, &["commit", "-q", "-a", "-m", "third"]);
        sandbox
            .banger(&["exec", "box", "--", "true"])
            .ok()
            .says("workspace prepare");
        prepare(&[]).ok();
        let quiet = sandbox.banger(&["exec", "box", "--", "true"]).ok();
        assert_eq!(quiet.err(), "");
        let back = home.join("back");
        sandbox
            .banger(&["cp", "box:/root/my repo", text(&back)])
            .ok();
        assert_eq!(
            git(&back, &["status", "--porcelain", "--branch"]),
            "## main\n?? other"
        );
        assert_eq!(
            git(&back, &["log", "--format=%H"]),
            git(&repo, &["log", "--format=%H"])
        );
        git(&back, &["fsck", "--strict"]);
    });

    step("what is saved here is there at once, with --watch", || {
        watched(&sandbox, &repo, &prepare)
    })?;

    step(
        "a folder that was not sent is somebody's work",
        || -> io::Result<()> {
            sandbox
                .banger(&["exec", "-w", "/root", "box", "--", "mkdir", "theirs"])
                .ok();
            let theirs = home.join("theirs");
            repository(&theirs)?;
            sandbox
                .banger(&["vm", "workspace", "prepare", "box", text(&theirs)])
                .run()
                .exits(4)
                .says("/root/theirs exists");
            sandbox
                .banger(&[
                    "vm",
                    "workspace",
                    "prepare",
                    "box",
                    text(&theirs),
                    "--force",
                ])
                .ok();
            Ok(())
        },
    )
}

/// Follows the repository, with a program in the guest that listens for changes there.
fn watched(
    sandbox: &Sandbox,
    repo: &Path,
    prepare: &impl Fn(&[&str]) -> Invocation,
) -> io::Result<()> {
    let watching = prepare(&["--watch", "--json"])
        .deadline(Duration::from_secs(180))
        .start();
    // The first n lines, each an event.
    let told = |n: usize| {
        eventually("a line of --watch", WATCHED, || {
            let out = watching.stdout_so_far();
            let whole = out.rsplit_once('\n').map_or("", |(whole, _)| whole);
            let lines: Vec<serde_json::Value> = whole
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect();
            (lines.len() >= n).then_some(lines)
        })
    };
    let last = |n: usize| told(n).swap_remove(n - 1);
    assert_eq!(last(2)["event"], "watching");

    // inotify_init1, inotify_add_watch: moved to, created. The file comes beside its place first.
    let listen = r#"$| = 1; my $fd = syscall(294, 0); syscall(254, $fd, $ARGV[0], 0x180) > 0 or die; open my $in, "<&=", $fd;
                    print "listening\n"; while (sysread $in, my $events, 4096) { last if $events =~ /README/ } print "heard\n""#;
    let listening = sandbox
        .banger(&["exec", "box", "--", "perl", "-e", listen, "/root/my repo"])
        .start();
    listening.wait_for_stdout("listening");
    put(&repo.join("README"), "saved\n")?;
    let sent = last(3);
    assert_eq!(
        (&sent["event"], &sent["files"]),
        (&"sent".into(), &1.into()),
        "{sent}"
    );
    note(&format!(
        "saved and in the guest in {} ms",
        sent["milliseconds"]
    ));
    listening.wait_for_stdout("heard");
    listening.wait().ok();
    assert_eq!(sandbox.in_guest("box", "cat README"), "saved");

    git(repo, &["checkout", "-q", "-b", "side"]);
    put(&repo.join("new/deep/file"), "new\n")?;
    git(repo, &["add", "-A", "--", ":!untracked"]);
    git(repo, &["commit", "-q", "-m", "fourth"]);
    let tip = git(repo, &["rev-parse", "HEAD"]);
    eventually("the commit is there", WATCHED, || {
        let there = sandbox.in_guest("box", "cat .git/refs/heads/side new/deep/file 2>&1 || true");
        (there == format!("{tip}\nnew")).then_some(())
    });
    put(&repo.join("new/deep/file"), "edited\n")?;
    eventually("a file of a new folder follows", WATCHED, || {
        (sandbox.in_guest("box", "cat new/deep/file") == "edited").then_some(())
    });

    sandbox.in_guest("box", "echo theirs > README");
    let before = watching.stdout_so_far().lines().count();
    put(&repo.join("README"), "ours\n")?;
    let held = last(before + 1);
    assert_eq!(held["event"], "held_back", "{held}");
    assert_eq!(held["files"], serde_json::json!(["README"]), "{held}");
    assert_eq!(sandbox.in_guest("box", "cat README"), "theirs");
    put(&repo.join("README"), "saved\n")?;
    put(&repo.join("run.sh"), "#!/bin/sh\necho followed\n")?;
    eventually("what is not held back goes on", WATCHED, || {
        (sandbox.in_guest("box", "./run.sh") == "followed").then_some(())
    });
    assert_eq!(sandbox.in_guest("box", "cat README"), "theirs");
    watching.signal(Signal::TERM);
    watching.wait().ok();
    Ok(())
}

#[test]
fn submodules_and_repositories_without_commits_arrive() -> io::Result<()> {
    let sandbox = Sandbox::new();
    let home = sandbox.home();
    let (inner, outer, empty) = (home.join("inner"), home.join("outer"), home.join("empty"));
    repository(&inner)?;
    repository(&outer)?;
    git(
        &outer,
        &["submodule", "--quiet", "add", text(&inner), "deps/inner"],
    );
    git(&outer, &["commit", "-q", "-m", "submodule"]);
    boot(&sandbox, "box");
    sandbox
        .banger(&["vm", "workspace", "prepare", "box", text(&outer)])
        .ok();
    assert_eq!(sandbox.in_guest("box", "cat deps/inner/README"), "one");
    let topic = ["--branch", "topic", "--from", "HEAD~1", "--force"];
    sandbox
        .banger(
            &[
                &["vm", "workspace", "prepare", "box", text(&outer)],
                &topic[..],
            ]
            .concat(),
        )
        .ok();
    assert_eq!(
        sandbox.in_guest("box", "cat .git/HEAD README; test ! -e .gitmodules"),
        "ref: refs/heads/topic\none",
        "the commit before, on a branch of its own"
    );
    fs::create_dir(&empty)?;
    git(&empty, &["init", "-q", "-b", "trunk"]);
    put(&empty.join("a"), "a")?;
    git(&empty, &["add", "a"]);
    sandbox
        .banger(&["vm", "workspace", "prepare", "box", text(&empty)])
        .ok();
    assert_eq!(
        sandbox.in_guest("box", "pwd; cat a .git/HEAD"),
        "/root/empty\naref: refs/heads/trunk"
    );
    let gone: PathBuf = outer.join(".git/modules/deps/inner");
    fs::rename(gone, home.join("elsewhere"))?;
    minimal(
        &sandbox,
        &["run", "--name", "never"],
        &[text(&outer), "--", "true"],
    )
    .run()
    .exits(2)
    .says("deps/inner");
    assert_eq!(sandbox.vm_names(), ["box"]);
    Ok(())
}
