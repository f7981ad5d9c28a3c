//! The usual ways from layers to a disk image: unpack as root, then make a file system of the tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use banger_measure::timed;

/// The tree that unpacking leaves, which the programs that make file systems are given.
pub struct Usual<'d> {
    layers: &'d [PathBuf],
    dir: &'d Path,
}

impl<'d> Usual<'d> {
    /// Of plain layers in `dir`, or of the packed ones beside them.
    pub fn new(layers: &'d [PathBuf], dir: &'d Path) -> Self {
        Self { layers, dir }
    }

    /// Unpacks the layers and has `mke2fs -d` make a file system; the tree stays until the next time.
    pub fn tar_and_mke2fs(&self) -> Duration {
        let (tree, image) = (self.dir.join("tree"), self.dir.join("theirs"));
        if tree.exists() {
            fs::remove_dir_all(&tree).unwrap();
        }
        let unpacking = unpack(self.layers, &tree);
        let mke2fs = timed(
            Command::new("/sbin/mke2fs")
                .args(["-q", "-F", "-t", "ext4", "-d"])
                .arg(&tree)
                .arg(&image)
                .arg("2G"),
        );
        fs::remove_file(image).unwrap();
        unpacking + mke2fs
    }

    /// `mkfs.erofs` of the tree that is there, where it is installed.
    pub fn erofs(&self) -> Option<Duration> {
        let program = ["/usr/bin/mkfs.erofs", "/usr/sbin/mkfs.erofs"]
            .into_iter()
            .find(|path| Path::new(path).exists())?;
        let (image, tree) = (self.dir.join("erofs"), self.dir.join("tree"));
        let time = timed(Command::new(program).arg("-d0").arg(&image).arg(tree));
        fs::remove_file(image).unwrap();
        Some(time)
    }
}

fn unpack(layers: &[PathBuf], tree: &Path) -> Duration {
    fs::create_dir(tree).unwrap();
    let stored = layers.iter().map(|layer| {
        let packed = layer.with_extension("tar.gz");
        match packed.exists() {
            true => packed,
            false => layer.clone(),
        }
    });
    stored
        .map(|layer| {
            let mut tar = Command::new("tar");
            tar.arg("-C").arg(tree).args(["--xattrs", "-xpf"]);
            timed(tar.arg(layer))
        })
        .sum()
}
