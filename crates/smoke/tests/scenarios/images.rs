//! Images of other makers: one program and nothing else, busybox with hardly an init; and a VM that is saved as an
//! image.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use banger_smoke::{Sandbox, find_on_path, step};
use serde_json::json;

use crate::guests::SMALL;
use crate::workspace::{repository, text};

/// The host's busybox, which must be one without libraries (Debian's busybox-static).
pub fn static_busybox() -> PathBuf {
    let Some(busybox) = find_on_path("busybox") else {
        panic!("there is no busybox; scripts/host-packages.sh tests installs it");
    };
    match std::process::Command::new("ldd").arg(&busybox).output() {
        Ok(linked) if linked.status.success() => {
            panic!(
                "{} needs libraries; busybox-static has one that does not",
                busybox.display()
            )
        }
        Ok(_) => busybox,
        Err(error) => panic!("cannot run ldd: {error}"),
    }
}

fn program(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))
}

fn create(sandbox: &Sandbox, name: &str, image: &str) {
    let words = ["vm", "create", "--name", name, "--image", image];
    sandbox.banger(&[&words[..], &SMALL].concat()).ok();
}

/// Sets an image's default command and environment, as a container image's configuration would.
fn say(sandbox: &Sandbox, image: &str, defaults: serde_json::Value) -> io::Result<()> {
    let shown = sandbox.image(image);
    let digest = shown["digest"].as_str().unwrap_or_default();
    let path = sandbox
        .banger_home()
        .join("state/images")
        .join(digest.trim_start_matches("sha256:"))
        .join("image.json");
    let mut said: serde_json::Value = serde_json::from_slice(&fs::read(&path)?)?;
    said["defaults"] = defaults;
    fs::write(&path, serde_json::to_vec(&said)?)
}

#[test]
fn an_image_of_single_programs_runs_them_and_says_that_it_has_no_shell() -> io::Result<()> {
    let busybox = static_busybox();
    let sandbox = Sandbox::new();
    let root = sandbox.home().join("scratch");
    fs::create_dir_all(root.join("data"))?;
    for name in ["echo", "env", "id", "pwd"] {
        program(&busybox, &root.join(name))?;
    }
    let rootfs = root.display().to_string();
    sandbox
        .banger(&["image", "register", "scratch", "--rootfs", &rootfs])
        .ok();
    create(&sandbox, "one", "scratch");
    let exec = |words: &[&str]| sandbox.banger(&[&["exec"], words].concat());

    step(
        "a program without libraries, /etc or a shell beside it",
        || {
            let ran = exec(&["one", "--", "/echo", "it", "runs"]).ok();
            assert_eq!(ran.out(), "it runs");
            exec(&["one", "--", "/pwd"]).ok();
        },
    );
    step("nothing to run is said clearly", || {
        exec(&["one"]).input("").run().exits(127).says("no shell");
        exec(&["--image-command", "one"])
            .run()
            .exits(127)
            .says("no command of its own");
    });
    let defaults = json!({
        "env": ["GREETING=hello", "PATH=/"],
        "user": "65534:65534",
        "working_dir": "/data",
        "entrypoint": ["/echo", "-n"],
        "cmd": ["from the image"],
    });
    say(&sandbox, "scratch", defaults)?;
    sandbox.banger(&["vm", "restart", "one"]).ok();

    step(
        "the image's own command runs where there is no shell",
        || {
            assert_eq!(exec(&["one"]).input("").ok().out(), "from the image");
            let asked = exec(&["--image-command", "one", "--", "asked for"]).ok();
            assert_eq!(asked.out(), "asked for");
        },
    );
    step("the image's environment, user and directory hold", || {
        let env = exec(&["one", "--", "env"]).ok().out();
        assert!(env.lines().any(|line| line == "GREETING=hello"), "{env}");
        assert_eq!(exec(&["one", "--", "pwd"]).ok().out(), "/data");
        let id = exec(&["one", "--", "id"]).ok().out();
        assert!(id.starts_with("uid=65534 gid=65534"), "{id}");
    });
    step("and are overridden by name", || {
        let words = [
            "-u",
            "0",
            "-w",
            "/",
            "-e",
            "GREETING=bye",
            "one",
            "--",
            "env",
        ];
        let env = exec(&words).ok().out();
        assert!(env.lines().any(|line| line == "GREETING=bye"), "{env}");
        let id = exec(&["-u", "0", "one", "--", "id"]).ok().out();
        assert!(id.starts_with("uid=0 "), "{id}");
        assert_eq!(exec(&["-w", "/", "one", "--", "pwd"]).ok().out(), "/");
    });
    step(
        "a repository comes in, though nothing can be set up",
        || -> io::Result<()> {
            let repo = sandbox.home().join("repo");
            repository(&repo)?;
            fs::write(repo.join(".tool-versions"), "node 20\n")?;
            let words = [
                "vm",
                "workspace",
                "prepare",
                "--include-untracked",
                "one",
                text(&repo),
            ];
            let told = sandbox.banger(&words).ok();
            assert!(told.err().contains("neither mise nor asdf"), "{told}");
            assert!(told.err().contains("to user 65534:65534"), "{told}");
            assert_eq!(exec(&["one", "--", "pwd"]).ok().out(), "/root/repo");
            Ok(())
        },
    )
}

