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

    step("the two forms of a copy, both ways", || {
        both_forms(&sandbox, here.as_path())
    })?;

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

/// Rules of `cp -a` and `docker cp`: the source, the destination, and the file that is there then.
/// `dir` holds `f`; at the destination `old` is a folder and `file` a file.
const FORMS: [(&str, &str, Option<&str>); 14] = [
    ("dir", "new1", Some("new1/f")),
    ("dir", "new2/", Some("new2/f")),
    ("dir", "old", Some("old/dir/f")),
    ("dir/", "old/", Some("old/dir/f")),
    ("dir", "file", None),
    ("dir/.", "new3", Some("new3/f")),
    ("dir/.", "new4/", Some("new4/f")),
    ("dir/.", "old", Some("old/f")),
    ("dir/./", "old/", Some("old/f")),
    ("dir/.", "file", None),
    ("dir/f", "new5", Some("new5")),
    ("dir/f", "new6/", None),
    ("dir/f", "old", Some("old/f")),
    ("dir/f/.", "new7", None),
];

fn both_forms(sandbox: &Sandbox, here: &Path) -> io::Result<()> {
    let (from, to) = (here.join("forms"), here.join("forms.back"));
    fs::create_dir_all(from.join("dir"))?;
    fs::write(from.join("dir/f"), "f")?;
    sandbox.in_guest(NAME, "mkdir -p /root/from/dir && echo f > /root/from/dir/f");
    for (source, destination, file) in FORMS {
        // Afresh for each, on both sides.
        let _ = fs::remove_dir_all(&to);
        fs::create_dir_all(to.join("old"))?;
        fs::write(to.join("file"), "kept")?;
        sandbox.in_guest(
            NAME,
            "rm -rf /root/to && mkdir -p /root/to/old && echo kept > /root/to/file",
        );
        let copied_in = sandbox
            .banger(&[
                "cp",
                &format!("{}/{source}", from.display()),
                &format!("{NAME}:to/{destination}"),
            ])
            .run();
        let copied_out = sandbox
            .banger(&[
                "cp",
                &format!("{NAME}:from/{source}"),
                &format!("{}/{destination}", to.display()),
            ])
            .run();
        let case = format!("{source} to {destination}: {copied_in} {copied_out}");
        let listed = sandbox.in_guest(NAME, "cd /root/to && find . | sort");
        let mut here: Vec<String> = Vec::new();
        names_below(&to, Path::new("."), &mut here)?;
        here.sort();
        assert_eq!(here.join("\n"), listed, "both ways are one: {case}");
        let succeeded = |done: &banger_smoke::Finished| done.code == Some(0);
        assert_eq!(
            (succeeded(&copied_in), succeeded(&copied_out)),
            (file.is_some(), file.is_some()),
            "{case}"
        );
        match file {
            Some(file) => assert!(here.contains(&format!("./{file}")), "{case}: {here:?}"),
            None => assert_eq!(here, [".", "./file", "./old"], "{case}"),
        }
    }
    Ok(())
}

fn names_below(root: &Path, at: &Path, names: &mut Vec<String>) -> io::Result<()> {
    names.push(at.display().to_string());
    if root.join(at).is_dir() {
        for entry in fs::read_dir(root.join(at))? {
            names_below(root, &at.join(entry?.file_name()), names)?;
        }
    }
    Ok(())
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
