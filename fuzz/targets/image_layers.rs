//! Two layers, the upper one with whiteouts of the lower, to one tree, to a disk image, and back. The input is cut in the middle.
#![no_main]
use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;

use banger_disk::{ImageOptions, Label, read_tree, write_tree};
use banger_oci::Limits;
use banger_oci::layers::{Layer, merge};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (lower, upper) = bytes.split_at(bytes.len() / 2 / 512 * 512);
    let mut layers = Vec::new();
    for bytes in [lower, upper] {
        let Ok(mut file) = tempfile::tempfile() else {
            return;
        };
        if file.write_all(bytes).is_err() {
            return;
        }
        layers.push(Layer {
            name: "layer".to_owned(),
            file: Arc::new(file),
            range: 0..bytes.len() as u64,
        });
    }
    let Ok(files) = merge(&layers, Limits::default()) else {
        return;
    };
    let tree = files.tree;
    let (Ok(dir), Ok(label)) = (tempfile::tempdir(), Label::new("fuzz")) else {
        return;
    };
    let options = ImageOptions {
        digest: false,
        ..ImageOptions::base(label)
    };
    let image = dir.path().join("image");
    if write_tree(&tree, &image, &options, &mut |_| ControlFlow::Continue(())).is_ok() {
        let back = read_tree(&image).map(|back| back.entry_count());
        assert_eq!(back.ok(), Some(tree.entry_count()));
    }
});
