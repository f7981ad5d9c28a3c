//! The same layers give the same bytes: in every run, on one processor and on all, on this machine and on others.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

mod forge;

use std::fs;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::Path;

use banger_disk::{ImageOptions, Label, write_tree};
use banger_oci::{Digest, Limits, LocalImage, Platform};
use forge::Forged;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Digest of the image made from the layers of this test, the same on every host. It changes only with the writer's
/// output.
const IMAGE: &str = "sha256:ac3516b11a1caa14581205958df402ab5648bb68c0832b3d54e251a4f903a04e";

/// Files, folders and links of which upper layers replace and hide some.
fn layer(number: usize) -> Vec<u8> {
    let mut forged = Forged::new();
    for file in 0..300 {
        let name = format!("d{}/{number}-{file}", file % 7);
        let data = vec![b'a' + (file % 26) as u8; file * 97 % 9000];
        forged = forged.entry(b'0', name.as_bytes(), b"", &data);
    }
    let large = vec![number as u8 + 1; 3 << 20];
    forged = forged.entry(b'0', b"large", b"", &large);
    if number > 0 {
        let (hidden, linked) = (
            format!("d1/.wh.{}-8", number - 1),
            format!("d2/{}-9", number - 1),
        );
        forged = forged.entry(b'0', hidden.as_bytes(), b"", b"");
        forged = forged.entry(
            b'1',
            format!("link-{number}").as_bytes(),
            linked.as_bytes(),
            b"",
        );
    }
    forged.end()
}

/// A layout of five gzip layers.
fn layout(root: &Path) {
    let blobs = root.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let blob = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        format!(r#"{{"digest":"{digest}","size":{}}}"#, bytes.len())
    };
    let (mut ids, mut layers) = (Vec::new(), Vec::new());
    for number in 0..5 {
        let plain = layer(number);
        ids.push(format!("\"{}\"", Digest::of(&plain)));
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&plain).unwrap();
        layers.push(blob(&encoder.finish().unwrap()));
    }
    let config = blob(
        format!(
            r#"{{"architecture":"amd64","os":"linux","rootfs":{{"diff_ids":[{}]}}}}"#,
            ids.join(",")
        )
        .as_bytes(),
    );
    let layers = layers.join(",");
    let manifest = blob(format!(r#"{{"config":{config},"layers":[{layers}]}}"#).as_bytes());
    let index = format!(r#"{{"manifests":[{manifest}]}}"#);
    fs::write(root.join("index.json"), index).unwrap();
}

fn image(layout: &Path, path: &Path) -> String {
    let amd64 = "linux/amd64".parse::<Platform>().unwrap();
    let scratch = path.parent().unwrap();
    let image = LocalImage::open(layout, None, &amd64, scratch).unwrap();
    let tree = image
        .tree(scratch, Limits::default(), &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap()
        .tree;
    let options = ImageOptions::base(Label::new("same").unwrap());
    let written = write_tree(&tree, path, &options, &mut |_| ControlFlow::Continue(())).unwrap();
    let told = Digest::of_hash(written.digest.unwrap());
    assert_eq!(told, Digest::of(&fs::read(path).unwrap()));
    told.to_string()
}

#[test]
fn the_same_layers_give_the_same_bytes_on_one_processor_and_on_all() {
    let dir = tempfile::tempdir().unwrap();
    layout(&dir.path().join("layout"));
    let make = |name: &str| image(&dir.path().join("layout"), &dir.path().join(name));
    assert_eq!(make("on-all"), IMAGE);
    // Threads that it starts inherit that.
    let all = sched_getaffinity(None).unwrap();
    let first = (0..CpuSet::MAX_CPU).find(|&cpu| all.is_set(cpu)).unwrap();
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one).unwrap();
    let alone = make("on-one");
    sched_setaffinity(None, &all).unwrap();
    assert_eq!(alone, IMAGE);
}
