use std::cell::RefCell;

use banger_module_index::IndexBuilder;

use super::*;

/// A folder of index files.
struct Modules {
    folder: tempfile::TempDir,
    loaded: RefCell<Vec<String>>,
}

impl Modules {
    fn new(dep: &[(&str, &str)], alias: &[(&str, &str)], softdep: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (file, entries) in [("modules.dep.bin", dep), ("modules.alias.bin", alias)] {
            let mut index = IndexBuilder::default();
            for (place, (key, value)) in entries.iter().enumerate() {
                index
                    .insert(key.as_bytes(), value.as_bytes(), place as u32)
                    .unwrap();
            }
            std::fs::write(folder.path().join(file), index.finish().unwrap()).unwrap();
        }
        std::fs::write(folder.path().join("modules.softdep"), softdep).unwrap();
        Self {
            folder,
            loaded: RefCell::default(),
        }
    }

    fn load(&self, name: &str) -> Result<Vec<String>, String> {
        self.loaded.borrow_mut().clear();
        let folder = self.folder.path();
        let take = |path: &Path| {
            let path = path.strip_prefix(folder).map_err(io::Error::other)?;
            self.loaded.borrow_mut().push(path.display().to_string());
            Ok(())
        };
        match Loader::new(folder, take).load(name) {
            Ok(()) => Ok(self.loaded.borrow().clone()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn usual() -> Modules {
    Modules::new(
        &[
            ("btrfs", "fs/btrfs.ko: lib/xor.ko lib/raid6-pq.ko"),
            ("raid6_pq", "lib/raid6-pq.ko:"),
            ("xor", "lib/xor.ko:"),
            ("nf_a", "net/nf-a.ko: lib/xor.ko"),
            ("nf_b", "net/nf-b.ko: lib/xor.ko"),
        ],
        &[
            ("fs_btrfs", "btrfs"),
            ("nft_expr_*", "nf_a"),
            ("nft_expr_[a-c]", "nf_b"),
        ],
        "softdep btrfs pre: nf-a gone post: nf_b\n",
    )
}

#[test]
fn what_is_needed_comes_first_and_nothing_twice() {
    let modules = usual();
    assert_eq!(modules.load("raid6-pq").unwrap(), ["lib/raid6-pq.ko"]);
    assert_eq!(
        modules.load("fs-btrfs").unwrap(),
        [
            "lib/xor.ko",
            "net/nf-a.ko",
            "lib/raid6-pq.ko",
            "fs/btrfs.ko",
            "net/nf-b.ko"
        ]
    );
}

#[test]
fn an_alias_loads_every_module_whose_pattern_it_is() {
    let loaded = usual().load("nft-expr-b").unwrap();
    assert_eq!(loaded, ["lib/xor.ko", "net/nf-a.ko", "net/nf-b.ko"]);
    assert!(
        usual()
            .load("nft")
            .unwrap_err()
            .starts_with("module nft not found in /")
    );
}

#[test]
fn what_is_built_in_needs_nothing() {
    let modules = usual();
    let write = |file: &str, key: &str| {
        let mut index = IndexBuilder::default();
        index.insert(key.as_bytes(), b"x", 0).unwrap();
        std::fs::write(modules.folder.path().join(file), index.finish().unwrap()).unwrap();
    };
    write("modules.builtin.bin", "ext4");
    write("modules.builtin.alias.bin", "fs_ext3");
    for name in ["ext4", "fs-ext3"] {
        assert!(modules.load(name).unwrap().is_empty(), "{name}");
    }
}

#[test]
fn a_hostile_index_leads_nowhere_else_and_ends() {
    for path in ["../../../etc/shadow", "/etc/shadow", "a/../b.ko", ""] {
        let modules = Modules::new(&[("evil", &format!("{path}:"))], &[], "");
        assert!(
            modules
                .load("evil")
                .unwrap_err()
                .ends_with("is no path of a module"),
            "{path}"
        );
    }
    let many: String = (0..1000).map(|n| format!(" m{n}.ko")).collect();
    let modules = Modules::new(&[("many", &format!("many.ko:{many}"))], &[], "");
    assert!(
        modules
            .load("many")
            .unwrap_err()
            .starts_with("more than 256 modules")
    );
    let circle = Modules::new(
        &[("a", "a.ko: b.ko"), ("b", "b.ko: a.ko")],
        &[],
        "softdep a pre: b\nsoftdep b pre: a\n",
    );
    assert_eq!(circle.load("a").unwrap().len(), 2);
    std::fs::write(circle.folder.path().join("modules.dep.bin"), b"rubbish").unwrap();
    assert!(circle.load("a").unwrap_err().contains("no module index"));
    std::fs::remove_file(circle.folder.path().join("modules.dep.bin")).unwrap();
    assert!(circle.load("a").unwrap_err().contains("not found"));
}
