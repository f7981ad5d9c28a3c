//! Tools that a repository pins, and a tool manager in the guest: here a program that records its arguments.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;

use banger_smoke::{Sandbox, step};

use crate::guests::{MINIMAL, SMALL};
use crate::workspace::{git, repository, text};

/// Installs `node` as a shim as mise would, and records its own call.
const MISE: &str = r#"#!/bin/sh
echo "$* in $PWD yes=$MISE_YES trusted=$MISE_TRUSTED_CONFIG_PATHS" >> /root/mise.log
[ ! -e /root/mise.broken ] || { echo "no route to the tools" >&2; exit 4; }
mkdir -p "$HOME/.local/share/mise/shims"
printf '#!/bin/sh\necho v20\n' > "$HOME/.local/share/mise/shims/node"
chmod 755 "$HOME/.local/share/mise/shims/node"
"#;

#[test]
fn pinned_tools_are_installed_once_and_found_by_later_commands() -> io::Result<()> {
    let sandbox = Sandbox::new();
    let repo = sandbox.home().join("api");
    repository(&repo)?;
    fs::write(repo.join("mise.toml"), "[tools]\nnode = \"20\"\n")?;
    fs::write(repo.join(".tool-versions"), "python 3.12\n")?;
    git(&repo, &["add", "mise.toml"]);
    git(&repo, &["add", "-f", ".tool-versions"]);

    step(
        "what cannot be had without a network is said before anything exists",
        || {
            for without in [&["--net", "none"][..], &["--allow", "none"]] {
                let words = [&["run", "--dry-run"], without, &[text(&repo)]].concat();
                let told = sandbox.banger(&words).ok();
                assert!(
                    told.err()
                        .contains("node 20, python 3.12 (mise.toml, .tool-versions)"),
                    "{told}"
                );
                assert!(told.err().contains("no outbound network"), "{told}");
            }
            let quiet = sandbox
                .banger(&[
                    "run",
                    "--dry-run",
                    "--net",
                    "none",
                    "--no-bootstrap",
                    text(&repo),
                ])
                .ok();
            assert!(!quiet.err().contains("node"), "{quiet}");
            sandbox.assert_no_vm();
        },
    );

    step(
        "a guest without a tool manager is told of, and the command runs",
        || {
            let words = [
                &["run", "--name", "box", "--image", MINIMAL, "--net", "user"],
                &SMALL[2..],
                &[text(&repo), "--", "echo", "ran"],
            ];
            let ran = sandbox.banger(&words.concat()).ok();
            assert_eq!(ran.out(), "ran");
            assert!(
                ran.err().contains("neither mise nor asdf: node 20"),
                "{ran}"
            );
        },
    );

    let prepare = |more: &[&str]| {
        let words = ["vm", "workspace", "prepare", "--json", "box", text(&repo)];
        sandbox.banger(&[&words, more].concat()).ok().json()
    };
    let log = || sandbox.in_guest("box", "cat /root/mise.log");
    let once = "install in /root/api yes=1 trusted=/root/api";
    step("with one they are installed", || -> io::Result<()> {
        let mise = sandbox.home().join("mise");
        fs::write(&mise, MISE)?;
        fs::set_permissions(&mise, fs::Permissions::from_mode(0o755))?;
        sandbox
            .banger(&["cp", text(&mise), "box:/usr/local/bin/mise"])
            .ok();
        assert_eq!(prepare(&["--no-bootstrap"])["tools"], "skipped");
        assert_eq!(prepare(&[])["tools"], "installed");
        assert_eq!(log(), once);
        Ok(())
    })?;

    step("commands find them", || {
        assert_eq!(sandbox.in_guest("box", "node"), "v20");
        assert_eq!(
            sandbox.banger(&["exec", "box", "--", "node"]).ok().out(),
            "v20"
        );
        let mut shell = sandbox.terminal(&["exec", "box"], 24, 80);
        shell.type_keys("echo at-$(node)\nexit\n");
        shell.expect("at-v20");
        assert_eq!(shell.wait(), 0);
    });

    step("a second time only for other pins", || -> io::Result<()> {
        assert_eq!(prepare(&[])["tools"], "present");
        assert_eq!(log(), once);
        assert_eq!(sandbox.in_guest("box", "node"), "v20");
        fs::write(repo.join("mise.toml"), "[tools]\nnode = \"22\"\n")?;
        assert_eq!(prepare(&["--no-bootstrap"])["tools"], "skipped");
        assert_eq!(log(), once);
        assert_eq!(sandbox.in_guest("box", "node"), "v20");
        assert_eq!(prepare(&[])["tools"], "installed");
        assert_eq!(log(), format!("{once}\n{once}"));
        Ok(())
    })?;

    step(
        "what fails is told, and tried again",
        || -> io::Result<()> {
            fs::write(repo.join("mise.toml"), "[tools]\nnode = \"24\"\n")?;
            sandbox.in_guest("box", "touch /root/mise.broken");
            let words = ["vm", "workspace", "prepare", "box", text(&repo)];
            let told = sandbox.banger(&words).ok();
            assert!(told.err().contains("mise installs node 24"), "{told}");
            assert!(told.err().contains("no route to the tools\n"), "{told}");
            assert!(told.err().contains("mise install ended with 4"), "{told}");
            sandbox.in_guest("box", "rm /root/mise.broken");
            assert_eq!(prepare(&[])["tools"], "installed");
            Ok(())
        },
    )
}
