//! Names that move to newer images, and the fate of the older images.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use banger_smoke::{Invocation, Registry, Sandbox, step};
use serde_json::Value;

use crate::guests::SMALL;
use crate::images::{busybox_root, static_busybox};
use crate::pulling::{LONG, push, text};

fn image(sandbox: &Sandbox, name: &str) -> Value {
    sandbox.image(name)
}

fn names(sandbox: &Sandbox) -> Vec<String> {
    let listed = sandbox.banger(&["image", "list", "--json"]).ok().json();
    let images = listed.as_array().cloned().unwrap_or_default();
    let name = |image: &Value| image["name"].as_str().unwrap_or_default().to_owned();
    images.iter().map(name).collect()
}

fn folder(sandbox: &Sandbox, name: &str) -> PathBuf {
    let shown = image(sandbox, name);
    let digest = shown["digest"].as_str().unwrap_or_default();
    let images = sandbox.banger_home().join("state/images");
    images.join(digest.trim_start_matches("sha256:"))
}

fn inode(sandbox: &Sandbox, name: &str) -> io::Result<u64> {
    Ok(fs::metadata(folder(sandbox, name).join("base.ext4"))?.ino())
}

/// Content of a file in an image's work seed.
fn in_seed(sandbox: &Sandbox, path: &str) -> String {
    let seed = folder(sandbox, "app:v1").join("seed.ext4");
    let request = format!("cat {path}");
    let debugfs = Invocation::new(Path::new("/usr/sbin/debugfs"));
    debugfs.args(["-R", &request, text(&seed)]).ok().out()
}

#[test]
fn a_tag_that_moved_gives_its_name_to_the_newer_image_and_vms_keep_theirs() -> io::Result<()> {
    let busybox = static_busybox();
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox.folder().join("registry"));
    let tree = sandbox.folder().join("tree");
    busybox_root(&tree, &busybox)?;
    let release = |version: &str| -> io::Result<String> {
        fs::write(tree.join("etc/version"), version)?;
        Ok(push(&tree, sandbox.folder(), &registry, "app:v1"))
    };
    let create = |name: &str| {
        let words = ["vm", "create", "--no-start", "--name", name, "--image"];
        sandbox
            .banger(&[&words[..], &["app:v1"], &SMALL].concat())
            .ok();
    };
    let reference = release("1")?;
    let pull = || {
        let pull = sandbox.banger(&["image", "pull", &reference]);
        pull.deadline(LONG).ok()
    };

    step(
        "pulled again it is up to date, also without its layers",
        || {
            assert_eq!(pull().out(), "app:v1");
            let made = image(&sandbox, "app:v1");
            let container = &made["details"]["container"];
            for digest in ["digest", "config_digest"] {
                let text = container[digest].as_str().unwrap_or_default();
                assert!(text.starts_with("sha256:"), "{container}");
            }
            for of in ["layers", "history"] {
                let steps = container[of].as_array().map_or(0, Vec::len);
                assert_eq!(steps, 1, "{container}");
            }
            sandbox.banger(&["image", "cache", "prune"]).ok();
            pull().says("app:v1 is up to date");
            assert_eq!(image(&sandbox, "app:v1"), made);
            let would = sandbox.banger(&["image", "cache", "prune", "--dry-run", "--json"]);
            let blobs = would.ok().json()["blobs"].as_array().map_or(0, Vec::len);
            assert!(blobs < 2, "its layer was fetched again");
        },
    );
    create("old");
    let first = image(&sandbox, "app:v1")["digest"].clone();
    let kept = step(
        "a newer one takes the name, and the VM keeps its own",
        || {
            release("2").unwrap_or_else(|error| panic!("{error}"));
            pull();
            assert_ne!(image(&sandbox, "app:v1")["digest"], first);
            let kept = sandbox.vm("old")["image"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            assert_eq!(image(&sandbox, &kept)["digest"], first);
            assert_eq!(image(&sandbox, &kept)["superseded"], true);
            let delete = sandbox.banger(&["image", "delete", &kept]);
            delete.run().exits(4).says("old");
            kept
        },
    );
    step("it boots what it was made from", || {
        sandbox.banger(&["vm", "start", "old"]).ok();
        assert_eq!(sandbox.in_guest("old", "cat /etc/version"), "1");
    });
    step(
        "the older image goes with its last VM, at once without any",
        || {
            create("new");
            assert!(names(&sandbox).contains(&kept));
            sandbox.banger(&["rm", "--force", "old"]).ok();
            assert!(!names(&sandbox).contains(&kept));
            sandbox.banger(&["rm", "new"]).ok();
            let before = names(&sandbox);
            release("3").unwrap_or_else(|error| panic!("{error}"));
            pull();
            assert_eq!(names(&sandbox), before);
            let folders = fs::read_dir(sandbox.banger_home().join("state/images"));
            assert_eq!(folders.map_or(0, Iterator::count), before.len());
        },
    );
    step("a work seed of the user's own stays with the name", || {
        let home = sandbox.folder().join("home");
        fs::create_dir(&home).unwrap_or_else(|error| panic!("{error}"));
        fs::write(home.join("mine"), "my own").unwrap_or_else(|error| panic!("{error}"));
        let reseed = |from: &str| {
            let words = ["image", "reseed", "app:v1", "--from", from];
            sandbox.banger(&words).ok();
        };
        reseed(text(&home));
        let seed = image(&sandbox, "app:v1")["seed_bytes"].clone();
        release("4").unwrap_or_else(|error| panic!("{error}"));
        pull();
        assert_eq!(in_seed(&sandbox, "/mine"), "my own");
        assert_eq!(image(&sandbox, "app:v1")["seed_bytes"], seed);
        reseed("none");
        release("5").unwrap_or_else(|error| panic!("{error}"));
        pull();
        assert!(image(&sandbox, "app:v1")["seed_bytes"].is_null());
        let doctor = sandbox.banger(&["doctor"]).run();
        assert!(
            doctor.out().contains("app:v1 start with an empty /root"),
            "{doctor}"
        );

        reseed("root");
        fs::write(tree.join("root/.profile"), "newer").unwrap_or_else(|error| panic!("{error}"));
        release("6").unwrap_or_else(|error| panic!("{error}"));
        pull();
        assert_eq!(
            in_seed(&sandbox, "/.profile"),
            "newer",
            "the image's own is made anew"
        );
    });
    step("another image takes a name only when it is told to", || {
        let register = ["image", "register", "app:v1", "--rootfs", text(&tree)];
        sandbox.banger(&register).run().exits(4).says("--replace");
        sandbox
            .banger(&[&register[..], &["--replace"]].concat())
            .ok();
        assert!(image(&sandbox, "app:v1")["details"]["container"].is_null());
        sandbox
            .banger(&["image", "pull", &reference])
            .run()
            .exits(4);
    });
    step("images of one tree share its base", || {
        let register = ["image", "register", "twin", "--rootfs", text(&tree)];
        let seedless = ["--work-seed", "none"];
        sandbox.banger(&[&register[..], &seedless].concat()).ok();
        let twin = image(&sandbox, "twin");
        assert_eq!(twin["shared_bytes"], twin["allocated_bytes"]);
    });
    assert_eq!(inode(&sandbox, "twin")?, inode(&sandbox, "app:v1")?);
    Ok(())
}
