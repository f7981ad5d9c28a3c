//! Registered images and the three work-disk rules.

use std::fs;
use std::io;

use banger_smoke::{Sandbox, step};

use crate::guests::SMALL;
use crate::tiny_root;

const MIB: u64 = 1024 * 1024;

#[test]
fn a_work_disk_starts_from_the_images_seed_and_only_grows() -> io::Result<()> {
    let sandbox = Sandbox::new();
    let (root, seed) = (sandbox.home().join("root"), sandbox.home().join("seed"));
    tiny_root::make(&root)?;
    fs::create_dir(&seed)?;
    fs::write(seed.join("from-the-seed"), "hello\n")?;
    let folder = seed.clone();
    let (root, seed) = (root.display().to_string(), seed.display().to_string());

    step("register a folder as an image, with a seed", || {
        sandbox
            .banger(&[
                "image",
                "register",
                "seeded",
                "--rootfs",
                &root,
                "--work-seed",
                &seed,
            ])
            .ok();
        sandbox
            .banger(&["image", "register", "plain", "--rootfs", &root])
            .ok();
    });
    let seed_bytes = sandbox.image("seeded")["seed_bytes"].as_u64().unwrap_or(0);
    assert!(seed_bytes > 0, "the seed's size should be shown");

    step(
        "less than the seed is refused, and both sizes are named",
        || {
            let less = format!("{}M", seed_bytes / MIB / 2);
            let words = [
                "vm",
                "create",
                "--no-start",
                "--image",
                "seeded",
                "--disk-size",
                &less,
            ];
            let asked = seed_bytes / MIB / 2;
            let message =
                format!("work disk of {asked} MiB is smaller than the image's work seed of ");
            sandbox.banger(&words).run().exits(2).says(&message);
            sandbox.assert_no_vm();
        },
    );

    step("as much as the seed clones it", || {
        let same = format!("{}M", seed_bytes.div_ceil(MIB));
        let flags = ["vm", "create", "--no-start", "--name", "same", "--verbose"];
        let size = ["--image", "seeded", "--disk-size", &same];
        let words = [&flags[..], &size, &SMALL].concat();
        sandbox.banger(&words).ok().says("cloning work seed");
        sandbox.banger(&["rm", "same"]).ok();
    });

    step("more than a small seed is written in that size", || {
        has_the_seed_and_3_gib(&sandbox, "seeded");
    });

    step("a large seed is cloned, and its guest grows it", || {
        fs::write(folder.join("large"), vec![7; 5 << 20])?;
        let words = ["image", "reseed", "seeded", "--from", &seed];
        sandbox.banger(&words).ok();
        has_the_seed_and_3_gib(&sandbox, "seeded");
        Ok::<_, io::Error>(())
    })?;

    step("without a seed it is an empty folder of root's", || {
        let script =
            "stat -c '%U %G %a' /root 2>/dev/null || stat -c '%u %g %a' /root; ls -A /root";
        let flags = ["vm", "run", "--rm", "--verbose", "--image", "plain"];
        let ran = sandbox
            .banger(&[&flags[..], &SMALL, &["--", "sh", "-c", script]].concat())
            .ok();
        let ran = ran.says("creating empty work disk");
        let first = ran.out().lines().next().unwrap_or_default().to_owned();
        assert!(first == "root root 755" || first == "0 0 755", "{ran}");
        assert!(!ran.out().contains("from-the-seed"), "{ran}");
    });
    Ok(())
}

/// A VM of this image with a work disk of 3 GiB: the seed's file is there, and the file system is as large as the disk.
fn has_the_seed_and_3_gib(sandbox: &Sandbox, image: &str) {
    let script = "cat /root/from-the-seed; df --output=size -B1 /root | tail -n 1";
    let run = ["vm", "run", "--rm", "--verbose", "--image", image];
    let words = [
        &run[..],
        &["--disk-size", "3G"],
        &SMALL,
        &["--", "sh", "-c", script],
    ];
    let ran = sandbox
        .banger(&words.concat())
        .ok()
        .says("resizing work disk");
    let out = ran.out();
    let mut lines = out.lines();
    assert_eq!(lines.next(), Some("hello"), "{ran}");
    let size: u64 = lines
        .next()
        .and_then(|size| size.trim().parse().ok())
        .unwrap_or(0);
    assert!(
        size > 2800 * MIB && size <= 3072 * MIB,
        "/root should have 3 GiB, less its tables: {ran}"
    );
}

#[test]
fn an_image_without_a_usable_root_is_refused_or_says_that_nothing_runs() -> io::Result<()> {
    let sandbox = Sandbox::new();
    let hollow = sandbox.home().join("hollow");
    fs::create_dir(&hollow)?;
    fs::write(hollow.join("readme"), "no root file system\n")?;
    let path = hollow.display().to_string();

    step(
        "a path that is not there, and a file that is no image",
        || {
            sandbox
                .banger(&["image", "register", "x", "--rootfs", "/no/such/path"])
                .run()
                .says("/no/such/path");
            let file = hollow.join("readme").display().to_string();
            let refused = sandbox
                .banger(&["image", "register", "x", "--rootfs", &file])
                .run()
                .says("readme");
            assert_ne!(refused.code, Some(0), "{refused}");
            sandbox.banger(&["image", "show", "x"]).run().exits(3);
        },
    );

    // A kernel boots with anything below it; a program is needed only when one is to be run.
    step("a folder with no program in it", || {
        sandbox
            .banger(&["image", "register", "hollow", "--rootfs", &path])
            .ok();
        let run = ["vm", "run", "--rm", "--image", "hollow"];
        sandbox
            .banger(&[&run[..], &SMALL[..], &["--", "true"]].concat())
            .run()
            .exits(127)
            .says("no such program in the guest");
        sandbox.assert_no_vm();
    });
    Ok(())
}
