//! `cp` both ways: modes, trees, and a lot of bytes. No network and no sshd in the guest.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use banger_smoke::{Sandbox, step};
use sha2::{Digest as _, Sha256};

use crate::guests::boot;

const NAME: &str = "box";
const MANY_BYTES: u64 = 100 * 1024 * 1024;

#[test]
fn files_trees_and_a_hundred_mebibytes_go_both_ways_unchanged() -> io::Result<()> {
    let sandbox = Sandbox::new();
    boot(&sandbox, NAME);
    let here = sandbox.home();
    let cp = |from: &str, to: &str| sandbox.banger(&["cp", from, to]);
    let at = |name: &str| here.join(name).display().to_string();

    step("one file keeps its mode", || -> io::Result<()> {
        fs::write(here.join("tool"), "#!/bin/sh\necho works\n")?;
        fs::set_permissions(here.join("tool"), fs::Permissions::from_mode(0o750))?;
        cp(&at("tool"), "box:/root/tool").ok();
        assert_eq!(
            sandbox.in_guest(NAME, "stat -c '%a %U' /root/tool; /root/tool"),
            "750 root\nworks"
        );
        cp("box:/root/tool", &at("tool.back")).ok();
        assert_eq!(
            fs::metadata(here.join("tool.back"))?.permissions().mode() & 0o7777,
            0o750
        );
        assert_eq!(
            fs::read(here.join("tool"))?,
            fs::read(here.join("tool.back"))?
        );
        Ok(())
    })?;

    step(
        "a tree keeps its modes, links and empty folders",
        || -> io::Result<()> {
            let tree = here.join("tree");
            fs::create_dir_all(tree.join("deep/empty"))?;
            fs::write(tree.join("deep/secret"), "s")?;
            fs::set_permissions(tree.join("deep/secret"), fs::Permissions::from_mode(0o600))?;
            symlink("deep/secret", tree.join("link"))?;
            cp(&at("tree"), "box:/root/tree").ok();
            let seen = sandbox.in_guest(
                NAME,
                "cd /root/tree && find . | sort && stat -c %a deep/secret && readlink link",
            );
            assert_eq!(
                seen,
                ".\n./deep\n./deep/empty\n./deep/secret\n./link\n600\ndeep/secret"
            );
            cp("box:/root/tree", &at("tree.back")).ok();
            let back = here.join("tree.back");
            assert_eq!(fs::read_link(back.join("link"))?, Path::new("deep/secret"));
            assert!(back.join("deep/empty").is_dir());
            assert_eq!(
                fs::metadata(back.join("deep/secret"))?.permissions().mode() & 0o7777,
                0o600
            );
            Ok(())
        },
    )?;

    step(
        "a hundred mebibytes of random bytes",
        || -> io::Result<()> {
            let much = here.join("much");
            io::copy(
                &mut File::open("/dev/urandom")?.take(MANY_BYTES),
                &mut File::create(&much)?,
            )?;
            cp(&at("much"), "box:/root/much").ok();
            cp("box:/root/much", &at("much.back")).ok();
            assert_eq!(digest(&much)?, digest(&here.join("much.back"))?);
            Ok(())
        },
    )?;

    step("what is not there is named", || {
        cp("box:/root/absent", &at("x"))
            .run()
            .exits(1)
            .says("/root/absent");
        assert!(
            !here.join("x").exists(),
            "a failed copy should leave no file"
        );
        cp(&at("absent"), "box:/root/x").run().says("absent");
        cp("nobody:/etc/hostname", &at("x"))
            .run()
            .exits(3)
            .says("nobody");
        cp(&at("tool"), &at("y")).run().exits(2);
    });

    step(
        "a guest path cannot lead out of the folder that is copied to",
        || {
            sandbox.in_guest(
                NAME,
                "mkdir -p /root/trap && ln -s /etc/passwd /root/trap/pw && ln -s / /root/trap/all",
            );
            cp("box:/root/trap", &at("trap")).ok();
            let all = fs::symlink_metadata(here.join("trap/all"))?;
            assert!(all.is_symlink(), "a link stays a link");
            Ok::<(), io::Error>(())
        },
    )
}

fn digest(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut chunk = vec![0; 1024 * 1024];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(digest.finalize().to_vec()),
            count => digest.update(&chunk[..count]),
        }
    }
}
