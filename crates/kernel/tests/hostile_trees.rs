//! Trees of modules that nobody should make: bounded, named, and nothing outside of them touched.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

#[path = "../src/fixture.rs"]
#[allow(dead_code)] // of the crate's own tests, which use more of it
mod fixture;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use banger_kernel::{ImportOptions, KernelMetadata, KernelSource, Watch, import};
use fixture::{module, vmlinux, xz};

const RELEASE: &str = "6.1.0-test";

/// A kernel and the folder of its modules, in which one good module is.
struct Tree {
    folder: tempfile::TempDir,
}

impl Tree {
    fn new() -> Self {
        let tree = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        tree.put("vmlinux", &vmlinux(RELEASE, Some(0x100_0000)));
        let built_in = "ext4.ko\nvirtio_pci.ko\nvirtio_blk.ko\nvirtio_console.ko\noverlay.ko\n";
        tree.put("modules/modules.builtin", built_in.as_bytes());
        tree.put("modules/kernel/good.ko", &module("good", "", RELEASE));
        tree
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn import(&self) -> Result<(KernelMetadata, tempfile::TempDir), String> {
        let into = tempfile::tempdir().unwrap();
        let source = KernelSource::Image {
            image: self.path("vmlinux"),
            modules: Some(self.path("modules")),
        };
        let mut progress = |_| {};
        let mut watch = Watch::new(&mut progress, &|| false);
        match import(&source, ImportOptions::default(), into.path(), &mut watch) {
            Ok(metadata) => Ok((metadata, into)),
            Err(error) => {
                let chain =
                    std::iter::successors(Some(&error as &dyn std::error::Error), |error| {
                        error.source()
                    });
                let chain: Vec<String> = chain.map(ToString::to_string).collect();
                Err(chain.join(": "))
            }
        }
    }

    fn refused(&self) -> String {
        self.import().map(drop).unwrap_err()
    }
}

#[test]
fn a_tree_that_is_too_deep_or_has_too_many_modules_is_refused_by_name() {
    let deep = Tree::new();
    deep.put(&format!("modules/{}x.ko", "d/".repeat(40)), b"");
    let error = deep.refused();
    assert!(
        error.contains("the depth of") && error.contains("limit"),
        "{error}"
    );

    let many = Tree::new();
    for n in 0..50_001 {
        fs::File::create(many.path(&format!("modules/kernel/m{n}.ko"))).unwrap();
    }
    let error = many.refused();
    assert!(
        error.contains("50000") && error.contains("limit"),
        "{error}"
    );
}

#[test]
fn a_module_that_unpacks_to_more_than_any_has_is_refused_by_name() {
    let tree = Tree::new();
    // Some 10 KiB, which become 65 MiB.
    tree.put("modules/kernel/bomb.ko.xz", &xz(&vec![0; 65 << 20]));
    let error = tree.refused();
    assert!(
        error.contains("bomb.ko.xz") && error.contains("limit"),
        "{error}"
    );
}

#[test]
fn a_list_of_modules_that_is_larger_than_any_is_refused_by_name() {
    let tree = Tree::new();
    let list = fs::File::create(tree.path("modules/modules.dep")).unwrap();
    list.set_len(17 << 20).unwrap();
    let error = tree.refused();
    assert!(
        error.contains("modules.dep") && error.contains("limit"),
        "{error}"
    );
}

#[test]
fn links_of_a_tree_lead_nowhere() {
    let (tree, outside) = (Tree::new(), tempfile::tempdir().unwrap());
    let other = outside.path().join("outside.ko");
    fs::write(&other, module("outside", "", RELEASE)).unwrap();
    for (link, to) in [
        ("modules/build", Path::new("/")),
        ("modules/kernel/out", outside.path()),
        ("modules/kernel/outside.ko", &other),
        ("modules/kernel/round", Path::new("..")),
    ] {
        symlink(to, tree.path(link)).unwrap();
    }
    let (_metadata, into) = tree.import().unwrap();
    let disk = fs::read(into.path().join("modules.ext4")).unwrap();
    let has = |text: &[u8]| disk.windows(text.len()).any(|part| part == text);
    assert!(has(b"good.ko") && !has(b"outside"));
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}
