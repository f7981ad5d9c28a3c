//! A root file system's tar archive, compressed or not, to the tree that an image is made of, to that image, and back.
#![no_main]
use std::ops::ControlFlow;

use banger_disk::{ImageOptions, Label, read_tree, write_tree};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (Ok(dir), Ok(label)) = (tempfile::tempdir(), Label::new("fuzz")) else {
        return;
    };
    let (archive, image) = (dir.path().join("rootfs.tar"), dir.path().join("image"));
    if std::fs::write(&archive, bytes).is_err() {
        return;
    }
    let go_on = &mut |_| ControlFlow::Continue(());
    let limits = banger_oci::Limits::default();
    let Ok(files) = banger_oci::tree_from_archive(&archive, dir.path(), limits, go_on) else {
        return;
    };
    let tree = files.tree;
    let options = ImageOptions {
        digest: false,
        ..ImageOptions::base(label)
    };
    if write_tree(&tree, &image, &options, &mut |_| ControlFlow::Continue(())).is_ok() {
        let back = read_tree(&image).map(|back| back.entry_count());
        assert_eq!(back.ok(), Some(tree.entry_count()));
    }
});
