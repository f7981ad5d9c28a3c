//! `[[file_sync]]`: files of the host in every guest, at every start.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use banger_smoke::{Sandbox, step};

use crate::guests::minimal;

#[test]
fn files_of_the_host_are_in_the_guest_at_every_start() {
    let sandbox = Sandbox::new();
    let home = sandbox.home();
    let folder = home.join("my dotfiles");
    fs::create_dir_all(folder.join("deep")).unwrap();
    fs::write(folder.join("deep/run"), "#!/bin/sh\necho ran\n").unwrap();
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder.join("deep/run"), executable).unwrap();
    symlink("/etc/passwd", folder.join("link")).unwrap();
    fs::write(home.join(".netrc"), "first").unwrap();
    let config = sandbox.banger_home().join("config.toml");
    let entries = r#"
[[file_sync]]
host = "~/.netrc"
guest = "~/.netrc"
[[file_sync]]
host = "~/my dotfiles"
guest = "/root/.config/dots"
[[file_sync]]
host = "/nowhere/at all"
guest = "~/nothing"
[[file_sync]]
host = "~/.netrc"
guest = "~/shared"
mode = "0644"
"#;

    step(
        "an entry that leads out of /root is refused by its number",
        || {
            fs::write(&config, entries.replace("~/shared", "~/../etc/shadow")).unwrap();
            sandbox
                .banger(&["ps"])
                .run()
                .exits(2)
                .says("file_sync entry 4")
                .says("..");
        },
    );

    step(
        "modes and owners are as told, what is missing or a link is told",
        || {
            fs::write(&config, entries).unwrap();
            let made = minimal(&sandbox, &["vm", "create", "--name", "sync"], &[]).ok();
            let told = made.err();
            assert!(
                told.contains("file_sync entry 3") && told.contains("/nowhere/at all"),
                "{told}"
            );
            assert!(
                told.contains("file_sync entry 2: skipped links") && told.contains("link"),
                "{told}"
            );
            let seen = sandbox.in_guest(
            "sync",
            "cd /root; stat -c '%n %a %u:%g' .netrc shared .config/dots/deep/run; cat .netrc shared; \
             .config/dots/deep/run; ls -A .config/dots; ls -d nothing 2>/dev/null; true",
        );
            assert!(seen.starts_with(
            ".netrc 600 0:0\nshared 644 0:0\n.config/dots/deep/run 755 0:0\nfirstfirstran\ndeep"
        ), "{seen}");
            assert!(
                !seen.contains("link") && !seen.contains("nothing"),
                "{seen}"
            );
        },
    );

    step(
        "a start brings what changed, and leaves the guest's own files",
        || {
            fs::write(home.join(".netrc"), "second").unwrap();
            sandbox.in_guest("sync", "echo own > /root/.config/dots/own");
            sandbox.banger(&["vm", "restart", "sync"]).ok();
            let seen = sandbox.in_guest("sync", "cat /root/.netrc /root/.config/dots/own");
            assert_eq!(seen, "secondown");
        },
    );
}
