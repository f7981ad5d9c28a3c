//! Images from a registry: pulled, booted, and the same in the guest as when another tool unpacks them.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use banger_smoke::{Invocation, Registry, Sandbox, eventually, step};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{Signal, kill_process};

use crate::guests::SMALL;

/// Time limit for unpacking, packing and reading under emulation.
pub const LONG: Duration = Duration::from_secs(300);
/// Fewest entries that make the comparison worthwhile.
const ENTRIES: usize = 15_000;

const INVENTORY: &str = include_str!("pulling/inventory.py");
const EVERY_KIND: &str = include_str!("pulling/every_kind.py");

fn tool(program: &str, words: &[&str]) -> String {
    let finished = Invocation::new(Path::new(program))
        .args(words)
        .deadline(LONG)
        .ok();
    finished.out()
}

pub fn text(path: &Path) -> &str {
    path.to_str()
        .unwrap_or_else(|| panic!("{} is no text", path.display()))
}

/// The files of the prepared Debian image, unpacked into a folder.
fn debian_tree(sandbox: &Sandbox, into: &Path) {
    let image = sandbox.image("debian-bookworm");
    let digest = image["digest"]
        .as_str()
        .unwrap_or_default()
        .trim_start_matches("sha256:");
    let base: PathBuf = [
        &sandbox.banger_home(),
        Path::new("state/images"),
        Path::new(digest),
        Path::new("base.ext4"),
    ]
    .iter()
    .collect();
    fs::create_dir(into).unwrap_or_else(|error| panic!("{}: {error}", into.display()));
    let rdump = format!("rdump / {}", into.display());
    tool("/usr/sbin/debugfs", &["-R", &rdump, text(&base)]);
}

/// Differences of the two inventories, a few lines of them.
fn differences(ours: &str, theirs: &str) -> Vec<String> {
    let set = |text: &str| {
        text.lines()
            .map(str::to_owned)
            .collect::<std::collections::BTreeSet<_>>()
    };
    let (ours, theirs) = (set(ours), set(theirs));
    let only = |mark: &str,
                a: &std::collections::BTreeSet<String>,
                b: &std::collections::BTreeSet<String>| {
        a.difference(b)
            .take(15)
            .map(|line| format!("{mark} {line}"))
            .collect::<Vec<_>>()
    };
    [
        only("guest    ", &ours, &theirs),
        only("reference", &theirs, &ours),
    ]
    .concat()
}

#[test]
fn a_pulled_image_is_in_the_guest_what_a_reference_tool_unpacks() {
    if !rustix::process::geteuid().is_root() {
        // Only root may make device nodes and give files to others, which the reference tool has to.
        return;
    }
    let sandbox = Sandbox::new();
    let work = sandbox.folder().join("w");
    fs::create_dir(&work).unwrap_or_else(|error| panic!("{error}"));
    let at = |name: &str| work.join(name);
    let registry = Registry::start(&at("registry"));
    let reference = format!("{}/team/debian:v1", registry.address());
    let layout = format!("{}:v1", at("layout").display());

    step("make an image of Debian and of every kind of entry", || {
        debian_tree(&sandbox, &at("tree"));
        let script = at("every_kind.py");
        fs::write(&script, EVERY_KIND).unwrap_or_else(|error| panic!("{error}"));
        let upper = at("upper.tar");
        tool("python3", &[text(&script), text(&at("tree")), text(&upper)]);
        let lower = at("lower.tar");
        let pack = [
            "--format=pax",
            "--xattrs",
            "--xattrs-include=*",
            "--sparse",
            "--numeric-owner",
        ];
        tool(
            "tar",
            &[
                &["-C", text(&at("tree")), "-cf", text(&lower)],
                &pack[..],
                &["."],
            ]
            .concat(),
        );
        tool("umoci", &["init", "--layout", text(&at("layout"))]);
        tool("umoci", &["new", "--image", &layout]);
        for layer in [&lower, &upper] {
            tool(
                "umoci",
                &["raw", "add-layer", "--image", &layout, text(layer)],
            );
        }
        let config = [
            "--config.env",
            "FROM_IMAGE=yes",
            "--config.workingdir",
            "/every-kind",
        ];
        tool(
            "umoci",
            &[&["config", "--image", &layout][..], &config].concat(),
        );
        let to = format!("docker://{reference}");
        let from = format!("oci:{layout}");
        let skopeo = [
            "copy",
            "--quiet",
            "--insecure-policy",
            "--dest-tls-verify=false",
        ];
        tool("skopeo", &[&skopeo[..], &[&from, &to]].concat());
    });
    step("pull it, and again: the second finds it", || {
        let pull = || {
            sandbox
                .banger(&["image", "pull", &reference])
                .deadline(LONG)
        };
        assert_eq!(pull().ok().out(), "debian:v1");
        assert_eq!(pull().ok().out(), "debian:v1");
    });
    let ours = step("boot it, and read its base in the guest", || {
        let vm = ["vm", "create", "--name", "pulled", "--image", &reference];
        sandbox
            .banger(&[&vm[..], &SMALL].concat())
            .deadline(LONG)
            .ok();
        assert_eq!(
            sandbox.in_guest("pulled", "echo $FROM_IMAGE; pwd"),
            "yes\n/every-kind"
        );
        let read =
            "mkdir /run/base && mount -o ro,noload /dev/vda /run/base && python3 - /run/base";
        let exec = ["exec", "pulled", "--", "sh", "-c", read];
        sandbox
            .banger(&exec)
            .input(INVENTORY)
            .deadline(LONG)
            .ok()
            .out()
    });
    let theirs = step("unpack it with the reference tool", || {
        tool(
            "umoci",
            &["unpack", "--image", &layout, text(&at("bundle"))],
        );
        let script = at("inventory.py");
        fs::write(&script, INVENTORY).unwrap_or_else(|error| panic!("{error}"));
        tool("python3", &[text(&script), text(&at("bundle/rootfs"))])
    });
    assert!(
        theirs.lines().count() >= ENTRIES,
        "{} entries",
        theirs.lines().count()
    );
    let differ = differences(&ours, &theirs);
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

/// Pushes an image of one incompressible file of some megabytes; returns its reference.
fn push_small(work: &Path, registry: &Registry) -> String {
    let tree = work.join("small");
    let noise: Vec<u8> = (0..500_000_u64)
        .flat_map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ n << 17).to_le_bytes())
        .collect();
    fs::create_dir_all(&tree).unwrap_or_else(|error| panic!("{error}"));
    fs::write(tree.join("file"), noise).unwrap_or_else(|error| panic!("{error}"));
    push(&tree, work, registry, "small:v1")
}

