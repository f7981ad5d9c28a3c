//! Inputs of the bench: made-up images, the same in every run.

use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use banger_measure::{half_noise, timed};
use banger_oci::{Digest, Platform};
use banger_tar::{Entry, Kind, Writer};

/// Names and sizes of files.
pub type Files = Vec<(String, usize)>;

/// `count` files of `len` bytes each on average, 40 folders of 40 folders of them.
pub fn small(count: usize, len: usize) -> Files {
    let make = |n: usize| {
        (
            format!("d{}/{}/file-{n}", n % 40, n / 40 % 40),
            len / 2 + n * 7919 % len,
        )
    };
    (0..count).map(make).collect()
}

/// 182 MB of tar, as the layers of a Debian image with 20,000 files have it: most are small, some are programs.
pub fn debian() -> Files {
    let mut files = small(20_000, 4_600);
    for (n, file) in files.iter_mut().enumerate().filter(|(n, _)| n % 100 == 0) {
        *file = (format!("usr/lib/{}/lib-{n}", n % 7), 365_000);
    }
    files
}

/// 512 MiB in eight files.
pub fn large() -> Files {
    (0..8).map(|n| (format!("large-{n}"), 64 << 20)).collect()
}

/// One plain layer of a million entries, of which a tenth have contents and a tenth are folders.
pub fn million(dir: &Path) -> Vec<PathBuf> {
    let path = dir.join("layer-0.tar");
    let mut tar = Writer::new(BufWriter::new(fs::File::create(&path).unwrap()));
    for n in 0..1_000_000_u32 {
        let (folder, contents) = (n / 10, [b'x'; 100]);
        let name = match n % 10 {
            0 => format!("srv/{}/{folder}", folder % 100),
            _ => format!("srv/{}/{folder}/name-of-a-file-{n}", folder % 100),
        };
        let kind = match n % 10 {
            0 => Kind::Directory,
            1 => Kind::File { size: 100 },
            _ => Kind::File { size: 0 },
        };
        tar.header(&Entry {
            path: name.as_bytes(),
            kind,
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtime: (1_700_000_000, 0),
            xattrs: &[],
        })
        .unwrap();
        if n % 10 == 1 {
            tar.content(&contents).unwrap();
            tar.end_content().unwrap();
        }
    }
    tar.finish().unwrap().flush().unwrap();
    vec![path]
}

/// The files in three layers, which compress about as programs do.
pub fn layers(files: &[(String, usize)], dir: &Path) -> Vec<PathBuf> {
    let block = half_noise(65 << 20, 1);
    files
        .chunks(files.len().div_ceil(3))
        .enumerate()
        .map(|(index, part)| {
            let root = dir.join("root");
            for (number, (name, len)) in part.iter().enumerate() {
                let path = root.join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                let start = number * 31 % (block.len() - len);
                fs::write(path, &block[start..start + len]).unwrap();
            }
            let layer = dir.join(format!("layer-{index}.tar"));
            timed(
                Command::new("tar")
                    .arg("-C")
                    .arg(&root)
                    .arg("-cf")
                    .arg(&layer)
                    .arg("."),
            );
            fs::remove_dir_all(root).unwrap();
            layer
        })
        .collect()
}

/// A layout of these layers.
pub fn layout(layers: &[PathBuf], gzip: bool, dir: &Path) -> PathBuf {
    let root = dir.join("layout");
    fs::create_dir_all(root.join("blobs/sha256")).unwrap();
    let blob = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(root.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        format!(r#"{{"digest":"{digest}","size":{}}}"#, bytes.len())
    };
    let (mut ids, mut stored) = (Vec::new(), Vec::new());
    for layer in layers {
        let plain = fs::read(layer).unwrap();
        ids.push(format!("\"{}\"", Digest::of(&plain)));
        if gzip {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(&plain).unwrap();
            let packed = encoder.finish().unwrap();
            fs::write(layer.with_extension("tar.gz"), &packed).unwrap();
            stored.push(blob(&packed));
        } else {
            stored.push(blob(&plain));
        }
    }
    let platform = Platform::host();
    let config = blob(
        format!(
            r#"{{"architecture":"{}","os":"linux","rootfs":{{"diff_ids":[{}]}}}}"#,
            platform.architecture,
            ids.join(",")
        )
        .as_bytes(),
    );
    let manifest =
        blob(format!(r#"{{"config":{config},"layers":[{}]}}"#, stored.join(",")).as_bytes());
    fs::write(
        root.join("index.json"),
        format!(r#"{{"manifests":[{manifest}]}}"#),
    )
    .unwrap();
    root
}
