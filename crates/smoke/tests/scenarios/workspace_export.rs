//! Changes in a guest come back as a patch that git applies; a guest that sends anything else is refused by name.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use banger_smoke::{Sandbox, step};

use crate::guests::{SMALL, boot};
use crate::workspace::{git, repository};
use crate::workspace_large::{many_odd_names, this_project};

fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

#[test]
fn an_export_is_applied_by_git_and_has_what_was_committed_there() -> io::Result<()> {
    let sandbox = Sandbox::new();
    let home = sandbox.home();
    let repo = home.join("repo");
    repository(&repo)?;
    let run = ["run", "--name", "box", "--image", "debian-bookworm"];
    let first = [
        text(&repo),
        "--",
        "git",
        "status",
        "--porcelain",
        "--branch",
    ];
    let ran = sandbox
        .banger(&[&run[..], &SMALL, &first].concat())
        .deadline(Duration::from_secs(180))
        .ok();
    assert_eq!(ran.out(), "## main\n M README");
    let export =
        |more: &[&str]| sandbox.banger(&[&["vm", "workspace", "export", "box"], more].concat());

    step("nothing changed: nothing to apply", || {
        assert_eq!(export(&[]).ok().out(), "")
    });

    step(
        "changes, removals, modes, new and binary files",
        || -> io::Result<()> {
            sandbox.in_guest(
            "box",
            "echo three >> README; rm run.sh; mkdir -p d; printf 'a\\0b' > d/binary; echo new > 'd/new file'; echo x > ignored; \
             git config user.name G; git config user.email g@example.org; git add README; git commit -qm 'from the guest'",
        );
            let before = sandbox.in_guest("box", "git status --porcelain; sha256sum .git/index");
            let patch = home.join("work.patch");
            let told = export(&["-o", text(&patch), "--json"]).ok().json();
            assert_eq!(told["files"].as_array().map(Vec::len), Some(4), "{told}");
            assert_eq!(
                sandbox.in_guest("box", "git status --porcelain; sha256sum .git/index"),
                before
            );
            git(&repo, &["apply", text(&patch)]);
            assert_eq!(
                fs::read_to_string(repo.join("README"))?,
                "one\ntwo\nthree\n"
            );
            assert_eq!(fs::read(repo.join("d/binary"))?, b"a\0b");
            assert!(!repo.join("run.sh").exists() && repo.join("d/new file").exists());
            let shown = sandbox.out(&["vm", "workspace", "diff", "box", "--stat"]);
            assert!(
                shown.contains("M README  +1 -0") && shown.contains("A d/binary  binary"),
                "{shown}"
            );
            Ok(())
        },
    )?;

    step(
        "against the commit it fits a clean checkout, and commits come as mails",
        || {
            let clean = home.join("clean");
            git(&home, &["clone", "-q", text(&repo), text(&clean)]);
            let patch = home.join("base.patch");
            export(&["--base-commit", "-o", text(&patch)]).ok();
            git(&clean, &["apply", text(&patch)]);
            let mails = home.join("mails");
            export(&["--format", "mbox", "-o", text(&mails)]).ok();
            git(&home, &["clone", "-q", text(&repo), "mailed"]);
            git(&home.join("mailed"), &["am", "-q", text(&mails)]);
            let log = git(&home.join("mailed"), &["log", "-1", "--format=%an %s"]);
            assert_eq!(log, "G from the guest");
            // As with a devcontainer's `remoteUser`: git refuses a repository of another owner, and an export does not.
            sandbox.in_guest("box", "chown -R nobody .");
            assert_eq!(
                export(&["--format", "mbox"]).ok().stdout,
                fs::read(mails).unwrap_or_default()
            );
        },
    );

    step("a new program needs the user's word", || {
        sandbox.in_guest("box", "echo '#!/bin/sh' > tool; chmod +x tool");
        export(&[]).run().exits(1).says("tool (becomes a program)");
        export(&["--allow-exec"]).ok();
    });
    // The same guest: a boot of it takes longer than all of this.
    this_project(&sandbox, "box")?;
    many_odd_names(&sandbox, "box")
}