/// Pushes an image of this tree under a name with a tag; returns its reference.
pub fn push(tree: &Path, work: &Path, registry: &Registry, name: &str) -> String {
    let packed = work.join("packed");
    fs::create_dir(&packed).unwrap_or_else(|error| panic!("{error}"));
    let layer = packed.join("layer.tar");
    tool("tar", &["-C", text(tree), "-cf", text(&layer), "."]);
    let layout = packed.join("layout");
    tool("umoci", &["init", "--layout", text(&layout)]);
    let image = format!("{}:v1", layout.display());
    tool("umoci", &["new", "--image", &image]);
    tool(
        "umoci",
        &["raw", "add-layer", "--image", &image, text(&layer)],
    );
    let reference = format!("{}/{name}", registry.address());
    let (from, to) = (format!("oci:{image}"), format!("docker://{reference}"));
    let skopeo = [
        "copy",
        "--quiet",
        "--insecure-policy",
        "--dest-tls-verify=false",
    ];
    tool("skopeo", &[&skopeo[..], &[&from, &to]].concat());
    fs::remove_dir_all(packed).unwrap_or_else(|error| panic!("{error}"));
    reference
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn two_pulls_at_once_and_a_daemon_killed_in_a_pull_leave_one_image_or_none() {
    let sandbox = Sandbox::empty();
    let registry = Registry::start(&sandbox.folder().join("registry"));
    let reference = push_small(sandbox.folder(), &registry);
    let pull = || {
        sandbox
            .banger(&["image", "pull", &reference])
            .deadline(LONG)
    };

    step(
        "the daemon is killed while the registry does not answer",
        || {
            registry.pause();
            let pulling = pull().start();
            let cache = sandbox.banger_home().join("cache/oci");
            eventually("the pull is under way", LONG, || {
                cache.join("lock").exists().then_some(())
            });
            kill_daemon(&sandbox);
            registry.go_on();
            // The next daemon cannot continue: the operation was lost, and so the pull fails.
            pulling.wait();
            assert_eq!(sandbox.out(&["image", "list", "--json"]), "[]");
            assert_eq!(count(&sandbox.banger_home().join("state/staging")), 0);
            assert_eq!(count(&sandbox.banger_home().join("state/images")), 0);
        },
    );
    step("two pulls at once both end well, with one image", || {
        let (one, other) = (pull().start(), pull().start());
        assert_eq!(one.wait().ok().out(), "small:v1");
        assert_eq!(other.wait().ok().out(), "small:v1");
        assert_eq!(count(&sandbox.banger_home().join("state/images")), 1);
        assert_eq!(count(&sandbox.banger_home().join("cache/oci/parts")), 0);
    });
    let home = sandbox.banger_home();
    // Files that show the progress: fetching, making, writing the base, moving it into place.
    for (what, there) in [
        ("fetches", home.join("cache/oci/blobs/sha256")),
        ("makes", home.join("state/staging")),
        ("publishes", home.join("state/images")),
    ] {
        step(&format!("the daemon is killed while it {what}"), || {
            sandbox.banger(&["image", "delete", "small:v1"]).ok();
            sandbox.banger(&["image", "cache", "prune"]).ok();
            assert_eq!(count(&there), 0);
            let pid = sandbox.daemon_pid();
            let pulling = pull().start();
            let due = Instant::now() + LONG;
            while count(&there) == 0 {
                assert!(Instant::now() < due, "{} stays empty", there.display());
                std::thread::yield_now();
            }
            kill_process(pid, Signal::KILL).unwrap_or_else(|error| panic!("{error}"));
            pulling.wait();
            // The image, if it was made before the end; else nothing.
            let images = sandbox.banger(&["image", "list", "--json"]).ok().json();
            let named = images.as_array().map_or(0, Vec::len);
            assert_eq!(count(&home.join("state/images")), named, "{images}");
            assert_eq!(count(&home.join("state/staging")), 0);
            pull().ok();
        });
    }
}

fn kill_daemon(sandbox: &Sandbox) {
    let killed = kill_process(sandbox.daemon_pid(), Signal::KILL);
    killed.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_full_disk_during_a_pull_is_a_clear_error() -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        // Only root may mount a file system of a chosen size.
        return Ok(());
    }
    let sandbox = Sandbox::empty();
    let registry = Registry::start(&sandbox.folder().join("registry"));
    let reference = push_small(sandbox.folder(), &registry);
    let pull = || {
        sandbox
            .banger(&["image", "pull", &reference])
            .deadline(LONG)
    };
    for full in ["cache/oci", "state/staging"] {
        let folder = sandbox.banger_home().join(full);
        fs::create_dir_all(&folder)?;
        let flags = MountFlags::NODEV | MountFlags::NOSUID;
        mount("tmpfs", &folder, "tmpfs", flags, c"size=1m")?;
        let failed = pull().run().exits(1);
        assert!(failed.err().to_lowercase().contains("no space"), "{failed}");
        unmount(&folder, UnmountFlags::DETACH)?;
        assert_eq!(sandbox.out(&["image", "list", "--json"]), "[]");
    }
    pull().ok();
    Ok(())
}

