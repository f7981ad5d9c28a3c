//! A root file system's tar archive, compressed or not, to the tree that an image is made of.
#![no_main]
use std::ops::ControlFlow;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(dir) = tempfile::tempdir() else { return };
    let archive = dir.path().join("rootfs.tar");
    if std::fs::write(&archive, bytes).is_err() {
        return;
    }
    let limits = banger_oci::Limits::default();
    let _ = banger_oci::tree_from_archive(&archive, dir.path(), limits, &mut |_| ControlFlow::Continue(()));
});
