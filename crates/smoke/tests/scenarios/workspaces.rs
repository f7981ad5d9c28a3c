//! Several repositories in one VM, and work that exists only there: selected by folder or name, listed before a
//! deletion.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use banger_smoke::{Sandbox, step};

use crate::guests::{boot, minimal};
use crate::workspace::{git, repository};

fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

#[test]
fn a_vm_keeps_several_workspaces_apart_and_an_export_takes_what_it_is_told() -> io::Result<()> {
    let sandbox = Sandbox::new();
    let home = sandbox.home();
    let (api, web, other) = (home.join("api"), home.join("web"), home.join("b/api"));
    fs::create_dir(home.join("b"))?;
    for repo in [&api, &web, &other] {
        repository(repo)?;
    }
    boot(&sandbox, "box");
    let workspace = |words: &[&str]| sandbox.banger(&[&["vm", "workspace"], words].concat());
    let prepare =
        |repo: &Path, more: &[&str]| workspace(&[&["prepare", "box", text(repo)], more].concat());

    step("the second does not make the first forgotten", || {
        prepare(&api, &[]).ok();
        prepare(&web, &[]).ok();
        assert_eq!(prepare(&api, &[]).ok().out(), "/root/api has everything");
        let listed = workspace(&["list", "box", "--json"]).ok().json();
        let names: Vec<_> = listed
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| one["name"].as_str().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(names, ["web", "api"], "{listed}");
        prepare(&other, &[]).run().exits(4).says("--as NAME");
        prepare(&other, &["--as", "api2"]).ok();
    });

    step(
        "commands take the one of the folder, or that is named",
        || {
            let exec = |here: &Path, more: &[&str]| {
                let words = [&["exec"], more, &["box", "--", "pwd"]].concat();
                sandbox.banger(&words).within(here).ok().out()
            };
            assert_eq!(exec(&api, &[]), "/root/api");
            assert_eq!(exec(&other, &[]), "/root/api2");
            assert_eq!(exec(&api, &["--workspace", "web"]), "/root/web");
            assert_eq!(exec(&home, &[]), "/root/api2");
            workspace(&["export", "box"])
                .run()
                .exits(2)
                .says("--workspace NAME");
            workspace(&["export", "box", "--workspace", "api"])
                .ok()
                .says("nothing changed");
        },
    );

    let there = |script: &str| {
        sandbox
            .banger(&[
                "exec",
                "--workspace",
                "api",
                "box",
                "--",
                "sh",
                "-c",
                script,
            ])
            .ok()
    };
    let export = |more: &[&str]| {
        let words = [&["vm", "workspace", "export", "box"], more].concat();
        sandbox.banger(&words).within(&api)
    };
    step(
        "paths are left out, approved of, and all refused ones named",
        || {
            there(
                "echo three >> README; mkdir -p .venv .github app/.git; ln -s /usr/bin/x .venv/python; ln -s /x out; \
               echo a > .github/ci.yml; echo '# x' > AGENTS.md; echo c > app/c; mkfifo pipe",
            );
            let refused = export(&[]).run().exits(1);
            refused.says(".venv/python").says("out").says("--exclude");
            let less = ["--exclude", ".venv", "--exclude", "out"];
            let asks = export(&less).run().exits(1);
            asks.says(".github/ci.yml").says("AGENTS.md");
            let took =
                export(&[&less[..], &["--allow", ".github", "--allow", "AGENTS.md"]].concat());
            let took = took.ok().says("app").says("pipe");
            assert!(
                took.out().contains("+three") && !took.out().contains(".venv"),
                "{took}"
            );
            let one = export(&["--", "README"]).ok().out();
            assert!(one.contains("README") && !one.contains("AGENTS"), "{one}");
        },
    );

    step(
        "it is applied here from any folder, or not at all",
        || -> io::Result<()> {
            fs::create_dir(api.join("below"))?;
            let apply = || {
                let words = [
                    "vm",
                    "workspace",
                    "export",
                    "box",
                    "--apply",
                    "--",
                    ":/README",
                ];
                sandbox.banger(&words).within(&api.join("below"))
            };
            let before = fs::read_to_string(api.join("README"))?;
            fs::write(api.join("README"), "another thing\n")?;
            apply().run().exits(4).says("README");
            fs::write(api.join("README"), &before)?;
            apply().ok();
            assert!(fs::read_to_string(api.join("README"))?.ends_with("three\n"));
            fs::write(api.join("README"), &before)?;
            Ok(())
        },
    )?;

    step(
        "a repository that was moved goes on",
        || -> io::Result<()> {
            let moved = home.join("moved");
            fs::rename(&api, &moved)?;
            let words = ["vm", "workspace", "export", "box", "--", "README"];
            let patch = sandbox.banger(&words).within(&moved).ok().out();
            assert!(patch.contains("+three"), "{patch}");
            prepare(&moved, &["--as", "api"]).ok().says("goes on");
            Ok(())
        },
    )
}

#[test]
fn work_that_is_in_a_vm_alone_is_named_before_it_goes() -> io::Result<()> {
    let sandbox = Sandbox::new();
    let home = sandbox.home();
    let repo = home.join("repo");
    repository(&repo)?;
    let run = |more: &[&str], script: &str| {
        let words = [more, &[text(&repo), "--", "sh", "-c", script]].concat();
        minimal(&sandbox, &["run", "--rm"], &words).deadline(Duration::from_secs(180))
    };
    step(
        "as the user that it belongs to, and nothing is said of nothing",
        || {
            let quiet = run(
                &["-u", "nobody"],
                "id -un; touch mine && rm mine && echo written",
            )
            .ok();
            assert_eq!(quiet.out(), "nobody\nwritten");
            assert!(!quiet.err().contains("not here"), "{quiet}");
        },
    );
    step(
        "named, and kept where it is wanted",
        || -> io::Result<()> {
            let patch = home.join("work.patch");
            let script = "echo two > made; mkdir -p inner/.git; exit 3";
            let ended = run(&["--export", text(&patch)], script).run().exits(3);
            ended.says("made").says("inner");
            git(&repo, &["apply", text(&patch)]);
            assert_eq!(fs::read_to_string(repo.join("made"))?, "two\n");
            Ok(())
        },
    )?;
    sandbox.assert_no_vm();
    Ok(())
}