#[test]
fn a_bare_word_is_never_looked_for_in_a_registry() {
    let sandbox = Sandbox::empty();
    let failed = sandbox
        .banger(&[
            "vm",
            "run",
            "--rm",
            "--image",
            "debian-minmal",
            "--",
            "true",
        ])
        .run()
        .exits(3);
    assert!(
        failed.err().contains("did you mean \"debian-minimal\"?"),
        "{failed}"
    );
}

/// Checks that a credential helper is searched in the caller's `PATH`, not in that of the daemon, which runs already.
fn asks_the_callers_helper(sandbox: &Sandbox, absent: &str) -> io::Result<()> {
    let (docker, bin) = (sandbox.home().join(".docker"), sandbox.home().join("bin"));
    fs::create_dir_all(&docker)?;
    fs::create_dir(&bin)?;
    fs::write(docker.join("config.json"), r#"{"credsStore":"mine"}"#)?;
    let pull = || sandbox.banger(&["image", "pull", absent]);
    let failed = pull().run().exits(3);
    assert!(
        failed.err().contains("docker-credential-mine, which ")
            && failed
                .err()
                .contains("is not on the PATH: going on without credentials")
            && failed.err().contains("has no image"),
        "{failed}"
    );
    let helper = bin.join("docker-credential-mine");
    fs::write(
        &helper,
        "#!/bin/sh\necho credentials not found in native keychain\nexit 1\n",
    )?;
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755))?;
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let failed = pull().env("PATH", path).run().exits(3);
    assert!(failed.err().contains("has no image"), "{failed}");
    Ok(())
}

#[test]
fn what_cannot_be_pulled_is_said_and_leaves_nothing() {
    let sandbox = Sandbox::empty();
    let registry = Registry::start(&sandbox.folder().join("registry"));
    let absent = format!("{}/no/such:image", registry.address());
    let failed = sandbox.banger(&["image", "pull", &absent]).run().exits(3);
    assert!(failed.err().contains("has no image"), "{failed}");
    asks_the_callers_helper(&sandbox, &absent).unwrap_or_else(|error| panic!("{error}"));
    let nowhere = sandbox.folder().join("nowhere.tar");
    sandbox
        .banger(&["image", "pull", text(&nowhere)])
        .run()
        .exits(2);
    assert_eq!(sandbox.out(&["image", "list", "--json"]), "[]");
    let staging = sandbox.banger_home().join("state/staging");
    let left = fs::read_dir(&staging).map_or(0, Iterator::count);
    assert_eq!(left, 0, "something is left in {}", staging.display());
}
