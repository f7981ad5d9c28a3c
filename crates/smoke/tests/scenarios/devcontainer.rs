//! Effects of a repository's devcontainer.json on its VM, through the built tool and a real guest.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_smoke::{Sandbox, eventually, step};
use rustix::process::Signal;

use crate::guests::{MINIMAL, SMALL, minimal};
use crate::published::{self, free_port};
use crate::workspace::{git, repository, text};

/// Time for a program to begin in a busy emulated guest.
const BEGINNING: Duration = Duration::from_secs(60);

/// A repository with this devcontainer.json.
fn asking(path: &Path, file: &str, json: &str) -> io::Result<PathBuf> {
    repository(path)?;
    let file = path.join(file);
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, json)?;
    Ok(path.to_owned())
}

#[test]
fn what_a_devcontainer_may_not_have_is_refused_before_anything_exists() -> io::Result<()> {
    let sandbox = Sandbox::new();
    let home = sandbox.home();
    let built = asking(
        &home.join("built"),
        ".devcontainer.json",
        r#"{"build": {"dockerfile": "Dockerfile"}, "remoteUser": "nobody"}"#,
    )?;
    let run = |more: &[&str]| sandbox.banger(&[&["run", "--dry-run"], more].concat());

    step("an image that is to be built", || {
        run(&[text(&built)])
            .run()
            .exits(2)
            .says("\"build\"")
            .says("--image NAME");
        run(&["--image", MINIMAL, text(&built)])
            .ok()
            .says("using .devcontainer.json: user nobody");
        let plain = run(&["--no-devcontainer", text(&built)]).ok();
        assert!(!plain.err().contains("devcontainer"), "{plain}");
    });

    step("several to choose from", || -> io::Result<()> {
        let several = asking(
            &home.join("several"),
            ".devcontainer/a/devcontainer.json",
            "{}",
        )?;
        run(&[text(&several)])
            .ok()
            .says("using .devcontainer/a/devcontainer.json");
        fs::create_dir(several.join(".devcontainer/b"))?;
        fs::write(
            several.join(".devcontainer/b/devcontainer.json"),
            r#"{"image": "debian-minimal"}"#,
        )?;
        run(&[text(&several)])
            .run()
            .exits(2)
            .says("a/devcontainer.json")
            .says("--devcontainer");
        let b = ".devcontainer/b/devcontainer.json";
        let chosen = run(&["--json", "--devcontainer", b, text(&several)])
            .ok()
            .json();
        assert_eq!(chosen["devcontainer"], b);
        run(&["--devcontainer", "../x.json", text(&several)])
            .run()
            .exits(2);
        run(&["--devcontainer", "x.json", text(&several)])
            .run()
            .exits(3);
        Ok(())
    })?;

    step(
        "a link to a file of the host is not followed",
        || -> io::Result<()> {
            let linked = home.join("linked");
            repository(&linked)?;
            fs::write(
                home.join("secret.json"),
                r#"{"image": "secret-of-the-host"}"#,
            )?;
            std::os::unix::fs::symlink("../secret.json", linked.join(".devcontainer.json"))?;
            let refused = run(&[text(&linked)])
                .run()
                .exits(2)
                .says("not a regular file");
            assert!(!refused.err().contains("secret-of"), "{refused}");
            Ok(())
        },
    )?;

    step(
        "registries of this host and its neighbours",
        || -> io::Result<()> {
            for image in ["localhost:9/team/app", "127.0.0.1:9/app"] {
                let near = asking(
                    &home.join("near"),
                    ".devcontainer.json",
                    &format!("{{\"image\": \"{image}\"}}"),
                )?;
                let words = ["run", "--net", "none", text(&near)];
                let refused = sandbox.banger(&words).run().exits(2);
                refused
                    .says("has no public address")
                    .says("banger image pull");
            }
            assert!(sandbox.vm_names().is_empty());
            Ok(())
        },
    )?;

    step(
        "what is not used and what stays here is said",
        || -> io::Result<()> {
            let much = asking(
                &home.join("much"),
                ".devcontainer.json",
                r#"{"image": "debian-minimal", "runArgs": ["--privileged"], "mounts": ["source=/,target=/host"],
                "initializeCommand": "touch ran-on-the-host", "forwardPorts": [80],
                    "\u001b[2J\nerror: x": 1,
                "containerEnv": {"A": "${localEnv:HOME}", "B": "${localWorkspaceFolder}"}}"#,
            )?;
            let told = run(&[text(&much)]).ok();
            for word in [
                "initializeCommand",
                "mounts",
                "runArgs",
                "--local-env HOME",
                "127.0.0.1:",
            ] {
                assert!(told.err().contains(word), "{word}: {told}");
            }
            assert!(!told.err().contains("\nerror: x") && !told.err().contains('\u{1b}'));
            assert!(!much.join("ran-on-the-host").exists());
            Ok(())
        },
    )?;
    sandbox.assert_no_vm();
    step(
        "without a network no port looks published",
        || -> io::Result<()> {
            let asks = asking(
                &home.join("ports"),
                ".devcontainer.json",
                r#"{"forwardPorts": [3000]}"#,
            )?;
            let told = |more: &[&str], unpublished: bool| {
                let told = run(&[more, &[text(&asks)]].concat()).ok();
                let line = "forwardPorts 3000: not published, for the VM has no network";
                assert_eq!(told.err().contains(line), unpublished, "{told}");
            };
            told(&["--net", "none"], true);
            told(&[], false);
            let config = sandbox.banger_home().join("config.toml");
            fs::write(config, "[network]\nmode = \"none\"\n")?;
            sandbox.banger(&["daemon", "stop"]).ok();
            told(&[], true);
            told(&["--net", "user"], false);
            Ok(())
        },
    )?;
    step("and none is published by name", || {
        let create = [
            "vm",
            "create",
            "--no-start",
            "--name",
            "box",
            "--image",
            MINIMAL,
        ];
        let published = [&create[..], &["--publish", "8080:80"]].concat();
        sandbox
            .banger(&published)
            .run()
            .exits(2)
            .says("port 80 cannot be published: the VM has no network")
            .says("--net user");
        sandbox.assert_no_vm();
        sandbox.banger(&create).ok();
        let set = |more: &[&str]| sandbox.banger(&[&["vm", "set", "box"], more].concat());
        set(&["--publish", "8080:80"])
            .run()
            .exits(2)
            .says("--net user");
        let shown = || sandbox.vm("box")["publish"].as_array().map_or(0, Vec::len);
        let first = ["--net", "user", "--publish", "8080:80"];
        for (settings, ports) in [(&first[..], 1), (&["--net", "none"], 0), (&first[..2], 1)] {
            set(settings).ok();
            assert_eq!(shown(), ports, "{settings:?}");
        }
    });
    Ok(())
}

