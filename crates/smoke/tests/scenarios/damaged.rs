//! Damaged things on the host: they are named and can be deleted, and everything else works.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use banger_smoke::{Sandbox, step};

use crate::guests::{MINIMAL, SMALL};
use crate::images::static_busybox;

const DAMAGED: &str = "is damaged";

/// The description of an image or a kernel; the file may be shared with other sandboxes, so it is never written into.
fn description(sandbox: &Sandbox, kind: &str, name: &str) -> PathBuf {
    let shown = sandbox.banger(&[kind, "show", name, "--json"]).ok().json();
    let shown = shown.get(0).cloned().unwrap_or(shown);
    let digest = shown["digest"].as_str().unwrap_or_default();
    sandbox
        .banger_home()
        .join(format!("state/{kind}s"))
        .join(digest.trim_start_matches("sha256:"))
        .join(format!("{kind}.json"))
}

fn replace(file: &Path, content: &[u8]) -> io::Result<()> {
    fs::remove_file(file)?;
    fs::write(file, content)
}

fn create(sandbox: &Sandbox, name: &str, words: &[&str]) -> banger_smoke::Invocation {
    let create = ["vm", "create", "--no-start", "--name", name];
    sandbox.banger(&[&create[..], words, &SMALL].concat())
}

#[test]
fn a_damaged_description_is_one_damaged_image_or_kernel_and_all_else_works() -> io::Result<()> {
    let sandbox = Sandbox::new();
    let root = sandbox.home().join("scratch");
    fs::create_dir_all(root.join("bin"))?;
    fs::copy(static_busybox(), root.join("bin/sh"))?;
    let rootfs = root.display().to_string();
    sandbox
        .banger(&["image", "register", "scratch", "--rootfs", &rootfs])
        .ok();
    create(&sandbox, "before", &["--image", "scratch"]).ok();
    let image = description(&sandbox, "image", "scratch");
    let whole = fs::read(&image)?;

    for (what, content) in [
        ("cut off", &whole[..whole.len() / 2]),
        ("empty", &b""[..]),
        ("of a newer build", &br#"{"format": 999}"#[..]),
    ] {
        step(&format!("an image whose description is {what}"), || {
            replace(&image, content)?;
            let listed = sandbox.banger(&["image", "list", "--json"]).ok().json();
            let errors: Vec<_> = listed.as_array().into_iter().flatten().collect();
            let error = |name: &str| {
                let found = errors.iter().find(|image| image["name"] == name);
                found.and_then(|image| image["error"].as_str())
            };
            assert!(
                error("scratch").is_some_and(|error| error.contains(DAMAGED)),
                "{listed}"
            );
            assert_eq!(error(MINIMAL), None, "{listed}");
            let shown = sandbox.out(&["image", "show", "scratch"]);
            assert!(shown.contains("image.json"), "{shown}");
            let refused = create(&sandbox, "no", &["--image", "scratch"])
                .run()
                .exits(1);
            assert!(
                refused.err().contains("\"scratch\" cannot be used"),
                "{refused}"
            );
            assert!(
                refused.err().contains("banger image delete scratch"),
                "{refused}"
            );
            create(&sandbox, "other", &["--image", MINIMAL]).ok();
            sandbox.banger(&["vm", "delete", "other"]).ok();
            Ok::<(), io::Error>(())
        })?;
    }

    step("it and its VM can be deleted", || {
        sandbox.banger(&["vm", "delete", "before"]).ok();
        sandbox.banger(&["image", "delete", "scratch"]).ok();
        assert!(!image.exists());
    });

    step("a kernel whose description is damaged", || {
        let listed = sandbox.banger(&["kernel", "list", "--json"]).ok().json();
        let name = listed[0]["name"].as_str().unwrap_or_default().to_owned();
        let kernel = description(&sandbox, "kernel", &name);
        let whole = fs::read(&kernel)?;
        replace(&kernel, b"{")?;
        let listed = sandbox.out(&["kernel", "list"]);
        assert!(listed.contains(DAMAGED), "{listed}");
        let refused = create(&sandbox, "no", &["--image", MINIMAL, "--kernel", &name])
            .run()
            .exits(1);
        assert!(refused.err().contains("kernel.json"), "{refused}");
        assert!(refused.err().contains("banger kernel import"), "{refused}");
        assert_eq!(sandbox.vm_names(), Vec::<String>::new());
        replace(&kernel, &whole)?;
        create(&sandbox, "yes", &["--image", MINIMAL, "--kernel", &name]).ok();
        sandbox.banger(&["vm", "delete", "yes"]).ok();
        replace(&kernel, b"{")?;
        sandbox.banger(&["kernel", "delete", &name]).ok();
        Ok::<(), io::Error>(())
    })
}