#[test]
fn a_guest_that_offers_something_else_is_refused_and_the_host_stays_well() -> io::Result<()> {
    let sandbox = Sandbox::new();
    let home = sandbox.home();
    let repo = home.join("repo");
    repository(&repo)?;
    boot(&sandbox, "box");
    sandbox
        .banger(&["vm", "workspace", "prepare", "box", text(&repo)])
        .ok();
    let own = || sandbox.banger(&["vm", "workspace", "export", "box"]);

    step("no git is needed there, but for commits", || {
        sandbox.in_guest(
            "box",
            "echo changed >> README; rm run.sh; echo new > 'a new file'",
        );
        let patch = own().ok().out();
        assert!(
            patch.contains("+changed") && patch.contains("a new file"),
            "{patch}"
        );
        let mbox = ["vm", "workspace", "export", "box", "--format", "mbox"];
        sandbox.banger(&mbox).run().exits(1).says("has no git");
    });

    step("a file that stands for another is refused by name", || {
        sandbox.in_guest("box", "mkdir .GIT; echo x > .GIT/config");
        own().run().exits(1).says(".GIT/config");
        sandbox.in_guest("box", "rm -r .GIT; ln -s /etc out");
        own().run().exits(1).says("out");
        sandbox.in_guest("box", "rm out");
    });

    // A commit that is unknown to this host: only the guest's git can find the changes since.
    let theirs = "1".repeat(40);
    let words = [
        "vm",
        "workspace",
        "export",
        "box",
        "--max-size",
        "4M",
        "--base-commit",
        &theirs,
    ];
    let export = || sandbox.banger(&words);
    step("where git is needed it says so", || {
        export().run().exits(1).says("the guest has no git");
    });

    let zeros = "0".repeat(40);
    let new = |path: &str, mode: &str, content: &str| {
        format!(
            "diff --git a/{path} b/{path}\nnew file mode {mode}\nindex {zeros}..{}\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+{content}\n",
            "1".repeat(40)
        )
    };
    let link =
        |path: &str, target: &str| new(path, "120000", target) + "\\ No newline at end of file\n";
    let offers = [
        ("../../x", new("../../x", "100644", "x")),
        ("/etc/x", new("/etc/x", "100644", "x")),
        (
            ".git/hooks/post-checkout",
            new(".git/hooks/post-checkout", "100755", "x"),
        ),
        (".GIT/config", new(".GIT/config", "100644", "x")),
        ("out", link("out", "/etc")),
        ("d/x", link("d", "e") + &new("d/x", "100644", "x")),
        ("line 1", "Subject: hello\n".to_owned()),
    ];
    for (named, offer) in offers {
        step(named, || -> io::Result<()> {
            let file = home.join("offer");
            fs::write(&file, offer)?;
            sandbox.banger(&["cp", text(&file), "box:/root/offer"]).ok();
            let fake = "printf '#!/bin/sh\\ncase \"$*\" in *diff-index*) cat /root/offer;; esac\\n' > /usr/local/bin/git; chmod +x /usr/local/bin/git";
            sandbox.in_guest("box", fake);
            let refused = export().run().exits(1).says(named);
            assert_eq!(refused.out(), "");
            Ok(())
        })?;
    }

    step("endless output, and endless error messages", || {
        for to in ["1", "2"] {
            let fake = format!("printf '#!/bin/sh\\nexec yes >&{to}\\n' > /usr/local/bin/git");
            sandbox.in_guest("box", &fake);
            export().deadline(Duration::from_secs(60)).run().exits(1);
        }
        assert_eq!(sandbox.state("box"), "running");
        assert_eq!(sandbox.in_guest("box", "echo well"), "well");
    });
    Ok(())
}
