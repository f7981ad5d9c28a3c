//! Compressed layers and archives that unpack to far more than they should: refused while they are unpacked, with their disk.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

mod forge;

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use banger_oci::{Digest, Limits, LocalImage, Platform, tree_from_archive};
use forge::{Forged, told};

const LIMITS: Limits = Limits {
    unpacked_bytes: 64 << 30,
    entries: 10_000,
};

/// A layout of one layer that is stored as `packed`, and says to unpack to `plain`.
fn layout(root: &Path, packed: &[u8], plain: Digest) {
    let blobs = root.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let blob = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        format!(r#"{{"digest":"{digest}","size":{}}}"#, bytes.len())
    };
    let layer = blob(packed);
    let config =
        format!(r#"{{"architecture":"amd64","os":"linux","rootfs":{{"diff_ids":["{plain}"]}}}}"#);
    let config = blob(config.as_bytes());
    let manifest = blob(format!(r#"{{"config":{config},"layers":[{layer}]}}"#).as_bytes());
    fs::write(
        root.join("index.json"),
        format!(r#"{{"manifests":[{manifest}]}}"#),
    )
    .unwrap();
}

/// The refusal of the layer `packed`, and the most bytes that were unpacked from it.
fn refusal(packed: &[u8], plain: Digest) -> (String, u64) {
    let dir = tempfile::tempdir().unwrap();
    let (root, scratch) = (dir.path().join("layout"), dir.path().join("scratch"));
    fs::create_dir(&scratch).unwrap();
    layout(&root, packed, plain);
    let amd64 = "linux/amd64".parse::<Platform>().unwrap();
    let image = LocalImage::open(&root, None, &amd64, &scratch).unwrap();
    let mut most = 0;
    let tree = image.tree(&scratch, LIMITS, &mut |progress| {
        most = most.max(progress.bytes);
        ControlFlow::Continue(())
    });
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
    (told(&tree.unwrap_err()), most)
}

fn gzip(write: impl FnOnce(&mut dyn std::io::Write)) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    write(&mut encoder);
    encoder.finish().unwrap()
}

/// A million entries of nothing.
fn million() -> Vec<u8> {
    let entry = Forged::new().entry(b'5', b"same", b"", b"").bytes;
    let many = entry.repeat(1000);
    gzip(|to| (0..1000).for_each(|_| to.write_all(&many).unwrap()))
}

#[test]
fn too_many_entries_are_refused_while_they_come_out() {
    let packed = million();
    let (said, most) = refusal(&packed, Digest::of(b"whatever it says to be"));
    let layer = Digest::of(&packed);
    assert!(
        said.ends_with(&format!(
            "cannot unpack layer {layer}: it has more than 10000 entries: the next one is \"same\""
        )),
        "{said}"
    );
    // A step of the decoder more than the entries that are taken.
    assert!(most < 10_000 * 512 + (1 << 20), "{most}");

    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("archive.tar.gz");
    fs::write(&archive, packed).unwrap();
    let mut most = 0;
    let refused = tree_from_archive(&archive, dir.path(), LIMITS, &mut |bytes| {
        most = bytes;
        ControlFlow::Continue(())
    });
    let said = told(&refused.unwrap_err());
    assert!(
        said.ends_with("archive.tar.gz: it has more than 10000 entries: the next one is \"same\""),
        "{said}"
    );
    assert!(most < 10_000 * 512 + (1 << 20), "{most}");
}

#[test]
fn a_layer_that_was_damaged_where_it_is_stored_is_told_so_first() {
    let good = million();
    let mut damaged = good.clone();
    let end = damaged.len() - 20;
    damaged[end] ^= 0xFF;
    let dir = tempfile::tempdir().unwrap();
    layout(dir.path(), &good, Digest::of(b"whatever"));
    let blob = dir
        .path()
        .join("blobs/sha256")
        .join(Digest::of(&good).hex());
    fs::write(blob, &damaged).unwrap();
    let amd64 = "linux/amd64".parse::<Platform>().unwrap();
    let image = LocalImage::open(dir.path(), None, &amd64, dir.path()).unwrap();
    let go_on = &mut |_| ControlFlow::Continue(());
    let error = image.tree(dir.path(), LIMITS, go_on).unwrap_err();
    assert_eq!(error.damaged_blob(), Some(Digest::of(&good)), "{error:?}");
}