/// A root as Alpine's images for containers have it: busybox behind every name, `/sbin/init` among them, and no OpenRC.
pub fn busybox_root(root: &Path, busybox: &Path) -> io::Result<()> {
    for folder in ["bin", "sbin", "etc", "root", "srv"] {
        fs::create_dir_all(root.join(folder))?;
    }
    program(busybox, &root.join("bin/busybox"))?;
    for name in [
        "sh", "ash", "cat", "ls", "ps", "sleep", "stat", "touch", "mkdir", "ln", "chmod", "chown",
        "kill", "grep", "readlink", "true",
    ] {
        symlink("busybox", root.join("bin").join(name))?;
    }
    symlink("/bin/busybox", root.join("sbin/init"))?;
    fs::write(root.join("etc/inittab"), "::sysinit:/sbin/openrc sysinit\n")?;
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/ash\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\n")?;
    fs::write(root.join("root/.profile"), "export FROM_PROFILE=yes\n")
}

#[test]
fn a_busybox_image_has_the_agent_as_process_1_and_is_saved_and_exported() -> io::Result<()> {
    let busybox = static_busybox();
    let sandbox = Sandbox::new();
    let root = sandbox.home().join("alpine");
    busybox_root(&root, &busybox)?;
    let rootfs = root.display().to_string();
    sandbox
        .banger(&["image", "register", "alpine", "--rootfs", &rootfs])
        .ok();
    create(&sandbox, "one", "alpine");
    let one = |script: &str| sandbox.in_guest("one", script);

    step("the agent is process 1, and orphans are reaped", || {
        let name = one("cat /proc/1/comm");
        assert!(
            name.starts_with("init") || name.contains("banger"),
            "{name}"
        );
        assert!(one("readlink /proc/1/exe").contains("init"));
        one("for i in 1 2 3 4 5; do (sleep 0 &) ; done; sleep 1");
        let zombies = one("grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null; true");
        assert_eq!(zombies, "", "nobody is left unburied");
    });
    step("the image's own /root is the work seed", || {
        assert!(one("cat /root/.profile").contains("FROM_PROFILE"));
    });
    step("a stop tells programs to end, and waits for them", || {
        let script = "trap 'echo told > /root/told; exit 0' TERM; while true; do sleep 0.1; done";
        one(&format!(
            "({script}) </dev/null >/dev/null 2>&1 & sleep 0.3"
        ));
        one(concat!(
            "echo changed > /etc/changed; rm -f /srv/x; touch /srv/a; ln /srv/a /srv/b; ",
            "chown 12:34 /srv/a; chmod 4711 /srv/a; echo kept > /root/kept",
        ));
        sandbox
            .banger(&["vm", "save", "one", "early"])
            .run()
            .exits(4)
            .says("stop");
        sandbox.banger(&["vm", "stop", "one"]).ok();
    });
    step("a stopped VM becomes an image, and is not changed", || {
        sandbox.banger(&["vm", "save", "one", "saved"]).ok();
        assert_eq!(sandbox.state("one"), "stopped");
        assert!(sandbox.vmm_pids().is_empty(), "its guest is gone");
    });
    create(&sandbox, "two", "saved");
    step("a VM of that image has what the first one had", || {
        let two = |script: &str| sandbox.in_guest("two", script);
        assert_eq!(
            two("cat /etc/changed /root/kept /root/told"),
            "changed\nkept\ntold"
        );
        assert_eq!(two("stat -c '%a %u:%g %h' /srv/b"), "4711 12:34 2");
        assert_ne!(two("cat /etc/machine-id"), "");
    });
    step("an image is exported, renamed and pruned", || {
        let archive = sandbox.home().join("saved.tar");
        let path = archive.display().to_string();
        sandbox
            .banger(&["image", "export", "saved", "-o", &path])
            .ok();
        let listed = std::process::Command::new("tar")
            .arg("-tf")
            .arg(&archive)
            .output();
        let listed = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        assert!(listed.is_ok_and(|names| names.contains("index.json")));
        sandbox.banger(&["image", "rename", "saved", "again"]).ok();
        assert_eq!(sandbox.vm("two")["image"], "again");
        sandbox
            .banger(&["image", "delete", "again"])
            .run()
            .exits(4)
            .says("two");
        sandbox
            .banger(&["image", "reseed", "again", "--from", "none"])
            .ok();
        assert_eq!(sandbox.in_guest("two", "cat /root/kept"), "kept");
        sandbox.banger(&["rm", "--force", "two"]).ok();
        let would = sandbox.out(&["image", "prune", "--dry-run"]);
        assert!(
            would.contains("again") && !would.contains("alpine"),
            "{would}"
        );
    });
    Ok(())
}
