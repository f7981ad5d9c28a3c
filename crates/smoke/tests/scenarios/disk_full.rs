//! No space on the host: a clear error, and nothing left.

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