#[test]
fn a_devcontainer_says_what_its_vm_is_and_what_runs_there_once() -> io::Result<()> {
    let sandbox = Sandbox::new();
    let home = sandbox.home();
    let port = free_port();
    let usual = format!(
        r#"{{
            // The image is the one that the scenarios have.
            "image": "{MINIMAL}",
            "containerEnv": {{"MODE": "test", "MINE": "${{localEnv:NAMED}}", "NOT": "${{localEnv:UNNAMED:nothing}}",}},
            "remoteEnv": {{"PATH": "${{containerEnv:PATH}}:/opt/bin"}},
            "remoteUser": "nobody",
            "forwardPorts": [{port}],
            "onCreateCommand": ["sh", "-c", "echo created >> log"],
            "postCreateCommand": "echo \"$(id -un) $MODE $MINE $NOT $PATH in $PWD\" | tee -a log"
        }}"#
    );
    let repo = asking(&home.join("api"), ".devcontainer/devcontainer.json", &usual)?;
    let expected = "created\nnobody test of-the-host nothing \
        /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/bin in /root/api";

    step(
        "the first run does all of it, beside the command's own output",
        || {
            let small = &SMALL[2..];
            let words = [
                &["run", "--name", "box", "--net", "user", "--allow", "none"],
                small,
                &["--local-env", "NAMED", text(&repo), "--", "cat", "log"],
            ];
            let ran = sandbox
                .banger(&words.concat())
                .env("NAMED", "of-the-host")
                .env("UNNAMED", "secret-of-the-host")
                .ok();
            assert_eq!(ran.out(), expected);
            let told = ran.err();
            assert!(
                told.contains("using .devcontainer/devcontainer.json"),
                "{told}"
            );
            assert!(told.contains("nobody test of-the-host"), "{told}");
            assert!(!told.contains("secret-of-the-host"), "{told}");
        },
    );

    step(
        "later commands are the same user with the same variables, unless they say otherwise",
        || {
            let told = sandbox.in_guest(
                "box",
                "id -un; echo $MODE; touch mine && ls -ld mine | cut -d' ' -f3",
            );
            assert_eq!(told, "nobody\ntest\nnobody");
            let other = [
                "exec",
                "-u",
                "root",
                "-e",
                "MODE=other",
                "box",
                "--",
                "sh",
                "-c",
            ];
            let other = sandbox
                .banger(&[&other[..], &["id -un; echo $MODE"]].concat())
                .ok();
            assert_eq!(other.out(), "root\nother");
        },
    );

    step("what its user changes comes back", || -> io::Result<()> {
        sandbox.in_guest(
            "box",
            "echo mine > made; chmod 600 made; mkdir d; echo x > d/deep; echo three >> README",
        );
        let export = ["vm", "workspace", "export", "box"];
        let patch = home.join("work.patch");
        sandbox
            .banger(&[&export[..], &["-o", text(&patch)]].concat())
            .ok();
        let clone = home.join("clone");
        git(&home, &["clone", "-q", text(&repo), text(&clone)]);
        fs::copy(repo.join("README"), clone.join("README"))?;
        git(&clone, &["apply", text(&patch)]);
        assert_eq!(fs::read_to_string(clone.join("made"))?, "mine\n");
        assert_eq!(fs::read_to_string(clone.join("d/deep"))?, "x\n");
        assert_eq!(
            fs::read_to_string(clone.join("README"))?,
            "one\ntwo\nthree\n"
        );
        let owners = sandbox.in_guest(
            "box",
            "rm -r made d; sed -i '$d' README; find . -not -user nobody",
        );
        assert_eq!(owners, "", "an export changes nobody's files");
        Ok(())
    })?;

    published::reaches_servers_wherever_they_listen(&sandbox, "box", port);
    published::outlives_daemon_agent_and_boot(&sandbox, "box", port);

    let prepare =
        |more: &[&str]| sandbox.banger(&[&["vm", "workspace", "prepare", "box"], more].concat());
    step("what ran once does not run again", || -> io::Result<()> {
        fs::write(repo.join("README"), "changed\n")?;
        let again = prepare(&["--json", "--local-env", "NAMED", text(&repo)])
            .env("NAMED", "x")
            .ok();
        assert_eq!(again.json()["commands"], "before");
        assert_eq!(
            sandbox.in_guest(
                "box",
                "cat log; cat README; ls -l README | cut -d' ' -f3; echo $MINE"
            ),
            format!("{expected}\nchanged\nnobody\nx")
        );
        Ok(())
    })?;

    step("without the file nobody's wishes are followed", || {
        prepare(&["--no-devcontainer", text(&repo)]).ok();
        assert_eq!(
            sandbox.in_guest(
                "box",
                "id -un; echo \"<$MODE>\"; ls -l README | cut -d' ' -f3"
            ),
            "root\n<>\nroot"
        );
    });

    step(
        "a command that fails is told, and runs again",
        || -> io::Result<()> {
            let json = |command: &str| format!("{{\"postCreateCommand\": \"{command}\"}}");
            let other = asking(
                &home.join("other"),
                ".devcontainer.json",
                &json("echo broken; exit 3"),
            )?;
            let failed = prepare(&[text(&other)])
                .run()
                .exits(1)
                .says("postCreateCommand")
                .says("ended with 3");
            assert!(failed.err().contains("broken\n"), "{failed}");
            let failed = prepare(&["--json", text(&other)]).run().exits(1);
            let message = failed.json_error()["message"].to_string();
            assert!(message.contains("broken"), "{message}");

            fs::write(
                other.join(".devcontainer.json"),
                json("echo begun >> runs; sleep 1000"),
            )?;
            let exec = |script| sandbox.in_guest("box", script);
            let runs = ["exec", "-w", "/root/other", "box", "--", "cat", "runs"];
            for (signal, begun) in [(Signal::KILL, "begun"), (Signal::INT, "begun\nbegun")] {
                let prepared = prepare(&[text(&other)]).start();
                eventually("the command has begun", BEGINNING, || {
                    (sandbox.banger(&runs).run().out() == begun).then_some(())
                });
                prepared.signal(signal);
                let ended = prepared.wait();
                if signal == Signal::INT {
                    ended.exits(130).says("the same command again");
                }
                eventually("the command is gone", BEGINNING, || {
                    let left = exec("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '");
                    (!left.contains("sleep 1000")).then_some(())
                });
            }
            fs::write(other.join(".devcontainer.json"), json("echo whole >> runs"))?;
            prepare(&[text(&other)]).ok();
            prepare(&[text(&other)]).ok();
            assert_eq!(exec("cat /root/other/runs"), "begun\nbegun\nwhole");
            Ok(())
        },
    )?;

    step(
        "a run whose command fails keeps its VM, and is no success",
        || -> io::Result<()> {
            let bad = asking(
                &home.join("bad"),
                ".devcontainer.json",
                r#"{"postCreateCommand": ["false"]}"#,
            )?;
            minimal(
                &sandbox,
                &["run", "--name", "kept"],
                &[text(&bad), "--", "echo", "never"],
            )
            .run()
            .exits(125)
            .says("postCreateCommand of .devcontainer.json ended with 1")
            .says("VM kept keeps running");
            assert_eq!(sandbox.state("kept"), "running");
            Ok(())
        },
    )
}
