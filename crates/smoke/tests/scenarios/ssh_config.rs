//! `banger ssh-config`: the user's own files, as they were before and after.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use banger_smoke::{Sandbox, step};

#[test]
fn the_users_configuration_is_changed_on_request_and_comes_back_to_the_byte() {
    let sandbox = Sandbox::empty();
    let folder = sandbox.home().join(".ssh");
    let file = folder.join("config");
    let shown = || sandbox.banger(&["ssh-config", "--json"]).ok().json();

    step("showing it changes nothing of the user's", || {
        let text = sandbox.out(&["ssh-config"]);
        assert!(text.contains("Host *.vm") && text.contains("StrictHostKeyChecking yes"));
        let shown = shown();
        assert_eq!(shown["installed"], false);
        let path = shown["path"].as_str().unwrap_or_default();
        assert!(path.starts_with(&sandbox.banger_home().display().to_string()));
        assert_eq!(shown["include_line"], format!("Include \"{path}\""));
        assert!(!folder.exists());
    });

    step("where there was nothing, nothing is left", || {
        sandbox.banger(&["ssh-config", "--install"]).ok();
        assert_eq!(shown()["installed"], true);
        sandbox
            .banger(&["ssh-config", "--install"])
            .ok()
            .says("already");
        sandbox.banger(&["ssh-config", "--uninstall"]).ok();
        assert!(!folder.exists(), "the folder was made by banger");
    });

    step("a file of the user's comes back, its mode too", || {
        let own = b"Host mine\r\n  HostName \xff.example\r\nHost other\n  User x";
        fs::create_dir(&folder).unwrap();
        fs::write(&file, own).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        sandbox.banger(&["ssh-config", "--install"]).ok();
        let installed = fs::read(&file).unwrap();
        assert!(installed.ends_with(own) && installed.len() > own.len());
        // As OpenSSH itself reads it: ours for VMs, and the user's for the user's hosts.
        let of = |host: &str| {
            let file = file.display().to_string();
            sandbox
                .program("ssh", &["-G", "-F", &file, host])
                .ok()
                .out()
        };
        // One host for each VM, as a file that editors follow the Include to; without any VM it is empty of hosts.
        let included = sandbox.out(&["ssh-config"]);
        assert!(included.contains("/ssh/hosts\"\nHost *.vm"), "{included}");
        let vm = of("web.vm");
        assert!(
            vm.contains("\nstricthostkeychecking true") || vm.contains("stricthostkeychecking yes"),
            "{vm}"
        );
        assert!(
            vm.contains("internal connect web.vm") || vm.contains("internal connect %h"),
            "{vm}"
        );
        let other = of("other");
        assert!(
            other.contains("user x\n") && !other.contains("internal connect"),
            "{other}"
        );
        sandbox.banger(&["ssh-config", "--uninstall"]).ok();
        assert_eq!(fs::read(&file).unwrap(), own);
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o640);
    });

    step("a file that nobody may write is left alone", || {
        fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
        let before = fs::read(&file).unwrap();
        sandbox
            .banger(&["ssh-config", "--install"])
            .run()
            .exits(5)
            .says("read-only");
        assert_eq!(fs::read(&file).unwrap(), before);
    });
}
