//! No space on the host, and a disk that is read-only: a clear error, nothing left, and recovery afterwards.

use std::ffi::CString;
use std::io;

use banger_smoke::{Sandbox, step};
use rustix::mount::{MountFlags, mount};

use crate::guests::minimal;

/// Too small for the two disks of a VM, sparse as they are.
const SIZE: &str = "size=64k";

#[test]
fn a_full_disk_during_create_gives_a_clear_error_and_leaves_nothing() -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        // Only root may mount a file system of a chosen size.
        return Ok(());
    }
    let sandbox = Sandbox::new();
    let vms = sandbox.banger_home().join("state/vms");
    std::fs::create_dir_all(&vms)?;
    let options = CString::new(SIZE)?;
    mount(
        "tmpfs",
        &vms,
        "tmpfs",
        MountFlags::NODEV | MountFlags::NOSUID,
        options.as_c_str(),
    )?;

    step("create fails and says that there is no space", || {
        let failed = minimal(&sandbox, &["vm", "create", "--name", "big"], &[])
            .run()
            .exits(1);
        assert!(failed.err().to_lowercase().contains("no space"), "{failed}");
    });
    step("nothing is left, and the daemon works on", || {
        assert_eq!(sandbox.vm_names(), Vec::<String>::new());
        assert_eq!(
            std::fs::read_dir(&vms)?.count(),
            0,
            "no file of the VM should be left"
        );
        rustix::mount::unmount(&vms, rustix::mount::UnmountFlags::empty())?;
        minimal(
            &sandbox,
            &["vm", "create", "--no-start", "--name", "big"],
            &[],
        )
        .ok();
        Ok(())
    })
}

/// A file system of this size, for the state folder alone.
fn state_of(size: &str, sandbox: &Sandbox) -> io::Result<std::path::PathBuf> {
    let state = sandbox.banger_home().join("state");
    std::fs::create_dir_all(&state)?;
    let options = CString::new(format!("size={size},mode=0700"))?;
    mount(
        "tmpfs",
        &state,
        "tmpfs",
        MountFlags::NODEV | MountFlags::NOSUID,
        options.as_c_str(),
    )?;
    Ok(state)
}

/// Takes all the space that is left.
fn fill(file: &std::path::Path) -> io::Result<()> {
    use io::Write as _;
    let mut file = std::fs::File::create(file)?;
    loop {
        match file.write(&[1; 4096]) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

#[test]
fn a_store_that_cannot_be_written_says_why_and_is_written_again_afterwards() -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        // Only root may mount a file system of a chosen size.
        return Ok(());
    }
    let sandbox = Sandbox::empty();
    let state = state_of("4m", &sandbox)?;
    let rootfs = sandbox.home().join("rootfs");
    std::fs::create_dir_all(rootfs.join("bin"))?;
    std::fs::write(rootfs.join("bin/x"), "x")?;
    let rootfs = rootfs.display().to_string();
    let register = ["image", "register", "tiny", "--rootfs", &rootfs];
    let ballast = state.join("ballast");

    step("a full disk", || {
        sandbox.banger(&["image", "list"]).ok();
        fill(&ballast)?;
        let failed = sandbox.banger(&register).run().exits(1);
        assert!(failed.err().to_lowercase().contains("no space"), "{failed}");
        assert!(failed.err().contains("hint:"), "{failed}");
        // Who only reads is not hindered.
        sandbox.banger(&["image", "list"]).ok();
        std::fs::remove_file(&ballast)?;
        sandbox.banger(&register).ok();
        sandbox.banger(&["image", "delete", "tiny"]).ok();
        Ok::<(), io::Error>(())
    })?;

    step("a full disk when the daemon starts", || {
        sandbox.banger(&["daemon", "stop"]).ok();
        fill(&ballast)?;
        let failed = sandbox.banger(&["image", "list"]).run();
        assert_ne!(failed.code, None, "{failed}");
        if failed.code != Some(0) {
            assert!(failed.err().to_lowercase().contains("no space"), "{failed}");
        }
        std::fs::remove_file(&ballast)?;
        sandbox.banger(&["image", "list"]).ok();
        Ok::<(), io::Error>(())
    })?;

    step("a read-only state folder", || {
        sandbox.banger(&["daemon", "stop"]).ok();
        let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID;
        rustix::mount::mount_remount(&state, flags, c"")?;
        let failed = sandbox.banger(&["image", "list"]).run().exits(5);
        assert!(failed.err().contains("Read-only file system"), "{failed}");
        assert!(
            failed.err().contains(&state.display().to_string()),
            "{failed}"
        );
        assert!(failed.err().contains("hint:"), "{failed}");
        rustix::mount::mount_remount(&state, MountFlags::NODEV | MountFlags::NOSUID, c"")?;
        sandbox.banger(&["image", "list"]).ok();
        Ok::<(), io::Error>(())
    })?;

    step("the folder is let go of", || {
        sandbox.banger(&["daemon", "stop"]).ok();
        rustix::mount::unmount(&state, rustix::mount::UnmountFlags::empty())?;
        Ok(())
    })
}
